//! What was seen since the last look, glance by glance.

use serinus_models::{LiveSample, Resources, Sample, ServiceTick};
use std::time::Duration;

#[derive(Debug, Clone, Default)]
pub(super) struct Gathering {
    sum: ServiceTick,
    /// Failures of live requests of both variants.
    failures: u64,
}

impl Gathering {
    pub(super) fn add(&mut self, tick: ServiceTick) {
        let ServiceTick { span_ms: _, live, probes, resources } = tick;
        for LiveSample { route, samples } in live {
            self.failures +=
                samples.stable.outcomes.failures() + samples.canary.outcomes.failures();
            match self.sum.live.iter_mut().find(|known| known.route == route) {
                Some(known) => {
                    merge(&mut known.samples.stable, samples.stable);
                    merge(&mut known.samples.canary, samples.canary);
                }
                None => self.sum.live.push(LiveSample { route, samples }),
            }
        }
        self.sum.probes.extend(probes);
        let before = self.sum.resources;
        self.sum.resources.stable = latest(before.stable, resources.stable);
        self.sum.resources.canary = latest(before.canary, resources.canary);
    }

    pub(super) fn failures(&self) -> u64 {
        self.failures
    }

    /// Everything seen in the `span` since it was last taken.
    pub(super) fn take(&mut self, span: Duration) -> ServiceTick {
        let taken = std::mem::take(self);
        ServiceTick { span_ms: span.as_millis() as u64, ..taken.sum }
    }
}

fn merge(sum: &mut Sample, later: Sample) {
    let Sample { outcomes, latency, bytes, repeated } = later;
    sum.outcomes.merge(&outcomes);
    sum.latency.merge(&latency);
    sum.bytes += bytes;
    sum.repeated += repeated;
}

/// A reading takes the place of the one before; starts add up.
fn latest(before: Resources, now: Resources) -> Resources {
    let restarts = match (before.restarts, now.restarts) {
        (Some(before), Some(now)) => Some(before + now),
        (before, now) => now.or(before),
    };
    Resources { restarts, ..now }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serinus_models::{Outcome, Pair};

    fn tick(route: &str, failures: u32, restarts: u32) -> ServiceTick {
        let mut samples = Pair::<Sample>::default();
        (0..failures).for_each(|_| samples.canary.record(Outcome::Reset, 700, 0));
        samples.stable.record(Outcome::Ok, 900, 10);
        let canary = Resources { restarts: Some(restarts), ..Resources::default() };
        let resources = Pair { canary, ..Pair::default() };
        ServiceTick {
            span_ms: 100,
            live: vec![LiveSample { route: route.into(), samples }],
            resources,
            ..ServiceTick::default()
        }
    }

    #[test]
    fn glances_add_up_to_a_look_and_the_next_begins_empty() {
        let mut seen = Gathering::default();
        seen.add(tick("a", 1, 1));
        seen.add(tick("b", 0, 0));
        seen.add(tick("a", 2, 1));
        assert_eq!(seen.failures(), 3);
        let look = seen.take(Duration::from_millis(300));
        assert_eq!((look.span_ms, look.live.len()), (300, 2));
        let a = &look.live[0].samples;
        assert_eq!((a.canary.outcomes.of(Outcome::Reset), a.stable.bytes), (3, 20));
        assert_eq!(a.canary.latency.total(), 3);
        assert_eq!(look.resources.canary.restarts, Some(2));
        assert_eq!(seen.failures(), 0);
        assert!(seen.take(Duration::ZERO).live.is_empty());
    }
}
