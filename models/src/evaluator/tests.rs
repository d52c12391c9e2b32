//! The evaluator driven tick by tick by the smallest of controllers, against drawn traffic.

mod lab;

use super::*;
use crate::episode::CHECKPOINTS;
use crate::evaluation::{Label, Verdict};
use lab::{Behaviour, Lab, SECOND};

const GOOD: Behaviour = Behaviour { failing: 0.003, slower: 1.0, tail: 0.0, tail_slower: 1.0 };
const DEAD: Behaviour = Behaviour { failing: 1.0, ..GOOD };

fn both(canary: Behaviour) -> Pair<Behaviour> {
    Pair { stable: GOOD, canary }
}

/// A canary that turns bad 30 s after the deployment.
fn from_30_s(bad: Behaviour) -> impl Fn(f64) -> Pair<Behaviour> {
    move |second| both(if second >= 30.0 { bad } else { GOOD })
}

#[test]
fn answering_500_to_everything_is_withdrawn_within_ticks_and_rolled_back_within_five_seconds() {
    for seed in 0..20 {
        let mut lab = Lab::new(seed);
        lab.run(60.0, from_30_s(DEAD));
        assert!(lab.withdrawn_after(30.0) <= 1.5, "seed {seed}: {:?}", lab.events);
        assert!(lab.rolled_back_after(30.0) <= 5.0, "seed {seed}: {:?}", lab.events);
    }
}

#[test]
fn one_failure_in_five_is_withdrawn_within_seconds_and_rolled_back() {
    let mut waits: Vec<f64> = (0..21)
        .map(|seed| {
            let mut lab = Lab::new(100 + seed);
            lab.run(120.0, from_30_s(Behaviour { failing: 0.2, ..GOOD }));
            assert!(lab.rolled_back_after(30.0) < 60.0, "seed {seed}: {:?}", lab.events);
            lab.withdrawn_after(30.0)
        })
        .collect();
    waits.sort_by(f64::total_cmp);
    assert!(waits[10] <= 3.0, "{waits:?}");
}

#[test]
fn a_two_second_blip_is_withdrawn_and_comes_back_with_and_without_a_model() {
    for (seed, model) in (0..20).flat_map(|seed| [(seed, true), (seed, false)]) {
        let mut lab = Lab::new(200 + seed);
        lab.with_model = model;
        lab.run(400.0, |second| {
            both(if (30.0..32.0).contains(&second) {
                Behaviour { failing: 0.5, ..GOOD }
            } else {
                GOOD
            })
        });
        assert!(
            !lab.was(Verdict::Rollback),
            "seed {seed} {model}: {:?} {:#?}",
            lab.events,
            lab.verdicts.last()
        );
        assert!(lab.was(Verdict::Withdraw) && !lab.withdrawn, "seed {seed}: {:?}", lab.events);
        assert!(
            lab.labels.iter().all(|episode| episode.label == Label::Transient),
            "{:?}",
            lab.labels
        );
        assert_eq!(lab.labels.len(), 1, "{:?}", lab.events);
    }
}

#[test]
fn a_cold_start_is_not_rolled_back() {
    for seed in 0..10 {
        let mut lab = Lab::new(300 + seed);
        lab.run(200.0, |second| {
            let slower = if second < 8.0 { 8.0 } else { 1.0 };
            both(Behaviour { slower, failing: if second < 8.0 { 0.05 } else { 0.003 }, ..GOOD })
        });
        assert!(!lab.was(Verdict::Rollback), "seed {seed}: {:?}", lab.events);
        assert!(!lab.withdrawn, "seed {seed}: {:?}", lab.events);
    }
}

#[test]
fn a_shared_outage_holds_as_long_as_it_lasts_and_withdraws_nobody() {
    for seed in 0..5 {
        let mut lab = Lab::new(400 + seed);
        let failing = Behaviour { failing: 0.6, ..GOOD };
        lab.run(700.0, |second| match second {
            60.0..=660.0 => Pair { stable: failing, canary: failing },
            _ => both(GOOD),
        });
        assert!(!lab.was(Verdict::Rollback) && !lab.was(Verdict::Withdraw), "{:?}", lab.events);
        let during = lab.verdicts.iter().filter(|(at, _)| (65.0..=660.0).contains(at));
        for (at, evaluation) in during {
            assert_eq!(evaluation.verdict, Verdict::Hold, "at {at}");
            assert_eq!(evaluation.reasons[0].code, "shared_fault");
        }
        let last = &lab.verdicts.last().unwrap().1;
        assert_eq!(last.verdict, Verdict::Continue, "{:?}", last.reasons);
    }
}

