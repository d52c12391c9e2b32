//! The heart: from the canary's evidence and stable's baseline to a verdict.

use crate::baseline::BaselineProfile;
use crate::evaluation::{Evaluation, EventEvidence, Quantiles, Reason, Verdict};
use crate::evidence::CanaryEvidence;
use crate::predictor::Predictor;
use crate::settings::EvaluationSettings;

/// Judges a deployment once.
pub fn evaluate_deployment(
    canary: &CanaryEvidence,
    _baseline: &BaselineProfile,
    settings: &EvaluationSettings,
    _predictor: Option<&Predictor>,
) -> Evaluation {
    let _ = settings;
    Evaluation {
        anomaly_score: 0.0,
        failure_probability: None,
        verdict: Verdict::InsufficientEvidence,
        reasons: vec![Reason::new("no_traffic", "nothing was seen yet")],
        cleared: false,
        model_id: None,
        evidence: Vec::<EventEvidence>::new(),
        recent: canary.recent,
        latency: Default::default(),
        features: Vec::new(),
    }
}

#[allow(dead_code)]
fn _unused(_: Quantiles) {}
