//! Every probe, forever, against both variants.

use crate::browser::{AT_ONCE, NotRun};
use crate::inputs::Inputs;
use crate::pace::{Cadence, Due, Pace, Urgency};
use crate::plan::{Pool, ServiceProbes};
use crate::run::{ProbeRun, RunContext, StepRun, run_probe, try_probe};
use crate::sameness::{Finding, first_difference, judge};
use crate::target::Target;
use serinus_config::{ProbeDefinition, SideEffect};
use serinus_models::{Outcome, Pair, ProbeRound};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// Rounds kept for a drain that does not come; the oldest go first.
const MOST_KEPT: usize = 4096;

/// A finished round, for metrics and logs.
#[derive(Debug, Clone)]
pub struct Round {
    /// The service's name.
    pub service: Arc<str>,
    /// The probe's name.
    pub probe: Arc<str>,
    /// Nobody wrote it: it asks whether there is an answer, and no more.
    pub plain: bool,
    /// Rounds left out before this one, because the one before took longer than the interval.
    pub left_out: u64,
    /// How much later than due it began.
    pub lag: Duration,
    /// What came of it.
    pub runs: Runs,
}

/// The runs of one round.
#[derive(Debug, Clone)]
pub enum Runs {
    /// There is no canary: nothing to compare, nothing for the evaluation.
    StableOnly(ProbeRun),
    /// At the same moment, in random order, with the same inputs.
    Both(Pair<ProbeRun>),
    /// It did not take place: there is no browser for it. Nothing is known, and nothing has failed.
    NotRun(NotRun),
    /// It did not take place: too many others were going on.
    Crowded,
}

impl Runs {
    /// Each run with its variant's name, `stable` or `canary`.
    pub fn each(&self) -> impl Iterator<Item = (&'static str, &ProbeRun)> {
        let (stable, canary) = match self {
            Runs::StableOnly(run) => (Some(run), None),
            Runs::Both(pair) => (Some(&pair.stable), Some(&pair.canary)),
            Runs::NotRun(_) | Runs::Crowded => (None, None),
        };
        let stable = stable.map(|run| ("stable", run));
        stable.into_iter().chain(canary.map(|run| ("canary", run)))
    }
}

/// What is called with every round that ended or found no place, on the probe's own task: keep it short.
pub type RoundHook = Arc<dyn Fn(&Round) + Send + Sync>;

/// Owns the probe tasks; dropping it ends them. Its methods belong to one owner, its tasks run on the
/// runtime that calls [`Scheduler::apply`].
pub struct Scheduler {
    services: HashMap<Arc<str>, Service>,
    generator: fastrand::Rng,
    /// Where in its interval the next new probe begins.
    offset: f64,
    hook: RoundHook,
    /// One for each round that may go on, and how many there are.
    places: (usize, Arc<Semaphore>),
}

struct Service {
    shared: Arc<Shared>,
    urgency: watch::Sender<Urgency>,
    tasks: HashMap<Arc<str>, Task>,
}

struct Task {
    definition: Definition,
    /// Holds the one task of the probe, and ends it when dropped.
    _running: JoinSet<()>,
}

/// A definition and when it runs.
#[derive(Clone)]
struct Definition {
    probe: Arc<ProbeDefinition>,
    /// Only where evidence is wanted.
    plain: bool,
}

impl PartialEq for Definition {
    /// Patterns have no equality of their own, and `Debug` shows every field as written.
    fn eq(&self, other: &Definition) -> bool {
        self.plain == other.plain
            && (Arc::ptr_eq(&self.probe, &other.probe)
                || format!("{:?}", self.probe) == format!("{:?}", other.probe))
    }
}

/// What the tasks of a service share with the scheduler.
struct Shared {
    service: Arc<str>,
    aim: Mutex<Arc<Aim>>,
    finished: Mutex<VecDeque<ProbeRound>>,
    hook: RoundHook,
}

/// Where rounds go now.
struct Aim {
    stable: Pool,
    canary: Option<Pool>,
    inputs: Inputs,
    places: Arc<Semaphore>,
}

impl Scheduler {
    /// A scheduler without probes. `seed` decides offsets, jitter, order and inputs.
    pub fn new(seed: u64, hook: RoundHook) -> Scheduler {
        let mut generator = fastrand::Rng::with_seed(seed);
        let offset = generator.f64();
        let places = (0, Arc::new(Semaphore::new(0)));
        Scheduler { services: HashMap::new(), generator, offset, hook, places }
    }

