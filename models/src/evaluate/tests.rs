use super::*;
use crate::evaluation::{Event, EventEvidence, Quantiles};
use crate::outcome::{Outcome, OutcomeCounts};
use crate::sample::Pair;
use std::sync::Arc;

fn settings() -> EvaluationSettings {
    EvaluationSettings {
        anomaly_threshold: 0.999,
        rollback_threshold: 0.8,
        resume_threshold: 0.2,
        margin: 1.25,
        withdraw: true,
        min_requests: 10,
        horizon: Duration::from_secs(3600),
        label_window: (Duration::from_secs(60), Duration::from_secs(300)),
    }
}

fn baseline() -> BaselineProfile {
    let mut baseline = BaselineProfile::default();
    baseline.failures.add(3, 1000);
    baseline
}

fn counts(ok: u32, failed: u32) -> OutcomeCounts {
    let mut counts = OutcomeCounts::default();
    counts.add(Outcome::Ok, ok);
    counts.add(Outcome::ServerError, failed);
    counts
}

fn calm() -> CanaryEvidence {
    CanaryEvidence {
        exposed: true,
        e_value: 0.8,
        strongest: Vec::new(),
        recent: Pair { stable: counts(1000, 3), canary: counts(100, 0) },
        lately: Pair { stable: (170, 0), canary: (20, 0) },
        slow_lately: Pair { stable: (170, 17), canary: (20, 2) },
        shared_ago: None,
        latency: Pair::<Quantiles>::default(),
        resources: Pair::default(),
        guards: Vec::new(),
        worse_lately: false,
        seen_in_stage: 100,
        stage_age: Duration::from_secs(90),
        age: Duration::from_secs(900),
        historical: false,
        suspicion: None,
    }
}

fn suspected(e_value: f64, confirmed: bool, cleared: bool) -> CanaryEvidence {
    let fired = EventEvidence {
        stream: Arc::from("shop"),
        event: Event::Failure,
        e_value,
        trials: Pair { stable: 480, canary: 52 },
        hits: Pair { stable: 2, canary: 41 },
    };
    let suspicion = Suspicion {
        since_alarm: Duration::from_secs(6),
        fired: Some(fired.clone()),
        since: (30, if confirmed { 28 } else { 0 }),
        cleared,
        confirmed,
        waits: (Duration::from_secs(3), "the canary is dead"),
        features: None,
    };
    CanaryEvidence { e_value, strongest: vec![fired], suspicion: Some(suspicion), ..calm() }
}

#[track_caller]
fn check(canary: &CanaryEvidence, verdict: Verdict, code: &str) -> Evaluation {
    let evaluation = evaluate_deployment(canary, &baseline(), &settings(), None);
    assert_eq!(evaluation.verdict, verdict, "{:?}", evaluation.reasons);
    let codes: Vec<&str> = evaluation.reasons.iter().map(|reason| reason.code.as_str()).collect();
    assert!(codes.contains(&code), "{codes:?}");
    evaluation
}

#[test]
fn calm_evidence_continues_or_says_what_is_missing() {
    check(&calm(), Verdict::Continue, "no_anomaly");
    let few = CanaryEvidence { seen_in_stage: 9, ..calm() };
    check(&few, Verdict::InsufficientEvidence, "no_traffic");
    let silent = CanaryEvidence {
        recent: Pair { canary: OutcomeCounts::default(), ..calm().recent },
        ..calm()
    };
    check(&silent, Verdict::InsufficientEvidence, "no_traffic");
    let alone = CanaryEvidence {
        recent: Pair { stable: OutcomeCounts::default(), ..calm().recent },
        ..calm()
    };
    check(&alone, Verdict::InsufficientEvidence, "no_telemetry");
    let halfway = CanaryEvidence { e_value: 40.0, worse_lately: true, ..calm() };
    check(&halfway, Verdict::InsufficientEvidence, "ambiguous");
    check(&CanaryEvidence { e_value: 40.0, ..calm() }, Verdict::Continue, "no_anomaly");
}

#[test]
fn an_anomaly_withdraws_exposed_users_and_holds_where_there_are_none() {
    let evaluation = check(&suspected(2000.0, false, false), Verdict::Withdraw, "anomaly");
    assert_eq!(
        evaluation.reasons[0].text,
        "canary failed 41 of 52 (79%) requests on shop while stable failed 2 of 480 (0.42%) (6 s ago)"
    );
    let unexposed = CanaryEvidence { exposed: false, ..suspected(2000.0, false, false) };
    check(&unexposed, Verdict::Hold, "anomaly");
    let settings = EvaluationSettings { withdraw: false, ..settings() };
    let held = evaluate_deployment(&suspected(2000.0, false, false), &baseline(), &settings, None);
    assert_eq!(held.verdict, Verdict::Hold);
}

