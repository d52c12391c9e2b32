//! Decisions in the log.

use serinus_rollout::{Record, RecordKind};

/// One line for one record, at the level that its kind deserves.
pub(super) fn log(id: u64, record: &Record) {
    let kind = record.kind.as_str();
    let service = record.service.as_deref().unwrap_or("");
    let score = record.evaluation.as_ref().map(|evaluation| evaluation.anomaly_score);
    let forecast = record.evaluation.as_ref().and_then(|e| e.failure_probability);
    let weight = record.state.as_ref().map(|state| state.weight.percent());
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                target: "serinus::decision",
                id, kind, service, weight, anomaly_score = score, failure_probability = forecast,
                "{}", record.text
            )
        };
    }
    match record.kind {
        RecordKind::RolledBack | RecordKind::ConfigRejected | RecordKind::ModelRejected => {
            line!(error);
        }
        RecordKind::AnomalyDetected
        | RecordKind::Withdrawn
        | RecordKind::Held
        | RecordKind::Aborted => {
            line!(warn);
        }
        _ => line!(info),
    }
}
