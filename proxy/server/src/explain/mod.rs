//! A decision in plain words: what was seen, why it was decided, what happens next, what to do.
//!
//! Made from the record alone, so that the command line, the API and a copy of the journal on
//! another machine tell the same story.

mod advice;
pub(crate) mod resources;
mod tables;
pub(crate) mod words;

use crate::control::journal::Entry;
use crate::wall_time;
pub(crate) use advice::{next, options};
use serde::Serialize;
use serde_json::Value;
use serinus_models::{Evaluation, Outcome, OutcomeCounts, Quantiles};
use serinus_rollout::{Record, RecordKind};
use std::fmt::Write;
use tables::Reckoning;
use words::{count, latency, percent};

/// Features named in the text; the record has them all.
const FEATURES_SHOWN: usize = 5;
/// Events named in the text; the record has up to 12.
const EVIDENCE_SHOWN: usize = 4;

/// The whole story of one record, some lines of plain text.
pub(crate) fn explain(entry: &Entry) -> String {
    let record = &entry.record;
    let mut text = format!(
        "Decision {}: {}\n{}\n",
        entry.id,
        headline(record),
        wall_time::readable(record.at)
    );
    if record.details["observed_only"] == true {
        text.push_str("Observe mode: this is what would have been done. Nothing was changed.\n");
    }
    if let Some(evaluation) = &record.evaluation {
        seen(&mut text, evaluation);
    }
    why(&mut text, record);
    section(&mut text, "What happens now", &advice::next(record));
    section(&mut text, "What you can do", &advice::options(entry));
    tables::tables(&mut text, record);
    let _ = writeln!(text, "\nConfiguration {}.", record.config_hash);
    text
}

/// `GET /api/v1/decisions/ID` and `serinus explain ID --json`: the record as it is in the journal, how its
/// forecast adds up, and the story in words.
#[derive(Debug, Serialize)]
pub(crate) struct Decision<'a> {
    #[serde(flatten)]
    entry: &'a Entry,
    time: String,
    headline: String,
    /// None without a forecast.
    forecast: Option<Reckoning>,
    explanation: String,
}

impl<'a> Decision<'a> {
    pub(crate) fn new(entry: &'a Entry) -> Self {
        Decision {
            entry,
            time: wall_time::rfc3339(entry.record.at),
            headline: headline(&entry.record),
            forecast: entry.record.evaluation.as_ref().and_then(Reckoning::of),
            explanation: explain(entry),
        }
    }
}

/// One line: what happened to what.
pub(crate) fn headline(record: &Record) -> String {
    let service = record.service.as_deref().unwrap_or("the proxy");
    let version = record.state.as_ref().and_then(|state| state.canary_version.as_deref());
    let release = version.map_or_else(|| service.to_owned(), |v| format!("{service} {v}"));
    let weight = record.state.as_ref().map(|state| state.weight.to_string()).unwrap_or_default();
    match record.kind {
        RecordKind::RolloutStarted => {
            format!("the rollout of {release} began, at {weight} of users")
        }
        RecordKind::StageAdvanced => format!("{release} now gets {weight} of users"),
        RecordKind::AnomalyDetected => format!("{release} looks worse than stable"),
        RecordKind::AnomalyCleared => format!("{release} looks no worse than stable any more"),
        RecordKind::Held => match record.state.as_ref().and_then(|state| state.leaving.as_ref()) {
            Some(leaving) => format!(
                "users are on their way back from {release}, step {} of {}: {weight} of them are still there",
                leaving.taken,
                leaving.weights.len()
            ),
            None => format!("{release} goes no further for now"),
        },
        RecordKind::Withdrawn => format!("users were taken off {release} for now"),
        RecordKind::Restored => format!("users came back to {release}, {weight} of them"),
        RecordKind::RolledBack => format!("{release} was rolled back"),
        RecordKind::Promoted => format!("{release} was promoted: everybody gets it"),
        RecordKind::Paused => format!("{release} was paused by an operator"),
        RecordKind::Resumed => format!("{release} goes on, by an operator"),
        RecordKind::Aborted => format!("{release} was taken back by an operator"),
        RecordKind::Retried => format!("{release} gets another try, by an operator"),
        RecordKind::EpisodeLabelled => format!("it is known what the trouble of {release} was"),
        RecordKind::ModelTrained => "a model was fitted".to_owned(),
        RecordKind::ModelReplaced => "a new model took over".to_owned(),
        RecordKind::ModelRejected => "a model was refused".to_owned(),
        RecordKind::ConfigReloaded => "a new configuration is in force".to_owned(),
        RecordKind::ConfigRejected => "a configuration was refused; the old one stays".to_owned(),
    }
}

fn section(text: &mut String, title: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{title}");
    for line in lines {
        let _ = writeln!(text, "  {}", line.trim_end().replace('\n', "\n  "));
    }
}

