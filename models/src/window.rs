//! What was seen lately: one-second counts for two minutes, latencies for one. Nothing here grows
//! with time; ticks may be shorter or longer than a second.

use crate::kernel::Count;
use crate::latency::{BUCKETS, LatencyCounts, bucket_of, highest_of};
use crate::outcome::OutcomeCounts;
use crate::sample::Pair;
use crate::time::Timestamp;
use std::time::Duration;

/// Seconds that are remembered.
const SECONDS: usize = 128;

/// Counts of one second, or of several together, over all routes and probes of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Seen {
    /// Live requests that ended and those that failed their user.
    pub(crate) live: Pair<Count>,
    /// Live latencies and those above stable's usual 90th percentile.
    pub(crate) live_slow: Pair<Count>,
    /// Probe rounds and those that failed.
    pub(crate) probe: Pair<Count>,
    /// Probe rounds with a time to compare and those that were slow.
    pub(crate) probe_slow: Pair<Count>,
    /// Outcomes of both sources.
    pub(crate) outcomes: Pair<OutcomeCounts>,
    /// Process starts of the canary.
    pub(crate) restarts: u32,
}

impl Seen {
    pub(crate) fn add(&mut self, other: &Seen) {
        for (mine, theirs) in [
            (&mut self.live, other.live),
            (&mut self.live_slow, other.live_slow),
            (&mut self.probe, other.probe),
            (&mut self.probe_slow, other.probe_slow),
        ] {
            mine.stable.add(theirs.stable);
            mine.canary.add(theirs.canary);
        }
        self.outcomes.stable.merge(&other.outcomes.stable);
        self.outcomes.canary.merge(&other.outcomes.canary);
        self.restarts = self.restarts.saturating_add(other.restarts);
    }

    /// Failures of live traffic and probes together.
    pub(crate) fn failures(&self) -> Pair<Count> {
        together(self.live, self.probe)
    }

    /// Slow ones of live traffic and probes together.
    pub(crate) fn slow(&self) -> Pair<Count> {
        together(self.live_slow, self.probe_slow)
    }
}

fn together(mut one: Pair<Count>, other: Pair<Count>) -> Pair<Count> {
    one.stable.add(other.stable);
    one.canary.add(other.canary);
    one
}

/// The canary's rate minus stable's; `None` where one of them has no trials.
pub(crate) fn excess(counts: Pair<Count>) -> Option<f64> {
    Some(counts.canary.rate()? - counts.stable.rate()?)
}

/// The last two minutes, second by second.
#[derive(Debug, Clone)]
pub(crate) struct Recent {
    seconds: Box<[Seen; SECONDS]>,
    /// The second, since the epoch, that is being filled.
    latest: u64,
}

impl Recent {
    pub(crate) fn new(now: Timestamp) -> Self {
        Recent { seconds: Box::new([Seen::default(); SECONDS]), latest: now.0 / 1000 }
    }

    /// Adds what was seen in a tick that ended at `now`.
    pub(crate) fn add(&mut self, now: Timestamp, seen: &Seen) {
        let second = (now.0 / 1000).max(self.latest);
        let skipped = (second - self.latest).min(SECONDS as u64);
        for passed in 0..skipped {
            self.seconds[slot(second - passed)] = Seen::default();
        }
        self.latest = second;
        self.seconds[slot(second)].add(seen);
    }

    /// One second since the epoch, if it is still remembered.
    pub(crate) fn second(&self, second: u64) -> Option<&Seen> {
        let remembered = second <= self.latest && second + SECONDS as u64 > self.latest;
        remembered.then(|| &self.seconds[slot(second)])
    }

    /// The last `seconds` seconds up to `now` together, the current one included.
    pub(crate) fn sum(&self, now: Timestamp, seconds: u64) -> Seen {
        let end = now.0 / 1000;
        self.between((end + 1).saturating_sub(seconds), end)
    }

    /// The seconds since the epoch from `first` to `last` together.
    pub(crate) fn between(&self, first: u64, last: u64) -> Seen {
        let mut sum = Seen::default();
        for second in first..=last {
            if let Some(seen) = self.second(second) {
                sum.add(seen);
            }
        }
        sum
    }
}

const fn slot(second: u64) -> usize {
    (second % SECONDS as u64) as usize
}

/// Slices of a latency window, each [`SLICE`] long.
const SLICES: usize = 12;
const SLICE: Duration = Duration::from_secs(5);

/// Latencies of the last minute. Quantiles are those of `hdrhistogram` with the same layout; the
/// slices are kept sparse so that a window of few latencies costs little.
#[derive(Debug, Clone)]
pub(crate) struct LatencyWindow {
    /// Sum of the slices, one counter per bucket.
    sum: Box<[u32; BUCKETS]>,
    total: u64,
    slices: [LatencyCounts; SLICES],
    /// The slice, counted since the epoch, that is being filled.
    latest: u64,
}

