//! Argo Rollouts, background analysis, as its documentation has it (argo-rollouts.readthedocs.io,
//! "Analysis & Progressive Delivery"; argoproj/argo-rollouts, `docs/features/analysis.md`).
//!
//! - The documented `success-rate` template: `successCondition: result[0] >= 0.95` on the share of
//!   requests not answered with 5xx, `interval: 5m`, `failureLimit: 3`: here `argo-5m`. The run fails when more measurements than
//!   the limit have failed (`failed (4) > failureLimit (3)`), so after 20 minutes at the earliest.
//! - The same with the documented `interval: 60s` and without a limit, whose default is 0 ("no failures
//!   are tolerated"): here `argo-60s`.
//! - No requests: 0/0 is NaN, which fails `result >= 0.95` ("Handling Metric Results").
//! - A good measurement does not take a failed one back.
//!
//! Kinder than the original: each measurement covers its whole interval, where the documented query
//! (`irate`) compares the last two scrapes only.

use super::super::metrics::{Metrics, SLICE};
use super::Watcher;
use std::time::Duration;

const LEAST_SUCCESS: f64 = 0.95;

#[derive(Debug)]
pub(super) struct Argo {
    interval: Duration,
    failure_limit: u32,
    window: Metrics,
    filled: Duration,
    failed: u32,
}

impl Argo {
    pub(super) fn quick() -> Argo {
        Argo::new(Duration::from_secs(60), 0)
    }

    pub(super) fn patient() -> Argo {
        Argo::new(Duration::from_secs(300), 3)
    }

    fn new(interval: Duration, failure_limit: u32) -> Argo {
        let window = Metrics::default();
        Argo { interval, failure_limit, window, filled: Duration::ZERO, failed: 0 }
    }
}

impl Watcher for Argo {
    fn see(&mut self, slice: &Metrics) -> bool {
        self.window.add(slice);
        self.filled += SLICE;
        if self.filled < self.interval {
            return false;
        }
        let window = std::mem::take(&mut self.window);
        self.filled = Duration::ZERO;
        let success = window.0.canary.success_rate();
        self.failed += u32::from(success.is_none_or(|rate| rate < LEAST_SUCCESS));
        self.failed > self.failure_limit
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::metrics::tests::failing;
    use super::*;

    /// Seconds after which it rolls back, if slice `n` looks like `slice(n)`.
    fn rolled_back(mut argo: Argo, slice: impl Fn(u64) -> Metrics) -> Option<u64> {
        (0..360).find(|n| argo.see(&slice(*n))).map(|n| (n + 1) * SLICE.as_secs())
    }

    #[test]
    fn six_percent_errors_take_a_minute_or_four_measurements_of_five_minutes() {
        assert_eq!(rolled_back(Argo::quick(), |_| failing(100, 0, 6)), Some(60));
        assert_eq!(rolled_back(Argo::patient(), |_| failing(100, 0, 6)), Some(1200));
        assert_eq!(rolled_back(Argo::quick(), |_| failing(100, 0, 5)), None, "95% is enough");
        assert_eq!(rolled_back(Argo::patient(), |_| failing(100, 0, 5)), None);
    }

    #[test]
    fn a_blip_kills_the_quick_one_and_silence_both() {
        let blip = |n| failing(100, 0, if n == 7 { 100 } else { 0 });
        assert_eq!(rolled_back(Argo::quick(), blip), Some(120));
        assert_eq!(rolled_back(Argo::patient(), blip), None);
        assert_eq!(rolled_back(Argo::quick(), |_| Metrics::default()), Some(60));
        assert_eq!(rolled_back(Argo::patient(), |_| Metrics::default()), Some(1200));
    }
}
