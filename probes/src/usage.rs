//! From readings of process figures and load reports to what a variant uses.

use crate::exposition::ProcessFigures;
use crate::orca::LoadReport;
use serinus_models::{Pair, Resources};
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// Over this much time CPU is set against requests: the kernel counts CPU in hundredths of a second,
/// which is coarse beside what a few seconds of light traffic cost.
const WINDOW: Duration = Duration::from_secs(30);

/// What one variant's processes use. Time is an argument: any clock that never goes back.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    /// Per endpoint: the last figures it told, and when.
    last: HashMap<String, (Duration, ProcessFigures)>,
    /// Requests answered, ever, at the last reading.
    requests: Option<Answered>,
    /// Newest last: readings in which every endpoint told its CPU.
    spent: VecDeque<Spent>,
    restarts: Option<u32>,
    /// Body bytes of an answer, and whether `now` has those or what counters of the network tell.
    answer_bytes: Option<f64>,
    counts_network: bool,
    /// What a probe's request cost by the process's own account, and when that was told last.
    cost: Option<(Duration, f64)>,
    now: Resources,
    read_at: Option<Duration>,
}

/// Requests that a variant has answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Answered {
    /// Of users.
    pub live: u64,
    /// Of probes.
    pub probes: u64,
    /// Body bytes of all those answers.
    pub bytes: u64,
}

impl Answered {
    fn since(self, before: Answered) -> Answered {
        Answered {
            live: self.live.saturating_sub(before.live),
            probes: self.probes.saturating_sub(before.probes),
            bytes: self.bytes.saturating_sub(before.bytes),
        }
    }

    fn requests(self) -> u64 {
        self.live + self.probes
    }
}

/// What was spent on requests between two readings.
#[derive(Debug, Clone, Copy)]
struct Spent {
    at: Duration,
    /// None where an endpoint did not tell.
    cpu_seconds: Option<f64>,
    /// None where an endpoint did not tell.
    network_bytes: Option<f64>,
    answered: Answered,
}

/// One endpoint's answer: its address, and its figures if it told any.
pub(crate) type Reading = (String, Option<ProcessFigures>);

