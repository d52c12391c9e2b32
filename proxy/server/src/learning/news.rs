//! What learning brought about, as it is written down and told.

use serde_json::{Value, json};
use serinus_models::Predictor;
use serinus_models::learn::{Finding, Standing};
use serinus_rollout::RecordKind;
use std::sync::Arc;

/// One thing that happened to a model.
#[derive(Debug, Clone)]
pub(crate) struct News {
    pub(crate) kind: RecordKind,
    pub(crate) text: String,
    pub(crate) details: Value,
    /// What judges from now on, where that changes.
    pub(crate) takes_over: Option<Arc<Predictor>>,
}

impl News {
    /// A challenger was fitted.
    pub(crate) fn trained(model: &Predictor, seconds: f64) -> News {
        let lineage = model.lineage();
        let labels = lineage.map_or(0, |lineage| lineage.labels);
        let parent = lineage.map_or("", |lineage| &*lineage.parent);
        News {
            kind: RecordKind::ModelTrained,
            text: format!(
                "model {} was fitted to {labels} labels in {seconds:.1} s and is on trial beside {parent}",
                model.id()
            ),
            details: json!({ "model": model.id(), "seconds": seconds, "lineage": lineage }),
            takes_over: None,
        }
    }

    /// Nothing could be fitted.
    pub(crate) fn refused(why: &str) -> News {
        News {
            kind: RecordKind::ModelRejected,
            text: format!("no model could be fitted: {why}"),
            details: json!({ "why": why }),
            takes_over: None,
        }
    }
}

impl From<Finding> for News {
    fn from(finding: Finding) -> News {
        match finding {
            Finding::Replaced { model, before, standing } => News {
                kind: RecordKind::ModelReplaced,
                text: format!(
                    "model {} takes over from {}: {}",
                    model.id(),
                    before.id(),
                    words(&standing)
                ),
                details: json!({ "model": model.id(), "before": before.id(), "standing": standing, "lineage": model.lineage() }),
                takes_over: Some(model),
            },
            Finding::Rejected { model, why, standing } => News {
                kind: RecordKind::ModelRejected,
                text: format!("model {} leaves the trial: {why}", model.id()),
                details: json!({ "model": model.id(), "why": why, "standing": standing }),
                takes_over: None,
            },
            Finding::FellBack { before, why, prior } => News {
                kind: RecordKind::ModelReplaced,
                text: format!(
                    "model {} takes over from {}, which has drifted: {why}",
                    prior.id(),
                    before.id()
                ),
                details: json!({ "model": prior.id(), "before": before.id(), "why": why, "drift": true }),
                takes_over: Some(prior),
            },
        }
    }
}

fn words(standing: &Standing) -> String {
    let Standing { labels, capital, brier, calibration } = standing;
    format!(
        "over {labels} labels that neither had seen its Brier score is {:.3} (was {:.3}), its calibration error {:.3} (was {:.3}), and the bet on it stands at {capital:.0}",
        brier.1, brier.0, calibration.1, calibration.0
    )
}
