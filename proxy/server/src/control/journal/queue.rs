//! What waits to be written. Held for moments only, never while the disk works.

use serinus_models::Timestamp;
use serinus_rollout::{Heard, Record, Ticket};
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Beyond this, what exposes users is refused; what protects them still gets in.
const MAX_EXPOSING: usize = 1_024;
/// Beyond this the oldest are lost: the disk has not answered for a very long time.
const MAX_LINES: usize = 20_000;
/// Beyond this the oldest of what was heard is lost: it is needed for a replay, not for a decision.
pub(super) const MAX_HEARD: usize = 4_096;

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

/// What is written in one transaction. What was heard comes before the records that rest on it.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// What the controller was told, and when.
    pub(super) heard: Heards,
    pub(super) lines: Vec<Line>,
}

/// The latest things that the controller heard, and how many before them were lost.
#[derive(Debug, Default)]
pub(super) struct Heards {
    pub(super) latest: VecDeque<(Timestamp, Heard)>,
    pub(super) lost: u64,
}

impl Heards {
    pub(super) fn push(&mut self, at: Timestamp, heard: Heard) {
        if self.latest.len() >= MAX_HEARD {
            self.latest.pop_front();
            self.lost += 1;
        }
        self.latest.push_back((at, heard));
    }

    /// Adds what was heard later.
    pub(super) fn append(&mut self, later: Heards) {
        if later.lost > 0 {
            self.lost += later.lost + self.latest.len() as u64;
            self.latest.clear();
        }
        later.latest.into_iter().for_each(|(at, heard)| self.push(at, heard));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.latest.is_empty() && self.lost == 0
    }
}

#[derive(Debug, Default)]
struct Waiting {
    heard: Heards,
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

    /// Adds what the controller was told, to be written with the next record, or after a while
    /// without one.
    pub(super) fn hear(&self, at: Timestamp, heard: Heard) {
        self.lock().heard.push(at, heard);
    }

    /// Everything that waits, as soon as there is a record or after `patience`; `None` once closed
    /// and empty.
    pub(super) fn take(&self, patience: Duration) -> Option<Batch> {
        let waiting = self.lock();
        let (mut waiting, _) = self
            .arrived
            .wait_timeout_while(waiting, patience, |w| w.lines.is_empty() && !w.closed)
            .unwrap_or_else(PoisonError::into_inner);
        if waiting.closed && waiting.lines.is_empty() && waiting.heard.is_empty() {
            return None;
        }
        Some(Batch {
            heard: std::mem::take(&mut waiting.heard),
            lines: waiting.lines.drain(..).collect(),
        })
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
