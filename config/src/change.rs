//! A rollout's settings with some of them changed, as `serinus replay --set KEY=VALUE` asks for it.

use crate::error::ConfigErrors;
use crate::read;
use serinus_rollout::{Mode, OnAnomaly, RolloutPolicy, Stage};
use std::path::Path;
use std::time::Duration;
use toml::de::DeTable;

/// The settings `policy` with `changes`, each `KEY=VALUE`: keys and values of `[service.NAME.rollout]`, where
/// text needs no quotes. What is not named stays as it is in `policy`.
///
/// # Errors
/// What `serinus check` would say of it, too: unknown keys, values out of range, thresholds that
/// contradict each other.
pub fn changed_policy(
    policy: &RolloutPolicy,
    changes: &[String],
) -> Result<RolloutPolicy, ConfigErrors> {
    let mut text = String::new();
    let mut named = Vec::new();
    for change in changes {
        let (key, value) = change.split_once('=').unwrap_or((change, ""));
        named.push(key.trim());
        text += &format!("{} = {}\n", key.trim(), literal(value.trim()));
    }
    for (key, value) in written(policy).into_iter().filter(|(key, _)| !named.contains(key)) {
        text += &format!("{key} = {value}\n");
    }
    read::policy(&text, Path::new("--set"))
}

/// The value as TOML: what is not TOML as it stands is text without its quotes.
fn literal(value: &str) -> String {
    let text = format!("it = {value}");
    let (_, errors) = DeTable::parse_recoverable(&text);
    if errors.is_empty() || value.is_empty() { value.to_owned() } else { format!("{value:?}") }
}

/// Every setting as it would stand in a file.
fn written(policy: &RolloutPolicy) -> Vec<(&'static str, String)> {
    // Named one by one: a setting that is added must be added here, or a replay would judge by its default.
    let RolloutPolicy {
        stages,
        evaluation_interval,
        anomaly_threshold,
        rollback_threshold,
        resume_threshold,
        on_anomaly,
        withdraw_limit,
        ramp_limit,
        margin,
        min_requests,
        label_window: (from, to),
        mode,
    } = policy;
    let stage = |Stage { weight, hold }: &Stage| {
        format!("{{ weight = {}, hold = {} }}", weight.percent(), length(*hold))
    };
    let stages: Vec<String> = stages.iter().map(stage).collect();
    let on_anomaly = match on_anomaly {
        OnAnomaly::Withdraw => "\"withdraw\"",
        OnAnomaly::Hold => "\"hold\"",
    };
    let mode = match mode {
        Mode::Enforce => "\"enforce\"",
        Mode::Observe => "\"observe\"",
    };
    vec![
        ("stages", format!("[{}]", stages.join(", "))),
        ("evaluation_interval", length(*evaluation_interval)),
        ("anomaly_threshold", anomaly_threshold.to_string()),
        ("rollback_threshold", rollback_threshold.to_string()),
        ("resume_threshold", resume_threshold.to_string()),
        ("on_anomaly", on_anomaly.to_owned()),
        ("withdraw_limit", length(*withdraw_limit)),
        ("ramp_limit", length(*ramp_limit)),
        ("margin", margin.to_string()),
        ("min_requests", min_requests.to_string()),
        ("label_window", format!("[{}, {}]", length(*from), length(*to))),
        ("mode", mode.to_owned()),
    ]
}

fn length(duration: Duration) -> String {
    format!("\"{}ms\"", duration.as_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(changes: &[&str]) -> Result<RolloutPolicy, String> {
        let base = RolloutPolicy {
            rollback_threshold: 0.5,
            resume_threshold: 0.1,
            margin: 2.0,
            mode: Mode::Observe,
            on_anomaly: OnAnomaly::Hold,
            label_window: (Duration::from_millis(1_500), Duration::from_secs(9)),
            ..RolloutPolicy::default()
        };
        let changes: Vec<String> = changes.iter().map(|change| (*change).to_owned()).collect();
        let result = changed_policy(&base, &changes);
        if changes.is_empty() {
            assert_eq!(result, Ok(base));
        }
        result.map_err(|errors| errors.to_string())
    }

    #[test]
    fn nothing_changes_but_what_is_named() {
        changed(&[]).unwrap();
        let policy =
            changed(&["rollback_threshold=0.9", "on_anomaly=withdraw", "withdraw_limit = 5m"]);
        let policy = policy.unwrap();
        assert_eq!(policy.rollback_threshold, 0.9);
        assert_eq!(policy.on_anomaly, OnAnomaly::Withdraw);
        assert_eq!(policy.withdraw_limit, Duration::from_secs(300));
        assert_eq!((policy.margin, policy.mode), (2.0, Mode::Observe));
        let stages =
            changed(&[r#"stages=[{ weight = 5, hold = "1m" }, { weight = 100, hold = "2m" }]"#]);
        assert_eq!(stages.unwrap().stages.len(), 2);
    }

    #[test]
    fn mistakes_are_told_as_those_of_a_file_are() {
        let cases = [
            ("rollback_treshold=0.9", "--set:1:1", "did you mean 'rollback_threshold'?"),
            ("rollback_threshold=90", "--set:1:22", "did you mean 0.9?"),
            ("on_anomaly=hodl", "--set:1:14", "did you mean \"hold\"?"),
            ("resume_threshold=0.6", "--set:1:20", "must be below rollback_threshold (0.5)"),
            ("withdraw_limit=5", "--set:1:18", "add a unit"),
            ("margin", "--set:1:", "there is no value"),
        ];
        for (change, place, says) in cases {
            let told = changed(&[change]).unwrap_err();
            assert!(told.contains(place) && told.contains(says), "{change}:\n{told}");
        }
        assert!(changed(&["margin=2", "margin=3"]).unwrap_err().contains("here twice"));
    }
}