fn seen(text: &mut String, evaluation: &Evaluation) {
    let mut lines = vec![format!(
        "{:<9}{:>10}{:>10}{:>10}{:>10}{:>10}",
        "", "requests", "failed", "p50", "p90", "p99"
    )];
    let recent = &evaluation.recent;
    for (name, outcomes, quantiles) in [
        ("stable", &recent.stable, &evaluation.latency.stable),
        ("canary", &recent.canary, &evaluation.latency.canary),
    ] {
        lines.push(row(name, outcomes, quantiles));
    }
    for (name, levels) in
        [("stable", &evaluation.resources.stable), ("canary", &evaluation.resources.canary)]
    {
        lines.extend(resources::used(levels).map(|used| format!("{name:<9}uses {used}")));
    }
    if let Some(classes) = failure_classes(&recent.canary) {
        lines.push(format!("The canary's failures: {classes}."));
    }
    for evidence in evaluation.evidence.iter().filter(|e| e.e_value > 1.0).take(EVIDENCE_SHOWN) {
        lines.push(format!(
            "{} ({}): canary {} of {}, stable {} of {}; \"the canary is worse\" explains this {}.",
            words::event(evidence.event),
            evidence.stream,
            count(evidence.hits.canary),
            count(evidence.trials.canary),
            count(evidence.hits.stable),
            count(evidence.trials.stable),
            words::times_better(evidence.e_value),
        ));
    }
    section(text, "What was seen (the last minute; probes included)", &lines);
}

fn row(name: &str, outcomes: &OutcomeCounts, quantiles: &Quantiles) -> String {
    let (total, failures) = (outcomes.total(), outcomes.failures());
    let failed = if total == 0 { "-".to_owned() } else { percent(failures as f64 / total as f64) };
    format!(
        "{name:<9}{:>10}{failed:>10}{:>10}{:>10}{:>10}",
        count(total),
        latency(quantiles.p50),
        latency(quantiles.p90),
        latency(quantiles.p99)
    )
}

fn failure_classes(outcomes: &OutcomeCounts) -> Option<String> {
    let class = |outcome: &Outcome| {
        let name = match outcome {
            Outcome::ServerError => "answers 5xx",
            Outcome::ConnectError => "no connection",
            Outcome::Reset => "connection lost within the answer",
            Outcome::Timeout => "no answer in time",
            Outcome::Assertion => "answers that a probe found wrong",
            Outcome::Ok | Outcome::ClientError => return None,
        };
        let number = outcomes.of(*outcome);
        (number > 0).then(|| format!("{} {name}", count(number)))
    };
    let classes: Vec<String> = Outcome::ALL.iter().filter_map(class).collect();
    (!classes.is_empty()).then(|| classes.join(", "))
}

fn why(text: &mut String, record: &Record) {
    let mut lines = Vec::new();
    let reasons = record.evaluation.as_ref().map(|evaluation| &evaluation.reasons);
    if !record.text.is_empty() {
        lines.push(format!("{}.", record.text.trim_end_matches('.')));
    }
    for reason in reasons.into_iter().flatten().filter(|r| !record.text.contains(&r.text)) {
        lines.push(format!("{}.", reason.text.trim_end_matches('.')));
    }
    if let Some(evaluation) = &record.evaluation {
        scores(&mut lines, evaluation, &record.details["thresholds"]);
    }
    section(text, "Why", &lines);
}

fn scores(lines: &mut Vec<String>, evaluation: &Evaluation, thresholds: &Value) {
    let threshold = |name: &str| thresholds[name].as_f64().map(percent);
    let mut line =
        format!("Confidence that the canary is worse: {}", percent(evaluation.anomaly_score));
    if let Some(limit) = threshold("anomaly") {
        let _ = write!(line, " (users are protected from {limit} on)");
    }
    lines.push(line + ".");
    let Some(probability) = evaluation.failure_probability else { return };
    let mut line = format!("Forecast that the failure lasts: {}", percent(probability));
    if let (Some(rollback), Some(resume)) = (threshold("rollback"), threshold("resume")) {
        let _ = write!(line, " (rolled back above {rollback}, users return below {resume})");
    }
    if let Some(model) = &evaluation.model_id {
        let _ = write!(line, ", by model {model}");
    }
    lines.push(line + ".");
    let mut features: Vec<_> =
        evaluation.features.iter().filter(|f| f.contribution.abs() >= 0.05).collect();
    features.sort_by(|a, b| b.contribution.abs().total_cmp(&a.contribution.abs()));
    if !features.is_empty() {
        lines.push("What weighed most in the forecast (share of the log-odds):".to_owned());
    }
    for feature in features.into_iter().take(FEATURES_SHOWN) {
        let direction = if feature.contribution > 0.0 { "it lasts" } else { "it passes" };
        let value = feature.value.map_or_else(|| "unknown".to_owned(), short);
        let name = feature.name.replace('_', " ");
        lines.push(format!("  {name} = {value}: says {direction} ({:+.2})", feature.contribution));
    }
}

/// Three significant digits, without trailing noise.
pub(crate) fn short(value: f64) -> String {
    let magnitude = if value == 0.0 { 0.0 } else { value.abs().log10().floor() };
    let digits = (2.0 - magnitude).clamp(0.0, 6.0) as usize;
    let text = format!("{value:.digits$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

#[cfg(test)]
pub(crate) mod tests;
