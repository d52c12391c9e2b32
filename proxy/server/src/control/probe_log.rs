//! What the log says of probes: what a run that failed expected and got, at once and then once a minute at most,
//! and that rounds find no place. Every failed run is in the log at `debug`, by its own name.

use crate::complaints::Complaints;
use serinus_models::Outcome;
use serinus_probes::{Round, Runs};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

const TOLD_EVERY: Duration = Duration::from_secs(60);

/// By probe, and by variant or what else there is to say.
#[derive(Debug, Default)]
pub(super) struct ProbeLog(Mutex<HashMap<(Arc<str>, &'static str), Complaints>>);

impl ProbeLog {
    pub(super) fn tell(&self, round: &Round) {
        let probe = &*round.probe;
        match &round.runs {
            Runs::NotRun(why) => {
                tracing::debug!(target: "serinus::probe", probe, "not run: {why}");
            }
            Runs::Crowded => {
                if let Some(more) = self.due(round, "crowded") {
                    tracing::warn!(
                        target: "serinus::probe",
                        probe, more, "a round found no place: probing.concurrency rounds go on already"
                    );
                }
            }
            Runs::StableOnly(_) | Runs::Both(_) => self.tell_failures(round),
        }
    }

    fn tell_failures(&self, round: &Round) {
        let failed = || round.runs.each().filter(|(_, run)| run.outcome != Outcome::Ok);
        // A route that answers no GET on either side is not failing.
        let is_not_for_it = round.plain && failed().count() == round.runs.each().count();
        for (variant, run) in failed() {
            let (probe, outcome) = (&*round.probe, run.outcome.as_str());
            let (endpoint, why) = (&run.endpoint, run.failure().unwrap_or("failed"));
            tracing::debug!(
                target: "serinus::probe",
                probe, variant, run = run.run, endpoint, outcome, "{why}"
            );
            if let Some(more) = self.due(round, variant).filter(|_| !is_not_for_it) {
                tracing::warn!(
                    target: "serinus::probe",
                    probe, variant, endpoint, outcome, more, "{why}"
                );
            }
        }
    }

    fn due(&self, round: &Round, what: &'static str) -> Option<u64> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let complaints = known.entry((round.probe.clone(), what));
        complaints.or_insert_with(|| Complaints::every(TOLD_EVERY)).due(Instant::now())
    }
}
