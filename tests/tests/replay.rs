//! A journal judged again: as it was, and under other settings.

use nix::sys::signal::Signal;
use serde_json::Value;
use serinus::demo::FaultKind;
use serinus_tests::lab::{DEADLINE, Lab, command};
use serinus_tests::setup::Setup;
use std::time::{Duration, Instant};

/// A journal with a rollback, a retry, a reload, a kill in the middle, a hold by an operator and an abort.
async fn eventful() -> Lab {
    let mut lab = Lab::start(Setup { stages: vec![(30.0, "10m")], ..Setup::default() }).await;
    lab.until("at 30%", |status| status["weight"] == 30.0).await;
    let load = lab.load(120.0);
    tokio::time::sleep(Duration::from_secs(2)).await;
    lab.canary.suffer(FaultKind::Errors, 1.0).await.unwrap();
    lab.until_event("rolled_back").await;
    lab.canary.suffer(FaultKind::None, 1.0).await.unwrap();
    order(&lab, "retry").await;
    lab.until("at 30% again", |status| status["weight"] == 30.0).await;
    let stages = vec![(40.0, "10m"), (100.0, "10m")];
    assert_eq!(lab.reload(|setup| setup.stages = stages).await["kind"], "config_reloaded");
    lab.until("at 40%", |status| status["weight"] == 40.0).await;
    order(&lab, "pause").await;
    // What exposes nobody is told before it is on the disk.
    until_written(&lab, "paused").await;
    lab.restart(Signal::SIGKILL).await;
    lab.until("still paused", |status| status["phase"] == "paused").await;
    order(&lab, "resume").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    order(&lab, "abort").await;
    load.finish().await;
    until_written(&lab, "aborted").await;
    lab
}

fn state(lab: &Lab) -> String {
    lab.folder.path().join("state").to_str().expect("an ordinary name").to_owned()
}

async fn until_written(lab: &Lab, kind: &str) {
    let deadline = Instant::now() + DEADLINE;
    while !command(&["history", "--state-dir", &state(lab)]).await.1.contains(kind) {
        assert!(Instant::now() < deadline, "'{kind}' is not written down\n{}", lab.log());
    }
}

async fn order(lab: &Lab, verb: &str) {
    let path = format!("/api/v1/services/shop/{verb}");
    let (code, text) = lab.admin.post(&path, &Value::Null).await.unwrap();
    assert!((200..300).contains(&code), "{verb}: {code} {text}");
}

/// Runs `serinus replay`; its exit code and what it says.
async fn replay(arguments: &[&str]) -> (i32, String, String) {
    command(&[&["replay"], arguments].concat()).await
}

#[tokio::test]
async fn a_journal_comes_out_as_it_was_and_differs_only_where_settings_do() {
    let mut lab = eventful().await;
    let state = state(&lab);
    // Beside the running proxy, and where it says that its journal is.
    let (code, output, errors) = replay(&["--admin", &lab.admin_address.to_string()]).await;
    assert_eq!(code, 0, "{output}\n{errors}");
    assert!(output.contains("exactly as they were made"), "{output}");
    lab.proxy.signal(Signal::SIGTERM);
    lab.proxy.wait(DEADLINE).await.unwrap();

    let (code, output, errors) = replay(&["--state-dir", &state, "--json"]).await;
    assert_eq!(code, 0, "{output}\n{errors}");
    let judged: Value = serde_json::from_str(&output).unwrap();
    let verified = judged[0]["verified"].as_array().unwrap();
    for decision in verified {
        assert_eq!(decision["outcome"], "same", "{decision:#}");
    }
    let (_, history, _) = command(&["history", "shop", "--state-dir", &state, "--json"]).await;
    assert_eq!(verified.len(), history.lines().count(), "{history}\n{output}");
    for kind in ["withdrawn", "rolled_back", "retried", "paused", "resumed", "aborted"] {
        assert!(verified.iter().any(|decision| decision["kind"] == kind), "no {kind}: {output}");
    }

    let rolled_back = verified.iter().find(|decision| decision["kind"] == "rolled_back").unwrap();
    // What it says of its forecast adds up, in words and in figures.
    let id = rolled_back["id"].to_string();
    let (code, output, errors) = command(&["explain", &id, "--state-dir", &state, "--json"]).await;
    assert_eq!(code, 0, "{errors}");
    let decision: Value = serde_json::from_str(&output).unwrap();
    let features = decision["evaluation"]["features"].as_array().unwrap();
    let shares: f64 = features.iter().map(|it| it["contribution"].as_f64().unwrap()).sum();
    let log_odds = decision["forecast"]["base"].as_f64().unwrap() + shares;
    let probability = decision["evaluation"]["failure_probability"].as_f64().unwrap();
    assert!((1.0 / (1.0 + (-log_odds).exp()) - probability).abs() < 1e-9, "{output}");
    let (_, told, _) = command(&["explain", &id, "--state-dir", &state]).await;
    for word in
        ["requests", "p99", "e-value", "base, calibration included", "together", "on anomaly"]
    {
        assert!(told.contains(word), "no '{word}' in\n{told}");
    }
    assert!(features.iter().all(|it| told.contains(it["name"].as_str().unwrap())), "{told}");
    for whole in [&decision["config_hash"], &decision["evaluation"]["model_id"]] {
        assert!(told.contains(whole.as_str().unwrap()), "no {whole} in\n{told}");
    }

    // A threshold that nothing passes: no rollback by then, and what comes after is conditional.
    let asked = ["--state-dir", &state, &id, "--set", "rollback_threshold=0.9999999"];
    let (code, output, errors) = replay(&asked).await;
    assert_eq!(code, 0, "{output}\n{errors}");
    for word in ["exactly as they were made", "1 of ", "would not be made", "(was 0.8)"] {
        assert!(output.contains(word), "no '{word}' in\n{output}");
    }
    // Nobody is withdrawn where an anomaly only holds: from then on the journal does not know what users would have sent.
    let (code, output, errors) = replay(&["--state-dir", &state, "--set", "on_anomaly=hold"]).await;
    assert_eq!(code, 0, "{output}\n{errors}");
    for word in ["withdrawn", "not in the journal"] {
        assert!(output.contains(word), "no '{word}' in\n{output}");
    }
    // Mistakes are told as those of a file are.
    let (code, _, errors) =
        replay(&["--state-dir", &state, "--set", "rollback_treshold=0.9"]).await;
    assert_eq!(code, 1);
    assert!(errors.contains("did you mean 'rollback_threshold'?"), "{errors}");
    let (code, _, errors) = replay(&["--state-dir", &state, "--service", "other"]).await;
    assert_eq!(code, 1);
    assert!(errors.contains("it has: shop"), "{errors}");
    let (code, _, errors) = replay(&["nowhere.sqlite"]).await;
    assert_eq!(code, 1);
    assert!(errors.contains("no journal at nowhere.sqlite"), "{errors}");
}
