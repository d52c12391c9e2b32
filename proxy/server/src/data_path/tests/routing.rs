//! Who goes where, and what the upstream is told.

use super::lab::{Reply, Upstream, ask, field};
use super::{Running, get, settings, table};
use serinus_routing::Sticky;

async fn pair() -> (Upstream, Upstream) {
    let stable = Upstream::start("stable", Reply::Status(200)).await;
    let canary = Upstream::start("canary", Reply::Status(200)).await;
    (stable, canary)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_are_split_by_weight_and_stay_with_their_variant() {
    let (stable, canary) = pair().await;
    let mut settings = settings(&[stable.address], &[canary.address]);
    settings.services[0].sticky = Sticky::Cookie;
    let running = Running::start(settings, 50.0);
    let mut on_canary = 0;
    for _ in 0..200 {
        let first = running.get("/").await;
        let set = first.field("set-cookie").expect("a new user gets a cookie").to_owned();
        let (cookie, attributes) = set.split_once("; ").unwrap();
        assert!(cookie.starts_with("edge-id="), "{set}");
        assert_eq!(attributes, "Path=/; Max-Age=34560000; HttpOnly; SameSite=Lax");
        let again = running
            .ask(&format!(
                "GET / HTTP/1.1\r\nhost: shop.test\r\ncookie: a=b; {cookie}\r\nconnection: close\r\n\r\n"
            ))
            .await;
        assert_eq!(again.field("set-cookie"), None);
        assert_eq!(again.variant(), first.variant());
        assert_eq!(first.body, first.variant());
        on_canary += u32::from(first.variant() == "canary");
    }
    // Four sigma around the half.
    assert!((72..=128).contains(&on_canary), "{on_canary} of 200 users on the canary");
    assert_eq!(running.observed(400).await.canary.outcomes.total(), u64::from(2 * on_canary));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plain_proxy_sets_no_cookie() {
    let (stable, _) = pair().await;
    let mut settings = settings(&[stable.address], &[]);
    settings.services[0].sticky = Sticky::Cookie;
    settings.services[0].expose_variant_header = false;
    let answer = Running::start(settings, 0.0).get("/").await;
    assert_eq!((answer.field("set-cookie"), answer.variant()), (None, "none"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_upstream_learns_who_asked_and_no_client_passes_for_a_probe() {
    let (stable, _) = pair().await;
    let running = Running::start(settings(&[stable.address], &[]), 0.0);
    let answer = running
        .ask(
            "GET /a?b=1 HTTP/1.1\r\nHost: shop.test:8080\r\nconnection: close, x-hop\r\nx-hop: 1\r\n\
             x-forwarded-for: 203.0.113.1\r\nx-synthetic: p/1\r\nx-serinus-mirror: 1\r\nuser-agent: serinus-probe/1\r\n\
             baggage: synthetic_request=true, a=1\r\n\r\n",
        )
        .await;
    assert_eq!(answer.status, 200);
    let seen = &stable.seen()[0];
    assert!(seen.starts_with("GET /a?b=1 HTTP/1.1\r\n"), "{seen}");
    for (name, value) in [
        ("host", Some("shop.test:8080")),
        ("x-forwarded-for", Some("127.0.0.1")),
        ("x-forwarded-proto", Some("http")),
        ("x-forwarded-host", Some("shop.test:8080")),
        ("baggage", Some("a=1")),
        ("x-synthetic", None),
        ("x-serinus-mirror", None),
        ("user-agent", None),
        ("x-hop", None),
    ] {
        assert_eq!(field(seen, name), value, "{name} in {seen}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_two_servers_could_read_differently_is_refused() {
    let (stable, _) = pair().await;
    let running = Running::start(settings(&[stable.address], &[]), 0.0);
    for (request, status) in [
        ("TRACE / HTTP/1.1\r\nhost: shop.test\r\n\r\n", 405),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: shop.test\r\nhost: shop.test\r\n\r\n", 400),
        (
            "POST / HTTP/1.1\r\nhost: shop.test\r\ncontent-length: 5\r\n\
             transfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        ("GET http://other.test/ HTTP/1.1\r\nhost: shop.test\r\n\r\n", 400),
    ] {
        assert_eq!(running.ask(request).await.status, status, "{request}");
    }
    assert_eq!(stable.seen(), [""; 0]);
    let absolute =
        running.ask("GET http://shop.test/x?y HTTP/1.1\r\nhost: shop.test\r\n\r\n").await;
    assert_eq!(absolute.status, 200);
    assert!(stable.seen()[0].starts_with("GET /x?y HTTP/1.1\r\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_answers_for_a_host_that_has_no_route() {
    let (stable, _) = pair().await;
    let running = Running::start(settings(&[stable.address], &[]), 0.0);
    let elsewhere = "GET / HTTP/1.1\r\nhost: other.test\r\n";
    let plain = running.ask(&format!("{elsewhere}\r\n")).await;
    assert_eq!((plain.status, &*plain.body), (404, "404 Not Found\n"));
    assert_eq!((plain.field("server"), plain.field("connection")), (None, Some("keep-alive")));
    let json = running.ask(&format!("{elsewhere}accept: application/json\r\n\r\n")).await;
    assert_eq!(json.body, "{\"status\":404,\"error\":\"Not Found\"}\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_take_turns_and_names_are_resolved() {
    let (one, two) = pair().await;
    let mut both = settings(&[one.address, two.address], &[]);
    let running = Running::start(both.clone(), 0.0);
    for _ in 0..20 {
        assert_eq!(running.get("/").await.status, 200);
    }
    assert!(one.seen().len() >= 5 && two.seen().len() >= 5, "{}", one.seen().len());
    both.services[0].stable.endpoints[0].address = format!("localhost:{}", one.address.port());
    both.services[0].stable.endpoints.truncate(1);
    let named = Running::start(both, 0.0);
    let started = std::time::Instant::now();
    // Not before the first look-up is done, and on the data path nobody waits for it.
    while ask(named.address, &get("/")).await.unwrap().status == 503 {
        assert!(started.elapsed() < super::PATIENCE);
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!(named.get("/").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_keeps_the_table_it_began_with() {
    let (stable, canary) = pair().await;
    let told = std::sync::Arc::new(tokio::sync::Notify::new());
    canary.reply(Reply::When(std::sync::Arc::clone(&told)));
    let running = Running::start(settings(&[stable.address], &[canary.address]), 100.0);
    let address = running.address;
    let waiting = tokio::spawn(async move { ask(address, &get("/")).await.unwrap() });
    canary.until_seen(1).await;
    running.path.publish(table(&running.settings, 0.0));
    for _ in 0..50 {
        assert_eq!(running.get("/").await.variant(), "stable");
    }
    told.notify_one();
    assert_eq!(waiting.await.unwrap().variant(), "canary");
    assert_eq!(canary.seen().len(), 1);
}
