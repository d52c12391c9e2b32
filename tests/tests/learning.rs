//! Learning in real processes: from labels in the journal to a model on trial, by persons' labels, through
//! kills at many points.

use nix::sys::signal::Signal;
use rusqlite::{Connection, params};
use serde_json::{Value, json};
use serinus_models::{
    Episode, Event, EventEvidence, FEATURES, FeatureVector, Label, Pair, Timestamp,
};
use serinus_rollout::{Record, RecordKind};
use serinus_tests::lab::{DEADLINE, Lab, binary, command};
use serinus_tests::setup::Setup;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Longest wait for a training: it yields to everything else that runs.
const TRAINING: Duration = Duration::from_secs(600);

/// What is told of an episode: what lasts goes on failing, what passes has stopped.
fn features(at: u64, sustained: bool) -> FeatureVector {
    let noise = |feature: usize| ((at * 31 + feature as u64 * 7) % 17) as f64 / 17.0;
    let value = |(place, name): (usize, &&str)| {
        let (lasting, passing) = match *name {
            "persistence" => (4.0, -4.0),
            "excess_error" | "probe_excess_error" | "error_ahead" => (0.6, 0.0),
            "consecutive_bad" => (3.0, 0.0),
            "bad_share" => (0.9, 0.2),
            "clean_run" => (0.2, 3.5),
            _ => return None,
        };
        Some(if sustained { lasting } else { passing } + 0.1 * noise(place))
    };
    FeatureVector(FEATURES.iter().enumerate().map(value).collect())
}

/// Writes so many labelled episodes into a journal that no proxy uses: numbers begin at 1000.
fn teach(state: &Path, labels: u64) {
    // Not so long ago that the journal forgets them.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    let first = now - 30 * 24 * 3_600_000;
    let journal = Connection::open(state.join("journal.sqlite")).unwrap();
    for at in 0..labels {
        let sustained = at % 2 == 1;
        let features = features(at, sustained);
        let alarm = Timestamp(first + at * 3_600_000);
        let episode = Episode {
            alarm_at: alarm,
            fired: EventEvidence {
                stream: "shop".into(),
                event: Event::Failure,
                e_value: 1e4,
                trials: Pair { stable: 500, canary: 50 },
                hits: Pair { stable: 1, canary: 40 },
            },
            withdrawn_at: Some(alarm),
            returned_at: None,
            label: if sustained { Label::Sustained } else { Label::Transient },
            why: "written by a test".to_owned(),
            checkpoints: vec![(0, features.clone()), (20, features)],
        };
        let mut details = serde_json::to_value(&episode).unwrap();
        details["deployed"] = json!(alarm.0 - 60_000);
        let record = Record {
            at: Timestamp(alarm.0 + 300_000),
            kind: RecordKind::EpisodeLabelled,
            service: Some("shop".into()),
            text: format!("the episode was {}", episode.label.as_str()),
            state: None,
            evaluation: None,
            details: details.clone(),
            config_hash: "test".to_owned(),
        };
        let id = 1_000 + at;
        journal
            .execute(
                "INSERT INTO records (id, at, kind, service, stateful, body) VALUES (?, ?, 'episode_labelled', 'shop', 0, ?)",
                params![id, record.at.0, serde_json::to_string(&record).unwrap()],
            )
            .unwrap();
        journal
            .execute(
                "INSERT INTO episodes (id, at, service, label, body) VALUES (?, ?, 'shop', ?, ?)",
                params![id, record.at.0, episode.label.as_str(), details.to_string()],
            )
            .unwrap();
    }
}

/// A lab whose journal has so many labels, its proxy not running.
async fn taught(labels: u64) -> Lab {
    let mut lab = Lab::start(Setup { stages: vec![(0.0, "10m")], ..Setup::default() }).await;
    lab.until_event("rollout_started").await;
    lab.proxy.signal(Signal::SIGKILL);
    lab.proxy.wait(DEADLINE).await.unwrap();
    teach(&lab.folder.path().join("state"), labels);
    lab
}

async fn ran(arguments: &[&str]) -> String {
    let (code, output, errors) = command(arguments).await;
    assert_eq!(code, 0, "{arguments:?}: {errors}");
    output
}

