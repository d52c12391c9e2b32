//! A simulated service with a release on it: what the evaluation would see, second by second.
//!
//! Every [`World`] is drawn from a [`Family`] and a seed, and answers to what is done with it: fewer
//! users on the canary are fewer requests there, raised probe rates are more probe rounds. It is the
//! same for the same seed and the same calls, on every machine.
//!
//! Simplifications, so that nobody takes the world for more than it is: latencies are log-normal,
//! requests are independent of each other, a request that is merely slow is counted in the tick in
//! which it began, and users do not retry.

mod dice;
mod family;
mod fault;
mod harm;
mod probing;
mod scenario;
pub mod seeds;
mod service;

pub use family::Family;
pub use fault::{Course, Effect, Fault, Reach};
pub use harm::{Harm, Severity};
pub use scenario::{Scenario, ScenarioError};
pub use service::ServiceShape;

use crate::latency::{LatencyCounts, bucket_of};
use crate::outcome::Outcome;
use crate::sample::{LiveSample, Pair, ProbeResult, Resources, Sample, ServiceTick};
use crate::settings::Exposure;
use dice::Dice;
use harm::Toll;
use std::sync::Arc;
use std::time::Duration;

/// Age in milliseconds at which a request in flight counts as slow.
const LOOK_OUT_MS: u64 = 1000;
/// What is true of a release, whatever can be seen of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truth {
    /// It has a fault that lasts: it should be rolled back.
    Sustained,
    /// It has a fault that passes: it should stay.
    Transient,
    /// It has no fault of its own.
    Null,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Variant {
    Stable,
    Canary,
}

/// A request that still waits: what will be seen of it, and when.
#[derive(Debug, Clone)]
struct Waiting {
    due_ms: u64,
    route: usize,
    variant: Variant,
    count: u32,
    seen: Seen,
}

#[derive(Debug, Clone, Copy)]
enum Seen {
    /// It has become slow.
    Slow,
    /// Nobody waits for it any longer.
    TimedOut,
}

/// What goes wrong on one route of one variant now.
#[derive(Debug, Clone, Default)]
struct Condition {
    /// The errors that are always there, then those of faults.
    failures: Vec<Failing>,
    hangs: f64,
    slow: Vec<Slow>,
    wrong: f64,
}

#[derive(Debug, Clone, Copy)]
struct Failing {
    share: f64,
    outcome: Outcome,
    /// Because of a fault that stable does not share.
    own: bool,
}

/// What the latency of a share of requests is multiplied by.
#[derive(Debug, Clone, Copy)]
struct Slow {
    share: f64,
    times: f64,
    /// Because of a fault that stable does not share.
    own: bool,
}

/// How many users there are, relative to the mean.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Traffic {
    Steady,
    /// So many times as many while the faults last.
    Spike(f64),
    /// Half more and half less in the course of a day.
    Daily,
}

/// A release under way.
#[derive(Debug, Clone)]
pub struct World {
    truth: Truth,
    service: ServiceShape,
    traffic: Traffic,
    faults: Vec<Fault>,
    dice: Dice,
    now_ms: u64,
    waiting: Vec<Waiting>,
    /// Probe rounds that still run, with the time at which both sides will have ended.
    rounds: Vec<(u64, usize, Pair<ProbeResult>)>,
    /// Rounds that are due, as a fraction.
    due_rounds: f64,
    next_probe: usize,
    /// Growth of the canary's memory since its start, relative to what it was.
    memory_growth: f64,
    /// What little traffic does to the canary's CPU per request: fixed costs shared by few requests,
    /// cold code, readings that fall between them. Nothing to judge a release by.
    cpu_bias: f64,
    toll: Toll,
}

impl World {
    /// A release of this scenario; all its parameters are drawn from `seed`. Its time begins with the
    /// deployment.
    pub fn of_scenario(scenario: &Scenario, seed: u64) -> World {
        World::new(scenario.family, seed)
    }

