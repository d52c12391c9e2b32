//! What weighed in the forecast, as bars to the left ("it passes") and to the right ("it lasts").

use crate::chart::escaped;
use crate::explain::short;
use serinus_models::words_of;
use serinus_rollout::Record;
use std::fmt::Write;

/// Features shown; the record has them all.
const SHOWN: usize = 10;

pub(super) fn forecast(record: &Record) -> String {
    let Some(evaluation) = &record.evaluation else { return String::new() };
    let (Some(probability), Some(model)) = (evaluation.failure_probability, &evaluation.model_id)
    else {
        return String::new();
    };
    let mut features: Vec<_> =
        evaluation.features.iter().filter(|feature| feature.contribution.abs() >= 0.005).collect();
    features.sort_by(|a, b| b.contribution.abs().total_cmp(&a.contribution.abs()));
    features.truncate(SHOWN);
    let most = features.iter().map(|feature| feature.contribution.abs()).fold(0.5, f64::max);
    let mut rows = String::new();
    for feature in features {
        let wide = 50.0 * feature.contribution.abs() / most;
        let (x, class) =
            if feature.contribution > 0.0 { (50.0, "lasts") } else { (50.0 - wide, "passes") };
        let value = feature.value.map_or_else(|| "unknown".to_owned(), short);
        let _ = write!(
            rows,
            "<span title=\"{}\">{}</span><span class=\"value\">{}</span>\
             <svg viewBox=\"0 0 100 10\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{:+.2}\">\
             <rect class=\"{class}\" x=\"{x:.1}\" y=\"1\" width=\"{wide:.1}\" height=\"8\"/>\
             <line class=\"middle\" x1=\"50\" y1=\"0\" x2=\"50\" y2=\"10\" vector-effect=\"non-scaling-stroke\"/></svg>",
            escaped(&feature.name),
            escaped(words_of(&feature.name).unwrap_or(&feature.name)),
            escaped(&value),
            feature.contribution
        );
    }
    format!(
        "<section><h2>What weighed in the forecast of {}</h2><p class=\"soft\">Model {}. To the right: says that it lasts; to the left: that it passes.</p><div class=\"bars\">{rows}</div></section>\n",
        crate::explain::words::percent(probability),
        escaped(model)
    )
}
