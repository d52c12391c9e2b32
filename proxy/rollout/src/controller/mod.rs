//! The controller: owns every decision, on one task, and touches nothing outside itself.
//!
//! Two orders are kept (README, invariants): what protects users is published first and written
//! down in the same breath; what exposes users is written down first and published only when the
//! journal has said that it is safe.

mod adopt;
mod journal;

use crate::heard::Heard;
use crate::load::Load;
use crate::machine::{self, Change};
use crate::message::{Command, CommandError, Input, Output, ServiceStatus, Ticket, Urgency};
use crate::phase::ServiceState;
use crate::plan::Plan;
use crate::record::{Record, RecordKind};
use crate::service::{Finding, Pending, ServiceRollout};
use serde_json::{Value, json};
use serinus_models::{Predictor, ServiceTick, Timestamp};
use serinus_routing::{RouteTable, Weight};
use std::collections::BTreeMap;
use std::sync::Arc;

/// All rollouts of one proxy. See the crate's documentation.
#[derive(Debug, Clone)]
pub struct Controller {
    table: RouteTable,
    services: Vec<ServiceRollout>,
    /// States of services or versions that the configuration does not mention now.
    parked: BTreeMap<Arc<str>, ServiceState>,
    predictor: Option<Arc<Predictor>>,
    config_hash: String,
    next_ticket: Ticket,
    /// Records on their way to the disk that must get there some time.
    unacknowledged: BTreeMap<Ticket, Record>,
    /// Those that did not get there, oldest first.
    unsaved: Vec<Record>,
    urgency: BTreeMap<Arc<str>, Urgency>,
    /// Records that the disk has not answered for: service, time and kind.
    asked: BTreeMap<Ticket, (Arc<str>, Timestamp, RecordKind)>,
    /// Whether a look was kept since the last tick.
    looked: bool,
    /// What was heard of late, before what follows from it.
    heard: Vec<Heard>,
    outputs: Vec<Output>,
}

impl Controller {
    /// A controller that goes on from the `restored` states (by service name, from the journal).
    ///
    /// The outputs publish the first table: weights that the journal vouches for, and no others.
    pub fn new(
        now: Timestamp,
        plan: Plan,
        restored: Vec<(Arc<str>, ServiceState)>,
        predictor: Option<Arc<Predictor>>,
    ) -> (Self, Vec<Output>) {
        let states = restored.clone();
        let parked = restored
            .into_iter()
            .map(|(name, state)| {
                // What was seen in this stage is gone: the stage has to look well from its beginning.
                let paused_since = state.paused_since.map(|_| now);
                (name, ServiceState { stage_started: now, paused_since, ..state })
            })
            .collect();
        let mut controller = Controller {
            table: plan.table.clone(),
            services: Vec::new(),
            parked,
            predictor,
            config_hash: String::new(),
            next_ticket: 1,
            unacknowledged: BTreeMap::new(),
            unsaved: Vec::new(),
            urgency: BTreeMap::new(),
            asked: BTreeMap::new(),
            looked: false,
            heard: Vec::new(),
            outputs: Vec::new(),
        };
        controller.configure(now, plan);
        controller.remember(Heard::Began {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            scheme: controller.scheme(),
            states,
        });
        let outputs = controller.take_outputs();
        (controller, outputs)
    }

    /// Takes in what happened and says what to do about it, in order.
    pub fn handle(&mut self, now: Timestamp, input: Input) -> Vec<Output> {
        match input {
            Input::Observed { service, tick } => {
                if self.observed(now, &service, &tick) {
                    self.looked = true;
                    self.remember(Heard::Observed { service, tick });
                }
            }
            Input::Tick => {
                let unstarted = |at: &usize| self.services[*at].unstarted.is_some();
                let unstarted: Vec<usize> = (0..self.services.len()).filter(unstarted).collect();
                unstarted.into_iter().for_each(|at| self.remember_unkept_load(at));
                self.retry_unsaved(now);
                self.step(now);
                if std::mem::take(&mut self.looked) || !self.outputs.is_empty() {
                    self.remember(Heard::Tick);
                }
            }
            Input::Command { service, command } => {
                // A caller who wants to know why not uses `command`.
                let _refused = self.order(now, &service, command);
            }
            Input::ConfigChanged(plan) => {
                (0..self.services.len()).for_each(|at| self.remember_load(at));
                self.configure(now, plan);
                self.remember(Heard::Configured(self.scheme()));
            }
            Input::ModelLoaded(predictor) => {
                self.predictor = predictor;
                self.remember(Heard::Model(self.scheme()));
            }
            Input::Durable(ticket) => {
                self.answered(ticket, true);
                self.durable(now, ticket);
            }
            Input::NotDurable(ticket) => {
                self.answered(ticket, false);
                self.not_durable(ticket);
            }
        }
        self.take_outputs()
    }

    /// Carries out a person's command.
    ///
    /// # Errors
    /// An unknown service, or a phase in which the command makes no sense.
    pub fn command(
        &mut self,
        now: Timestamp,
        service: &str,
        command: Command,
    ) -> Result<Vec<Output>, CommandError> {
        self.order(now, service, command)?;
        Ok(self.take_outputs())
    }

    /// Every service as the API shows it, in the order of the configuration.
    pub fn status(&self) -> Vec<ServiceStatus> {
        self.services.iter().map(ServiceRollout::status).collect()
    }

    /// Whether a step of users on their way back is due: then an [`Input::Tick`] should not wait
    /// for the next look.
    pub fn is_step_due(&self, now: Timestamp) -> bool {
        self.services.iter().any(|rollout| rollout.step(now).is_some())
    }

    /// The table in force.
    pub fn table(&self) -> &RouteTable {
        &self.table
    }

