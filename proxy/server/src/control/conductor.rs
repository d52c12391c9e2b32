//! The control loop: looks, asks the judgement, and carries out what it says, in its order.

use super::board::{Board, Model};
use super::clock::Clock;
use super::journal::{Answer, Entry, Health, Journal, Line, Reader, Restored, Selection};
use super::judgement::Judgement;
use super::looking::{self, GLANCE_EVERY, Rhythm};
use super::model::Loaded;
use super::numbering::Numbering;
use super::parts::Parts;
use super::request::{Refusal, Request};
use crate::chart::{Moment, done_in};
use crate::learning::{Correction, News, Report, Teacher};
use serde_json::{Value, json};
use serinus_config::Settings;
use serinus_models::Timestamp;
use serinus_models::learn::Roster;
use serinus_rollout::{Command, Input, Output, Record, RecordKind, ServiceState, Ticket, Urgency};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::oneshot;
use tokio::time::{MissedTickBehavior, interval};

/// Records of the journal that the event stream begins with.
const REMEMBERED_EVENTS: usize = 1_000;

type Reply = oneshot::Sender<Result<(), Refusal>>;

/// Owns every decision. Lives on a thread of its own.
pub(crate) struct Conductor {
    pub(super) clock: Clock,
    pub(super) board: Arc<Board>,
    pub(super) settings: Arc<Settings>,
    pub(super) parts: Parts,
    pub(super) rhythms: Vec<Rhythm>,
    judgement: Judgement,
    journal: Journal,
    numbering: Numbering,
    inbox: UnboundedReceiver<Request>,
    own_inbox: UnboundedSender<Request>,
    /// States that users would be exposed by, until they are on the disk.
    pending: HashMap<Ticket, (Arc<str>, Timestamp, ServiceState)>,
    /// Commands that are answered when their record is on the disk; whether they were carried out
    /// without it.
    waiting: HashMap<Ticket, (Reply, bool)>,
    /// Labels on their way to the disk.
    labels: HashSet<Ticket>,
    /// Corrections so far: they have tickets of their own, from the end of all numbers.
    corrections: u64,
    /// None where nothing is learned: a person put a model there, or no thread could be started.
    teacher: Option<Teacher>,
}

/// What a conductor begins with.
pub(crate) struct Beginning {
    pub(crate) clock: Clock,
    pub(crate) board: Arc<Board>,
    pub(crate) parts: Parts,
    pub(crate) journal: Journal,
    /// None if the journal cannot be read.
    pub(crate) restored: Option<Restored>,
    pub(crate) inbox: UnboundedReceiver<Request>,
    pub(crate) own_inbox: UnboundedSender<Request>,
}

impl Conductor {
    /// Publishes the first table: the weights that the journal vouches for, and no others.
    pub(crate) fn begin(beginning: Beginning) -> Conductor {
        let Beginning { clock, board, parts, journal, restored, inbox, own_inbox } = beginning;
        let settings = board.settings.load_full();
        let Loaded { predictor, model, roster } = super::model::load(&settings.server.state_dir);
        let states = restored.as_ref().map(Restored::states).unwrap_or_default();
        let now = clock.now();
        let (judgement, outputs) = Judgement::begin(now, settings.plan(), states, predictor);
        let mut conductor = Conductor {
            rhythms: Rhythm::of(&settings, &[], Instant::now()),
            numbering: Numbering::after(restored.as_ref().map_or(0, |restored| restored.last_id)),
            clock,
            board,
            settings,
            parts,
            judgement,
            journal,
            inbox,
            own_inbox,
            pending: HashMap::new(),
            waiting: HashMap::new(),
            labels: HashSet::new(),
            corrections: 0,
            teacher: None,
        };
        let roster = roster.filter(|_| conductor.settings.learning.enabled);
        conductor.teacher = roster.and_then(|roster| conductor.teach(roster));
        if restored.is_some() {
            conductor.remember_events();
        }
        conductor.introduce(model);
        conductor.carry_out(now, outputs);
        conductor.show();
        conductor
    }

