//! Where a rollout stands.

use crate::load::Carried;
use crate::record::RecordKind;
use serde::{Deserialize, Serialize};
use serinus_models::Timestamp;
use serinus_routing::Weight;
use std::borrow::Cow;
use std::sync::Arc;

/// The phase of a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// There is no canary.
    Idle,
    /// Going through its stages.
    Progressing,
    /// A person stopped the clock; protection stays on.
    Paused,
    /// Everybody gets the new version.
    Promoted,
    /// Nobody gets it, until its version changes or a person says retry.
    RolledBack,
}

impl Phase {
    /// Every phase.
    pub const ALL: [Phase; 5] =
        [Phase::Idle, Phase::Progressing, Phase::Paused, Phase::Promoted, Phase::RolledBack];

    /// The name in the API and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Phase::Idle => "idle",
            Phase::Progressing => "progressing",
            Phase::Paused => "paused",
            Phase::Promoted => "promoted",
            Phase::RolledBack => "rolled_back",
        }
    }
}

/// The rollout of one service, as it survives a restart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceState {
    /// The version that users had before.
    pub stable_version: Arc<str>,
    /// The version this is about.
    pub canary_version: Option<Arc<str>>,
    /// Where it stands.
    pub phase: Phase,
    /// Index of the stage.
    pub stage: usize,
    /// Users sent to the canary now.
    pub weight: Weight,
    /// When the stage began.
    pub stage_started: Timestamp,
    /// When the canary version was first seen.
    pub rollout_started: Timestamp,
    /// Since when users are off the canary for now.
    pub withdrawn_since: Option<Timestamp>,
    /// Since when an anomaly holds the weight where it is (`on_anomaly = "hold"`).
    pub held_since: Option<Timestamp>,
    /// Since when the clock is stopped.
    pub paused_since: Option<Timestamp>,
    /// Anomalies that are not forgotten yet: those since the rollout last got past `anomaly_stage`
    /// with five minutes gone by without one.
    pub anomalies: u32,
    /// The furthest stage that had one of them.
    pub anomaly_stage: usize,
    /// When the last of them was.
    #[serde(default)]
    pub last_anomaly: Option<Timestamp>,
    /// Users are on their way back to stable, step by step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaving: Option<Leaving>,
    /// The most that stable has lately carried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carried: Option<Carried>,
}

/// A way back that stable can take: users leave the canary step by step, and nobody comes to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Leaving {
    /// When the first step was taken.
    pub since: Timestamp,
    /// Users on the canary after each step; they only fall, and the last is zero.
    pub weights: Vec<Weight>,
    /// Steps taken; at least one.
    pub taken: usize,
    /// What is recorded with the last step: `withdrawn`, `rolled_back` or `aborted`.
    pub then: RecordKind,
    /// Its word for programs.
    pub reason: Option<Cow<'static, str>>,
    /// Why they leave, in plain words.
    pub why: String,
}

impl ServiceState {
    /// A service without a canary.
    pub fn idle(stable_version: Arc<str>, now: Timestamp) -> Self {
        ServiceState {
            stable_version,
            canary_version: None,
            phase: Phase::Idle,
            stage: 0,
            weight: Weight::ZERO,
            stage_started: now,
            rollout_started: now,
            withdrawn_since: None,
            held_since: None,
            paused_since: None,
            anomalies: 0,
            anomaly_stage: 0,
            last_anomaly: None,
            leaving: None,
            carried: None,
        }
    }

    /// Whether users may be on the canary, now or after a restore.
    pub fn is_on_trial(&self) -> bool {
        matches!(self.phase, Phase::Progressing | Phase::Paused)
    }
}
