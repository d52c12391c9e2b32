//! Results for programs: one row for each policy and family.

use super::benchmark::Family;
use super::ledger::Outcome;
use super::statistics::Sorted;
use serde::Serialize;
use serinus_models::world::Truth;

/// One policy on one family. Counts are of runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Row {
    pub(super) policy: &'static str,
    pub(super) family: String,
    pub(super) runs: usize,
    /// Requests of users that the release's fault failed, answered wrongly or slowed.
    pub(super) harmed_median: f64,
    pub(super) harmed_p95: f64,
    /// Failures that users saw, with the shield where the policy has one.
    pub(super) user_errors_median: f64,
    /// Releases without a fault that were rolled back.
    pub(super) false_rollbacks: usize,
    /// Releases whose fault passed that were rolled back.
    pub(super) transients_rolled_back: usize,
    /// Lasting, severe faults that users were exposed to after half an hour.
    pub(super) missed_30m: usize,
    /// Runs in which users were taken off the canary reversibly.
    pub(super) withdrawals: usize,
    /// Canary requests from the fault's begin to the first protective action.
    pub(super) delay_requests_mean: Option<f64>,
    /// The mean of what no test can be below.
    pub(super) bound_requests: Option<f64>,
}

/// The rows of all families, in their order.
pub(super) fn rows(families: &[Family]) -> Vec<Row> {
    let of_family = |family: &Family| {
        let name = family.scenario.name().to_owned();
        let row = |(policy, outcomes): &(super::policy::Policy, Vec<Outcome>)| {
            Row::of(policy.as_str(), name.clone(), outcomes)
        };
        family.outcomes.iter().map(row).collect::<Vec<_>>()
    };
    families.iter().flat_map(of_family).collect()
}

impl Row {
    fn of(policy: &'static str, family: String, outcomes: &[Outcome]) -> Row {
        let harmed = Sorted::of(outcomes.iter().map(|outcome| outcome.harmed as f64));
        let errors = Sorted::of(outcomes.iter().map(|outcome| outcome.user_errors as f64));
        let count = |hit: fn(&Outcome) -> bool| outcomes.iter().filter(|of| hit(of)).count();
        let mean = |numbers: &dyn Fn(&Outcome) -> Option<f64>| {
            Sorted::of(outcomes.iter().filter_map(numbers)).mean()
        };
        Row {
            policy,
            family,
            runs: outcomes.len(),
            harmed_median: harmed.quantile(0.5).unwrap_or(0.0),
            harmed_p95: harmed.quantile(0.95).unwrap_or(0.0),
            user_errors_median: errors.quantile(0.5).unwrap_or(0.0),
            false_rollbacks: count(|of| of.rolled_back && of.truth == Truth::Null),
            transients_rolled_back: count(|of| of.rolled_back && of.truth == Truth::Transient),
            missed_30m: count(|of| of.missed),
            withdrawals: count(|of| of.withdrawn),
            delay_requests_mean: mean(&|of| of.delay.map(|delay| delay as f64)),
            bound_requests: mean(&|of| of.bound),
        }
    }
}