#[test]
fn a_healthy_hour_raises_nothing() {
    for seed in 0..3 {
        let mut lab = Lab::new(500 + seed);
        lab.run(3600.0, |_| both(GOOD));
        assert!(lab.events.is_empty(), "{:?}", lab.events);
        let (_, last) = lab.verdicts.last().unwrap();
        assert_eq!(last.verdict, Verdict::Continue, "{:?}", last.reasons);
    }
}

#[test]
fn a_few_percent_slower_is_within_the_margin() {
    let mut lab = Lab::new(600);
    lab.run(1200.0, |_| both(Behaviour { slower: 1.08, ..GOOD }));
    assert!(lab.events.is_empty(), "{:?}", lab.events);
}

#[test]
fn a_slow_tail_alone_is_seen() {
    let mut lab = Lab::new(700);
    lab.run(300.0, |second| {
        let tail = if second >= 60.0 { 0.06 } else { 0.0 };
        both(Behaviour { tail, tail_slower: 8.0, ..GOOD })
    });
    assert!(lab.withdrawn_after(60.0) < 120.0, "{:?}", lab.events);
    let fired = &lab.first_reason;
    assert!(fired.contains("percentile"), "{fired}");
}

#[test]
fn twice_as_slow_is_seen() {
    let mut lab = Lab::new(701);
    lab.run(120.0, |second| {
        both(Behaviour { slower: if second >= 40.0 { 2.0 } else { 1.0 }, ..GOOD })
    });
    assert!(lab.withdrawn_after(40.0) < 15.0, "{:?}", lab.events);
}

#[test]
fn without_traffic_nothing_passes() {
    let mut lab = Lab::new(800);
    lab.requests_per_second = 0.0;
    lab.probe_every = None;
    lab.run(120.0, |_| both(GOOD));
    let (_, last) = lab.verdicts.last().unwrap();
    assert_eq!(last.verdict, Verdict::InsufficientEvidence);
    assert_eq!(last.reasons[0].code, "no_traffic");
}

#[test]
fn without_stable_to_compare_with_nothing_passes() {
    let mut lab = Lab::new(801);
    lab.weight = 0.1;
    lab.stable_is_mute = true;
    lab.probe_every = None;
    lab.run(120.0, |_| both(GOOD));
    let (_, last) = lab.verdicts.last().unwrap();
    assert_eq!(last.verdict, Verdict::InsufficientEvidence);
    assert_eq!(last.reasons[0].code, "no_telemetry");
}

#[test]
fn at_full_weight_stables_past_is_the_control() {
    let mut lab = Lab::new(900);
    lab.run(120.0, |_| both(GOOD));
    lab.weight = 1.0;
    lab.run(1200.0, |_| both(GOOD));
    assert!(lab.events.is_empty(), "{:?}", lab.events);
    let (_, last) = lab.verdicts.last().unwrap();
    assert!(last.reasons.iter().any(|reason| reason.code == "historical_control"), "{last:?}");
    lab.run(60.0, |_| both(Behaviour { failing: 0.1, ..GOOD }));
    assert!(lab.withdrawn_after(1320.0) < 5.0, "{:?}", lab.events);
}

#[test]
fn after_a_restart_users_return_only_when_probes_show_that_it_works() {
    let mut lab = Lab::new(1000);
    lab.evaluator.mark_withdrawn(lab.now);
    lab.withdrawn = true;
    lab.run(5.0, |_| both(GOOD));
    assert!(lab.withdrawn);
    lab.run(30.0, |_| both(GOOD));
    assert!(!lab.withdrawn, "{:?}", lab.verdicts.last());

    let mut lab = Lab::new(1001);
    lab.evaluator.mark_withdrawn(lab.now);
    lab.withdrawn = true;
    lab.run(60.0, |_| both(DEAD));
    assert!(lab.was(Verdict::Rollback) && !lab.was(Verdict::Continue), "{:?}", lab.events);
}

