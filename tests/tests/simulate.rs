//! `serinus simulate` with a stranger's scenario.

use serde_json::Value;
use serinus_tests::lab::command;
use std::collections::BTreeSet;
use std::fs;

const DEAD: &str = r#"
about = "A shop whose new version answers 500 to half of the requests"

[service]
requests_per_second = 200
weight = 0.1

[probes]
rate = 0.5
assertions = true

[[fault]]
begins = "90s"   # users come after a minute
failures = 0.5
"#;

#[tokio::test]
async fn a_strangers_scenario_is_played_and_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (file, json, svg) = (path("our-shop.toml"), path("rows.json"), path("frontier.svg"));
    fs::write(&file, DEAD).unwrap();
    let play = async |jobs| {
        let line = ["simulate", "--policy", "ours", "--policy", "flagger", "--scenario", &file];
        let more =
            ["--scenario", "blip", "--runs", "3", "--jobs", jobs, "--json", &json, "--svg", &svg];
        let (code, text, errors) = command(&[&line[..], &more[..]].concat()).await;
        assert_eq!(code, 0, "{text}{errors}");
        assert!(text.contains("our-shop (sustained): A shop whose"), "{text}");
        fs::read_to_string(&json).unwrap()
    };
    let rows = play("1").await;
    assert_eq!(rows, play("2").await, "the number of threads changes the result");
    assert!(fs::read_to_string(&svg).unwrap().contains(">flagger</text>"));

    let rows: Vec<Value> = serde_json::from_str(&rows).unwrap();
    let named = |row: &Value| format!("{} {}", row["policy"], row["family"]).replace('"', "");
    let names: Vec<_> = rows.iter().map(named).collect();
    assert_eq!(names, ["ours our-shop", "flagger our-shop", "ours blip", "flagger blip"]);
    let promised: BTreeSet<&str> = [
        "policy",
        "family",
        "runs",
        "harmed_median",
        "harmed_p95",
        "user_errors_median",
        "false_rollbacks",
        "transients_rolled_back",
        "missed_30m",
        "withdrawals",
        "delay_requests_mean",
        "bound_requests",
    ]
    .into();
    for row in &rows {
        let keys: BTreeSet<_> = row.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, promised);
        assert_eq!(row["runs"], 3);
    }
    let number = |row: &Value, key: &str| row[key].as_f64().unwrap();
    assert_eq!(rows[0]["withdrawals"], 3);
    assert_eq!(rows[0]["missed_30m"], 0);
    assert!(number(&rows[0], "harmed_median") * 20.0 < number(&rows[1], "harmed_median"));
    assert!(number(&rows[0], "delay_requests_mean") > number(&rows[0], "bound_requests"));
}

#[tokio::test]
async fn what_cannot_be_played_is_said_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wrong.toml");
    let file = file.to_str().unwrap();
    fs::write(file, DEAD.replace("failures", "failurs")).unwrap();
    let (code, text, errors) = command(&["simulate", "--scenario", file]).await;
    assert_eq!(code, 1, "{text}");
    let line = DEAD.lines().position(|line| line.contains("failures")).unwrap() + 1;
    assert!(errors.contains(&format!("{file}:{line}:1")), "{errors}");
    assert!(errors.contains("failurs = 0.5") && errors.contains('^'), "{errors}");

    let (code, _, errors) = command(&["simulate", "--scenario", "blips"]).await;
    assert_eq!(code, 1);
    assert!(errors.contains("'blips'") && errors.contains("flapping"), "{errors}");
    let (code, _, errors) = command(&["simulate", "--policy", "spinnaker"]).await;
    assert_eq!(code, 2);
    assert!(errors.contains("'spinnaker'") && errors.contains("argo-60s"), "{errors}");
}
