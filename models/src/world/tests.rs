use super::*;
use crate::latency::LatencyCounts;
use crate::outcome::{Outcome, OutcomeCounts};
use crate::sample::ProbeRound;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn scenario(name: &str) -> &'static Scenario {
    Scenario::named(name).unwrap()
}

const SECOND: Duration = Duration::from_secs(1);

fn exposed(weight: f64) -> Exposure {
    Exposure { weight, withdrawn: false }
}

fn withdrawn() -> Exposure {
    Exposure { weight: 0.0, withdrawn: true }
}

/// The canary's and stable's live samples of many ticks, all routes together.
fn totals(ticks: &[ServiceTick]) -> Pair<Sample> {
    let total = |side: fn(&LiveSample) -> &Sample| {
        let mut outcomes = OutcomeCounts::default();
        let mut buckets = BTreeMap::<u16, u32>::new();
        for sample in ticks.iter().flat_map(|tick| &tick.live).map(side) {
            outcomes.merge(&sample.outcomes);
            sample
                .latency
                .0
                .iter()
                .for_each(|(bucket, n)| *buckets.entry(*bucket).or_default() += n);
        }
        Sample {
            outcomes,
            latency: LatencyCounts(buckets.into_iter().collect()),
            ..Sample::default()
        }
    };
    Pair { stable: total(|live| &live.samples.stable), canary: total(|live| &live.samples.canary) }
}

fn run(world: &mut World, seconds: u64, exposure: Exposure, probe_rate: f64) -> Vec<ServiceTick> {
    (0..seconds).map(|_| world.tick(SECOND, exposure, ProbeRates::own(probe_rate))).collect()
}

/// `observed` events are within five standard deviations of a Poisson count of this mean.
#[track_caller]
fn near(observed: u64, mean: f64) {
    let distance = (observed as f64 - mean).abs() / mean.sqrt();
    assert!(distance < 5.0, "{observed} for a mean of {mean}");
}

/// Both versions have stalls of their own in it, which says nothing of the release.
const STALLS: &str = "busy_machine";

#[test]
fn a_healthy_world_has_the_rates_of_its_service() {
    let mut world = World::with_service(ServiceShape::shop(), scenario("healthy"), 1);
    let ticks = run(&mut world, 2000, exposed(0.1), 2.0);
    let live = totals(&ticks);
    near(live.stable.outcomes.total(), 2000.0 * 180.0);
    near(live.canary.outcomes.total(), 2000.0 * 20.0);
    near(live.stable.outcomes.failures(), 2000.0 * 180.0 * 0.001);
    near(live.stable.outcomes.of(Outcome::ClientError), 2000.0 * 180.0 * 0.01);
    assert_eq!(live.stable.latency.total(), live.stable.outcomes.total());
    near(ticks.iter().map(|tick| tick.probes.len() as u64).sum(), 2000.0 * 2.0);
    assert_eq!(world.fault(), None);
}

#[test]
fn latencies_have_the_medians_of_their_routes() {
    let mut world = World::with_service(ServiceShape::shop(), scenario("healthy"), 2);
    let ticks = run(&mut world, 300, exposed(0.1), 0.0);
    for (route, median) in ["route-0", "route-1", "route-2"].iter().zip([8e3, 15e3, 30e3]) {
        let of_route: Vec<ServiceTick> = ticks
            .iter()
            .map(|tick| ServiceTick {
                live: tick.live.iter().filter(|live| &*live.route == *route).cloned().collect(),
                ..ServiceTick::default()
            })
            .collect();
        let found = totals(&of_route).stable.latency.quantile(0.5).unwrap() as f64;
        assert!((found / median - 1.0).abs() < 0.05, "{route}: {found} for {median}");
    }
}

