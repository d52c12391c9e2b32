//! What can go wrong, when, and how strongly.

use super::latency::Latency;
use crate::outcome::Outcome;
use std::f64::consts::TAU;

/// Who has a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// The version on trial alone.
    Canary,
    /// The version that users had before, alone.
    Stable,
    /// Both: a dependency, the network, the time of day.
    Both,
}

/// How the strength of a fault goes while it lasts; times in seconds since it began.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Course {
    /// Full strength all the time.
    Constant,
    /// From nothing to full strength in this time.
    Growing { over: f64 },
    /// From full strength to nothing in this time, steadily.
    Shrinking {
        /// Seconds.
        over: f64,
    },
    /// To 1/e of its strength in this time.
    Fading { tau: f64 },
    /// Full strength for the first `on` seconds of every `period`.
    Pulsing { period: f64, on: f64 },
    /// From nothing to full strength, then at once to nothing, in every period.
    Sawtooth { period: f64 },
    /// From nothing to full strength and back, smoothly, in every period.
    Waving { period: f64 },
}

/// What a fault does at full strength.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Effect {
    /// Probability that a request fails.
    pub failures: f64,
    /// How it then fails; a timeout is no answer until the proxy gives up.
    pub outcome: Outcome,
    /// Share of requests whose latency is another.
    pub slow_share: f64,
    /// What their latency is multiplied by; below 1 is faster.
    pub slow_factor: f64,
    /// What their latency is instead, before it is multiplied.
    pub latency: Option<Latency>,
    /// Probability that the answer is wrong: 200 for users, a failed assertion for probes.
    pub wrong: f64,
    /// Factor on the CPU time per request.
    pub cpu: f64,
    /// Factor on the bytes over the network per request.
    pub network: f64,
    /// Growth of memory per minute, relative to what it was.
    pub memory_per_minute: f64,
    /// The process starts anew whenever the fault's strength falls from full.
    pub restarts: bool,
}

impl Effect {
    /// Nothing at all.
    pub const NONE: Effect = Effect {
        failures: 0.0,
        outcome: Outcome::ServerError,
        slow_share: 0.0,
        slow_factor: 1.0,
        latency: None,
        wrong: 0.0,
        cpu: 1.0,
        network: 1.0,
        memory_per_minute: 0.0,
        restarts: false,
    };

    /// A share of requests fails.
    pub fn failing(failures: f64, outcome: Outcome) -> Effect {
        Effect { failures, outcome, ..Effect::NONE }
    }

    /// A share of requests takes longer.
    pub fn slow(slow_share: f64, slow_factor: f64) -> Effect {
        Effect { slow_share, slow_factor, ..Effect::NONE }
    }
}

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fault {
    /// Who has it.
    pub reach: Reach,
    /// Seconds after the deployment.
    pub begins: f64,
    /// Seconds after the deployment; infinite if it never ends.
    pub ends: f64,
    /// How its strength goes.
    pub course: Course,
    /// What it does.
    pub effect: Effect,
    /// The only route that has it; all if none.
    pub route: Option<usize>,
    /// Requests per second on the canary below which it does not show.
    pub needs_load: Option<f64>,
}

impl Fault {
    /// A fault of the canary on all routes that begins now and then and does not end.
    pub fn lasting(begins: f64, effect: Effect) -> Fault {
        Fault {
            reach: Reach::Canary,
            begins,
            ends: f64::INFINITY,
            course: Course::Constant,
            effect,
            route: None,
            needs_load: None,
        }
    }

    /// The same, for `length` seconds.
    pub fn passing(begins: f64, length: f64, effect: Effect) -> Fault {
        Fault { ends: begins + length, ..Fault::lasting(begins, effect) }
    }

    /// The same with another course.
    pub fn with(self, course: Course) -> Fault {
        Fault { course, ..self }
    }

    /// Seconds after the deployment at which it has its full strength, or nearly.
    pub(super) fn full_at(&self) -> f64 {
        let since = match self.course {
            Course::Growing { over } => over,
            Course::Sawtooth { period } => period * 0.999,
            Course::Waving { period } => period / 2.0,
            _ => 0.0,
        };
        (self.begins + since).min(self.ends - 1e-3)
    }

