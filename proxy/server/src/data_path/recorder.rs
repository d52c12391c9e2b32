//! What a variant answered on a route, counted by those who carry the requests without a lock and
//! read by the one who judges without stopping them.
//!
//! Outcome counters and bytes only grow: the reader remembers what it saw. Latency buckets are
//! taken out by `swap`, found through a bitmap of the occupied ones, so that a look costs as much
//! as there was to see.

use super::repeats::Repeats;
use super::shards::{Padded, Shard};
use super::totals::ENDINGS;
pub use super::totals::{DURATION_BOUNDS, Durations, Ending, Totals};
use serinus_models::Sample;
use serinus_models::latency::{BUCKETS, LatencyCounts, bucket_of};
use serinus_routing::Variant;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// Counters written by one thread (or the few that share it).
#[derive(Debug)]
struct Counters {
    endings: [AtomicU64; ENDINGS],
    bytes: AtomicU64,
    /// One bit per bucket that is not empty.
    occupied: [AtomicU64; BUCKETS.div_ceil(64)],
    buckets: Box<[AtomicU32]>,
}

impl Counters {
    fn new() -> Self {
        Counters {
            endings: [const { AtomicU64::new(0) }; ENDINGS],
            bytes: AtomicU64::new(0),
            occupied: [const { AtomicU64::new(0) }; BUCKETS.div_ceil(64)],
            buckets: (0..BUCKETS).map(|_| AtomicU32::new(0)).collect(),
        }
    }

    /// Sequentially consistent (which costs nothing more on x86): either this sees the bit that
    /// the reader has not yet cleared and the reader sees the count, or this sets the bit again.
    fn record_latency(&self, micros: u64) {
        let bucket = usize::from(bucket_of(micros));
        self.buckets[bucket].fetch_add(1, Ordering::SeqCst);
        let (word, bit) = (&self.occupied[bucket / 64], 1u64 << (bucket % 64));
        if word.load(Ordering::SeqCst) & bit == 0 {
            word.fetch_or(bit, Ordering::SeqCst);
        }
    }

    fn take_latencies(&self, mut found: impl FnMut(u16, u32)) {
        for (position, word) in self.occupied.iter().enumerate() {
            if word.load(Ordering::SeqCst) == 0 {
                continue;
            }
            let mut bits = word.swap(0, Ordering::SeqCst);
            while bits != 0 {
                let bucket = position * 64 + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                let count = self.buckets[bucket].swap(0, Ordering::SeqCst);
                if count > 0 {
                    found(bucket as u16, count);
                }
            }
        }
    }
}

/// Where the answers of one variant on one route are counted.
#[derive(Debug)]
pub struct Recorder {
    /// Names it among those of requests in flight.
    pub(crate) id: u32,
    pub(crate) route: Arc<str>,
    pub(crate) service: Arc<str>,
    pub(crate) variant: Variant,
    /// The version it counts: another one gets a recorder of its own, so that late answers of
    /// the last release are not blamed on this one.
    pub(crate) version: Arc<str>,
    /// Allocated by the first request: most routes of most configurations see few threads.
    shards: Box<[OnceLock<Box<Padded<Counters>>>]>,
    shielded: AtomicU64,
    /// Failures of users that are known.
    pub(crate) repeats: Repeats,
    seen: Mutex<Seen>,
}

/// The reader's side.
#[derive(Debug, Default)]
struct Seen {
    endings: [u64; ENDINGS],
    bytes: u64,
    repeated: u64,
    /// Taken out of the shards for the totals, not yet handed to the judgement.
    pending: Vec<(u16, u32)>,
    durations: Durations,
    /// Of the versions before this one.
    inherited: Totals,
}

impl Recorder {
    /// A recorder for `threads` threads; `inherited` is what the totals start from.
    pub fn new(
        id: u32,
        names: (Arc<str>, Arc<str>),
        variant: Variant,
        version: Arc<str>,
        threads: usize,
        inherited: Totals,
    ) -> Self {
        let (route, service) = names;
        Recorder {
            id,
            route,
            service,
            variant,
            version,
            shards: (0..Shard::needed(threads).max(1)).map(|_| OnceLock::new()).collect(),
            shielded: AtomicU64::new(0),
            repeats: Repeats::default(),
            seen: Mutex::new(Seen { inherited, ..Seen::default() }),
        }
    }

