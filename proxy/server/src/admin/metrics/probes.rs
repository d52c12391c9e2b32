//! Counters that probes keep: they run tens of times a second at most, so the usual vectors do.

use prometheus::core::{Collector, MetricVec, MetricVecBuilder};
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};
use serinus_models::Pair;
use serinus_probes::{Answered, Round, Runs, ServiceProbes};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Upper bounds of the phases, in seconds.
const BOUNDS: [f64; 12] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];
/// Upper bounds of the lateness of rounds, in seconds.
const LAG_BOUNDS: [f64; 9] = [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0];

/// What probes did since the start: those that are configured, and no others.
#[derive(Debug, Clone)]
pub(crate) struct ProbeMetrics {
    runs: IntCounterVec,
    durations: HistogramVec,
    left_out: IntCounterVec,
    lag: Histogram,
    /// Held while series are added or removed.
    known: Arc<Mutex<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    probes: BTreeSet<Arc<str>>,
    /// Requests sent by probes, by service.
    requests: BTreeMap<Arc<str>, Pair<Answered>>,
}

impl ProbeMetrics {
    pub(crate) fn new() -> prometheus::Result<Self> {
        Ok(ProbeMetrics {
            runs: IntCounterVec::new(
                Opts::new("serinus_probe_runs_total", "Probe runs, by how they ended."),
                &["probe", "variant", "result"],
            )?,
            durations: HistogramVec::new(
                HistogramOpts::new(
                    "serinus_probe_duration_seconds",
                    "Time of each phase of each step of a probe.",
                )
                .buckets(BOUNDS.to_vec()),
                &["probe", "step", "variant", "phase"],
            )?,
            left_out: IntCounterVec::new(
                Opts::new(
                    "serinus_probe_rounds_left_out_total",
                    "Rounds that did not take place: the one before went on (overrun), too many others did (crowded), or there is no browser for it (no_browser).",
                ),
                &["probe", "reason"],
            )?,
            lag: Histogram::with_opts(
                HistogramOpts::new(
                    "serinus_probe_lag_seconds",
                    "How much later than due rounds of probes began.",
                )
                .buckets(LAG_BOUNDS.to_vec()),
            )?,
            known: Arc::default(),
        })
    }

    pub(super) fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        registry.register(Box::new(self.runs.clone()))?;
        registry.register(Box::new(self.durations.clone()))?;
        registry.register(Box::new(self.left_out.clone()))?;
        registry.register(Box::new(self.lag.clone()))
    }

    /// Counts these from now on. What else was counted leaves the page: names come and go with
    /// configurations, and would add up.
    pub(crate) fn keep(&self, services: &[ServiceProbes]) {
        let probes =
            services.iter().flat_map(|service| service.probes.iter().chain(&service.plain));
        let mut known = self.lock();
        known.probes = probes.map(|probe| probe.name.clone()).collect();
        known.requests.retain(|name, _| services.iter().any(|service| service.service == *name));
        let stays = |probe: &str| known.probes.contains(probe);
        remove(&self.runs, stays);
        remove(&self.durations, stays);
        remove(&self.left_out, stays);
    }

    /// Counts a round that ended, or found no place.
    pub(crate) fn record(&self, round: &Round) {
        let mut known = self.lock();
        if !known.probes.contains(&round.probe) {
            return; // its last one, while it was taken away
        }
        let (crowded, no_browser) = match round.runs {
            Runs::Crowded => (1, 0),
            Runs::NotRun(_) => (0, 1),
            Runs::StableOnly(_) | Runs::Both(_) => (0, 0),
        };
        if crowded == 0 {
            self.lag.observe(round.lag.as_secs_f64());
        }
        for (reason, number) in
            [("overrun", round.left_out), ("crowded", crowded), ("no_browser", no_browser)]
        {
            if number > 0 {
                self.left_out.with_label_values(&[&*round.probe, reason]).inc_by(number);
            }
        }
        for (variant, run) in round.runs.each() {
            self.runs.with_label_values(&[&*round.probe, variant, run.outcome.as_str()]).inc();
            for step in &run.steps {
                for (phase, time) in step.phases.each() {
                    // Kept connections have no lookup, connect or handshake; plain HTTP no handshake.
                    if !time.is_zero() {
                        let labels = [&*round.probe, step.name.as_str(), variant, phase.as_str()];
                        self.durations.with_label_values(&labels).observe(time.as_secs_f64());
                    }
                }
            }
            let (answered, bytes) = run.steps.iter().fold((0, 0), |(requests, bytes), step| {
                (requests + u64::from(step.requests), bytes + step.bytes)
            });
            let pair = known.requests.entry(round.service.clone()).or_default();
            let variant = match variant {
                "canary" => &mut pair.canary,
                _ => &mut pair.stable,
            };
            variant.probes += answered;
            variant.bytes += bytes;
        }
    }

    /// Requests that probes sent to both variants of a service since the start.
    pub(crate) fn requests(&self, service: &str) -> Pair<Answered> {
        self.lock().requests.get(service).copied().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes the series of probes that do not stay.
fn remove<T: MetricVecBuilder>(all: &MetricVec<T>, stays: impl Fn(&str) -> bool) {
    for family in all.collect() {
        for metric in family.get_metric() {
            let labels: HashMap<&str, &str> =
                metric.get_label().iter().map(|label| (label.name(), label.value())).collect();
            if !labels.get("probe").is_some_and(|probe| stays(probe)) {
                // It was there a moment ago, under the same lock.
                let _ = all.remove(&labels);
            }
        }
    }
}
