//! The way back to stable, and faults that come and go, under virtual time.

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use serinus_models::Exposure;
use serinus_models::world::{ProbeRates, Scenario, World};
use serinus_rollout::{Command, OnAnomaly, Phase, Record, RecordKind, RolloutPolicy};
use serinus_routing::Weight;
use serinus_tests::play::{
    SECOND, busy_world, opened, scenario, second, see, shipped, stages, undisturbed,
};
use serinus_tests::simulation::{SimulatedService, Simulation};
use std::panic::AssertUnwindSafe;
use std::time::Duration;

fn alone(percent: f64) -> RolloutPolicy {
    RolloutPolicy { stages: stages(&[(percent, 3_600)]), ..RolloutPolicy::default() }
}

/// The steps of a way back that were told, without its end.
fn steps(simulation: &Simulation) -> Vec<&Record> {
    let told = simulation.told.iter();
    told.filter(|record| record.details["reason"] == "ramp").collect()
}

/// Seeds of lasting errors that hit such a share of the requests.
fn error_steps(shares: std::ops::Range<f64>, count: usize) -> Vec<u64> {
    let share = |seed: u64| busy_world("error_step", seed).severity().error_share;
    let seeds: Vec<u64> = (0..400).filter(|seed| shares.contains(&share(*seed))).collect();
    assert!(seeds.len() >= count, "{seeds:?}");
    seeds[..count].to_vec()
}

/// Half an hour with everybody on a healthy canary, so that stable has carried nothing for long.
fn everybody(seed: u64) -> (Simulation, World) {
    let policy = RolloutPolicy { stages: stages(&[(5.0, 60), (100.0, 7_200)]), ..alone(0.0) };
    let (mut simulation, mut world) = opened("healthy", seed, policy);
    for _ in 0..1_800 {
        second(&mut simulation, &mut world);
    }
    assert_eq!(simulation.weight("shop"), Weight::FULL);
    (simulation, world)
}

#[test]
fn a_canary_with_everybody_and_some_errors_gives_users_back_in_steps() {
    for seed in error_steps(0.03..0.25, 4) {
        let (mut simulation, _) = everybody(seed);
        let mut world = busy_world("error_step", seed);
        for _ in 0..900 {
            second(&mut simulation, &mut world);
        }
        let way = steps(&simulation);
        // Steps that are due in the same second are taken together.
        assert!((2..=4).contains(&way.len()), "seed {seed}: {} steps", way.len());
        assert!(way[0].text.contains("it has lately carried"), "{}", way[0].text);
        let weights = way.iter().filter_map(|step| Some(step.state.as_ref()?.weight.percent()));
        assert!(weights.is_sorted_by(|a, b| a > b), "seed {seed}");
        let end = simulation.told.iter().find(|record| record.kind == RecordKind::Withdrawn);
        let took = end.map(|end| end.at.since(way[0].at)).unwrap_or_default();
        assert!((2..=8).contains(&took.as_secs()), "seed {seed}: {took:?}");
        assert!(simulation.weight("shop").is_zero());
    }
}

#[test]
fn half_of_the_users_return_in_two_steps() {
    for seed in error_steps(0.03..0.25, 20) {
        let simulation = undisturbed("error_step", seed, 600, alone(50.0));
        let way = steps(&simulation);
        assert_eq!(way.len(), 1, "seed {seed}: all but the last");
        assert_eq!(simulation.count("shop", RecordKind::Withdrawn), 1, "seed {seed}");
        assert!(simulation.weight("shop").is_zero());
    }
}

#[test]
fn from_a_dead_canary_everybody_returns_at_once() {
    let dead = (0..20).map(|seed| ("dead_on_arrival", seed));
    let errors = error_steps(0.8..1.01, 20).into_iter().map(|seed| ("error_step", seed));
    for (family, seed) in dead.chain(errors) {
        let simulation = undisturbed(family, seed, 400, alone(50.0));
        let way = steps(&simulation);
        assert!(way.is_empty(), "{family} {seed}: {}", way[0].text);
        assert!(simulation.weight("shop").is_zero(), "{family} {seed}");
    }
}

#[test]
fn from_a_small_canary_everybody_returns_at_once() {
    for seed in error_steps(0.03..1.01, 20) {
        let simulation = undisturbed("error_step", seed, 400, alone(25.0));
        assert!(steps(&simulation).is_empty(), "seed {seed}");
    }
}

