//! The heart: from the canary's evidence and stable's baseline to a verdict.

use crate::baseline::BaselineProfile;
use crate::evaluation::{Evaluation, FeatureValue, Reason, Verdict};
use crate::evaluator::score;
use crate::evidence::{CanaryEvidence, Suspicion};
use crate::features::{FEATURES, FeatureVector};
use crate::persistence::is_about_time;
use crate::predictor::{Forecast, Predictor};
use crate::sample::Pair;
use crate::settings::EvaluationSettings;
use crate::words;
use std::time::Duration;

/// Without a model the release is taken back only at so many times the e-value of the alarm.
const DETECTOR_ONLY: f64 = 10.0;
/// After so long without an observation there is no traffic.
const SILENCE: Duration = Duration::from_secs(60);
/// Younger than this a canary may still be warming up: said, not judged by.
const WARM_UP: Duration = Duration::from_secs(60);

/// So long after both failed alike nothing is decided on what is left of it.
const AFTER_AN_OUTAGE: Duration = Duration::from_secs(20);
/// Share of stable's requests above its usual 90th percentile from which on it is slow itself: three
/// times what is usual by definition.
const SLOW_ITSELF: f64 = 0.3;
/// So many of its requests at the least.
const SLOW_ITSELF_FROM: u64 = 20;

/// Stable's failure rate (0 to 1) above which it is failing itself: three times what is usual at
/// the worst, at least 5%, and in any case half of all requests.
pub(crate) fn outage_above(baseline: &BaselineProfile) -> f64 {
    (3.0 * baseline.failures.upper()).clamp(0.05, 0.5)
}

/// Judges a deployment once: the anomaly score first; only with an anomaly open the forecast of
/// whether it lasts; only with that past its threshold a rollback. Without a predictor the detector
/// decides alone, more strictly.
pub fn evaluate_deployment(
    canary: &CanaryEvidence,
    baseline: &BaselineProfile,
    settings: &EvaluationSettings,
    predictor: Option<&Predictor>,
) -> Evaluation {
    let mut evaluation = Evaluation {
        anomaly_score: score(canary.e_value),
        failure_probability: None,
        verdict: Verdict::Continue,
        reasons: Vec::new(),
        cleared: false,
        shared_ago: canary.shared_ago,
        model_id: None,
        evidence: canary.strongest.clone(),
        recent: canary.recent,
        latency: canary.latency,
        resources: canary.resources,
        features: Vec::new(),
    };
    let forecast = match &canary.suspicion {
        Some(Suspicion { features: Some(features), .. }) => predictor.map(|predictor| {
            let forecast = predictor.forecast(features);
            evaluation.failure_probability = Some(forecast.probability);
            evaluation.model_id = Some(predictor.id().to_owned());
            evaluation.features = explained(features, &forecast);
            forecast
        }),
        _ => None,
    };
    if is_shared(canary, baseline) {
        evaluation.verdict = Verdict::Hold;
        evaluation.reasons.push(words::shared_fault(canary, baseline));
        return evaluation;
    }
    match &canary.suspicion {
        Some(suspicion) => {
            judge_suspicion(canary, suspicion, settings, forecast.as_ref(), &mut evaluation);
        }
        None => judge_calm(canary, baseline, settings, &mut evaluation),
    }
    evaluation
}

/// Whether stable has what the canary is suspected of, beyond its usual self and about as much.
fn is_shared(canary: &CanaryEvidence, baseline: &BaselineProfile) -> bool {
    is_failing_too(canary.lately, baseline)
        || canary.shared_ago.is_some_and(|ago| ago < AFTER_AN_OUTAGE)
        || is_slow_too(canary)
        || is_no_worse(canary)
}

/// With everybody on it the canary is held against stable's past, and that past may have been before
/// an outage that stable, when it was last seen, had as well.
pub(crate) fn is_no_worse(canary: &CanaryEvidence) -> bool {
    let fired = canary.suspicion.as_ref().and_then(|suspicion| suspicion.fired.as_ref());
    fired.is_some_and(|fired| {
        let of = |trials, hits| rate((trials, hits));
        fired.trials.stable >= SLOW_ITSELF_FROM
            && of(fired.trials.stable, fired.hits.stable)
                >= of(fired.trials.canary, fired.hits.canary)
    })
}

/// Of requests and failures of the last seconds.
pub(crate) fn is_failing_too(lately: Pair<(u64, u64)>, baseline: &BaselineProfile) -> bool {
    let (stable, suspect) = (rate(lately.stable), rate(lately.canary));
    lately.stable.1 >= 3 && stable >= outage_above(baseline) && stable >= suspect / 2.0
}

