//! How often the log says why somebody fails: at once, and then now and then with how many more failures there
//! were. The counts are in the metrics; the cause (a refused connection, a certificate that does not fit, a page
//! that is not what a probe expects) is nowhere else.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// About one that is asked.
#[derive(Debug)]
pub(crate) struct Complaints {
    every: Duration,
    epoch: Instant,
    /// When the next one is due, in milliseconds since then.
    next: AtomicU64,
    untold: AtomicU64,
}

impl Complaints {
    /// One complaint in that time at most.
    pub(crate) fn every(every: Duration) -> Self {
        let (next, untold) = (AtomicU64::new(0), AtomicU64::new(0));
        Complaints { every, epoch: Instant::now(), next, untold }
    }

    /// Whether to tell of a failure, and of how many others nobody was told since the last time.
    pub(crate) fn due(&self, now: Instant) -> Option<u64> {
        let at = now.saturating_duration_since(self.epoch).as_millis() as u64;
        let next = self.next.load(Ordering::Relaxed);
        let after = at + self.every.as_millis() as u64;
        let is_mine = at >= next
            && self
                .next
                .compare_exchange(next, after, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if !is_mine {
            self.untold.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(self.untold.swap(0, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_again_and_again_does_not_fill_the_disk() {
        let complaints = Complaints::every(Duration::from_secs(10));
        let after = |seconds| complaints.due(complaints.epoch + Duration::from_secs(seconds));
        assert_eq!((after(0), after(1), after(9)), (Some(0), None, None));
        assert_eq!((after(10), after(11), after(30)), (Some(2), None, Some(1)));
    }
}
