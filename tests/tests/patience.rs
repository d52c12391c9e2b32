//! What passes, and what is not the canary's fault, is no reason to take a release back.

use serinus::demo::{FaultKind, FaultOrder};
use serinus_tests::lab::Lab;
use serinus_tests::setup::Setup;
use std::time::{Duration, Instant};

fn order(kind: FaultKind, rate: f64, seconds: u64) -> FaultOrder {
    FaultOrder { kind, rate: Some(rate), after_ms: 0, for_ms: Some(seconds * 1000) }
}

async fn at_ten_percent(hold: &'static str) -> Lab {
    let setup = Setup { stages: vec![(10.0, hold)], sticky: "cookie", ..Setup::default() };
    let lab = Lab::start(setup).await;
    lab.until("at 10%", |status| status["weight"] == 10.0).await;
    lab
}

/// Watches for so long, and until users are back if they were withdrawn; never rolled back.
async fn survives(lab: &Lab, at_least: Duration) {
    let began = Instant::now();
    let deadline = began + at_least + serinus_tests::lab::DEADLINE;
    loop {
        let status = lab.status().await;
        assert_ne!(status["phase"], "rolled_back", "{status:#}\n{:?}", lab.kinds().await);
        let users = status["withdrawn"] == false && status["weight"] != 0.0;
        if began.elapsed() >= at_least && users {
            break;
        }
        assert!(Instant::now() < deadline, "users did not come back: {status:#}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    println!("{:?} after {:?}", lab.kinds().await, began.elapsed());
    assert!(!lab.kinds().await.iter().any(|kind| kind == "rolled_back"));
}

#[tokio::test]
async fn a_healthy_canary_climbs_through_its_stages_and_is_promoted() {
    let stages = vec![(0.0, "1s"), (20.0, "2s"), (100.0, "2s")];
    let lab = Lab::start(Setup { stages, sticky: "cookie", ..Setup::default() }).await;
    let load = lab.load(100.0);
    lab.until("promoted", |status| status["phase"] == "promoted").await;
    assert_eq!(load.finish().await.all().failures, 0);
    let kinds = lab.kinds().await;
    let expected = ["rollout_started", "stage_advanced", "stage_advanced", "promoted"];
    let told: Vec<&str> =
        kinds.iter().map(String::as_str).filter(|kind| expected.contains(kind)).collect();
    assert_eq!(told, expected);
    let mut browser = serinus_tests::browser::Browser::open(lab.web).await.unwrap();
    for _ in 0..50 {
        assert_eq!(browser.get("/").await.unwrap().version(), Some("1.9.0"));
    }
}

#[tokio::test]
async fn a_blip_of_two_seconds_is_survived() {
    let lab = at_ten_percent("10m").await;
    let load = lab.load(150.0);
    tokio::time::sleep(Duration::from_secs(2)).await;
    lab.canary.order(&order(FaultKind::Blip, 0.5, 2)).await.unwrap();
    survives(&lab, Duration::from_secs(12)).await;
    load.finish().await;
}

#[tokio::test]
async fn a_cold_start_that_warms_up_in_eight_seconds_is_survived() {
    let lab = at_ten_percent("10m").await;
    lab.canary.order(&order(FaultKind::ColdStart, 0.2, 8)).await.unwrap();
    let load = lab.load(150.0);
    survives(&lab, Duration::from_secs(16)).await;
    load.finish().await;
}

#[tokio::test]
async fn an_outage_that_both_versions_share_is_not_the_canarys() {
    let lab = at_ten_percent("10m").await;
    let load = lab.load(150.0);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let outage = order(FaultKind::Shared, 0.5, 8);
    // Both at the same moment, as a dependency fails.
    let (stable, canary) = tokio::join!(lab.stable.order(&outage), lab.canary.order(&outage));
    stable.and(canary).unwrap();
    survives(&lab, Duration::from_secs(14)).await;
    assert!(load.finish().await.all().failures > 0, "the outage was real");
}

#[tokio::test]
async fn an_outage_of_stable_alone_takes_nobody_off_the_canary() {
    let lab = at_ten_percent("10m").await;
    let load = lab.load(150.0);
    tokio::time::sleep(Duration::from_secs(1)).await;
    lab.stable.order(&order(FaultKind::Errors, 0.5, 6)).await.unwrap();
    survives(&lab, Duration::from_secs(8)).await;
    let kinds = lab.kinds().await;
    assert!(!kinds.iter().any(|kind| kind == "withdrawn"), "{kinds:?}");
    load.finish().await;
}
