//! How stable behaves now, with its normal fluctuation. Learned from stable alone, and not while
//! an anomaly is open or stable itself is failing: an outage must not become the new normal.

mod clumping;
mod latency;
#[cfg(test)]
mod properties;
mod trend;

pub(crate) use clumping::Clumping;
pub use latency::LatencyProfile;
pub(crate) use latency::{LIMITS, THRESHOLDS};
pub use trend::{Rate, Trend};

use crate::outcome::Outcome;
use crate::sample::{Pair, Resources, Sample, ServiceTick};
use std::sync::Arc;
use std::time::Duration;

/// The threshold above which an answer is slow when it is asked whether slow answers come together: the 90th
/// percentile.
const CLUMPS_ABOVE: usize = 2;

/// Failure rates are remembered for about this long, latency levels half as long.
const MEMORY: Duration = Duration::from_secs(600);

/// Stable on one route.
#[derive(Debug, Clone)]
pub struct RouteBaseline {
    /// The route's name.
    pub route: Arc<str>,
    /// Live requests that failed their user.
    pub failures: Rate,
    /// Live requests answered 4xx.
    pub client_errors: Rate,
    /// Live latencies.
    pub latency: LatencyProfile,
    /// Whether its slow answers come together.
    pub(crate) clumping: Clumping,
}

/// Stable under one probe.
#[derive(Debug, Clone)]
pub struct ProbeBaseline {
    /// The probe's name.
    pub probe: Arc<str>,
    /// Times of runs that succeeded.
    pub latency: LatencyProfile,
}

/// Stable's behaviour.
#[derive(Debug, Clone, Default)]
pub struct BaselineProfile {
    /// By route.
    pub routes: Vec<RouteBaseline>,
    /// By probe.
    pub probes: Vec<ProbeBaseline>,
    /// Live requests and probe runs of the whole service that failed.
    pub failures: Rate,
    /// CPU seconds per request.
    pub cpu: Trend,
    /// Bytes over the network per request.
    pub network: Trend,
    /// Resident bytes.
    pub memory: Trend,
    /// Response body bytes per request.
    pub bytes: Trend,
}

impl BaselineProfile {
    /// What is known of a route; `hint` is where it was found last.
    pub fn route(&self, route: &str, hint: usize) -> Option<&RouteBaseline> {
        let guess = self.routes.get(hint).filter(|known| &*known.route == route);
        guess.or_else(|| self.routes.iter().find(|known| &*known.route == route))
    }

    /// What is known of a probe.
    pub fn probe(&self, probe: &str) -> Option<&ProbeBaseline> {
        self.probes.iter().find(|known| &*known.probe == probe)
    }

    /// Learns from a tick. While `frozen` only what is not known at all is learned: a probe that
    /// starts at the alarm has no other time to learn what is usual.
    pub(crate) fn learn(&mut self, tick: &ServiceTick, frozen: bool) {
        let span = Duration::from_millis(tick.span_ms);
        for (at, live) in tick.live.iter().enumerate() {
            let stable = &live.samples.stable;
            if frozen || stable.outcomes.total() == 0 && stable.latency.0.is_empty() {
                continue;
            }
            let at = match self.routes.get(at).is_some_and(|known| known.route == live.route) {
                true => at,
                false => self.place_of_route(&live.route),
            };
            self.routes[at].learn(stable, span);
            self.failures.add(stable.outcomes.failures(), stable.outcomes.total());
            if stable.outcomes.total() > 0 {
                self.bytes.add(stable.bytes as f64 / stable.outcomes.total() as f64, span);
            }
        }
        for round in &tick.probes {
            let stable = &round.results.stable;
            let failed =
                stable.outcome.is_failure() || stable.outcome == crate::Outcome::ClientError;
            if !frozen {
                self.failures.add(u64::from(failed), 1);
            }
            let at = self.place_of_probe(&round.probe);
            let latency = &mut self.probes[at].latency;
            if !failed && (!frozen || latency.threshold(2).is_none()) {
                latency.record(stable.micros);
            }
        }
        for probe in &mut self.probes {
            probe.latency.pass(span);
        }
        if !frozen {
            self.failures.fade(span, MEMORY);
            self.learn_resources(&tick.resources, span);
        }
    }

    fn learn_resources(&mut self, resources: &Pair<Resources>, span: Duration) {
        if let Some(bytes) = resources.stable.network_bytes_per_request {
            self.network.add(bytes, span);
        }
        if let Some(cpu) = resources.stable.cpu_seconds_per_request {
            self.cpu.add(cpu, span);
        }
        if let Some(memory) = resources.stable.memory_bytes {
            self.memory.add(memory, span);
        }
    }

    fn place_of_route(&mut self, route: &Arc<str>) -> usize {
        if let Some(at) = self.routes.iter().position(|known| known.route == *route) {
            return at;
        }
        self.routes.push(RouteBaseline {
            route: route.clone(),
            failures: Rate::default(),
            client_errors: Rate::default(),
            latency: LatencyProfile::default(),
            clumping: Clumping::default(),
        });
        self.routes.len() - 1
    }

    fn place_of_probe(&mut self, probe: &Arc<str>) -> usize {
        if let Some(at) = self.probes.iter().position(|known| known.probe == *probe) {
            return at;
        }
        self.probes
            .push(ProbeBaseline { probe: probe.clone(), latency: LatencyProfile::default() });
        self.probes.len() - 1
    }
}

impl RouteBaseline {
    fn learn(&mut self, stable: &Sample, span: Duration) {
        let total = stable.outcomes.total();
        self.failures.add(stable.outcomes.failures(), total);
        self.failures.fade(span, MEMORY);
        self.client_errors.add(stable.outcomes.of(Outcome::ClientError), total);
        self.client_errors.fade(span, MEMORY);
        if let Some(slow) = self.latency.threshold(CLUMPS_ABOVE) {
            self.clumping.add(stable.latency.above(slow), stable.latency.total());
            self.clumping.fade(span);
        }
        self.latency.merge(&stable.latency);
        self.latency.pass(span);
    }
}