#[test]
fn without_a_model_ten_times_the_evidence_that_goes_on_is_a_rollback() {
    check(&suspected(9_000.0, true, false), Verdict::Withdraw, "anomaly");
    check(&suspected(11_000.0, true, false), Verdict::Rollback, "detector_only");
    check(&suspected(11_000.0, false, false), Verdict::Withdraw, "anomaly");
}

#[test]
fn what_has_cleared_continues() {
    let evaluation = check(&suspected(11_000.0, false, true), Verdict::Continue, "cleared");
    assert!(evaluation.cleared);
}

#[test]
fn a_shared_fault_is_never_the_releases() {
    for (stable, canary, shared) in
        [(100, 15, true), (100, 20, true), (8, 20, false), (30, 0, true)]
    {
        let evidence = CanaryEvidence {
            lately: Pair { stable: (170, stable), canary: (20, canary) },
            ..suspected(1e9, true, false)
        };
        let evaluation = evaluate_deployment(&evidence, &baseline(), &settings(), None);
        let verdict = if shared { Verdict::Hold } else { Verdict::Rollback };
        assert_eq!(evaluation.verdict, verdict, "{stable} {canary}: {:?}", evaluation.reasons);
        assert_eq!(evaluation.reasons[0].code == "shared_fault", shared);
    }
}

#[test]
fn what_slows_stable_too_is_never_the_releases() {
    let slower = |event, stable, canary| {
        let mut evidence = suspected(1e9, true, false);
        evidence.slow_lately = Pair { stable: (170, stable), canary: (20, canary) };
        let fired = evidence.suspicion.as_mut().and_then(|suspicion| suspicion.fired.as_mut());
        fired.unwrap().event = event;
        evidence
    };
    for (event, stable, canary, shared) in [
        (Event::SlowerThanP90, 85, 20, true),
        (Event::ProbeSlower, 60, 12, true),
        (Event::SlowerThanP90, 60, 20, false), // stable is slow, the canary much slower
        (Event::SlowerThanP90, 20, 5, false),  // next to what is usual
        (Event::Failure, 85, 20, false),       // slow or not, it fails
    ] {
        let evidence = slower(event, stable, canary);
        let evaluation = evaluate_deployment(&evidence, &baseline(), &settings(), None);
        let verdict = if shared { Verdict::Hold } else { Verdict::Rollback };
        assert_eq!(evaluation.verdict, verdict, "{stable} {canary}: {:?}", evaluation.reasons);
        let text = &evaluation.reasons[0].text;
        assert_eq!(text.contains("stable is slow too"), shared, "{text}");
    }
}

#[test]
fn what_stable_had_when_it_was_last_seen_is_never_the_releases() {
    for (hits, shared) in [(42, true), (20, false)] {
        let mut evidence = suspected(1e9, true, false);
        let fired = evidence.suspicion.as_mut().and_then(|suspicion| suspicion.fired.as_mut());
        let fired = fired.unwrap();
        fired.trials = Pair { stable: 45, canary: 172 };
        fired.hits = Pair { stable: hits, canary: 149 };
        let evaluation = evaluate_deployment(&evidence, &baseline(), &settings(), None);
        let verdict = if shared { Verdict::Hold } else { Verdict::Rollback };
        assert_eq!(evaluation.verdict, verdict, "{hits}: {:?}", evaluation.reasons);
    }
}

#[test]
fn everybody_on_the_canary_is_judged_by_stables_past_if_there_is_one() {
    let full = CanaryEvidence {
        historical: true,
        recent: Pair { stable: OutcomeCounts::default(), ..calm().recent },
        ..calm()
    };
    check(&full, Verdict::InsufficientEvidence, "no_telemetry");
    check(&CanaryEvidence { historical: true, ..calm() }, Verdict::Continue, "historical_control");
}

#[test]
fn a_guard_holds_what_is_otherwise_well_and_never_more() {
    let reason = Reason::new("resources", "memory grows");
    let guarded = CanaryEvidence { guards: vec![reason.clone()], ..calm() };
    let evaluation = check(&guarded, Verdict::Hold, "resources");
    assert_eq!(evaluation.reasons.len(), 2);
    let few = CanaryEvidence { seen_in_stage: 9, ..guarded.clone() };
    let verdict = evaluate_deployment(&few, &baseline(), &settings(), None).verdict;
    assert_eq!(verdict, Verdict::InsufficientEvidence);
    let suspected = CanaryEvidence { guards: vec![reason], ..suspected(5000.0, false, false) };
    check(&suspected, Verdict::Withdraw, "anomaly");
}
