//! A CUSUM of failures with a fixed threshold: the tabular, standardised, one-sided scheme of Page
//! (1954) with the textbook's `k = 1/2` and `h = 5` (Montgomery and Runger, "Applied Statistics and
//! Probability for Engineers", section 16-10, which recommends `h` of 4 or 5).
//!
//! Every 10 s: how many standard deviations the canary's failures are above what stable's rate since
//! the deployment lets expect; `S = max(0, S + z - k)`; rolled back when `S > h`. Without requests
//! nothing is added. It sees failures only.

use super::super::metrics::Metrics;
use super::Watcher;

const REFERENCE: f64 = 0.5;
const DECISION_INTERVAL: f64 = 5.0;

#[derive(Debug, Default)]
pub(super) struct Cusum {
    stable: (u64, u64),
    sum: f64,
}

impl Watcher for Cusum {
    fn see(&mut self, slice: &Metrics) -> bool {
        self.stable.0 += slice.0.stable.finished;
        self.stable.1 += slice.0.stable.failed;
        let requests = slice.0.canary.finished as f64;
        if requests == 0.0 {
            return false;
        }
        // One failure more than there were: a rate of zero would make the first one infinitely odd.
        let rate = (self.stable.1 + 1) as f64 / (self.stable.0 + 2) as f64;
        let deviation = (requests * rate * (1.0 - rate)).sqrt();
        let z = (slice.0.canary.failed as f64 - requests * rate) / deviation;
        self.sum = (self.sum + z - REFERENCE).max(0.0);
        self.sum > DECISION_INTERVAL
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::metrics::tests::failing;
    use super::*;

    #[test]
    fn the_sum_grows_by_the_standardised_excess_less_the_reference_value() {
        let mut cusum = Cusum { stable: (99_998, 999), sum: 0.0 };
        // 100 of 10,000 expected with a deviation of 9.95: 115 are 1.507 deviations more.
        let slice = |canary| failing(10_000, 100, canary);
        assert!(!cusum.see(&slice(115)));
        assert!((cusum.sum - 1.0).abs() < 0.02, "{}", cusum.sum);
        let sums: Vec<bool> = (0..5).map(|_| cusum.see(&slice(115))).collect();
        assert_eq!(sums, [false, false, false, true, true], "{}", cusum.sum);
    }

    #[test]
    fn what_is_as_usual_empties_the_sum_and_silence_leaves_it() {
        let mut cusum = Cusum { stable: (99_998, 999), sum: 4.0 };
        assert!(!cusum.see(&Metrics::default()));
        assert_eq!(cusum.sum, 4.0);
        for _ in 0..20 {
            assert!(!cusum.see(&failing(10_000, 100, 100)));
        }
        assert_eq!(cusum.sum, 0.0);
    }
}