#[test]
fn a_dead_canary_fails_its_share_and_stable_does_not() {
    let dead = Fault::lasting(0.0, Effect::failing(1.0, Outcome::ServerError));
    let mut world = World::with_faults(ServiceShape::shop(), vec![dead], 3);
    assert_eq!(world.truth(), Truth::Sustained);
    let ticks = run(&mut world, 60, exposed(0.1), 5.0);
    let live = totals(&ticks);
    assert_eq!(live.canary.outcomes.failures(), live.canary.outcomes.total());
    assert!(live.stable.outcomes.failures() < 40);
    for round in ticks.iter().flat_map(|tick| &tick.probes) {
        assert!(round.results.canary.outcome.is_failure());
    }
}

#[test]
fn a_blip_begins_and_ends_where_it_says() {
    let mut world = World::with_service(ServiceShape::shop(), scenario("blip"), 4);
    let (begins, ends) = world.fault().unwrap();
    let ends = ends.unwrap();
    assert!(ends - begins <= Duration::from_secs(4));
    let (mut inside, mut outside) = ((0, 0), (0, 0));
    for _ in 0..1500 {
        let from = world.elapsed();
        let tick = world.tick(Duration::from_millis(100), exposed(0.5), ProbeRates::NONE);
        let middle = from + Duration::from_millis(50);
        let counted = if middle >= begins && middle < ends { &mut inside } else { &mut outside };
        let canary = totals(&[tick]).canary.outcomes;
        *counted = (counted.0 + canary.failures(), counted.1 + canary.total());
    }
    let share = world.faults[0].effect.failures;
    near(inside.0, inside.1 as f64 * share);
    near(outside.0, outside.1 as f64 * 0.001);
}

#[test]
fn a_fault_of_load_vanishes_when_users_have_left() {
    let mut world = World::with_service(ServiceShape::shop(), scenario("load_dependent"), 3);
    run(&mut world, 130, exposed(0.1), 0.0);
    let failing = totals(&run(&mut world, 60, exposed(0.1), 0.0)).canary.outcomes;
    assert!(failing.failures() * 50 > failing.total(), "{failing:?}");
    let probes = run(&mut world, 60, withdrawn(), 5.0);
    let failed = probes.iter().flat_map(|tick| &tick.probes);
    assert!(failed.filter(|round| round.results.canary.outcome.is_failure()).count() <= 3);
}

#[test]
fn hanging_requests_are_seen_as_slow_at_once_and_as_timeouts_when_the_proxy_gives_up() {
    let mut world = World::with_service(ServiceShape::shop(), scenario("hangs_lasting"), 5);
    world.faults[0].begins = 0.0;
    world.faults[0].effect.failures = 1.0;
    let early = totals(&run(&mut world, 5, exposed(0.5), 1.0)).canary;
    assert_eq!(early.outcomes.total(), 0);
    assert!(early.latency.above(900_000) > 100);
    let rest = run(&mut world, 15, withdrawn(), 1.0);
    near(totals(&rest).canary.outcomes.of(Outcome::Timeout), 500.0);
    let probes: Vec<_> = rest.iter().flat_map(|tick| &tick.probes).collect();
    assert!((1..=4).contains(&probes.len()), "one at a time, five seconds each: {}", probes.len());
}

#[test]
fn nobody_is_sent_to_a_withdrawn_canary() {
    let mut world = World::with_service(ServiceShape::shop(), scenario("healthy"), 6);
    let exposure = Exposure { weight: 0.3, withdrawn: true };
    assert_eq!(totals(&run(&mut world, 30, exposure, 1.0)).canary, Sample::default());
}

#[test]
fn a_shared_outage_hits_both_alike() {
    let mut world = World::with_service(ServiceShape::shop(), scenario("shared_outage"), 8);
    let (begins, _) = world.fault().unwrap();
    run(&mut world, begins.as_secs() + 1, exposed(0.5), 0.0);
    let live = totals(&run(&mut world, 25, exposed(0.5), 0.0));
    let share = world.faults[0].effect.failures;
    near(live.stable.outcomes.failures(), live.stable.outcomes.total() as f64 * (share + 0.001));
    near(live.canary.outcomes.failures(), live.canary.outcomes.total() as f64 * (share + 0.001));
}

