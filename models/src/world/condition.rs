//! What goes wrong on one route of one variant at one moment.

use super::fault::{Effect, Reach};
use super::latency::Latency;
use super::spread::Blend;
use super::{Variant, World};
use crate::outcome::Outcome;

/// The chances of one request.
#[derive(Debug, Clone, Default)]
pub(super) struct Condition {
    /// Ways to fail, faults before the errors that are always there; their shares add up to at most 1.
    pub(super) failing: Vec<Failing>,
    pub(super) slow: Vec<Slow>,
    /// Share of answers that are wrong.
    pub(super) wrong: f64,
    /// The part of that which is the canary's own.
    pub(super) own_wrong: f64,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Failing {
    /// Share of all requests.
    pub(super) share: f64,
    pub(super) outcome: Outcome,
    /// Because of the canary's own fault.
    pub(super) own: bool,
}

/// A share of answers whose latency is another.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slow {
    pub(super) share: f64,
    pub(super) times: f64,
    /// In place of the usual one.
    pub(super) latency: Option<Latency>,
    /// Because of the canary's own fault.
    pub(super) own: bool,
    /// Whether that is so much longer that its users are harmed.
    pub(super) harms: bool,
}

/// Users are harmed if their latency is multiplied by at least this: the default margin.
const SLOWED_BEYOND: f64 = 1.25;

impl Condition {
    fn fail(&mut self, share: f64, outcome: Outcome, own: bool) {
        let share = share.min(1.0 - self.fails());
        if share > 0.0 {
            self.failing.push(Failing { share, outcome, own });
        }
    }

    /// Share of requests that fail.
    pub(super) fn fails(&self) -> f64 {
        self.failing.iter().map(|failing| failing.share).sum()
    }

    /// Latencies of answers, where they usually have that of `usual`.
    pub(super) fn latencies(&self, usual: Latency) -> Blend {
        let mut blend: Blend = vec![(1.0, usual, 1.0)];
        for slow in &self.slow {
            let changed = |&(share, latency, times): &(f64, Latency, f64)| {
                (share * slow.share, slow.latency.unwrap_or(latency), times * slow.times)
            };
            let others: Blend = blend.iter().map(changed).collect();
            blend.iter_mut().for_each(|(share, ..)| *share *= 1.0 - slow.share);
            blend.extend(others);
            blend.retain(|(share, ..)| *share > 0.0);
        }
        blend
    }
}

impl World {
    pub(super) fn condition(
        &self,
        route: usize,
        variant: Variant,
        at: f64,
        canary_load: f64,
    ) -> Condition {
        let mut condition = Condition::default();
        for fault in &self.faults {
            let concerned = match fault.reach {
                Reach::Both => true,
                Reach::Canary => variant == Variant::Canary,
                Reach::Stable => variant == Variant::Stable,
            };
            if !concerned || fault.route.is_some_and(|only| only != route) {
                continue;
            }
            let strength = fault.strength(at, canary_load);
            if strength <= 0.0 {
                continue;
            }
            let effect = &fault.effect;
            let own = fault.reach == Reach::Canary;
            condition.fail(effect.failures * strength, effect.outcome, own);
            if effect.slow_share > 0.0 {
                condition.slow.push(slow(effect, strength, own, self.service.latencies[route]));
            }
            let wrong = effect.wrong * strength;
            condition.wrong = condition.wrong.max(wrong);
            if own {
                condition.own_wrong = condition.own_wrong.max(wrong);
            }
        }
        for &(share, outcome) in &self.service.error_classes {
            condition.fail(self.service.error_rate * share, outcome, false);
        }
        condition
    }
}

/// What an effect on latency is at this strength, where answers usually take `usual`.
fn slow(effect: &Effect, strength: f64, own: bool, usual: Latency) -> Slow {
    let (share, factor) = (effect.slow_share, effect.slow_factor);
    match effect.latency {
        // A factor grows; another distribution takes over little by little.
        None => {
            let times = 1.0 + (factor - 1.0) * strength;
            Slow { share, times, latency: None, own, harms: times >= SLOWED_BEYOND }
        }
        Some(latency) => {
            let harms = latency.quantile(0.5) * factor >= SLOWED_BEYOND * usual.quantile(0.5);
            Slow { share: share * strength, times: factor, latency: Some(latency), own, harms }
        }
    }
}