    /// Runs these services' probes and no others. A probe that is defined as before goes on
    /// undisturbed, with the new endpoints from its next round on. Rounds of another pair of versions or
    /// endpoints are forgotten. Call it within a tokio runtime.
    pub fn apply(&mut self, services: &[ServiceProbes], inputs: impl Into<Inputs>) {
        let inputs: Inputs = inputs.into();
        if self.places.0 != inputs.concurrency {
            self.places = (inputs.concurrency, Arc::new(Semaphore::new(inputs.concurrency)));
        }
        self.services.retain(|name, _| services.iter().any(|wanted| wanted.service == *name));
        for wanted in services {
            let aim = Aim {
                stable: wanted.stable.clone(),
                canary: wanted.canary.clone(),
                inputs: inputs.clone(),
                places: self.places.1.clone(),
            };
            let mut service = match self.services.remove(&wanted.service) {
                Some(service) => {
                    service.shared.aim_at(aim);
                    service
                }
                None => Service {
                    shared: Arc::new(Shared {
                        service: wanted.service.clone(),
                        aim: Mutex::new(Arc::new(aim)),
                        finished: Mutex::default(),
                        hook: self.hook.clone(),
                    }),
                    urgency: watch::Sender::new(Urgency::Routine),
                    tasks: HashMap::new(),
                },
            };
            let mut before = std::mem::take(&mut service.tasks);
            for definition in definitions(wanted) {
                let name = definition.probe.name.clone();
                let task = before
                    .remove(&name)
                    .filter(|task| task.definition == definition)
                    .unwrap_or_else(|| self.start(definition, &service));
                service.tasks.insert(name, task);
            }
            self.services.insert(wanted.service.clone(), service);
        }
    }

    /// From now on, probe this service at this urgency. Unknown services are ignored: a reload may
    /// have removed them.
    pub fn urgency(&self, service: &str, urgency: Urgency) {
        if let Some(service) = self.services.get(service) {
            service.urgency.send_if_modified(|now| std::mem::replace(now, urgency) != urgency);
        }
    }

    /// Rounds against both variants that ended since the last drain, in the order in which they ended.
    pub fn drain(&self, service: &str) -> Vec<ProbeRound> {
        let service = self.services.get(service);
        service
            .map(|service| lock(&service.shared.finished).drain(..).collect())
            .unwrap_or_default()
    }

    fn start(&mut self, definition: Definition, service: &Service) -> Task {
        // Steps of the golden ratio spread any number of probes evenly over the interval.
        const GOLDEN: f64 = 0.618_033_988_749_895;
        self.offset = (self.offset + GOLDEN).fract();
        let offset = self.offset;
        let cadence = Cadence::of(&definition.probe, definition.plain);
        let mut pace =
            Pace::new(cadence, offset, self.generator.fork(), service.urgency.subscribe());
        let mut generator = self.generator.fork();
        // Which endpoint comes first differs from probe to probe.
        let mut turn = generator.usize(..1 << 16);
        let shared = service.shared.clone();
        let what = definition.clone();
        let mut running = JoinSet::new();
        running.spawn(async move {
            while let Some(due) = pace.next().await {
                if shared.round(&what, turn, due, &mut generator).await {
                    turn = turn.wrapping_add(1);
                } else {
                    shared.crowded(&what, due);
                }
            }
        });
        Task { definition, _running: running }
    }
}

/// What runs for a service: its probes, and the plain one.
fn definitions(service: &ServiceProbes) -> impl Iterator<Item = Definition> {
    let probes =
        service.probes.iter().map(|probe| Definition { probe: probe.clone(), plain: false });
    probes.chain(service.plain.iter().map(|probe| Definition { probe: probe.clone(), plain: true }))
}

impl Shared {
    fn aim_at(&self, aim: Aim) {
        let mut now = lock(&self.aim);
        if now.stable != aim.stable || now.canary != aim.canary {
            lock(&self.finished).clear();
        }
        *now = Arc::new(aim);
    }

