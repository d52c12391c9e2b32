//! The reader and the conversion, on a tiny data set that the tests write themselves.

use crate::dataset::{Dataset, Metric};
use crate::metrics::{Metrics, Row};
use crate::record::{Judge, incident};
use crate::traffic::{Latencies, dealt, recorded, resampled};
use crate::trial::{Control, Play, Watch, play};
use proptest::prelude::*;
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use serinus_models::{Predictor, Sample, pretrain};
use std::path::Path;
use tempfile::TempDir;

const NODE: &str = "Front,Front,Front,Front,Front,Front,Front";
const METRICS: &str = "requests,availability,latency,latency,latency,latency,latency";
const STATISTICS: &str = "Sum,Average,Average,p50,p90,p95,p99";
/// requests, availability, mean, p50, p90, p95, p99
pub(crate) const WELL: &str = "600,100,0.05,0.04,0.08,0.1,0.2";
pub(crate) const ILL: &str = "600,70,0.05,0.04,0.08,0.1,0.2";

pub(crate) fn metrics(rows: &[&str]) -> String {
    let mut text = format!(
        "microservice,{NODE}\nmetric,{METRICS}\nstatistic,{STATISTICS}\nunix_timestamp,,,,,,,\n"
    );
    for (at, row) in rows.iter().enumerate() {
        text += &format!("{}.0,{row}\n", 1_681_000_000 + at * 300);
    }
    text
}

pub(crate) fn target(at: u64) -> String {
    format!(
        r#"{{"target": {{"node": "Front", "metric": "availability", "agg": "Average", "timestamp": {at}}},
            "root_cause": {{"node": "Front", "metric": null}}, "metadata": {{}}}}"#
    )
}

/// A data set of one incident: 30% of the requests fail from the second row on.
pub(crate) fn data_set(metrics: &str, target: &str) -> TempDir {
    let directory = TempDir::new().unwrap();
    let issue = directory.path().join("dataset/low_traffic/train/issue_0");
    std::fs::create_dir_all(&issue).unwrap();
    std::fs::write(issue.join("metrics.csv"), metrics).unwrap();
    std::fs::write(issue.join("target.json"), target).unwrap();
    directory
}

#[track_caller]
fn refused(metrics: &str, target: &str, words: &[&str]) {
    let directory = data_set(metrics, target);
    let error = Dataset::read(directory.path()).unwrap_err().to_string();
    assert!(words.iter().all(|word| error.contains(word)), "{error}");
}

pub(crate) const FAULT: u64 = 1_681_000_400;

#[test]
fn an_incident_is_read_found_and_rolled_back() {
    let directory = data_set(&metrics(&[WELL, WELL, ILL, ILL, ILL]), &target(FAULT));
    let dataset = Dataset::read(directory.path()).unwrap();
    assert!(dataset.calm.is_empty());
    let read = &dataset.incidents[0];
    assert_eq!(read.name, "low_traffic/train/issue_0");
    assert_eq!((read.traffic.as_str(), read.metric), ("low_traffic", Metric::Availability));
    assert_eq!(read.front.rows[2].failures, Some(180));

    let predictor = Predictor::shipped().unwrap();
    let judge = Judge { settings: pretrain::settings(), predictor, draws: 3, seed: 7 };
    let record = incident(read, crate::dataset::View::Front, Watch::Probes, &judge);
    for draw in &record.draws {
        let found = draw.found.as_ref().unwrap();
        assert_eq!(draw.early, 0);
        assert!((600..660).contains(&found.alarm.at), "{found:?}");
        assert!(draw.rolled_back, "{found:?}");
        for mended in &found.mended {
            assert_eq!(found.alarm.forecasts[0], mended.forecasts[0], "the same past");
            assert!(mended.forecasts[3] < found.alarm.forecasts[3], "{found:?}");
        }
    }
}

#[test]
fn what_was_not_measured_is_missing_and_not_zero() {
    let rows = ["600,,0.05,0.04,0.08,0.1,0.2", "NaN,100,0.05,,,,", "600,100,nan,0.04,0.08,0.1,"];
    let directory = data_set(&metrics(&rows), &target(FAULT));
    let file = directory.path().join("dataset/low_traffic/train/issue_0/metrics.csv");
    let rows = Metrics::read(&file).unwrap().series("Front").unwrap();
    assert_eq!((rows[0].requests, rows[0].failures), (Some(600), None));
    assert_eq!((rows[1].requests, rows[1].failures, rows[1].quantiles), (None, None, None));
    assert_eq!((rows[2].failures, rows[2].mean, rows[2].quantiles), (Some(0), None, None));

    let mut dice = Xoshiro256PlusPlus::seed_from_u64(1);
    let seen = recorded(&rows[0], &mut dice);
    let outcomes: u64 = seen.iter().map(|sample| sample.outcomes.total()).sum();
    let latencies: u64 = seen.iter().map(|sample| sample.latency.total()).sum();
    assert_eq!(
        (outcomes, latencies),
        (0, 600),
        "how they ended is not known, how long they took is"
    );
    for seconds in [recorded(&rows[1], &mut dice), resampled(&rows[1], 600, &mut dice)] {
        assert!(seconds.iter().all(|sample| *sample == Sample::default()));
    }
}