#[test]
fn a_wrong_body_is_seen_by_asserting_probes_only() {
    let mut world = World::with_service(ServiceShape::shop(), scenario("corrupt_body"), 9);
    world.faults[0].begins = 0.0;
    world.faults[0].route = None;
    let ticks = run(&mut world, 100, exposed(0.1), 5.0);
    assert!(totals(&ticks).canary.outcomes.failures() < 20);
    let wrong = |side: fn(&ProbeRound) -> Outcome| {
        let rounds = ticks.iter().flat_map(|tick| &tick.probes);
        rounds.filter(|round| side(round) == Outcome::Assertion).count()
    };
    assert!(wrong(|round| round.results.canary.outcome) > 50);
    assert_eq!(wrong(|round| round.results.stable.outcome), 0);
}

#[test]
fn what_lasts_lasts_and_what_passes_passes() {
    for scenario in Scenario::shipped() {
        for seed in 0..50 {
            let (name, world) = (scenario.name(), World::of_scenario(scenario, seed));
            assert!(scenario.truth().is_none_or(|truth| truth == world.truth()), "{name} {seed}");
            match (world.truth(), world.fault()) {
                (Truth::Sustained, Some((_, end))) => assert_eq!(end, None, "{name} {seed}"),
                (Truth::Transient, Some((begin, end))) => {
                    let length = end.unwrap() - begin;
                    assert!(length <= Duration::from_secs(360), "{name} {seed}: {length:?}");
                }
                (Truth::Null, _) if name == STALLS => {}
                (Truth::Null, _) => assert!(world.faults().iter().all(|f| f.reach == Reach::Both)),
                (_, None) => panic!("{name} {seed} has no fault"),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn the_same_seed_gives_the_same_world(which in 0..Scenario::shipped().len(), seed: u64) {
        let run = || {
            let mut world = World::of_scenario(&Scenario::shipped()[which], seed);
            let weight = world.service().weight;
            let mut ticks = run(&mut world, 40, exposed(weight), 1.0);
            ticks.extend(super::tests::run(&mut world, 10, withdrawn(), 5.0));
            ticks
        };
        prop_assert_eq!(run(), run());
    }

    #[test]
    fn counts_agree_with_each_other(which in 0..Scenario::shipped().len(), seed: u64) {
        let mut world = World::of_scenario(&Scenario::shipped()[which], seed);
        for tick in run(&mut world, 30, exposed(0.2), 2.0) {
            prop_assert_eq!(tick.span_ms, 1000);
            for live in &tick.live {
                let sorted = |counts: &LatencyCounts| counts.0.windows(2).all(|w| w[0].0 < w[1].0);
                prop_assert!(sorted(&live.samples.stable.latency) && sorted(&live.samples.canary.latency));
            }
        }
    }
}

#[test]
fn harm_is_what_the_canarys_own_fault_did() {
    let played = |faults: Vec<Fault>| {
        let mut world = World::with_faults(ServiceShape::shop(), faults, 11);
        run(&mut world, 100, exposed(0.1), 1.0);
        world.harm()
    };
    let fails = Effect::failing(0.5, Outcome::ServerError);
    let shared = Fault { reach: Reach::Both, ..Fault::lasting(0.0, fails) };
    for harmless in [vec![], vec![shared]] {
        let harm = played(harmless);
        near(harm.canary_requests, 2000.0);
        assert_eq!(harm, Harm { canary_requests: harm.canary_requests, ..Harm::default() });
    }
    let harm = played(vec![Fault::lasting(0.0, fails)]);
    near(harm.harmed, 1000.0);
    assert_eq!(harm.failed, harm.harmed);
    // A fifth cannot be tried again; of the others one in a thousand fails on stable, too.
    near(harm.user_errors, 200.0);
    assert!(harm.idempotent_errors <= 6, "{harm:?}");
    let harm = played(vec![Fault::lasting(0.0, fails), shared]);
    near(harm.user_errors, 200.0 + 800.0 * 0.5);
    let wrong = Effect { wrong: 0.25, ..Effect::NONE };
    let harm = played(vec![Fault::lasting(0.0, wrong)]);
    near(harm.harmed, 500.0);
    assert_eq!((harm.failed, harm.user_errors), (0, 0));
    near(played(vec![Fault::lasting(0.0, Effect::slow(0.1, 1.3))]).harmed, 200.0);
    assert_eq!(played(vec![Fault::lasting(0.0, Effect::slow(0.1, 1.2))]).harmed, 0);
}

#[test]
fn a_release_without_a_fault_of_its_own_does_no_harm() {
    let faultless =
        |scenario: &&Scenario| scenario.truth() == Some(Truth::Null) && scenario.name() != STALLS;
    for scenario in Scenario::shipped().iter().filter(faultless) {
        let mut world = World::of_scenario(scenario, 3);
        let requests = world.service().requests_per_second;
        run(&mut world, 300, exposed(0.5), 1.0);
        let harm = world.harm();
        assert!(harm.canary_requests as f64 > 50.0 * requests, "{}", scenario.name());
        assert_eq!(harm, Harm { canary_requests: harm.canary_requests, ..Harm::default() });
        assert_eq!(world.severity(), Severity { error_share: 0.0, latency_factor: 1.0 });
    }
}

#[test]
fn severity_is_that_of_the_worst_moment_over_all_of_the_traffic() {
    let of = |fault: Fault| World::with_faults(ServiceShape::shop(), vec![fault], 1).severity();
    let near = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-3, "{found}");
    let failing = Fault::lasting(30.0, Effect::failing(0.4, Outcome::Reset));
    near(of(failing).error_share, 0.4);
    near(of(Fault { route: Some(2), ..failing }).error_share, 0.04);
    near(of(failing.with(Course::Growing { over: 60.0 })).error_share, 0.4);
    near(of(Fault { reach: Reach::Stable, ..failing }).error_share, 0.0);
    let wrong = Effect { wrong: 0.5, ..Effect::failing(0.4, Outcome::Timeout) };
    near(of(Fault::lasting(0.0, wrong)).error_share, 0.4 + 0.6 * 0.5);
    near(of(Fault::lasting(0.0, Effect::slow(1.0, 3.0))).latency_factor, 3.0);
    near(of(Fault::lasting(0.0, Effect::slow(1.0, 0.5))).latency_factor, 1.0);
    let tail = of(Fault::lasting(0.0, Effect::slow(0.02, 15.0))).latency_factor;
    assert!(tail > 2.0, "the 99% quantile sees it: {tail}");
    let rare = of(Fault::lasting(0.0, Effect::slow(0.001, 15.0))).latency_factor;
    assert!(rare < 1.1, "it does not: {rare}");
}

#[test]
fn a_fault_of_stable_alone_is_seen_on_stable_alone() {
    let effect = Effect { wrong: 0.3, cpu: 3.0, ..Effect::failing(0.2, Outcome::ServerError) };
    let fault = Fault { reach: Reach::Stable, ..Fault::lasting(0.0, effect) };
    let shape = ServiceShape { tells_resources: true, ..ServiceShape::shop() };
    let mut world = World::with_faults(shape, vec![fault], 12);
    assert_eq!((world.truth(), world.step()), (Truth::Null, None));
    let ticks = run(&mut world, 200, exposed(0.5), 1.0);
    let live = totals(&ticks);
    near(live.stable.outcomes.failures(), live.stable.outcomes.total() as f64 * 0.201);
    near(live.canary.outcomes.failures(), live.canary.outcomes.total() as f64 * 0.001);
    let cpu = |side: fn(&ServiceTick) -> Option<f64>| ticks.iter().filter_map(side).sum::<f64>();
    let stable = cpu(|tick| tick.resources.stable.cpu_seconds_per_request);
    assert!((stable / 200.0 / 0.003 - 1.0).abs() < 0.1, "{stable}");
}

#[test]
fn shares_of_failures_add_up_to_all_requests_at_most() {
    let of = |share, outcome| Fault::lasting(0.0, Effect::failing(share, outcome));
    let faults = vec![of(0.6, Outcome::Reset), of(0.7, Outcome::ConnectError)];
    let mut world = World::with_faults(ServiceShape::shop(), faults, 13);
    let outcomes = totals(&run(&mut world, 200, exposed(0.5), 0.0)).canary.outcomes;
    let all = outcomes.total() as f64;
    near(outcomes.of(Outcome::Reset), all * 0.6);
    near(outcomes.of(Outcome::ConnectError), all * 0.4);
    assert_eq!(outcomes.failures(), outcomes.total());
}

/// What a day of a world is made of, put together the slow way: every request for itself.
#[test]
fn a_world_agrees_with_requests_drawn_one_by_one() {
    let effect =
        Effect { slow_share: 0.3, slow_factor: 4.0, ..Effect::failing(0.1, Outcome::ServerError) };
    let fault = Fault::lasting(0.0, effect);
    let shape = ServiceShape { route_shares: vec![1.0], ..ServiceShape::shop() };
    let mut world = World::with_faults(shape.clone(), vec![fault], 14);
    let ticks = 1500;
    let (mut counts, mut limit, mut above) = (vec![], 20_000, vec![]);
    for _ in 0..ticks {
        let canary = totals(&[world.tick(SECOND, exposed(0.1), ProbeRates::NONE)]).canary;
        counts.push((canary.outcomes.total() as f64, canary.outcomes.failures() as f64));
        limit = crate::latency::highest_of(crate::latency::bucket_of(limit));
        above.push(canary.latency.above(limit) as f64);
    }
    let mut dice = Dice::new(15);
    let (mut naive, mut naive_above) = (vec![], vec![]);
    for _ in 0..ticks {
        let (mut all, mut failed, mut beyond) = (0.0, 0.0, 0.0);
        for _ in 0..dice.events(20.0) {
            all += 1.0;
            let fails = dice.chance(0.1 + 0.001);
            let times = match fails {
                true => 0.5,
                false if dice.chance(0.3) => 4.0,
                false => 1.0,
            };
            failed += f64::from(u8::from(fails));
            let micros = shape.latencies[0].draw(&mut dice) * times;
            beyond += f64::from(u8::from(micros as u64 > limit));
        }
        naive.push((all, failed));
        naive_above.push(beyond);
    }
    let alike = |a: Vec<f64>, b: Vec<f64>| {
        let mean = |of: &[f64]| of.iter().sum::<f64>() / of.len() as f64;
        let variance = |of: &[f64]| {
            let mean = mean(of);
            of.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / of.len() as f64
        };
        let error = ((variance(&a) + variance(&b)) / ticks as f64).sqrt();
        assert!((mean(&a) - mean(&b)).abs() < 5.0 * error, "{} {}", mean(&a), mean(&b));
        let ratio = variance(&a) / variance(&b);
        assert!((0.75..1.33).contains(&ratio), "variance {ratio}");
    };
    alike(counts.iter().map(|c| c.0).collect(), naive.iter().map(|c| c.0).collect());
    alike(counts.iter().map(|c| c.1).collect(), naive.iter().map(|c| c.1).collect());
    alike(above, naive_above);
}

#[test]
fn routes_that_no_probe_asks_for_are_asked_plainly() {
    let mut world = World::with_service(ServiceShape::shop(), scenario("healthy"), 9);
    assert_eq!(world.service().plain_routes, [2]);
    let rates = ProbeRates { own: 1.0, plain: 5.0 };
    let ticks = (0..100).map(|_| world.tick(SECOND, exposed(0.0), rates));
    let rounds: Vec<ProbeRound> = ticks.flat_map(|tick| tick.probes).collect();
    let (plain, own): (Vec<_>, Vec<_>) = rounds.iter().partition(|round| round.plain);
    assert!((490..=500).contains(&plain.len()) && (95..=100).contains(&own.len()));
    let well = |round: &&&ProbeRound| round.results.stable.outcome == Outcome::Ok;
    let told = |round: &&ProbeRound| round.steps.len();
    assert!(plain.iter().filter(well).any(|round| told(round) == 1));
    assert!(own.iter().filter(well).any(|round| told(round) == 2), "both steps are told");
}
