//! How Serinus judges a release: windows, baseline, detector, features, predictor, labels.
//!
//! Pure: observations, time and seeds come in as arguments and evaluations come out, so that the
//! proxy, a simulation and a replay run the same code. See README.md for the method.

mod evaluation;
pub mod latency;
mod outcome;
mod predictor;
mod sample;
mod time;

pub use evaluation::{
    Evaluation, Event, EventEvidence, FeatureValue, Label, Quantiles, Reason, Verdict,
};
pub use outcome::{Outcome, OutcomeCounts};
pub use predictor::{Forecast, ModelError, Predictor, Provenance};
pub use sample::{LiveSample, Pair, ProbeResult, ProbeRound, Resources, Sample, ServiceTick};
pub use time::Timestamp;
