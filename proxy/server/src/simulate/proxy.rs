//! A proxy under virtual time: the controller that serves traffic, in front of the simulated world.
//!
//! The same rules as in the real control loop: a glance every 100 ms, a look after the evaluation
//! interval or when something fails, probes at the pace that the controller asks for, changes that
//! expose users published when they are on the disk (which is quick here). Where nothing can happen
//! between two looks the glances are left out: see [`Proxy::span`].

use super::gathering::Gathering;
use super::ledger::{Ledger, Outcome};
use super::policy::Conduct;
use crate::control::looking::{GLANCE_EVERY, is_due};
use crate::control::pace;
use serinus_models::world::{ProbeRates, Scenario, ServiceShape, World};
use serinus_models::{Episode, Exposure, Label, Predictor, Timestamp};
use serinus_probes::Cadence;
use serinus_rollout::{
    Command, Controller, Input, Output, Plan, Record, RecordKind, RolloutPolicy, Urgency,
};
use serinus_routing::Weight;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// When the simulated world begins: any time will do.
const EPOCH: Timestamp = Timestamp(1_700_000_000_000);
/// The name of the simulated service.
const SERVICE: &str = "simulated";
/// Failures of both variants per second from which on an early look is likely.
const RESTLESS: f64 = 10.0;
/// Glances are taken one by one for so long after a fault begins or users come and go ...
const RESTLESS_FOR: Duration = Duration::from_secs(30);
/// ... and after a look that saw many failures.
const RESTLESS_AFTER: Duration = Duration::from_secs(5);

/// One release behind one proxy.
#[derive(Clone)]
pub(super) struct Proxy {
    controller: Controller,
    plan: Plan,
    world: World,
    lasts: Duration,
    cadences: Vec<Cadence>,
    conduct: Conduct,
    weight: Weight,
    urgency: Urgency,
    seen: Gathering,
    last_look: Duration,
    restless_until: Duration,
    anomaly_since: Option<Duration>,
    first_alarm: Option<Duration>,
    label: Option<Label>,
    episodes: Vec<Episode>,
    taken_back: Option<TakenBack>,
    ledger: Ledger,
}

/// How a release was taken back.
#[derive(Debug, Clone)]
pub(super) struct TakenBack {
    /// Since the first alarm.
    pub(super) after: Duration,
    /// `forecast`, or the reason that the record gives: `repeated`, `unresolved`.
    pub(super) by: String,
    /// What the model said then, 0 to 1.
    pub(super) forecast: Option<f64>,
}

impl Proxy {
    /// Deploys the release of this scenario and seed.
    ///
    /// # Errors
    /// The configuration that the product's defaults come from is refused: a bug.
    pub(super) fn deploy(
        scenario: &Scenario,
        seed: u64,
        predictor: Option<Arc<Predictor>>,
        conduct: Conduct,
    ) -> anyhow::Result<Proxy> {
        let world = World::of_scenario(scenario, seed);
        let lasts = scenario.lasts();
        let plan = plan(world.service(), scenario)?;
        let model = predictor.filter(|_| conduct.predictor);
        let set = conduct.set(&plan);
        let (controller, outputs) = Controller::new(EPOCH, set, Vec::new(), model);
        let mut proxy = Proxy {
            controller,
            plan,
            lasts,
            cadences: cadences(world.service()),
            conduct,
            weight: Weight::ZERO,
            urgency: Urgency::Routine,
            seen: Gathering::default(),
            last_look: Duration::ZERO,
            restless_until: Duration::ZERO,
            anomaly_since: None,
            first_alarm: None,
            label: None,
            episodes: Vec::new(),
            taken_back: None,
            ledger: Ledger::of(&world),
            world,
        };
        proxy.carry_out(outputs);
        Ok(proxy)
    }

    /// From now on acts like this: a reload, and if need be the model is taken away. What was seen stays.
    pub(super) fn turn_to(&mut self, conduct: Conduct) {
        self.conduct = conduct;
        if !conduct.predictor {
            self.tell(Input::ModelLoaded(None));
        }
        let plan = conduct.set(&self.plan);
        self.tell(Input::ConfigChanged(plan));
    }

    /// Time since the deployment.
    pub(super) fn elapsed(&self) -> Duration {
        self.world.elapsed()
    }

