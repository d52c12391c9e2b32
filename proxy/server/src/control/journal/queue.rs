//! What waits to be written. Held for moments only, never while the disk works.

use serinus_rollout::{Record, Ticket};
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Beyond this, what exposes users is refused; what protects them still gets in.
const MAX_EXPOSING: usize = 1_024;
/// Beyond this the oldest are lost: the disk has not answered for a very long time.
const MAX_LINES: usize = 20_000;

/// A record on its way to the disk.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    /// Who waits for an answer; none if nobody does.
    pub(crate) ticket: Option<Ticket>,
    /// The number it should get.
    pub(crate) id: u64,
    /// What is written.
    pub(crate) record: Record,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: VecDeque<Line>,
    closed: bool,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
}

impl Queue {
    /// Adds a line, unless it exposes users and the disk is hopelessly behind: says whether it did.
    pub(super) fn push(&self, line: Line) -> bool {
        let mut waiting = self.lock();
        if waiting.closed || (line.record.kind.exposes() && waiting.lines.len() >= MAX_EXPOSING) {
            return false;
        }
        if waiting.lines.len() >= MAX_LINES {
            waiting.lines.pop_front();
        }
        waiting.lines.push_back(line);
        self.arrived.notify_one();
        true
    }

    /// Everything that waits, after at most `patience`; `None` once closed and empty.
    pub(super) fn take(&self, patience: Duration) -> Option<Vec<Line>> {
        let waiting = self.lock();
        let (mut waiting, _) = self
            .arrived
            .wait_timeout_while(waiting, patience, |w| w.lines.is_empty() && !w.closed)
            .unwrap_or_else(PoisonError::into_inner);
        if waiting.closed && waiting.lines.is_empty() {
            return None;
        }
        Some(waiting.lines.drain(..).collect())
    }

    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing can panic while it is held; and if it did, a queue of records is still one.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