#[test]
fn probes_alone_find_wrong_answers() {
    let mut lab = Lab::new(1100);
    lab.probes_see_more = true;
    lab.run(180.0, |second| both(if second > 20.0 { DEAD } else { GOOD }));
    assert!(lab.was(Verdict::Rollback), "{:?}", lab.events);
}

#[test]
fn the_hold_setting_takes_nobody_off_before_the_verdict() {
    let mut lab = Lab::new(1200);
    let settings = EvaluationSettings { withdraw: false, ..lab::settings() };
    lab.evaluator.reconfigure(settings);
    lab.run(60.0, from_30_s(Behaviour { failing: 0.3, ..GOOD }));
    assert!(!lab.was(Verdict::Withdraw) && lab.was(Verdict::Hold), "{:?}", lab.events);
    assert!(lab.was(Verdict::Rollback), "{:?}", lab.events);
}

#[test]
fn a_lasting_failure_is_labelled_sustained_with_its_features() {
    let mut lab = Lab::new(1300);
    lab.run(400.0, from_30_s(Behaviour { failing: 0.5, ..GOOD }));
    let [episode] = lab.labels.as_slice() else { panic!("{:?}", lab.labels) };
    assert_eq!(episode.label, Label::Sustained, "{}", episode.why);
    let kept: Vec<u32> = episode.checkpoints.iter().map(|(at, _)| *at).collect();
    assert_eq!(kept, CHECKPOINTS);
    let text = serde_json::to_string(episode).unwrap();
    assert_eq!(&serde_json::from_str::<Episode>(&text).unwrap(), episode);
}

#[test]
fn the_reasons_carry_the_figures() {
    let mut lab = Lab::new(1400);
    lab.run(60.0, from_30_s(DEAD));
    let text = &lab.first_reason;
    assert!(text.starts_with("canary failed "), "{text}");
    assert!(text.contains("requests on shop while stable failed"), "{text}");
}

#[test]
fn state_does_not_grow_with_time() {
    let mut lab = Lab::new(1500);
    lab.run(300.0, |_| both(GOOD));
    let before = format!("{:?}", lab.evaluator).len();
    lab.run(1500.0, |_| both(GOOD));
    let after = format!("{:?}", lab.evaluator).len();
    assert!(after < before * 3 / 2, "{before} {after}");
}

#[test]
fn ticks_of_any_span_are_taken() {
    let mut lab = Lab::new(1600);
    for span in [0, 1, 50, 100, 5 * SECOND, 100 * SECOND, 10_000 * SECOND] {
        lab.tick(span, &both(GOOD));
    }
    assert!(lab.events.is_empty(), "{:?}", lab.events);
}

#[test]
fn plain_rounds_show_failures_and_make_no_release_a_tried_one() {
    use crate::outcome::Outcome;
    use crate::sample::{ProbeResult, ProbeRound};
    use std::sync::Arc;
    // Nobody is on the canary; whether the rounds are plain, and how the canary answers in them.
    let after_a_minute = |plain: bool, outcome: Outcome| {
        let mut evaluator = Evaluator::new(lab::settings(), Timestamp(0));
        let exposure = Exposure { weight: 0.1, withdrawn: false };
        for second in 1..=60 {
            let result = |outcome| ProbeResult { outcome, micros: 9_000 };
            let results = Pair { stable: result(Outcome::Ok), canary: result(outcome) };
            let round = ProbeRound { probe: Arc::from("shop"), results, steps: vec![], plain };
            let probes = vec![round];
            let tick = ServiceTick { span_ms: 1000, probes, ..ServiceTick::default() };
            evaluator.observe(Timestamp(second * 1000), &tick, exposure);
        }
        evaluator.evaluate(Timestamp(60_000), None).verdict
    };
    assert_eq!(after_a_minute(true, Outcome::Ok), Verdict::InsufficientEvidence);
    assert_eq!(after_a_minute(false, Outcome::Ok), Verdict::Continue);
    let failing = after_a_minute(true, Outcome::ServerError);
    assert!(matches!(failing, Verdict::Withdraw | Verdict::Rollback), "{failing:?}");
}
