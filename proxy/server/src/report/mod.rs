//! One decision as one page: pictures, words, figures. The page loads nothing and runs nothing.

mod bars;
mod words;

use crate::chart::{self, Limits, Mark, escaped};
use crate::control::journal::Entry;
use crate::replay::Course;
use crate::{explain, wall_time};
use serinus_rollout::{Record, RecordKind};
use std::fmt::Write;

const PAGE_STYLE: &str = include_str!("report.css");

/// The page, complete.
pub(crate) fn html(entry: &Entry, course: &Course) -> String {
    let record = &entry.record;
    let headline = capitalised(&explain::headline(record));
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>Decision {}: {}</title>\n<style>\n{PAGE_STYLE}{}</style>\n</head>\n<body>\n<main>\n",
        entry.id,
        escaped(&headline),
        chart::STYLE
    );
    let _ = writeln!(
        page,
        "<header><p class=\"eyebrow\">Serinus · decision {}</p><h1>{}</h1><p class=\"when\">{}</p>{}</header>",
        entry.id,
        escaped(&headline),
        wall_time::readable(record.at),
        if record.details["observed_only"] == true {
            "<p class=\"note\">Observe mode: this is what would have been done. Nothing was changed.</p>"
        } else {
            ""
        }
    );
    page += &tiles(record);
    page += &words::why(record);
    pictures(&mut page, entry, course);
    page += &bars::forecast(record);
    page += &words::rest(entry);
    let _ = write!(
        page,
        "<footer>Configuration {} · drawn from the journal by serinus {} · every figure: <code>serinus explain {}</code></footer>\n</main>\n</body>\n</html>\n",
        escaped(&record.config_hash),
        env!("CARGO_PKG_VERSION"),
        entry.id
    );
    page
}

/// What matters at a glance.
fn tiles(record: &Record) -> String {
    let mut tiles = Vec::new();
    let threshold = |name: &str| record.details["thresholds"][name].as_f64();
    if let Some(evaluation) = &record.evaluation {
        let percent = explain::words::percent;
        let limit = |limit: Option<f64>, text: &str| {
            limit.map(|limit| format!("{text} {}", percent(limit))).unwrap_or_default()
        };
        let score = evaluation.anomaly_score;
        let is_past = threshold("anomaly").is_some_and(|limit| score >= limit);
        tiles.push((
            "Confidence that it is worse",
            percent(score),
            limit(threshold("anomaly"), "users are protected from"),
            if is_past { "bad" } else { "" },
        ));
        if let Some(forecast) = evaluation.failure_probability {
            let is_past = threshold("rollback").is_some_and(|limit| forecast > limit);
            tiles.push((
                "Forecast that it lasts",
                percent(forecast),
                limit(threshold("rollback"), "rolled back above"),
                if is_past { "bad" } else { "" },
            ));
        }
        let failed = |of: &serinus_models::OutcomeCounts| match of.total() {
            0 => "–".to_owned(),
            total => percent(of.failures() as f64 / total as f64),
        };
        tiles.push((
            "Failed in the last minute",
            failed(&evaluation.recent.canary),
            format!("of the canary's requests; stable's: {}", failed(&evaluation.recent.stable)),
            "",
        ));
    }
    if let Some(state) = &record.state {
        tiles.push((
            "Users on the canary",
            state.weight.to_string(),
            format!("{}, stage {}", state.phase.as_str().replace('_', " "), state.stage + 1),
            "",
        ));
    }
    let tile = |(name, value, note, class): (&str, String, String, &str)| {
        format!(
            "<div class=\"tile\"><span>{name}</span><strong class=\"{class}\">{}</strong><small>{}</small></div>",
            escaped(&value),
            escaped(&note)
        )
    };
    let tiles: String = tiles.into_iter().map(tile).collect();
    if tiles.is_empty() { tiles } else { format!("<div class=\"tiles\">{tiles}</div>\n") }
}

fn pictures(page: &mut String, entry: &Entry, course: &Course) {
    if let Some(why) = &course.missing {
        let _ = writeln!(
            page,
            "<section><h2>What was seen</h2><p class=\"soft\">There is nothing to draw: {}.</p></section>",
            escaped(why.trim_end_matches('.'))
        );
        return;
    }
    let marks = marks(entry.id, &course.entries);
    let pictures =
        chart::release(&course.moments, course.span, limits(&entry.record), &marks, chart::WIDE);
    page.push_str("<section class=\"pictures\"><h2>What was seen</h2>\n");
    for picture in pictures {
        let _ = writeln!(page, "<figure>{picture}</figure>");
    }
    page.push_str("<p class=\"soft\">Live requests and probe rounds together; after users have left the canary, what is seen of it are probes. Times are UTC.</p></section>\n");
}

/// What the pictures' lines are held against.
fn limits(record: &Record) -> Option<Limits> {
    let limit = |name: &str| record.details["thresholds"][name].as_f64();
    Some(Limits {
        anomaly: limit("anomaly")?,
        rollback: limit("rollback")?,
        resume: limit("resume")?,
    })
}

/// Lines for what happened; the decision itself is one of them.
pub(crate) fn marks(decision: u64, entries: &[Entry]) -> Vec<Mark> {
    let mark = |entry: &Entry| {
        let record = &entry.record;
        let observed = record.details["observed_only"] == true;
        let (name, class) = mark_of(record.kind)?;
        let name = match record.details["label"].as_str() {
            Some(label) if record.kind == RecordKind::EpisodeLabelled => format!("it was {label}"),
            _ => name.to_owned(),
        };
        let name = if observed { format!("would be {name}") } else { name };
        let name = if entry.id == decision { format!("{name} (this decision)") } else { name };
        Some(Mark { at: record.at, name, class })
    };
    entries.iter().filter_map(mark).collect()
}

const fn mark_of(kind: RecordKind) -> Option<(&'static str, &'static str)> {
    Some(match kind {
        RecordKind::RolloutStarted => ("rollout begins", "soft"),
        RecordKind::StageAdvanced => ("next stage", "soft"),
        RecordKind::AnomalyDetected => ("anomaly", "warn"),
        RecordKind::AnomalyCleared => ("cleared", "good"),
        RecordKind::Held => ("held", "warn"),
        RecordKind::Withdrawn => ("withdrawn", "warn"),
        RecordKind::Restored => ("users return", "good"),
        RecordKind::RolledBack => ("rolled back", "bad"),
        RecordKind::Aborted => ("aborted", "bad"),
        RecordKind::Promoted => ("promoted", "good"),
        RecordKind::Paused => ("paused", "soft"),
        RecordKind::Resumed => ("resumed", "soft"),
        RecordKind::Retried => ("retried", "soft"),
        RecordKind::EpisodeLabelled => ("labelled", "soft"),
        _ => return None,
    })
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests;
