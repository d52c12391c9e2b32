//! The users' requests of the simulated world.

use super::condition::{Condition, Failing};
use super::harm::Fates;
use super::latency::Latency;
use super::spread::{Blend, draw};
use super::{Variant, World};
use crate::latency::bucket_of;
use crate::outcome::Outcome;
use crate::sample::Sample;

/// Age in milliseconds at which a request in flight counts as slow.
const LOOK_OUT_MS: u64 = 1000;
/// Median in microseconds until a connection is refused, and the deviation of its logarithm.
const REFUSED_AFTER: (f64, f64) = (300.0, 0.3);

/// Requests that still wait: what will be seen of them, and when.
#[derive(Debug, Clone)]
pub(super) struct Waiting {
    due_ms: u64,
    route: usize,
    variant: Variant,
    count: u32,
    seen: Seen,
}

#[derive(Debug, Clone, Copy)]
enum Seen {
    /// They have become slow: older than so many milliseconds.
    Slow(u64),
    /// Nobody waits for them any longer.
    TimedOut,
}

impl World {
    /// The requests of one route that begin in a tick, and those that still waited: what is seen of
    /// them, and the fates of those that begin.
    pub(super) fn requests(
        &mut self,
        route: usize,
        variant: Variant,
        expected: f64,
        condition: &Condition,
    ) -> (Sample, Fates) {
        let mut sample = self.ended(route, variant);
        let begun = if expected > 0.0 { self.dice.events(expected) } else { 0 };
        let (mut left, mut own) = (begun, 0);
        let mut room = 1.0;
        for failing in &condition.failing {
            let failed = self.dice.hits(left, failing.share / room);
            room -= failing.share;
            left -= failed;
            own += if failing.own { failed } else { 0 };
            if failing.outcome == Outcome::Timeout {
                self.wait(route, variant, failed);
                continue;
            }
            sample.outcomes.add(failing.outcome, failed);
            self.failed_latencies(route, failing, failed);
        }
        let refused = self.dice.hits(left, self.service.client_error_rate);
        sample.outcomes.add(Outcome::ClientError, refused);
        sample.outcomes.add(Outcome::Ok, left - refused);
        if left > 0 {
            let blend = condition.latencies(self.service.latencies[route]);
            self.spreads[route].spread(left, blend, &mut self.dice, &mut self.tray);
        }
        sample.bytes += u64::from(left) * self.service.bytes;
        sample.latency = self.tray.take();
        (sample, Fates { begun, failed: own, answered: left })
    }

    /// Requests that will have no answer.
    fn wait(&mut self, route: usize, variant: Variant, count: u32) {
        let timeout_ms = self.service.timeout.as_millis() as u64;
        let slow_ms = LOOK_OUT_MS.min(timeout_ms);
        let seen = [(slow_ms, Seen::Slow(slow_ms)), (timeout_ms, Seen::TimedOut)];
        for (after, seen) in seen.into_iter().filter(|_| count > 0) {
            let due_ms = self.now_ms + after;
            self.waiting.push(Waiting { due_ms, route, variant, count, seen });
        }
    }

    /// What is now seen of requests that began earlier. Their latencies go to the tray.
    fn ended(&mut self, route: usize, variant: Variant) -> Sample {
        let mut sample = Sample::default();
        let (now, tray) = (self.now_ms, &mut self.tray);
        self.waiting.retain(|waiting| {
            let due = waiting.due_ms <= now && waiting.route == route && waiting.variant == variant;
            if due {
                match waiting.seen {
                    Seen::TimedOut => sample.outcomes.add(Outcome::Timeout, waiting.count),
                    Seen::Slow(age_ms) => tray.add(bucket_of(age_ms * 1000), waiting.count),
                }
            }
            !due
        });
        sample
    }

    fn failed_latencies(&mut self, route: usize, failing: &Failing, failed: u32) {
        let blend = self.failed_after(route, failing.outcome);
        let spreads = match failing.outcome {
            Outcome::ConnectError => &mut self.refused,
            _ => &mut self.spreads[route],
        };
        spreads.spread(failed, blend, &mut self.dice, &mut self.tray);
    }

    fn failed_after(&self, route: usize, outcome: Outcome) -> Blend {
        match outcome {
            Outcome::ConnectError => {
                let (median, sigma) = REFUSED_AFTER;
                vec![(1.0, Latency::log_normal(median, sigma), 1.0)]
            }
            // Half of the way: failing is mostly quicker than answering.
            _ => vec![(1.0, self.service.latencies[route], 0.5)],
        }
    }

    /// Microseconds until a request has failed.
    pub(super) fn one_failed_after(&mut self, route: usize, outcome: Outcome) -> u64 {
        draw(&self.failed_after(route, outcome), &mut self.dice)
    }

    /// Microseconds until a request is answered.
    pub(super) fn one_answered_after(&mut self, route: usize, condition: &Condition) -> u64 {
        draw(&condition.latencies(self.service.latencies[route]), &mut self.dice)
    }
}
