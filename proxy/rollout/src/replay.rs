//! Judging again: a controller of one service, led over what another controller heard.
//!
//! Services do not influence each other's decisions, so each is led alone. Without a change of
//! settings every record comes out as it was; with one, the disk answers as it did where the same
//! record was asked for, and else at once.

use crate::controller::Controller;
use crate::heard::{Answer, Heard, Scheme};
use crate::load::Load;
use crate::message::{Input, Output, ServiceStatus, Ticket};
use crate::phase::ServiceState;
use crate::plan::{Plan, RolloutPolicy};
use crate::record::{Record, RecordKind};
use serinus_models::{Predictor, Timestamp};
use serinus_routing::Weight;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A model that took part and is not at hand: its id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("model {0} took part in these decisions and is not at hand")]
pub struct UnknownModel(pub String);

/// Whether a record came to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// It did.
    Durable,
    /// It did not: what exposes users did not happen.
    Refused,
    /// Nobody knows: the process ended before the disk answered.
    Unanswered,
}

/// A record that was made while judging again.
#[derive(Debug, Clone, PartialEq)]
pub struct Made {
    /// The record.
    pub record: Record,
    /// Whether it came to the disk.
    pub written: Written,
}

/// How the disk answered for one service's records.
#[derive(Debug, Clone, Default)]
pub struct Answers {
    known: BTreeSet<(Timestamp, RecordKind)>,
    /// When, and whether it took the record; in order.
    course: Vec<(Timestamp, bool)>,
}

impl Answers {
    /// Adds an answer that was heard at `heard_at`; in the order in which they were heard.
    pub fn add(&mut self, heard_at: Timestamp, answer: &Answer) {
        self.known.insert((answer.at, answer.kind));
        self.course.push((heard_at, answer.durable));
    }

    /// Whether the disk worked, by its last answer before `now`.
    fn works(&self, now: Timestamp) -> bool {
        let passed = self.course.partition_point(|(at, _)| *at < now);
        self.course[..passed].last().is_none_or(|(_, durable)| *durable)
    }
}

/// Where a replay gets what is not among the things heard.
pub trait Library {
    /// The model of that id.
    fn model(&self, id: &str) -> Option<Arc<Predictor>>;

    /// Where the service's rollout stood before `at`, by the records.
    fn state_before(&self, at: Timestamp) -> Option<ServiceState>;

    /// The settings to judge by in place of those that were in force.
    fn policy(&self, in_force: &RolloutPolicy) -> RolloutPolicy;

    /// Whether [`Library::policy`] changes anything.
    fn is_changed(&self) -> bool;
}

/// One service's decisions, made again.
pub struct Replay<'a> {
    service: Arc<str>,
    library: &'a dyn Library,
    answers: &'a Answers,
    /// None while it is not known what the controller knew.
    controller: Option<Controller>,
    scheme: Option<Scheme>,
    model: Option<Arc<Predictor>>,
    /// What the service carried, and since when that is known.
    load: Option<(Timestamp, Load)>,
    waiting: Vec<(Ticket, usize)>,
    made: Vec<Made>,
    /// Where the rollout stands by what was made and is on the disk.
    on_disk: Option<ServiceState>,
    /// From when to when it was known what the controller knew.
    known: Vec<(Timestamp, Option<Timestamp>)>,
}

impl<'a> Replay<'a> {
    /// Of this service; nothing was heard yet.
    pub fn new(service: Arc<str>, library: &'a dyn Library, answers: &'a Answers) -> Self {
        Replay {
            service,
            library,
            answers,
            controller: None,
            scheme: None,
            model: None,
            load: None,
            waiting: Vec::new(),
            made: Vec::new(),
            on_disk: None,
            known: Vec::new(),
        }
    }

    /// Takes in the next thing that was heard. `on_its_own`: exposure has been another than it was,
    /// so a restart goes on from the states of this replay, not from those of then.
    ///
    /// # Errors
    /// A model that the library does not have.
    pub fn hear(
        &mut self,
        at: Timestamp,
        heard: &Heard,
        on_its_own: bool,
    ) -> Result<(), UnknownModel> {
        match heard {
            Heard::Began { scheme, states, .. } => {
                let then = states.iter().find(|(name, _)| *name == self.service);
                let then = then.map(|(_, state)| state.clone());
                let state = if on_its_own { self.on_disk.clone() } else { then };
                self.model = self.model_of(scheme)?;
                self.begin(at, scheme.clone(), state);
            }
            Heard::Configured(scheme) => {
                self.model = self.model_of(scheme)?;
                self.begin_with_a_release(at, scheme);
                self.scheme = Some(scheme.clone());
                let plan = self.plan(scheme);
                self.tell(at, Input::ConfigChanged(plan));
            }
            Heard::Commanded { service, command } if *service == self.service => {
                self.tell(at, Input::Command { service: service.clone(), command: *command });
            }
            Heard::Observed { service, tick } if *service == self.service => {
                self.tell(at, Input::Observed { service: service.clone(), tick: tick.clone() });
            }
            Heard::Carried { service, load } if *service == self.service => {
                if let Some(controller) = &mut self.controller {
                    controller.carry(service, load);
                }
                self.load = Some((at, load.clone()));
            }
            Heard::Answered(answer) if answer.service == self.service => {
                let is_it = |(_, made): &(Ticket, usize)| {
                    let record = &self.made[*made].record;
                    (record.at, record.kind) == (answer.at, answer.kind)
                };
                if let Some(place) = self.waiting.iter().position(is_it) {
                    let (ticket, made) = self.waiting.remove(place);
                    self.answer(at, ticket, made, answer.durable);
                }
            }
            Heard::Model(scheme) => {
                self.model = self.model_of(scheme)?;
                self.scheme = Some(scheme.clone());
                self.tell(at, Input::ModelLoaded(self.model.clone()));
            }
            Heard::Tick => self.tell(at, Input::Tick),
            Heard::Lost(_) => self.lose(at),
            // Of another service.
            Heard::Commanded { .. }
            | Heard::Observed { .. }
            | Heard::Carried { .. }
            | Heard::Answered(_) => {}
        }
        Ok(())
    }