    /// How urgently probes run now.
    #[cfg(test)]
    pub(super) fn probes_at(&self) -> Urgency {
        self.urgency
    }

    /// Whether there was an alarm.
    pub(super) fn has_alarmed(&self) -> bool {
        self.first_alarm.is_some()
    }

    /// When the first alarm was.
    pub(super) fn first_alarm(&self) -> Option<Duration> {
        self.first_alarm
    }

    /// Episodes whose label is known.
    pub(super) fn episodes(&self) -> &[Episode] {
        &self.episodes
    }

    /// How the release was taken back, if it was.
    pub(super) fn taken_back(&self) -> Option<&TakenBack> {
        self.taken_back.as_ref()
    }

    /// Whether nothing that matters can happen any more.
    pub(super) fn is_over(&self) -> bool {
        let settled = self.ledger.is_rolled_back() && (self.label.is_some() || self.is_told_to());
        settled || self.elapsed() >= self.lasts
    }

    /// Whether somebody else decides, who asks for no label.
    fn is_told_to(&self) -> bool {
        self.conduct.abort_after.is_some()
    }

    /// Lets time pass up to the next glance or look.
    pub(super) fn step(&mut self) {
        let exposure = Exposure { weight: self.weight.ratio(), withdrawn: false };
        let tick = self.world.tick(self.span(), exposure, self.probe_rates());
        self.seen.add(tick);
        self.ledger.passed(&self.world, self.weight.is_zero());
        let since_look = self.elapsed() - self.last_look;
        if is_due(since_look, self.interval(), || self.seen.failures()) {
            self.look(since_look);
        }
    }

    /// How the release ended.
    pub(super) fn outcome(&self) -> Outcome {
        self.ledger.close(&self.world, self.weight.is_zero(), true, self.label)
    }

    fn interval(&self) -> Duration {
        self.plan.services[0].policy.evaluation_interval
    }

    /// To the next glance where an early look may come; to the next look elsewhere. A span never
    /// reaches over the begin or end of a fault. What it is does not depend on what happens in it.
    fn span(&self) -> Duration {
        let now = self.elapsed();
        let (begins, ends) = match self.world.fault() {
            Some((begins, ends)) => (Some(begins), ends),
            None => (None, None),
        };
        let fault_is_new =
            begins.is_some_and(|begins| begins <= now && now < begins + RESTLESS_FOR);
        let restless = now < self.restless_until || (fault_is_new && !self.weight.is_zero());
        let next = if restless { GLANCE_EVERY } else { self.last_look + self.interval() - now };
        let turns = [begins, ends, Some(self.lasts)].into_iter().flatten();
        let ahead = turns.filter(|turn| *turn > now).map(|turn| turn - now);
        // The world counts milliseconds.
        ahead.fold(next, Duration::min).max(Duration::from_millis(1))
    }

    fn look(&mut self, since_look: Duration) {
        let now = self.elapsed();
        if self.seen.failures() as f64 >= RESTLESS * since_look.as_secs_f64().max(0.1) {
            self.restless_until = self.restless_until.max(now + RESTLESS_AFTER);
        }
        let tick = self.seen.take(since_look);
        self.last_look = now;
        self.tell(Input::Observed { service: SERVICE.into(), tick });
        self.tell(Input::Tick);
        let is_due = |patience| {
            self.anomaly_since.is_some_and(|since| now >= since + patience)
                && !self.ledger.is_rolled_back()
        };
        if self.conduct.abort_after.is_some_and(is_due)
            && let Ok(outputs) = self.controller.command(self.now(), SERVICE, Command::Abort)
        {
            self.carry_out(outputs);
        }
    }

    /// As the scheduler would run the probes.
    fn probe_rates(&self) -> ProbeRates {
        let urgency = pace(self.urgency);
        let rounds = |cadence: &Cadence| cadence.at(urgency).map(|at| 1.0 / at.as_secs_f64());
        ProbeRates {
            own: self.cadences.iter().filter_map(rounds).sum(),
            plain: rounds(&Cadence::PLAIN).unwrap_or(0.0),
        }
    }

    fn now(&self) -> Timestamp {
        EPOCH + self.elapsed()
    }

    fn tell(&mut self, input: Input) {
        let outputs = self.controller.handle(self.now(), input);
        self.carry_out(outputs);
    }

