//! Whose fault it is, and when it shows.

use super::lab::{Reply, Upstream, ask, read_answer};
use super::{PATIENCE, Running, get, settings};
use serinus_models::Outcome;
use serinus_routing::Sticky;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hang_shows_long_before_it_times_out_and_only_once() {
    let stable = Upstream::start("stable", Reply::Hang).await;
    let mut settings = settings(&[stable.address], &[]);
    settings.services[0].timeouts.read = Duration::from_secs(4);
    let running = Running::start(settings, 0.0);
    let address = running.address;
    let hanging = tokio::spawn(async move { ask(address, &get("/")).await.unwrap() });
    let started = Instant::now();
    let slow = loop {
        let drained = running.path.drain("checkout");
        if let Some(live) = drained.first() {
            break live.samples.stable.clone();
        }
        assert!(started.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let waited = slow.latency.quantile(1.0).unwrap();
    assert!((1_000_000..3_000_000).contains(&waited), "seen at the age of {waited} us");
    assert_eq!((slow.latency.total(), slow.outcomes.total()), (1, 0));
    assert_eq!(running.path.in_flight(), 1);
    assert_eq!(hanging.await.unwrap().status, 504);
    let seen = running.observed(1).await.stable;
    assert_eq!((seen.outcomes.of(Outcome::Timeout), seen.latency.total()), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_is_nobodys_failure() {
    let stable = Upstream::start("stable", Reply::Hang).await;
    let running = Running::start(settings(&[stable.address], &[]), 0.0);
    let mut client = TcpStream::connect(running.address).await.unwrap();
    client.write_all(get("/").as_bytes()).await.unwrap();
    stable.until_seen(1).await;
    drop(client);
    let started = Instant::now();
    while running.path.in_flight() > 0 {
        assert!(started.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(running.path.drain("checkout"), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_upload_is_nobodys_failure() {
    let stable = Upstream::start("stable", Reply::Status(200)).await;
    let mut settings = settings(&[stable.address], &[]);
    settings.services[0].timeouts.read = Duration::from_millis(300);
    let running = Running::start(settings, 0.0);
    let mut client = TcpStream::connect(running.address).await.unwrap();
    let header = "POST / HTTP/1.1\r\nhost: shop.test\r\ncontent-length: 10\r\n\r\n12345";
    client.write_all(header.as_bytes()).await.unwrap();
    assert_eq!(read_answer(&mut client).await.unwrap().status, 408);
    assert_eq!(running.path.drain("checkout"), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn time_spent_uploading_is_not_the_variants() {
    let stable = Upstream::start("stable", Reply::Status(200)).await;
    let running = Running::start(settings(&[stable.address], &[]), 0.0);
    let mut client = TcpStream::connect(running.address).await.unwrap();
    let header = "POST / HTTP/1.1\r\nhost: shop.test\r\ncontent-length: 2\r\n\r\n1";
    client.write_all(header.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(700)).await; // the slow client under test
    client.write_all(b"2").await.unwrap();
    assert_eq!(read_answer(&mut client).await.unwrap().status, 200);
    let took = running.observed(1).await.stable.latency.quantile(1.0).unwrap();
    assert!(took < 600_000, "{took} us");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_breaks_off_is_a_reset() {
    let cut = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly this";
    let stable = Upstream::start("stable", Reply::Raw(cut)).await;
    let running = Running::start(settings(&[stable.address], &[]), 0.0);
    assert!(ask(running.address, &get("/")).await.is_err());
    assert_eq!(running.observed(1).await.stable.outcomes.of(Outcome::Reset), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_user_who_fails_again_and_again_is_told_from_several() {
    let stable = Upstream::start("stable", Reply::Status(500)).await;
    let canary = Upstream::start("canary", Reply::Status(500)).await;
    let mut settings = settings(&[stable.address], &[canary.address]);
    settings.services[0].sticky = Sticky::Header("x-user-id".into());
    let running = Running::start(settings, 0.0);
    for user in ["alice", "alice", "bob", "alice"] {
        let request = format!("GET / HTTP/1.1\r\nhost: shop.test\r\nx-user-id: {user}\r\n\r\n");
        assert_eq!(ask(running.address, &request).await.unwrap().status, 500);
    }
    let seen = running.observed(4).await.stable;
    assert_eq!((seen.outcomes.failures(), seen.repeated), (4, 2));
}
