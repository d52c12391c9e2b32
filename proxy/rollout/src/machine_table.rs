//! Runs `testdata/phase_machine.txt` through the machine.

use crate::machine;
use crate::message::Command;
use crate::phase::ServiceState;
use crate::plan::{OnAnomaly, RolloutPolicy, Stage};
use crate::relapse::Relapse;
use serinus_models::{Evaluation, Pair, Reason, Timestamp, Verdict};
use serinus_routing::Weight;
use std::time::Duration;

const TABLE: &str = include_str!("testdata/phase_machine.txt");

fn evaluation(word: &str) -> Option<Evaluation> {
    let (verdict, anomaly_score, cleared) = match word {
        "continue" => (Verdict::Continue, 0.0, false),
        "cleared" => (Verdict::Continue, 0.0, true),
        "hold" | "shared" => (Verdict::Hold, 0.9999, false),
        "withdraw" => (Verdict::Withdraw, 0.9999, false),
        "waits" => (Verdict::Hold, 0.9999, false),
        "rollback" => (Verdict::Rollback, 0.9999, false),
        "insufficient" => (Verdict::InsufficientEvidence, 0.0, false),
        _ => return None,
    };
    let code = match word {
        "shared" => "shared_fault",
        "waits" => "cleared",
        other => other,
    };
    Some(Evaluation {
        anomaly_score,
        failure_probability: None,
        verdict,
        reasons: vec![Reason::new(code, word)],
        cleared,
        shared_ago: None,
        model_id: None,
        evidence: Vec::new(),
        recent: Pair::default(),
        latency: Pair::default(),
        resources: Pair::default(),
        features: Vec::new(),
    })
}

fn policy(words: &[&str]) -> RolloutPolicy {
    let mut policy = RolloutPolicy { stages: Vec::new(), ..RolloutPolicy::default() };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match *word {
            "stages" => {}
            "hold" => policy.on_anomaly = OnAnomaly::Hold,
            "limit" => {
                let seconds = words.next().and_then(|seconds| seconds.parse().ok());
                policy.withdraw_limit = Duration::from_secs(seconds.expect("limit in seconds"));
            }
            stage => {
                let (weight, hold) = stage.split_once('/').expect("weight/hold");
                policy.stages.push(Stage {
                    weight: Weight::from_percent(weight.parse().expect("percent")).expect("weight"),
                    hold: Duration::from_secs(hold.parse().expect("seconds")),
                });
            }
        }
    }
    policy
}

fn stands(state: &ServiceState) -> String {
    let mut words = format!("{} {} {}", state.phase.as_str(), state.stage + 1, state.weight);
    if state.withdrawn_since.is_some() {
        words.push_str(" withdrawn");
    }
    if state.held_since.is_some() {
        words.push_str(" held");
    }
    words
}

#[test]
fn the_machine_does_what_its_table_says() {
    let mut rules = RolloutPolicy::default();
    let mut state = ServiceState::idle("1.8.2".into(), Timestamp(0));
    let mut relapse = Relapse::default();
    let (mut title, mut steps) = ("", 0);
    for (number, line) in TABLE.lines().enumerate() {
        let line = line.trim();
        if let Some(name) = line.strip_prefix("== ") {
            title = name;
            continue;
        }
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        if words[0] == "policy" {
            rules = policy(&words[1..]);
            continue;
        }
        let [second, happens, "->", recorded, expected @ ..] = words.as_slice() else {
            panic!("line {}: not a step: {line}", number + 1);
        };
        let now = Timestamp(second.parse::<u64>().expect("a second") * 1_000);
        let command = Command::ALL.into_iter().find(|command| command.as_str() == *happens);
        let change = match (*happens, command) {
            ("start", _) => {
                relapse = Relapse::default();
                Some(machine::start(&"1.8.2".into(), &"1.9.0".into(), &rules, now))
            }
            (_, Some(command)) => machine::command(&state, &rules, command, now),
            (verdict, None) => {
                let evaluation = evaluation(verdict).unwrap_or_else(|| panic!("'{verdict}'?"));
                let again = relapse.look(&evaluation, now);
                machine::look(&state, &rules, &evaluation, (&relapse, again), now)
            }
        };
        let nothing = if command.is_some() { "refused" } else { "-" };
        let kind = change.as_ref().map_or(nothing, |change| change.kind.as_str());
        if let Some(change) = change {
            state = change.state;
        }
        let place = format!("line {} ({title}): {line}", number + 1);
        assert_eq!(kind, *recorded, "{place}");
        assert_eq!(stands(&state), expected.join(" "), "{place}");
        steps += 1;
    }
    assert!(steps > 120, "only {steps} steps were read");
}
