//! The phase machine: from where a rollout stands and what was said of it to where it stands next.
//!
//! ```text
//! idle ──(canary version seen)──► progressing ──(last stage held)──► promoted
//!                                  │  ▲    │ ▲
//!                            pause │  │    │ │ restored (weight of the smallest stage)
//!                                  ▼  │    ▼ │
//!                                paused    withdrawn (weight 0, still progressing or paused)
//!                                  │            │
//!                                  └─────┬──────┘ forecast, anomaly again, limit, abort
//!                                        ▼
//!                                   rolled_back ──(retry, or another version)──► progressing
//! ```
//!
//! Where stable could not take everybody at once, the controller goes to weight 0 step by step
//! ([`crate::leave`]); what is decided here is then carried out with the last step.

use crate::leave;
use crate::message::Command;
use crate::phase::{Phase, ServiceState};
use crate::plan::{OnAnomaly, RolloutPolicy};
use crate::record::RecordKind;
use crate::relapse::Relapse;
use serinus_models::{Evaluation, Timestamp, Verdict};
use serinus_routing::Weight;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

/// The anomaly with this number is a rollback: what fails again and again is not passing. Those
/// count, too, that only probes see while users are off.
const LAST_ANOMALY: u32 = 3;

/// From the second anomaly on users return only after the canary has looked well for so long (half
/// of `withdraw_limit` if that is less): longer than the good half of a fault that comes and goes,
/// so that its next bad phase meets probes.
const DOUBTED: Duration = Duration::from_secs(180);

/// An anomaly is forgotten once the rollout is past its stage, and so much time has gone by
/// without another: stages may be shorter than the period of a fault.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(300);

/// A step of the machine, not taken yet.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Change {
    pub(crate) kind: RecordKind,
    /// Where the rollout stands after it.
    pub(crate) state: ServiceState,
    /// A word for programs where the kind alone does not say why.
    pub(crate) reason: Option<Cow<'static, str>>,
    /// Why, in plain words.
    pub(crate) text: String,
}

/// The first stage of a version that has not been seen before.
pub(crate) fn start(
    stable: &Arc<str>,
    canary: &Arc<str>,
    policy: &RolloutPolicy,
    now: Timestamp,
) -> Change {
    let state = first_stage(stable, canary, policy, now);
    let text = format!("canary {canary} beside stable {stable}: stage 1 at {}", state.weight);
    Change { kind: RecordKind::RolloutStarted, state, reason: None, text }
}

fn first_stage(
    stable: &Arc<str>,
    canary: &Arc<str>,
    policy: &RolloutPolicy,
    now: Timestamp,
) -> ServiceState {
    ServiceState {
        canary_version: Some(canary.clone()),
        phase: Phase::Progressing,
        weight: weight_of(policy, 0),
        ..ServiceState::idle(stable.clone(), now)
    }
}

/// What an evaluation changes; `None` for nothing. `relapse` has taken this evaluation in, and
/// `again` is what it said.
pub(crate) fn look(
    state: &ServiceState,
    policy: &RolloutPolicy,
    evaluation: &Evaluation,
    (relapse, again): (&Relapse, bool),
    now: Timestamp,
) -> Option<Change> {
    // Whoever is on the way back is not called back half-way.
    if !state.is_on_trial() || state.leaving.is_some() {
        return None;
    }
    let suspected_since = state.withdrawn_since.or(state.held_since);
    let shared = evaluation.reasons.iter().any(|reason| reason.code == "shared_fault");
    // The time of an outage of both is no time in which the release could have been judged.
    let judged_for = |since| now.since(since).min(evaluation.shared_ago.unwrap_or(Duration::MAX));
    let overdue = suspected_since.is_some_and(|since| judged_for(since) >= policy.withdraw_limit);
    let trusted = relapse.clear_for(now) >= doubt(state, policy);
    match evaluation.verdict {
        Verdict::Rollback => Some(roll_back(state, None, why(evaluation))),
        _ if again && suspected_since.is_some() => {
            Some(suspect(state, evaluation, now, RecordKind::AnomalyDetected))
        }
        // What stable shares is not this release's to answer for, however long it takes.
        _ if overdue && !shared && !evaluation.cleared => {
            let text = format!(
                "unresolved: {} after the first sign it is still not clear whether the failure lasts ({})",
                in_words(policy.withdraw_limit),
                why(evaluation)
            );
            Some(roll_back(state, Some("unresolved"), text))
        }
        Verdict::Withdraw if state.withdrawn_since.is_none() => {
            Some(suspect(state, evaluation, now, RecordKind::Withdrawn))
        }
        Verdict::Hold
            if suspected_since.is_none() && !shared && holds_on(state, policy, evaluation) =>
        {
            Some(suspect(state, evaluation, now, RecordKind::Held))
        }
        // A person stopped the clock: nothing is exposed until they let it run.
        Verdict::Continue if state.phase == Phase::Paused => None,
        Verdict::Continue if state.withdrawn_since.is_some() => {
            (evaluation.cleared && trusted).then(|| restore(state, policy, evaluation, now))
        }
        Verdict::Continue if state.held_since.is_some() => {
            (evaluation.cleared && trusted).then(|| release_hold(state, evaluation, now))
        }
        Verdict::Continue => advance(state, policy, now),
        _ => None,
    }
}

