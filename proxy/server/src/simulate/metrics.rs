//! What a metrics store knows of live requests: sums by variant, no probes, no routes.

use serinus_models::latency::{BUCKETS, highest_of};
use serinus_models::{Pair, Sample, ServiceTick};
use std::time::Duration;

/// The finest interval that a watcher asks for.
pub(super) const SLICE: Duration = Duration::from_secs(10);

/// Live requests of both variants over some time.
#[derive(Debug, Clone, Default)]
pub(super) struct Metrics(pub(super) Pair<Requests>);

/// Finished requests of one variant.
#[derive(Debug, Clone, Default)]
pub(super) struct Requests {
    pub(super) finished: u64,
    /// Answered with 5xx, or not at all: a mesh reports refused connections, resets and timeouts as
    /// 502 to 504.
    pub(super) failed: u64,
    /// By latency bucket; empty before the first.
    latency: Vec<u32>,
}

impl Metrics {
    pub(super) fn add_tick(&mut self, tick: &ServiceTick) {
        for live in &tick.live {
            self.0.stable.add_sample(&live.samples.stable);
            self.0.canary.add_sample(&live.samples.canary);
        }
    }

    pub(super) fn add(&mut self, later: &Metrics) {
        self.0.stable.add(&later.0.stable);
        self.0.canary.add(&later.0.canary);
    }
}

impl Requests {
    fn add_sample(&mut self, sample: &Sample) {
        self.finished += sample.outcomes.total();
        self.failed += sample.outcomes.failures();
        for (bucket, count) in &sample.latency.0 {
            self.count(usize::from(*bucket), *count);
        }
    }

    fn add(&mut self, later: &Requests) {
        self.finished += later.finished;
        self.failed += later.failed;
        for (bucket, count) in later.latency.iter().enumerate().filter(|(_, count)| **count > 0) {
            self.count(bucket, *count);
        }
    }

    fn count(&mut self, bucket: usize, count: u32) {
        self.latency.resize(BUCKETS, 0);
        if let Some(cell) = self.latency.get_mut(bucket) {
            *cell += count;
        }
    }

    /// Share of requests that did not fail; none without requests.
    pub(super) fn success_rate(&self) -> Option<f64> {
        (self.finished > 0).then(|| 1.0 - self.failed as f64 / self.finished as f64)
    }

    /// Latency in milliseconds that a share `q` (0 to 1) does not exceed; none without requests.
    pub(super) fn quantile_ms(&self, q: f64) -> Option<f64> {
        let total: u64 = self.latency.iter().map(|count| u64::from(*count)).sum();
        let rank = ((q * total as f64).ceil() as u64).max(1);
        let mut seen = 0;
        let bucket = self.latency.iter().position(|count| {
            seen += u64::from(*count);
            seen >= rank
        })?;
        Some(highest_of(bucket as u16) as f64 / 1000.0)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use serinus_models::latency::bucket_of;

    /// So many requests, of which so many failed, all answered in so many milliseconds.
    pub(in crate::simulate) fn requests(finished: u64, failed: u64, millis: u64) -> Requests {
        let mut requests = Requests { finished, failed, latency: vec![] };
        requests.count(usize::from(bucket_of(millis * 1000)), finished as u32);
        requests
    }

    /// Both variants alike but for the failures.
    pub(in crate::simulate) fn failing(finished: u64, stable: u64, canary: u64) -> Metrics {
        Metrics(Pair {
            stable: requests(finished, stable, 10),
            canary: requests(finished, canary, 10),
        })
    }

    #[test]
    fn sums_and_quantiles_are_those_of_all_requests_together() {
        let mut sum = Metrics(Pair { stable: requests(97, 1, 10), canary: Requests::default() });
        sum.add(&Metrics(Pair { stable: requests(3, 2, 900), canary: Requests::default() }));
        let stable = &sum.0.stable;
        assert_eq!((stable.finished, stable.failed), (100, 3));
        assert_eq!(stable.success_rate(), Some(0.97));
        assert!((stable.quantile_ms(0.5).unwrap() - 10.0).abs() < 0.1);
        assert!((stable.quantile_ms(0.99).unwrap() - 900.0).abs() < 9.0);
        assert_eq!(sum.0.canary.success_rate(), None);
        assert_eq!(sum.0.canary.quantile_ms(0.99), None);
    }
}
