//! The course of the canary's excess second by second: trend, runs of bad seconds, onsets.

use crate::baseline::Trend;
use crate::time::Timestamp;
use crate::window::{Recent, Seen, excess};
use std::time::Duration;

/// Seconds without a bad one that make the next an onset.
const QUIET: u32 = 5;
/// Excess of failures above which a second is bad.
const BAD_ERRORS: f64 = 0.1;
/// Excess of slow requests above which a second is bad.
const BAD_SLOW: f64 = 0.3;

/// What is known of the seconds that are over.
#[derive(Debug, Clone, Default)]
pub(crate) struct Course {
    /// The first second, since the epoch, that is not taken in yet.
    next: u64,
    /// Excess of failures.
    pub(crate) errors: Trend,
    /// Excess of slow requests.
    pub(crate) slow: Trend,
    /// Bad seconds in a row, to now; seconds without evidence do not count either way.
    pub(crate) bad_run: u32,
    good_run: u32,
    /// How often bad seconds began after quiet ones.
    pub(crate) onsets: u32,
    /// The last bad second, since the epoch.
    pub(crate) last_bad: Option<u64>,
}

impl Course {
    pub(crate) fn new(now: Timestamp) -> Self {
        Course { next: now.0 / 1000, good_run: QUIET, ..Course::default() }
    }

    /// Takes in the seconds that are over at `now`.
    pub(crate) fn advance(&mut self, now: Timestamp, recent: &Recent) {
        let current = now.0 / 1000;
        // What is older than the window is gone anyway.
        self.next = self.next.max(current.saturating_sub(120));
        while self.next < current {
            if let Some(seen) = recent.second(self.next) {
                self.take(self.next, seen);
            }
            self.next += 1;
        }
    }

    fn take(&mut self, second: u64, seen: &Seen) {
        let one = Duration::from_secs(1);
        if let Some(errors) = excess(seen.failures()) {
            self.errors.add(errors, one);
        }
        if let Some(slow) = excess(seen.slow()) {
            self.slow.add(slow, one);
        }
        match is_bad(seen) {
            Some(true) => {
                if self.bad_run == 0 && self.good_run >= QUIET {
                    self.onsets += 1;
                }
                self.bad_run += 1;
                self.good_run = 0;
                self.last_bad = Some(second);
            }
            Some(false) => {
                self.bad_run = 0;
                self.good_run = self.good_run.saturating_add(1);
            }
            None => {}
        }
    }
}

/// Whether the canary did clearly worse than stable in that second; `None` without evidence.
pub(crate) fn is_bad(seen: &Seen) -> Option<bool> {
    let (failures, slow) = (seen.failures(), seen.slow());
    let errors = excess(failures)?;
    // One failure of many is chance; one of one or two is all there is.
    let enough =
        failures.canary.hits >= 2 || failures.canary.hits * 2 >= failures.canary.trials.max(1);
    let erring = errors > BAD_ERRORS && enough;
    let slowing = excess(slow).is_some_and(|slower| slower > BAD_SLOW) && slow.canary.hits >= 2;
    Some(erring || slowing)
}
