//! One release under all policies that are compared.

use super::ledger::{Ledger, Outcome};
use super::metrics::{Metrics, SLICE};
use super::policy::serinus::DEFAULT;
use super::policy::{Conduct, Place, Policy, Watcher};
use super::proxy::{Proxy, weight};
use serinus_models::world::{ProbeRates, Scenario, World};
use serinus_models::{Exposure, Predictor};
use std::sync::Arc;
use std::time::Duration;

/// Up to its first alarm a proxy does the same whatever it would do then: that part is played once,
/// and each policy goes on from the last of the checkpoints before the alarm, which are so far apart.
const CHECKPOINTS: Duration = Duration::from_secs(60);
/// How far apart the watchers' counts are in scenarios of up to an hour, and in longer ones.
const TICK: Duration = Duration::from_secs(1);
const LONG_TICK: Duration = Duration::from_secs(10);

/// The outcomes of the release of this scenario and seed, in the order of `policies`.
///
/// # Errors
/// See [`Proxy::deploy`].
pub(super) fn play(
    scenario: &Scenario,
    seed: u64,
    policies: &[Policy],
    predictor: Option<&Arc<Predictor>>,
) -> anyhow::Result<Vec<Outcome>> {
    let (mut conducts, mut watchers) = (Vec::new(), Vec::new());
    for (at, policy) in policies.iter().enumerate() {
        match policy.place() {
            Place::Proxy(conduct) => conducts.push((at, conduct)),
            Place::Metrics(watcher) => watchers.push((at, watcher)),
        }
    }
    let mut outcomes = proxies(scenario, seed, conducts, predictor)?;
    outcomes.extend(watched(scenario, seed, watchers));
    outcomes.sort_by_key(|(at, _)| *at);
    Ok(outcomes.into_iter().map(|(_, outcome)| outcome).collect())
}

/// Proxies that differ in what they do after an alarm.
fn proxies(
    scenario: &Scenario,
    seed: u64,
    conducts: Vec<(usize, Conduct)>,
    predictor: Option<&Arc<Predictor>>,
) -> anyhow::Result<Vec<(usize, Outcome)>> {
    if conducts.is_empty() {
        return Ok(Vec::new());
    }
    let mut proxy = Proxy::deploy(scenario, seed, predictor.cloned(), DEFAULT)?;
    let mut checkpoint = proxy.clone();
    while !proxy.is_over() && !proxy.has_alarmed() {
        if proxy.elapsed() >= checkpoint.elapsed() + CHECKPOINTS {
            checkpoint = proxy.clone();
        }
        proxy.step();
    }
    if !proxy.has_alarmed() {
        return Ok(conducts.into_iter().map(|(at, _)| (at, proxy.outcome())).collect());
    }
    let go_on = |(at, conduct)| {
        let mut proxy = checkpoint.clone();
        proxy.turn_to(conduct);
        while !proxy.is_over() {
            proxy.step();
        }
        (at, proxy.outcome())
    };
    Ok(conducts.into_iter().map(go_on).collect())
}

/// Watchers do nothing until they roll back: they all watch one play.
fn watched(
    scenario: &Scenario,
    seed: u64,
    watchers: Vec<(usize, Box<dyn Watcher>)>,
) -> Vec<(usize, Outcome)> {
    let mut world = World::of_scenario(scenario, seed);
    let lasts = scenario.lasts();
    let exposure = Exposure { weight: weight(world.service()).ratio(), withdrawn: false };
    let longest = if lasts <= Duration::from_secs(3600) { TICK } else { LONG_TICK };
    let mut ledger = Ledger::of(&world);
    let (mut watching, mut outcomes) = (watchers, Vec::new());
    let (mut slice, mut slice_ends) = (Metrics::default(), SLICE);
    while world.elapsed() < lasts && !watching.is_empty() {
        let now = world.elapsed();
        let (begins, ends) = world.fault().unzip();
        let turns = [begins, ends.flatten(), Some(slice_ends)].into_iter().flatten();
        let ahead = turns.filter(|turn| *turn > now).map(|turn| turn - now);
        let span = ahead.fold(longest, Duration::min).max(Duration::from_millis(1));
        slice.add_tick(&world.tick(span, exposure, ProbeRates::NONE));
        ledger.passed(&world, false);
        if world.elapsed() < slice_ends {
            continue;
        }
        let seen = std::mem::take(&mut slice);
        slice_ends += SLICE;
        watching.retain_mut(|(at, watcher)| {
            let rolls_back = watcher.see(&seen);
            if rolls_back {
                let mut ledger = ledger.clone();
                ledger.roll_back(&world);
                outcomes.push((*at, ledger.close(&world, true, false, None)));
            }
            !rolls_back
        });
    }
    let close = |(at, _)| (at, ledger.close(&world, false, false, None));
    outcomes.extend(watching.into_iter().map(close));
    outcomes
}
