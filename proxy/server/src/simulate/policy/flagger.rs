//! Flagger, as its documentation has it (docs.flagger.app, "Metrics Analysis" and "Istio Canary
//! Deployments"; fluxcd/flagger, `docs/gitbook/usage/metrics.md`, `.../how-it-works.md`).
//!
//! - `interval: 1m`: checked every minute, over the last minute.
//! - `request-success-rate`, `thresholdRange.min: 99`: at least 99% of the canary's requests answered
//!   otherwise than with 5xx.
//! - `request-duration`, `thresholdRange.max: 500`: their 99th percentile at most 500 ms.
//! - No values (no traffic) is a failed check ("Halt advancement no values found").
//! - `threshold: 5` failed checks in all roll back; a good check does not take one back
//!   (`status.failedChecks` is only reset when an analysis begins). "The time it takes for a canary to be rolled back":
//!   `interval * threshold`.
//!
//! Kinder than the original: quantiles are exact, not interpolated between buckets.

use super::super::metrics::{Metrics, SLICE};
use super::Watcher;
use std::time::Duration;

const INTERVAL: Duration = Duration::from_secs(60);
const LEAST_SUCCESS: f64 = 0.99;
const MOST_P99_MS: f64 = 500.0;
const THRESHOLD: u32 = 5;

#[derive(Debug, Default)]
pub(super) struct Flagger {
    window: Metrics,
    filled: Duration,
    failed_checks: u32,
}

impl Flagger {
    fn check(window: &Metrics) -> bool {
        let canary = &window.0.canary;
        canary.success_rate().is_some_and(|rate| rate >= LEAST_SUCCESS)
            && canary.quantile_ms(0.99).is_some_and(|p99| p99 <= MOST_P99_MS)
    }
}

impl Watcher for Flagger {
    fn see(&mut self, slice: &Metrics) -> bool {
        self.window.add(slice);
        self.filled += SLICE;
        if self.filled < INTERVAL {
            return false;
        }
        let window = std::mem::take(&mut self.window);
        self.filled = Duration::ZERO;
        self.failed_checks += u32::from(!Flagger::check(&window));
        self.failed_checks >= THRESHOLD
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::metrics::tests::{failing, requests};
    use super::*;
    use serinus_models::Pair;

    /// The minute (from 1) in which it rolls back, if minute `n` looks like `minute(n)`.
    fn rolled_back(minutes: u32, minute: impl Fn(u32) -> Metrics) -> Option<u32> {
        let mut flagger = Flagger::default();
        (1..=minutes).find(|n| (0..6).any(|_| flagger.see(&minute(*n))))
    }

    #[test]
    fn two_percent_errors_are_rolled_back_after_five_minutes_and_one_percent_never() {
        assert_eq!(rolled_back(30, |_| failing(100, 0, 2)), Some(5));
        assert_eq!(rolled_back(30, |_| failing(100, 0, 1)), None, "99% is enough");
    }

    #[test]
    fn failed_checks_are_never_forgotten() {
        let every_third = |n| failing(100, 0, if n % 3 == 0 { 50 } else { 0 });
        assert_eq!(rolled_back(30, every_third), Some(15));
    }

    #[test]
    fn no_traffic_and_slow_answers_are_failed_checks_and_an_outage_of_both_is_the_canarys() {
        assert_eq!(rolled_back(30, |_| Metrics::default()), Some(5));
        assert_eq!(rolled_back(30, |_| failing(100, 50, 50)), Some(5));
        let slow = |_| Metrics(Pair { stable: requests(9, 0, 10), canary: requests(9, 0, 600) });
        assert_eq!(rolled_back(30, slow), Some(5));
    }
}
