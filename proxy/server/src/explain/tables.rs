//! All the figures of a decision, below the words: for whoever wants to reckon for themselves.

use super::short;
use super::words::{count, percent};
use serde::Serialize;
use serinus_models::{Evaluation, Event, EventEvidence};
use serinus_rollout::Record;
use std::fmt::Write;

/// How the forecast adds up, in log-odds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Reckoning {
    /// Of an episode with nothing remarkable about it, calibration included.
    pub(crate) base: f64,
    /// What the features add to it.
    pub(crate) contributions: f64,
    /// Both together.
    pub(crate) log_odds: f64,
    /// The same as a probability.
    pub(crate) probability: f64,
}

impl Reckoning {
    /// Of an evaluation with a forecast.
    pub(crate) fn of(evaluation: &Evaluation) -> Option<Reckoning> {
        let probability = evaluation.failure_probability?;
        let log_odds = (probability / (1.0 - probability)).ln();
        let contributions = evaluation.features.iter().map(|feature| feature.contribution).sum();
        let is_reckonable = !evaluation.features.is_empty() && log_odds.is_finite();
        let base = log_odds - contributions;
        is_reckonable.then_some(Reckoning { base, contributions, log_odds, probability })
    }
}

// Writing to a string does not fail.
pub(super) fn tables(text: &mut String, record: &Record) {
    if let Some(evaluation) = &record.evaluation {
        evidence(text, &evaluation.evidence);
        if let Some(reckoning) = Reckoning::of(evaluation) {
            forecast(text, evaluation, reckoning);
        }
    }
    thresholds(text, record);
}

fn evidence(text: &mut String, evidence: &[EventEvidence]) {
    if evidence.is_empty() {
        return;
    }
    let wide = evidence.iter().map(|found| found.stream.chars().count()).max().unwrap_or(0).max(6);
    let _ = writeln!(
        text,
        "\nEvidence, strongest first (e-value: how many times better \"the canary is worse\" explains it)\n  \
         {:<wide$}  {:<14}{:>19}{:>19}{:>11}",
        "stream", "event", "canary", "stable", "e-value"
    );
    for EventEvidence { stream, event, e_value, trials, hits } in evidence {
        let of = |hits, trials| format!("{} of {}", count(hits), count(trials));
        let _ = writeln!(
            text,
            "  {stream:<wide$}  {:<14}{:>19}{:>19}{:>11}",
            name(*event),
            of(hits.canary, trials.canary),
            of(hits.stable, trials.stable),
            e_value_in_short(*e_value)
        );
    }
}

fn e_value_in_short(e_value: f64) -> String {
    if (0.01..1e4).contains(&e_value) { short(e_value) } else { format!("{e_value:.1e}") }
}

/// In a column.
const fn name(event: Event) -> &'static str {
    match event {
        Event::Failure => "failed",
        Event::ClientError => "4xx",
        Event::SlowerThanP50 => "over p50",
        Event::SlowerThanP75 => "over p75",
        Event::SlowerThanP90 => "over p90",
        Event::SlowerThanP99 => "over p99",
        Event::SlowerThanP999 => "over p99.9",
        Event::MuchSlower => "over 2 x p99",
        Event::ProbeFailure => "probe failed",
        Event::ProbeSlower => "probe slower",
        Event::ProbeMuchSlower => "probe over p99",
    }
}

fn forecast(text: &mut String, evaluation: &Evaluation, reckoning: Reckoning) {
    let model = evaluation.model_id.as_deref().unwrap_or("unknown");
    let _ = writeln!(
        text,
        "\nForecast by model {model} (log-odds that it lasts; they add up)\n  {:<27}{:>10}{:>10}",
        "feature", "value", "share"
    );
    let _ = writeln!(text, "  {:<37}{:>+10.3}", "base, calibration included", reckoning.base);
    let mut features: Vec<_> = evaluation.features.iter().collect();
    features.sort_by(|a, b| b.contribution.abs().total_cmp(&a.contribution.abs()));
    for feature in features {
        let value = feature.value.map_or_else(|| "unknown".to_owned(), short);
        let _ = writeln!(text, "  {:<27}{value:>10}{:>+10.3}", feature.name, feature.contribution);
    }
    let _ = writeln!(
        text,
        "  {:<37}{:>+10.3}  that is {}",
        "together",
        reckoning.log_odds,
        percent(reckoning.probability)
    );
}

/// What was put beside the decision: the settings that its figures were held against.
fn thresholds(text: &mut String, record: &Record) {
    let Some(settings) = record.details["thresholds"].as_object() else { return };
    let _ = writeln!(text, "\nSettings in force");
    for (name, value) in settings {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let _ = writeln!(text, "  {:<27}{value:>10}", name.replace('_', " "));
    }
}
