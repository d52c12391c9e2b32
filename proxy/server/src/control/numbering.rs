//! Numbers of records: given when a record is first seen, so that the event that is told and the
//! line that is written carry the same one.

use serinus_models::Timestamp;
use serinus_rollout::{Record, RecordKind, ServiceState};
use std::collections::VecDeque;
use std::sync::Arc;

/// Numbered records that are remembered; a record is told and written within moments.
const REMEMBERED: usize = 512;

/// What makes two records the same one. A decision that exposes users is told later than it was
/// written, with a fresh look at the evidence: its state is what it is known by.
#[derive(Debug, PartialEq)]
enum Identity {
    Exposing(RecordKind, Option<Arc<str>>, Option<Box<ServiceState>>),
    Other(RecordKind, Option<Arc<str>>, Timestamp, String),
}

impl Identity {
    fn of(record: &Record) -> Self {
        let (kind, service) = (record.kind, record.service.clone());
        if kind.exposes() {
            Identity::Exposing(kind, service, record.state.clone().map(Box::new))
        } else {
            Identity::Other(kind, service, record.at, record.text.clone())
        }
    }
}

/// Hands out numbers.
#[derive(Debug)]
pub(super) struct Numbering {
    next: u64,
    recent: VecDeque<(u64, Identity)>,
}

impl Numbering {
    /// Goes on after the last number that is in use.
    pub(super) fn after(last: u64) -> Self {
        Numbering { next: last + 1, recent: VecDeque::new() }
    }

    /// The number of this record: a new one, unless it was numbered a moment ago.
    pub(super) fn of(&mut self, record: &Record) -> u64 {
        let identity = Identity::of(record);
        if let Some((id, _)) = self.recent.iter().find(|(_, known)| *known == identity) {
            return *id;
        }
        let id = self.next;
        self.next += 1;
        if self.recent.len() == REMEMBERED {
            self.recent.pop_front();
        }
        self.recent.push_back((id, identity));
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::journal::tests::record;
    use serinus_rollout::Phase;

    #[test]
    fn telling_and_writing_a_record_give_it_one_number() {
        let mut numbering = Numbering::after(7);
        let withdrawn = record(1, RecordKind::Withdrawn, Phase::Progressing);
        assert_eq!(numbering.of(&withdrawn), 8);
        let started = record(2, RecordKind::RolloutStarted, Phase::Progressing);
        assert_eq!(numbering.of(&started), 9);
        assert_eq!(numbering.of(&withdrawn), 8);
        let told_later = Record { at: Timestamp(5), text: "again".into(), ..started.clone() };
        assert_eq!(numbering.of(&told_later), 9);
        let again = record(3, RecordKind::Withdrawn, Phase::Progressing);
        assert_eq!(numbering.of(&again), 10);
    }
}
