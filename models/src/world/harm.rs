//! What a release has done to users, and how bad its fault is.

use super::Condition;
use super::dice::Dice;
use super::fault::{Fault, Reach};
use super::service::ServiceShape;

/// A request is harmed if its latency is multiplied by at least this: the default margin.
const SLOWED_BEYOND: f64 = 1.25;

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
    /// The mean over requests of what their latency is multiplied by.
    pub latency_factor: f64,
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

    /// Adds what happened to `begun` canary requests: because of the canary's fault `failed` failed
    /// or hang; `answered` were answered. A retry on stable fails with probability `stable_fails`.
    pub(super) fn add(
        &mut self,
        (begun, failed, answered): (u32, u32, u32),
        condition: &Condition,
        idempotent: f64,
        stable_fails: f64,
    ) {
        let slowed = condition.slow.iter().filter(|slow| slow.own && slow.times >= SLOWED_BEYOND);
        let spared = slowed.fold(1.0 - condition.wrong, |spared, slow| spared * (1.0 - slow.share));
        let harmed = self.dice.hits(answered, 1.0 - spared);
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
    /// Of these faults on this service.
    pub(super) fn of(service: &ServiceShape, faults: &[Fault]) -> Severity {
        let mut severity = Severity { error_share: 0.0, latency_factor: 1.0 };
        for fault in faults.iter().filter(|fault| fault.reach == Reach::Canary) {
            let traffic = fault.route.map_or(1.0, |route| service.route_shares[route]);
            let effect = &fault.effect;
            let fine = (1.0 - effect.failures) * (1.0 - effect.hangs) * (1.0 - effect.wrong);
            severity.error_share = severity.error_share.max(traffic * (1.0 - fine));
            let slower = traffic * effect.slow_share * (effect.slow_factor - 1.0);
            severity.latency_factor = severity.latency_factor.max(1.0 + slower);
        }
        severity
    }
}