    /// Runs until it is told to stop. Dropping the conductor then writes what is queued, and ends the
    /// probes: not within a runtime.
    pub(crate) async fn run(&mut self) {
        let mut glance = interval(GLANCE_EVERY);
        glance.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                request = self.inbox.recv() => match request {
                    None | Some(Request::Stop) => break,
                    Some(request) => self.answer(request),
                },
                _ = glance.tick() => {
                    if !self.look() {
                        continue;
                    }
                }
            }
            self.show();
        }
    }

    /// Looks at every service whose time has come; says whether anything may have changed.
    fn look(&mut self) -> bool {
        let now = Instant::now();
        let Parts { data_path, .. } = &self.parts;
        let due: Vec<usize> = (0..self.rhythms.len())
            .filter(|at| {
                let rhythm = &self.rhythms[*at];
                rhythm.is_due(now, || data_path.failures_since_drain(&rhythm.service))
            })
            .collect();
        if due.is_empty() {
            let steps = self.judgement.is_step_due(self.clock.now());
            if steps {
                self.tell(Input::Tick);
            }
            return steps;
        }
        let mut used = (**self.board.resources.load()).clone();
        let mut looked_at = Vec::new();
        for at in due {
            let span_ms = self.rhythms[at].mark(now);
            let service = self.rhythms[at].service.clone();
            let Parts { data_path, scheduler, resources, .. } = &self.parts;
            let tick = looking::gather(&service, span_ms, data_path, scheduler, resources);
            used.insert(service.clone(), tick.resources);
            let done = done_in(&tick);
            self.tell(Input::Observed { service: service.clone(), tick });
            looked_at.push((service, done));
        }
        self.board.resources.store(Arc::new(used));
        self.tell(Input::Tick);
        let status = self.judgement.status().unwrap_or_default();
        for (service, done) in looked_at {
            let of_service = status.iter().find(|status| status.name == service);
            if let Some(status) = of_service.filter(|status| status.canary.is_some()) {
                self.board.past.add(&service, Moment::of(self.clock.now(), done, status));
            }
        }
        true
    }

    fn answer(&mut self, request: Request) {
        match request {
            Request::Command { service, command, reply } => self.command(&service, command, reply),
            Request::Label { correction, reply } => self.label(correction, reply),
            Request::Learned(news, report) => self.learned(news, report),
            Request::Serve => self.parts.acme.apply(&self.settings),
            Request::Renew { name, reply } => {
                // Whoever asked may have gone.
                let _ = reply.send(self.parts.acme.renew(&name));
            }
            Request::Reload => self.reload(),
            Request::Journal(Answer::Durable(ticket)) => {
                if let Some((service, at, state)) = self.pending.remove(&ticket) {
                    self.judgement.happened(&service, at, &state);
                }
                self.tell(Input::Durable(ticket));
                if self.labels.remove(&ticket)
                    && let Some(teacher) = &self.teacher
                {
                    teacher.wake();
                }
                self.show();
                if let Some((reply, _)) = self.waiting.remove(&ticket) {
                    // Whoever asked may have gone.
                    let _ = reply.send(Ok(()));
                }
            }
            Request::Journal(Answer::NotDurable(ticket)) => {
                self.pending.remove(&ticket);
                self.labels.remove(&ticket);
                self.tell(Input::NotDurable(ticket));
                if let Some((reply, is_done)) = self.waiting.remove(&ticket) {
                    if is_done {
                        let _ = reply.send(Ok(()));
                        return;
                    }
                    let why = match &**self.board.journal.load() {
                        Health::Failing { why, .. } => why.clone(),
                        Health::Working => "the disk is too slow".to_owned(),
                    };
                    let _ = reply.send(Err(Refusal::NotDurable(why)));
                }
            }
            Request::Journal(Answer::Opened(restored)) => self.opened(&restored),
            Request::Stop => {}
        }
    }

    /// The journal of the time before has turned up: go on from what it says.
    fn opened(&mut self, restored: &Restored) {
        self.numbering = Numbering::after(restored.last_id);
        self.remember_events();
        let now = self.clock.now();
        let outputs = self.judgement.restart(now, restored.states());
        self.carry_out(now, outputs);
    }

    /// Starts the thread that learns.
    fn teach(&self, roster: Roster) -> Option<Teacher> {
        let inbox = self.own_inbox.clone();
        let tell = move |news, report| {
            // The loop may have stopped already: then nobody wants to know.
            let _ = inbox.send(Request::Learned(news, report));
        };
        let state_dir = self.settings.server.state_dir.clone();
        Teacher::start(state_dir, roster, tell)
            .inspect_err(|error| tracing::error!(%error, "nothing is learned: no thread"))
            .ok()
    }

    /// Begins or ends to learn, as the configuration says now.
    pub(super) fn learn_as_configured(&mut self) {
        match (self.settings.learning.enabled, self.teacher.is_some()) {
            (false, true) => self.teacher = None,
            (true, false) => {
                let roster = super::model::load(&self.settings.server.state_dir).roster;
                self.teacher = roster.and_then(|roster| self.teach(roster));
            }
            _ => {}
        }
    }

    /// Models whose files are on the disk already.
    fn learned(&mut self, news: Vec<News>, report: Report) {
        for News { kind, text, details, takes_over } in news {
            if let Some(predictor) = takes_over {
                let model = Model { id: Some(predictor.id().to_owned()), trouble: None };
                self.board.model.store(Arc::new(model));
                self.tell(Input::ModelLoaded(Some(predictor)));
            }
            self.note(kind, text, details);
        }
        self.board.learning.store(Arc::new(report));
    }

    /// Writes down what a person says of an episode; answered when it is on the disk.
    fn label(&mut self, correction: Correction, reply: Reply) {
        let record = correction.record(self.clock.now(), self.settings.hash.clone());
        self.notify(record.clone());
        // No controller has a ticket like that.
        let ticket = Ticket::MAX - self.corrections;
        self.corrections += 1;
        self.waiting.insert(ticket, (reply, false));
        self.append(Some(ticket), record);
    }

    fn command(&mut self, service: &str, command: Command, reply: Reply) {
        tracing::info!(service, command = command.as_str(), "asked for by an operator");
        let now = self.clock.now();
        let outputs = match self.judgement.command(now, service, command) {
            Some(Ok(outputs)) => outputs,
            Some(Err(error)) => {
                let _ = reply.send(Err(error.into()));
                return;
            }
            None => {
                let why = self.judgement.trouble().unwrap_or_default();
                let _ = reply.send(Err(Refusal::OutOfOrder(why)));
                return;
            }
        };
        // Also what is done at once is answered when it is written: an abort that was answered is
        // remembered, whatever happens to the process then.
        let waits_for = outputs.iter().find_map(|output| match output {
            Output::Append { ticket, record } => {
                Some((self.judgement.ticket(*ticket), !record.kind.exposes()))
            }
            _ => None,
        });
        match waits_for {
            Some((ticket, is_done)) => {
                self.waiting.insert(ticket, (reply, is_done));
                self.carry_out(now, outputs);
            }
            None => {
                self.carry_out(now, outputs);
                self.show();
                let _ = reply.send(Ok(()));
            }
        }
    }

    pub(super) fn tell(&mut self, input: Input) {
        let now = self.clock.now();
        let outputs = self.judgement.tell(now, input);
        self.carry_out(now, outputs);
    }

    fn carry_out(&mut self, now: Timestamp, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Remember(heard) => self.journal.hear(now, *heard),
                Output::Publish(table) => self.parts.data_path.publish(table),
                Output::Append { ticket, record } => {
                    self.append(Some(self.judgement.ticket(ticket)), *record);
                }
                Output::Notify(record) => self.notify(*record),
                Output::ProbeRate { service, urgency } => {
                    self.parts.scheduler.urgency(&service, pace(urgency));
                }
            }
        }
    }

    /// Writes down and tells something that is no rollout's.
    pub(super) fn note(&mut self, kind: RecordKind, text: String, details: Value) {
        let record = Record {
            at: self.clock.now(),
            kind,
            service: None,
            text,
            state: None,
            evaluation: None,
            details,
            config_hash: self.settings.hash.clone(),
        };
        self.notify(record.clone());
        self.append(None, record);
    }

    fn append(&mut self, ticket: Option<Ticket>, mut record: Record) {
        let id = self.numbering.of(&record);
        if let (Some(service), Some(state)) = (&record.service, &record.state) {
            match ticket {
                Some(ticket) if record.kind.exposes() => {
                    self.pending.insert(ticket, (service.clone(), record.at, state.clone()));
                }
                _ => self.judgement.happened(service, record.at, state),
            }
        }
        if record.kind == RecordKind::EpisodeLabelled {
            self.labels.extend(ticket);
        }
        self.add_thresholds(&mut record);
        let is_queued = self.journal.append(Line { ticket, id, record });
        if let (false, Some(ticket)) = (is_queued, ticket) {
            // The receiver is this very loop: it is there.
            let _ = self.own_inbox.send(Request::Journal(Answer::NotDurable(ticket)));
        }
    }

    fn notify(&mut self, mut record: Record) {
        let id = self.numbering.of(&record);
        self.add_thresholds(&mut record);
        super::announce::log(id, &record);
        // What observe mode would have done did not end a rollout.
        if record.details["observed_only"] != true {
            self.board.count(record.service.as_ref(), record.kind);
        }
        self.board.events.publish(Entry { id, record });
    }

    /// Puts beside a decision what its figures were held against, so that it explains itself later.
    fn add_thresholds(&self, record: &mut Record) {
        let policy = record.service.as_deref().and_then(|name| self.settings.service(name));
        let (Some(service), Some(_)) = (policy, &record.evaluation) else { return };
        if record.details.is_null() {
            record.details = json!({});
        }
        if let Some(details) = record.details.as_object_mut() {
            let policy = &service.policy;
            let thresholds = json!({
                "anomaly": policy.anomaly_threshold,
                "rollback": policy.rollback_threshold,
                "resume": policy.resume_threshold,
                "margin": policy.margin,
                "on_anomaly": policy.on_anomaly,
                "withdraw_limit": format!("{} s", policy.withdraw_limit.as_secs_f64()),
                "min_requests": policy.min_requests,
                "mode": policy.mode,
            });
            details.insert("thresholds".to_owned(), thresholds);
        }
    }

    fn introduce(&mut self, model: Model) {
        match (&model.id, &model.trouble) {
            (Some(id), None) => tracing::info!(model = %id, "model in use"),
            (_, Some(why)) => {
                let text = why.clone();
                self.note(RecordKind::ModelRejected, text, json!({ "instead": model.id }));
            }
            (None, None) => {}
        }
        self.board.model.store(Arc::new(model));
    }

    fn remember_events(&self) {
        let selection = Selection { limit: REMEMBERED_EVENTS, ..Selection::default() };
        let directory = &self.settings.server.state_dir;
        match Reader::open(directory).and_then(|reader| reader.list(&selection)) {
            Ok(entries) => self.board.events.remember(entries),
            Err(error) => tracing::warn!(%error, "the event stream begins empty"),
        }
    }

    pub(super) fn show(&self) {
        if let Some(status) = self.judgement.status() {
            let judged =
                |name: &str| status.iter().any(|service| service.watched && *service.name == *name);
            self.parts.data_path.mirror(judged);
            self.board.services.store(Arc::new(status));
        }
        self.board.judgement.store(Arc::new(self.judgement.trouble()));
    }
}

/// The probes' word for it.
pub(crate) fn pace(urgency: Urgency) -> serinus_probes::Urgency {
    match urgency {
        Urgency::Routine => serinus_probes::Urgency::Routine,
        Urgency::Raised => serinus_probes::Urgency::Raised,
        Urgency::Suspicion => serinus_probes::Urgency::Suspicion,
    }
}
