//! What the operator set, as the evaluation sees it.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How one release is judged.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EvaluationSettings {
    /// Confidence (0 to 1) that the canary is worse at which users are protected.
    pub anomaly_threshold: f64,
    /// Forecast probability above which the release is taken back.
    pub rollback_threshold: f64,
    /// Forecast probability below which users return once the anomaly has cleared.
    pub resume_threshold: f64,
    /// Odds ratio of failures, and ratio of latencies, below which "worse" is not worth a rollback; at least 1.
    pub margin: f64,
    /// Whether users are taken off the canary at an anomaly; otherwise the weight stays.
    pub withdraw: bool,
    /// Observations of the canary (live requests and probe rounds) below which a stage has no evidence.
    pub min_requests: u64,
    /// How long the release is expected to be watched: the sum of the stages' holds.
    pub horizon: Duration,
    /// From when to when after the alarm an episode is watched for its label.
    pub label_window: (Duration, Duration),
}

impl EvaluationSettings {
    /// The e-value of the anomaly threshold: 1000 for a confidence of 0.999.
    pub fn alarm_at(&self) -> f64 {
        1.0 / (1.0 - self.anomaly_threshold).clamp(1e-12, 1.0)
    }
}

/// Who was served by the canary during a tick.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Exposure {
    /// Share of users on the canary, 0 to 1.
    pub weight: f64,
    /// Whether users were taken off it for now.
    pub withdrawn: bool,
}