impl LatencyWindow {
    pub(crate) fn new(now: Timestamp) -> Self {
        LatencyWindow {
            sum: Box::new([0; BUCKETS]),
            total: 0,
            slices: Default::default(),
            latest: slice_of(now),
        }
    }

    /// Forgets what is older than a minute.
    pub(crate) fn advance(&mut self, now: Timestamp) {
        let slice = slice_of(now).max(self.latest);
        for passed in 0..(slice - self.latest).min(SLICES as u64) {
            let old = &mut self.slices[((slice - passed) % SLICES as u64) as usize];
            for (bucket, count) in old.0.drain(..) {
                self.sum[usize::from(bucket)] -= count;
                self.total -= u64::from(count);
            }
        }
        self.latest = slice;
    }

    /// Adds latencies that were seen up to the last [`LatencyWindow::advance`].
    pub(crate) fn add(&mut self, latencies: &LatencyCounts) {
        latencies.0.iter().for_each(|(bucket, count)| self.add_bucket(*bucket, *count));
    }

    /// Adds one latency in microseconds.
    pub(crate) fn add_one(&mut self, micros: u64) {
        self.add_bucket(bucket_of(micros), 1);
    }

    fn add_bucket(&mut self, bucket: u16, count: u32) {
        // What does not fit is left out of both, so that taking it back cannot underflow.
        let Some(sum) = self.sum.get_mut(usize::from(bucket)) else { return };
        let Some(grown) = sum.checked_add(count) else { return };
        *sum = grown;
        self.total += u64::from(count);
        self.slices[(self.latest % SLICES as u64) as usize].add(bucket, count);
    }

    /// The smallest latencies in microseconds that the shares `qs` (0 to 1, ascending) do not exceed.
    pub(crate) fn quantiles<const N: usize>(&self, qs: [f64; N]) -> [Option<u64>; N] {
        let mut found = [None; N];
        if self.total == 0 {
            return found;
        }
        let mut seen = 0;
        let mut wanted = 0;
        for (bucket, count) in self.sum.iter().enumerate() {
            seen += u64::from(*count);
            while wanted < N && seen >= rank(qs[wanted], self.total) {
                found[wanted] = Some(highest_of(bucket as u16));
                wanted += 1;
            }
            if wanted == N {
                break;
            }
        }
        found
    }
}

fn rank(q: f64, total: u64) -> u64 {
    ((q.clamp(0.0, 1.0) * total as f64).ceil() as u64).max(1)
}

fn slice_of(now: Timestamp) -> u64 {
    now.0 / SLICE.as_millis() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::Histogram;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn sums_are_those_of_a_list_of_everything(
            ticks in proptest::collection::vec((1u64..30_000, 0u64..50, 0u64..50), 1..200), seconds in 1u64..100
        ) {
            let mut now = Timestamp(1_000_000);
            let mut recent = Recent::new(now);
            let mut all: Vec<(u64, Count)> = Vec::new();
            for (span, trials, hits) in ticks {
                now = Timestamp(now.0 + span);
                let canary = Count::new(trials, hits);
                let seen = Seen { live: Pair { canary, ..Default::default() }, ..Default::default() };
                recent.add(now, &seen);
                all.push((now.0 / 1000, canary));
                let mut naive = Count::default();
                all.iter().filter(|(second, _)| second + seconds > now.0 / 1000)
                    .for_each(|(_, count)| naive.add(*count));
                prop_assert_eq!(recent.sum(now, seconds).live.canary, naive);
            }
        }

        #[test]
        fn quantiles_are_those_of_a_histogram_of_the_slices_in_the_window(
            ticks in proptest::collection::vec((1u64..20_000, 1u64..60_000_000), 1..200), q in 0.0f64..=1.0
        ) {
            let mut now = Timestamp(5_000_000);
            let mut window = LatencyWindow::new(now);
            let mut all: Vec<(u64, u64)> = Vec::new();
            for (span, micros) in ticks {
                now = Timestamp(now.0 + span);
                window.advance(now);
                let mut counts = LatencyCounts::default();
                counts.record(micros);
                window.add(&counts);
                all.push((slice_of(now), micros));
                let mut naive = Histogram::<u64>::new_with_bounds(1, 60_000_000, 2).unwrap();
                all.iter().filter(|(slice, _)| slice + SLICES as u64 > slice_of(now))
                    .for_each(|(_, micros)| naive.saturating_record(*micros));
                let mut qs = [q, 1.0];
                qs.sort_by(f64::total_cmp);
                prop_assert_eq!(window.quantiles(qs)[0], Some(naive.value_at_quantile(q)));
            }
        }
    }

    #[test]
    fn an_empty_window_has_no_quantiles() {
        let mut window = LatencyWindow::new(Timestamp(0));
        assert_eq!(window.quantiles([0.5]), [None]);
        let mut counts = LatencyCounts::default();
        counts.record(1000);
        window.add(&counts);
        window.advance(Timestamp(3_600_000));
        assert_eq!(window.quantiles([0.5]), [None]);
    }
}
