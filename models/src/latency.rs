//! Latency in logarithmic buckets: the layout of `hdrhistogram` at two significant digits,
//! 1 us to 60 s, as plain arithmetic, so that a recorder can be an array of atomic counters and
//! a tick's drain a short list.

use serde::{Deserialize, Serialize};

/// Linear sub-buckets per power of two: the smallest power of two that holds two significant digits.
const SUB_BUCKETS: u64 = 256;
const SUB_BUCKET_HALF_BITS: u32 = 7;

/// The longest latency told apart, in microseconds: 60 s. Longer ones count as this.
pub const MAX_MICROS: u64 = 60_000_000;

/// Number of buckets in the layout.
pub const BUCKETS: usize = bucket_of(MAX_MICROS) as usize + 1;

/// The bucket of a latency in microseconds (0 counts as 1 us, beyond 60 s as 60 s).
pub const fn bucket_of(micros: u64) -> u16 {
    let micros = if micros > MAX_MICROS { MAX_MICROS } else { micros };
    let shift = (63 - (micros | (SUB_BUCKETS - 1)).leading_zeros()) - SUB_BUCKET_HALF_BITS;
    (((shift as u64) << SUB_BUCKET_HALF_BITS) + (micros >> shift)) as u16
}

/// The largest latency in microseconds that falls into `bucket`.
pub const fn highest_of(bucket: u16) -> u64 {
    let bucket = bucket as u64;
    if bucket < SUB_BUCKETS {
        return bucket;
    }
    let shift = (bucket >> SUB_BUCKET_HALF_BITS) - 1;
    let sub = bucket - (shift << SUB_BUCKET_HALF_BITS);
    ((sub + 1) << shift) - 1
}

/// Latencies of one tick: `(bucket, count)` in ascending order of bucket, no bucket twice.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LatencyCounts(pub Vec<(u16, u32)>);

impl LatencyCounts {
    /// Adds one latency in microseconds.
    pub fn record(&mut self, micros: u64) {
        self.add(bucket_of(micros), 1);
    }

    /// Adds `count` latencies of one bucket.
    pub fn add(&mut self, bucket: u16, count: u32) {
        match self.0.binary_search_by_key(&bucket, |(at, _)| *at) {
            Ok(at) => self.0[at].1 = self.0[at].1.saturating_add(count),
            Err(at) => self.0.insert(at, (bucket, count)),
        }
    }

    /// Adds another list's.
    pub fn merge(&mut self, other: &LatencyCounts) {
        for (bucket, count) in &other.0 {
            self.add(*bucket, *count);
        }
    }

    /// How many there are.
    pub fn total(&self) -> u64 {
        self.0.iter().map(|(_, count)| u64::from(*count)).sum()
    }

    /// How many lie in a bucket above that of `micros`.
    pub fn above(&self, micros: u64) -> u64 {
        let limit = bucket_of(micros);
        let start = self.0.partition_point(|(bucket, _)| *bucket <= limit);
        self.0[start..].iter().map(|(_, count)| u64::from(*count)).sum()
    }

    /// The smallest latency in microseconds that a share `q` (0 to 1) does not exceed; `None` if empty.
    pub fn quantile(&self, q: f64) -> Option<u64> {
        let total = self.total();
        let rank = ((q.clamp(0.0, 1.0) * total as f64).ceil() as u64).max(1);
        let mut seen = 0;
        self.0.iter().find_map(|(bucket, count)| {
            seen += u64::from(*count);
            (seen >= rank).then(|| highest_of(*bucket))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::Histogram;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn buckets_are_those_of_hdrhistogram(micros in 1u64..=MAX_MICROS) {
            let histogram = Histogram::<u64>::new_with_bounds(1, MAX_MICROS, 2).unwrap();
            prop_assert_eq!(highest_of(bucket_of(micros)), histogram.highest_equivalent(micros));
            prop_assert!(usize::from(bucket_of(micros)) < BUCKETS);
        }

        #[test]
        fn quantiles_are_those_of_hdrhistogram(
            latencies in proptest::collection::vec(1u64..=MAX_MICROS, 1..200), q in 0.0f64..=1.0
        ) {
            let mut histogram = Histogram::<u64>::new_with_bounds(1, MAX_MICROS, 2).unwrap();
            let mut counts = LatencyCounts::default();
            for micros in &latencies {
                histogram.record(*micros).unwrap();
                counts.record(*micros);
            }
            prop_assert_eq!(counts.total(), latencies.len() as u64);
            prop_assert_eq!(counts.quantile(q), Some(histogram.value_at_quantile(q)));
        }

        #[test]
        fn above_counts_what_lies_in_higher_buckets(
            latencies in proptest::collection::vec(1u64..=MAX_MICROS, 0..200), limit in 1u64..=MAX_MICROS
        ) {
            let mut counts = LatencyCounts::default();
            latencies.iter().for_each(|micros| counts.record(*micros));
            let naive = latencies.iter().filter(|micros| **micros > highest_of(bucket_of(limit))).count();
            prop_assert_eq!(counts.above(limit), naive as u64);
        }
    }

    #[test]
    fn zero_and_beyond_the_range_are_kept_at_its_ends() {
        assert_eq!(bucket_of(0), 0);
        assert_eq!(bucket_of(u64::MAX), bucket_of(MAX_MICROS));
    }
}
