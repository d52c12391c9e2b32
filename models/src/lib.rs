//! How Serinus judges a release: windows, baseline, detector, features, predictor, labels.
//!
//! Pure: observations, time and seeds come in as arguments and evaluations come out, so that the
//! proxy, a simulation and a replay run the same code. See README.md for the method.

mod baseline;
mod course;
mod detector;
mod episode;
mod evaluate;
mod evaluation;
mod evaluator;
mod evidence;
mod features;
pub mod fit;
mod guard;
mod kernel;
mod label;
pub mod latency;
pub mod learn;
mod outcome;
mod patience;
mod persistence;
mod predictor;
pub mod pretrain;
mod sample;
mod settings;
mod time;
mod window;
mod words;
pub mod world;

pub use baseline::{BaselineProfile, LatencyProfile, ProbeBaseline, Rate, RouteBaseline, Trend};
pub use episode::{CHECKPOINTS, Episode};
pub use evaluate::evaluate_deployment;
pub use evaluation::{
    Evaluation, Event, EventEvidence, FeatureValue, Label, Quantiles, Reason, Verdict,
};
pub use evaluator::Evaluator;
pub use evidence::{CanaryEvidence, Suspicion};
pub use features::{FEATURE_COUNT, FEATURES, FeatureName, FeatureVector, words_of};
pub use guard::ResourceLevels;
pub use outcome::{Outcome, OutcomeCounts};
pub use predictor::{Forecast, Importance, Lineage, ModelError, Predictor, Provenance, Say};
pub use sample::{LiveSample, Pair, ProbeResult, ProbeRound, Resources, Sample, ServiceTick};
pub use settings::{EvaluationSettings, Exposure};
pub use time::Timestamp;