fn id_of(trained: &str) -> String {
    let told: Value = serde_json::from_str(trained).unwrap();
    told["model"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn labels_become_a_model_on_trial_and_by_hand_the_very_same() {
    let mut lab = taught(24).await;
    let state = lab.folder.path().join("state");
    let state = state.to_str().unwrap().to_owned();
    let by_hand = id_of(&ran(&["train", "--journal", &state, "--json"]).await);
    lab.restart(Signal::SIGKILL).await;
    let trained = lab.until_event_within("model_trained", TRAINING).await;
    assert!(trained["text"].as_str().unwrap().contains(&by_hand), "{by_hand}: {trained}");
    let (_, metrics) = lab.metrics().await;
    for line in [
        r#"serinus_models_total{outcome="trained"} 1"#,
        "serinus_learning_labels 24",
        "serinus_learning_challengers 1",
    ] {
        assert!(metrics.contains(line), "no {line} in\n{metrics}");
    }
    // It is on trial: the shipped one judges.
    let told = ran(&["model", "evaluate", "--state-dir", &state]).await;
    for words in ["24 labels", &format!("{by_hand} (on trial)"), "(judges)", "AUC", "ECE"] {
        assert!(told.contains(words), "no '{words}' in\n{told}");
    }
    let shown = ran(&["model", "show", &by_hand, "--state-dir", &state]).await;
    for words in [
        "generation 1",
        "24 labels",
        "all services",
        "Features by importance",
        "12 lasted, 12 passed",
    ] {
        assert!(shown.contains(words), "no '{words}' in\n{shown}");
    }
}

/// The scheduling policies of the proxy's threads whose name begins so.
fn scheduling(lab: &Lab, name: &str) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", lab.proxy.pid().unwrap())).unwrap();
    let told = tasks.filter_map(|task| {
        let stat = std::fs::read_to_string(task.unwrap().path().join("stat")).ok()?;
        // After the name in brackets: state is field 3 of proc(5), policy 41.
        let (head, fields) = stat.rsplit_once(") ")?;
        let is_it = head.contains(&format!("({name}"));
        is_it.then(|| fields.split(' ').nth(41 - 3).unwrap().parse().unwrap())
    });
    told.collect()
}

#[tokio::test]
async fn threads_that_learn_or_probe_have_a_core_only_while_nobody_else_wants_it() {
    let lab = Lab::start(Setup { stages: vec![(0.0, "10m")], ..Setup::default() }).await;
    // SCHED_IDLE is 5, SCHED_OTHER 0. They begin with it, as soon as they have a core.
    let deadline = Instant::now() + DEADLINE;
    let only_idle = |name| {
        let policies = scheduling(&lab, name);
        !policies.is_empty() && policies.iter().all(|policy| *policy == 5)
    };
    while !["learning", "probes"].into_iter().all(only_idle) {
        assert!(Instant::now() < deadline, "{:?}", scheduling(&lab, ""));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let idle = scheduling(&lab, "").into_iter().filter(|policy| *policy == 5).count();
    let expected = scheduling(&lab, "learning").len() + scheduling(&lab, "probes").len();
    assert_eq!(idle, expected, "no other thread");
}

#[tokio::test]
async fn switched_off_nothing_is_learned_until_it_is_switched_on() {
    let mut lab = taught(24).await;
    lab.setup.more = "[learning]\nenabled = false".to_owned();
    lab.write_config();
    lab.restart(Signal::SIGKILL).await;
    let changed = lab.reload(|setup| setup.stages = vec![(0.0, "11m")]).await;
    assert_eq!(changed["kind"], "config_reloaded", "{changed}");
    assert!(!lab.kinds().await.iter().any(|kind| kind == "model_trained"));
    lab.reload(|setup| setup.more = String::new()).await;
    lab.until_event_within("model_trained", TRAINING).await;
}

#[tokio::test]
async fn what_a_person_says_is_written_down_and_wins() {
    let mut lab = taught(24).await;
    let state = lab.folder.path().join("state");
    let state = state.to_str().unwrap().to_owned();
    let lineage = async || {
        let trained = ran(&["train", "--journal", &state, "--json"]).await;
        serde_json::from_str::<Value>(&trained).unwrap()["lineage"].clone()
    };
    let before = lineage().await;
    assert_eq!((&before["corrected"], &before["services"]["shop"]), (&json!(0), &json!([12, 12])));
    // Without a proxy; then through one, which writes it down before it answers.
    let said =
        ran(&["label", "1001", "transient", "--why", "a deploy script", "--state-dir", &state])
            .await;
    assert!(said.contains("episode 1001 of shop counts as transient"), "{said}");
    let after = lineage().await;
    assert_eq!((&after["corrected"], &after["services"]["shop"]), (&json!(1), &json!([11, 13])));
    lab.restart(Signal::SIGKILL).await;
    let admin = lab.admin_address.to_string();
    ran(&["label", "1003", "unclear", "--why", "nobody <knows>", "--admin", &admin]).await;
    let after = lineage().await;
    assert_eq!((&after["labels"], &after["services"]["shop"]), (&json!(23), &json!([10, 13])));
    // The last word counts, whichever number of the episode it is said of.
    ran(&["label", "1003", "sustained", "--why", "on second thoughts", "--admin", &admin]).await;
    assert_eq!(lineage().await["services"]["shop"], json!([11, 13]));
    let history = ran(&["history", "--state-dir", &state]).await;
    assert!(history.contains("a person says that episode 1003 was sustained"), "{history}");
    for (id, why, expect) in [("7777", "x", "no decision 7777"), ("1001", " ", "say why")] {
        let (code, _, errors) =
            command(&["label", id, "transient", "--why", why, "--admin", &admin]).await;
        assert!(code != 0 && errors.contains(expect), "{errors}");
    }
}

#[tokio::test]
async fn killed_anywhere_in_a_training_the_proxy_starts_with_a_good_model() {
    let mut lab = taught(60).await;
    // From before the thread begins to after the files are written: the frozen scenarios, the fit, the save.
    for kill in 0..12u32 {
        lab.proxy.signal(Signal::SIGKILL);
        lab.restart(Signal::SIGKILL).await;
        let told = lab.admin.get("/api/v1/proxy").await.unwrap();
        assert!(told["model_id"].is_string(), "kill {kill}: {told}");
        assert_eq!(told["troubles"], json!([]), "kill {kill}");
        let until = Instant::now() + Duration::from_millis(u64::from(kill) * 350);
        // Whatever it is doing then; not a wait for anything.
        tokio::time::sleep_until(until.into()).await;
    }
    lab.until_event_within("model_trained", TRAINING).await;
}

#[tokio::test]
async fn killed_anywhere_in_a_training_by_hand_the_file_is_the_old_one_or_the_new_one() {
    let lab = taught(60).await;
    let state = lab.folder.path().join("state");
    let out = lab.folder.path().join("by-hand.model");
    let old = b"the old file".to_vec();
    let train = || {
        let mut command = std::process::Command::new(binary());
        command.args(["train", "--journal"]).arg(&state).arg("--out").arg(&out);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    std::fs::write(&out, &old).unwrap();
    let begun = Instant::now();
    assert!(train().wait().unwrap().success());
    let (takes, new) = (begun.elapsed(), std::fs::read(&out).unwrap());
    for point in 0..20 {
        std::fs::write(&out, &old).unwrap();
        let mut child = train();
        // More of the points near the end, where the file is written.
        let share = 1.0 - (1.0 - f64::from(point) / 20.0).powi(2);
        std::thread::sleep(takes.mul_f64(share * 1.05));
        child.kill().unwrap();
        child.wait().unwrap();
        let found = std::fs::read(&out).unwrap();
        assert!(found == old || found == new, "half a file after kill {point}");
    }
}

#[tokio::test]
async fn a_report_of_a_rollback_has_its_pictures_and_its_words() {
    let setup = Setup { stages: vec![(30.0, "10m")], ..Setup::default() };
    let lab = Lab::start(setup).await;
    lab.until("at 30%", |status| status["weight"] == 30.0).await;
    let load = lab.load(120.0);
    lab.canary.suffer(serinus::demo::FaultKind::Errors, 1.0).await.unwrap();
    let event = lab.until_event("rolled_back").await;
    load.finish().await;
    let id = event["id"].to_string();
    let state = lab.folder.path().join("state");
    let page = lab.folder.path().join("page.html");
    // Told before it is written: what protects users waits for no disk.
    let deadline = Instant::now() + DEADLINE;
    while command(&["explain", &id, "--state-dir", state.to_str().unwrap()]).await.0 != 0 {
        assert!(Instant::now() < deadline, "the rollback is not written down");
    }
    ran(&["report", &id, "--state-dir", state.to_str().unwrap(), "--out", page.to_str().unwrap()])
        .await;
    let html = std::fs::read_to_string(&page).unwrap();
    for words in [
        "rolled back (this decision)",
        "withdrawn",
        "Confidence that the canary is worse",
        "Forecast that the failure lasts",
        "How long they took",
        "line canary",
        "What weighed in the forecast",
    ] {
        assert!(html.contains(words), "no '{words}' in {}", page.display());
    }
    assert!(html.matches("<path class=\"line forecast\"").count() >= 2, "a line and its legend");
    for foreign in ["<script", "https://", "<link", " src="] {
        assert!(!html.contains(foreign), "{foreign}");
    }
}
