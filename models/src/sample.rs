//! What one tick has seen of a service: the only input of the evaluation.

use crate::latency::LatencyCounts;
use crate::outcome::{Outcome, OutcomeCounts};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The same thing for both variants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Pair<T> {
    /// Of the version that users had before.
    pub stable: T,
    /// Of the version on trial.
    pub canary: T,
}

/// Finished requests of one variant in one tick.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Sample {
    /// By class.
    pub outcomes: OutcomeCounts,
    /// Latencies. A request in flight for longer than the tick's look-out age is counted here at
    /// that age, once, and not again when it ends: so the total may differ from that of `outcomes`.
    pub latency: LatencyCounts,
    /// Response body bytes.
    pub bytes: u64,
    /// Of the failures: those of users who had failed here already within the same minute. One user who fails
    /// again and again is one witness.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub repeated: u32,
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

impl Sample {
    /// Adds one finished request.
    pub fn record(&mut self, outcome: Outcome, micros: u64, bytes: u64) {
        self.outcomes.add(outcome, 1);
        self.latency.record(micros);
        self.bytes += bytes;
    }
}

/// Live requests of one route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveSample {
    /// The route's name.
    pub route: Arc<str>,
    /// What both variants answered.
    pub samples: Pair<Sample>,
}

/// How one run of a probe ended on one variant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeResult {
    /// The class of the first step that failed, or `ok`.
    pub outcome: Outcome,
    /// All steps together, in microseconds.
    pub micros: u64,
}

/// One run of a probe against both variants, in random order, with the same inputs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeRound {
    /// The probe's name.
    pub probe: Arc<str>,
    /// The results.
    pub results: Pair<ProbeResult>,
    /// Microseconds of each step, in order; empty unless all steps of both ended well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Pair<u64>>,
    /// Nobody wrote it for this release: it asks whether there is an answer, and no more. Its failures are
    /// failures; that it does well makes no release a tried one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub plain: bool,
}

/// What a variant's processes use. Unknown is `None`, never zero.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Resources {
    /// CPU seconds spent per second, summed over the endpoints that told.
    pub cpu_cores: Option<f64>,
    /// CPU seconds per request answered.
    pub cpu_seconds_per_request: Option<f64>,
    /// Resident bytes, the mean over the endpoints that told.
    pub memory_bytes: Option<f64>,
    /// Process starts seen since the last tick.
    pub restarts: Option<u32>,
    /// Share of the CPU in use, as the process tells it (ORCA).
    pub cpu_utilization: Option<f64>,
    /// Share of the memory in use, as the process tells it (ORCA).
    pub memory_utilization: Option<f64>,
    /// Bytes over the network per request answered.
    pub network_bytes_per_request: Option<f64>,
    /// Share of the requests that per-request figures rest on that were probes'.
    pub probe_share: Option<f64>,
}

/// Everything seen of one service since the last look.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ServiceTick {
    /// Milliseconds since the last look.
    pub span_ms: u64,
    /// Live traffic by route; routes without traffic may be absent.
    pub live: Vec<LiveSample>,
    /// Probe runs that ended.
    pub probes: Vec<ProbeRound>,
    /// What the processes use.
    pub resources: Pair<Resources>,
}
