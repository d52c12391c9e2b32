//! The latest records in memory, and everybody who waits for the next one.

use super::journal::Entry;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::broadcast;

/// Records kept in memory; earlier ones are in the journal.
const KEPT: usize = 1_000;

/// The event stream. Its lock is held for moments, and never by the data path.
#[derive(Debug)]
pub(crate) struct Events {
    recent: Mutex<VecDeque<Arc<Entry>>>,
    sender: broadcast::Sender<Arc<Entry>>,
}

impl Default for Events {
    fn default() -> Self {
        Events { recent: Mutex::default(), sender: broadcast::Sender::new(KEPT) }
    }
}

impl Events {
    /// Replaces what is remembered by what the journal says, in its order.
    pub(crate) fn remember(&self, entries: Vec<Entry>) {
        let skip = entries.len().saturating_sub(KEPT);
        *self.lock() = entries.into_iter().skip(skip).map(Arc::new).collect();
    }

    /// Tells everybody.
    pub(crate) fn publish(&self, entry: Entry) {
        let entry = Arc::new(entry);
        let mut recent = self.lock();
        if recent.len() == KEPT {
            recent.pop_front();
        }
        recent.push_back(entry.clone());
        // Nobody listening is no error. Sent under the lock, so that a subscriber misses nothing.
        let _ = self.sender.send(entry);
    }

    /// What came after the record numbered `after` (everything remembered, without one), in the order
    /// in which it was told, and all that will come.
    ///
    /// Numbers are not quite in this order: a decision that exposes users is told once it is durable.
    pub(crate) fn subscribe(
        &self,
        after: Option<u64>,
    ) -> (Vec<Arc<Entry>>, broadcast::Receiver<Arc<Entry>>) {
        let recent = self.lock();
        let receiver = self.sender.subscribe();
        let past = match after {
            None => recent.iter().cloned().collect(),
            Some(id) => match recent.iter().position(|entry| entry.id == id) {
                Some(at) => recent.range(at + 1..).cloned().collect(),
                None => recent.iter().filter(|entry| entry.id > id).cloned().collect(),
            },
        };
        (past, receiver)
    }

    /// Whether everything after record `after` is still in memory.
    pub(crate) fn reaches_back_to(&self, after: Option<u64>) -> bool {
        let recent = self.lock();
        let first = recent.front().map_or(u64::MAX, |entry| entry.id);
        recent.len() < KEPT || after.is_some_and(|after| after >= first)
    }

    /// The record of that number, if it is remembered.
    pub(crate) fn find(&self, id: u64) -> Option<Arc<Entry>> {
        self.lock().iter().find(|entry| entry.id == id).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<Entry>>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::journal::tests::record;
    use serinus_rollout::{Phase, RecordKind};

    fn entry(id: u64) -> Entry {
        Entry { id, record: record(id, RecordKind::Held, Phase::Progressing) }
    }

    fn ids(entries: &[Arc<Entry>]) -> Vec<u64> {
        entries.iter().map(|entry| entry.id).collect()
    }

    #[tokio::test]
    async fn a_listener_that_comes_back_gets_what_was_told_since_even_out_of_order() {
        let events = Events::default();
        events.remember(vec![entry(1), entry(2)]);
        events.publish(entry(4));
        events.publish(entry(3));
        let (past, mut receiver) = events.subscribe(Some(4));
        assert_eq!(ids(&past), [3]);
        assert_eq!(ids(&events.subscribe(None).0), [1, 2, 4, 3]);
        events.publish(entry(5));
        assert_eq!(receiver.recv().await.unwrap().id, 5);
    }

    #[test]
    fn only_the_latest_are_kept_in_memory() {
        let events = Events::default();
        for id in 1..=KEPT as u64 + 1 {
            events.publish(entry(id));
        }
        assert!(events.find(1).is_none() && events.find(2).is_some());
        assert!(!events.reaches_back_to(None) && !events.reaches_back_to(Some(1)));
        assert!(events.reaches_back_to(Some(2)));
    }
}
