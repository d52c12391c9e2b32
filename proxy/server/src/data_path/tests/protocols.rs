//! What of HTTP/1 is more than a request and an answer: streams, interim answers, upgrades, trailers,
//! the version before.

use super::{Running, settings};
use serinus_config::TimeoutSettings;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// A connection on which one waits for bytes.
struct Wire {
    stream: TcpStream,
    got: String,
}

impl Wire {
    fn new(stream: TcpStream) -> Wire {
        Wire { stream, got: String::new() }
    }

    async fn say(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    /// Everything up to and with `end`; what follows is kept for the next time.
    async fn until(&mut self, end: &str) -> String {
        let reading = async {
            let mut buffer = [0; 4096];
            loop {
                if let Some(at) = self.got.find(end) {
                    let rest = self.got.split_off(at + end.len());
                    return std::mem::replace(&mut self.got, rest);
                }
                let length = self.stream.read(&mut buffer).await.unwrap();
                assert!(length > 0, "the connection ended before {end:?}: {:?}", self.got);
                self.got += std::str::from_utf8(&buffer[..length]).unwrap();
            }
        };
        match tokio::time::timeout(super::PATIENCE, reading).await {
            Ok(text) => text,
            Err(_) => panic!("{end:?} does not come: {:?}", self.got),
        }
    }

    /// Everything to the end of the connection.
    async fn rest(&mut self) -> String {
        let mut rest = std::mem::take(&mut self.got);
        let reading = self.stream.read_to_string(&mut rest);
        tokio::time::timeout(super::PATIENCE, reading).await.expect("an end").unwrap();
        rest
    }
}

/// A proxy in front of an endpoint that does `act` with its first connection, whose request header
/// it gets; and a client of it.
async fn between<F: Future<Output = ()> + Send + 'static>(
    act: impl FnOnce(Wire, String) -> F + Send + 'static,
) -> (Running, Wire, JoinHandle<()>) {
    between_with(|_| {}, act).await
}

/// The same, with timeouts of its own.
async fn between_with<F: Future<Output = ()> + Send + 'static>(
    change: impl FnOnce(&mut TimeoutSettings),
    act: impl FnOnce(Wire, String) -> F + Send + 'static,
) -> (Running, Wire, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut settings = settings(&[listener.local_addr().unwrap()], &[]);
    change(&mut settings.services[0].timeouts);
    let running = Running::start(settings, 0.0);
    let endpoint = tokio::spawn(async move {
        let mut wire = Wire::new(listener.accept().await.unwrap().0);
        let header = wire.until("\r\n\r\n").await;
        act(wire, header).await;
    });
    let client = Wire::new(TcpStream::connect(running.address).await.unwrap());
    (running, client, endpoint)
}

