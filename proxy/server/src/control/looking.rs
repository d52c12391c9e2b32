//! When a service is looked at, and what a look gathers.

use crate::data_path::DataPath;
use serinus_config::Settings;
use serinus_models::ServiceTick;
use serinus_probes::{ResourceReader, Scheduler};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often the data path is asked whether something fails.
pub(crate) const GLANCE_EVERY: Duration = Duration::from_millis(100);

/// Failures of both variants together that make the next look due now.
///
/// The variant must not matter: looking just when the *canary* has failed would pick moments that
/// speak against it, and the e-process would no longer be one. Its increments condition on the total
/// number of failures of both, so a look that is timed by that total keeps its guarantee.
const ALARMING: u64 = 1;

/// Whether it is time to look, so long after the last look.
pub(crate) fn is_due(
    elapsed: Duration,
    interval: Duration,
    failures: impl FnOnce() -> u64,
) -> bool {
    elapsed >= interval || failures() >= ALARMING
}

/// The rhythm of one service.
#[derive(Debug)]
pub(super) struct Rhythm {
    pub(super) service: Arc<str>,
    interval: Duration,
    last: Instant,
}

impl Rhythm {
    /// Every service of a configuration; services that stay keep their time.
    pub(super) fn of(settings: &Settings, before: &[Rhythm], now: Instant) -> Vec<Rhythm> {
        let rhythm = |service: &serinus_config::ServiceSettings| {
            let known = before.iter().find(|rhythm| *rhythm.service == *service.name);
            Rhythm {
                service: service.name.as_str().into(),
                interval: service.policy.evaluation_interval,
                last: known.map_or(now, |rhythm| rhythm.last),
            }
        };
        settings.services.iter().map(rhythm).collect()
    }

    /// Whether it is time to look.
    pub(super) fn is_due(&self, now: Instant, failures: impl FnOnce() -> u64) -> bool {
        is_due(now.duration_since(self.last), self.interval, failures)
    }

    /// Milliseconds since the last look; the next one counts from now.
    pub(super) fn mark(&mut self, now: Instant) -> u64 {
        let span = now.duration_since(std::mem::replace(&mut self.last, now));
        span.as_millis() as u64
    }
}

/// Takes out everything that was seen of a service since the last look.
pub(super) fn gather(
    service: &str,
    span_ms: u64,
    data_path: &DataPath,
    scheduler: &Scheduler,
    resources: &ResourceReader,
) -> ServiceTick {
    ServiceTick {
        span_ms,
        live: data_path.drain(service),
        probes: scheduler.drain(service),
        resources: resources.latest(service),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_is_due_after_the_interval_or_when_something_fails() {
        let start = Instant::now();
        let interval = Duration::from_secs(1);
        let mut rhythm = Rhythm { service: "a".into(), interval, last: start };
        let soon = start + GLANCE_EVERY;
        assert!(!rhythm.is_due(soon, || ALARMING - 1));
        assert!(rhythm.is_due(soon, || ALARMING));
        assert!(rhythm.is_due(start + interval, || 0));
        assert_eq!(rhythm.mark(soon), 100);
        assert!(!rhythm.is_due(start + interval, || 0));
    }
}
