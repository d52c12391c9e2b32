use super::*;
use crate::outcome::Outcome;
use crate::sample::{LiveSample, ProbeResult, ProbeRound, Sample};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use std::time::Duration;

const MARGIN: f64 = 1.25;

fn settings() -> EvaluationSettings {
    EvaluationSettings {
        anomaly_threshold: 0.999,
        rollback_threshold: 0.8,
        resume_threshold: 0.2,
        margin: MARGIN,
        withdraw: true,
        min_requests: 10,
        horizon: Duration::from_secs(3600),
        label_window: (Duration::from_secs(60), Duration::from_secs(300)),
    }
}

fn sample(requests: u64, failures: u64) -> Sample {
    let mut sample = Sample::default();
    (0..requests).for_each(|at| {
        sample.record(if at < failures { Outcome::ServerError } else { Outcome::Ok }, 5_000, 10);
    });
    sample
}

/// A second of `(route, failures of 20 on the canary, failures of 180 on stable)`.
fn second(routes: &[(usize, u64, u64)]) -> ServiceTick {
    let live = routes
        .iter()
        .map(|(route, canary, stable)| LiveSample {
            route: Arc::from(format!("route-{route}")),
            samples: Pair { stable: sample(180, *stable), canary: sample(20, *canary) },
        })
        .collect();
    ServiceTick { span_ms: 1000, live, ..ServiceTick::default() }
}

fn watch(ticks: impl Iterator<Item = ServiceTick>) -> Detector {
    let mut detector = Detector::new(Timestamp(0), MARGIN);
    let exposure = Exposure { weight: 0.1, withdrawn: false };
    for (at, tick) in ticks.enumerate() {
        let now = Timestamp((at as u64 + 1) * 1000);
        detector.observe(now, &tick, &BaselineProfile::default(), &settings(), exposure);
    }
    detector
}

#[test]
fn stakes_sum_to_at_most_one() {
    let live = TOGETHER.iter().chain(&BY_ROUTE).sum::<f64>();
    let all = live + ALL_PROBES.iter().chain(&BY_PROBE).chain(&BY_STEP).sum::<f64>();
    assert!(all <= 1.0 + 1e-12, "{all}");
}

proptest! {
    #[test]
    fn routes_share_at_most_the_whole_however_they_appear(batches in proptest::collection::vec(1usize..6, 1..20)) {
        let mut streams: Vec<Stream<3>> = Vec::new();
        for batch in batches {
            let known = streams.len();
            let kept: Vec<f64> = streams.iter().map(|stream| stream.share).collect();
            (0..batch).for_each(|_| streams.push(Stream::new(Arc::from("r"), &PROBE_EVENTS, Timestamp(0))));
            share_out(&mut streams, known);
            let sum: f64 = streams.iter().map(|stream| stream.share).sum();
            prop_assert!(sum < 1.0 && (sum - (1.0 - 1.0 / (2.0 * streams.len() as f64 + 1.0))).abs() < 1e-9);
            // A stake that is in play is never changed: that would not be fair.
            prop_assert!(streams.iter().zip(kept).all(|(stream, share)| stream.share == share));
        }
    }
}

#[test]
fn one_endpoint_of_seven_is_found_and_named() {
    let routes =
        |failures| (0..7).map(|at| (at, if at == 3 { failures } else { 0 }, 0)).collect::<Vec<_>>();
    let detector = watch((0..20).map(|at| second(&routes(if at >= 17 { 10 } else { 0 }))));
    assert!(detector.e_value() > 1e4, "{}", detector.e_value());
    let strongest = &detector.strongest(1)[0];
    assert_eq!((&*strongest.stream, strongest.event), ("route-3", Event::Failure));
    assert_eq!((strongest.hits.canary, strongest.trials.canary), (30, 60));
    let affected = detector.routes_affected().unwrap();
    assert!((affected - 1.0 / 7.0).abs() < 1e-9, "{affected}");
}

#[test]
fn a_canary_that_is_better_wins_nothing() {
    let detector = watch((0..100).map(|_| second(&[(0, 0, 9)])));
    assert!(detector.e_value() < 1.0);
}

#[test]
fn a_route_that_sees_different_load_on_each_side_misleads_nobody() {
    // The canary gets more of the route that fails for everybody: pooled it would look worse.
    let tick = |_| {
        let mut tick = second(&[(0, 0, 0), (1, 0, 0)]);
        tick.live[0].samples = Pair { stable: sample(10, 5), canary: sample(100, 50) };
        tick.live[1].samples = Pair { stable: sample(190, 0), canary: sample(10, 0) };
        tick
    };
    assert!(watch((0..60).map(tick)).e_value() < 2.0);
}

