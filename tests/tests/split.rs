//! The share of traffic on the canary is the weight.

use serinus_tests::browser::Browser;
use serinus_tests::lab::Lab;
use serinus_tests::setup::Setup;
use std::net::SocketAddr;

/// Requests over real sockets; the split of users is a unit test of the routing crate, with as many.
const REQUESTS: u32 = 100_000;
const CONNECTIONS: u32 = 32;

async fn canary_answers(web: SocketAddr, requests: u32) -> u32 {
    let mut browser = Browser::open(web).await.unwrap();
    let mut canary = 0;
    for _ in 0..requests {
        let answer = browser.get("/api/products").await.unwrap();
        assert_eq!(answer.status, 200);
        canary += u32::from(answer.version() == Some("1.9.0"));
    }
    canary
}

#[tokio::test]
async fn five_percent_of_the_requests_reach_the_canary() {
    let setup = Setup { stages: vec![(5.0, "10m")], latency: 0.0, ..Setup::default() };
    let lab = Lab::start(setup).await;
    lab.until("at 5%", |status| status["weight"] == 5.0).await;
    let began = std::time::Instant::now();
    let web = lab.web;
    let each = REQUESTS / CONNECTIONS;
    let connections: Vec<_> =
        (0..CONNECTIONS).map(|_| tokio::spawn(canary_answers(web, each))).collect();
    let mut canary = 0;
    for connection in connections {
        canary += connection.await.unwrap();
    }
    println!("{REQUESTS} requests in {:?}, {canary} by the canary", began.elapsed());
    let sent = f64::from(each * CONNECTIONS);
    let (expected, sigma) = (sent * 0.05, (sent * 0.05 * 0.95).sqrt());
    assert!((f64::from(canary) - expected).abs() < 4.0 * sigma, "{canary} of {sent}");
}

#[tokio::test]
async fn at_weight_zero_no_user_reaches_the_canary_and_probes_do() {
    let lab = Lab::start(Setup { stages: vec![(0.0, "10m")], ..Setup::default() }).await;
    lab.until("progressing", |status| status["phase"] == "progressing").await;
    let mut browser = Browser::open(lab.web).await.unwrap();
    for _ in 0..300 {
        assert_eq!(browser.get("/").await.unwrap().version(), Some("1.8.2"));
    }
    let deadline = std::time::Instant::now() + serinus_tests::lab::DEADLINE;
    while lab.canary.counts(0).await.unwrap()["synthetic"] == 0 {
        assert!(std::time::Instant::now() < deadline, "no probe\n{}", lab.log());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(lab.canary.counts(0).await.unwrap()["user"], 0);
}
