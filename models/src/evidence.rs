//! What is known of the canary at one moment: the first input of [`crate::evaluate_deployment`].

use crate::evaluation::{EventEvidence, Quantiles, Reason};
use crate::features::FeatureVector;
use crate::guard::ResourceLevels;
use crate::outcome::OutcomeCounts;
use crate::sample::Pair;
use std::time::Duration;

/// Everything that speaks for or against the canary now.
#[derive(Debug, Clone, PartialEq)]
pub struct CanaryEvidence {
    /// Whether users are served by the canary now.
    pub exposed: bool,
    /// The detector's e-value.
    pub e_value: f64,
    /// The strongest events, strongest first.
    pub strongest: Vec<EventEvidence>,
    /// Outcomes of the last minute, live and probes.
    pub recent: Pair<OutcomeCounts>,
    /// Requests and probe runs of the last ten seconds: how many, and how many failed.
    pub lately: Pair<(u64, u64)>,
    /// Of the same time: how many, and how many were slower than stable's usual 90th percentile (the
    /// canary: beyond the margin).
    pub slow_lately: Pair<(u64, u64)>,
    /// How long ago both were last seen to fail alike.
    pub shared_ago: Option<Duration>,
    /// Latency of the last minute.
    pub latency: Pair<Quantiles>,
    /// What the processes use.
    pub resources: Pair<ResourceLevels>,
    /// Why it should go no further for what its processes use; empty where nothing speaks against it.
    pub guards: Vec<Reason>,
    /// Whether the canary did clearly worse within the last half minute.
    pub worse_lately: bool,
    /// Live requests and probe rounds of the canary since the stage began.
    pub seen_in_stage: u64,
    /// How long the stage has lasted.
    pub stage_age: Duration,
    /// How long the canary has been deployed.
    pub age: Duration,
    /// Whether the canary, serving everybody, is compared with stable's past.
    pub historical: bool,
    /// The open anomaly.
    pub suspicion: Option<Suspicion>,
}

/// An anomaly that is not settled yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Suspicion {
    /// How long ago the alarm was.
    pub since_alarm: Duration,
    /// The event that raised it; none where users are off the canary for a reason that is not
    /// known any more, as after a restart.
    pub fired: Option<EventEvidence>,
    /// Observations of the canary since: how many, and how many showed the excess.
    pub since: (u64, u64),
    /// Whether the excess is gone, and has been for several seconds.
    pub cleared: bool,
    /// Whether the failure went on after the alarm, up to now, for as long as such a failure asks for.
    pub confirmed: bool,
    /// How long after the alarm a rollback is possible, by what is seen since, and why.
    pub waits: (Duration, &'static str),
    /// What the predictor sees; none without an alarm.
    pub features: Option<FeatureVector>,
}