#[test]
fn a_rollback_without_a_withdrawal_before_it_goes_in_steps_too() {
    let policy = RolloutPolicy { on_anomaly: OnAnomaly::Hold, ..alone(50.0) };
    // A journey of three requests fails nearly three times as often as one: with more, this would be a dead canary.
    for seed in error_steps(0.03..0.12, 20) {
        let simulation = undisturbed("error_step", seed, 900, policy.clone());
        assert_eq!(simulation.count("shop", RecordKind::Withdrawn), 0, "seed {seed}");
        assert_eq!(simulation.status("shop").phase, Phase::RolledBack, "seed {seed}");
        let way = steps(&simulation);
        assert_eq!(way.len(), 1, "seed {seed}: all but the last");
        assert_eq!(way[0].details["then"], "rolled_back", "seed {seed}");
    }
}

/// A healthy release with everybody on it, given up by an operator.
fn aborted(seed: u64) -> (Simulation, World) {
    let (mut simulation, world) = everybody(seed);
    assert!(simulation.command("shop", Command::Abort));
    assert!(!simulation.weight("shop").is_zero(), "stable has carried nothing for half an hour");
    (simulation, world)
}

#[test]
fn an_abort_is_a_way_back_too_and_a_second_one_ends_it() {
    let (mut simulation, _) = aborted(1);
    assert!(!simulation.command("shop", Command::Promote), "on the way back");
    assert!(simulation.command("shop", Command::Abort));
    assert!(simulation.weight("shop").is_zero());
    assert_eq!(simulation.status("shop").phase, Phase::RolledBack);

    let (mut simulation, mut world) = aborted(2);
    for _ in 0..8 {
        second(&mut simulation, &mut world);
    }
    assert_eq!(simulation.status("shop").phase, Phase::RolledBack);
    assert_eq!(simulation.count("shop", RecordKind::Aborted), 1);
}

#[test]
fn steps_do_not_wait_for_the_next_look() {
    let (mut simulation, _) = aborted(5);
    for _ in 0..80 {
        simulation.glance(Duration::from_millis(100));
    }
    let ended = simulation.told.iter().find(|record| record.kind == RecordKind::Aborted);
    let way = steps(&simulation);
    let took = ended.map(|ended| ended.at.since(way[0].at).as_secs_f64());
    assert!(took.is_some_and(|took| took <= 8.0), "{took:?}");
    assert_eq!(way.len(), 4, "each step for itself");
}

#[test]
fn a_restart_on_the_way_back_goes_on_to_zero() {
    for seconds in [0, 1, 4, 7] {
        let (mut simulation, mut world) = aborted(3);
        for _ in 0..seconds {
            second(&mut simulation, &mut world);
        }
        let before = simulation.weight("shop");
        simulation.crash(usize::MAX);
        assert!(simulation.weight("shop") <= before, "after {seconds} s");
        for _ in seconds..8 {
            second(&mut simulation, &mut world);
        }
        assert_eq!(simulation.status("shop").phase, Phase::RolledBack, "after {seconds} s");
        assert!(simulation.weight("shop").is_zero());
    }
}

#[test]
fn a_canary_that_dies_on_the_way_back_loses_everybody_at_once() {
    let (mut simulation, _) = aborted(4);
    let mut world = busy_world("dead_on_arrival", 4);
    second(&mut simulation, &mut world);
    assert!(simulation.weight("shop").is_zero());
    assert_eq!(simulation.status("shop").phase, Phase::RolledBack);
}