#[test]
fn twenty_rounds_that_fail_on_the_canary_alone_are_an_anomaly_and_shared_ones_none() {
    let round = |stable, canary| ProbeRound {
        probe: Arc::from("login"),
        results: Pair {
            stable: ProbeResult { outcome: stable, micros: 9_000 },
            canary: ProbeResult { outcome: canary, micros: 9_000 },
        },
        steps: Vec::new(),
        plain: false,
    };
    let rounds = |stable, canary| {
        watch((0..20).map(move |_| ServiceTick {
            span_ms: 200,
            probes: vec![round(stable, canary)],
            ..ServiceTick::default()
        }))
    };
    assert!(rounds(Outcome::Ok, Outcome::Assertion).e_value() > 1000.0);
    assert!((rounds(Outcome::Timeout, Outcome::Assertion).e_value() - 1.0).abs() < 1e-9);
}

#[test]
fn what_is_tolerated_is_the_margin_or_a_millisecond() {
    assert_eq!(tolerated(100_000, 1.25), 125_000);
    assert_eq!(tolerated(400, 1.25), 1_400);
}

/// One request of stable and one of the canary, each with its failures, or none.
fn quiet(stable: Option<bool>, canary: Option<bool>) -> ServiceTick {
    let one = |failed: Option<bool>| failed.map_or_else(Sample::default, |f| sample(1, f.into()));
    let samples = Pair { stable: one(stable), canary: one(canary) };
    let live = vec![LiveSample { route: Arc::from("quiet"), samples }];
    ServiceTick { span_ms: 1000, live, ..ServiceTick::default() }
}

#[test]
fn a_quiet_route_is_judged_although_its_ticks_hold_one_variant_at_a_time() {
    let alternating = |canary_fails: bool, stable_fails: bool| {
        watch((0..60).map(move |at| match at % 2 {
            0 => quiet(Some(stable_fails), None),
            _ => quiet(None, Some(canary_fails)),
        }))
    };
    assert!(alternating(true, false).e_value() > 1e3);
    for harmless in [alternating(true, true), alternating(false, true), alternating(false, false)] {
        assert!(harmless.e_value() <= 1.0, "{}", harmless.e_value());
    }
}

#[test]
fn what_came_at_another_weight_is_another_stratum() {
    let mut detector = Detector::new(Timestamp(0), MARGIN);
    // Few users on the canary and all is well; then most are, and both fail alike.
    let spells = [(0.1, 9, 1, false), (0.9, 1, 9, true)];
    for at in 0..20 {
        let (weight, stable, canary, fails) = spells[at % 2];
        let of = |requests: u64| sample(requests, if fails { requests } else { 0 });
        let samples = Pair { stable: of(stable), canary: of(canary) };
        let live = vec![LiveSample { route: Arc::from("quiet"), samples }];
        let tick = ServiceTick { span_ms: 1000, live, ..ServiceTick::default() };
        let now = Timestamp((at as u64 + 1) * 1000);
        let exposure = Exposure { weight, withdrawn: false };
        detector.observe(now, &tick, &BaselineProfile::default(), &settings(), exposure);
    }
    assert!(detector.e_value() <= 1.0, "{}", detector.e_value());
}

#[test]
fn seconds_before_users_came_are_no_witness_of_slowness() {
    let answers = |requests: u64, micros: u64| {
        let mut sample = Sample::default();
        (0..requests).for_each(|at| sample.record(Outcome::Ok, micros + at, 10));
        sample
    };
    let tick = |canary| ServiceTick {
        span_ms: 1000,
        live: vec![LiveSample {
            route: Arc::from("shop"),
            samples: Pair { stable: answers(100, 5_000), canary },
        }],
        ..ServiceTick::default()
    };
    let (mut detector, mut baseline) =
        (Detector::new(Timestamp(0), MARGIN), BaselineProfile::default());
    let mut now = Timestamp(0);
    let mut pass = |weight, tick: &ServiceTick| {
        now = now + Duration::from_secs(1);
        let exposure = Exposure { weight, withdrawn: false };
        detector.observe(now, tick, &baseline, &settings(), exposure);
        baseline.learn(tick, false);
        detector.e_value()
    };
    // Nobody is on the canary: strata of ten seconds of stable's alone, the last one not over. Then users are.
    (0..128).for_each(|_| assert!(pass(0.0, &tick(Sample::default())) <= 1.0));
    let slow = tick(answers(50, 50_000));
    let found = [pass(0.3, &slow), pass(0.3, &slow)];
    assert!(found.iter().all(|e| *e < 3.0), "{found:?}");
    let later: Vec<f64> = (0..8).map(|_| pass(0.3, &slow)).collect();
    assert!(later.last().is_some_and(|e| *e > 1000.0), "{later:?}");
}

