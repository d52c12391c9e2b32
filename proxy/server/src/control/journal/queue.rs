//! What waits to be written. Held for moments only, never while the disk works.

use serinus_models::{ServiceTick, Timestamp};
use serinus_rollout::{Record, Ticket};
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Beyond this, what exposes users is refused; what protects them still gets in.
const MAX_EXPOSING: usize = 1_024;
/// Beyond this the oldest are lost: the disk has not answered for a very long time.
const MAX_LINES: usize = 20_000;
/// Beyond this the oldest looks are lost: they are needed for a replay, not for a decision.
const MAX_LOOKS: usize = 4_096;

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

/// What the judgement was shown: with the records it makes a decision replayable.
#[derive(Debug, Clone)]
pub(crate) struct Look {
    /// When.
    pub(crate) at: Timestamp,
    /// Of which service.
    pub(crate) service: Arc<str>,
    /// What was seen.
    pub(crate) tick: ServiceTick,
}

/// What is written in one transaction. Looks come before the records that rest on them.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) looks: Vec<Look>,
    pub(super) lines: Vec<Line>,
}

#[derive(Debug, Default)]
struct Waiting {
    looks: VecDeque<Look>,
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

    /// Adds a look, to be written with the next record, or after a while without one.
    pub(super) fn push_look(&self, look: Look) {
        let mut waiting = self.lock();
        if waiting.looks.len() >= MAX_LOOKS {
            waiting.looks.pop_front();
        }
        waiting.looks.push_back(look);
    }

    /// Everything that waits, as soon as there is a record or after `patience`; `None` once closed
    /// and empty.
    pub(super) fn take(&self, patience: Duration) -> Option<Batch> {
        let waiting = self.lock();
        let (mut waiting, _) = self
            .arrived
            .wait_timeout_while(waiting, patience, |w| w.lines.is_empty() && !w.closed)
            .unwrap_or_else(PoisonError::into_inner);
        if waiting.closed && waiting.lines.is_empty() && waiting.looks.is_empty() {
            return None;
        }
        Some(Batch {
            looks: waiting.looks.drain(..).collect(),
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
