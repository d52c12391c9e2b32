//! A fault that needs load: with mirrored requests it is still there when its users have left.

use serde_json::Value;
use serinus::demo::FaultKind;
use serinus_tests::lab::Lab;
use serinus_tests::setup::Setup;
use std::time::Duration;

/// Users come to a canary that fails beyond forty requests a second, and go on coming: what its first
/// episode is labelled as, and the lab.
async fn overloaded(rollout: &'static str) -> (Lab, Value) {
    let stages = vec![(50.0, "10m")];
    let lab = Lab::start(Setup { stages, rollout, ..Setup::default() }).await;
    lab.until("at 50%", |status| status["weight"] == 50.0).await;
    let load = lab.load_of(200.0, 0.0);
    while load.tally.all().requests < 200 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    lab.canary.suffer(FaultKind::Overload, 1.0).await.unwrap();
    lab.until_event("withdrawn").await;
    let labelled = lab.until_event("episode_labelled").await;
    load.finish().await;
    (lab, labelled)
}

#[tokio::test]
async fn with_mirrored_requests_a_fault_that_needs_load_is_seen_to_last() {
    // Short enough for a test; probes five times a second see enough in it.
    let (lab, labelled) = overloaded("mirror = 50\nlabel_window = [\"3s\", \"9s\"]").await;
    let text = labelled["text"].as_str().unwrap();
    assert!(text.contains("sustained"), "{text}\n{}", lab.log());
    let status = lab.status().await;
    assert_eq!((&status["phase"], &status["weight"]), (&"rolled_back".into(), &0.0.into()));
    let counts = lab.canary.counts(0).await.unwrap();
    assert!(counts["mirrored"].as_u64().unwrap() > 200, "{counts}");
    let (_, metrics) = lab.metrics().await;
    assert!(metrics.contains(r#"serinus_mirrored_requests_total{service="shop"}"#), "{metrics}");
    // The label is known: nothing is copied any more.
    let before = lab.canary.counts(0).await.unwrap()["mirrored"].clone();
    let load = lab.load_of(200.0, 0.0);
    while load.tally.all().requests < 200 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    load.finish().await;
    assert_eq!(lab.canary.counts(0).await.unwrap()["mirrored"], before);
}

#[tokio::test]
async fn without_them_it_leaves_with_its_users() {
    let (lab, labelled) = overloaded("label_window = [\"3s\", \"9s\"]").await;
    let text = labelled["text"].as_str().unwrap();
    assert!(!text.contains("sustained"), "{text}\n{}", lab.log());
    assert_eq!(lab.canary.counts(0).await.unwrap()["mirrored"], 0);
}
