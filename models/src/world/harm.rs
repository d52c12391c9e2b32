//! What a release has done to users, and how bad its fault is.

use super::condition::Condition;
use super::dice::Dice;
use super::fault::Reach;
use super::latency::quantile_of;
use super::spread::Blend;
use super::{Variant, World};

/// Quantiles at which a slower latency is told.
const QUANTILES: [f64; 3] = [0.5, 0.9, 0.99];

/// What users have suffered since the deployment because of the canary's own fault. Faults that
/// stable shares, and the errors that the service always has, are not in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Harm {
    /// Requests of users that were sent to the canary.
    pub canary_requests: u64,
    /// Of them: failed, hanging, answered wrongly, or slowed by a quarter or more.
    pub harmed: u64,
    /// Of them: failed.
    pub failed: u64,
    /// Of the failed: seen by users although idempotent ones are retried once on stable (the shield).
    pub user_errors: u64,
    /// Of those: idempotent ones, where stable failed as well or too much was retried.
    pub idempotent_errors: u64,
}

/// How bad a release is at its worst, over all of the canary's traffic.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Severity {
    /// Share of requests that fail, hang or are answered wrongly because of its fault.
    pub error_share: f64,
    /// By what the fault multiplies the median, the 90% or the 99% quantile of latency: the greatest
    /// of the three, at least 1.
    pub latency_factor: f64,
}

/// What becomes of the requests of one tick.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fates {
    /// All of them.
    pub(super) begun: u32,
    /// Those that fail or hang because of the canary's own fault.
    pub(super) failed: u32,
    /// Those that are answered, rightly or wrongly.
    pub(super) answered: u32,
}

/// Retries on stable earned per finished request and per second, and the most that are saved up:
/// those of the proxy's shield.
const RETRIES_PER_REQUEST: f64 = 0.2;
const RETRIES_PER_SECOND: f64 = 10.0;
const RETRIES_SAVED: f64 = 100.0;

/// Counts the harm. It has its own dice: what is counted changes nothing of what is seen.
#[derive(Debug, Clone)]
pub(super) struct Toll {
    pub(super) harm: Harm,
    retries: f64,
    dice: Dice,
}

impl Toll {
    pub(super) fn new(dice: Dice) -> Toll {
        Toll { harm: Harm::default(), retries: RETRIES_SAVED, dice }
    }

    /// A tick begins: its retries can be spent while it lasts, the rest is saved up to a limit.
    pub(super) fn begin(&mut self, requests: f64, seconds: f64) {
        let earned = requests * RETRIES_PER_REQUEST + seconds * RETRIES_PER_SECOND;
        self.retries = self.retries.min(RETRIES_SAVED) + earned;
    }

    /// Adds what happened to requests that were sent to the canary. A retry on stable fails with
    /// probability `stable_fails`.
    pub(super) fn add(
        &mut self,
        Fates { begun, failed, answered }: Fates,
        condition: &Condition,
        idempotent: f64,
        stable_fails: f64,
    ) {
        let slowed = condition.slow.iter().filter(|slow| slow.own && slow.harms);
        let unharmed = 1.0 - condition.own_wrong;
        let unharmed = slowed.fold(unharmed, |unharmed, slow| unharmed * (1.0 - slow.share));
        let harmed = self.dice.hits(answered, 1.0 - unharmed);
        let idempotent = self.dice.hits(failed, idempotent);
        let retried = idempotent.min(self.retries as u32);
        self.retries -= f64::from(retried);
        let saved = retried - self.dice.hits(retried, stable_fails);
        self.harm.canary_requests += u64::from(begun);
        self.harm.harmed += u64::from(failed + harmed);
        self.harm.failed += u64::from(failed);
        self.harm.user_errors += u64::from(failed - saved);
        self.harm.idempotent_errors += u64::from(idempotent - saved);
    }
}

impl Severity {
    pub(super) fn of(world: &World) -> Severity {
        let mut worst = Severity { error_share: 0.0, latency_factor: 1.0 };
        for fault in world.faults.iter().filter(|fault| fault.reach == Reach::Canary) {
            let now = Severity::at(world, fault.full_at());
            worst.error_share = worst.error_share.max(now.error_share);
            worst.latency_factor = worst.latency_factor.max(now.latency_factor);
        }
        worst
    }

    fn at(world: &World, at: f64) -> Severity {
        let service = &world.service;
        let mut error_share = 0.0;
        let mut latencies: Vec<(Blend, Blend)> = vec![];
        for (route, share) in service.route_shares.iter().enumerate() {
            let mut condition = world.condition(route, Variant::Canary, at, f64::INFINITY);
            let own = condition.failing.iter().filter(|failing| failing.own);
            let failed: f64 = own.map(|failing| failing.share).sum();
            error_share += share * (failed + (1.0 - failed) * condition.own_wrong);
            let with = condition.latencies(service.latencies[route]);
            condition.slow.retain(|slow| !slow.own);
            latencies.push((with, condition.latencies(service.latencies[route])));
        }
        let quantile = |q: f64, side: fn(&(Blend, Blend)) -> &Blend| {
            let below = |blend: &Blend, micros: f64| -> f64 {
                blend
                    .iter()
                    .map(|(part, latency, times)| part * latency.below(micros / times))
                    .sum()
            };
            let routes = || service.route_shares.iter().zip(&latencies);
            quantile_of(q, |micros| {
                routes().map(|(share, route)| share * below(side(route), micros)).sum()
            })
        };
        let factor = |q| quantile(q, |(with, _)| with) / quantile(q, |(_, without)| without);
        Severity {
            error_share,
            latency_factor: QUANTILES.map(factor).into_iter().fold(1.0, f64::max),
        }
    }
}