    fn carry_out(&mut self, outputs: Vec<Output>) {
        // Told when all else is done: what it brings about comes after what was decided before it.
        let mut durable = Vec::new();
        for output in outputs {
            match output {
                // A simulated release is not judged again.
                Output::Remember(_) => {}
                Output::Publish(table) => {
                    let weight = table.services()[0].weight;
                    if weight != self.weight {
                        self.restless_until = self.elapsed() + RESTLESS_FOR;
                    }
                    self.weight = weight;
                }
                Output::Append { ticket, .. } => durable.push(ticket),
                Output::Notify(record) => self.note(&record),
                Output::ProbeRate { urgency, .. } => self.urgency = urgency,
            }
        }
        for ticket in durable {
            self.tell(Input::Durable(ticket));
        }
    }

    fn note(&mut self, record: &Record) {
        if record.details["observed_only"] == true {
            return;
        }
        match record.kind {
            RecordKind::AnomalyDetected => {
                self.anomaly_since = Some(self.elapsed());
                self.first_alarm.get_or_insert(self.elapsed());
            }
            RecordKind::AnomalyCleared => self.anomaly_since = None,
            RecordKind::Withdrawn => self.ledger.withdraw(&self.world),
            RecordKind::RolledBack | RecordKind::Aborted => {
                let after = self.elapsed().saturating_sub(self.first_alarm.unwrap_or_default());
                let said = record.evaluation.as_ref();
                self.taken_back.get_or_insert_with(|| TakenBack {
                    after,
                    by: record.details["reason"].as_str().unwrap_or("forecast").to_owned(),
                    forecast: said.and_then(|said| said.failure_probability),
                });
                self.ledger.roll_back(&self.world);
            }
            RecordKind::EpisodeLabelled => {
                let label = serde_json::from_value(record.details["label"].clone()).ok();
                self.label = self.label.or(label);
                self.episodes.extend(serde_json::from_value(record.details.clone()).ok());
            }
            _ => {}
        }
    }
}

impl Conduct {
    /// The plan with this way to act.
    fn set(self, plan: &Plan) -> Plan {
        let mut plan = plan.clone();
        for service in &mut plan.services {
            let RolloutPolicy { on_anomaly, mode, .. } = &mut service.policy;
            (*on_anomaly, *mode) = (self.on_anomaly, self.mode);
        }
        plan
    }
}

/// The product's defaults, with one stage of users at the scenario's canary share that is not over before
/// the scenario is.
fn plan(service: &ServiceShape, scenario: &Scenario) -> anyhow::Result<Plan> {
    // The product's default: where probes watch, nobody is exposed for the first minute.
    let first = if service.probe_rate > 0.0 { r#"{ weight = 0, hold = "1m" }, "# } else { "" };
    let margin = scenario.margin().map_or_else(String::new, |margin| format!("margin = {margin}"));
    let text = format!(
        r#"
        [listener.web]
        address = "127.0.0.1:0"
        [route.{SERVICE}]
        service = "{SERVICE}"
        [service.{SERVICE}.stable]
        version = "1.0"
        endpoints = ["127.0.0.1:1"]
        [service.{SERVICE}.canary]
        version = "2.0"
        endpoints = ["127.0.0.1:2"]
        [service.{SERVICE}.rollout]
        stages = [{first}{{ weight = {}, hold = "{}s" }}]
        {margin}
        "#,
        weight(service).percent(),
        scenario.lasts().as_secs() + 1,
    );
    let settings = serinus_config::parse(&text, Path::new("simulated.toml"))?;
    let mut plan = settings.plan();
    for planned in &mut plan.services {
        planned.probed = service.probe_rate > 0.0;
    }
    Ok(plan)
}

/// The scenario's canary share in the steps that a weight has; never nobody.
pub(super) fn weight(service: &ServiceShape) -> Weight {
    let hundredths = (service.weight * 10_000.0).round().clamp(1.0, 10_000.0);
    Weight::from_percent(hundredths / 100.0).unwrap_or(Weight::FULL)
}

/// When the service's own probes run.
fn cadences(service: &ServiceShape) -> Vec<Cadence> {
    if service.probe_rate <= 0.0 {
        return vec![];
    }
    let probes = service.probes.len();
    let interval = Duration::from_secs_f64(probes as f64 / service.probe_rate);
    vec![Cadence::every(interval); probes]
}
