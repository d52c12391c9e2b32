//! A canary that fails loses its users, is taken back, and stays out.

use nix::sys::signal::Signal;
use serde_json::Value;
use serinus::demo::FaultKind;
use serinus_tests::browser::Browser;
use serinus_tests::lab::Lab;
use serinus_tests::setup::Setup;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// For requests that were routed by the table before and are still on their way, in milliseconds:
/// many, since the machine may be busy.
const UNDER_WAY: u64 = 500;

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

fn at(event: &Value) -> u64 {
    event["at"].as_u64().unwrap()
}

fn is_rolled_back(status: &Value) -> bool {
    status["phase"] == "rolled_back" && status["weight"] == 0.0
}

/// Healthy for a moment at 10%, then the fault, until it is rolled back. The load of GETs goes on to the end.
async fn failing(setup: Setup, kind: FaultKind, rate: f64) -> (Lab, u64) {
    let lab = Lab::start(setup).await;
    lab.until("at 10%", |status| status["weight"] == 10.0).await;
    let load = lab.load_of(150.0, 0.0);
    while load.tally.all().requests < 300 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let struck = now();
    lab.canary.suffer(kind, rate).await.unwrap();
    lab.until("rolled back", is_rolled_back).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let tally = load.finish().await;
    let withdrawn = lab.until_event("withdrawn").await;
    let rolled_back = lab.until_event("rolled_back").await;
    println!(
        "{kind:?} at {rate}: withdrawn after {} ms, rolled back after {} ms, {} of {} requests failed",
        at(&withdrawn) - struck,
        at(&rolled_back) - struck,
        tally.all().failures,
        tally.all().requests,
    );
    assert!(at(&withdrawn) <= at(&rolled_back));
    let late = lab.canary.users_since(at(&withdrawn) + UNDER_WAY).await.unwrap();
    assert_eq!(late, 0, "users reached a withdrawn canary");
    (lab, tally.all().failures)
}

#[tokio::test]
async fn a_canary_that_fails_everything_is_taken_back_and_the_shield_hides_it() {
    let setup = Setup { sticky: "cookie", ..Setup::default() };
    let (lab, failures) = failing(setup, FaultKind::Errors, 1.0).await;
    let harmed = lab.canary.counts(0).await.unwrap()["user"].as_u64().unwrap();
    assert!(harmed > 0, "the canary had users");
    assert_eq!(failures, 0, "every request could be repeated on stable");
    let status = lab.status().await;
    assert_eq!(status["verdict"], "rollback", "{status:#}");
    let event = lab.until_event("rolled_back").await;
    let decision = lab.admin.get(&format!("/api/v1/decisions/{}", event["id"])).await.unwrap();
    let explanation = decision["explanation"].as_str().unwrap();
    assert!(explanation.contains("1.9.0") && explanation.lines().count() > 5, "{explanation}");
    assert!(decision["evaluation"]["evidence"].as_array().is_some_and(|list| !list.is_empty()));
}

#[tokio::test]
async fn without_the_shield_users_see_what_the_canary_answers_until_it_is_withdrawn() {
    let setup = Setup { shield: false, ..Setup::default() };
    let (_lab, failures) = failing(setup, FaultKind::Errors, 1.0).await;
    assert!(failures > 0);
}

#[tokio::test]
async fn a_canary_that_fails_a_fifth_of_the_requests_is_taken_back() {
    failing(Setup::default(), FaultKind::Errors, 0.2).await;
}

#[tokio::test]
async fn a_canary_that_closes_connections_is_taken_back_by_its_limit_at_the_latest() {
    // Resets may be a restart that will be over: the forecast takes its time, with nobody at risk.
    let setup = Setup { rollout: "withdraw_limit = \"20s\"", ..Setup::default() };
    failing(setup, FaultKind::Reset, 1.0).await;
}

#[tokio::test]
async fn wrong_content_with_status_200_is_seen_by_probes_alone() {
    let lab = Lab::start(Setup::default()).await;
    lab.until("at 10%", |status| status["weight"] == 10.0).await;
    lab.canary.suffer(FaultKind::Corrupt, 1.0).await.unwrap();
    lab.until("rolled back", is_rolled_back).await;
    let counts = lab.canary.counts(0).await.unwrap();
    assert_eq!(counts["user"], 0, "no user was needed to see it: {counts}");
}

/// Every request of a user goes to stable.
async fn assert_out(lab: &Lab, when: &str) {
    let status = lab.status().await;
    assert!(is_rolled_back(&status), "{when}: {status:#}");
    let mut browser = Browser::open(lab.web).await.unwrap();
    for _ in 0..60 {
        assert_eq!(browser.get("/").await.unwrap().version(), Some("1.8.2"), "{when}");
    }
}

#[tokio::test]
async fn a_rolled_back_version_stays_out_until_it_changes_or_gets_a_retry() {
    let mut lab = Lab::start(Setup { stages: vec![(50.0, "10m")], ..Setup::default() }).await;
    lab.until("at 50%", |status| status["weight"] == 50.0).await;
    lab.canary.suffer(FaultKind::Errors, 1.0).await.unwrap();
    lab.until("rolled back", is_rolled_back).await;
    // Its health from now on must not matter.
    lab.canary.recover().await.unwrap();
    assert_out(&lab, "after the rollback").await;
    let event = lab.reload(|setup| setup.more = "# changed\n".to_owned()).await;
    assert_eq!(event["kind"], "config_reloaded");
    assert_out(&lab, "after a reload").await;
    assert!(lab.restart(Signal::SIGTERM).await.success());
    assert_out(&lab, "after a restart").await;
    lab.restart(Signal::SIGKILL).await;
    assert_out(&lab, "after kill -9").await;

    let (code, text) = lab.admin.post("/api/v1/services/shop/retry", &Value::Null).await.unwrap();
    assert!((200..300).contains(&code), "{code} {text}");
    lab.until("in again", |s| s["phase"] == "progressing" && s["weight"] == 50.0).await;
    let (code, text) = lab.admin.post("/api/v1/services/shop/abort", &Value::Null).await.unwrap();
    assert!((200..300).contains(&code), "{code} {text}");
    lab.until("rolled back", is_rolled_back).await;
    assert_out(&lab, "after an abort").await;

    lab.reload(|setup| setup.canary_version = "1.9.1").await;
    let status =
        lab.until("in again", |s| s["phase"] == "progressing" && s["weight"] == 50.0).await;
    assert_eq!(status["canary"]["version"], "1.9.1");
}

#[tokio::test]
async fn probes_go_on_after_the_rollback_and_tell_what_the_episode_was() {
    let setup = Setup { rollout: "label_window = [\"3s\", \"8s\"]", ..Setup::default() };
    let (lab, _) = failing(setup, FaultKind::Errors, 1.0).await;
    let event = lab.until_event("episode_labelled").await;
    let labelled = lab.admin.get(&format!("/api/v1/decisions/{}", event["id"])).await.unwrap();
    let episode = &labelled["details"];
    assert_eq!(episode["label"], "sustained", "{labelled:#}");
    assert!(!episode["checkpoints"][0][1].as_array().unwrap().is_empty(), "{labelled:#}");
    assert!(is_rolled_back(&lab.status().await));
}