impl Usage {
    /// Takes up one reading of every endpoint. `requests` is how many requests the variant has answered,
    /// ever; none if nobody counts.
    pub(crate) fn read(
        &mut self,
        now: Duration,
        readings: &[Reading],
        requests: Option<Answered>,
        load: &LoadReport,
    ) {
        self.last.retain(|endpoint, _| readings.iter().any(|(known, _)| known == endpoint));
        let mut cores = None;
        let mut cpu_seconds = 0.0;
        let mut complete = !readings.is_empty();
        let (mut network_bytes, mut network_complete) = (0.0, complete);
        let mut memory = Vec::new();
        for (endpoint, figures) in readings {
            let Some(figures) = figures else {
                (complete, network_complete) = (false, false);
                continue;
            };
            memory.extend(figures.memory_bytes);
            let told = (now, figures.clone());
            let Some((then, before)) = self.last.insert(endpoint.clone(), told) else {
                (complete, network_complete) = (false, false);
                continue;
            };
            if let Some(restarted) = restarted(&before, figures) {
                *self.restarts.get_or_insert(0) += u32::from(restarted);
            }
            let span = now.saturating_sub(then).as_secs_f64();
            match cpu_spent(&before, figures) {
                Some(spent) if span > 0.0 => {
                    cpu_seconds += spent;
                    *cores.get_or_insert(0.0) += spent / span;
                }
                _ => complete = false,
            }
            match before.network_bytes.zip(figures.network_bytes) {
                Some((before, after)) => network_bytes += risen(before, after),
                None => network_complete = false,
            }
        }
        match requests.zip(self.requests) {
            // An endpoint whose CPU is unknown answered requests all the same: such a reading tells
            // nothing per request.
            Some((after, before)) => self.spent.push_back(Spent {
                at: now,
                cpu_seconds: complete.then_some(cpu_seconds),
                network_bytes: network_complete.then_some(network_bytes),
                answered: after.since(before),
            }),
            None => self.spent.clear(),
        }
        while self.spent.front().is_some_and(|oldest| now.saturating_sub(oldest.at) > WINDOW) {
            self.spent.pop_front();
        }
        self.requests = requests;
        self.read_at = Some(now);
        let resident =
            (!memory.is_empty()).then(|| memory.iter().sum::<f64>() / memory.len() as f64);
        // What the process says of its own requests is exact; what its counters say is shared by all it does.
        let by_load =
            || Some(load.cpu_utilization? / load.requests_per_second.filter(|r| *r > 0.0)?);
        if let Some(cost) = load.cpu_seconds {
            self.cost = Some((now, cost));
        }
        let fresh = |at: Duration| now.saturating_sub(at) <= WINDOW;
        let cost = self.cost.filter(|(at, _)| fresh(*at)).map(|(_, cost)| cost);
        let by_counters = || self.per_request(|spent| spent.cpu_seconds);
        let by_answers = self.per_request(|spent| Some(spent.answered.bytes as f64));
        let by_network = self.per_request(|spent| spent.network_bytes);
        self.now = Resources {
            cpu_cores: cores,
            cpu_seconds_per_request: cost.or_else(by_counters).or_else(by_load),
            memory_bytes: resident.or(load.memory_bytes),
            restarts: None,
            cpu_utilization: load.cpu_utilization,
            memory_utilization: load.memory_utilization,
            network_bytes_per_request: by_network.or(by_answers),
            probe_share: cost.map(|_| 1.0).or_else(|| self.probe_share()),
        };
        (self.answer_bytes, self.counts_network) = (by_answers, by_network.is_some());
    }

    /// What was spent over the window by the requests in it; none where a part of it is unknown.
    fn per_request(&self, of: impl Fn(&Spent) -> Option<f64>) -> Option<f64> {
        let known = self.spent.iter().rev().map_while(|spent| Some((of(spent)?, spent.answered)));
        let (sum, requests) = known
            .fold((0.0, 0), |(sum, all), (one, answered)| (sum + one, all + answered.requests()));
        (requests > 0).then(|| sum / requests as f64)
    }

    fn probe_share(&self) -> Option<f64> {
        let probes: u64 = self.spent.iter().map(|spent| spent.answered.probes).sum();
        let all: u64 = self.spent.iter().map(|spent| spent.answered.requests()).sum();
        (all > 0).then(|| probes as f64 / all as f64)
    }

    /// What is known now, from readings not older than `fresh`; restarts are those seen since the last
    /// call.
    pub(crate) fn take(&mut self, now: Duration, fresh: Duration) -> Resources {
        let restarts = self.restarts;
        self.restarts = restarts.map(|_| 0);
        match self.read_at {
            Some(at) if now.saturating_sub(at) <= fresh => Resources { restarts, ..self.now },
            // Restarts that were seen stay seen, however old the reading.
            _ => {
                Resources { restarts: restarts.filter(|count| *count > 0), ..Resources::default() }
            }
        }
    }
}

/// CPU seconds between two figures of an endpoint. Each series counts by itself: where one of several
/// workers is gone, the sum falls, and the others' past is spent but once.
fn cpu_spent(before: &ProcessFigures, after: &ProcessFigures) -> Option<f64> {
    let (total_before, total) = before.cpu_seconds.zip(after.cpu_seconds)?;
    if before.cpu_series.is_empty() || after.cpu_series.is_empty() {
        return Some(risen(total_before, total));
    }
    let rise = |(labels, value): (&u64, &f64)| match before.cpu_series.get(labels) {
        Some(before) => risen(*before, *value),
        None => *value,
    };
    Some(after.cpu_series.iter().map(rise).sum())
}