    /// Strength from 0 to 1 at `at` seconds after the deployment, for this much canary load.
    pub fn strength(&self, at: f64, canary_load: f64) -> f64 {
        if at < self.begins || at >= self.ends {
            return 0.0;
        }
        if self.needs_load.is_some_and(|needed| canary_load < needed) {
            return 0.0;
        }
        let since = at - self.begins;
        match self.course {
            Course::Constant => 1.0,
            Course::Growing { over } => (since / over).min(1.0),
            Course::Shrinking { over } => (1.0 - since / over).max(0.0),
            Course::Fading { tau } => libm::exp(-since / tau),
            Course::Pulsing { period, on } => f64::from(u8::from(since % period < on)),
            Course::Sawtooth { period } => since % period / period,
            Course::Waving { period } => 0.5 - 0.5 * libm::cos(since / period * TAU),
        }
    }

    /// Process starts that the fault causes from `from` (excluded) to `to` seconds after the deployment.
    pub fn restarts(&self, from: f64, to: f64) -> u32 {
        if !self.effect.restarts {
            return 0;
        }
        let ended = u32::from(from < self.ends && self.ends <= to);
        match self.course {
            Course::Pulsing { period, on } => {
                let pulses = |at: f64| {
                    let since = at.min(self.ends) - self.begins - on;
                    if since < 0.0 { 0.0 } else { (since / period).floor() + 1.0 }
                };
                (pulses(to) - pulses(from)) as u32
            }
            _ => ended,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(course: Course) -> Fault {
        Fault::passing(10.0, 60.0, Effect::failing(1.0, Outcome::Reset)).with(course)
    }

    #[test]
    fn a_fault_has_no_strength_outside_its_time() {
        for course in [
            Course::Constant,
            Course::Fading { tau: 5.0 },
            Course::Pulsing { period: 4.0, on: 2.0 },
        ] {
            assert_eq!(fault(course).strength(9.9, 1.0), 0.0);
            assert_eq!(fault(course).strength(10.0, 1.0), 1.0);
            assert_eq!(fault(course).strength(70.0, 1.0), 0.0);
        }
    }

    #[test]
    fn courses_have_their_shapes() {
        let at = |course, seconds| fault(course).strength(10.0 + seconds, 1.0);
        assert_eq!(at(Course::Growing { over: 20.0 }, 5.0), 0.25);
        assert_eq!(at(Course::Shrinking { over: 20.0 }, 5.0), 0.75);
        assert!((at(Course::Fading { tau: 5.0 }, 5.0) - 0.3679).abs() < 1e-4);
        assert_eq!(at(Course::Pulsing { period: 4.0, on: 2.0 }, 3.0), 0.0);
        assert_eq!(at(Course::Pulsing { period: 4.0, on: 2.0 }, 5.0), 1.0);
        assert_eq!(at(Course::Sawtooth { period: 8.0 }, 12.0), 0.5);
        assert!((at(Course::Waving { period: 8.0 }, 12.0) - 1.0).abs() < 1e-9);
        assert!((at(Course::Waving { period: 8.0 }, 10.0) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn a_fault_of_load_is_gone_without_load() {
        let fault = Fault { needs_load: Some(10.0), ..fault(Course::Constant) };
        assert_eq!(fault.strength(20.0, 11.0), 1.0);
        assert_eq!(fault.strength(20.0, 0.0), 0.0);
    }

    #[test]
    fn restarts_are_counted_once_each() {
        let mut crashes = fault(Course::Pulsing { period: 10.0, on: 3.0 });
        crashes.effect.restarts = true;
        let counted: u32 = (0..100).map(|t| crashes.restarts(f64::from(t), f64::from(t + 1))).sum();
        assert_eq!(counted, 6, "at 13, 23, .. 63");
        let mut once = fault(Course::Constant);
        once.effect.restarts = true;
        assert_eq!((0..100).map(|t| once.restarts(f64::from(t), f64::from(t + 1))).sum::<u32>(), 1);
    }
}
