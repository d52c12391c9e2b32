//! The explanation, as `serinus explain` tells it, in HTML.

use crate::chart::escaped;
use crate::control::journal::Entry;
use crate::explain;
use crate::explain::words::{count, latency, percent};
use serinus_models::{Evaluation, OutcomeCounts, Quantiles};
use serinus_rollout::Record;
use std::fmt::Write;

/// Why it was decided.
pub(super) fn why(record: &Record) -> String {
    let mut lines = Vec::new();
    if !record.text.is_empty() {
        lines.push(record.text.clone());
    }
    let reasons = record.evaluation.as_ref().map(|evaluation| &evaluation.reasons);
    let told = reasons.into_iter().flatten().filter(|reason| !record.text.contains(&reason.text));
    lines.extend(told.map(|reason| reason.text.clone()));
    let Some((first, others)) = lines.split_first() else { return String::new() };
    let items: String = others.iter().map(|line| format!("<li>{}</li>", sentence(line))).collect();
    let items = if items.is_empty() { items } else { format!("<ul>{items}</ul>") };
    format!("<section><h2>Why</h2><p class=\"lead\">{}</p>{items}</section>\n", sentence(first))
}

fn sentence(text: &str) -> String {
    let text = text.trim_end_matches('.');
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().collect::<String>());
    escaped(&format!("{}{}.", first.unwrap_or_default(), letters.as_str()))
}

/// What happens now, what can be done, and the figures.
pub(super) fn rest(entry: &Entry) -> String {
    let record = &entry.record;
    let mut html = String::from("<div class=\"two\">");
    for (title, lines) in
        [("What happens now", explain::next(record)), ("What you can do", explain::options(entry))]
    {
        if lines.is_empty() {
            continue;
        }
        let items: String = lines.iter().map(|line| advice(line)).collect();
        let _ = write!(html, "<section><h2>{title}</h2><ul>{items}</ul></section>");
    }
    html.push_str("</div>\n");
    if let Some(evaluation) = &record.evaluation {
        minute(&mut html, evaluation);
        evidence(&mut html, evaluation);
    }
    html
}

/// A command and what it is good for, or a sentence.
fn advice(line: &str) -> String {
    match line.split_once("  ") {
        Some((command, what)) if command.starts_with("serinus ") => {
            format!("<li><code>{}</code> {}</li>", escaped(command), escaped(what.trim()))
        }
        _ => format!("<li>{}</li>", escaped(line)),
    }
}

fn minute(html: &mut String, evaluation: &Evaluation) {
    let row = |name: &str, outcomes: &OutcomeCounts, q: &Quantiles| {
        let failed = match outcomes.total() {
            0 => "–".to_owned(),
            total => percent(outcomes.failures() as f64 / total as f64),
        };
        let cells = [
            name.to_owned(),
            count(outcomes.total()),
            failed,
            latency(q.p50),
            latency(q.p90),
            latency(q.p99),
        ];
        format!(
            "<tr>{}</tr>",
            cells.iter().map(|cell| format!("<td>{cell}</td>")).collect::<String>()
        )
    };
    let (recent, times) = (&evaluation.recent, &evaluation.latency);
    let _ = writeln!(
        html,
        "<section><h2>The last minute</h2><div class=\"scroll\"><table><thead><tr><th>variant</th><th>requests</th><th>failed</th><th>p50</th><th>p90</th><th>p99</th></tr></thead><tbody>{}{}</tbody></table></div></section>",
        row("stable", &recent.stable, &times.stable),
        row("canary", &recent.canary, &times.canary)
    );
}

fn evidence(html: &mut String, evaluation: &Evaluation) {
    let strong: Vec<_> = evaluation.evidence.iter().filter(|found| found.e_value > 1.0).collect();
    if strong.is_empty() {
        return;
    }
    let mut rows = String::new();
    for found in strong {
        let of = |hits, trials| format!("{} of {}", count(hits), count(trials));
        let _ = write!(
            rows,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            escaped(&found.stream),
            explain::words::event(found.event),
            of(found.hits.canary, found.trials.canary),
            of(found.hits.stable, found.trials.stable),
            explain::words::times_better(found.e_value).replace(" better", "")
        );
    }
    let _ = writeln!(
        html,
        "<section class=\"words\"><h2>Evidence</h2><p class=\"soft\">How many times better \u{201c}the canary is worse\u{201d} explains what was counted than \u{201c}it is not\u{201d}.</p><div class=\"scroll\"><table><thead><tr><th>where</th><th>what</th><th>canary</th><th>stable</th><th>times better</th></tr></thead><tbody>{rows}</tbody></table></div></section>"
    );
}
