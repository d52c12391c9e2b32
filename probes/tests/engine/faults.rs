use crate::builder::*;
use crate::raw::{Raw, Then};
use crate::shop::Shop;
use serinus_models::Outcome;
use serinus_probes::{ProbeRun, Target};
use std::time::Duration;
use tokio::net::TcpListener;

async fn one_get(target: &Target) -> ProbeRun {
    run(&probe("p", vec![get("/x")]), target).await
}

fn told(run: &ProbeRun) -> (Outcome, &str) {
    (run.outcome, run.failure().unwrap())
}

#[tokio::test]
async fn a_refused_connection_is_a_connect_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = listener.local_addr().unwrap().to_string();
    drop(listener);
    let run = one_get(&Target::plain(&endpoint)).await;
    let (outcome, message) = told(&run);
    assert_eq!(outcome, Outcome::ConnectError);
    let expected = format!("step 1 `get /x`: no connection to {endpoint}: Connection refused");
    assert!(message.starts_with(&expected), "{message}");
    assert_eq!(run.steps[0].status, None);
}

#[tokio::test]
async fn an_endpoint_without_address_is_a_connect_error() {
    let mut definition = probe("p", vec![get("/x")]);
    definition.host = Some("shop.test".to_owned());
    let run = run(&definition, &Target::plain("localhost:none")).await;
    let (outcome, message) = told(&run);
    assert_eq!(outcome, Outcome::ConnectError);
    let expected = "step 1 `get /x`: no address for localhost:none: invalid port value";
    assert_eq!(message, expected);
}

#[tokio::test]
async fn a_connection_that_breaks_is_a_reset() {
    let early = Raw::open(&[""], Then::Close).await;
    let run = one_get(&early.target).await;
    let (outcome, message) = told(&run);
    assert_eq!(outcome, Outcome::Reset);
    assert_eq!(
        message,
        "step 1 `get /x`: the connection broke before an answer: connection closed before message completed"
    );
    let late = Raw::open(&["HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf"], Then::Close).await;
    let run = one_get(&late.target).await;
    let (outcome, message) = told(&run);
    assert_eq!(outcome, Outcome::Reset);
    assert!(message.contains("the connection broke inside the answer"), "{message}");
    assert_eq!(run.steps[0].status, Some(200), "what came before it broke is told");
}

#[tokio::test]
async fn an_answer_that_is_no_http_is_a_reset() {
    let raw = Raw::open(&["SSH-2.0-OpenSSH_9.2\r\n\r\n"], Then::Close).await;
    let run = one_get(&raw.target).await;
    let (outcome, message) = told(&run);
    assert_eq!(outcome, Outcome::Reset);
    assert!(message.contains("invalid HTTP version"), "{message}");
}

#[tokio::test]
async fn a_hang_is_a_timeout_of_the_whole_run_that_says_where_it_hung() {
    let silent = Raw::open(&[""], Then::Hang).await;
    let half = Raw::open(&["HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf"], Then::Hang).await;
    let second = Raw::open(&["HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", ""], Then::Hang).await;
    let cases = [
        (&silent, "step 1 `get /x`", "waiting for the answer"),
        (&half, "step 1 `get /x`", "reading the body"),
        (&second, "step 2 `get /y`", "waiting for the answer"),
    ];
    for (server, step, doing) in cases {
        let mut definition = probe("p", vec![get("/x"), get("/y")]);
        definition.timeout = Duration::from_millis(150);
        let run = run(&definition, &server.target).await;
        let expected =
            format!("{step}: expected the run to end within 150ms, it was still {doing}");
        assert_eq!(told(&run), (Outcome::Timeout, expected.as_str()));
        assert!(run.latency() >= Duration::from_millis(140), "the wait is in the phases: {run:?}");
    }
}

#[tokio::test]
async fn a_body_is_read_up_to_the_cap() {
    let shop = Shop::open().await;
    succeed(vec![get("/full")], &shop.target).await;
    let run = run(&probe("p", vec![get("/big")]), &shop.target).await;
    let expected = "step 1 `get /big`: expected a body of at most 1048576 bytes, it is larger";
    assert_eq!(told(&run), (Outcome::Assertion, expected));
    assert_eq!(run.steps[0].status, Some(200));
}

#[tokio::test]
async fn a_server_that_closes_after_each_answer_gets_a_new_connection_per_step() {
    const CLOSING: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok";
    let server = Raw::open(&[CLOSING], Then::Close).await;
    let run = succeed(vec![get("/1"), get("/2"), get("/3")], &server.target).await;
    assert!(run.steps.iter().all(|step| !step.reused));
}

#[tokio::test]
async fn a_kept_connection_that_the_server_closed_unasked_is_no_failure() {
    // Says nothing of closing, and closes.
    let server = Raw::open(&["HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"], Then::Close).await;
    succeed(vec![get("/1"), get("/2"), get("/3")], &server.target).await;
}

#[tokio::test]
async fn a_run_ends_with_the_first_step_that_fails() {
    let shop = Shop::broken().await;
    let run = run(&probe("p", vec![get("/1"), get("/2")]), &shop.target).await;
    assert_eq!(run.steps.len(), 1);
    let expected = "step 1 `get /1`: expected a status below 400, got 500";
    assert_eq!(told(&run), (Outcome::ServerError, expected));
    assert_eq!(shop.seen().len(), 1);
}

#[tokio::test]
async fn a_request_lost_on_a_kept_connection_is_repeated_only_where_that_is_harmless() {
    // Reads a second request on the same connection, and closes without an answer.
    const ONE_ANSWER: &[&str] = &["HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", ""];
    for how in [Then::Close, Then::Reset] {
        let server = Raw::open(ONE_ANSWER, how).await;
        let run_of = succeed(vec![get("/1"), get("/2")], &server.target).await;
        assert!(!run_of.steps[1].reused, "a new connection answered");
        let order = request("POST", "/order", serinus_config::Body::Empty);
        let run = run(&probe("p", vec![get("/1"), order]), &server.target).await;
        assert_eq!(run.outcome, Outcome::Reset);
    }
}
