//! An episode: from the alarm to its label. What the predictor learns from.

use crate::evaluation::{EventEvidence, Label};
use crate::features::FeatureVector;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Seconds after the alarm at which features are kept for learning.
pub const CHECKPOINTS: [u32; 4] = [0, 20, 60, 180];

/// One anomaly and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Episode {
    /// When the detector's score passed its threshold.
    pub alarm_at: Timestamp,
    /// The strongest event then, with its counts since the deviation began.
    pub fired: EventEvidence,
    /// When users were taken off the canary; none if they never were.
    pub withdrawn_at: Option<Timestamp>,
    /// When users came back; none if they did not while the episode was watched.
    pub returned_at: Option<Timestamp>,
    /// What it turned out to be.
    pub label: Label,
    /// Why that label, in plain words with figures.
    pub why: String,
    /// Features by seconds after the alarm: those of [`CHECKPOINTS`] that were reached while it was open.
    pub checkpoints: Vec<(u32, FeatureVector)>,
}
