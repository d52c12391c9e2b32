//! The probe rounds of the simulated world.

use super::condition::Condition;
use super::{Variant, World};
use crate::outcome::Outcome;
use crate::sample::{Pair, ProbeResult, ProbeRound};
use std::sync::Arc;
use std::time::Duration;

/// When a probe gives up on an answer, in milliseconds.
const PROBE_TIMEOUT_MS: u64 = 5000;

impl World {
    /// Starts the rounds that are due in the span that began at `from` milliseconds.
    pub(super) fn start_probes(&mut self, from: u64, span: Duration, rate: f64, canary_load: f64) {
        let probes = self.service.probes.len();
        // A round that could not start because its probe was busy is not made up for.
        self.due_rounds = self.due_rounds.min(1.0) + rate * span.as_secs_f64();
        let starts = self.due_rounds as u64;
        self.due_rounds -= starts as f64;
        for n in 0..starts {
            let probe = self.next_probe % probes;
            self.next_probe += 1;
            let start_ms = from + (self.now_ms - from) * n / starts;
            if self.rounds.iter().any(|(due, running, _)| *running == probe && *due > start_ms) {
                continue;
            }
            let at = start_ms as f64 / 1000.0;
            let results = Pair {
                stable: self.probe(probe, Variant::Stable, at, canary_load),
                canary: self.probe(probe, Variant::Canary, at, canary_load),
            };
            // One after the other, as the real ones.
            let micros = results.stable.micros + results.canary.micros;
            self.rounds.push((start_ms + micros / 1000, probe, results));
        }
    }

    /// One run of a probe on one variant: its steps in order, up to the first that fails.
    fn probe(&mut self, probe: usize, variant: Variant, at: f64, canary_load: f64) -> ProbeResult {
        let limit = PROBE_TIMEOUT_MS * 1000;
        let mut micros = 0;
        for step in 0..self.service.probes[probe].len() {
            let route = self.service.probes[probe][step];
            let condition = self.condition(route, variant, at, canary_load);
            if let Some(outcome) = self.step_fails(&condition) {
                let after = match outcome {
                    Outcome::Timeout => limit,
                    _ => micros + self.one_failed_after(route, outcome),
                };
                return ProbeResult { outcome, micros: after.min(limit) };
            }
            micros += self.one_answered_after(route, &condition);
            if self.service.probes_assert && self.dice.chance(condition.wrong) {
                return ProbeResult { outcome: Outcome::Assertion, micros };
            }
        }
        let outcome = if micros > limit { Outcome::Timeout } else { Outcome::Ok };
        ProbeResult { outcome, micros: micros.min(limit) }
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
        let named = |(_, probe, results): (u64, usize, Pair<ProbeResult>)| ProbeRound {
            probe: Arc::clone(&self.service.probe_names[probe]),
            results,
            steps: Vec::new(),
        };
        Vec::into_iter(ended).map(named).collect()
    }
}
