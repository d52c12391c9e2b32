//! What routes ask of a request, and what they make of it.

use super::lab::{Reply, Upstream, ask, field};
use super::{Running, get, settings, table};
use serinus_config::{RouteSettings, RouteTarget, Settings};
use std::path::Path;

/// The settings of a file whose routes are `routes`, to services `one` and `two`.
async fn routed(routes: &str) -> (Running, Upstream, Upstream) {
    let one = Upstream::start("one", Reply::Status(200)).await;
    let two = Upstream::start("two", Reply::Status(200)).await;
    let text = format!(
        "[listener.web]\naddress = \"127.0.0.1:0\"\n{routes}\n\
         [service.one.stable]\nendpoints = [\"{}\"]\n[service.two.stable]\nendpoints = [\"{}\"]\n",
        one.address, two.address
    );
    let settings = serinus_config::parse(&text, Path::new("rules.toml")).unwrap();
    (Running::start(settings, 0.0), one, two)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_told_apart_by_path_method_header_and_query() {
    let (running, _one, _two) = routed(
        r#"
        [route.rest]
        service = "one"
        [route.whole]
        path = "/health"
        service = "two"
        [route.user]
        path_regex = "/user/[0-9]+"
        service = "two"
        [route.write]
        path_prefix = "/api"
        methods = ["POST"]
        service = "two"
        [route.beta]
        header = [{ name = "x-beta", equals = "1" }]
        service = "two"
        [route.asked]
        query = [{ name = "beta" }]
        service = "two"
        "#,
    )
    .await;
    for (request, service) in [
        (get("/"), "one"),
        (get("/health"), "two"),
        (get("/health/x"), "one"),
        (get("/user/17"), "two"),
        (get("/user/me"), "one"),
        (get("/api"), "one"),
        (get("/api").replacen("GET", "POST", 1), "two"),
        (get("/").replace("\r\n\r\n", "\r\nx-beta: 1\r\n\r\n"), "two"),
        (get("/").replace("\r\n\r\n", "\r\nx-beta: 2\r\n\r\n"), "one"),
        (get("/?a=1&beta=yes"), "two"),
        (get("/?a=beta"), "one"),
    ] {
        assert_eq!(running.ask(&request).await.body, service, "{request}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_changes_the_path_and_the_headers_both_ways() {
    let (running, one, two) = routed(
        r#"
        [route.stripped]
        path_prefix = "/api"
        service = "one"
        strip_prefix = true
        request_headers = { set = { host = "inner.test", x-from = "edge" }, add = { accept = "text/html" }, remove = ["cookie"] }
        response_headers = { set = { x-frame-options = "DENY" }, add = { vary = "cookie" }, remove = ["server"] }
        [route.moved]
        path_prefix = "/old"
        service = "two"
        replace_prefix = "/new"
        "#,
    )
    .await;
    two.reply(Reply::Raw("HTTP/1.1 200 OK\r\nserver: two\r\ncontent-length: 0\r\n\r\n"));
    one.reply(Reply::Raw(
        "HTTP/1.1 200 OK\r\nserver: one\r\nvary: accept\r\ncontent-length: 0\r\n\r\n",
    ));
    let request = "GET /api/cart?q=%20 HTTP/1.1\r\nhost: shop.test\r\ncookie: a=b\r\naccept: a/b\r\nconnection: close\r\n\r\n";
    let answer = running.ask(request).await;
    let seen = one.seen().remove(0);
    assert!(seen.starts_with("GET /cart?q=%20 HTTP/1.1\r\n"), "{seen}");
    assert_eq!((field(&seen, "host"), field(&seen, "x-from")), (Some("inner.test"), Some("edge")));
    assert_eq!(
        (field(&seen, "cookie"), field(&seen, "x-forwarded-host")),
        (None, Some("shop.test"))
    );
    assert!(seen.contains("text/html") && seen.contains("a/b"), "{seen}");
    assert_eq!((answer.field("x-frame-options"), answer.field("server")), (Some("DENY"), None));
    assert!(answer.header.contains("accept") && answer.header.contains("cookie"), "{answer:?}");

    let untouched = running.get("/old/x?y").await;
    assert_eq!(untouched.field("server"), Some("two"));
    assert!(two.seen()[0].starts_with("GET /new/x?y HTTP/1.1\r\n"), "{}", two.seen()[0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_are_sent_elsewhere_and_counted_and_no_variant_is_asked() {
    let (running, one, _two) = routed(
        r#"
        [route.rest]
        service = "one"
        [route.secure]
        path_prefix = "/account"
        redirect = { scheme = "https", status = 308 }
        [route.moved]
        path_prefix = "/old"
        redirect = { host = "new.test", port = 8443, replace_prefix = "/", keep_query = false, scheme = "https" }
        "#,
    )
    .await;
    for (path, status, location) in [
        ("/account/7?q=1", 308, "https://shop.test/account/7?q=1"),
        ("/old//evil.test/x?q=1", 302, "https://new.test:8443/evil.test/x"),
    ] {
        let answer = running.get(path).await;
        assert_eq!((answer.status, answer.field("location")), (status, Some(location)));
        assert_eq!((&*answer.body, answer.field("content-length")), ("", Some("0")));
    }
    assert_eq!(one.seen(), [""; 0]);
    assert_eq!(running.path.redirects(), [("secure".into(), 1), ("moved".into(), 1)]);
    assert_eq!(running.path.drain("one"), []);
    let kept = running.settings.clone();
    running.path.reconfigure(&kept, table(&kept, 0.0)).unwrap();
    assert_eq!(running.path.redirects()[0].1, 1, "counters stay over a reload");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_may_become_a_service_on_reload() {
    let stable = Upstream::start("stable", Reply::Status(200)).await;
    let mut before: Settings = settings(&[stable.address], &[]);
    before.routes[0].target = RouteTarget::Redirect(serinus_routing::Redirect::to_https(None));
    let running = Running::start(before.clone(), 0.0);
    let answer = ask(running.address, &get("/x")).await.unwrap();
    assert_eq!((answer.status, answer.field("location")), (308, Some("https://shop.test/x")));
    let mut after = before;
    after.routes = vec![RouteSettings::of_prefix("shop", Vec::new(), "/", "checkout")];
    running.path.reconfigure(&after, table(&after, 0.0)).unwrap();
    assert_eq!(running.get("/x").await.status, 200);
}
