//! What is known of traffic, rollouts and the process itself, as Prometheus families.

use crate::control::Board;
use crate::control::board::ModelCounts;
use crate::control::journal::Health;
use prometheus::core::{Collector, Desc};
use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType,
};
use serinus_rollout::Phase;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What one variant answered on one route since the start.
#[derive(Debug, Clone)]
pub(crate) struct Traffic {
    pub(crate) route: Arc<str>,
    pub(crate) service: Arc<str>,
    /// `stable` or `canary`.
    pub(crate) variant: &'static str,
    /// Requests by status class, 1xx to 5xx.
    pub(crate) codes: [u64; 5],
    /// Upper bound in seconds and requests between the bound before and this one.
    pub(crate) durations: Vec<(f64, u64)>,
    /// Requests slower than the last bound.
    pub(crate) beyond: u64,
    /// Seconds of all of them together.
    pub(crate) sum_seconds: f64,
    /// Failures that no user saw because stable answered instead.
    pub(crate) shielded: u64,
}

/// Reads the counters of the data path.
pub(crate) type TrafficSource = Box<dyn Fn() -> Vec<Traffic> + Send + Sync>;

const COUNTER: MetricType = MetricType::COUNTER;
const GAUGE: MetricType = MetricType::GAUGE;

/// Name, help, kind: in the order of [`Families::collect`].
const FAMILIES: [(&str, &str, MetricType); 21] = [
    ("serinus_requests_total", "Requests of users answered by a variant.", COUNTER),
    ("serinus_request_duration_seconds", "How long they took.", MetricType::HISTOGRAM),
    ("serinus_shielded_requests_total", "Canary failures answered by stable instead.", COUNTER),
    ("serinus_rollout_phase", "1 for the phase that a rollout is in.", GAUGE),
    ("serinus_rollout_weight_ratio", "Share of users sent to the canary, 0 to 1.", GAUGE),
    ("serinus_rollouts_total", "Rollouts ended, by outcome.", COUNTER),
    ("serinus_withdrawn", "1 while users are off the canary for now.", GAUGE),
    ("serinus_anomaly_score", "Confidence that the canary is worse, 0 to 1.", GAUGE),
    ("serinus_failure_probability", "Forecast that the failure lasts; NaN without one.", GAUGE),
    ("serinus_upstream_cpu_seconds_per_request", "CPU seconds per request answered.", GAUGE),
    ("serinus_upstream_memory_bytes", "Resident memory, mean over the endpoints.", GAUGE),
    ("serinus_upstream_network_bytes_per_request", "Bytes per request answered.", GAUGE),
    ("serinus_upstream_cpu_utilization_ratio", "Share of the CPU in use, told by ORCA.", GAUGE),
    ("serinus_upstream_memory_utilization_ratio", "Share of memory in use, told by ORCA.", GAUGE),
    (
        "serinus_config_last_reload_success",
        "0 if the file was refused; the one before is in force.",
        GAUGE,
    ),
    ("serinus_journal_writable", "0 while decisions cannot be written down.", GAUGE),
    ("serinus_build_info", "1, with the version.", GAUGE),
    ("serinus_models_total", "Models since the start, by what became of them.", COUNTER),
    ("serinus_learning_labels", "Labelled episodes that can be learned from.", GAUGE),
    (
        "serinus_learning_labels_set_aside",
        "Labels that say the opposite of the shipped prior: not learned from until a person confirms them.",
        GAUGE,
    ),
    ("serinus_learning_challengers", "Models on trial beside the one that judges.", GAUGE),
];

pub(super) struct Families {
    board: Arc<Board>,
    traffic: TrafficSource,
    descriptions: Vec<Desc>,
}

impl Families {
    pub(super) fn new(board: Arc<Board>, traffic: TrafficSource) -> prometheus::Result<Self> {
        let descriptions = FAMILIES.iter().map(|(name, help, _)| {
            Desc::new((*name).to_owned(), (*help).to_owned(), Vec::new(), HashMap::new())
        });
        Ok(Families { board, traffic, descriptions: descriptions.collect::<Result<_, _>>()? })
    }

    fn traffic(&self) -> [Vec<Metric>; 3] {
        let (mut requests, mut durations) = (Vec::new(), Vec::new());
        let mut shielded: Vec<(Arc<str>, u64)> = Vec::new();
        for traffic in (self.traffic)() {
            let labels = [("route", &*traffic.route), ("variant", traffic.variant)];
            for (class, number) in ["1xx", "2xx", "3xx", "4xx", "5xx"].iter().zip(traffic.codes) {
                let labels = [labels[0], labels[1], ("code_class", class)];
                requests.push(counter(&labels, number));
            }
            durations.push(histogram(&labels, &traffic));
            match shielded.iter_mut().find(|(service, _)| *service == traffic.service) {
                Some((_, number)) => *number += traffic.shielded,
                None => shielded.push((traffic.service, traffic.shielded)),
            }
        }
        let shielded =
            shielded.iter().map(|(service, number)| counter(&[("service", service)], *number));
        [requests, durations, shielded.collect()]
    }

