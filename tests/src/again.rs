//! Judging a simulation's decisions again, from what was written down of it alone.

use crate::simulation::Simulation;
use serinus_models::{Predictor, Timestamp};
use serinus_rollout::{
    Answers, Heard, Library, Record, Replay, RolloutPolicy, ServiceState, Written,
};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What a replay of a simulation can look up: one model, and records.
#[derive(Debug)]
struct Shelf<'a> {
    predictor: Option<Arc<Predictor>>,
    records: Vec<&'a Record>,
}

impl Library for Shelf<'_> {
    fn model(&self, id: &str) -> Option<Arc<Predictor>> {
        self.predictor.clone().filter(|predictor| predictor.id() == id)
    }

    fn state_before(&self, at: Timestamp) -> Option<ServiceState> {
        let before = self.records.iter().filter(|record| record.at < at && record.state.is_some());
        before.max_by_key(|record| record.at).and_then(|record| record.state.clone())
    }

    fn policy(&self, in_force: &RolloutPolicy) -> RolloutPolicy {
        in_force.clone()
    }

    fn is_changed(&self) -> bool {
        false
    }
}

/// Reads back what was written: nothing may hang on what only memory knows.
fn written_and_read(heard: &Heard) -> Heard {
    let text = serde_json::to_string(heard).expect("plain data");
    serde_json::from_str(&text).expect("what was written can be read")
}

/// Every record that came to the disk is made again exactly, and no other. The first `forgotten`
/// things heard are gone, as after the time for which they are kept: then what can be known from
/// there on must be right. Says how many records were made again.
///
/// # Panics
/// A record is missing, is another, or is one too many.
pub fn assert_reproduced(
    simulation: &Simulation,
    predictor: Option<Arc<Predictor>>,
    forgotten: usize,
) -> usize {
    let heard: Vec<(Timestamp, Heard)> =
        simulation.heard.iter().map(|(at, heard)| (*at, written_and_read(heard))).collect();
    let names: BTreeSet<Arc<str>> =
        simulation.on_disk().iter().filter_map(|record| record.service.clone()).collect();
    let mut count = 0;
    for service in names {
        let of_service = |record: &&Record| record.service.as_ref() == Some(&service);
        let records: Vec<&Record> = simulation.on_disk().iter().filter(of_service).collect();
        let shelf = Shelf { predictor: predictor.clone(), records: records.clone() };
        let mut answers = Answers::default();
        for (at, heard) in &heard {
            match heard {
                Heard::Answered(answer) if answer.service == service => answers.add(*at, answer),
                _ => {}
            }
        }
        let mut replay = Replay::new(service.clone(), &shelf, &answers);
        // Of what is forgotten the last configuration is kept.
        let is_scheme = |(_, heard): &&(Timestamp, Heard)| heard.scheme().is_some();
        let kept = heard[..forgotten]
            .iter()
            .rfind(is_scheme)
            .into_iter()
            .flat_map(|kept| [kept.clone(), (kept.0, Heard::Lost(1))]);
        for (at, heard) in kept.chain(heard[forgotten..].iter().cloned()) {
            replay.hear(at, &heard, false).expect("the one model there is");
        }
        let mut left: Vec<&Record> =
            records.into_iter().filter(|record| replay.is_known(record.at)).collect();
        // Of two that are the same, as with a crash in between, the one that is known to be on the disk.
        let (durable, others): (Vec<_>, Vec<_>) =
            replay.made().iter().partition(|made| made.written == Written::Durable);
        for made in durable.into_iter().chain(others) {
            match left.iter().position(|record| **record == made.record) {
                Some(place) => {
                    left.remove(place);
                    count += 1;
                }
                None => assert_ne!(
                    made.written,
                    Written::Durable,
                    "{service}: nobody decided this: {:#?}",
                    made.record
                ),
            }
        }
        let left: Vec<String> = left
            .iter()
            .map(|record| format!("{} {}: {}", record.at.0, record.kind.as_str(), record.text))
            .collect();
        assert!(left.is_empty(), "{service}: not decided again: {left:#?}");
    }
    count
}
