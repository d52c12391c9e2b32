//! The probe rounds of the simulated world.

use super::condition::Condition;
use super::{Variant, World};
use crate::outcome::Outcome;
use crate::sample::{Pair, ProbeResult, ProbeRound};
use std::sync::Arc;
use std::time::Duration;

/// When a probe gives up on an answer, in milliseconds.
const PROBE_TIMEOUT_MS: u64 = 5000;

/// How often probes run, in rounds per second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ProbeRates {
    /// Over all of the service's own probes, each at most one at a time.
    pub own: f64,
    /// Of the plain GETs of routes that none of them asks for.
    pub plain: f64,
}

impl ProbeRates {
    /// None at all.
    pub const NONE: ProbeRates = ProbeRates::own(0.0);

    /// Of own probes alone.
    pub const fn own(per_second: f64) -> ProbeRates {
        ProbeRates { own: per_second, plain: 0.0 }
    }
}

/// Rounds that are due, as a fraction, of probes that take turns.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Turns {
    due: f64,
    next: usize,
}

impl Turns {
    /// How many rounds start in a span. One that could not start because its probe was busy is not made up for.
    fn starts(&mut self, rate: f64, span: Duration) -> u64 {
        self.due = self.due.min(1.0) + rate * span.as_secs_f64();
        let starts = self.due as u64;
        self.due -= starts as f64;
        starts
    }

    /// Whose turn it is, of so many.
    fn next(&mut self, probes: usize) -> usize {
        let turn = self.next % probes;
        self.next += 1;
        turn
    }
}

impl World {
    /// Starts the rounds that are due in the span that began at `from` milliseconds.
    pub(super) fn start_probes(
        &mut self,
        from: u64,
        span: Duration,
        rates: ProbeRates,
        canary_load: f64,
    ) {
        let own = self.service.probes.len();
        if own > 0 {
            let starts = self.own_turns.starts(rates.own, span);
            let turns = (0..starts).map(|_| self.own_turns.next(own)).collect();
            self.start_rounds(from, turns, canary_load);
        }
        if !self.service.plain_routes.is_empty() {
            let starts = self.plain_turns.starts(rates.plain, span);
            self.start_rounds(from, vec![own; starts as usize], canary_load);
        }
    }

    /// Starts a round of each of these probes, evenly over the span; the one after the last is the plain one.
    fn start_rounds(&mut self, from: u64, turns: Vec<usize>, canary_load: f64) {
        let starts = turns.len() as u64;
        for (n, probe) in (0..).zip(turns) {
            let start_ms = from + (self.now_ms - from) * n / starts;
            if self.rounds.iter().any(|(due, running, _)| *running == probe && *due > start_ms) {
                continue;
            }
            let at = start_ms as f64 / 1000.0;
            let (stable, of_stable) = self.probe(probe, Variant::Stable, at, canary_load);
            let (canary, of_canary) = self.probe(probe, Variant::Canary, at, canary_load);
            let both_well = [&stable, &canary].iter().all(|result| result.outcome == Outcome::Ok);
            let pairs = of_stable.into_iter().zip(of_canary);
            let steps = pairs.filter(|_| both_well);
            // One after the other, as the real ones.
            let micros = stable.micros + canary.micros;
            let round = ProbeRound {
                probe: Arc::clone(&self.service.probe_names[probe]),
                results: Pair { stable, canary },
                steps: steps.map(|(stable, canary)| Pair { stable, canary }).collect(),
                plain: probe == self.service.probes.len(),
            };
            self.rounds.push((start_ms + micros / 1000, probe, round));
        }
    }

    /// One run of a probe on one variant: its steps in order, up to the first that fails; and how long each took.
    fn probe(
        &mut self,
        probe: usize,
        variant: Variant,
        at: f64,
        canary_load: f64,
    ) -> (ProbeResult, Vec<u64>) {
        let limit = PROBE_TIMEOUT_MS * 1000;
        let (mut micros, mut took) = (0, Vec::new());
        let steps = self.service.probe_steps(probe).len();
        let asserts = self.service.probes_assert && probe < self.service.probes.len();
        for step in 0..steps {
            let route = self.service.probe_steps(probe)[step];
            let condition = self.condition(route, variant, at, canary_load);
            if let Some(outcome) = self.step_fails(&condition) {
                let after = match outcome {
                    Outcome::Timeout => limit,
                    _ => micros + self.one_failed_after(route, outcome),
                };
                return (ProbeResult { outcome, micros: after.min(limit) }, took);
            }
            took.push(self.one_answered_after(route, &condition));
            micros += took[step];
            if asserts && self.dice.chance(condition.wrong) {
                return (ProbeResult { outcome: Outcome::Assertion, micros }, took);
            }
        }
        let outcome = if micros > limit { Outcome::Timeout } else { Outcome::Ok };
        (ProbeResult { outcome, micros: micros.min(limit) }, took)
    }

    fn step_fails(&mut self, condition: &Condition) -> Option<Outcome> {
        let mut at = self.dice.between(0.0, 1.0);
        condition.failing.iter().find_map(|failing| {
            at -= failing.share;
            (at < 0.0).then_some(failing.outcome)
        })
    }

    /// The rounds that have ended by now.
    pub(super) fn finished_probes(&mut self) -> Vec<ProbeRound> {
        let now = self.now_ms;
        let (ended, running) = self.rounds.drain(..).partition(|(due, _, _)| *due <= now);
        self.rounds = running;
        Vec::into_iter(ended).map(|(_, _, round)| round).collect()
    }
}
