//! A policy over all families but the yardsticks.

use super::benchmark::Family;
use super::ledger::Outcome;
use super::policy::Policy;
use super::statistics::{Share, Sorted};
use serinus_models::Label;
use serinus_models::world::Truth;

/// One policy on every release; each family counts alike.
pub(super) struct Totals {
    pub(super) policy: Policy,
    /// Harmed requests per bad release.
    pub(super) harmed: Sorted,
    pub(super) user_errors: Sorted,
    /// None for a policy without a shield.
    pub(super) idempotent_errors: Option<Sorted>,
    /// Releases without a fault that were rolled back.
    pub(super) false_rollbacks: Share,
    pub(super) transients_rolled_back: Share,
    /// Of the lasting faults that are severe.
    pub(super) missed: Share,
    /// Releases without a fault whose users were taken off it for a while.
    pub(super) false_withdrawals: Share,
    pub(super) transients_withdrawn: Share,
    /// Labels that are decided and agree with the truth, of those that are decided.
    pub(super) right_labels: Share,
}

impl Totals {
    /// Of every policy, in the order of the benchmark; of none if there are yardsticks only.
    pub(super) fn of(families: &[Family]) -> Vec<Totals> {
        let counting: Vec<&Family> =
            families.iter().filter(|family| !family.is_yardstick()).collect();
        let policies = counting.first().map_or(0, |family| family.outcomes.len());
        (0..policies).filter_map(|at| Totals::of_policy(&counting, at)).collect()
    }

    fn of_policy(families: &[&Family], at: usize) -> Option<Totals> {
        let policy = families.first()?.outcomes.get(at)?.0;
        let all: Vec<&Outcome> = families
            .iter()
            .filter_map(|family| family.outcomes.get(at))
            .flat_map(|(_, of)| of)
            .collect();
        let of_truth = |truth| all.iter().filter(move |of| of.truth == truth);
        let bad = || of_truth(Truth::Sustained);
        let errors: Option<Vec<f64>> =
            bad().map(|of| of.idempotent_errors.map(|errors| errors as f64)).collect();
        let right = |of: &&&Outcome| match of.label? {
            Label::Sustained => Some(of.truth == Truth::Sustained),
            Label::Transient => Some(of.truth == Truth::Transient),
            Label::Shared | Label::Censored | Label::Unclear => None,
        };
        Some(Totals {
            policy,
            harmed: Sorted::of(bad().map(|of| of.harmed as f64)),
            user_errors: Sorted::of(bad().map(|of| of.user_errors as f64)),
            idempotent_errors: errors.filter(|errors| !errors.is_empty()).map(Sorted::of),
            false_rollbacks: Share::of(of_truth(Truth::Null).map(|of| of.rolled_back)),
            transients_rolled_back: Share::of(of_truth(Truth::Transient).map(|of| of.rolled_back)),
            missed: Share::of(bad().filter(|of| of.severe).map(|of| of.missed)),
            false_withdrawals: Share::of(of_truth(Truth::Null).map(|of| of.withdrawn)),
            transients_withdrawn: Share::of(of_truth(Truth::Transient).map(|of| of.withdrawn)),
            right_labels: Share::of(all.iter().filter_map(|of| right(&of))),
        })
    }

    /// Harmed requests per bad release, the mean; none without bad releases.
    pub(super) fn harm(&self) -> Option<f64> {
        self.harmed.mean()
    }
}