    /// What was decided so far, in order.
    pub fn made(&self) -> &[Made] {
        &self.made
    }

    /// Whether it was known at `at` what the controller of then knew: decisions of that time come
    /// out as they were.
    pub fn is_known(&self, at: Timestamp) -> bool {
        self.known.iter().any(|(from, to)| *from <= at && to.is_none_or(|to| at < to))
    }

    /// The service as the API would show it; none while it is not known.
    pub fn status(&self) -> Option<ServiceStatus> {
        self.controller.as_ref()?.status().into_iter().next()
    }

    /// Users on the canary; none while it is not known.
    pub fn weight(&self) -> Option<Weight> {
        Some(self.controller.as_ref()?.table().services().first()?.weight)
    }

    fn model_of(&self, scheme: &Scheme) -> Result<Option<Arc<Predictor>>, UnknownModel> {
        let Some(id) = &scheme.model else { return Ok(None) };
        self.library.model(id).map(Some).ok_or_else(|| UnknownModel(id.clone()))
    }

    /// The plan of this service alone, with the settings to judge by.
    fn plan(&self, scheme: &Scheme) -> Plan {
        let of_service = scheme.services.iter().filter(|plan| plan.name == self.service);
        let services = of_service.cloned().map(|mut plan| {
            plan.policy = self.library.policy(&plan.policy);
            plan
        });
        Plan::without_routes(services.collect(), scheme.config_hash.clone())
    }

    fn begin(&mut self, at: Timestamp, scheme: Scheme, state: Option<ServiceState>) {
        self.lose(at);
        self.known.push((at, None));
        let plan = self.plan(&scheme);
        self.scheme = Some(scheme);
        let states = state.map(|state| (self.service.clone(), state)).into_iter().collect();
        let (controller, outputs) = Controller::new(at, plan, states, self.model.clone());
        self.controller = Some(controller);
        self.carry_out(at, outputs);
    }

    /// Where what came before is not known: the configuration of that time and where the rollout stood,
    /// if records say it (while the disk fails they do not) and it is known what the service carries.
    fn midway(&self, at: Timestamp) -> Option<(Scheme, Option<ServiceState>)> {
        let scheme = self.scheme.as_ref()?;
        if self.controller.is_some() || !self.answers.works(at) {
            return None;
        }
        let before = self.library.state_before(at);
        let is_new = !scheme.services.iter().any(|plan| plan.name == self.service);
        let load_is_known = self.load.as_ref().is_some_and(|(heard_at, _)| *heard_at == at);
        (load_is_known || is_new && before.is_none()).then(|| (scheme.clone(), before))
    }

    /// A release that was never seen starts with nothing known.
    fn begin_with_a_release(&mut self, at: Timestamp, next: &Scheme) {
        let Some((mut scheme, before)) = self.midway(at) else { return };
        let canary = |scheme: &Scheme| {
            let plan = scheme.services.iter().find(|plan| plan.name == self.service);
            plan.and_then(|plan| plan.canary_version.clone())
        };
        let known = before.as_ref().and_then(|state| state.canary_version.clone());
        if canary(next).is_none_or(|version| Some(version) == known) {
            return;
        }
        for plan in scheme.services.iter_mut().filter(|plan| plan.name == self.service) {
            plan.canary_version = None;
        }
        self.begin(at, scheme, before);
        if let (Some(controller), Some((_, load))) = (&mut self.controller, &self.load) {
            controller.carry(&self.service, load);
        }
    }

    /// From here on it is not known what the controller knew.
    fn lose(&mut self, at: Timestamp) {
        self.controller = None;
        self.waiting.clear();
        if let Some((_, to)) = self.known.last_mut() {
            to.get_or_insert(at);
        }
    }

    fn tell(&mut self, at: Timestamp, input: Input) {
        if let Some(controller) = &mut self.controller {
            let outputs = controller.handle(at, input);
            self.carry_out(at, outputs);
        }
    }

    fn carry_out(&mut self, at: Timestamp, outputs: Vec<Output>) {
        let mut at_once = Vec::new();
        for output in outputs {
            let Output::Append { ticket, record } = output else { continue };
            let key = (record.at, record.kind);
            let made = self.note(*record);
            if self.library.is_changed() && !self.answers.known.contains(&key) {
                at_once.push((ticket, made));
            } else {
                self.waiting.push((ticket, made));
            }
        }
        for (ticket, made) in at_once {
            self.answer(at, ticket, made, self.answers.works(at));
        }
    }

    /// The place of a record among those made: a new one, unless it was refused and is brought again.
    fn note(&mut self, record: Record) -> usize {
        let is_again = |made: &Made| made.written == Written::Refused && made.record == record;
        if let Some(place) = self.made.iter().rposition(is_again) {
            self.made[place].written = Written::Unanswered;
            return place;
        }
        self.made.push(Made { record, written: Written::Unanswered });
        self.made.len() - 1
    }

    fn answer(&mut self, at: Timestamp, ticket: Ticket, made: usize, durable: bool) {
        let Made { record, written } = &mut self.made[made];
        *written = if durable { Written::Durable } else { Written::Refused };
        if durable && record.state.is_some() {
            self.on_disk = record.state.clone();
        }
        let answer = if durable { Input::Durable(ticket) } else { Input::NotDurable(ticket) };
        self.tell(at, answer);
    }
}
