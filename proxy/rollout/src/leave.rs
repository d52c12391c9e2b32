//! The way back to stable: the last step is the decision, the ones before it are `held`.
//!
//! Every step is a protective decision of its own: published at once and written down in the same
//! breath. `withdrawn`, `rolled_back` and `aborted` are said with the last one, when nobody is left.

use crate::load::Demand;
use crate::machine::Change;
use crate::phase::{Leaving, Phase, ServiceState};
use crate::ramp;
use crate::record::RecordKind;
use serinus_models::Timestamp;
use serinus_routing::Weight;
use std::time::Duration;

/// Where everybody at once would be more than stable has lately carried: the first step in place
/// of `change`. Whatever does not take users off a canary stays as it is.
pub(crate) fn gently(
    change: Change,
    before: &ServiceState,
    demand: Demand,
    failing: f64,
    limit: Duration,
    now: Timestamp,
) -> Change {
    let leaves = !before.weight.is_zero()
        && matches!(
            change.kind,
            RecordKind::Withdrawn | RecordKind::RolledBack | RecordKind::Aborted
        );
    if !leaves || before.leaving.is_some() {
        return change;
    }
    let weights = ramp::weights(demand, before.weight, limit, failing);
    if weights.len() == 1 {
        return change;
    }
    let text = format!(
        "users return to stable in {} steps over {:.1} s, since it has lately carried {} requests/s and would get {}: {} -> {}; {}",
        weights.len(),
        (ramp::interval(limit, failing) * (weights.len() - 1) as u32).as_secs_f64(),
        rate(demand.carried),
        rate(demand.expected),
        before.weight,
        weights[0],
        change.text
    );
    let state = ServiceState {
        weight: weights[0],
        anomalies: change.state.anomalies,
        anomaly_stage: change.state.anomaly_stage,
        last_anomaly: change.state.last_anomaly,
        leaving: Some(Leaving {
            since: now,
            weights,
            taken: 1,
            then: change.kind,
            reason: change.reason,
            why: change.text,
        }),
        ..before.clone()
    };
    Change { kind: RecordKind::Held, state, reason: Some("ramp".into()), text }
}

/// The step that is due now, if one is; late ones are taken together.
pub(crate) fn step(
    state: &ServiceState,
    failing: f64,
    limit: Duration,
    now: Timestamp,
) -> Option<Change> {
    let leaving = state.leaving.as_ref()?;
    let due = ramp::due(now.since(leaving.since), limit, failing);
    if due <= leaving.taken {
        return None;
    }
    let next = leaving.weights.get(due - 1).copied().unwrap_or(Weight::ZERO).min(state.weight);
    if next.is_zero() {
        return Some(end(state, leaving, now));
    }
    let text = format!(
        "step {due} of {} on the way back to stable: {} -> {next}; {}",
        leaving.weights.len(),
        state.weight,
        leaving.why
    );
    let leaving = Leaving { taken: due, ..leaving.clone() };
    let state = ServiceState { weight: next, leaving: Some(leaving), ..state.clone() };
    Some(Change { kind: RecordKind::Held, state, reason: Some("ramp".into()), text })
}

/// Everybody is back.
pub(crate) fn end(state: &ServiceState, leaving: &Leaving, now: Timestamp) -> Change {
    let withdrawn = leaving.then == RecordKind::Withdrawn;
    let after = if withdrawn {
        ServiceState {
            weight: Weight::ZERO,
            withdrawn_since: Some(now),
            held_since: None,
            leaving: None,
            ..state.clone()
        }
    } else {
        out(state)
    };
    let text = format!(
        "{}; everybody is back on stable after {:.1} s",
        leaving.why,
        now.since(leaving.since).as_secs_f64()
    );
    Change { kind: leaving.then, state: after, reason: leaving.reason.clone(), text }
}

/// A release that was taken back.
pub(crate) fn out(state: &ServiceState) -> ServiceState {
    ServiceState {
        phase: Phase::RolledBack,
        weight: Weight::ZERO,
        withdrawn_since: None,
        held_since: None,
        paused_since: None,
        leaving: None,
        ..state.clone()
    }
}

/// Requests per second with as many digits as they are worth.
fn rate(per_second: f64) -> String {
    if per_second < 10.0 { format!("{per_second:.1}") } else { format!("{per_second:.0}") }
}
