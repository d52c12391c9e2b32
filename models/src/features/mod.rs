//! What the predictor sees of an episode: one extractor for serving, training and simulation.

mod extract;

pub(crate) use extract::{View, extract, ratio};

use serde::{Deserialize, Serialize};

/// A feature's name, as in models, records and documentation.
pub type FeatureName = &'static str;

/// Number of features.
pub const FEATURE_COUNT: usize = 31;

/// Names in the order of [`FeatureVector`]. "Recent" is the last 10 seconds, over live traffic and
/// probes; an "excess" is the canary's rate minus stable's at the same time, -1 to 1.
pub const FEATURES: [FeatureName; FEATURE_COUNT] = [
    "error_log_odds",     // of the canary's recent failures
    "slow_log_odds",      // of the canary's recent requests above stable's usual 90th percentile
    "excess_error",       // recent
    "excess_slow",        // recent
    "jump_error",         // excess of the last second minus the mean of the three before
    "jump_slow",          // the same for slowness
    "error_slope",        // Holt trend of the excess, per 10 s
    "error_ahead",        // Holt forecast of the excess in 30 s, -1 to 1
    "slow_slope",         // Holt trend, per 10 s
    "slow_ahead",         // Holt forecast in 30 s, -1 to 1
    "consecutive_bad",    // ln(1 + seconds in a row, to now, in which the canary did worse)
    "bad_share",          // share of the last 12 seconds with evidence in which it did
    "onsets",             // how often it began to do worse since the deployment
    "probe_excess_error", // of recent probe rounds: only the canary failed, minus only stable failed
    "probe_excess_slow",  // the same for slowness
    "answered_failing", // share of the canary's observations since the alarm that its process answered with a failure
    "unanswered",       // share of them that it refused, reset or left without an answer
    "probe_live_gap",   // probe excess since the alarm minus the excess that fired
    "persistence", // log-likelihood ratio "the excess is still there" to "it is gone", since the alarm, -5 to 5
    "clean_run",   // ln(1 + canary observations since the last bad one), since the alarm
    "stable_drift", // stable's recent failure rate minus its baseline
    "unreachable_share", // connect errors and resets among the canary's failures of the last minute
    "timeout_share", // timeouts among them
    "cpu_ratio",   // ln(canary's CPU per request / stable's)
    "network_ratio", // ln(canary's network bytes per request / stable's)
    "memory_slope", // relative growth of the canary's memory, per minute
    "restarts",    // ln(1 + process starts of the canary in the last two minutes)
    "ln_age",      // ln(seconds since the deployment)
    "ln_since_alarm", // ln(1 + seconds since the alarm)
    "ln_e",        // ln of the e-value, 0 to 40
    "routes_affected", // share of the canary's routes with an e-value of 20 and more
];

/// What an operator reads where a feature speaks for a forecast, in the same order.
const WORDS: [&str; FEATURE_COUNT] = [
    "the canary's failure rate",
    "how many of its requests are slow",
    "how many more requests fail than on stable",
    "how many more are slow than on stable",
    "how sharply failures rose",
    "how sharply slowness rose",
    "the trend of failures",
    "where failures will be in 30 s",
    "the trend of slowness",
    "where slowness will be in 30 s",
    "bad seconds in a row",
    "the share of bad seconds",
    "how often it began",
    "what probes see fail",
    "what probes see slow",
    "a process that is up and answers with failures",
    "a process that does not answer",
    "probes against live traffic",
    "whether it is still there since the alarm",
    "clean observations since the last bad one",
    "stable's own state",
    "connections refused or reset",
    "timeouts",
    "CPU per request against stable",
    "network bytes per request against stable",
    "growth of memory",
    "process restarts",
    "the age of the deployment",
    "the time since the alarm",
    "the strength of the evidence",
    "how many routes are affected",
];

/// A feature in an operator's words.
pub(crate) fn in_words(index: usize) -> &'static str {
    WORDS.get(index).copied().unwrap_or("an unknown feature")
}

/// A feature by its name, in an operator's words; none of an unknown one.
pub fn words_of(name: &str) -> Option<&'static str> {
    FEATURES.iter().position(|feature| *feature == name).map(in_words)
}

/// One value per feature in the order of [`FEATURES`]; `None` is missing, never zero.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FeatureVector(pub Vec<Option<f64>>);

impl FeatureVector {
    /// The value of a feature by its name; `None` if missing or unknown.
    pub fn get(&self, name: &str) -> Option<f64> {
        let index = FEATURES.iter().position(|feature| *feature == name)?;
        self.0.get(index).copied().flatten()
    }
}