#[test]
fn a_recording_without_telemetry_raises_nothing() {
    let mut rows = vec![Row::default(); 5];
    let set = |row: &mut Row| {
        row.requests = Some(600);
        row.failures = Some(0);
        row.quantiles = Some([0.04, 0.08, 0.1, 0.2]);
    };
    set(&mut rows[0]);
    let setup = Play {
        node: "Front",
        rows: &rows,
        control: Control::FirstRow,
        watch: Watch::Probes,
        fault_at: 300,
        mended_after: None,
        seed: 1,
    };
    assert_eq!(play(&setup, pretrain::settings(), None), []);
}

#[test]
fn errors_say_where() {
    let good = metrics(&[WELL, WELL, ILL, ILL, ILL]);
    refused("", &target(FAULT), &["metrics.csv: is empty"]);
    refused(&good, "", &["target.json: is empty"]);
    refused(&good, "{\n\"target\": 7}", &["target.json:2:", "invalid type"]);
    refused("microservice,a\n", &target(FAULT), &["metrics.csv: ends before", "'metric'"]);
    refused(&metrics(&[]), &target(FAULT), &["metrics.csv: has headers and no row"]);
    refused(&good.replacen("statistic", "stat", 1), &target(FAULT), &["metrics.csv:3:", "'stat'"]);
    refused(&good.replacen("p95", "p94", 1), &target(FAULT), &["no column 'Front latency p95'"]);
    refused(&good.replacen("0.05", "soon", 1), &target(FAULT), &["metrics.csv:5: field 4", "soon"]);
    refused(&good.replacen(",70,", ",170,", 1), &target(FAULT), &["metrics.csv:7: field 3", "170"]);
    refused(&good.replacen("600,", "-6,", 1), &target(FAULT), &["metrics.csv:5: field 2", "-6"]);
    refused(
        &good.replacen("0.08", "0.01", 1),
        &target(FAULT),
        &["metrics.csv:5:", "not ascending"],
    );
    refused(&good.replacen(WELL, "600,100", 1), &target(FAULT), &["metrics.csv:5: 3 fields"]);
    refused(
        &good.replacen("1681000300", "1681000900", 1),
        &target(FAULT),
        &["metrics.csv:6: 900 s after"],
    );
    refused(
        &good.replacen("1681000000", "today", 1),
        &target(FAULT),
        &["metrics.csv:5: 'today.0'"],
    );
    refused(&good, &target(FAULT - 200), &["no row ends before the fault"]);
    refused(&good, &target(FAULT + 3600), &["no whole row after the fault"]);
    let missing = Dataset::read(Path::new("no such place")).unwrap_err().to_string();
    assert!(missing.starts_with("no such place: "), "{missing}");
    let empty = TempDir::new().unwrap();
    assert!(Dataset::read(empty.path()).unwrap_err().to_string().contains("not the PetShop"));
}

fn any_row() -> impl Strategy<Value = Row> {
    let quantiles = (0.001f64..1.0, 1.0f64..4.0, 1.0f64..2.0, 1.0f64..3.0)
        .prop_map(|(p50, a, b, c)| [p50, p50 * a, p50 * a * b, p50 * a * b * c]);
    (0u64..3000, 0.0f64..=1.0, quantiles).prop_map(|(requests, failing, quantiles)| Row {
        begins: 1_681_000_000,
        requests: Some(requests),
        failures: Some((requests as f64 * failing) as u64),
        mean: None,
        quantiles: Some(quantiles),
    })
}

fn sum(seconds: &[Sample]) -> Sample {
    let mut sum = Sample::default();
    for sample in seconds {
        sum.outcomes.merge(&sample.outcomes);
        sum.latency.merge(&sample.latency);
    }
    sum
}

proptest! {
    #[test]
    fn requests_sum_up_to_the_row_they_were_drawn_from(row in any_row(), seed in any::<u64>()) {
        let mut dice = Xoshiro256PlusPlus::seed_from_u64(seed);
        let seen = sum(&recorded(&row, &mut dice));
        prop_assert_eq!(Some(seen.outcomes.total()), row.requests);
        prop_assert_eq!(Some(seen.outcomes.failures()), row.failures);
        if seen.outcomes.total() >= 100 {
            for (share, seconds) in crate::metrics::SHARES.into_iter().zip(row.quantiles.unwrap()) {
                let latencies = Latencies::of(&row).unwrap();
                // Within one request of the share, and a bucket's width.
                let near = 1.5 / seen.outcomes.total() as f64;
                let found = seen.latency.quantile(share).unwrap() as f64;
                let low = latencies.at((share - near).max(0.0)) as f64 * 0.99;
                let high = latencies.at((share + near).min(1.0)) as f64 * 1.01 + 1.0;
                prop_assert!((low..=high).contains(&found), "{share}: {found} for {seconds}");
            }
        }
        let both = dealt(&row, &mut dice);
        let (stable, canary) = (sum(&both.stable), sum(&both.canary));
        prop_assert_eq!(Some(stable.outcomes.total() + canary.outcomes.total()), row.requests);
        prop_assert_eq!(Some(stable.outcomes.failures() + canary.outcomes.failures()), row.failures);
    }

    #[test]
    fn latencies_grow_with_the_share(row in any_row(), shares in proptest::collection::vec(0.0f64..=1.0, 2..20)) {
        let latencies = Latencies::of(&row).unwrap();
        let mut shares = shares;
        shares.sort_by(f64::total_cmp);
        let micros: Vec<u64> = shares.iter().map(|share| latencies.at(*share)).collect();
        prop_assert!(micros.is_sorted(), "{micros:?}");
    }
}