#[test]
fn one_user_who_fails_again_and_again_is_one_witness() {
    let failing = |repeated| {
        watch((0..30).map(|_| {
            let mut tick = second(&[(0, 8, 0)]);
            tick.live[0].samples.canary.repeated = repeated;
            tick
        }))
    };
    assert!(failing(8).e_value() < 2.0, "{}", failing(8).e_value());
    assert!(failing(0).e_value() > 1e6);
}

#[test]
fn users_and_probes_say_together_what_neither_says_alone() {
    // On the canary one of a thousand requests fails, and one of twenty probe rounds.
    let seen = |users: bool, probes: bool| {
        watch((0..200u64).map(move |at| {
            let failed = |due: bool| if due { Outcome::ServerError } else { Outcome::Ok };
            let result = |outcome| ProbeResult { outcome, micros: 9_000 };
            let round = ProbeRound {
                probe: Arc::from("login"),
                results: Pair { stable: result(Outcome::Ok), canary: result(failed(at % 10 == 5)) },
                steps: Vec::new(),
                plain: false,
            };
            let live = second(&[(0, u64::from(users && at % 50 == 0), 0)]);
            ServiceTick { probes: if probes { vec![round] } else { vec![] }, ..live }
        }))
        .e_value()
    };
    let (users, probes, both) = (seen(true, false), seen(false, true), seen(true, true));
    assert!(both > 10.0 * users.max(probes), "{users} {probes} {both}");
}

#[test]
fn the_one_probe_that_fails_is_named_while_users_are_on_stable() {
    let ended = |outcome| ProbeResult { outcome, micros: 5_000 };
    let results = Pair { stable: ended(Outcome::Ok), canary: ended(Outcome::Assertion) };
    let round = ProbeRound { probe: Arc::from("cart"), results, steps: Vec::new(), plain: false };
    let samples = Pair { stable: sample(5, 0), canary: Sample::default() };
    let detector = watch((0..20).map(|_| ServiceTick {
        span_ms: 1000,
        live: vec![LiveSample { route: Arc::from("shop"), samples: samples.clone() }],
        probes: vec![round.clone()],
        ..ServiceTick::default()
    }));
    let strongest = detector.strongest(2);
    let named: Vec<_> = strongest.iter().map(|found| &*found.stream).collect();
    assert_eq!(named, ["cart", WITH_PROBES]);
}

/// Rounds of a journey of three steps, one a second. All times of a round are up to three times as long as
/// usual, on both sides alike; the second step takes `times` as long on the canary.
fn journeys(seconds: u64, times: f64) -> Detector {
    let mut dice = rand_xoshiro::Xoshiro256PlusPlus::seed_from_u64(7);
    watch((0..seconds).map(move |_| {
        let busy = dice.random_range(1.0..3.0);
        let mut took = |usual: f64, times: f64| Pair {
            stable: (usual * busy * dice.random_range(0.8..1.25)) as u64,
            canary: (usual * busy * times * dice.random_range(0.8..1.25)) as u64,
        };
        let steps = vec![took(900_000.0, 1.0), took(100_000.0, times), took(500_000.0, 1.0)];
        let all = |side: fn(&Pair<u64>) -> u64| ProbeResult {
            outcome: Outcome::Ok,
            micros: steps.iter().map(side).sum(),
        };
        let results = Pair { stable: all(|step| step.stable), canary: all(|step| step.canary) };
        let probes = vec![ProbeRound { probe: Arc::from("login"), results, steps, plain: false }];
        ServiceTick { span_ms: 1000, probes, ..ServiceTick::default() }
    }))
}

#[test]
fn a_slower_step_of_a_journey_that_wavers_is_seen_and_named_and_one_within_the_margin_is_not() {
    let slower = journeys(200, 1.5);
    assert!(slower.e_value() > 1000.0, "{}", slower.e_value());
    let strongest = slower.strongest(1).pop().unwrap();
    assert_eq!((&*strongest.stream, strongest.event), ("login, step 2", Event::ProbeSlower));
    assert!(strongest.hits.canary > 20 * strongest.hits.stable, "{strongest:?}");
    for times in [1.0, 1.2, 1.25] {
        let within = journeys(2000, times);
        assert!(within.e_value() < 2.0, "{times}: {}", within.e_value());
    }
}
