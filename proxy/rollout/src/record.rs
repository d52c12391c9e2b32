//! What is written down: every change of a rollout with what it rested on.

use crate::phase::ServiceState;
use serde::{Deserialize, Serialize};
use serinus_models::{Evaluation, Timestamp};
use std::sync::Arc;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordKind {
    /// A canary version was seen for the first time.
    RolloutStarted,
    /// The next stage began.
    StageAdvanced,
    /// The detector's score passed its threshold.
    AnomalyDetected,
    /// The anomaly is gone.
    AnomalyCleared,
    /// An anomaly holds the rollout where it is.
    Held,
    /// Users were taken off the canary for now.
    Withdrawn,
    /// Users came back.
    Restored,
    /// The release was taken back.
    RolledBack,
    /// The release is the one that everybody gets.
    Promoted,
    /// A person stopped the clock.
    Paused,
    /// A person let it run on.
    Resumed,
    /// A person took the release back.
    Aborted,
    /// A person gave a rolled-back version another try.
    Retried,
    /// The episode's true nature is known.
    EpisodeLabelled,
    /// A model was fitted.
    ModelTrained,
    /// A model took over.
    ModelReplaced,
    /// A model was found worse, or unusable.
    ModelRejected,
    /// A new configuration is in force.
    ConfigReloaded,
    /// A configuration was refused; the old one stays.
    ConfigRejected,
}

impl RecordKind {
    /// Every kind.
    pub const ALL: [RecordKind; 19] = [
        RecordKind::RolloutStarted,
        RecordKind::StageAdvanced,
        RecordKind::AnomalyDetected,
        RecordKind::AnomalyCleared,
        RecordKind::Held,
        RecordKind::Withdrawn,
        RecordKind::Restored,
        RecordKind::RolledBack,
        RecordKind::Promoted,
        RecordKind::Paused,
        RecordKind::Resumed,
        RecordKind::Aborted,
        RecordKind::Retried,
        RecordKind::EpisodeLabelled,
        RecordKind::ModelTrained,
        RecordKind::ModelReplaced,
        RecordKind::ModelRejected,
        RecordKind::ConfigReloaded,
        RecordKind::ConfigRejected,
    ];

    /// Whether it may put users on a canary: such a record is durable before its change is published,
    /// and a change whose record could not be written did not happen.
    pub const fn exposes(self) -> bool {
        matches!(
            self,
            RecordKind::RolloutStarted
                | RecordKind::StageAdvanced
                | RecordKind::Restored
                | RecordKind::Promoted
                | RecordKind::Retried
        )
    }

    /// The name in the journal and in events.
    pub const fn as_str(self) -> &'static str {
        match self {
            RecordKind::RolloutStarted => "rollout_started",
            RecordKind::StageAdvanced => "stage_advanced",
            RecordKind::AnomalyDetected => "anomaly_detected",
            RecordKind::AnomalyCleared => "anomaly_cleared",
            RecordKind::Held => "held",
            RecordKind::Withdrawn => "withdrawn",
            RecordKind::Restored => "restored",
            RecordKind::RolledBack => "rolled_back",
            RecordKind::Promoted => "promoted",
            RecordKind::Paused => "paused",
            RecordKind::Resumed => "resumed",
            RecordKind::Aborted => "aborted",
            RecordKind::Retried => "retried",
            RecordKind::EpisodeLabelled => "episode_labelled",
            RecordKind::ModelTrained => "model_trained",
            RecordKind::ModelReplaced => "model_replaced",
            RecordKind::ModelRejected => "model_rejected",
            RecordKind::ConfigReloaded => "config_reloaded",
            RecordKind::ConfigRejected => "config_rejected",
        }
    }
}

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// When.
    pub at: Timestamp,
    /// What.
    pub kind: RecordKind,
    /// Of which service; none where it concerns the whole proxy.
    pub service: Option<Arc<str>>,
    /// In plain words.
    pub text: String,
    /// The service's rollout after it: enough to go on from after a restart.
    pub state: Option<ServiceState>,
    /// What the decision rested on.
    pub evaluation: Option<Evaluation>,
    /// More, by kind: `{"observed_only": true}`, the labelled episode, model figures, errors.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub details: serde_json::Value,
    /// The configuration in force.
    pub config_hash: String,
}
