//! The journal: what survives, and what happens without it.

use nix::sys::signal::Signal;
use serinus::demo::FaultKind;
use serinus_tests::browser::Browser;
use serinus_tests::lab::{DEADLINE, Lab, command};
use serinus_tests::setup::Setup;
use std::fs;
use std::time::{Duration, Instant};

const FILE: &str = "journal.sqlite";

/// Waits until `/ready` tells of a trouble with the journal, in words.
async fn until_told(lab: &Lab) -> String {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let ready = lab.admin.get("/ready").await.unwrap();
        if ready["troubles"].as_array().is_some_and(|troubles| !troubles.is_empty()) {
            assert_eq!(ready["ready"], true, "users are still served: {ready}");
            return ready["troubles"].to_string();
        }
        assert!(Instant::now() < deadline, "no trouble is told: {ready}\n{}", lab.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn without_a_journal_users_are_served_and_nobody_is_exposed() {
    // A folder where the file should be: nobody can write there, not even root.
    let lab = Lab::prepared(Setup::default(), |folder| {
        fs::create_dir_all(folder.join("state").join(FILE)).unwrap();
    })
    .await;
    let told = until_told(&lab).await;
    assert!(told.contains(FILE), "{told}");
    let mut browser = Browser::open(lab.web).await.unwrap();
    for _ in 0..100 {
        assert_eq!(browser.get("/").await.unwrap().version(), Some("1.8.2"));
    }
    let status = lab.status().await;
    assert_eq!(status["weight"], 0.0, "{status:#}");
    assert_eq!(lab.canary.counts(0).await.unwrap()["user"], 0);
    // As soon as it can be written the rollout begins.
    fs::remove_dir(lab.folder.path().join("state").join(FILE)).unwrap();
    lab.until("at 10%", |status| status["weight"] == 10.0).await;
}

#[tokio::test]
async fn a_journal_that_breaks_on_the_way_does_not_keep_users_on_a_failing_canary() {
    let lab = Lab::start(Setup { stages: vec![(30.0, "10m")], ..Setup::default() }).await;
    lab.until("at 30%", |status| status["weight"] == 30.0).await;
    let load = lab.load(120.0);
    let state = lab.folder.path().join("state");
    for entry in fs::read_dir(&state).unwrap().flatten() {
        let name = entry.file_name();
        if name.to_string_lossy().starts_with(FILE) {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    fs::create_dir(state.join(FILE)).unwrap();
    lab.canary.suffer(FaultKind::Errors, 1.0).await.unwrap();
    lab.until("off the canary", |status| status["weight"] == 0.0).await;
    let told = until_told(&lab).await;
    assert!(told.contains(FILE), "{told}");
    load.finish().await;
}

#[tokio::test]
async fn kill_9_in_the_middle_of_a_rollout_goes_on_at_the_same_stage() {
    let stages = vec![(0.0, "1s"), (5.0, "1s"), (20.0, "10m"), (50.0, "10m")];
    let mut lab = Lab::start(Setup { stages, ..Setup::default() }).await;
    let load = lab.load(60.0);
    lab.until("at 20%", |status| status["weight"] == 20.0).await;
    load.finish().await;
    lab.restart(Signal::SIGKILL).await;
    let status = lab.until("where it was", |status| status["weight"] == 20.0).await;
    assert_eq!((&status["phase"], &status["stage"]), (&"progressing".into(), &2.into()));
    let kinds = lab.kinds().await;
    let count = |kind: &str| kinds.iter().filter(|known| *known == kind).count();
    assert_eq!((count("rollout_started"), count("stage_advanced")), (1, 2), "{kinds:?}");
    let mut browser = Browser::open(lab.web).await.unwrap();
    let mut canary = 0;
    for _ in 0..300 {
        canary += u32::from(browser.get("/").await.unwrap().version() == Some("1.9.0"));
    }
    // 4 sigma of a binomial(300, 0.2) are 28.
    assert!((32..=88).contains(&canary), "{canary}");
}

#[tokio::test]
async fn history_and_explain_read_the_journal_of_a_dead_proxy() {
    let mut lab = Lab::start(Setup { stages: vec![(10.0, "10m")], ..Setup::default() }).await;
    lab.until("at 10%", |status| status["weight"] == 10.0).await;
    let (code, text) =
        lab.admin.post("/api/v1/services/shop/abort", &serde_json::Value::Null).await.unwrap();
    assert!((200..300).contains(&code), "{code} {text}");
    let event = lab.until_event("aborted").await;
    let state = lab.folder.path().join("state");
    let state = state.to_str().unwrap();
    let history = async || {
        let (code, output, errors) = command(&["history", "--state-dir", state]).await;
        assert_eq!(code, 0, "{errors}");
        output
    };
    // Protection is told before it is on the disk.
    let deadline = Instant::now() + DEADLINE;
    while !history().await.contains("aborted") {
        assert!(Instant::now() < deadline, "the abort is not written down");
    }
    lab.proxy.signal(Signal::SIGKILL);
    lab.proxy.wait(DEADLINE).await.unwrap();
    let output = history().await;
    for word in ["rollout", "1.9.0", "operator"] {
        assert!(output.contains(word), "no '{word}' in\n{output}");
    }
    let id = event["id"].to_string();
    let (code, output, errors) = command(&["explain", &id, "--state-dir", state]).await;
    assert_eq!(code, 0, "{errors}");
    assert!(output.contains("1.9.0"), "{output}");
}