/// Heavy stages, a disk that fails and lags, crashes, reloads, an operator: how many steps were told.
fn disturbed(seed: u64, step: &mut usize) -> usize {
    let mut dice = Xoshiro256PlusPlus::seed_from_u64(seed);
    let scenarios = Scenario::shipped();
    let family = scenarios[dice.random_range(0..scenarios.len())].name();
    let heavy: [&[(f64, u64)]; 3] =
        [&[(100.0, 300)], &[(60.0, 60), (100.0, 60)], &[(50.0, 400), (75.0, 400)]];
    let policy = |dice: &mut Xoshiro256PlusPlus| RolloutPolicy {
        stages: stages(heavy[dice.random_range(0..heavy.len())]),
        on_anomaly: if dice.random_bool(0.3) { OnAnomaly::Hold } else { OnAnomaly::Withdraw },
        withdraw_limit: Duration::from_secs(dice.random_range(5..200)),
        ramp_limit: Duration::from_secs(dice.random_range(0..=30)),
        ..RolloutPolicy::default()
    };
    let mut world = World::of_scenario(scenario(family), seed);
    let shop = |canary, policy| vec![SimulatedService { name: "shop", canary, policy }];
    let mut simulation = Simulation::new(shop(Some("2.0"), policy(&mut dice)), shipped());
    let (mut disk_works, mut present) = (true, true);
    for at in 0..400 {
        *step = at;
        disk_works ^= dice.random_bool(0.02);
        if present {
            see(&mut simulation, "shop", &mut world, SECOND);
        }
        if dice.random_bool(0.7) {
            simulation.answer(dice.random_range(1..6), disk_works);
        }
        simulation.pass(SECOND);
        match dice.random_range(0..200) {
            0..=7 if present => {
                simulation.command("shop", Command::ALL[dice.random_range(0..Command::ALL.len())]);
            }
            8..=9 => {
                present = dice.random_bool(0.8);
                let versions = [Some("2.0"), Some("2.0"), Some("2.1"), None];
                let canary = versions[dice.random_range(0..versions.len())];
                let services = shop(canary, policy(&mut dice));
                simulation.reload(if present { services } else { Vec::new() });
            }
            10..=12 => simulation.crash(dice.random_range(0..4)),
            _ => {}
        }
    }
    steps(&simulation).len()
}

#[test]
fn invariants_hold_on_the_way_back_whatever_happens_to_it() {
    let mut told = 0;
    for seed in 0..256 {
        let mut step = 0;
        let run = std::panic::catch_unwind(AssertUnwindSafe(|| disturbed(seed, &mut step)));
        told += run.unwrap_or_else(|_| panic!("seed {seed}, step {step}: see the panic above"));
    }
    assert!(told > 100, "only {told} steps were taken");
}

/// The stages that are the default.
fn usual() -> RolloutPolicy {
    RolloutPolicy {
        stages: stages(&[(1.0, 300), (10.0, 600), (50.0, 600), (100.0, 1_800)]),
        ..RolloutPolicy::default()
    }
}

#[test]
fn what_comes_and_goes_is_taken_back_after_three_exposures_at_most() {
    for (family, seed) in (0..20).flat_map(|seed| [("flapping", seed), ("crash_loop", seed)]) {
        let (mut simulation, mut world) = opened(family, seed, usual());
        for _ in 0..1_800 {
            second(&mut simulation, &mut world);
        }
        let left = simulation.count("shop", RecordKind::Withdrawn);
        assert_eq!(simulation.status("shop").phase, Phase::RolledBack, "{family} {seed}");
        assert!(left <= 3, "{family} {seed}: {left} exposures");
        assert!(world.harm().harmed < 100, "{family} {seed}: {:?}", world.harm());
    }
}

/// A blip every so many seconds, each of which would pass for itself.
fn blips(seed: u64, period: u64, policy: RolloutPolicy) -> (Simulation, u64) {
    let (mut simulation, mut world) = opened("blip", seed, policy);
    let mut harmed = 0;
    for at in 1..3_600 {
        if at % period == 0 {
            harmed += world.harm().harmed;
            world = busy_world("blip", seed + at);
            // To its onset, which users are spared.
            let onset = world.fault().map_or(Duration::ZERO, |(begins, _)| begins);
            let nobody = Exposure { weight: 0.0, withdrawn: true };
            for _ in 0..onset.as_secs() {
                world.tick(SECOND, nobody, ProbeRates::NONE);
            }
        }
        second(&mut simulation, &mut world);
    }
    (simulation, harmed + world.harm().harmed)
}

#[test]
fn blips_again_and_again_are_taken_back_without_a_third_exposure() {
    let (mut thirds, mut all) = (0, 0);
    for (seed, period) in (0..12).flat_map(|seed| [(seed, 60), (seed, 90), (seed, 150)]) {
        let (simulation, harmed) = blips(seed, period, usual());
        let left = simulation.count("shop", RecordKind::Withdrawn);
        assert_eq!(simulation.status("shop").phase, Phase::RolledBack, "{seed}, {period} s");
        assert!(harmed < 200, "seed {seed}, {period} s: {harmed} requests");
        assert!(left <= 3, "seed {seed}, {period} s: {left} exposures");
        thirds += usize::from(left == 3);
        all += 1;
    }
    assert!(thirds * 4 < all, "{thirds} of {all} were exposed a third time");
}
