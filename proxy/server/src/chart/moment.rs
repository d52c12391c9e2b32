//! What is drawn: looks at a release, and looks put together where there are more than a picture can show.

use serinus_models::latency::LatencyCounts;
use serinus_models::{Pair, Sample, ServiceTick, Timestamp};
use serinus_rollout::ServiceStatus;
use std::collections::BTreeMap;

/// Points that a line has at most.
const MOST: u64 = 240;

/// Neighbouring buckets (a power of two, less one) that a picture does not tell apart: latencies are drawn
/// within 4%. Looks are kept for ten minutes, and a busy service has hundreds of buckets in each.
const TOGETHER: u16 = 3;

/// What one variant did in some time: live requests and probe rounds together.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Done {
    requests: u64,
    failures: u64,
    latency: LatencyCounts,
}

impl Done {
    fn add_sample(&mut self, sample: &Sample) {
        self.requests += sample.outcomes.total();
        self.failures += sample.outcomes.failures();
        for (bucket, count) in &sample.latency.0 {
            self.latency.add(bucket | TOGETHER, *count);
        }
    }

    fn add(&mut self, other: &Done) {
        self.requests += other.requests;
        self.failures += other.failures;
        self.latency.merge(&other.latency);
    }

    /// Percent that failed; none without requests.
    pub(crate) fn failed(&self) -> Option<f64> {
        (self.requests > 0).then(|| 100.0 * self.failures as f64 / self.requests as f64)
    }

    /// Milliseconds that a share `q` did not exceed; none without requests.
    pub(crate) fn quantile_ms(&self, q: f64) -> Option<f64> {
        self.latency.quantile(q).map(|micros| micros as f64 / 1e3)
    }

    /// To be kept.
    fn shrunk(mut self) -> Box<Done> {
        self.latency.0.shrink_to_fit();
        Box::new(self)
    }
}

/// One look.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Moment {
    pub(crate) at: Timestamp,
    done: Pair<Box<Done>>,
    weight: f64,
    score: Option<f64>,
    forecast: Option<f64>,
}

impl Moment {
    /// What a look saw, and how the release stood after it.
    pub(crate) fn of(at: Timestamp, seen: Pair<Done>, status: &ServiceStatus) -> Moment {
        Moment {
            at,
            done: Pair { stable: seen.stable.shrunk(), canary: seen.canary.shrunk() },
            weight: status.weight.percent(),
            score: Some(status.anomaly_score),
            forecast: status.failure_probability,
        }
    }
}

impl Moment {
    /// What a look saw, where nobody knows how it was judged.
    pub(crate) fn unjudged(at: Timestamp, seen: Pair<Done>) -> Moment {
        Moment {
            at,
            done: Pair { stable: seen.stable.shrunk(), canary: seen.canary.shrunk() },
            weight: 0.0,
            score: None,
            forecast: None,
        }
    }
}

/// What both variants did in a tick.
pub(crate) fn done_in(tick: &ServiceTick) -> Pair<Done> {
    let mut done = Pair { stable: Done::default(), canary: Done::default() };
    for live in &tick.live {
        done.stable.add_sample(&live.samples.stable);
        done.canary.add_sample(&live.samples.canary);
    }
    for round in &tick.probes {
        for (result, of) in
            [(&round.results.stable, &mut done.stable), (&round.results.canary, &mut done.canary)]
        {
            let mut sample = Sample::default();
            sample.record(result.outcome, result.micros, 0);
            of.add_sample(&sample);
        }
    }
    done
}

/// Looks put together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bin {
    pub(crate) at: Timestamp,
    pub(crate) stable: Done,
    pub(crate) canary: Done,
    pub(crate) weight: f64,
    /// The highest.
    pub(crate) score: Option<f64>,
    /// The last.
    pub(crate) forecast: Option<f64>,
}

/// The looks of that time in bins of a second or more.
pub(crate) fn bins(moments: &[Moment], (from, to): (Timestamp, Timestamp)) -> Vec<Bin> {
    let width = (to.0.saturating_sub(from.0)).div_ceil(MOST).max(1_000);
    let mut bins: BTreeMap<u64, Bin> = BTreeMap::new();
    for moment in moments.iter().filter(|moment| from <= moment.at && moment.at <= to) {
        let bin = bins.entry((moment.at.0 - from.0) / width).or_default();
        bin.at = moment.at;
        bin.stable.add(&moment.done.stable);
        bin.canary.add(&moment.done.canary);
        bin.weight = moment.weight;
        bin.score = moment.score.map(|score| bin.score.map_or(score, |most| most.max(score)));
        bin.forecast = moment.forecast;
    }
    bins.into_values().collect()
}
