//! One service's rollout: its state, its evaluator, and the change that waits for the disk.

use crate::leave;
use crate::load::{Carried, Load};
use crate::machine::{self, Change};
use crate::message::{ServiceStatus, Ticket, Urgency, VersionStatus};
use crate::phase::{Phase, ServiceState};
use crate::plan::{Mode, ServicePlan};
use crate::record::RecordKind;
use crate::relapse::Relapse;
use serinus_models::{
    Evaluation, EvaluationSettings, Evaluator, Exposure, Label, Predictor, Reason, ServiceTick,
    Timestamp, Verdict,
};
use serinus_routing::Weight;

/// A change that puts users on the canary, between the request to write it and the answer.
#[derive(Debug, Clone)]
pub(crate) struct Pending {
    pub(crate) ticket: Ticket,
    pub(crate) change: Change,
}

#[derive(Debug, Clone)]
pub(crate) struct ServiceRollout {
    pub(crate) plan: ServicePlan,
    pub(crate) state: ServiceState,
    pub(crate) pending: Option<Pending>,
    /// Whether the last exposing change could not be written.
    pub(crate) unwritable: bool,
    /// A first stage that could not be written down yet: nothing else would ask for it again.
    pub(crate) unstarted: Option<Change>,
    load: Load,
    /// Whether all looks that made the load what it is were kept.
    pub(crate) load_is_kept: bool,
    evaluator: Evaluator,
    relapse: Relapse,
    last: Option<Evaluation>,
    /// An anomaly is open: it was reported and has not been reported as cleared.
    anomaly_open: bool,
    /// The last cause of standing still that was reported.
    held_for: Option<String>,
    /// In observe mode: what would have been done in this episode, and was reported.
    observed: Vec<RecordKind>,
    label_due: bool,
    last_label: Option<Label>,
}

impl ServiceRollout {
    pub(crate) fn new(plan: ServicePlan, state: ServiceState, now: Timestamp) -> Self {
        let mut evaluator = Evaluator::new(evaluation_settings(&plan), state.rollout_started);
        // What was held against it is forgotten: probes have to show that it works.
        if state.withdrawn_since.is_some() || state.held_since.is_some() {
            evaluator.mark_withdrawn(now);
        }
        ServiceRollout {
            load: Load::after(state.carried),
            load_is_kept: true,
            anomaly_open: state.held_since.is_some(),
            plan,
            state,
            pending: None,
            unwritable: false,
            unstarted: None,
            evaluator,
            relapse: Relapse::default(),
            last: None,
            held_for: None,
            observed: Vec::new(),
            label_due: false,
            last_label: None,
        }
    }

    /// The phase as shown: a remembered rollback of a canary that is not configured any more is idle.
    pub(crate) fn phase(&self) -> Phase {
        if self.plan.canary_version.is_none() { Phase::Idle } else { self.state.phase }
    }

    /// Another release of the service takes this one's place: what stable carries stays known.
    pub(crate) fn succeeded_by(
        mut self,
        plan: ServicePlan,
        state: ServiceState,
        now: Timestamp,
    ) -> Self {
        self.reconfigure(plan);
        ServiceRollout { load: self.load, ..ServiceRollout::new(self.plan, state, now) }
    }

    /// The most that stable has lately carried.
    pub(crate) fn carried(&self) -> Option<Carried> {
        self.load.carried()
    }

    pub(crate) fn reconfigure(&mut self, plan: ServicePlan) {
        if plan.stable_version != self.plan.stable_version {
            self.load = Load::default();
        }
        self.evaluator.reconfigure(evaluation_settings(&plan));
        self.plan = plan;
    }

    /// Whether what is seen of it can still decide something. What it is shown while it is so is
    /// kept for a replay; of everything else only the load is of any consequence.
    pub(crate) fn is_judged(&self) -> bool {
        let on_trial = self.state.is_on_trial() || self.state.leaving.is_some();
        self.plan.canary_version.is_some() && (on_trial || self.evaluator.awaits_label())
    }

    /// The load, which counts as kept from now on.
    pub(crate) fn keep_load(&mut self) -> Load {
        self.load_is_kept = true;
        self.load.clone()
    }

    /// Takes the load that was kept.
    pub(crate) fn carry(&mut self, load: Load) {
        self.state.carried = load.carried();
        self.load = load;
    }

    /// Takes in what was seen, and says what it changes. Users' exposure is that of the state.
    pub(crate) fn observe(
        &mut self,
        now: Timestamp,
        tick: &ServiceTick,
        predictor: Option<&Predictor>,
    ) -> Vec<Finding> {
        self.load.observe(now, tick);
        self.state.carried = self.load.carried();
        if !self.is_judged() {
            self.load_is_kept = false;
            return Vec::new();
        }
        let exposure = Exposure {
            weight: self.state.weight.ratio(),
            withdrawn: self.state.withdrawn_since.is_some()
                || self.state.phase == Phase::RolledBack,
        };
        self.evaluator.observe(now, tick, exposure);
        let mut findings = Vec::new();
        if self.state.is_on_trial() {
            let evaluation = self.evaluator.evaluate(now, predictor);
            self.last = Some(evaluation.clone());
            self.judge(now, &evaluation, &mut findings);
        }
        if let Some(episode) = self.evaluator.take_labelled(now) {
            self.label_due = false;
            self.last_label = Some(episode.label);
            findings.push(Finding::Labelled(Box::new(episode)));
        }
        findings
    }