    /// Says whether it could decide anything.
    fn observed(&mut self, now: Timestamp, service: &str, tick: &ServiceTick) -> bool {
        let Some(at) = self.position(service) else { return false };
        let is_judged = self.services[at].is_judged();
        if is_judged {
            self.remember_unkept_load(at);
        }
        let predictor = self.predictor.as_ref().map(|predictor| predictor.of_service(service));
        for finding in self.services[at].observe(now, tick, predictor.as_ref()) {
            match finding {
                Finding::Note(kind) => self.note(now, at, kind),
                Finding::Observed(change) => {
                    let mut record = self.record_of(now, at, &change);
                    record.state = Some(self.services[at].state.clone());
                    record.details = json!({ "observed_only": true });
                    record.text = format!("observe mode, nothing changed: {}", change.text);
                    self.write(record);
                }
                Finding::Change(change) => self.change(now, at, change),
                Finding::Labelled(episode) => {
                    let text =
                        format!("the episode was {}: {}", episode.label.as_str(), episode.why);
                    let mut record = self.blank(now, RecordKind::EpisodeLabelled, at, text);
                    record.details = serde_json::to_value(&*episode).unwrap_or(Value::Null);
                    // Which release it is of: whoever learns keeps a release's episodes together.
                    let state = &self.services[at].state;
                    record.details["deployed"] = json!(state.rollout_started);
                    record.details["canary_version"] = json!(state.canary_version);
                    self.write(record);
                }
            }
        }
        self.tell_urgency(at);
        is_judged
    }

    /// Takes the steps of users on their way back that are due.
    fn step(&mut self, now: Timestamp) {
        for at in 0..self.services.len() {
            if let Some(change) = self.services[at].step(now) {
                self.change(now, at, change);
                self.tell_urgency(at);
            }
        }
    }

    fn note(&mut self, now: Timestamp, at: usize, kind: RecordKind) {
        let evaluation = self.services[at].last_evaluation().cloned();
        let text = evaluation.as_ref().map_or_else(String::new, |evaluation| {
            let texts: Vec<_> = evaluation.reasons.iter().map(|reason| &*reason.text).collect();
            texts.join("; ")
        });
        let mut record = self.blank(now, kind, at, text);
        record.evaluation = evaluation;
        self.write(record);
    }

    fn order(
        &mut self,
        now: Timestamp,
        service: &str,
        command: Command,
    ) -> Result<(), CommandError> {
        let Some(at) = self.position(service) else {
            let known: Vec<_> = self.services.iter().map(|known| &*known.plan.name).collect();
            return Err(CommandError::UnknownService(service.to_owned(), known.join(", ")));
        };
        let rollout = &self.services[at];
        let wrong_phase = || CommandError::WrongPhase {
            service: service.to_owned(),
            command: command.as_str(),
            phase: rollout.phase(),
        };
        if rollout.plan.canary_version.is_none() {
            return Err(wrong_phase());
        }
        if rollout.state.leaving.is_some() && command == Command::Promote {
            let service = service.to_owned();
            return Err(CommandError::Leaving { service, command: command.as_str() });
        }
        let change = machine::command(&rollout.state, &rollout.plan.policy, command, now)
            .ok_or_else(wrong_phase)?;
        let change = rollout.gently(change, now);
        self.remember_load(at);
        self.change(now, at, change);
        self.tell_urgency(at);
        self.remember(Heard::Commanded { service: service.into(), command });
        Ok(())
    }

    /// Takes a step of the phase machine, in the order that its kind demands.
    fn change(&mut self, now: Timestamp, at: usize, mut change: Change) {
        change.state.carried = self.services[at].carried();
        let record = self.record_of(now, at, &change);
        if change.kind.exposes() {
            let waits = self.services[at].pending.as_ref();
            if waits.is_some_and(|pending| pending.change.kind == change.kind) {
                return; // already on its way to the disk
            }
            let ticket = self.ticket();
            self.services[at].pending = Some(Pending { ticket, change });
            self.ask(ticket, record);
        } else {
            self.services[at].apply(now, &change);
            self.publish_weights(&[at]);
            self.write(record);
        }
    }

    fn publish_weights(&mut self, services: &[usize]) {
        let weights: Vec<_> = services
            .iter()
            .map(|at| {
                let rollout = &self.services[*at];
                let has_canary = rollout.plan.canary_version.is_some();
                (rollout.plan.index, if has_canary { rollout.state.weight } else { Weight::ZERO })
            })
            .collect();
        self.table = self.table.with_weights(weights);
        self.outputs.push(Output::Publish(self.table.clone()));
    }

    /// Puts a service in the place where it was with this load.
    pub(crate) fn carry(&mut self, service: &str, load: &Load) {
        if let Some(at) = self.position(service) {
            self.services[at].carry(load.clone());
        }
    }

    fn tell_urgency(&mut self, at: usize) {
        let urgency = self.services[at].urgency();
        let service = &self.services[at].plan.name;
        if self.urgency.get(service) != Some(&urgency) {
            self.urgency.insert(service.clone(), urgency);
            self.outputs.push(Output::ProbeRate { service: service.clone(), urgency });
        }
    }

    fn ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        self.next_ticket
    }

    fn position(&self, service: &str) -> Option<usize> {
        self.services.iter().position(|rollout| &*rollout.plan.name == service)
    }

    /// What was heard comes before what follows from it.
    fn take_outputs(&mut self) -> Vec<Output> {
        let heard = std::mem::take(&mut self.heard).into_iter();
        let outputs = std::mem::take(&mut self.outputs);
        heard.map(|heard| Output::Remember(Box::new(heard))).chain(outputs).collect()
    }
}