    /// One round, from both requests going out to both results being kept. False where there was no place
    /// for it: what waits for long says nothing of the moment for which it was meant, and holds up others.
    async fn round(
        &self,
        definition: &Definition,
        turn: usize,
        due: Due,
        generator: &mut fastrand::Rng,
    ) -> bool {
        let (probe, plain) = (&definition.probe, definition.plain);
        let aim = lock(&self.aim).clone();
        let Ok(Ok(_place)) = timeout(due.patience, aim.places.acquire()).await else {
            return false;
        };
        let browsers = &aim.inputs.browsers.places;
        let _browsers = match probe.browser.is_some() {
            true => match timeout(due.patience, browsers.acquire_many(AT_ONCE)).await {
                Ok(Ok(places)) => Some(places),
                _ => return false,
            },
            false => None,
        };
        let lag = Instant::now().saturating_duration_since(due.at);
        let Some(stable) = aim.stable.turn(turn) else { return true };
        let canary = aim.canary.as_ref().and_then(|pool| pool.turn(turn));
        let seed = generator.u64(..);
        // Tasks of their own: run at the same time, and a panic in one costs this round alone.
        let mut tasks = JoinSet::new();
        let mut launch = |canary: bool, target: &Target| {
            let (probe, target) = (probe.clone(), target.clone());
            let context = RunContext::of(seed, &aim.inputs, &probe.name, turn);
            tasks.spawn(async move { (canary, try_probe(&probe, &target, &context).await) });
        };
        let mut targets: Vec<(bool, &Target)> =
            [(false, stable)].into_iter().chain(canary.map(|target| (true, target))).collect();
        generator.shuffle(&mut targets);
        targets.into_iter().for_each(|(canary, target)| launch(canary, target));
        let mut runs: Pair<Option<ProbeRun>> = Pair { stable: None, canary: None };
        let mut not_run = None;
        while let Some(ended) = tasks.join_next().await {
            match ended {
                Ok((false, Ok(run))) => runs.stable = Some(run),
                Ok((true, Ok(run))) => runs.canary = Some(run),
                Ok((_, Err(why))) => not_run = Some(why),
                Err(error) => tracing::error!(probe = &*probe.name, %error, "a probe run was lost"),
            }
        }
        let runs = match (runs.stable, runs.canary, canary.is_some()) {
            (Some(of_stable), Some(mut of_canary), _) => {
                let repeatable = probe.side_effect != SideEffect::Charges;
                let difference = first_difference(&of_stable, &of_canary);
                if let Some(step) = difference.filter(|_| repeatable) {
                    let context = RunContext::of(seed, &aim.inputs, &probe.name, turn);
                    let again = run_probe(probe, stable, &context).await;
                    if let Finding::Noise(step) = judge(step, &of_stable, &again, &mut of_canary) {
                        let (probe, step) = (&*probe.name, step + 1);
                        tracing::warn!(
                            probe,
                            step,
                            "stable does not say the same twice: nothing is concluded; add what may differ to same_as_stable"
                        );
                    }
                }
                Runs::Both(Pair { stable: of_stable, canary: of_canary })
            }
            (Some(stable), None, false) => Runs::StableOnly(stable),
            // Half a pair says nothing about the difference.
            _ => match not_run {
                Some(why) => Runs::NotRun(why),
                None => return true,
            },
        };
        // A route that answers no GET on either side (one of gRPC, say) is not failing.
        let not_for_it = |pair: &Pair<ProbeRun>| {
            plain
                && [&pair.stable, &pair.canary]
                    .iter()
                    .all(|run| run.result().outcome != Outcome::Ok)
        };
        if let Runs::Both(pair) = &runs
            && !not_for_it(pair)
            && !is_mistaken(pair)
        {
            self.keep(
                &aim,
                ProbeRound {
                    probe: probe.name.clone(),
                    results: Pair { stable: pair.stable.result(), canary: pair.canary.result() },
                    steps: steps_of(pair),
                    plain,
                },
            );
        }
        (self.hook)(&Round {
            service: self.service.clone(),
            probe: probe.name.clone(),
            plain,
            left_out: due.left_out,
            lag,
            runs,
        });
        true
    }

    /// Tells of a round that found no place at once: one that never finds any would be told of never.
    fn crowded(&self, definition: &Definition, due: Due) {
        (self.hook)(&Round {
            service: self.service.clone(),
            probe: definition.probe.name.clone(),
            plain: definition.plain,
            left_out: due.left_out,
            lag: Duration::ZERO,
            runs: Runs::Crowded,
        });
    }

    /// Keeps a round for the drain, if it was aimed at what is there now.
    fn keep(&self, aim: &Aim, round: ProbeRound) {
        let now = lock(&self.aim);
        if now.stable != aim.stable || now.canary != aim.canary {
            return;
        }
        let mut finished = lock(&self.finished);
        if finished.len() == MOST_KEPT {
            finished.pop_front();
        }
        finished.push_back(round);
    }
}

/// Whether both sides answered, in the same step, what the probe does not expect: it is out of date, or its
/// inputs are wrong. An outage shows as errors, broken connections and silence; this says nothing of the
/// difference, and counted as failures of stable it would hide those of the canary that other probes see.
fn is_mistaken(pair: &Pair<ProbeRun>) -> bool {
    let failed = |run: &ProbeRun| run.steps.iter().position(|step| step.outcome != Outcome::Ok);
    [&pair.stable, &pair.canary].iter().all(|run| run.outcome == Outcome::Assertion)
        && failed(&pair.stable) == failed(&pair.canary)
}

/// The time of each step, where all of them ended well on both sides: only then it is the same work.
fn steps_of(pair: &Pair<ProbeRun>) -> Vec<Pair<u64>> {
    let Pair { stable, canary } = pair;
    if stable.outcome != Outcome::Ok || canary.outcome != Outcome::Ok {
        return Vec::new();
    }
    let micros = |step: &StepRun| u64::try_from(step.phases.latency().as_micros()).unwrap_or(0);
    let steps = stable.steps.iter().zip(&canary.steps);
    steps.map(|(stable, canary)| Pair { stable: micros(stable), canary: micros(canary) }).collect()
}

impl Pool {
    fn turn(&self, turn: usize) -> Option<&Target> {
        self.targets.get(turn.checked_rem(self.targets.len())?)
    }
}

/// Nothing that is done under these locks can leave them half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