/// Of a suspicion about time: a busy machine or a slow dependency slows both, and never quite alike.
pub(crate) fn is_slow_too(canary: &CanaryEvidence) -> bool {
    let fired = canary.suspicion.as_ref().and_then(|suspicion| suspicion.fired.as_ref());
    let (stable, suspect) = (rate(canary.slow_lately.stable), rate(canary.slow_lately.canary));
    fired.is_some_and(|fired| is_about_time(fired.event))
        && canary.slow_lately.stable.0 >= SLOW_ITSELF_FROM
        && stable >= SLOW_ITSELF
        && stable >= suspect / 2.0
}

fn rate((trials, hits): (u64, u64)) -> f64 {
    if trials == 0 { 0.0 } else { hits as f64 / trials as f64 }
}

fn judge_suspicion(
    canary: &CanaryEvidence,
    suspicion: &Suspicion,
    settings: &EvaluationSettings,
    forecast: Option<&Forecast>,
    evaluation: &mut Evaluation,
) {
    let reasons = &mut evaluation.reasons;
    reasons.push(words::anomaly(suspicion));
    let probability = forecast.map(|forecast| forecast.probability);
    let will_last = match probability {
        Some(probability) => probability > settings.rollback_threshold,
        None => suspicion.fired.is_some() && canary.e_value >= DETECTOR_ONLY * settings.alarm_at(),
    };
    // A verdict rests on what was seen after the alarm: what fails no more may just have been a blip.
    if will_last && suspicion.confirmed {
        evaluation.verdict = Verdict::Rollback;
        reasons.push(match forecast {
            Some(forecast) => words::forecast_lasting(forecast, suspicion),
            None => words::detector_only(canary.e_value, suspicion),
        });
        return;
    }
    // The forecast knows nothing of outages that both share: after one, that it is gone is enough.
    let was_shared = canary.shared_ago.is_some_and(|ago| ago <= suspicion.since_alarm);
    let may_return =
        was_shared || probability.is_none_or(|probability| probability < settings.resume_threshold);
    if suspicion.cleared {
        reasons.push(words::cleared(suspicion));
        if may_return {
            evaluation.cleared = true;
            evaluation.verdict = Verdict::Continue;
            return;
        }
    }
    if let Some(forecast) = forecast {
        reasons.push(words::forecast_pending(forecast, settings, suspicion));
    }
    if canary.age < WARM_UP {
        reasons.push(words::warm_up(canary.age));
    }
    evaluation.verdict =
        if canary.exposed && settings.withdraw { Verdict::Withdraw } else { Verdict::Hold };
}

fn judge_calm(
    canary: &CanaryEvidence,
    baseline: &BaselineProfile,
    settings: &EvaluationSettings,
    evaluation: &mut Evaluation,
) {
    let seen = canary.recent.canary.total();
    let silent = seen == 0 && canary.stage_age > SILENCE;
    let has_past = canary.historical && !baseline.routes.is_empty();
    let cause = if canary.seen_in_stage < settings.min_requests || silent {
        Some(words::no_traffic(canary, settings))
    } else if canary.recent.stable.total() == 0 && !has_past {
        Some(words::no_telemetry(canary))
    } else if canary.worse_lately && canary.e_value >= settings.alarm_at().sqrt() {
        Some(words::ambiguous(canary, settings))
    } else {
        None
    };
    evaluation.verdict = match (&cause, canary.guards.as_slice()) {
        (Some(_), _) => Verdict::InsufficientEvidence,
        (None, []) => Verdict::Continue,
        (None, _) => Verdict::Hold,
    };
    let guards = canary.guards.iter().cloned();
    match cause {
        Some(cause) => evaluation.reasons.extend(std::iter::once(cause).chain(guards)),
        None => evaluation.reasons.extend(guards.chain([words::no_anomaly(canary)])),
    }
    if canary.historical {
        evaluation.reasons.push(Reason::new(
            "historical_control",
            "everybody is on the canary: it is compared with what was usual for stable before, at twice the margin, and by probes",
        ));
    }
}

fn explained(features: &FeatureVector, forecast: &Forecast) -> Vec<FeatureValue> {
    let contributions = forecast.contributions.iter().copied().chain(std::iter::repeat(0.0));
    FEATURES
        .iter()
        .zip(&features.0)
        .zip(contributions)
        .map(|((name, value), contribution)| FeatureValue {
            name: (*name).to_owned(),
            value: *value,
            contribution,
        })
        .collect()
}

#[cfg(test)]
mod tests;
