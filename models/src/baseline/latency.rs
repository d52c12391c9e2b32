//! Stable's latency quantiles, as thresholds for what comes after.

use super::trend::Trend;
use crate::latency::LatencyCounts;
use std::time::Duration;

/// The shares of stable's requests below the thresholds.
pub(crate) const THRESHOLDS: [f64; 5] = [0.5, 0.75, 0.9, 0.99, 0.999];

/// Latencies that the canary's are held against: the thresholds, and twice the 99th percentile. That one
/// shows a few requests that became much slower, where the 99th percentile itself, which they can reach by
/// chance, hardly does.
pub(crate) const LIMITS: usize = THRESHOLDS.len() + 1;
const P99: usize = 3;

/// A quantile is trusted when at least this many latencies are expected above it: the 99th
/// percentile of ten requests is just their maximum.
const BEYOND: f64 = 2.5;

/// A part of the window is closed after this time, if enough came.
const PART: Duration = Duration::from_secs(10);
/// Enough for a part.
const PART_COUNT: u64 = 50;
/// Closed parts that are kept.
const PARTS: usize = 6;

/// Latencies of stable in a window of closed parts: about a minute on a busy route, longer on a
/// quiet one. Thresholds change only when a part is closed, so a tick is always judged by what was
/// usual before it.
#[derive(Debug, Clone, Default)]
pub struct LatencyProfile {
    closed: [LatencyCounts; PARTS],
    next: usize,
    open: LatencyCounts,
    open_count: u64,
    open_age: Duration,
    thresholds: [Option<u64>; THRESHOLDS.len()],
    /// Median of a closed part, in microseconds.
    pub median: Trend,
    /// 99th percentile of the window, in microseconds.
    pub tail: Trend,
}

impl LatencyProfile {
    /// The threshold in microseconds at the share [`THRESHOLDS`]`[at]`; `None` with too few latencies.
    pub(crate) fn threshold(&self, at: usize) -> Option<u64> {
        self.thresholds.get(at).copied().flatten()
    }

    /// One of the [`LIMITS`], in microseconds; `None` with too few latencies.
    pub(crate) fn limit(&self, at: usize) -> Option<u64> {
        if at < THRESHOLDS.len() { self.threshold(at) } else { Some(2 * self.threshold(P99)?) }
    }

    pub(crate) fn record(&mut self, micros: u64) {
        self.open.record(micros);
        self.open_count += 1;
    }

    pub(crate) fn merge(&mut self, latencies: &LatencyCounts) {
        self.open.merge(latencies);
        self.open_count += latencies.total();
    }

    /// Lets time pass; closes the part when it is long and full enough.
    pub(crate) fn pass(&mut self, span: Duration) {
        self.open_age += span;
        let first = self.thresholds[0].is_none() && self.open_count >= PART_COUNT / 2;
        let due = self.open_age >= PART && self.open_count >= PART_COUNT;
        let early = first && self.open_age >= PART / 5;
        if !due && !early {
            return;
        }
        let age = std::mem::take(&mut self.open_age);
        if let Some(median) = self.open.quantile(0.5) {
            self.median.add(median as f64, age);
        }
        std::mem::swap(&mut self.closed[self.next], &mut self.open);
        self.next = (self.next + 1) % PARTS;
        self.open.0.clear();
        self.open_count = 0;
        let mut window = LatencyCounts::default();
        self.closed.iter().for_each(|part| window.merge(part));
        let total = window.total() as f64;
        self.thresholds = THRESHOLDS.map(|share| {
            if total * (1.0 - share) < BEYOND - 1e-9 { None } else { window.quantile(share) }
        });
        if let Some(tail) = self.thresholds[P99] {
            self.tail.add(tail as f64, age);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(profile: &mut LatencyProfile, latencies: impl Iterator<Item = u64>) {
        latencies.for_each(|micros| profile.record(micros));
        profile.pass(Duration::from_secs(1));
    }

    #[test]
    fn thresholds_wait_for_enough_latencies() {
        let mut profile = LatencyProfile::default();
        (0..4).for_each(|_| second(&mut profile, [5_000].into_iter()));
        assert_eq!(profile.threshold(0), None);
        (0..40).for_each(|_| second(&mut profile, [5_000].into_iter()));
        assert!(profile.threshold(0).is_some());
        assert_eq!(profile.threshold(3), None, "a 99th percentile of a few dozen");
        (0..60).for_each(|_| second(&mut profile, (1..=100).map(|n| n * 100)));
        let tail = profile.threshold(3).unwrap();
        assert!((9_800..=10_000).contains(&tail), "{tail}");
    }

    #[test]
    fn a_tick_does_not_move_the_threshold_it_is_judged_by() {
        let mut profile = LatencyProfile::default();
        (0..60).for_each(|_| second(&mut profile, (1..=20).map(|n| n * 1000)));
        let before = profile.threshold(1);
        profile.record(60_000_000);
        assert_eq!(profile.threshold(1), before);
    }

    #[test]
    fn old_latencies_are_forgotten() {
        let mut profile = LatencyProfile::default();
        (0..60).for_each(|_| second(&mut profile, (0..20).map(|_| 50_000)));
        (0..90).for_each(|_| second(&mut profile, (0..20).map(|_| 1_000)));
        assert!(profile.threshold(4).is_none_or(|micros| micros < 2_000));
        assert!(profile.threshold(2).unwrap() < 2_000);
    }
}
