//! All judgement state of one service's release.

use crate::baseline::BaselineProfile;
use crate::episode::Episode;
use crate::evaluate::evaluate_deployment;
use crate::evaluation::Evaluation;
use crate::evidence::CanaryEvidence;
use crate::features::FeatureVector;
use crate::predictor::Predictor;
use crate::sample::ServiceTick;
use crate::settings::{EvaluationSettings, Exposure};
use crate::time::Timestamp;

/// Judges one service's release, tick by tick.
#[derive(Debug, Clone)]
pub struct Evaluator {
    settings: EvaluationSettings,
    baseline: BaselineProfile,
}

impl Evaluator {
    /// For a release that was deployed at `deployed`.
    pub fn new(settings: EvaluationSettings, _deployed: Timestamp) -> Self {
        Evaluator { settings, baseline: BaselineProfile::default() }
    }

    /// New settings; what was seen stays.
    pub fn reconfigure(&mut self, settings: EvaluationSettings) {
        self.settings = settings;
    }

    /// Takes in what was seen since the last tick, of any span.
    pub fn observe(&mut self, _now: Timestamp, _tick: &ServiceTick, _exposure: Exposure) {}

    /// Judges what was seen so far.
    pub fn evaluate(&self, _now: Timestamp, predictor: Option<&Predictor>) -> Evaluation {
        evaluate_deployment(&CanaryEvidence::default(), &self.baseline, &self.settings, predictor)
    }

    /// What the predictor sees; `None` unless an episode is open.
    pub fn features(&self, _now: Timestamp) -> Option<FeatureVector> {
        None
    }

    /// A stage began: the evidence for `min_requests` is counted anew.
    pub fn stage_began(&mut self, _now: Timestamp) {}

    /// Users came back: the detector starts anew; baseline and number of onsets stay.
    pub fn users_returned(&mut self, _now: Timestamp) {}

    /// Users were taken off the canary.
    pub fn mark_withdrawn(&mut self, _now: Timestamp) {}

    /// An episode whose label window has closed, once.
    pub fn take_labelled(&mut self, _now: Timestamp) -> Option<Episode> {
        None
    }
}
