//! What an evaluation says: scores, verdict, and everything it rests on.

use crate::guard::ResourceLevels;
use crate::outcome::OutcomeCounts;
use crate::sample::Pair;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// What should happen to the release now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing speaks against it.
    Continue,
    /// Expose nobody further: an anomaly is open and not yet judged.
    Hold,
    /// Take users off the canary for now; the judgement follows.
    Withdraw,
    /// The failure will last: take the release back.
    Rollback,
    /// Neither good nor bad can be said; never a pass, never a failure.
    InsufficientEvidence,
}

impl Verdict {
    /// The name used in the API and in records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Verdict::Continue => "continue",
            Verdict::Hold => "hold",
            Verdict::Withdraw => "withdraw",
            Verdict::Rollback => "rollback",
            Verdict::InsufficientEvidence => "insufficient_evidence",
        }
    }
}

/// One reason for a verdict: a word for programs and a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// `no_anomaly`, `anomaly`, `forecast_lasting`, `forecast_passing`, `forecast_open`, `cleared`,
    /// `no_traffic`, `no_telemetry`, `ambiguous`, `shared_fault`, `detector_only`, `warm_up`,
    /// `historical_control`, `resources`, `unresolved`, `repeated`, `operator`.
    pub code: String,
    /// In plain words, with figures.
    pub text: String,
}

impl Reason {
    /// A reason from its word and its sentence.
    pub fn new(code: &str, text: impl Into<String>) -> Self {
        Reason { code: code.to_owned(), text: text.into() }
    }
}

/// The binary events that the detector compares between variants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The variant failed the request: any failure class.
    Failure,
    /// The variant answered 4xx.
    ClientError,
    /// Slower than stable's recent median.
    SlowerThanP50,
    /// Slower than stable's recent 75th percentile.
    SlowerThanP75,
    /// Slower than stable's recent 90th percentile.
    SlowerThanP90,
    /// Slower than stable's recent 99th percentile.
    SlowerThanP99,
    /// Slower than stable's recent 99.9th percentile.
    SlowerThanP999,
    /// Took more than twice stable's recent 99th percentile.
    MuchSlower,
    /// Of a probe fired at both variants at once, this side alone failed.
    ProbeFailure,
    /// Of a probe fired at both variants at once, this side alone was slower than stable's usual
    /// (upper quartile), on the canary by more than the margin.
    ProbeSlower,
    /// The same beyond stable's usual 99th percentile.
    ProbeMuchSlower,
}

/// The evidence on one event of one stream (a route or a probe).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventEvidence {
    /// The route's or the probe's name; `all routes`, `all probes`, `all routes and probes` for those together.
    pub stream: Arc<str>,
    /// Which event.
    pub event: Event,
    /// The e-value now: how many times better "canary is worse" explains what came than "no worse".
    pub e_value: f64,
    /// Requests decided since the deviation began; since the detector last started where there is none.
    pub trials: Pair<u64>,
    /// How many of them had the event.
    pub hits: Pair<u64>,
}

/// Recent quantiles in microseconds; `None` without observations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Quantiles {
    /// Median.
    pub p50: Option<u64>,
    /// 90th percentile.
    pub p90: Option<u64>,
    /// 99th percentile.
    pub p99: Option<u64>,
}

/// One feature with its share in the forecast.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FeatureValue {
    /// Its name, as in the documentation.
    pub name: String,
    /// Its value; `None` if missing.
    pub value: Option<f64>,
    /// What it adds to the log-odds of "it will last", against a typical value.
    pub contribution: f64,
}

/// The result of looking at a deployment once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// 0 to 1: confidence that the canary is worse, valid however often one looks.
    pub anomaly_score: f64,
    /// 0 to 1: forecast that the failure lasts; only where there is an anomaly and a model.
    pub failure_probability: Option<f64>,
    /// What should happen.
    pub verdict: Verdict,
    /// Why, most important first.
    pub reasons: Vec<Reason>,
    /// Whether the anomaly that opened the episode is gone; false where there is none.
    pub cleared: bool,
    /// How long ago both versions were last seen to fail alike; that time counts towards no limit.
    #[serde(default)]
    pub shared_ago: Option<Duration>,
    /// The model that took part.
    pub model_id: Option<String>,
    /// The strongest events, strongest first, at most 12.
    pub evidence: Vec<EventEvidence>,
    /// Outcomes of live traffic and probes in the recent window (one minute).
    pub recent: Pair<OutcomeCounts>,
    /// Latency of live traffic in the recent window; of probes where there is no live traffic.
    pub latency: Pair<Quantiles>,
    /// What the processes use.
    #[serde(default)]
    pub resources: Pair<ResourceLevels>,
    /// What the forecast was made from, in the extractor's order; empty without a forecast.
    pub features: Vec<FeatureValue>,
}

/// What became of an episode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Label {
    /// At least half of the excess was still there at the horizon.
    Sustained,
    /// At most a tenth was.
    Transient,
    /// Stable failed too: nobody's release is to blame.
    Shared,
    /// It ended because load left: says nothing about what would have been.
    Censored,
    /// The evidence decides neither way; not learned from.
    Unclear,
}

impl Label {
    /// The name used in records and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Label::Sustained => "sustained",
            Label::Transient => "transient",
            Label::Shared => "shared",
            Label::Censored => "censored",
            Label::Unclear => "unclear",
        }
    }
}
