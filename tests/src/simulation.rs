//! The controller under virtual time: a journal that fails and lags, crashes, reloads, operators.
//!
//! After every answer of the controller a shadow model checks the invariants of the architecture
//! (README, "Invariants"): it knows what is on the disk, what is published and what was taken back,
//! and nothing of how the controller decides.

use serinus_models::{Predictor, ServiceTick, Timestamp};
use serinus_rollout::{
    Command, Controller, Heard, Input, Output, Phase, Plan, Record, RecordKind, RolloutPolicy,
    ServicePlan, ServiceState, ServiceStatus, Ticket, Urgency,
};
use serinus_routing::{
    Conditions, PathMatch, Pool, RouteSpec, RouteTable, Service, ServiceIndex, Sticky, Target,
    Weight,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// When the simulated world begins: any time will do.
const EPOCH: Timestamp = Timestamp(1_700_000_000_000);

/// A service of the simulated configuration.
#[derive(Debug, Clone)]
pub struct SimulatedService {
    /// Its name.
    pub name: &'static str,
    /// The version on trial, if any.
    pub canary: Option<&'static str>,
    /// How it is rolled out.
    pub policy: RolloutPolicy,
}

/// A plan of these services with one route each.
pub fn plan(services: &[SimulatedService]) -> Plan {
    let pool = |version: &str| Pool {
        version: version.into(),
        endpoints: [Arc::from("127.0.0.1:1")].into(),
    };
    let routes: Vec<RouteSpec> = services
        .iter()
        .enumerate()
        .map(|(at, service)| RouteSpec {
            name: service.name.into(),
            hosts: vec![format!("{}.test", service.name)],
            path: PathMatch::default(),
            conditions: Conditions::default(),
            target: Target::service(ServiceIndex(at as u32)),
        })
        .collect();
    let table = services
        .iter()
        .map(|service| Service {
            name: service.name.into(),
            stable: pool("1.0"),
            canary: service.canary.map(pool),
            weight: Weight::ZERO,
            sticky: Sticky::Cookie,
            shield: true,
            expose_variant_header: false,
        })
        .collect();
    Plan {
        table: RouteTable::new(&routes, table).expect("one route for each host"),
        services: services
            .iter()
            .enumerate()
            .map(|(at, service)| ServicePlan {
                name: service.name.into(),
                index: ServiceIndex(at as u32),
                stable_version: "1.0".into(),
                canary_version: service.canary.map(Arc::from),
                policy: service.policy.clone(),
                probed: true,
            })
            .collect(),
        config_hash: "simulated".into(),
    }
}

/// A disk that may refuse, and may take its time.
#[derive(Debug, Default)]
struct SimulatedJournal {
    on_disk: Vec<Record>,
    /// Appended and not answered yet, in order.
    queue: VecDeque<(Ticket, Record)>,
}

impl SimulatedJournal {
    /// Where every rollout stands by what was decided last: a record that failed at first may come
    /// to the disk after those that followed it.
    fn states(&self) -> BTreeMap<Arc<str>, ServiceState> {
        let mut records: Vec<&Record> = self.on_disk.iter().collect();
        records.sort_by_key(|record| record.at);
        let with_state = |record: &Record| Some((record.service.clone()?, record.state.clone()?));
        records.into_iter().filter_map(with_state).collect()
    }
}

/// One run of the controller in a simulated world.
#[derive(Debug)]
pub struct Simulation {
    controller: Controller,
    services: Vec<SimulatedService>,
    predictor: Option<Arc<Predictor>>,
    journal: SimulatedJournal,
    published: RouteTable,
    /// Versions that were taken back and not let in again, as far as the disk or memory knows.
    taken_back: BTreeSet<(Arc<str>, Arc<str>)>,
    urgency: BTreeMap<Arc<str>, Urgency>,
    /// Services whose users are on the way back, since when.
    leaving: BTreeMap<Arc<str>, Timestamp>,
    /// Everything that was told to the outside, in order.
    pub told: Vec<Record>,
    /// Everything that the controllers heard, in order.
    pub heard: Vec<(Timestamp, Heard)>,
    now: Timestamp,
}

impl Simulation {
    /// Starts with an empty disk.
    pub fn new(services: Vec<SimulatedService>, predictor: Option<Arc<Predictor>>) -> Self {
        let first = plan(&services);
        let published = first.table.clone();
        let (controller, outputs) = Controller::new(EPOCH, first, Vec::new(), predictor.clone());
        let mut simulation = Simulation {
            controller,
            services,
            predictor,
            journal: SimulatedJournal::default(),
            published,
            taken_back: BTreeSet::new(),
            urgency: BTreeMap::new(),
            leaving: BTreeMap::new(),
            told: Vec::new(),
            heard: Vec::new(),
            now: EPOCH,
        };
        simulation.carry_out(outputs);
        simulation
    }

    /// Seconds since the beginning.
    pub fn elapsed(&self) -> Duration {
        self.now.since(EPOCH)
    }

    /// Lets time pass.
    pub fn pass(&mut self, span: Duration) {
        self.now = self.now + span;
        self.tell(Input::Tick);
        for (name, since) in &self.leaving {
            let service = self.services.iter().find(|service| *service.name == **name);
            let limit = service.map_or(Duration::ZERO, |service| service.policy.ramp_limit);
            assert!(
                self.now.since(*since) < limit.max(span),
                "{name}: users are on the way back for longer than {limit:?}"
            );
        }
    }

    /// Lets time pass between two looks: the controller is told only of a step that is due.
    pub fn glance(&mut self, span: Duration) {
        self.now = self.now + span;
        if self.controller.is_step_due(self.now) {
            self.tell(Input::Tick);
        }
    }

    /// Shows the controller what was seen of a service.
    pub fn observe(&mut self, service: &str, tick: ServiceTick) {
        self.tell(Input::Observed { service: service.into(), tick });
    }

    /// A person asks for something; whether it was accepted.
    pub fn command(&mut self, service: &str, command: Command) -> bool {
        match self.controller.command(self.now, service, command) {
            Ok(outputs) => {
                self.carry_out(outputs);
                true
            }
            Err(_) => false,
        }
    }

    /// A new configuration.
    pub fn reload(&mut self, services: Vec<SimulatedService>) {
        self.services = services;
        self.forget_other_versions();
        let plan = plan(&self.services);
        self.tell(Input::ConfigChanged(plan));
        // With another canary, or none, nobody is left to come back.
        let zero = |name: &Arc<str>| self.weight(name).is_zero();
        let back: Vec<_> = self.leaving.keys().filter(|name| zero(name)).cloned().collect();
        self.leaving.retain(|name, _| !back.contains(name));
    }

    /// Another version is another release: the one taken back before may come again after it.
    fn forget_other_versions(&mut self) {
        let services = &self.services;
        self.taken_back.retain(|(name, version)| {
            let now = services.iter().find(|service| *service.name == **name);
            now.and_then(|service| service.canary).is_none_or(|canary| *canary == **version)
        });
    }

    /// Where users are on the way back by what is on the disk.
    fn leaving_on_disk(&self) -> BTreeMap<Arc<str>, Timestamp> {
        let states = self.journal.states();
        let of_now = |(name, state): (Arc<str>, ServiceState)| {
            let service = self.services.iter().find(|service| *service.name == *name)?;
            let is_same =
                service.canary.is_some() && service.canary == state.canary_version.as_deref();
            state.leaving.filter(|_| is_same).map(|leaving| (name, leaving.since))
        };
        states.into_iter().filter_map(of_now).collect()
    }

    /// The disk answers up to `most` of the waiting records, with success or without.
    pub fn answer(&mut self, most: usize, works: bool) {
        for _ in 0..most {
            let Some((ticket, record)) = self.journal.queue.pop_front() else { return };
            if works {
                self.journal.on_disk.push(record);
                self.tell(Input::Durable(ticket));
            } else {
                self.tell(Input::NotDurable(ticket));
            }
        }
    }

    /// Kill -9 and a new start: of the waiting records the first `reached` made it to the disk.
    pub fn crash(&mut self, reached: usize) {
        // A start takes its time.
        self.now = self.now + Duration::from_millis(1);
        let queue = std::mem::take(&mut self.journal.queue);
        self.journal.on_disk.extend(queue.into_iter().take(reached).map(|(_, record)| record));
        let states = self.journal.states();
        // What was only in memory is lost: the shadow starts again from the disk.
        self.taken_back = states
            .iter()
            .filter(|(_, state)| state.phase == Phase::RolledBack)
            .filter_map(|(name, state)| Some((name.clone(), state.canary_version.clone()?)))
            .collect();
        self.forget_other_versions();
        self.leaving = self.leaving_on_disk();
        let plan = plan(&self.services);
        self.published = plan.table.clone();
        self.urgency.clear();
        let restored = states.into_iter().collect();
        let (controller, outputs) =
            Controller::new(self.now, plan, restored, self.predictor.clone());
        self.controller = controller;
        self.carry_out(outputs);
    }

    /// Every record that came to the disk, in the order in which it came.
    pub fn on_disk(&self) -> &[Record] {
        &self.journal.on_disk
    }

    /// A service as the API shows it.
    pub fn status(&self, service: &str) -> ServiceStatus {
        let status = self.controller.status();
        status.into_iter().find(|status| &*status.name == service).expect("a configured service")
    }

    /// Users sent to the canary by the published table; nobody where the service is not in it.
    pub fn weight(&self, service: &str) -> Weight {
        let index = self.published.service_named(service);
        index.map_or(Weight::ZERO, |index| self.published.service(index).weight)
    }

    /// How often the service's probes should run.
    pub fn urgency(&self, service: &str) -> Urgency {
        self.urgency.get(service).copied().unwrap_or(Urgency::Routine)
    }

    /// How often something was told of a service.
    pub fn count(&self, service: &str, kind: RecordKind) -> usize {
        let of_service = |record: &&Record| record.service.as_deref() == Some(service);
        self.told.iter().filter(of_service).filter(|record| record.kind == kind).count()
    }

    fn tell(&mut self, input: Input) {
        let outputs = self.controller.handle(self.now, input);
        self.carry_out(outputs);
    }

    fn carry_out(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Remember(heard) => self.heard.push((self.now, *heard)),
                Output::Publish(table) => self.publish(table),
                Output::Append { ticket, record } => self.append(ticket, *record),
                Output::Notify(record) => {
                    let is_it = |written: &&Record| {
                        written.kind == record.kind && written.state == record.state
                    };
                    let written = self.journal.on_disk.iter().rfind(is_it);
                    assert!(
                        !record.kind.exposes() || written.is_some(),
                        "another record is told than was written: {}",
                        record.text
                    );
                    self.told.push(*record);
                }
                Output::ProbeRate { service, urgency } => {
                    self.urgency.insert(service, urgency);
                }
            }
        }
        self.check_status();
    }

    fn append(&mut self, ticket: Ticket, record: Record) {
        if let (Some(service), Some(state)) = (&record.service, &record.state) {
            // Brought again after the disk failed, a record may be about a release that is over.
            let is_news = record.at == self.now;
            let protects = matches!(
                record.kind,
                RecordKind::Withdrawn | RecordKind::RolledBack | RecordKind::Aborted
            ) && record.details.get("observed_only").is_none();
            if protects && is_news {
                assert!(
                    self.weight(service).is_zero(),
                    "{service}: {} is written down before it is published",
                    record.kind.as_str()
                );
            }
            if is_news {
                self.follow_the_way_back(service, &record);
            }
            if let Some(version) = state.canary_version.clone().filter(|_| is_news) {
                let release = (service.clone(), version);
                match (record.kind, state.phase) {
                    (RecordKind::RolledBack | RecordKind::Aborted, Phase::RolledBack) => {
                        self.taken_back.insert(release);
                    }
                    (RecordKind::Retried, _) => {
                        self.taken_back.remove(&release);
                    }
                    _ => {}
                }
            }
        }
        self.journal.queue.push_back((ticket, record));
    }

    /// A way back begins with its first step, and ends when nobody is left.
    fn follow_the_way_back(&mut self, service: &Arc<str>, record: &Record) {
        let step = record.kind == RecordKind::Held && record.details["reason"] == "ramp";
        match record.kind {
            _ if step => {
                let begins = record.details["step"] == 1;
                let under_way = self.leaving.contains_key(service);
                assert!(!(begins && under_way), "{service}: begun twice: {}", record.text);
                self.leaving.entry(service.clone()).or_insert(record.at);
            }
            RecordKind::Withdrawn | RecordKind::RolledBack | RecordKind::Aborted => {
                self.leaving.remove(service);
            }
            _ => {}
        }
    }

    fn publish(&mut self, table: RouteTable) {
        let on_disk = self.journal.states();
        for service in table.services() {
            let before = self.weight(&service.name);
            if service.weight <= before {
                continue;
            }
            let back = self.leaving.contains_key(&service.name) && !before.is_zero();
            assert!(
                !back,
                "{}: called back on the way: {before} -> {}",
                service.name, service.weight
            );
            // No more than the disk vouches for; a change that was overtaken on its way to the disk
            // may have left more there than is published.
            let state = on_disk.get(&service.name);
            assert!(
                state.is_some_and(|state| state.weight >= service.weight),
                "{}: users are exposed ({before} -> {}) without a word of it on the disk",
                service.name,
                service.weight
            );
            let version = service.canary.as_ref().map(|pool| pool.version.clone());
            assert_eq!(
                state.and_then(|state| state.canary_version.clone()),
                version,
                "{}: the word on the disk is about another version",
                service.name
            );
        }
        for (name, version) in &self.taken_back {
            let Some(at) = table.service_named(name) else { continue };
            let service = table.service(at);
            if service.canary.as_ref().is_some_and(|canary| canary.version == *version) {
                assert!(
                    service.weight.is_zero(),
                    "{name}: {version} was taken back and is out again"
                );
            }
        }
        self.published = table;
    }

    fn check_status(&self) {
        for status in self.controller.status() {
            let weight = self.weight(&status.name);
            assert_eq!(status.weight, weight, "{}: the API tells another weight", status.name);
            match status.phase {
                Phase::Idle | Phase::RolledBack => assert!(weight.is_zero(), "{}", status.name),
                Phase::Promoted if self.leaving.contains_key(&status.name) => {}
                Phase::Promoted => assert_eq!(weight, Weight::FULL, "{}", status.name),
                Phase::Progressing | Phase::Paused if status.withdrawn => {
                    assert!(weight.is_zero(), "{}: withdrawn at {weight}", status.name);
                }
                Phase::Progressing | Phase::Paused => {}
            }
        }
    }
}