    fn rollouts(&self) -> [Vec<Metric>; 6] {
        let mut families: [Vec<Metric>; 6] = Default::default();
        let [phases, weights, ended, withdrawn, scores, forecasts] = &mut families;
        for status in self.board.services.load().iter() {
            let service = ("service", &*status.name);
            for phase in Phase::ALL {
                let is_it = if phase == status.phase { 1.0 } else { 0.0 };
                phases.push(gauge(&[service, ("phase", phase.as_str())], is_it));
            }
            weights.push(gauge(&[service], status.weight.ratio()));
            for (outcome, number) in self.board.ended(&status.name) {
                ended.push(counter(&[service, ("outcome", outcome)], number));
            }
            withdrawn.push(gauge(&[service], if status.withdrawn { 1.0 } else { 0.0 }));
            scores.push(gauge(&[service], status.anomaly_score));
            forecasts.push(gauge(&[service], status.failure_probability.unwrap_or(f64::NAN)));
        }
        families
    }

    fn resources(&self) -> [Vec<Metric>; 5] {
        let mut families: [Vec<Metric>; 5] = Default::default();
        for (service, pair) in self.board.resources.load().iter() {
            for (variant, used) in [("stable", &pair.stable), ("canary", &pair.canary)] {
                let labels = [("service", &**service), ("variant", variant)];
                let figures = [
                    used.cpu_seconds_per_request,
                    used.memory_bytes,
                    used.network_bytes_per_request,
                    used.cpu_utilization,
                    used.memory_utilization,
                ];
                for (family, figure) in families.iter_mut().zip(figures) {
                    family.extend(figure.map(|value| gauge(&labels, value)));
                }
            }
        }
        families
    }

    fn learning(&self) -> [Vec<Metric>; 4] {
        let ModelCounts { trained, replaced, rejected } = &self.board.models;
        let outcomes = [("trained", trained), ("replaced", replaced), ("rejected", rejected)];
        let report = self.board.learning.load();
        [
            outcomes
                .map(|(name, count)| counter(&[("outcome", name)], count.load(Ordering::Relaxed)))
                .to_vec(),
            vec![gauge(&[], report.labels as f64)],
            vec![gauge(&[], report.set_aside as f64)],
            vec![gauge(&[], report.on_trial.len() as f64)],
        ]
    }

    fn process(&self) -> [Vec<Metric>; 3] {
        let is = |good: bool| vec![gauge(&[], if good { 1.0 } else { 0.0 })];
        [
            is(self.board.reload.load().refused.is_none()),
            is(**self.board.journal.load() == Health::Working),
            vec![gauge(&[("version", env!("CARGO_PKG_VERSION"))], 1.0)],
        ]
    }
}

impl Collector for Families {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let metrics = self
            .traffic()
            .into_iter()
            .chain(self.rollouts())
            .chain(self.resources())
            .chain(self.process())
            .chain(self.learning());
        let named = FAMILIES.iter().zip(metrics).filter(|(_, metrics)| !metrics.is_empty());
        named.map(|((name, help, kind), metrics)| family(name, help, *kind, metrics)).collect()
    }
}

pub(super) fn family(
    name: &str,
    help: &str,
    kind: MetricType,
    metrics: Vec<Metric>,
) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

fn metric(labels: &[(&str, &str)]) -> Metric {
    let label = |(name, value): &(&str, &str)| {
        let mut label = LabelPair::default();
        label.set_name((*name).to_owned());
        label.set_value((*value).to_owned());
        label
    };
    Metric::from_label(labels.iter().map(label).collect())
}

pub(super) fn counter(labels: &[(&str, &str)], value: u64) -> Metric {
    let mut counter = Counter::default();
    counter.set_value(value as f64);
    let mut metric = metric(labels);
    metric.set_counter(counter);
    metric
}

pub(super) fn gauge(labels: &[(&str, &str)], value: f64) -> Metric {
    let mut gauge = Gauge::default();
    gauge.set_value(value);
    let mut metric = metric(labels);
    metric.set_gauge(gauge);
    metric
}

fn histogram(labels: &[(&str, &str)], traffic: &Traffic) -> Metric {
    let mut seen = 0;
    let bucket = |(bound, number): &(f64, u64)| {
        seen += number;
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(*bound);
        bucket.set_cumulative_count(seen);
        bucket
    };
    let buckets: Vec<Bucket> = traffic.durations.iter().map(bucket).collect();
    let mut histogram = Histogram::default();
    histogram.set_bucket(buckets);
    histogram.set_sample_count(seen + traffic.beyond);
    histogram.set_sample_sum(traffic.sum_seconds);
    let mut metric = metric(labels);
    metric.set_histogram(histogram);
    metric
}
