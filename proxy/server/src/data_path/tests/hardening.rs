//! What clients may not do, and what becomes of it: refused, counted, blamed on nobody.

use super::lab::{Reply, Upstream, ask, exchange, field, read_answer};
use super::{PATIENCE, Running, get, settings};
use crate::data_path::Reason;
use serinus_config::{PathForm, Settings, Underscores};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn started(change: impl FnOnce(&mut Settings)) -> (Upstream, Running) {
    let stable = Upstream::start("stable", Reply::Status(200)).await;
    let mut settings = settings(&[stable.address], &[]);
    change(&mut settings);
    (stable, Running::start(settings, 0.0))
}

/// Waits until `reason` has been counted so often.
pub(super) async fn counted(running: &Running, reason: Reason, count: u64) {
    let started = Instant::now();
    loop {
        let rejections = running.path.rejections();
        let seen = rejections.iter().find(|(other, _)| *other == reason).unwrap().1;
        if seen >= count {
            assert_eq!(seen, count, "{rejections:?}");
            return;
        }
        assert!(started.elapsed() < PATIENCE, "{reason:?}: {rejections:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// All that comes until the connection is closed.
async fn until_closed(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    // A reset ends it as well.
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut all)).await.expect("closed");
    String::from_utf8_lossy(&all).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_is_refused_is_answered_counted_and_nobodys() {
    let (stable, running) = started(|_| {}).await;
    let many = "x: y\r\n".repeat(101);
    let long = "a".repeat(40_000);
    let rows = [
        ("TRACE / HTTP/1.1\r\nhost: shop.test\r\n\r\n".to_owned(), Reason::Method),
        ("CONNECT shop.test:80 HTTP/1.1\r\nhost: shop.test:80\r\n\r\n".to_owned(), Reason::Method),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), Reason::HostMissing),
        ("GET / HTTP/1.1\r\nhost: shop.test\r\nhost: b\r\n\r\n".to_owned(), Reason::Host),
        ("GET / HTTP/1.1\nhost: shop.test\n\n".to_owned(), Reason::LineEnd),
        ("GET / HTTP/1.1\r\nhost: shop.test\r\n x\r\n\r\n".to_owned(), Reason::FoldedLine),
        ("GET / HTTP/1.1\r\nhost: shop.test\r\na b: c\r\n\r\n".to_owned(), Reason::Field),
        ("GET / HTTP/1.1\r\nhost: shop.test\r\na: \0\r\n\r\n".to_owned(), Reason::Field),
        (
            "POST / HTTP/1.1\r\nhost: shop.test\r\ncontent-length: 5\r\n\
             transfer-encoding: chunked\r\n\r\n0\r\n\r\n"
                .to_owned(),
            Reason::Length,
        ),
        ("GET http://b/ HTTP/1.1\r\nhost: shop.test\r\n\r\n".to_owned(), Reason::Target),
        ("GET /../x HTTP/1.1\r\nhost: shop.test\r\n\r\n".to_owned(), Reason::Path),
        ("GET /a%2fb HTTP/1.1\r\nhost: shop.test\r\n\r\n".to_owned(), Reason::EncodedSlash),
        ("GET / HTTP/3.0\r\nhost: shop.test\r\n\r\n".to_owned(), Reason::Version),
        ("HELLO\r\n\r\n".to_owned(), Reason::RequestLine),
        (format!("GET / HTTP/1.1\r\nhost: shop.test\r\n{many}\r\n"), Reason::TooManyFields),
        (format!("GET / HTTP/1.1\r\nhost: shop.test\r\nx: {long}\r\n\r\n"), Reason::HeaderTooLarge),
        (format!("GET /{long} HTTP/1.1\r\nhost: shop.test\r\n\r\n"), Reason::TargetTooLong),
        ("GET / HTTP/1.1\r\nhost: other.test\r\n\r\n".to_owned(), Reason::NoRoute),
    ];
    for (request, reason) in &rows {
        let answer = running.ask(request).await;
        assert_eq!(answer.status, reason.status(), "{reason:?}");
        assert_eq!(answer.field("allow").is_some(), reason.status() == 405);
        for software in ["server", "via", "x-powered-by"] {
            assert_eq!(answer.field(software), None);
        }
    }
    let total: u64 = running.path.rejections().iter().map(|(_, count)| count).sum();
    assert_eq!(total, rows.len() as u64);
    for reason in rows.iter().map(|(_, reason)| *reason) {
        let times = rows.iter().filter(|(_, other)| *other == reason).count();
        counted(&running, reason, times as u64).await;
    }
    assert_eq!(stable.seen(), [""; 0]);
    assert_eq!(running.path.drain("checkout"), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_come_at_once_are_answered_in_their_order() {
    let (stable, running) = started(|settings| settings.server.threads = 1).await;
    let mut client = TcpStream::connect(running.address).await.unwrap();
    let all = "GET /1 HTTP/1.1\r\nhost: shop.test\r\n\r\n\
               POST /2 HTTP/1.1\r\nhost: shop.test\r\ncontent-length: 5\r\n\r\nhello\
               POST /3 HTTP/1.1\r\nhost: shop.test\r\ntransfer-encoding: chunked\r\n\r\n\
               5;x=y\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n\
               GET /4 HTTP/1.1\r\nhost: shop.test\r\nconnection: close\r\n\r\n";
    client.write_all(all.as_bytes()).await.unwrap();
    let answers = until_closed(&mut client).await;
    assert_eq!(answers.matches("HTTP/1.1 200").count(), 4, "{answers}");
    let seen: Vec<_> = stable.seen().iter().map(|seen| seen[..7].to_owned()).collect();
    assert_eq!(seen, ["GET /1 ", "POST /2", "POST /3", "GET /4 "]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_framed_wrongly_ends_the_connection_and_smuggles_nothing() {
    let (stable, running) = started(|_| {}).await;
    let hidden = "GET /hidden HTTP/1.1\r\nhost: shop.test\r\n\r\n";
    for body in
        ["5\nhello\n0\n\n", "5\r\nhelloX\r\n0\r\n\r\n", "5;\n\r\nhello\r\n0\r\n\r\n", "zz\r\n"]
    {
        let mut client = TcpStream::connect(running.address).await.unwrap();
        let request = format!(
            "POST / HTTP/1.1\r\nhost: shop.test\r\ntransfer-encoding: chunked\r\n\r\n{body}{hidden}"
        );
        client.write_all(request.as_bytes()).await.unwrap();
        let answers = until_closed(&mut client).await;
        assert_eq!(answers.matches("HTTP/1.1 ").count(), 1, "{answers}");
        assert!(answers.starts_with("HTTP/1.1 400 "), "{answers}");
    }
    counted(&running, Reason::Chunk, 4).await;
    assert!(stable.seen().iter().all(|seen| !seen.contains("hidden")));
    assert_eq!(running.path.drain("checkout"), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_that_dribbles_in_is_not_waited_for() {
    let (stable, running) = started(|settings| {
        settings.listeners[0].header_timeout = Duration::from_millis(400);
    })
    .await;
    let mut client = TcpStream::connect(running.address).await.unwrap();
    let (mut reading, mut writing) = client.split();
    let dribble = async {
        for byte in
            "GET / HTTP/1.1\r\nhost: shop.test\r\nx: ".bytes().chain(std::iter::repeat(b'y'))
        {
            if writing.write_all(&[byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await; // the slow client under test
        }
    };
    let answer = tokio::select! {
        answer = read_answer(&mut reading) => answer.unwrap(),
        () = dribble => panic!("closed without an answer"),
    };
    assert_eq!((answer.status, answer.field("connection")), (408, Some("close")));
    counted(&running, Reason::HeaderTimeout, 1).await;
    // Whoever says nothing is no request: closed, not counted.
    let mut silent = TcpStream::connect(running.address).await.unwrap();
    assert_eq!(until_closed(&mut silent).await, "");
    counted(&running, Reason::HeaderTimeout, 1).await;
    assert_eq!(stable.seen(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kept_connection_may_be_idle_but_its_next_header_may_not_dribble() {
    let (_stable, running) = started(|settings| {
        settings.listeners[0].header_timeout = Duration::from_millis(300);
        settings.listeners[0].keepalive_timeout = Duration::from_secs(20);
    })
    .await;
    let mut client = TcpStream::connect(running.address).await.unwrap();
    let kept = "GET / HTTP/1.1\r\nhost: shop.test\r\n\r\n";
    assert_eq!(exchange(&mut client, kept).await.unwrap().status, 200);
    tokio::time::sleep(Duration::from_millis(600)).await; // longer than a header may take
    assert_eq!(exchange(&mut client, kept).await.unwrap().status, 200);
    client.write_all(b"GET / HT").await.unwrap();
    assert_eq!(read_answer(&mut client).await.unwrap().status, 408);
    counted(&running, Reason::HeaderTimeout, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_stops_is_not_waited_for() {
    let (_stable, running) = started(|settings| {
        settings.listeners[0].intake.limits.body_timeout = Duration::from_millis(300);
        settings.services[0].timeouts.read = Duration::from_secs(60);
    })
    .await;
    let stops = "POST / HTTP/1.1\r\nhost: shop.test\r\ncontent-length: 10\r\n\r\n12345";
    assert_eq!(running.ask(stops).await.status, 408);
    counted(&running, Reason::BodyTimeout, 1).await;
    assert_eq!(running.path.drain("checkout"), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_is_not_waited_for() {
    let (stable, running) = started(|settings| {
        settings.listeners[0].intake.limits.send_timeout = Duration::from_millis(300);
    })
    .await;
    stable.reply(Reply::Large(64 * 1024 * 1024));
    let mut client = TcpStream::connect(running.address).await.unwrap();
    client.write_all(get("/").as_bytes()).await.unwrap();
    stable.until_seen(1).await;
    let started = Instant::now();
    while running.path.in_flight() > 0 {
        assert!(started.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Not a failure of the variant.
    assert_eq!(running.path.failures_since_drain("checkout"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paths_go_on_in_their_plain_form_or_not_at_all() {
    let (stable, running) = started(|_| {}).await;
    assert_eq!(running.get("/a/./b/..//%7Ec?d=/../e").await.status, 200);
    assert!(stable.seen()[0].starts_with("GET /a/~c?d=/../e HTTP/1.1\r\n"), "{}", stable.seen()[0]);
    let (stable, running) = started(|settings| {
        settings.listeners[0].intake.screening.paths = PathForm::Reject;
    })
    .await;
    assert_eq!(running.get("/a/../b").await.status, 400);
    counted(&running, Reason::Path, 1).await;
    assert_eq!(stable.seen(), [""; 0]);
    let (stable, running) = started(|settings| {
        settings.listeners[0].intake.screening.paths = PathForm::Pass;
        settings.listeners[0].intake.screening.encoded_slashes = true;
    })
    .await;
    assert_eq!(running.get("//a/../b%2Fc").await.status, 200);
    assert!(stable.seen()[0].starts_with("GET //a/../b%2Fc HTTP/1.1\r\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fields_with_underscores_are_dropped_refused_or_passed() {
    let request = "GET / HTTP/1.1\r\nhost: shop.test\r\nx_forwarded_for: 1.2.3.4\r\nconnection: close\r\n\r\n";
    for (rule, status, seen) in [
        (Underscores::Drop, 200, Some(None)),
        (Underscores::Pass, 200, Some(Some("1.2.3.4"))),
        (Underscores::Reject, 400, None),
    ] {
        let (stable, running) =
            started(|settings| settings.listeners[0].intake.screening.underscores = rule).await;
        assert_eq!(running.ask(request).await.status, status);
        let arrived = stable.seen();
        assert_eq!(arrived.first().map(|header| field(header, "x_forwarded_for")), seen);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_has_as_many_connections_as_it_may() {
    let (_stable, running) = started(|settings| {
        settings.listeners[0].intake.limits.connections_per_client = Some(2);
    })
    .await;
    let kept = "GET / HTTP/1.1\r\nhost: shop.test\r\n\r\n";
    let mut first = TcpStream::connect(running.address).await.unwrap();
    let mut second = TcpStream::connect(running.address).await.unwrap();
    assert_eq!(exchange(&mut first, kept).await.unwrap().status, 200);
    assert_eq!(exchange(&mut second, kept).await.unwrap().status, 200);
    assert!(ask(running.address, kept).await.is_err());
    counted(&running, Reason::Connections, 1).await;
    drop(first);
    let started = Instant::now();
    while ask(running.address, kept).await.is_err() {
        assert!(started.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_old_or_broken_upstream_says_of_its_connection_stays_there() {
    let (stable, running) = started(|_| {}).await;
    // A body that ends with the connection goes on in chunks, which HTTP/1.0 does not know.
    stable.reply(Reply::Raw("HTTP/1.0 200 X\r\n\r\nhello"));
    let old = running.get("/").await;
    assert!(old.header.starts_with("HTTP/1.1 200 "), "{}", old.header);
    // Nobody asked for another protocol.
    for answer in [
        "HTTP/1.0 101 X\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nraw",
        "HTTP/1.1 101 X\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nraw",
    ] {
        stable.reply(Reply::Raw(answer));
        assert_eq!(running.get("/").await.status, 502, "{answer}");
    }
    // A client would read such an answer to another end than the proxy does.
    for answer in [
        "HTTP/1.1 200 X\r\ntransfer-encoding: gzip\r\n\r\nhello",
        "HTTP/1.1 200 X\r\ntransfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\ntransfer-encoding: x\r\n\r\n0\r\n\r\n",
    ] {
        stable.reply(Reply::Raw(answer));
        assert_eq!(running.get("/").await.status, 502, "{answer}");
    }
    assert_eq!(running.path.failures_since_drain("checkout"), 5);
    let twice = "HTTP/1.1 200 X\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nok";
    stable.reply(Reply::Raw(twice));
    let header = running.get("/").await.header.to_lowercase();
    assert_eq!(header.matches("content-length").count(), 1, "{header}");
    stable.reply(Reply::Raw("HTTP/1.1 204 X\r\ncontent-length: 5\r\n\r\n"));
    assert_eq!(running.get("/").await.field("content-length"), None);
    // HTTP/1.0 knows no interim answers.
    stable.reply(Reply::Raw(
        "HTTP/1.1 103 X\r\nlink: </a>\r\n\r\nHTTP/1.1 200 X\r\ncontent-length: 2\r\n\r\nok",
    ));
    assert_eq!(running.ask("GET / HTTP/1.0\r\nhost: shop.test\r\n\r\n").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_opens_the_way_for_bytes_both_ways() {
    let (stable, running) = started(|_| {}).await;
    stable.reply(Reply::Echo);
    let mut client = TcpStream::connect(running.address).await.unwrap();
    // The first bytes come before the other side has agreed.
    let upgrade = "GET / HTTP/1.1\r\nhost: shop.test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                   sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\nearly";
    client.write_all(upgrade.as_bytes()).await.unwrap();
    let mut seen = Vec::new();
    while !seen.ends_with(b"early") {
        assert_ne!(client.read_buf(&mut seen).await.unwrap(), 0, "{}", seen.escape_ascii());
    }
    assert!(seen.starts_with(b"HTTP/1.1 101 "), "{}", seen.escape_ascii());
    client.write_all(b"\0\xff late").await.unwrap();
    let mut late = [0; 7];
    client.read_exact(&mut late).await.unwrap();
    assert_eq!(&late, b"\0\xff late");
}

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u8, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![0, 0, u8::try_from(body.len()).unwrap(), kind, flags, 0, 0, 0, stream];
    frame.extend_from_slice(body);
    frame
}

/// Fields in HPACK, literally.
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| [&[text.len() as u8][..], text.as_bytes()].concat();
    fields.iter().flat_map(|(name, value)| [vec![0], text(name), text(value)].concat()).collect()
}

/// A client that has begun with HTTP/2.
async fn http2(running: &Running) -> TcpStream {
    let mut client = TcpStream::connect(running.address).await.unwrap();
    client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    client.write_all(&frame(4, 0, 0, &[])).await.unwrap();
    client
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_http2_library_refuses_is_counted_and_nobodys() {
    let (stable, running) = started(|settings| settings.listeners[0].h2c = true).await;
    let plain = [(":method", "GET"), (":scheme", "http"), (":path", "/")];
    let host = (":authority", "shop.test");
    for (number, more) in [
        &[][..],                             // no authority: answered by the library
        &[("host", "a"), ("host", "b")],     // two: the same
        &[host, ("host", "other.test")],     // they contradict each other
        &[host, ("connection", "close")],    // the stream is reset
        &[host, ("content-length", "1, 2")], // the same
        &[host, ("te", "gzip")],             // the same
        &[host, (":path", "/twice")],        // the same
        &[host, ("Upper", "case")],          // the same
    ]
    .into_iter()
    .enumerate()
    {
        let mut client = http2(&running).await;
        let fields = block(&[&plain, more].concat());
        client.write_all(&frame(1, 5, 1, &fields)).await.unwrap();
        counted(&running, Reason::Http2, number as u64 + 1).await;
    }
    let total: u64 = running.path.rejections().iter().map(|(_, count)| count).sum();
    assert_eq!(total, 8);
    assert_eq!(stable.seen(), [""; 0]);
    assert_eq!(running.path.drain("checkout"), []);
    // What reaches the hooks is theirs to count.
    let mut client = http2(&running).await;
    let connect = block(&[(":method", "CONNECT"), (":authority", "shop.test:443")]);
    client.write_all(&frame(1, 5, 1, &connect)).await.unwrap();
    counted(&running, Reason::Method, 1).await;
    let fields = block(&[&plain[..], &[host, ("x_forwarded_for", "192.0.2.1")]].concat());
    client.write_all(&frame(1, 5, 3, &fields)).await.unwrap();
    running.observed(1).await;
    assert_eq!(field(&stable.seen()[0], "x_forwarded_for"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_over_http2_that_stops_is_not_waited_for() {
    let (_stable, running) = started(|settings| {
        settings.listeners[0].h2c = true;
        settings.listeners[0].intake.limits.body_timeout = Duration::from_millis(200);
        settings.services[0].timeouts.read = Duration::from_millis(200);
    })
    .await;
    let mut client = http2(&running).await;
    let fields = block(&[
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/"),
        (":authority", "shop.test"),
        ("content-length", "1000000000"),
    ]);
    client.write_all(&frame(1, 4, 1, &fields)).await.unwrap();
    client.write_all(&frame(0, 0, 1, b"begun")).await.unwrap();
    counted(&running, Reason::BodyTimeout, 1).await;
    assert_eq!(running.path.drain("checkout"), []);
}
