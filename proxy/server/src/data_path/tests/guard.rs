//! What routes ask of requests, and do to their answers.

use super::hardening::counted;
use super::lab::{Answer, Reply, Upstream, exchange, field};
use super::{Running, get, settings, table};
use crate::data_path::Reason;
use serinus_config::{GuardSettings, parse};
use std::path::Path;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A guard as it stands in a file.
fn guard(keys: &str) -> GuardSettings {
    let text = format!(
        "[listener.a]\naddress = \"127.0.0.1:0\"\n[route.a]\nservice = \"a\"\n{keys}\n\
         [service.a.stable]\nendpoints = [\"a:1\"]\n"
    );
    parse(&text, Path::new("s.toml")).unwrap().routes[0].guard.clone()
}

async fn started(keys: &str) -> (Upstream, Running) {
    let stable = Upstream::start("stable", Reply::Status(200)).await;
    let mut settings = settings(&[stable.address], &[]);
    settings.routes[0].guard = guard(keys);
    (stable, Running::start(settings, 0.0))
}

async fn with(running: &Running, fields: &str) -> Answer {
    let request = format!("GET / HTTP/1.1\r\nhost: shop.test\r\nconnection: close\r\n{fields}\r\n");
    running.ask(&request).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_the_rate_is_told_when_to_come_again() {
    let keys = "limits = { rate = [{ requests = 3, per = \"1h\", by = { header = \"x-key\" } }] }";
    let (stable, running) = started(keys).await;
    for _ in 0..3 {
        assert_eq!(with(&running, "x-key: one\r\n").await.status, 200);
    }
    let answer = with(&running, "x-key: one\r\n").await;
    let wait: u64 = answer.field("retry-after").unwrap().parse().unwrap();
    assert_eq!(answer.status, 429);
    assert!((1_100..=1_200).contains(&wait), "{wait} s");
    assert_eq!(with(&running, "x-key: two\r\n").await.status, 200);
    counted(&running, Reason::Rate, 1).await;
    assert_eq!(stable.seen().len(), 4);
    // A reload that does not touch the route's guard forgives nothing, another one does.
    running.path.reconfigure(&running.settings, table(&running.settings, 0.0)).unwrap();
    assert_eq!(with(&running, "x-key: one\r\n").await.status, 429);
    let mut next = running.settings.clone();
    next.routes[0].guard.rates.clear();
    running.path.reconfigure(&next, table(&next, 0.0)).unwrap();
    assert_eq!(with(&running, "x-key: one\r\n").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_beyond_the_limit_goes_no_further() {
    let (stable, running) = started("limits = { body = \"10B\" }").await;
    let post = |fields: &str, body: &str| {
        format!("POST / HTTP/1.1\r\nhost: shop.test\r\nconnection: close\r\n{fields}\r\n{body}")
    };
    let small = post("content-length: 10\r\n", "0123456789");
    assert_eq!(running.ask(&small).await.status, 200);
    let large = post("content-length: 11\r\n", "0123456789a");
    assert_eq!(running.ask(&large).await.status, 413);
    assert_eq!(stable.seen().len(), 1);
    let chunks = post("transfer-encoding: chunked\r\n", "6\r\n012345\r\n6\r\n6789ab\r\n0\r\n\r\n");
    assert_eq!(running.ask(&chunks).await.status, 413);
    counted(&running, Reason::BodyTooLarge, 2).await;
    assert_eq!(running.path.failures_since_drain("checkout"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn addresses_are_let_in_or_not() {
    for (keys, status) in [
        ("access = { allow = [\"127.0.0.0/8\"] }", 200),
        ("access = { allow = [\"10.0.0.0/8\"] }", 403),
        ("access = { deny = [\"127.0.0.1\"] }", 403),
        ("access = { allow = [\"127.0.0.0/8\"], deny = [\"127.0.0.0/30\"] }", 403),
        ("access = { deny = [\"10.0.0.0/8\"] }", 200),
    ] {
        let (_stable, running) = started(keys).await;
        // What a client says of itself counts for nothing.
        let answer = with(&running, "x-forwarded-for: 10.1.1.1\r\n").await;
        assert_eq!(answer.status, status, "{keys}");
        counted(&running, Reason::Address, u64::from(status == 403)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_need_their_password() {
    let hash = bcrypt::hash("s3cret", 4).unwrap();
    let keys =
        format!("access = {{ basic = {{ realm = \"staff\", users = {{ alice = \"{hash}\" }} }} }}");
    let (stable, running) = started(&keys).await;
    let unknown = running.get("/").await;
    let challenge = "Basic realm=\"staff\", charset=\"UTF-8\"";
    assert_eq!((unknown.status, unknown.field("www-authenticate")), (401, Some(challenge)));
    let wrong = with(&running, "authorization: Basic YWxpY2U6d3Jvbmc=\r\n").await;
    assert_eq!(wrong.status, 401);
    for _ in 0..3 {
        let right = with(&running, "authorization: Basic YWxpY2U6czNjcmV0\r\n").await;
        assert_eq!(right.status, 200);
    }
    counted(&running, Reason::Credentials, 2).await;
    assert_eq!(stable.seen().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_service_says_who_may_pass() {
    let asked = Upstream::start(
        "auth",
        Reply::Raw("HTTP/1.1 204 X\r\nx-auth-user: alice\r\nx-other: 1\r\n\r\n"),
    )
    .await;
    let keys = format!(
        "access = {{ forward = {{ url = \"http://{}/check\", copy = [\"x-auth-user\"] }} }}",
        asked.address
    );
    let (stable, running) = started(&keys).await;
    let fields = "x-auth-user: root\r\ncookie: session=1\r\nx-forwarded-for: 6.6.6.6\r\n\
                  x-client-subject: CN=root\r\nclient-cert: :AAAA:\r\nx-real-ip: 6.6.6.6\r\n\
                  forwarded: for=6.6.6.6\r\nx-forwarded-port: 1\r\nx-forwarded-proto: https\r\n\
                  x-forwarded-host: other.test\r\nx-synthetic: 1\r\nx_client_subject: CN=root\r\n";
    assert_eq!(with(&running, fields).await.status, 200);
    let question = &asked.seen()[0];
    assert!(question.starts_with("GET /check HTTP/1.1\r\n"), "{question}");
    for (name, value) in [
        ("x-forwarded-method", "GET"),
        ("x-forwarded-uri", "/"),
        ("x-forwarded-host", "shop.test"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-proto", "http"),
        ("cookie", "session=1"),
    ] {
        assert_eq!(field(question, name), Some(value), "{name} in {question}");
    }
    // What only a proxy can know is not taken from the client.
    for name in [
        "x-client-subject",
        "client-cert",
        "x-real-ip",
        "forwarded",
        "x-forwarded-port",
        "x-synthetic",
        "x_client_subject",
    ] {
        assert_eq!(field(question, name), None, "{name} in {question}");
    }
    let seen = &stable.seen()[0];
    assert_eq!((field(seen, "x-auth-user"), field(seen, "x-other")), (Some("alice"), None));

    asked.reply(Reply::Raw(
        "HTTP/1.1 302 X\r\nlocation: /login\r\nx-secret: 1\r\ncontent-length: 2\r\n\r\nno",
    ));
    let refused = running.get("/").await;
    assert_eq!((refused.status, refused.field("location")), (302, Some("/login")));
    assert_eq!((refused.field("x-secret"), &*refused.body), (None, "no"));
    counted(&running, Reason::ForwardAuth, 1).await;
    for broken in [Reply::Status(500), Reply::Close] {
        asked.reply(broken);
        assert_eq!(running.get("/").await.status, 503);
    }
    counted(&running, Reason::ForwardAuthDown, 2).await;
    assert_eq!(stable.seen().len(), 1);
    assert_eq!(running.path.failures_since_drain("checkout"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_other_origins_do_what_they_may() {
    let keys = "cors = { origins = [\"https://a.test\"], methods = [\"GET\", \"PUT\"], headers = [\"x-a\"], \
                expose = [\"etag\"], credentials = true, max_age = \"5m\" }";
    let (stable, running) = started(keys).await;
    let preflight = |origin: &str, method: &str| {
        format!(
            "OPTIONS / HTTP/1.1\r\nhost: shop.test\r\norigin: {origin}\r\n\
             access-control-request-method: {method}\r\nconnection: close\r\n\r\n"
        )
    };
    let answer = running.ask(&preflight("https://a.test", "PUT")).await;
    for (name, value) in [
        ("access-control-allow-origin", Some("https://a.test")),
        ("access-control-allow-methods", Some("GET, PUT")),
        ("access-control-allow-headers", Some("x-a")),
        ("access-control-allow-credentials", Some("true")),
        ("access-control-max-age", Some("300")),
        ("vary", Some("origin")),
        ("content-length", None),
    ] {
        assert_eq!((answer.status, answer.field(name)), (204, value), "{name}");
    }
    let answer = running.ask(&preflight("https://b.test", "PUT")).await;
    assert_eq!(answer.field("access-control-allow-origin"), None);
    let answer = running.ask(&preflight("https://a.test", "DELETE")).await;
    assert_eq!(answer.field("access-control-allow-methods"), None);
    assert_eq!(stable.seen(), [""; 0]);

    stable.reply(Reply::Raw(
        "HTTP/1.1 200 X\r\naccess-control-allow-origin: *\r\ncontent-length: 2\r\n\r\nok",
    ));
    for (fields, origin, expose) in [
        ("origin: https://a.test\r\n", Some("https://a.test"), Some("etag")),
        ("origin: https://b.test\r\n", None, None),
        ("", None, None),
    ] {
        let answer = with(&running, fields).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.field("access-control-allow-origin"), origin);
        assert_eq!(answer.field("access-control-expose-headers"), expose);
        assert_eq!(answer.field("vary"), Some("origin"));
    }
    // So may a page read what the proxy itself says.
    stable.reply(Reply::Close);
    let answer = with(&running, "origin: https://a.test\r\n").await;
    assert_eq!(answer.status, 502);
    assert_eq!(answer.field("access-control-allow-origin"), Some("https://a.test"));
    assert_eq!(answer.field("vary"), Some("origin"));
    let answer = with(&running, "origin: https://b.test\r\n").await;
    assert_eq!((answer.status, answer.field("access-control-allow-origin")), (502, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_another_origin_reads_a_refusal() {
    let keys = "cors = { origins = [\"https://a.test\"] }\nlimits = { rate = [{ requests = 1, per = \"1h\" }] }";
    let (_stable, running) = started(keys).await;
    assert_eq!(with(&running, "origin: https://a.test\r\n").await.status, 200);
    let answer = with(&running, "origin: https://a.test\r\n").await;
    assert_eq!(answer.status, 429);
    assert_eq!(answer.field("access-control-allow-origin"), Some("https://a.test"));
    assert!(answer.field("retry-after").is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn text_is_compressed_for_those_who_accept_it() {
    let (stable, running) = started("compression = { min_size = \"10B\" }").await;
    stable.reply(Reply::Raw(concat!(
        "HTTP/1.1 200 X\r\ncontent-type: text/plain\r\netag: \"a\"\r\ncontent-length: 50\r\n\r\n",
        "0000000000000000000000000000000000000000000000000\n"
    )));
    let plain = running.get("/").await;
    assert_eq!((plain.field("content-encoding"), plain.body.len()), (None, 50));
    assert_eq!(
        plain.field("vary").map(str::to_ascii_lowercase).as_deref(),
        Some("accept-encoding")
    );
    for algorithm in ["gzip", "br", "zstd"] {
        let mut client = TcpStream::connect(running.address).await.unwrap();
        let request = format!(
            "GET / HTTP/1.1\r\nhost: shop.test\r\naccept-encoding: {algorithm}\r\nconnection: close\r\n\r\n"
        );
        client.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
        let header = String::from_utf8(answer[..end].to_vec()).unwrap();
        assert_eq!(field(&header, "content-encoding"), Some(algorithm), "{header}");
        assert_eq!(field(&header, "content-length"), None);
        assert_eq!(field(&header, "etag"), Some("W/\"a\""));
        // Chunked to its end, and shorter than it was.
        assert!(answer.ends_with(b"\r\n0\r\n\r\n"), "{}", answer.escape_ascii());
        assert!(answer.len() - end < 60, "{}", answer.escape_ascii());
    }
    // HTTP/1.0 knows no chunks, and a HEAD has no body.
    let old = "GET / HTTP/1.0\r\nhost: shop.test\r\naccept-encoding: gzip\r\n\r\n";
    assert_eq!(running.ask(old).await.field("content-encoding"), None);
    stable
        .reply(Reply::Raw("HTTP/1.1 200 X\r\ncontent-type: text/event-stream\r\n\r\ndata: 1\n\n"));
    let stream = with(&running, "accept-encoding: gzip\r\n").await;
    assert_eq!(stream.field("content-encoding"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_in_front_speaks_for_its_clients() {
    let stable = Upstream::start("stable", Reply::Status(200)).await;
    let mut settings = settings(&[stable.address], &[]);
    let text = "[listener.a]\naddress = \"127.0.0.1:0\"\n\
                identity = { trusted_proxies = [\"127.0.0.0/8\"], proxy_protocol = true, request_id = true }\n\
                [route.a]\nservice = \"a\"\naccess = { deny = [\"192.0.2.66\"] }\n\
                [service.a.stable]\nendpoints = [\"a:1\"]\n";
    let file = parse(text, Path::new("s.toml")).unwrap();
    settings.listeners[0].intake = file.listeners[0].intake.clone();
    settings.routes[0].guard = file.routes[0].guard.clone();
    let running = Running::start(settings, 0.0);
    let header = |address: &str| format!("PROXY TCP4 {address} 198.51.100.1 1234 80\r\n");
    let asked = running.ask(&format!("{}{}", header("192.0.2.1"), get("/"))).await;
    assert_eq!(asked.status, 200);
    let seen = &stable.seen()[0];
    assert_eq!(field(seen, "x-forwarded-for"), Some("192.0.2.1"));
    assert_eq!(field(seen, "x-request-id").map(str::len), Some(32));
    let denied = running.ask(&format!("{}{}", header("192.0.2.66"), get("/"))).await;
    assert_eq!(denied.status, 403);
    // Without the header there is no connection.
    let mut client = TcpStream::connect(running.address).await.unwrap();
    assert!(exchange(&mut client, &get("/")).await.is_err());
    counted(&running, Reason::ProxyHeader, 1).await;
}