    /// Counts one finished attempt. `micros` is none if its slowness was counted while it was in
    /// flight. No lock, no allocation but the first one of a thread.
    pub fn record(&self, shard: Shard, ending: Ending, micros: Option<u64>, bytes: u64) {
        let counters = shard.of(&self.shards).get_or_init(|| Box::new(Padded(Counters::new())));
        if let Some(micros) = micros {
            counters.record_latency(micros);
        }
        counters.endings[ending as usize].fetch_add(1, Ordering::Relaxed);
        if bytes > 0 {
            counters.bytes.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    /// Counts a failure that stable made good.
    pub(crate) fn shielded(&self) {
        self.shielded.fetch_add(1, Ordering::Relaxed);
    }

    /// Attempts finished since it was made.
    pub(crate) fn finished(&self) -> u64 {
        self.endings().iter().sum()
    }

    /// What was counted since the last drain.
    pub fn drain(&self) -> Sample {
        let mut seen = self.seen();
        let mut sample = Sample::default();
        let endings = self.endings();
        for (ending, (now, before)) in
            Ending::ALL.into_iter().zip(endings.into_iter().zip(seen.endings))
        {
            sample.outcomes.add(ending.outcome(), u32::try_from(now - before).unwrap_or(u32::MAX));
        }
        let bytes = self.sum(|counters| counters.bytes.load(Ordering::Relaxed));
        sample.bytes = bytes - seen.bytes;
        (seen.endings, seen.bytes) = (endings, bytes);
        let repeated = self.repeats.count();
        sample.repeated = u32::try_from(repeated - seen.repeated).unwrap_or(u32::MAX);
        seen.repeated = repeated;
        self.collect(&mut seen);
        sample.latency = merged(std::mem::take(&mut seen.pending));
        sample
    }

    /// Failures since the last drain.
    pub(crate) fn failures(&self) -> u64 {
        let seen = self.seen();
        let news = self.endings().into_iter().zip(seen.endings);
        Ending::ALL
            .into_iter()
            .zip(news)
            .filter(|(ending, _)| ending.outcome().is_failure())
            .map(|(_, (now, before))| now - before)
            .sum()
    }

    /// Counts requests in flight as slow, each at the age it has now, to be drained next.
    pub(crate) fn overdue(&self, micros: u64) {
        let mut seen = self.seen();
        let bucket = bucket_of(micros);
        seen.durations.add(bucket, 1);
        seen.pending.push((bucket, 1));
    }

    /// Everything ever counted on this route for this variant.
    pub fn totals(&self) -> Totals {
        let mut seen = self.seen();
        self.collect(&mut seen);
        let mut totals = seen.inherited;
        for (ending, count) in Ending::ALL.into_iter().zip(self.endings()) {
            totals.codes[ending.code_class()] += count;
        }
        let (all, mine) = (&mut totals.durations, &seen.durations);
        all.counts.iter_mut().zip(mine.counts).for_each(|(sum, count)| *sum += count);
        all.beyond += mine.beyond;
        all.sum_seconds += mine.sum_seconds;
        totals.bytes += self.sum(|counters| counters.bytes.load(Ordering::Relaxed));
        totals.shielded += self.shielded.load(Ordering::Relaxed);
        totals
    }

    fn collect(&self, seen: &mut Seen) {
        for counters in self.shards.iter().filter_map(OnceLock::get) {
            counters.take_latencies(|bucket, count| {
                seen.durations.add(bucket, count);
                seen.pending.push((bucket, count));
            });
        }
    }

    fn endings(&self) -> [u64; ENDINGS] {
        std::array::from_fn(|at| self.sum(|counters| counters.endings[at].load(Ordering::Relaxed)))
    }

    fn sum(&self, of: impl Fn(&Counters) -> u64) -> u64 {
        self.shards.iter().filter_map(OnceLock::get).map(|counters| of(counters)).sum()
    }

    /// Never held by those who record. A reader that panicked left nothing half done.
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// In ascending order of bucket, no bucket twice.
fn merged(mut counts: Vec<(u16, u32)>) -> LatencyCounts {
    counts.sort_unstable_by_key(|(bucket, _)| *bucket);
    counts.dedup_by(|next, kept| {
        let same = next.0 == kept.0;
        if same {
            kept.1 = kept.1.saturating_add(next.1);
        }
        same
    });
    LatencyCounts(counts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serinus_models::Outcome;
    use std::sync::atomic::AtomicBool;

    fn recorder(threads: usize) -> Recorder {
        let names = ("route".into(), "service".into());
        Recorder::new(1, names, Variant::Canary, "2".into(), threads, Totals::default())
    }

    #[test]
    fn a_drain_holds_what_was_recorded_since_the_last_one() {
        let recorder = recorder(2);
        let shard = Shard::of_thread(0);
        recorder.record(shard, Ending::Success, Some(1_500), 100);
        recorder.record(Shard::of_thread(1), Ending::ServerError, Some(1_500), 20);
        recorder.record(shard, Ending::Timeout, None, 0);
        assert_eq!(recorder.failures(), 2);
        let mut expected = Sample::default();
        expected.record(Outcome::Ok, 1_500, 100);
        expected.record(Outcome::ServerError, 1_500, 20);
        expected.outcomes.add(Outcome::Timeout, 1);
        assert_eq!(recorder.drain(), expected);
        assert_eq!(recorder.drain(), Sample::default());
        assert_eq!(recorder.failures(), 0);
    }

    #[test]
    fn totals_go_on_over_drains_and_versions() {
        let first = recorder(1);
        let shard = Shard::of_thread(0);
        first.record(shard, Ending::Success, Some(700), 0);
        first.drain();
        first.record(shard, Ending::ConnectError, Some(40_000_000), 0);
        first.shielded();
        let names = ("route".into(), "service".into());
        let next = Recorder::new(2, names, Variant::Canary, "3".into(), 1, first.totals());
        next.record(shard, Ending::Success, Some(30_000), 0);
        let totals = next.totals();
        assert_eq!(totals.codes, [0, 2, 0, 0, 1]);
        assert_eq!((totals.durations.counts[0], totals.durations.counts[5]), (1, 1));
        assert_eq!((totals.durations.beyond, totals.shielded), (1, 1));
        assert!((totals.durations.sum_seconds - 40.03).abs() < 0.4, "{totals:?}");
        // Reading the totals takes nothing from the judgement.
        assert_eq!(next.drain().latency.total(), 1);
    }

    #[test]
    fn nothing_is_lost_or_counted_twice_while_threads_record_and_one_drains() {
        const EACH: u64 = 200_000;
        let recorder = recorder(4);
        let done = AtomicBool::new(false);
        let mut drained = Sample::default();
        let mut latencies = 0;
        std::thread::scope(|scope| {
            let writers: Vec<_> = (0..4)
                .map(|thread| {
                    let recorder = &recorder;
                    scope.spawn(move || {
                        // Threads 0 and 2, 1 and 3 share a shard: contention is part of the test.
                        let shard = Shard::of_thread(thread % 2);
                        for turn in 0..EACH {
                            let ending = Ending::ALL[(turn % 8) as usize];
                            recorder.record(shard, ending, Some(turn % 977), 3);
                        }
                    })
                })
                .collect();
            let reader = scope.spawn(|| {
                let mut sum = Sample::default();
                let mut count = 0;
                while !done.load(Ordering::Acquire) {
                    let sample = recorder.drain();
                    recorder.totals();
                    sum.outcomes.merge(&sample.outcomes);
                    sum.bytes += sample.bytes;
                    count += sample.latency.total();
                }
                (sum, count)
            });
            writers.into_iter().for_each(|writer| writer.join().unwrap());
            done.store(true, Ordering::Release);
            (drained, latencies) = reader.join().unwrap();
        });
        let rest = recorder.drain();
        assert_eq!(drained.outcomes.total() + rest.outcomes.total(), 4 * EACH);
        assert_eq!(drained.bytes + rest.bytes, 4 * EACH * 3);
        assert_eq!(latencies + rest.latency.total(), 4 * EACH);
        assert_eq!(recorder.totals().codes.iter().sum::<u64>(), 4 * EACH);
    }
}
