//! The JSON of the API, built from what the control loop shows.

use crate::control::journal::Entry;
use crate::data_path::EndpointStatus;
use crate::{explain, wall_time};
use serde::Serialize;
use serinus_config::Settings;
use serinus_models::Verdict;
use serinus_rollout::{Phase, RecordKind, ServiceStatus};
use serinus_routing::Weight;
use std::sync::Arc;

/// `GET /api/v1/services/NAME`
#[derive(Debug, Serialize)]
pub(super) struct ServiceView<'a> {
    #[serde(flatten)]
    status: &'a ServiceStatus,
    /// What the score and the forecast are held against.
    thresholds: Option<Thresholds>,
    /// The stages of the configuration.
    plan: Vec<StageView>,
    endpoints: Vec<EndpointStatus>,
}

#[derive(Debug, Serialize)]
struct Thresholds {
    anomaly: f64,
    rollback: f64,
    resume: f64,
}

#[derive(Debug, Serialize)]
struct StageView {
    weight: Weight,
    hold_seconds: f64,
}

impl<'a> ServiceView<'a> {
    pub(super) fn new(
        status: &'a ServiceStatus,
        settings: &Settings,
        endpoints: Vec<EndpointStatus>,
    ) -> Self {
        let policy = settings.service(&status.name).map(|service| &service.policy);
        let stages = policy.iter().flat_map(|policy| &policy.stages);
        ServiceView {
            status,
            thresholds: policy.map(|policy| Thresholds {
                anomaly: policy.anomaly_threshold,
                rollback: policy.rollback_threshold,
                resume: policy.resume_threshold,
            }),
            plan: stages
                .map(|stage| StageView {
                    weight: stage.weight,
                    hold_seconds: stage.hold.as_secs_f64(),
                })
                .collect(),
            endpoints,
        }
    }
}

/// One line of `GET /api/v1/events`; `GET /api/v1/decisions/ID` has the rest.
#[derive(Debug, Serialize)]
pub(super) struct EventView<'a> {
    id: u64,
    /// Milliseconds since the Unix epoch.
    at: u64,
    time: String,
    kind: RecordKind,
    service: Option<&'a str>,
    headline: String,
    text: &'a str,
    phase: Option<Phase>,
    stage: Option<usize>,
    weight: Option<Weight>,
    canary: Option<&'a Arc<str>>,
    anomaly_score: Option<f64>,
    failure_probability: Option<f64>,
    verdict: Option<Verdict>,
    observed_only: bool,
}

impl<'a> EventView<'a> {
    pub(super) fn new(entry: &'a Entry) -> Self {
        let record = &entry.record;
        let (state, evaluation) = (record.state.as_ref(), record.evaluation.as_ref());
        EventView {
            id: entry.id,
            at: record.at.0,
            time: wall_time::rfc3339(record.at),
            kind: record.kind,
            service: record.service.as_deref(),
            headline: explain::headline(record),
            text: &record.text,
            phase: state.map(|state| state.phase),
            stage: state.map(|state| state.stage),
            weight: state.map(|state| state.weight),
            canary: state.and_then(|state| state.canary_version.as_ref()),
            anomaly_score: evaluation.map(|evaluation| evaluation.anomaly_score),
            failure_probability: evaluation.and_then(|evaluation| evaluation.failure_probability),
            verdict: evaluation.map(|evaluation| evaluation.verdict),
            observed_only: record.details["observed_only"] == true,
        }
    }
}
