//! Users who leave a canary with most of the traffic: stable gets them step by step.

use nix::sys::signal::Signal;
use serde_json::Value;
use serinus::demo::FaultKind;
use serinus_tests::lab::Lab;
use serinus_tests::setup::Setup;
use std::time::Duration;

/// For requests that were routed by the table before and are still on their way, in milliseconds:
/// many, since the machine may be busy.
const UNDER_WAY: u64 = 1_000;

/// Requests per second of the load.
const RPS: f64 = 200.0;

fn at(event: &Value) -> u64 {
    event["at"].as_u64().unwrap()
}

/// Stable keeps a fifth of the users; the load of GETs has run for so long that this is known.
async fn mostly_canary() -> (Lab, serinus_tests::lab::Load) {
    let lab = Lab::start(Setup { stages: vec![(80.0, "10m")], ..Setup::default() }).await;
    lab.until("at 80%", |status| status["weight"] == 80.0).await;
    let load = lab.load_of(RPS, 0.0);
    while load.tally.all().requests < (8.0 * RPS) as u64 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    (lab, load)
}

/// Everything of one kind that was told, oldest first.
async fn told(lab: &Lab, kind: &str) -> Vec<Value> {
    lab.events().await.into_iter().filter(|event| event["kind"] == kind).collect()
}

/// Users of stable per second between two times.
async fn rate(lab: &Lab, from: u64, to: u64) -> f64 {
    let since = async |time| lab.stable.users_since(time).await.unwrap();
    (since(from).await - since(to).await) as f64 / (to - from) as f64 * 1e3
}

#[tokio::test]
async fn stable_gets_its_users_back_in_steps_and_nobody_is_lost() {
    let (lab, load) = mostly_canary().await;
    lab.canary.suffer(FaultKind::Errors, 0.08).await.unwrap();
    let withdrawn = lab.until_event("withdrawn").await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    let tally = load.finish().await;
    assert_eq!(tally.all().failures, 0, "every request could be repeated on stable");

    let steps = told(&lab, "held").await;
    let weights: Vec<f64> = steps.iter().map(|step| step["weight"].as_f64().unwrap()).collect();
    let (began, ended) = (at(&steps[0]), at(&withdrawn));
    let ways = [
        rate(&lab, began - 4_000, began).await,
        rate(&lab, began, ended).await,
        rate(&lab, ended + UNDER_WAY, ended + UNDER_WAY + 2_000).await,
    ];
    println!("{} ms, weights {weights:?}, stable's requests/s {ways:.0?}", ended - began);
    assert!(weights.len() >= 2, "{weights:?}");
    assert!(weights.iter().all(|weight| (0.0..80.0).contains(weight)), "{weights:?}");
    assert!(weights.is_sorted_by(|one, next| one > next), "{weights:?}");
    let [before, between, after] = ways;
    assert!(before < between && between < 0.8 * after, "{ways:?}");
    assert!(ended - began < 10_000, "eight seconds, and a busy machine");

    let text = steps[0]["text"].as_str().unwrap();
    assert!(text.contains("it has lately carried"), "{text}");
    let decision = lab.admin.get(&format!("/api/v1/decisions/{}", steps[0]["id"])).await.unwrap();
    assert_eq!(decision["details"]["then"], "withdrawn", "{decision:#}");
    let explanation = decision["explanation"].as_str().unwrap();
    assert!(explanation.contains("on their way back") && explanation.contains("step 1 of"));
    assert_eq!(withdrawn["weight"], 0.0);
    let late = lab.canary.users_since(ended + UNDER_WAY).await.unwrap();
    assert_eq!(late, 0, "users reached a withdrawn canary");
}

#[tokio::test]
async fn from_a_dead_canary_everybody_returns_at_once() {
    let (lab, load) = mostly_canary().await;
    lab.canary.suffer(FaultKind::Errors, 1.0).await.unwrap();
    let withdrawn = lab.until_event("withdrawn").await;
    load.finish().await;
    assert_eq!(withdrawn["weight"], 0.0);
    let steps = told(&lab, "held").await;
    assert!(steps.is_empty(), "{steps:#?}");
}

#[tokio::test]
async fn an_abort_is_done_at_once_and_answered_when_kill_9_cannot_undo_it() {
    let mut lab = Lab::start(Setup { stages: vec![(50.0, "10m")], ..Setup::default() }).await;
    lab.until("at 50%", |status| status["weight"] == 50.0).await;
    // A disk that takes its time.
    let file = lab.folder.path().join("state/journal.sqlite");
    let disk = rusqlite::Connection::open(file).unwrap();
    disk.execute_batch("BEGIN IMMEDIATE").unwrap();
    let admin = lab.admin.clone();
    let abort =
        tokio::spawn(async move { admin.post("/api/v1/services/shop/abort", &Value::Null).await });
    lab.until("taken back", |s| s["phase"] == "rolled_back" && s["weight"] == 0.0).await;
    assert!(!abort.is_finished(), "answered before it is on the disk");
    disk.execute_batch("COMMIT").unwrap();
    let (code, text) = abort.await.unwrap().unwrap();
    assert_eq!(code, 200, "{text}");
    lab.restart(Signal::SIGKILL).await;
    let status = lab.status().await;
    assert_eq!((&status["phase"], &status["weight"]), (&"rolled_back".into(), &0.0.into()));
}

#[tokio::test]
async fn kill_9_on_the_way_back_goes_on_to_zero() {
    let (mut lab, load) = mostly_canary().await;
    let (code, text) = lab.admin.post("/api/v1/services/shop/abort", &Value::Null).await.unwrap();
    assert_eq!(code, 200, "{text}");
    let status = lab.status().await;
    assert_eq!(status["reasons"][0]["code"], "ramp", "{status:#}");
    let (code, text) = lab.admin.post("/api/v1/services/shop/promote", &Value::Null).await.unwrap();
    assert_eq!(code, 409, "{text}");
    lab.restart(Signal::SIGKILL).await;
    let status = lab.status().await;
    assert!(status["weight"].as_f64().unwrap() < 80.0, "{status:#}");
    lab.until("aborted", |s| s["phase"] == "rolled_back" && s["weight"] == 0.0).await;
    assert_eq!(told(&lab, "aborted").await.len(), 1);
    load.finish().await;
}