/// Whether the stage has lasted as long as it must.
pub(crate) fn hold_is_over(state: &ServiceState, policy: &RolloutPolicy, now: Timestamp) -> bool {
    let hold = policy.stages.get(state.stage).map_or_else(Default::default, |stage| stage.hold);
    now.since(state.stage_started) >= hold
}

/// Weight of a stage; beyond the last, the last one's.
pub(crate) fn weight_of(policy: &RolloutPolicy, stage: usize) -> Weight {
    policy.stages.get(stage).or(policy.stages.last()).map_or(Weight::ZERO, |stage| stage.weight)
}

/// How long the canary must look well before users return, or a hold ends: as long as it did before it
/// failed, since what grows until something breaks begins anew afterwards; at most half of `withdraw_limit`.
pub(crate) fn doubt(state: &ServiceState, policy: &RolloutPolicy) -> Duration {
    let went_well = |last: Timestamp| last.since(state.rollout_started);
    let went_well = state.last_anomaly.map_or(Duration::ZERO, went_well);
    let asked = match state.anomalies {
        0 => Duration::ZERO,
        1 => went_well,
        _ => went_well.max(DOUBTED),
    };
    asked.min(policy.withdraw_limit / 2)
}

fn roll_back(state: &ServiceState, reason: Option<&'static str>, text: String) -> Change {
    let reason = reason.map(Cow::Borrowed);
    Change { kind: RecordKind::RolledBack, state: leave::out(state), reason, text }
}

/// The first answer to an anomaly: nobody further is exposed, and if the kind says so, users leave.
/// The only answer to one that comes back while they are off is that it counts.
fn suspect(
    state: &ServiceState,
    evaluation: &Evaluation,
    now: Timestamp,
    kind: RecordKind,
) -> Change {
    // Well without users and failing with them is no passing fault, either.
    let met_again =
        kind == RecordKind::Withdrawn && state.anomalies > 0 && state.held_since.is_none();
    let anomalies = state.anomalies + 1;
    let mut state = ServiceState { anomalies, last_anomaly: Some(now), ..state.clone() };
    let why = why(evaluation);
    let text = match kind {
        RecordKind::Withdrawn if met_again => {
            format!("it looked well while users were off, and fails again with them: {why}")
        }
        RecordKind::AnomalyDetected => {
            format!("anomaly number {anomalies} of this release, back before users were: {why}")
        }
        _ if anomalies >= LAST_ANOMALY => {
            format!("anomaly number {anomalies} of this release: {why}")
        }
        _ => why,
    };
    if met_again || anomalies >= LAST_ANOMALY {
        return roll_back(&state, Some("repeated"), text);
    }
    state.anomaly_stage = state.anomaly_stage.max(state.stage);
    match kind {
        RecordKind::Withdrawn => {
            state.weight = Weight::ZERO;
            state.withdrawn_since = Some(now);
            state.held_since = None;
        }
        RecordKind::Held => state.held_since = Some(now),
        _ => {}
    }
    Change { kind, state, reason: None, text }
}

fn release_hold(state: &ServiceState, evaluation: &Evaluation, now: Timestamp) -> Change {
    // The stage has to look well from its beginning.
    let state = ServiceState { held_since: None, stage_started: now, ..state.clone() };
    Change { kind: RecordKind::AnomalyCleared, state, reason: None, text: why(evaluation) }
}