    fn judge(&mut self, now: Timestamp, evaluation: &Evaluation, findings: &mut Vec<Finding>) {
        let again = self.relapse.look(evaluation, now);
        let policy = &self.plan.policy;
        let change = machine::look(&self.state, policy, evaluation, (&self.relapse, again), now);
        let is_anomaly = evaluation.anomaly_score >= policy.anomaly_threshold;
        let says = |kind| change.as_ref().is_some_and(|change| change.kind == kind);
        if is_anomaly && !self.anomaly_open && evaluation.verdict != Verdict::Continue {
            self.anomaly_open = true;
            self.label_due = true;
            if !says(RecordKind::AnomalyDetected) {
                findings.push(Finding::Note(RecordKind::AnomalyDetected));
            }
        }
        // A hold ends when the machine says so; users on the way back are off first.
        let released = says(RecordKind::AnomalyCleared);
        let may_clear = released || self.state.held_since.is_none();
        let clears =
            evaluation.cleared && self.anomaly_open && may_clear && self.state.leaving.is_none();
        if clears {
            self.anomaly_open = false;
            self.observed.clear();
            if !released {
                findings.push(Finding::Note(RecordKind::AnomalyCleared));
            }
        }
        match change {
            Some(change) if self.only_observes(change.kind) => {
                if !self.observed.contains(&change.kind) {
                    self.observed.push(change.kind);
                    findings.push(Finding::Observed(change));
                }
            }
            Some(change) => findings.push(Finding::Change(self.gently(change, now))),
            None => self.stand_still(now, evaluation, findings),
        }
        if clears && self.state.withdrawn_since.is_none() {
            self.evaluator.users_returned(now);
        }
    }

    /// The change, or its first step where stable could not take everybody at once.
    pub(crate) fn gently(&self, change: Change, now: Timestamp) -> Change {
        let (demand, failing) = (self.load.demand(now), self.load.failing());
        leave::gently(change, &self.state, demand, failing, self.plan.policy.ramp_limit, now)
    }

    /// The next step of users who are on their way back, if it is due.
    pub(crate) fn step(&self, now: Timestamp) -> Option<Change> {
        leave::step(&self.state, self.load.failing(), self.plan.policy.ramp_limit, now)
    }

    /// Reports, once per cause, that a stage which is over does not end.
    fn stand_still(
        &mut self,
        now: Timestamp,
        evaluation: &Evaluation,
        findings: &mut Vec<Finding>,
    ) {
        // What its processes use is told at once: there is something to be looked into.
        let guarded = evaluation.verdict == Verdict::Hold
            && evaluation.reasons.first().is_some_and(|reason| reason.code == "resources");
        let overdue = evaluation.verdict == Verdict::InsufficientEvidence
            && machine::hold_is_over(&self.state, &self.plan.policy, now);
        let waits = self.state.phase == Phase::Progressing
            && self.state.leaving.is_none()
            && (guarded || overdue);
        if !waits {
            if evaluation.verdict == Verdict::Continue {
                self.held_for = None;
            }
            return;
        }
        let cause = evaluation.reasons.first().map(|reason| reason.code.clone());
        if cause.is_some() && self.held_for != cause {
            self.held_for = cause;
            findings.push(Finding::Note(RecordKind::Held));
        }
    }

    fn only_observes(&self, kind: RecordKind) -> bool {
        self.plan.policy.mode == Mode::Observe
            && matches!(kind, RecordKind::Withdrawn | RecordKind::RolledBack)
    }

    /// Carries out a change in memory.
    pub(crate) fn apply(&mut self, now: Timestamp, change: &Change) {
        let before = std::mem::replace(&mut self.state, change.state.clone());
        self.pending = None;
        self.held_for = None;
        match change.kind {
            RecordKind::Withdrawn => self.evaluator.mark_withdrawn(now),
            RecordKind::Restored => {
                self.load.forget_canary();
                self.evaluator.users_returned(now);
                self.evaluator.stage_began(now);
            }
            RecordKind::StageAdvanced | RecordKind::AnomalyCleared => {
                self.evaluator.stage_began(now);
            }
            RecordKind::RolloutStarted | RecordKind::Retried => {
                self.load.forget_canary();
                self.evaluator = Evaluator::new(evaluation_settings(&self.plan), now);
                self.relapse = Relapse::default();
                self.last = None;
                self.anomaly_open = false;
                self.observed.clear();
                self.label_due = false;
                self.last_label = None;
            }
            RecordKind::RolledBack | RecordKind::Aborted if before.withdrawn_since.is_none() => {
                self.evaluator.mark_withdrawn(now);
            }
            _ => {}
        }
        if matches!(change.kind, RecordKind::Promoted | RecordKind::Aborted) {
            self.last = None;
        }
    }

