//! What may not be taken for evidence, and what happens without any.

use serinus::demo::FaultKind;
use serinus_tests::browser::Browser;
use serinus_tests::lab::{DEADLINE, Lab};
use serinus_tests::setup::Setup;
use std::time::{Duration, Instant};

#[tokio::test]
async fn without_traffic_nothing_is_passed_and_nothing_is_failed() {
    let stages = vec![(10.0, "1s"), (50.0, "1s")];
    let lab = Lab::start(Setup { stages, probe: false, ..Setup::default() }).await;
    lab.until("short of evidence", |s| s["verdict"] == "insufficient_evidence").await;
    // Five times the hold, and nothing has moved.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let status = lab.status().await;
    assert_eq!(status["verdict"], "insufficient_evidence", "{status:#}");
    assert_eq!((&status["phase"], &status["stage"]), (&"progressing".into(), &0.into()));
    assert_eq!(status["reasons"][0]["code"], "no_traffic", "{status:#}");
    // The hold is not what was missing.
    let load = lab.load(100.0);
    lab.until("promoted", |status| status["phase"] == "promoted").await;
    load.finish().await;
}

#[tokio::test]
async fn marks_of_synthetic_traffic_from_outside_are_stripped() {
    let lab = Lab::start(Setup { probe: false, ..Setup::default() }).await;
    let before = lab.stable.counts(0).await.unwrap();
    let browser = Browser::open(lab.web).await.unwrap();
    let mut browser = browser
        .with("x-synthetic", "order/1")
        .with("baggage", "synthetic_request=true,colour=yellow")
        .with("user-agent", "serinus-probe/9.9.9");
    for _ in 0..40 {
        let answer = browser.get("/api/echo").await.unwrap();
        let body = answer.body.to_lowercase();
        for mark in ["x-synthetic", "synthetic_request", "serinus-probe"] {
            assert!(!body.contains(mark), "{mark} arrived: {body}");
        }
    }
    let (stable, canary) =
        (lab.stable.counts(0).await.unwrap(), lab.canary.counts(0).await.unwrap());
    assert_eq!(stable["synthetic"], before["synthetic"]);
    let users = stable["user"].as_u64().unwrap() + canary["user"].as_u64().unwrap();
    assert!(users >= 40, "{stable} {canary}");
}

#[tokio::test]
async fn probes_are_never_counted_as_users() {
    let lab = Lab::start(Setup { stages: vec![(50.0, "10m")], ..Setup::default() }).await;
    let deadline = Instant::now() + DEADLINE;
    while lab.canary.counts(0).await.unwrap()["synthetic"].as_u64().unwrap() < 9 {
        assert!(Instant::now() < deadline, "no probes\n{}", lab.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(lab.canary.counts(0).await.unwrap()["user"], 0);
    let (_, metrics) = lab.metrics().await;
    let of_users = metrics.lines().filter(|line| line.starts_with("serinus_requests_total{"));
    for line in of_users {
        assert!(line.ends_with(" 0"), "{line}");
    }
    let runs = metrics.lines().filter(|line| line.starts_with("serinus_probe_runs_total{"));
    assert!(runs.clone().count() > 0 && runs.clone().any(|line| !line.ends_with(" 0")));
}

#[tokio::test]
async fn observe_mode_decides_and_moves_nobody() {
    let setup = Setup {
        stages: vec![(30.0, "10m")],
        rollout: "mode = \"observe\"",
        shield: false,
        ..Setup::default()
    };
    let lab = Lab::start(setup).await;
    lab.until("at 30%", |status| status["weight"] == 30.0).await;
    let load = lab.load(120.0);
    lab.canary.suffer(FaultKind::Errors, 1.0).await.unwrap();
    let deadline = Instant::now() + DEADLINE;
    let decided = loop {
        let events = lab.events().await;
        let observed = |kind: &str| {
            events.iter().any(|event| event["kind"] == kind && event["observed_only"] == true)
        };
        if observed("rolled_back") {
            break events;
        }
        assert!(Instant::now() < deadline, "nothing was decided: {events:#?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let acted = |event: &serde_json::Value| {
        matches!(event["kind"].as_str(), Some("withdrawn" | "rolled_back"))
            && event["observed_only"] != true
    };
    assert!(!decided.iter().any(acted), "{decided:#?}");
    let (_, page) = lab.metrics().await;
    let ended = |line: &&str| {
        line.starts_with("serinus_rollouts_total{") && line.contains("\"rolled_back\"")
    };
    let ended = page.lines().find(ended).expect("a counter of rollouts taken back");
    assert!(ended.ends_with(" 0"), "no rollout ended: {ended}");
    let status = lab.status().await;
    assert_eq!(status["weight"], 30.0, "{status:#}");
    let before = lab.canary.counts(0).await.unwrap()["user"].as_u64().unwrap();
    while lab.canary.counts(0).await.unwrap()["user"].as_u64().unwrap() < before + 30 {
        assert!(Instant::now() < deadline, "users left the canary");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    load.finish().await;
}