/// Whether a CPU counter fell; a series that is gone has not.
fn cpu_fell(before: &ProcessFigures, after: &ProcessFigures) -> Option<bool> {
    let (total_before, total) = before.cpu_seconds.zip(after.cpu_seconds)?;
    if before.cpu_series.is_empty() || after.cpu_series.is_empty() {
        return Some(total < total_before);
    }
    let mut series = after.cpu_series.iter();
    Some(
        series.any(|(labels, value)| {
            before.cpu_series.get(labels).is_some_and(|before| value < before)
        }),
    )
}

/// What both variants use now, as [`Usage::take`] of each. Network bytes are those of counters on both or of
/// answers on both: beside one another the two say nothing.
pub(crate) fn take_both(
    usage: &mut Pair<Usage>,
    now: Duration,
    fresh: Duration,
) -> Pair<Resources> {
    let mut both =
        Pair { stable: usage.stable.take(now, fresh), canary: usage.canary.take(now, fresh) };
    let Pair { stable, canary } = &mut both;
    let told = [&stable, &canary].iter().all(|of| of.network_bytes_per_request.is_some());
    if told && usage.stable.counts_network != usage.canary.counts_network {
        stable.network_bytes_per_request = usage.stable.answer_bytes;
        canary.network_bytes_per_request = usage.canary.answer_bytes;
    }
    both
}

/// By how much a counter rose; after a restart it began at zero again.
fn risen(before: f64, after: f64) -> f64 {
    if after < before { after } else { after - before }
}