    /// A release of this family; all its parameters are drawn from `seed`. Its time begins with the
    /// deployment.
    pub fn new(family: Family, seed: u64) -> World {
        // Families of one seed shall not share their draws.
        let mut dice = Dice::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ family as u64);
        let service = ServiceShape::draw(&mut dice);
        World::of_family(service, family, dice)
    }

    /// A release of this family on a given service; its fault and what happens are drawn from `seed`.
    pub fn with_service(service: ServiceShape, family: Family, seed: u64) -> World {
        World::of_family(service, family, Dice::new(seed))
    }

    /// A release with exactly these faults; what happens is drawn from `seed`.
    pub fn with_faults(service: ServiceShape, faults: Vec<Fault>, seed: u64) -> World {
        let own = faults.iter().filter(|fault| fault.reach == Reach::Canary);
        let truth = match own.map(|fault| fault.ends).reduce(f64::max) {
            None => Truth::Null,
            Some(ends) if ends.is_finite() => Truth::Transient,
            Some(_) => Truth::Sustained,
        };
        World::of(service, faults, truth, Traffic::Steady, Dice::new(seed))
    }

    fn of_family(service: ServiceShape, family: Family, mut dice: Dice) -> World {
        let load = service.requests_per_second * service.weight;
        let faults = family.faults(&mut dice, service.routes(), load);
        let traffic = match family {
            Family::TrafficSpike => Traffic::Spike(dice.between(2.0, 5.0)),
            Family::Diurnal => Traffic::Daily,
            _ => Traffic::Steady,
        };
        World::of(service, faults, family.truth(), traffic, dice)
    }

    fn of(
        service: ServiceShape,
        faults: Vec<Fault>,
        truth: Truth,
        traffic: Traffic,
        mut dice: Dice,
    ) -> World {
        World {
            cpu_bias: dice.scale(0.6, 2.5),
            truth,
            service,
            traffic,
            faults,
            now_ms: 0,
            waiting: vec![],
            rounds: vec![],
            due_rounds: 0.0,
            next_probe: 0,
            memory_growth: 0.0,
            toll: Toll::new(dice.apart()),
            dice,
        }
    }

    /// What is true of the release.
    pub fn truth(&self) -> Truth {
        self.truth
    }

    /// The service it is released on.
    pub fn service(&self) -> &ServiceShape {
        &self.service
    }

    /// From when to when after the deployment something is wrong with the canary, or with both; no
    /// end if it lasts, `None` if nothing ever is.
    pub fn fault(&self) -> Option<(Duration, Option<Duration>)> {
        let begins = self.faults.iter().map(|fault| fault.begins).reduce(f64::min)?;
        let ends = self.faults.iter().map(|fault| fault.ends).fold(0.0, f64::max);
        let ends = ends.is_finite().then(|| Duration::from_secs_f64(ends));
        Some((Duration::from_secs_f64(begins), ends))
    }

    /// How bad the fault is while it has its full strength.
    pub fn severity(&self) -> Severity {
        Severity::of(&self.service, &self.faults)
    }

    /// The rates of failed requests of stable and of the canary, where the fault is that every
    /// request has one chance of failing from some moment on, and nothing else.
    pub fn step(&self) -> Option<(f64, f64)> {
        let [Fault { reach: Reach::Canary, course: Course::Constant, route: None, .. }] =
            self.faults[..]
        else {
            return None;
        };
        let Fault { effect, ends, needs_load, .. } = self.faults[0];
        let plain = Effect { failures: 0.0, ..effect }
            == Effect { outcome: effect.outcome, ..Effect::NONE };
        let base = self.service.error_rate;
        let step = plain && ends.is_infinite() && needs_load.is_none();
        step.then_some((base, 1.0 - (1.0 - base) * (1.0 - effect.failures)))
    }

    /// What users have suffered so far.
    pub fn harm(&self) -> Harm {
        self.toll.harm
    }

    /// Time since the deployment.
    pub fn elapsed(&self) -> Duration {
        Duration::from_millis(self.now_ms)
    }

    /// Lets `span` pass and tells what was seen meanwhile. `exposure` holds for the whole span;
    /// `probe_rate` is rounds per second, over all probes (each at most one at a time).
    pub fn tick(&mut self, span: Duration, exposure: Exposure, probe_rate: f64) -> ServiceTick {
        let from = self.now_ms;
        self.now_ms += span.as_millis() as u64;
        let weight = if exposure.withdrawn { 0.0 } else { exposure.weight.clamp(0.0, 1.0) };
        // The middle of the span stands for all of it.
        let at = (from + self.now_ms) as f64 / 2000.0;
        let total = self.service.requests_per_second * self.traffic(at);
        let canary_load = total * weight;

        self.toll.begin(total * span.as_secs_f64(), span.as_secs_f64());
        let mut served = Pair { stable: 0, canary: 0 };
        let mut live = Vec::with_capacity(self.service.routes());
        for route in 0..self.service.routes() {
            let expected = total * self.service.route_shares[route] * span.as_secs_f64();
            let stable =
                self.requests(route, Variant::Stable, expected * (1.0 - weight), at, canary_load);
            let canary = self.requests(route, Variant::Canary, expected * weight, at, canary_load);
            served.stable += stable.outcomes.total();
            served.canary += canary.outcomes.total();
            let seen = |sample: &Sample| sample.outcomes.total() + sample.latency.total() > 0;
            if seen(&stable) || seen(&canary) {
                let name = Arc::clone(&self.service.route_names[route]);
                live.push(LiveSample { route: name, samples: Pair { stable, canary } });
            }
        }
        self.start_probes(from, span, probe_rate, canary_load);
        ServiceTick {
            span_ms: self.now_ms - from,
            live,
            probes: self.finished_probes(),
            resources: self.resources(from, span, served, canary_load),
        }
    }

    /// Traffic relative to its mean.
    fn traffic(&self, at: f64) -> f64 {
        match self.traffic {
            Traffic::Steady => 1.0,
            Traffic::Spike(times) => {
                let spike = self.faults.iter().any(|fault| fault.strength(at, 0.0) > 0.0);
                if spike { times } else { 1.0 }
            }
            Traffic::Daily => 1.0 + 0.5 * libm::sin(at / 86_400.0 * std::f64::consts::TAU),
        }
    }

    fn condition(&self, route: usize, variant: Variant, at: f64, canary_load: f64) -> Condition {
        let mut condition = Condition {
            failures: vec![Failing {
                share: self.service.error_rate,
                outcome: Outcome::ServerError,
                own: false,
            }],
            ..Condition::default()
        };
        for fault in &self.faults {
            let concerned = variant == Variant::Canary || fault.reach == Reach::Both;
            if !concerned || fault.route.is_some_and(|only| only != route) {
                continue;
            }
            let strength = fault.strength(at, canary_load);
            if strength <= 0.0 {
                continue;
            }
            let effect = &fault.effect;
            let own = fault.reach == Reach::Canary;
            let (share, outcome) = (effect.failures * strength, effect.outcome);
            condition.failures.push(Failing { share, outcome, own });
            condition.hangs = condition.hangs.max(effect.hangs * strength);
            if effect.slow_share > 0.0 {
                let times = 1.0 + (effect.slow_factor - 1.0) * strength;
                condition.slow.push(Slow { share: effect.slow_share, times, own });
            }
            condition.wrong = condition.wrong.max(effect.wrong * strength);
        }
        condition
    }

    /// The requests of one route that begin in a span, and those that still waited.
    fn requests(
        &mut self,
        route: usize,
        variant: Variant,
        expected: f64,
        at: f64,
        canary_load: f64,
    ) -> Sample {
        let mut sample = self.ended(route, variant);
        let condition = self.condition(route, variant, at, canary_load);
        let begun = if expected > 0.0 { self.dice.events(expected) } else { 0 };
        let mut left = begun;
        let mut buckets: Vec<u16> = Vec::with_capacity(left as usize);

        let hanging = self.dice.hits(left, condition.hangs);
        if hanging > 0 {
            let timeout_ms = self.service.timeout.as_millis() as u64;
            for (after, seen) in [(LOOK_OUT_MS, Seen::Slow), (timeout_ms, Seen::TimedOut)] {
                let due_ms = self.now_ms + after;
                self.waiting.push(Waiting { due_ms, route, variant, count: hanging, seen });
            }
            left -= hanging;
        }
        let mut harmed = hanging;
        for &Failing { share, outcome, own } in &condition.failures {
            let failed = self.dice.hits(left, share);
            left -= failed;
            harmed += if own { failed } else { 0 };
            sample.outcomes.add(outcome, failed);
            for _ in 0..failed {
                let micros = self.failed_after(route, outcome);
                buckets.push(bucket_of(micros));
            }
        }
        let refused = self.dice.hits(left, self.service.client_error_rate);
        sample.outcomes.add(Outcome::ClientError, refused);
        sample.outcomes.add(Outcome::Ok, left - refused);
        for _ in 0..left {
            let micros = self.answered_after(route, &condition);
            buckets.push(bucket_of(micros));
        }
        sample.bytes += u64::from(left) * self.service.bytes;
        if variant == Variant::Canary {
            self.harm_done(route, (begun, harmed, left), &condition, at, canary_load);
        }
        add_buckets(&mut sample.latency, buckets);
        sample
    }

    fn harm_done(
        &mut self,
        route: usize,
        counts: (u32, u32, u32),
        condition: &Condition,
        at: f64,
        canary_load: f64,
    ) {
        let stable = self.condition(route, Variant::Stable, at, canary_load);
        let answered = |left: f64, failing: &Failing| left * (1.0 - failing.share);
        let stable_fails = 1.0 - stable.failures.iter().fold(1.0 - stable.hangs, answered);
        self.toll.add(counts, condition, self.service.idempotent, stable_fails);
    }

    /// What is now seen of requests that began earlier.
    fn ended(&mut self, route: usize, variant: Variant) -> Sample {
        let mut sample = Sample::default();
        let now = self.now_ms;
        self.waiting.retain(|waiting| {
            let due = waiting.due_ms <= now && waiting.route == route && waiting.variant == variant;
            if due {
                match waiting.seen {
                    Seen::TimedOut => sample.outcomes.add(Outcome::Timeout, waiting.count),
                    Seen::Slow => {
                        let buckets = vec![bucket_of(LOOK_OUT_MS * 1000); waiting.count as usize];
                        add_buckets(&mut sample.latency, buckets);
                    }
                }
            }
            !due
        });
        sample
    }

    /// Latency in microseconds of an answer.
    fn answered_after(&mut self, route: usize, condition: &Condition) -> u64 {
        let mut factor = 1.0;
        for &Slow { share, times, .. } in &condition.slow {
            if share >= 1.0 || self.dice.chance(share) {
                factor *= times;
            }
        }
        let median = self.service.medians[route] * factor;
        self.dice.latency(median, self.service.sigma) as u64
    }

    /// Microseconds until a request has failed.
    fn failed_after(&mut self, route: usize, outcome: Outcome) -> u64 {
        match outcome {
            Outcome::ConnectError => self.dice.latency(300.0, 0.3) as u64,
            Outcome::Timeout => self.service.timeout.as_micros() as u64,
            // Half of the way: failing is mostly quicker than answering.
            _ => self.dice.latency(self.service.medians[route] / 2.0, self.service.sigma) as u64,
        }
    }

    fn resources(
        &mut self,
        from: u64,
        span: Duration,
        served: Pair<u64>,
        canary_load: f64,
    ) -> Pair<Resources> {
        if !self.service.tells_resources {
            return Pair::default();
        }
        let (from, to) = (from as f64 / 1000.0, self.now_ms as f64 / 1000.0);
        let (mut cpu, mut restarts) = (1.0, 0);
        for fault in self.faults.iter().filter(|fault| fault.reach == Reach::Canary) {
            let strength = fault.strength(to, canary_load);
            cpu *= 1.0 + (fault.effect.cpu - 1.0) * strength;
            restarts += fault.restarts(from, to);
            if from >= fault.begins && to < fault.ends {
                self.memory_growth += fault.effect.memory_per_minute * span.as_secs_f64() / 60.0;
            }
        }
        if restarts > 0 {
            self.memory_growth = 0.0;
        }
        let mut of = |served: u64, factor: f64, memory: f64, restarts: u32| {
            // A reading covers few requests or many.
            let noise = 1.0 + 3.0 / (served as f64 + 3.0);
            let noise = self.dice.scale(1.0 / noise, noise) * self.dice.between(0.9, 1.1);
            let per_request = self.service.cpu_per_request * factor * noise;
            Resources {
                cpu_cores: Some(per_request * served as f64 / span.as_secs_f64()),
                cpu_seconds_per_request: (served > 0).then_some(per_request),
                memory_bytes: Some(self.service.memory * memory * self.dice.between(0.98, 1.02)),
                restarts: Some(restarts),
            }
        };
        Pair {
            stable: of(served.stable, 1.0, 1.0, 0),
            canary: of(served.canary, cpu * self.cpu_bias, 1.0 + self.memory_growth, restarts),
        }
    }
}

/// Adds latencies given by their buckets.
fn add_buckets(counts: &mut LatencyCounts, mut buckets: Vec<u16>) {
    buckets
        .extend(counts.0.iter().flat_map(|(bucket, n)| std::iter::repeat_n(*bucket, *n as usize)));
    buckets.sort_unstable();
    counts.0 = buckets.chunk_by(|a, b| a == b).map(|same| (same[0], same.len() as u32)).collect();
}

#[cfg(test)]
mod tests;
