//! A stratum of a route's live traffic: as many ticks as it takes until both variants are in it.
//!
//! A failure says something only beside what the other variant did meanwhile. A tick of a quiet route
//! mostly holds requests of one variant alone, and would say nothing however often it fails. So ticks
//! are put together, until there are enough requests or for a few seconds. When a stratum ends depends on
//! requests and time, never on what became of them: so it is a fair stratum.

use super::stream::LIVE_EVENTS;
use crate::kernel::Count;
use crate::sample::Pair;
use crate::time::Timestamp;
use std::time::Duration;

/// So many requests are enough: a canary with a twentieth of the users has about one of them.
const ENOUGH: u64 = 20;
/// A stratum is not longer than this: what the variants share cancels only while it stays the same.
const LONGEST: Duration = Duration::from_secs(10);

/// Counts of each live event since the last stratum ended.
pub(super) type Counts = [Pair<Count>; LIVE_EVENTS.len()];

/// The stratum of a route that has not ended.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Stratum {
    counts: Counts,
    began: Option<Timestamp>,
}

impl Stratum {
    /// Adds a tick that ended at `now`.
    pub(super) fn add(&mut self, now: Timestamp, counts: &Counts) {
        self.began.get_or_insert(now);
        for (sum, more) in self.counts.iter_mut().zip(counts) {
            sum.stable.add(more.stable);
            sum.canary.add(more.canary);
        }
    }

    /// Whether it has ended at `now`.
    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        let enough = self.counts.iter().any(|Pair { stable, canary }| {
            stable.trials > 0 && canary.trials > 0 && stable.trials + canary.trials >= ENOUGH
        });
        enough || self.began.is_some_and(|began| now.since(began) >= LONGEST)
    }

    /// Ends it; `None` if nothing came.
    pub(super) fn end(&mut self) -> Option<Counts> {
        let stratum = std::mem::take(self);
        stratum.began.map(|_| stratum.counts)
    }
}
