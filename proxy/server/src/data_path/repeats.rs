//! Users who fail again and again: each is one witness a minute, however often they try.
//!
//! A thousand failures of one broken account say less of a release than ten failures of ten people. So a
//! failure is marked with its user's bucket and the minute; what finds its own mark is a repetition. Two
//! users of one bucket pass for one, as likely on either variant.

use serinus_routing::Bucket;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Failures of one variant on one route by users that are known.
#[derive(Debug, Default)]
pub(crate) struct Repeats {
    /// By bucket: the minute of the last failure, counted from 1. Allocated by the first failure.
    minutes: OnceLock<Box<[AtomicU32]>>,
    count: AtomicU64,
}

impl Repeats {
    /// Takes in a failure of a user at this `minute` of the proxy's life. No lock.
    pub(crate) fn failed(&self, user: Bucket, minute: u32) {
        let minutes =
            self.minutes.get_or_init(|| (0..Bucket::COUNT).map(|_| AtomicU32::new(0)).collect());
        let mark = minute.saturating_add(1);
        if minutes[user.index()].swap(mark, Ordering::Relaxed) == mark {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Repetitions so far.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serinus_routing::CohortSeed;

    #[test]
    fn a_user_is_one_witness_a_minute() {
        let bucket = |name: &str| Bucket::of_key(CohortSeed::of_release("s", "2"), name.as_bytes());
        let repeats = Repeats::default();
        (0..50).for_each(|_| repeats.failed(bucket("alice"), 0));
        assert_eq!(repeats.count(), 49);
        repeats.failed(bucket("bob"), 0);
        repeats.failed(bucket("alice"), 1);
        assert_eq!(repeats.count(), 49);
        repeats.failed(bucket("alice"), 1);
        assert_eq!(repeats.count(), 50);
    }
}
