//! Whole releases: the driver is deterministic, protects from a dead release and leaves a healthy one alone.

use super::benchmark::Benchmark;
use super::ledger::Outcome;
use super::play::play;
use super::policy::serinus::DEFAULT;
use super::policy::{Place, Policy};
use super::proxy::Proxy;
use super::rows::rows;
use serinus_models::Predictor;
use serinus_models::world::Scenario;
use serinus_models::world::seeds::Purpose;
use std::collections::BTreeSet;
use std::sync::Arc;

fn shipped() -> Arc<Predictor> {
    Arc::new(Predictor::shipped().unwrap())
}

fn scenario(name: &str) -> &'static Scenario {
    Scenario::shipped().iter().find(|scenario| scenario.name() == name).unwrap()
}

fn outcomes(name: &str, runs: u32) -> Vec<Vec<Outcome>> {
    let model = shipped();
    let seeds = (0..runs).map(|run| Purpose::Tune.seed(run));
    seeds.map(|seed| play(scenario(name), seed, &Policy::ALL, Some(&model)).unwrap()).collect()
}

fn place(policy: Policy) -> usize {
    Policy::ALL.iter().position(|known| *known == policy).unwrap()
}

#[test]
fn a_dead_release_is_rolled_back_by_ours_long_before_any_watcher_does() {
    let played = outcomes("dead_on_arrival", 6);
    let harmed = |policy| played.iter().map(|of| of[place(policy)].harmed).sum::<u64>();
    for outcomes in &played {
        let ours = &outcomes[place(Policy::Ours)];
        // Where probes watch, it is found before it has users.
        assert!(ours.rolled_back && !ours.missed, "{ours:?}");
        assert!(ours.withdrawn || ours.harmed == 0, "{ours:?}");
    }
    for watcher in [Policy::Kayenta, Policy::Flagger, Policy::ArgoQuick, Policy::ArgoPatient] {
        assert!(harmed(watcher) > 5 * harmed(Policy::Ours), "{watcher:?}: {}", harmed(watcher));
        let others = played.iter().map(|of| &of[place(watcher)]);
        assert!(others.into_iter().all(|of| !of.withdrawn && of.idempotent_errors.is_none()));
    }
}

#[test]
fn a_healthy_release_is_left_alone() {
    let healthy = Scenario::parse("well.toml", "about = \"well\"").unwrap();
    for seed in (0..5).map(|run| Purpose::Tune.seed(run)) {
        let mut proxy = Proxy::deploy(&healthy, seed, Some(shipped()), DEFAULT).unwrap();
        while !proxy.is_over() {
            proxy.step();
        }
        let outcome = proxy.outcome();
        assert!(!outcome.withdrawn && !outcome.rolled_back && outcome.harmed == 0, "{outcome:?}");
    }
}

/// Going on from a checkpoint is the same as having acted so from the beginning.
#[test]
fn the_part_before_the_alarm_may_be_shared() {
    let model = shipped();
    for name in ["dead_on_arrival", "blip", "flapping"] {
        for seed in (0..3).map(|run| Purpose::Tune.seed(run)) {
            let together = play(scenario(name), seed, &Policy::ALL, Some(&model)).unwrap();
            for policy in Policy::ALL {
                let Place::Proxy(conduct) = policy.place() else { continue };
                let model = Some(model.clone());
                let mut alone = Proxy::deploy(scenario(name), seed, model, conduct).unwrap();
                while !alone.is_over() {
                    alone.step();
                }
                assert_eq!(together[place(policy)], alone.outcome(), "{name} {seed} {policy:?}");
            }
        }
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let model = shipped();
    let run = |jobs| {
        let scenarios = vec![scenario("blip"), scenario("error_step")];
        let policies = vec![Policy::Ours, Policy::Flagger];
        let benchmark =
            Benchmark { scenarios, policies, seeds: Purpose::Tune, first: 3, runs: 4, jobs };
        rows(&benchmark.run(Some(&model), &|| ()).unwrap())
    };
    let (one, many) = (run(1), run(3));
    assert_eq!(one, many);
    assert_eq!(one.len(), 4);
    assert!(one.iter().all(|row| row.runs == 4));
}

#[test]
fn rows_have_the_promised_keys_and_no_others() {
    let benchmark = Benchmark {
        scenarios: vec![scenario("error_step")],
        policies: vec![Policy::ArgoQuick],
        seeds: Purpose::Tune,
        first: 0,
        runs: 1,
        jobs: 1,
    };
    let rows = rows(&benchmark.run(None, &|| ()).unwrap());
    let row = serde_json::to_value(&rows[0]).unwrap();
    let keys: BTreeSet<&str> = row.as_object().unwrap().keys().map(String::as_str).collect();
    let promised = [
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
    ];
    assert_eq!(keys, promised.into());
}

#[test]
fn a_canary_with_few_users_is_probed_more_often_from_the_start() {
    let scenario = scenario("low_traffic");
    let seen = (0..10).filter(|run| {
        let mut proxy =
            Proxy::deploy(scenario, Purpose::Tune.seed(*run), Some(shipped()), DEFAULT).unwrap();
        // Before anything is suspected.
        while proxy.elapsed().as_secs() < 20 && !proxy.has_alarmed() {
            proxy.step();
        }
        !proxy.has_alarmed() && proxy.probes_at() != serinus_rollout::Urgency::Raised
    });
    assert_eq!(seen.count(), 0, "routine pace with fewer than two users' requests a second");
}