    /// How often the probes should run now.
    pub(crate) fn urgency(&self) -> Urgency {
        match self.phase() {
            Phase::Idle | Phase::Promoted => Urgency::Routine,
            Phase::RolledBack if self.label_due => Urgency::Suspicion,
            Phase::RolledBack => Urgency::Routine,
            Phase::Progressing | Phase::Paused => {
                let doubted = self.state.withdrawn_since.or(self.state.held_since).is_some();
                if self.anomaly_open || doubted {
                    return Urgency::Suspicion;
                }
                match self.last.as_ref().map(|evaluation| evaluation.verdict) {
                    Some(Verdict::InsufficientEvidence) => Urgency::Raised,
                    _ if self.load.is_quiet() => Urgency::Raised,
                    _ => Urgency::Routine,
                }
            }
        }
    }

    pub(crate) fn last_evaluation(&self) -> Option<&Evaluation> {
        self.last.as_ref()
    }

    pub(crate) fn status(&self) -> ServiceStatus {
        let version = |version: &std::sync::Arc<str>| VersionStatus { version: version.clone() };
        let phase = self.phase();
        let mut reasons = self.last.as_ref().map_or_else(Vec::new, |last| last.reasons.clone());
        reasons.splice(..0, self.way_back().into_iter().chain(self.doubt()));
        if self.unwritable {
            reasons.insert(0, Reason::new("no_journal", NO_JOURNAL));
        }
        let on_trial = matches!(phase, Phase::Progressing | Phase::Paused);
        ServiceStatus {
            name: self.plan.name.clone(),
            phase,
            stage: self.state.stage,
            stages: self.plan.policy.stages.len(),
            weight: if phase == Phase::Idle { Weight::ZERO } else { self.state.weight },
            stable: version(&self.plan.stable_version),
            canary: self.plan.canary_version.as_ref().map(version),
            anomaly_score: self.last.as_ref().map_or(0.0, |last| last.anomaly_score),
            failure_probability: self.last.as_ref().and_then(|last| last.failure_probability),
            withdrawn: on_trial && self.state.withdrawn_since.is_some(),
            verdict: match (&self.last, phase) {
                (Some(last), _) => last.verdict,
                (None, Phase::Progressing | Phase::Paused) => Verdict::InsufficientEvidence,
                (None, Phase::RolledBack) => Verdict::Rollback,
                (None, _) => Verdict::Continue,
            },
            reasons,
            observe: self.plan.policy.mode == Mode::Observe,
            evaluation: self.last.clone(),
            last_label: self.last_label,
            watched: self.is_judged(),
        }
    }
}

impl ServiceRollout {
    /// What an operator reads while users are on their way back.
    fn way_back(&self) -> Option<Reason> {
        let leaving = self.state.leaving.as_ref()?;
        let text = format!(
            "users are on their way back to stable, step {} of {}: more at once than it has lately carried would harm it",
            leaving.taken,
            leaving.weights.len()
        );
        Some(Reason::new("ramp", text))
    }

    /// What an operator reads while users stay off although the anomaly is gone.
    fn doubt(&self) -> Option<Reason> {
        let asked = machine::doubt(&self.state, &self.plan.policy);
        let off = self.state.withdrawn_since.or(self.state.held_since).is_some();
        let clears = self.last.as_ref().is_some_and(|last| last.cleared);
        (off && clears && !asked.is_zero()).then(|| {
            let text = format!(
                "anomaly number {}: users return when the canary has looked well for {:.0} s; if it then fails again with them, it is rolled back",
                self.state.anomalies,
                asked.as_secs_f64()
            );
            Reason::new("repeated", text)
        })
    }
}

/// What an operator reads when nothing moves because nothing can be written down.
pub(crate) const NO_JOURNAL: &str = "the journal cannot be written, so no user is sent to the canary: see the log, free space or mend the state directory";

/// Something that an observation brought about.
#[derive(Debug)]
pub(crate) enum Finding {
    /// Worth writing down; the state stays.
    Note(RecordKind),
    /// Would be done if the service were not in observe mode.
    Observed(Change),
    /// To be done.
    Change(Change),
    /// An episode has its label.
    Labelled(Box<serinus_models::Episode>),
}

fn evaluation_settings(plan: &ServicePlan) -> EvaluationSettings {
    let policy = &plan.policy;
    EvaluationSettings {
        anomaly_threshold: policy.anomaly_threshold,
        rollback_threshold: policy.rollback_threshold,
        resume_threshold: policy.resume_threshold,
        margin: policy.margin,
        withdraw: policy.on_anomaly == crate::OnAnomaly::Withdraw,
        min_requests: policy.min_requests,
        horizon: policy.stages.iter().map(|stage| stage.hold).sum(),
        label_window: policy.label_window,
    }
}
