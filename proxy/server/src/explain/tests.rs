use super::*;
use serde_json::json;
use serinus_models::{Event, EventEvidence, FeatureValue, Pair, Reason, Timestamp, Verdict};
use serinus_rollout::{Phase, ServiceState};

pub(crate) fn evaluation() -> Evaluation {
    let mut recent = Pair::<OutcomeCounts>::default();
    recent.stable.add(Outcome::Ok, 12_006);
    recent.stable.add(Outcome::ServerError, 24);
    recent.canary.add(Outcome::Ok, 265);
    recent.canary.add(Outcome::ServerError, 240);
    recent.canary.add(Outcome::Timeout, 7);
    let quantiles = |p50, p90, p99| Quantiles { p50: Some(p50), p90: Some(p90), p99: Some(p99) };
    let feature =
        |name: &str, value, contribution| FeatureValue { name: name.into(), value, contribution };
    Evaluation {
        anomaly_score: 0.999_999,
        failure_probability: Some(0.93),
        verdict: Verdict::Rollback,
        reasons: vec![
            Reason::new("anomaly", "247 of 512 canary requests failed"),
            Reason::new("forecast_lasting", "probes still fail with nobody on it"),
        ],
        cleared: false,
        shared_ago: None,
        model_id: Some("shipped-1".into()),
        evidence: vec![EventEvidence {
            stream: "shop".into(),
            event: Event::Failure,
            e_value: 3.2e23,
            trials: Pair { stable: 12_030, canary: 512 },
            hits: Pair { stable: 24, canary: 247 },
        }],
        recent,
        latency: Pair {
            stable: quantiles(12_300, 30_000, 88_000),
            canary: quantiles(900, 2_000, 1_400_000),
        },
        resources: Pair::default(),
        features: vec![
            feature("probe_excess_error", Some(0.934), 1.81),
            feature("memory_slope", None, 0.001),
            feature("ln_time_since_deployment", Some(4.1), -0.42),
        ],
    }
}

pub(crate) fn entry(kind: RecordKind, phase: Phase, evaluation: Option<Evaluation>) -> Entry {
    let at = Timestamp(1_795_394_692_007);
    let mut state = ServiceState::idle("1.8.2".into(), at);
    state.phase = phase;
    state.canary_version = Some("1.9.0".into());
    Entry {
        id: 12,
        record: Record {
            at,
            kind,
            service: Some("checkout".into()),
            text: "247 of 512 canary requests failed; probes still fail with nobody on it".into(),
            state: Some(state),
            evaluation,
            details: json!({ "thresholds": { "anomaly": 0.999, "rollback": 0.8, "resume": 0.2 } }),
            config_hash: "0123456789abcdef".into(),
        },
    }
}

#[test]
fn a_rollback_is_told_from_what_was_seen_to_what_to_type() {
    let told = explain(&entry(RecordKind::RolledBack, Phase::RolledBack, Some(evaluation())));
    assert_eq!(told, include_str!("testdata/rolled_back.txt"), "\n{told}");
}

#[test]
fn every_kind_of_record_has_a_headline_and_an_explanation() {
    for kind in RecordKind::ALL {
        let mut entry = entry(kind, Phase::Progressing, None);
        assert!(explain(&entry).contains("Decision 12: "), "{kind:?}");
        entry.record.service = None;
        entry.record.state = None;
        assert!(!explain(&entry).contains("  \n"), "{kind:?}");
    }
}

#[test]
fn observe_mode_says_that_nothing_was_changed() {
    let mut entry = entry(RecordKind::Withdrawn, Phase::Progressing, Some(evaluation()));
    entry.record.details["observed_only"] = json!(true);
    assert!(explain(&entry).contains("Nothing was changed"));
}

#[test]
fn an_evaluation_without_any_traffic_is_told_without_figures_that_are_not_there() {
    let mut nothing = evaluation();
    nothing.recent = Pair::default();
    nothing.latency = Pair::default();
    nothing.evidence.clear();
    nothing.failure_probability = None;
    let told = explain(&entry(RecordKind::Held, Phase::Progressing, Some(nothing)));
    assert!(!told.contains("NaN") && !told.contains("inf"), "{told}");
    assert!(told.contains("canary            0         -         -"), "{told}");
}
