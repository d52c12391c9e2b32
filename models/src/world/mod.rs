//! A simulated service with a release on it: what the evaluation would see, second by second.
//!
//! Every [`World`] is drawn from a [`Scenario`] and a seed, and answers to what is done with it: fewer
//! users on the canary are fewer requests there, raised probe rates are more probe rounds. It is the
//! same for the same seed and the same calls, on every machine.
//!
//! Simplifications, so that nobody takes the world for more than it is: requests are independent of
//! each other, a request that is merely slow is counted in the tick in which it began, and users do
//! not retry.

mod condition;
mod dice;
mod fault;
mod harm;
mod latency;
mod probing;
mod requests;
mod resources;
mod scenario;
pub mod seeds;
mod service;
mod spread;
mod traffic;

pub use fault::{Course, Effect, Fault, Reach};
pub use harm::{Harm, Severity};
pub use latency::{Latency, LogNormal};
pub use probing::ProbeRates;
pub use scenario::{Scenario, ScenarioError};
pub use service::ServiceShape;

use crate::sample::{LiveSample, Pair, ProbeRound, Sample, ServiceTick};
use crate::settings::Exposure;
use dice::Dice;
use harm::Toll;
use probing::Turns;
use requests::Waiting;
use serde::Serialize;
use spread::{Spreads, Tray};
use std::sync::Arc;
use std::time::Duration;
use traffic::Traffic;

/// What is true of a release, whatever can be seen of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Truth {
    /// It has a fault that lasts: it should be rolled back.
    Sustained,
    /// It has a fault that passes: it should stay.
    Transient,
    /// It has no fault of its own.
    Null,
}

impl Truth {
    /// The name used in files and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Truth::Sustained => "sustained",
            Truth::Transient => "transient",
            Truth::Null => "null",
        }
    }

    /// Of a release with these faults.
    fn of(faults: &[Fault]) -> Truth {
        let own = faults.iter().filter(|fault| fault.reach == Reach::Canary);
        match own.map(|fault| fault.ends).reduce(f64::max) {
            None => Truth::Null,
            Some(ends) if ends.is_finite() => Truth::Transient,
            Some(_) => Truth::Sustained,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Variant {
    Stable,
    Canary,
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
    /// By route.
    spreads: Vec<Spreads>,
    /// Of refused connections, which are the same on every route.
    refused: Spreads,
    tray: Tray,
    /// Probe rounds that still run, with the time at which both sides will have ended.
    rounds: Vec<(u64, usize, ProbeRound)>,
    own_turns: Turns,
    plain_turns: Turns,
    /// Growth of memory since the start of the process, relative to what it was.
    memory_growth: Pair<f64>,
    /// What little traffic does to the canary's CPU per request: fixed costs shared by few requests,
    /// cold code, readings that fall between them. Nothing to judge a release by.
    cpu_bias: f64,
    toll: Toll,
}

impl World {
    /// A release of this scenario; all that it leaves open is drawn from `seed`. Its time begins with
    /// the deployment.
    pub fn of_scenario(scenario: &Scenario, seed: u64) -> World {
        scenario.cast(None, Dice::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ scenario.salt()))
    }

    /// A release of this scenario on a given service; its faults and what happens are drawn from `seed`.
    pub fn with_service(service: ServiceShape, scenario: &Scenario, seed: u64) -> World {
        scenario.cast(Some(service), Dice::new(seed))
    }

    /// A release with exactly these faults; what happens is drawn from `seed`.
    pub fn with_faults(service: ServiceShape, faults: Vec<Fault>, seed: u64) -> World {
        let truth = Truth::of(&faults);
        World::of(service, faults, truth, Traffic::STEADY, Dice::new(seed))
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
            spreads: vec![Spreads::default(); service.routes()],
            refused: Spreads::default(),
            tray: Tray::new(),
            service,
            traffic,
            faults,
            now_ms: 0,
            waiting: vec![],
            rounds: vec![],
            own_turns: Turns::default(),
            plain_turns: Turns::default(),
            memory_growth: Pair::default(),
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

    /// What is wrong with it.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// From when to when after the deployment something is wrong; no end if it lasts, `None` if
    /// nothing ever is.
    pub fn fault(&self) -> Option<(Duration, Option<Duration>)> {
        let begins = self.faults.iter().map(|fault| fault.begins).reduce(f64::min)?;
        let ends = self.faults.iter().map(|fault| fault.ends).fold(0.0, f64::max);
        let ends = ends.is_finite().then(|| Duration::from_secs_f64(ends));
        Some((Duration::from_secs_f64(begins), ends))
    }

    /// How bad the canary's own faults are at their worst.
    pub fn severity(&self) -> Severity {
        Severity::of(self)
    }

    /// The shares of failing requests of stable and of the canary, where the fault is that from some
    /// moment on every request has one chance of failing, and nothing else.
    pub fn step(&self) -> Option<(f64, f64)> {
        let [fault] = self.faults[..] else { return None };
        let Effect { failures, outcome, .. } = fault.effect;
        let plain = Fault::lasting(fault.begins, Effect::failing(failures, outcome));
        let base = self.service.error_rate;
        (fault == plain).then(|| (base, (base + failures).min(1.0)))
    }

    /// What users have suffered so far.
    pub fn harm(&self) -> Harm {
        self.toll.harm
    }

    /// Time since the deployment.
    pub fn elapsed(&self) -> Duration {
        Duration::from_millis(self.now_ms)
    }

    /// Lets `span` pass and tells what was seen meanwhile. `exposure` and `rates` hold for
    /// the whole span.
    pub fn tick(&mut self, span: Duration, exposure: Exposure, rates: ProbeRates) -> ServiceTick {
        let from = self.now_ms;
        self.now_ms += span.as_millis() as u64;
        let weight = if exposure.withdrawn { 0.0 } else { exposure.weight.clamp(0.0, 1.0) };
        // The middle of the span stands for all of it.
        let at = (from + self.now_ms) as f64 / 2000.0;
        let total = self.service.requests_per_second * self.traffic.at(at);
        let canary_load = total * weight;

        self.toll.begin(total * span.as_secs_f64(), span.as_secs_f64());
        let mut served = Pair { stable: 0, canary: 0 };
        let mut live = Vec::with_capacity(self.service.routes());
        for route in 0..self.service.routes() {
            let expected = total * self.service.route_shares[route] * span.as_secs_f64();
            let stable_now = self.condition(route, Variant::Stable, at, canary_load);
            let canary_now = self.condition(route, Variant::Canary, at, canary_load);
            let (stable, _) =
                self.requests(route, Variant::Stable, expected * (1.0 - weight), &stable_now);
            let (canary, fates) =
                self.requests(route, Variant::Canary, expected * weight, &canary_now);
            let idempotent = self.service.idempotent;
            self.toll.add(fates, &canary_now, idempotent, stable_now.fails());
            served.stable += stable.outcomes.total();
            served.canary += canary.outcomes.total();
            let seen = |sample: &Sample| sample.outcomes.total() + sample.latency.total() > 0;
            if seen(&stable) || seen(&canary) {
                let name = Arc::clone(&self.service.route_names[route]);
                live.push(LiveSample { route: name, samples: Pair { stable, canary } });
            }
        }
        self.start_probes(from, span, rates, canary_load);
        ServiceTick {
            span_ms: self.now_ms - from,
            live,
            probes: self.finished_probes(),
            resources: self.resources(from, span, served, canary_load),
        }
    }
}

#[cfg(test)]
mod tests;
