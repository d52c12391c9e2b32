//! What became of one release under one policy.

use serinus_models::Label;
use serinus_models::world::{Truth, World};
use std::time::Duration;

/// A sustained failure nobody was protected from so long after it began is missed.
const PATIENCE: Duration = Duration::from_secs(30 * 60);
/// A sustained failure must be at least so bad to count as missed: share of requests that fail ...
const SEVERE_ERRORS: f64 = 0.01;
/// ... or the mean of what latencies are multiplied by.
const SEVERE_LATENCY: f64 = 1.3;
/// The false-alarm rate that the bound on detection is stated for: that of the default threshold.
const ALPHA: f64 = 0.001;

/// What was done and when, while the release goes on.
#[derive(Debug, Clone)]
pub(super) struct Ledger {
    /// When something begins to be wrong with the canary.
    onset: Option<Duration>,
    deadline: Option<Duration>,
    requests_at_onset: u64,
    acted_after: Option<u64>,
    withdrawn: bool,
    rolled_back: bool,
    protected_at_deadline: Option<bool>,
}

/// One release under one policy, from its end.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Outcome {
    pub(super) truth: Truth,
    /// Whether the fault is bad enough to count as missed.
    pub(super) severe: bool,
    pub(super) harmed: u64,
    /// Failures that users saw.
    pub(super) user_errors: u64,
    /// Of them, those of requests that could have been sent again; without a shield that is not counted.
    pub(super) idempotent_errors: Option<u64>,
    pub(super) rolled_back: bool,
    /// Whether users were off the canary reversibly at some time.
    pub(super) withdrawn: bool,
    /// Sustained and severe, and users were on the canary half an hour after its begin.
    pub(super) missed: bool,
    /// Canary requests from the fault's begin to the first protective action after it; of a sustained fault that
    /// saw none, those to the end.
    pub(super) delay: Option<u64>,
    /// Canary requests that no test can do with less of, on average.
    pub(super) bound: Option<f64>,
    /// Missed, and in that half hour there were fewer canary requests than the bound: nobody can tell.
    pub(super) beyond_reach: bool,
    /// The first episode's label, where one was reached.
    pub(super) label: Option<Label>,
}

impl Ledger {
    pub(super) fn of(world: &World) -> Ledger {
        let fault = world.fault().filter(|_| world.truth() != Truth::Null);
        let onset = fault.map(|(begins, _)| begins);
        Ledger {
            onset,
            deadline: onset.map(|onset| onset + PATIENCE),
            requests_at_onset: 0,
            acted_after: None,
            withdrawn: false,
            rolled_back: false,
            protected_at_deadline: None,
        }
    }

    /// Time went on to that of `world`; whether users are off the canary now.
    pub(super) fn passed(&mut self, world: &World, protected: bool) {
        let now = world.elapsed();
        if self.onset.is_some_and(|onset| now <= onset) {
            self.requests_at_onset = world.harm().canary_requests;
        }
        if self.deadline.is_some_and(|deadline| now >= deadline) {
            self.protected_at_deadline.get_or_insert(protected);
        }
    }

    /// Users were taken off for now.
    pub(super) fn withdraw(&mut self, world: &World) {
        self.withdrawn = true;
        self.act(world);
    }

    /// The release was taken back.
    pub(super) fn roll_back(&mut self, world: &World) {
        self.rolled_back = true;
        self.act(world);
    }

    fn act(&mut self, world: &World) {
        if self.onset.is_some_and(|onset| world.elapsed() >= onset) {
            let since = world.harm().canary_requests - self.requests_at_onset;
            self.acted_after.get_or_insert(since);
        }
    }

    pub(super) fn is_rolled_back(&self) -> bool {
        self.rolled_back
    }

    /// Closes the book. `protected`: users are off the canary at
    /// the end; `shielded`: failed idempotent requests were sent to stable.
    pub(super) fn close(
        &self,
        world: &World,
        protected: bool,
        shielded: bool,
        label: Option<Label>,
    ) -> Outcome {
        let (truth, severity, harm) = (world.truth(), world.severity(), world.harm());
        let severe =
            severity.error_share >= SEVERE_ERRORS || severity.latency_factor >= SEVERE_LATENCY;
        let sustained = truth == Truth::Sustained;
        let protected = self.protected_at_deadline.unwrap_or(protected);
        let unseen = sustained.then(|| harm.canary_requests - self.requests_at_onset);
        let missed = sustained && severe && !protected;
        let bound = world.step().map(|(base, canary)| bound(base, canary));
        Outcome {
            truth,
            severe,
            harmed: harm.harmed,
            user_errors: if shielded { harm.user_errors } else { harm.failed },
            idempotent_errors: shielded.then_some(harm.idempotent_errors),
            rolled_back: self.rolled_back,
            withdrawn: self.withdrawn,
            missed,
            delay: self.acted_after.or(unseen),
            bound,
            beyond_reach: missed
                && bound.zip(unseen).is_some_and(|(bound, seen)| bound > seen as f64),
            label,
        }
    }
}

/// Mean number of requests without which no test of level [`ALPHA`] can tell failure rate `canary` from
/// `base`: `ln(1 / alpha) / KL(canary || base)`.
fn bound(base: f64, canary: f64) -> f64 {
    let term = |p: f64, q: f64| if p == 0.0 { 0.0 } else { p * (p / q).ln() };
    let divergence = term(canary, base) + term(1.0 - canary, 1.0 - base);
    (1.0 / ALPHA).ln() / divergence
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_is_that_of_the_yardsticks() {
        for (canary, expected) in [(0.004, 8918.0), (0.01, 850.0), (0.02, 245.0), (0.05, 61.0)] {
            let bound = bound(0.002, canary);
            assert!((bound - expected).abs() < 1.0, "{canary}: {bound}");
        }
        assert!(bound(0.002, 1.0) < 2.0);
    }
}
