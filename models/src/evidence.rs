//! What is known of the canary at one moment: the first input of [`crate::evaluate_deployment`].

use crate::outcome::OutcomeCounts;
use crate::sample::Pair;

/// Everything that speaks for or against the canary now.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CanaryEvidence {
    /// Outcomes of the last minute, live and probes.
    pub recent: Pair<OutcomeCounts>,
}