/// Whether the process is another one than before; none if its figures do not tell.
fn restarted(before: &ProcessFigures, after: &ProcessFigures) -> Option<bool> {
    // Some exporters work the start time out anew from uptime: it wavers by less than a second.
    let started = before.started.zip(after.started).map(|(before, after)| after - before > 1.0);
    let fell = cpu_fell(before, after);
    match (started, fell) {
        (None, None) => None,
        (started, fell) => Some(started.unwrap_or(false) || fell.unwrap_or(false)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn read(usage: &mut Usage, now: Duration, readings: &[Reading], requests: Option<u64>) {
        let answered = requests.map(|live| Answered { live, probes: 0, bytes: live * 100 });
        usage.read(now, readings, answered, &LoadReport::default());
    }

    fn told(endpoint: &str, cpu: f64, memory: f64, started: f64) -> Reading {
        let figures = ProcessFigures {
            cpu_series: Default::default(),
            cpu_seconds: Some(cpu),
            memory_bytes: Some(memory),
            started: Some(started),
            network_bytes: None,
        };
        (endpoint.to_owned(), Some(figures))
    }

    #[test]
    fn cpu_is_the_rise_of_the_counters_and_memory_the_mean() {
        let mut usage = Usage::default();
        read(
            &mut usage,
            at(0),
            &[told("a", 10.0, 100.0, 1.0), told("b", 20.0, 300.0, 1.0)],
            Some(1000),
        );
        let first = usage.take(at(0), at(15));
        assert_eq!((first.cpu_cores, first.cpu_seconds_per_request), (None, None));
        assert_eq!(first.memory_bytes, Some(200.0));
        read(
            &mut usage,
            at(4),
            &[told("a", 12.0, 100.0, 1.0), told("b", 21.0, 300.0, 1.0)],
            Some(1600),
        );
        let second = usage.take(at(4), at(15));
        assert_eq!(second.cpu_cores, Some(0.75));
        assert_eq!(second.cpu_seconds_per_request, Some(3.0 / 600.0));
        assert_eq!(second.restarts, Some(0));
    }

    #[test]
    fn a_restart_is_seen_by_start_time_or_by_a_counter_that_fell_and_told_once() {
        let mut usage = Usage::default();
        read(&mut usage, at(0), &[told("a", 10.0, 1.0, 100.0), told("b", 10.0, 1.0, 100.0)], None);
        read(&mut usage, at(4), &[told("a", 11.0, 1.0, 104.0), told("b", 2.0, 1.0, 100.0)], None);
        let resources = usage.take(at(5), at(15));
        assert_eq!(resources.restarts, Some(2));
        assert_eq!(resources.cpu_cores, Some(0.75), "the counter that fell began at zero");
        assert_eq!(usage.take(at(6), at(15)).restarts, Some(0));
    }

    fn page(text: &str) -> Reading {
        let names = serinus_config::MetricNames::default();
        ("a".to_owned(), Some(crate::exposition::read(text, &names)))
    }

    #[test]
    fn a_worker_that_is_replaced_does_not_spend_what_the_others_spent_before() {
        let cpu = |series: [(&str, f64); 2]| {
            let line = |(id, value): (&str, f64)| {
                format!("process_cpu_seconds_total{{pid=\"{id}\"}} {value}\n")
            };
            page(&series.map(line).concat())
        };
        let mut usage = Usage::default();
        read(&mut usage, at(0), &[cpu([("1", 1000.0), ("2", 900.0)])], Some(0));
        read(&mut usage, at(5), &[cpu([("1", 1001.0), ("7", 0.5)])], Some(10));
        let resources = usage.take(at(5), at(15));
        assert_eq!(resources.cpu_seconds_per_request, Some(0.15));
        assert_eq!(resources.restarts, Some(0), "no counter fell");
        read(&mut usage, at(10), &[cpu([("1", 2.0), ("7", 1.5)])], Some(20));
        let resources = usage.take(at(10), at(15));
        assert_eq!(resources.cpu_seconds_per_request, Some(4.5 / 20.0), "from zero on again");
        assert_eq!(resources.restarts, Some(1));
    }

    #[test]
    fn network_bytes_of_counters_are_not_set_beside_those_of_answers() {
        let network = |bytes: f64| page(&format!("process_network_receive_bytes_total {bytes}\n"));
        let mut usage = Pair::<Usage>::default();
        for (second, answered) in [(0_u32, 0), (5, 10)] {
            let bytes = f64::from(second) * 1000.0;
            read(&mut usage.stable, at(second.into()), &[network(bytes)], Some(answered));
            read(&mut usage.canary, at(second.into()), &[page("")], Some(answered));
        }
        let both = take_both(&mut usage, at(5), at(15));
        let told = [both.stable, both.canary].map(|of| of.network_bytes_per_request);
        assert_eq!(told, [Some(100.0), Some(100.0)]);
        assert_eq!(usage.stable.take(at(5), at(15)).network_bytes_per_request, Some(500.0));
    }

    #[test]
    fn unknown_is_none_and_never_zero() {
        let mut usage = Usage::default();
        assert_eq!(usage.take(at(0), at(15)), Resources::default());
        for second in [0, 5, 10] {
            read(&mut usage, at(second), &[("a".to_owned(), None)], Some(second));
        }
        let traffic = Resources {
            network_bytes_per_request: Some(100.0),
            probe_share: Some(0.0),
            ..Resources::default()
        };
        assert_eq!(usage.take(at(10), at(15)), traffic);
        let silent = ProcessFigures { memory_bytes: Some(7.0), ..ProcessFigures::default() };
        for second in [15, 20] {
            read(&mut usage, at(second), &[("a".to_owned(), Some(silent.clone()))], Some(second));
        }
        let expected = Resources { memory_bytes: Some(7.0), ..traffic };
        assert_eq!(usage.take(at(20), at(15)), expected);
    }

    #[test]
    fn old_readings_are_unknown_but_a_restart_once_seen_is_told() {
        let mut usage = Usage::default();
        read(&mut usage, at(0), &[told("a", 10.0, 1.0, 100.0)], None);
        read(&mut usage, at(5), &[told("a", 11.0, 1.0, 200.0)], None);
        let resources = usage.take(at(21), at(15));
        assert_eq!(resources, Resources { restarts: Some(1), ..Resources::default() });
        assert_eq!(usage.take(at(22), at(15)), Resources::default());
    }

    #[test]
    fn an_endpoint_that_does_not_tell_leaves_the_sum_and_spoils_the_cost_per_request() {
        let mut usage = Usage::default();
        read(&mut usage, at(0), &[told("a", 0.0, 1.0, 1.0), told("b", 0.0, 1.0, 1.0)], Some(0));
        read(&mut usage, at(5), &[told("a", 5.0, 1.0, 1.0), ("b".to_owned(), None)], Some(100));
        let resources = usage.take(at(5), at(15));
        assert_eq!((resources.cpu_cores, resources.cpu_seconds_per_request), (Some(1.0), None));
        // It tells again: its rise counts over the time it took.
        read(
            &mut usage,
            at(10),
            &[told("a", 10.0, 1.0, 1.0), told("b", 10.0, 1.0, 1.0)],
            Some(200),
        );
        assert_eq!(usage.take(at(10), at(15)).cpu_cores, Some(2.0));
    }

    #[test]
    fn cost_per_request_looks_back_over_the_window_alone() {
        let mut usage = Usage::default();
        let mut cpu = 0.0;
        for step in 0..20 {
            read(&mut usage, at(step * 5), &[told("a", cpu, 1.0, 1.0)], Some(step * 10));
            cpu += if step < 10 { 1.0 } else { 2.0 };
        }
        assert_eq!(usage.take(at(95), at(15)).cpu_seconds_per_request, Some(0.2));
    }

    #[test]
    fn network_bytes_are_counters_where_told_and_else_what_the_answers_held() {
        let network = |bytes: f64| {
            let figures =
                ProcessFigures { network_bytes: Some(bytes), ..ProcessFigures::default() };
            [("a".to_owned(), Some(figures))]
        };
        let mut usage = Usage::default();
        read(&mut usage, at(0), &network(1000.0), Some(0));
        read(&mut usage, at(5), &network(4000.0), Some(10));
        assert_eq!(usage.take(at(5), at(15)).network_bytes_per_request, Some(300.0));
        read(&mut usage, at(10), &network(500.0), Some(20));
        let restarted = usage.take(at(10), at(15)).network_bytes_per_request;
        assert_eq!(restarted, Some(175.0), "a counter that fell began at zero");
        let mut silent = Usage::default();
        read(&mut silent, at(0), &[], Some(0));
        read(&mut silent, at(5), &[], Some(10));
        assert_eq!(silent.take(at(5), at(15)).network_bytes_per_request, Some(100.0));
    }

    #[test]
    fn what_the_process_says_of_its_load_is_taken() {
        let mut usage = Usage::default();
        let load = LoadReport {
            cpu_utilization: Some(0.5),
            memory_utilization: Some(0.7),
            requests_per_second: Some(50.0),
            ..LoadReport::default()
        };
        usage.read(at(0), &[], Some(Answered::default()), &load);
        let told = usage.take(at(0), at(15));
        assert_eq!((told.cpu_utilization, told.memory_utilization), (Some(0.5), Some(0.7)));
        assert_eq!(told.cpu_seconds_per_request, Some(0.01));
        let exact = LoadReport { cpu_seconds: Some(0.03), memory_bytes: Some(9.0), ..load };
        usage.read(at(5), &[], Some(Answered { live: 3, probes: 1, bytes: 0 }), &exact);
        let told = usage.take(at(5), at(15));
        assert_eq!((told.cpu_seconds_per_request, told.memory_bytes), (Some(0.03), Some(9.0)));
        assert_eq!(told.probe_share, Some(1.0), "the cost is that of probes");
        usage.read(at(40), &[], Some(Answered { live: 6, probes: 2, bytes: 0 }), &load);
        let told = usage.take(at(40), at(15));
        assert_eq!(told.cpu_seconds_per_request, Some(0.01), "the cost was told too long ago");
        assert_eq!(told.probe_share, Some(0.25));
    }
}
