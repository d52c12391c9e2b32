//! Failures of the canary, with and without the shield.

use super::lab::{Reply, Upstream};
use super::{Running, post, settings};
use serinus_models::Outcome;
use std::net::SocketAddr;

/// A stable version that works and a canary that replies `reply` to everybody.
async fn failing(reply: Reply, shield: bool) -> (Running, Upstream, Upstream) {
    let stable = Upstream::start("stable", Reply::Status(200)).await;
    let canary = Upstream::start("canary", reply).await;
    let mut settings = settings(&[stable.address], &[canary.address]);
    settings.services[0].shield = shield;
    (Running::start(settings, 100.0), stable, canary)
}

/// An address at which nobody listens.
async fn nowhere() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

/// What a GET and a POST get while the canary replies `reply`, and the class it is counted as.
async fn check(reply: Reply, shield: bool, expect_get: u16, expect_post: u16, class: Outcome) {
    let (running, stable, _canary) = failing(reply.clone(), shield).await;
    assert_eq!(running.get("/").await.status, expect_get, "GET, {reply:?}, shield {shield}");
    let post = running.ask(&post("item=7")).await;
    assert_eq!(post.status, expect_post, "POST, {reply:?}, shield {shield}");
    let shielded = stable.seen().len() as u64;
    let seen = running.observed(2 + shielded).await;
    assert_eq!(seen.canary.outcomes.of(class), 2, "{reply:?}: {seen:?}");
    assert_eq!(seen.stable.outcomes.of(Outcome::Ok), shielded);
    let totals = running.path.totals();
    assert_eq!(totals.iter().map(|route| route.totals.shielded).sum::<u64>(), shielded);
    assert_eq!(totals[1].totals.codes[4], 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canary_that_answers_500_is_not_seen_by_those_who_can_be_asked_again() {
    check(Reply::Status(500), true, 200, 500, Outcome::ServerError).await;
    check(Reply::Status(503), false, 503, 503, Outcome::ServerError).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canary_that_hangs_up_is_a_reset() {
    check(Reply::Close, true, 200, 502, Outcome::Reset).await;
    check(Reply::Close, false, 502, 502, Outcome::Reset).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canary_that_never_answers_is_a_timeout() {
    check(Reply::Hang, true, 200, 504, Outcome::Timeout).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canary_that_speaks_no_http_is_a_server_error() {
    check(Reply::Raw("HTTP/1.1 gibberish\r\n\r\n"), true, 200, 502, Outcome::ServerError).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canary_that_is_not_there_is_shielded_for_every_method() {
    let stable = Upstream::start("stable", Reply::Status(200)).await;
    let running = Running::start(settings(&[stable.address], &[nowhere().await]), 100.0);
    assert_eq!(running.get("/").await.status, 200);
    assert_eq!(running.ask(&post("item=7")).await.status, 200); // nothing had been sent
    let seen = running.observed(4).await;
    assert_eq!(seen.canary.outcomes.of(Outcome::ConnectError), 2);
    assert_eq!(running.path.failures_since_drain("checkout"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_shield_a_missing_canary_is_a_bad_gateway() {
    let stable = Upstream::start("stable", Reply::Status(200)).await;
    let mut settings = settings(&[stable.address], &[nowhere().await]);
    settings.services[0].shield = false;
    let running = Running::start(settings, 100.0);
    let answer = running.get("/").await;
    assert_eq!((answer.status, &*answer.body), (502, "502 Bad Gateway\n"));
    assert_eq!(running.path.failures_since_drain("checkout"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_endpoint_of_the_same_variant_is_tried_when_one_is_not_there() {
    let alive = Upstream::start("stable", Reply::Status(200)).await;
    let running = Running::start(settings(&[nowhere().await, alive.address], &[]), 0.0);
    for _ in 0..10 {
        assert_eq!(running.get("/").await.body, "stable");
    }
    assert_eq!(alive.seen().len(), 10);
    assert_ne!(running.path.failures_since_drain("checkout"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_is_sent_again_whole_and_only_where_that_is_safe() {
    let (running, stable, canary) = failing(Reply::Status(500), true).await;
    let body = "x".repeat(60_000);
    let put = |body: &str| {
        format!(
            "PUT / HTTP/1.1\r\nhost: shop.test\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    assert_eq!(running.ask(&put(&body)).await.status, 200);
    let too_long = "x".repeat(80_000); // beyond what is kept for a second attempt
    assert_eq!(running.ask(&put(&too_long)).await.status, 500);
    assert_eq!((canary.seen().len(), stable.seen().len()), (2, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_closed_a_kept_connection_is_not_blamed() {
    let stable = Upstream::start("stable", Reply::Once).await;
    let mut settings = settings(&[stable.address], &[]);
    settings.server.threads = 1;
    let running = Running::start(settings, 0.0);
    for _ in 0..10 {
        assert_eq!(running.get("/").await.status, 200);
        assert_eq!(running.observed(1).await.stable.outcomes.of(Outcome::Ok), 1);
    }
    assert!(stable.seen().len() > 10, "no kept connection was tried");
}