fn restore(
    state: &ServiceState,
    policy: &RolloutPolicy,
    evaluation: &Evaluation,
    now: Timestamp,
) -> Change {
    // Users come back where the fewest are at risk; a release that had none yet stays at none.
    let smallest = policy.stages.iter().position(|stage| !stage.weight.is_zero());
    let stage = smallest.map_or(state.stage, |smallest| smallest.min(state.stage));
    let state = ServiceState {
        stage,
        weight: weight_of(policy, stage),
        stage_started: now,
        withdrawn_since: None,
        ..state.clone()
    };
    Change { kind: RecordKind::Restored, state, reason: None, text: why(evaluation) }
}

fn advance(state: &ServiceState, policy: &RolloutPolicy, now: Timestamp) -> Option<Change> {
    if !hold_is_over(state, policy, now) {
        return None;
    }
    let stage = state.stage + 1;
    if stage >= policy.stages.len() {
        return Some(promote(state, "every stage held".to_owned()));
    }
    let quiet = state.last_anomaly.is_none_or(|last| now.since(last) >= FORGOTTEN_AFTER);
    let past = stage > state.anomaly_stage && quiet;
    let state = ServiceState {
        stage,
        weight: weight_of(policy, stage),
        stage_started: now,
        anomalies: if past { 0 } else { state.anomalies },
        anomaly_stage: if past { 0 } else { state.anomaly_stage },
        ..state.clone()
    };
    let text = format!("stage {} of {}: {}", stage + 1, policy.stages.len(), state.weight);
    Some(Change { kind: RecordKind::StageAdvanced, state, reason: None, text })
}

fn promote(state: &ServiceState, text: String) -> Change {
    let state = ServiceState {
        phase: Phase::Promoted,
        weight: Weight::FULL,
        withdrawn_since: None,
        held_since: None,
        paused_since: None,
        ..state.clone()
    };
    Change { kind: RecordKind::Promoted, state, reason: None, text }
}

/// What a person's command changes; `None` where it makes no sense now. An abort while users are
/// on the way back brings the rest back at once.
pub(crate) fn command(
    state: &ServiceState,
    policy: &RolloutPolicy,
    command: Command,
    now: Timestamp,
) -> Option<Change> {
    let asked = || format!("asked for by an operator ({})", command.as_str());
    let by_operator =
        |kind, state| Some(Change { kind, state, reason: Some("operator".into()), text: asked() });
    match (command, state.phase) {
        (Command::Promote, Phase::Progressing | Phase::Paused) if state.leaving.is_none() => {
            Some(Change { reason: Some("operator".into()), ..promote(state, asked()) })
        }
        (Command::Pause, Phase::Progressing) => by_operator(
            RecordKind::Paused,
            ServiceState { phase: Phase::Paused, paused_since: Some(now), ..state.clone() },
        ),
        (Command::Resume, Phase::Paused) => by_operator(
            RecordKind::Resumed,
            ServiceState {
                phase: Phase::Progressing,
                paused_since: None,
                // The time it stood still does not count towards the hold.
                stage_started: state.stage_started
                    + state.paused_since.map_or_else(Default::default, |since| now.since(since)),
                ..state.clone()
            },
        ),
        (Command::Abort, Phase::Progressing | Phase::Paused | Phase::Promoted) => {
            let rolled_back = roll_back(state, Some("operator"), asked());
            Some(Change { kind: RecordKind::Aborted, ..rolled_back })
        }
        (Command::Retry, Phase::RolledBack) => {
            let canary = state.canary_version.as_ref()?;
            let first = first_stage(&state.stable_version, canary, policy, now);
            by_operator(RecordKind::Retried, first)
        }
        _ => None,
    }
}

/// Whether an anomaly only holds the rollout: because it is set so, or because nobody is on the
/// canary yet whom one could take off.
fn holds_on(state: &ServiceState, policy: &RolloutPolicy, evaluation: &Evaluation) -> bool {
    let holds = policy.on_anomaly == OnAnomaly::Hold || state.weight.is_zero();
    holds && evaluation.anomaly_score >= policy.anomaly_threshold
}

fn why(evaluation: &Evaluation) -> String {
    let texts: Vec<&str> = evaluation.reasons.iter().map(|reason| reason.text.as_str()).collect();
    texts.join("; ")
}

fn in_words(duration: Duration) -> String {
    match duration.as_secs() {
        seconds if seconds >= 60 && seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
        _ => format!("{:.1} s", duration.as_secs_f64()),
    }
}
