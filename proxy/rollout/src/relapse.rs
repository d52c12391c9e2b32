//! Whether an anomaly that had cleared is back before users are.

use serinus_models::{Evaluation, Timestamp, Verdict};
use std::time::Duration;

/// What was gone for less than this was never gone.
const RELAPSE_AFTER: Duration = Duration::from_secs(10);

/// Since when an open anomaly has looked gone. What probes see while users are off counts like
/// what users would have seen.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Relapse {
    clear_since: Option<Timestamp>,
}

impl Relapse {
    /// Takes in a look; says whether it shows the anomaly again.
    pub(crate) fn look(&mut self, evaluation: &Evaluation, now: Timestamp) -> bool {
        let says = |code: &str| evaluation.reasons.iter().any(|reason| reason.code == code);
        if evaluation.cleared || says("cleared") {
            self.clear_since.get_or_insert(now);
            return false;
        }
        let was_gone = self.clear_for(now) >= RELAPSE_AFTER;
        self.clear_since = None;
        was_gone && !says("shared_fault") && is_suspicious(evaluation.verdict)
    }

    /// For how long it has looked gone.
    pub(crate) fn clear_for(&self, now: Timestamp) -> Duration {
        self.clear_since.map_or(Duration::ZERO, |since| now.since(since))
    }
}

fn is_suspicious(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Hold | Verdict::Withdraw | Verdict::Rollback)
}