const GET: &str = "GET / HTTP/1.1\r\nhost: shop.test\r\nconnection: close\r\n\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_arrives_before_the_next_is_sent() {
    let arrived = Arc::new(Notify::new());
    let told = Arc::clone(&arrived);
    let (_running, mut client, endpoint) = between(async move |mut wire, _| {
        wire.say("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n").await;
        for number in 0..3 {
            wire.say(&format!("data: {number}\n\n")).await;
            told.notified().await;
        }
    })
    .await;
    client.say(GET).await;
    for number in 0..3 {
        client.until(&format!("data: {number}\n\n")).await;
        arrived.notify_one();
    }
    client.rest().await;
    endpoint.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interim_answers_pass_in_front_of_the_final_one() {
    let (_running, mut client, endpoint) = between(async |mut wire, _| {
        wire.say("HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\n").await;
        wire.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    })
    .await;
    client.say(GET).await;
    let interim = client.until("\r\n\r\n").await;
    assert!(interim.starts_with("HTTP/1.1 103 ") && interim.contains("a.css"), "{interim}");
    let last = client.rest().await;
    assert!(last.starts_with("HTTP/1.1 200 ") && last.ends_with("ok"), "{last}");
    endpoint.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_to_be_asked_for_the_body_is_asked() {
    let (running, mut client, endpoint) = between(async |mut wire, header| {
        assert!(header.contains("expect: 100-continue"), "{header}");
        wire.say("HTTP/1.1 100 Continue\r\n\r\n").await;
        assert_eq!(wire.until("body").await, "body");
        wire.say("HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n").await;
    })
    .await;
    let expect = "expect: 100-continue\r\ncontent-length: 4\r\nconnection: close\r\n\r\n";
    client.say(&format!("POST / HTTP/1.1\r\nhost: shop.test\r\n{expect}")).await;
    let interim = client.until("\r\n\r\n").await;
    assert!(interim.starts_with("HTTP/1.1 100 "), "{interim}");
    client.say("body").await;
    let last = client.rest().await;
    assert!(last.starts_with("HTTP/1.1 201 "), "{last}");
    endpoint.await.unwrap();
    running.observed(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_of_http_1_0_gets_no_chunks() {
    let (_running, mut client, endpoint) = between(async |mut wire, header| {
        assert!(header.starts_with("GET /old HTTP/1.1\r\n"), "{header}");
        wire.say("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
        wire.say("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n").await;
    })
    .await;
    client.say("GET /old HTTP/1.0\r\nhost: shop.test\r\n\r\n").await;
    let answer = client.rest().await;
    assert!(!answer.contains("transfer-encoding"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nabcde"), "{answer}");
    endpoint.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trailers_that_go_no_further_are_not_announced() {
    let (running, mut client, endpoint) = between(async |mut wire, _| {
        wire.say("HTTP/1.1 200 OK\r\ntrailer: x-sum\r\ntransfer-encoding: chunked\r\n\r\n").await;
        wire.say("3\r\nabc\r\n0\r\nx-sum: 6\r\n\r\n").await;
    })
    .await;
    client.say(GET).await;
    let answer = client.rest().await;
    assert!(answer.contains("abc") && !answer.to_lowercase().contains("trailer"), "{answer}");
    endpoint.await.unwrap();
    running.observed(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_carries_bytes_both_ways_after_its_handshake() {
    let (_running, mut client, endpoint) = between(async |mut wire, header| {
        let header = header.to_lowercase();
        assert!(header.contains("upgrade: websocket\r\n"), "{header}");
        assert!(header.contains("sec-websocket-key: abc\r\n"), "{header}");
        wire.say("HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n").await;
        wire.say("connection: upgrade\r\nsec-websocket-accept: xyz\r\n\r\n").await;
        assert_eq!(wire.until("ping").await, "ping");
        wire.say("pong").await;
        wire.rest().await;
    })
    .await;
    client.say("GET /ws HTTP/1.1\r\nhost: shop.test\r\nupgrade: websocket\r\n").await;
    client.say("connection: Upgrade\r\nsec-websocket-key: abc\r\n\r\n").await;
    let switched = client.until("\r\n\r\n").await.to_lowercase();
    assert!(switched.starts_with("http/1.1 101 "), "{switched}");
    assert!(switched.contains("sec-websocket-accept: xyz\r\n"), "{switched}");
    client.say("ping").await;
    assert_eq!(client.until("pong").await, "pong");
    client.stream.shutdown().await.unwrap();
    client.rest().await;
    endpoint.await.unwrap();
}

/// A pause within an answer that is no stream ends it.
const READ: Duration = Duration::from_millis(200);

fn impatient(timeouts: &mut TimeoutSettings) {
    timeouts.read = READ;
    timeouts.attempt = Some(READ);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_and_an_event_stream_may_be_silent_for_longer_than_other_answers() {
    let (_running, mut client, endpoint) = between_with(impatient, async |mut wire, _| {
        wire.say("HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n").await;
        wire.say("connection: upgrade\r\n\r\n").await;
        assert_eq!(wire.until("ping").await, "ping");
        wire.say("pong").await;
    })
    .await;
    client.say("GET /ws HTTP/1.1\r\nhost: shop.test\r\nupgrade: websocket\r\n").await;
    client.say("connection: Upgrade\r\nsec-websocket-key: abc\r\n\r\n").await;
    client.until("\r\n\r\n").await;
    tokio::time::sleep(3 * READ).await; // the silence under test
    client.say("ping").await;
    assert_eq!(client.until("pong").await, "pong");
    endpoint.await.unwrap();

    let (_running, mut client, endpoint) = between_with(impatient, async |mut wire, _| {
        wire.say("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: 0\n\n").await;
        tokio::time::sleep(3 * READ).await; // the silence under test
        wire.say("data: 1\n\n").await;
    })
    .await;
    client.say("GET / HTTP/1.1\r\nhost: shop.test\r\naccept: text/event-stream\r\n\r\n").await;
    client.until("data: 1\n\n").await;
    endpoint.await.unwrap();

    // A question that is answered bit by bit, as language models do.
    let (_running, mut client, endpoint) = between_with(impatient, async |mut wire, _| {
        wire.say("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: 0\n\n").await;
        tokio::time::sleep(3 * READ).await; // the silence under test
        wire.say("data: 1\n\n").await;
    })
    .await;
    client.say("POST / HTTP/1.1\r\nhost: shop.test\r\ncontent-length: 2\r\n").await;
    client.say("accept: application/json, text/event-stream\r\n\r\n{}").await;
    client.until("data: 1\n\n").await;
    endpoint.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_silent_for_too_long_is_let_go() {
    let idle = |timeouts: &mut TimeoutSettings| timeouts.stream_idle = READ;
    let (_running, mut client, endpoint) = between_with(idle, async |mut wire, _| {
        wire.say("HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n").await;
        wire.say("connection: upgrade\r\n\r\n").await;
        wire.rest().await;
    })
    .await;
    client.say("GET /ws HTTP/1.1\r\nhost: shop.test\r\nupgrade: websocket\r\n").await;
    client.say("connection: Upgrade\r\nsec-websocket-key: abc\r\n\r\n").await;
    client.until("\r\n\r\n").await;
    assert_eq!(client.rest().await, "");
    endpoint.await.unwrap();
}
