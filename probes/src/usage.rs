//! From readings of process figures to what a variant uses.

use crate::exposition::ProcessFigures;
use serinus_models::Resources;
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
    requests: Option<u64>,
    /// Newest last: readings in which every endpoint told its CPU.
    spent: VecDeque<Spent>,
    restarts: Option<u32>,
    now: Resources,
    read_at: Option<Duration>,
}

/// CPU and requests between two readings.
#[derive(Debug, Clone, Copy)]
struct Spent {
    at: Duration,
    cpu_seconds: f64,
    requests: u64,
}

/// One endpoint's answer: its address, and its figures if it told any.
pub(crate) type Reading = (String, Option<ProcessFigures>);

impl Usage {
    /// Takes up one reading of every endpoint. `requests` is how many requests the variant has answered,
    /// ever; none if nobody counts.
    pub(crate) fn read(&mut self, now: Duration, readings: &[Reading], requests: Option<u64>) {
        self.last.retain(|endpoint, _| readings.iter().any(|(known, _)| known == endpoint));
        let mut cores = None;
        let mut cpu_seconds = 0.0;
        let mut complete = !readings.is_empty();
        let mut memory = Vec::new();
        for (endpoint, figures) in readings {
            let Some(figures) = figures else {
                complete = false;
                continue;
            };
            memory.extend(figures.memory_bytes);
            let Some((then, before)) = self.last.insert(endpoint.clone(), (now, *figures)) else {
                complete = false;
                continue;
            };
            if let Some(restarted) = restarted(&before, figures) {
                *self.restarts.get_or_insert(0) += u32::from(restarted);
            }
            let span = now.saturating_sub(then).as_secs_f64();
            match (before.cpu_seconds, figures.cpu_seconds) {
                (Some(before), Some(after)) if span > 0.0 => {
                    // After a restart the counter began at zero again.
                    let spent = if after < before { after } else { after - before };
                    cpu_seconds += spent;
                    *cores.get_or_insert(0.0) += spent / span;
                }
                _ => complete = false,
            }
        }
        let answered =
            requests.zip(self.requests).map(|(after, before)| after.saturating_sub(before));
        match answered {
            // An endpoint whose CPU is unknown answered requests all the same: such a reading tells
            // nothing per request.
            Some(requests) if complete => {
                self.spent.push_back(Spent { at: now, cpu_seconds, requests })
            }
            _ => self.spent.clear(),
        }
        while self.spent.front().is_some_and(|oldest| now.saturating_sub(oldest.at) > WINDOW) {
            self.spent.pop_front();
        }
        self.requests = requests;
        self.read_at = Some(now);
        self.now = Resources {
            cpu_cores: cores,
            cpu_seconds_per_request: self.per_request(),
            memory_bytes: (!memory.is_empty())
                .then(|| memory.iter().sum::<f64>() / memory.len() as f64),
            restarts: None,
        };
    }

    fn per_request(&self) -> Option<f64> {
        let requests: u64 = self.spent.iter().map(|spent| spent.requests).sum();
        let cpu: f64 = self.spent.iter().map(|spent| spent.cpu_seconds).sum();
        (requests > 0).then(|| cpu / requests as f64)
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

/// Whether the process is another one than before; none if its figures do not tell.
fn restarted(before: &ProcessFigures, after: &ProcessFigures) -> Option<bool> {
    // Some exporters work the start time out anew from uptime: it wavers by less than a second.
    let started = before.started.zip(after.started).map(|(before, after)| after - before > 1.0);
    let fell = before.cpu_seconds.zip(after.cpu_seconds).map(|(before, after)| after < before);
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

    fn told(endpoint: &str, cpu: f64, memory: f64, started: f64) -> Reading {
        let figures = ProcessFigures {
            cpu_seconds: Some(cpu),
            memory_bytes: Some(memory),
            started: Some(started),
        };
        (endpoint.to_owned(), Some(figures))
    }

    #[test]
    fn cpu_is_the_rise_of_the_counters_and_memory_the_mean() {
        let mut usage = Usage::default();
        usage.read(at(0), &[told("a", 10.0, 100.0, 1.0), told("b", 20.0, 300.0, 1.0)], Some(1000));
        let first = usage.take(at(0), at(15));
        assert_eq!((first.cpu_cores, first.cpu_seconds_per_request), (None, None));
        assert_eq!(first.memory_bytes, Some(200.0));
        usage.read(at(4), &[told("a", 12.0, 100.0, 1.0), told("b", 21.0, 300.0, 1.0)], Some(1600));
        let second = usage.take(at(4), at(15));
        assert_eq!(second.cpu_cores, Some(0.75));
        assert_eq!(second.cpu_seconds_per_request, Some(3.0 / 600.0));
        assert_eq!(second.restarts, Some(0));
    }

    #[test]
    fn a_restart_is_seen_by_start_time_or_by_a_counter_that_fell_and_told_once() {
        let mut usage = Usage::default();
        usage.read(at(0), &[told("a", 10.0, 1.0, 100.0), told("b", 10.0, 1.0, 100.0)], None);
        usage.read(at(4), &[told("a", 11.0, 1.0, 104.0), told("b", 2.0, 1.0, 100.0)], None);
        let resources = usage.take(at(5), at(15));
        assert_eq!(resources.restarts, Some(2));
        assert_eq!(resources.cpu_cores, Some(0.75), "the counter that fell began at zero");
        assert_eq!(usage.take(at(6), at(15)).restarts, Some(0));
    }

    #[test]
    fn unknown_is_none_and_never_zero() {
        let mut usage = Usage::default();
        assert_eq!(usage.take(at(0), at(15)), Resources::default());
        for second in [0, 5, 10] {
            usage.read(at(second), &[("a".to_owned(), None)], Some(second));
        }
        assert_eq!(usage.take(at(10), at(15)), Resources::default());
        let silent = ProcessFigures { memory_bytes: Some(7.0), ..ProcessFigures::default() };
        for second in [15, 20] {
            usage.read(at(second), &[("a".to_owned(), Some(silent))], Some(second));
        }
        let expected = Resources { memory_bytes: Some(7.0), ..Resources::default() };
        assert_eq!(usage.take(at(20), at(15)), expected);
    }

    #[test]
    fn old_readings_are_unknown_but_a_restart_once_seen_is_told() {
        let mut usage = Usage::default();
        usage.read(at(0), &[told("a", 10.0, 1.0, 100.0)], None);
        usage.read(at(5), &[told("a", 11.0, 1.0, 200.0)], None);
        let resources = usage.take(at(21), at(15));
        assert_eq!(resources, Resources { restarts: Some(1), ..Resources::default() });
        assert_eq!(usage.take(at(22), at(15)), Resources::default());
    }

    #[test]
    fn an_endpoint_that_does_not_tell_leaves_the_sum_and_spoils_the_cost_per_request() {
        let mut usage = Usage::default();
        usage.read(at(0), &[told("a", 0.0, 1.0, 1.0), told("b", 0.0, 1.0, 1.0)], Some(0));
        usage.read(at(5), &[told("a", 5.0, 1.0, 1.0), ("b".to_owned(), None)], Some(100));
        let resources = usage.take(at(5), at(15));
        assert_eq!((resources.cpu_cores, resources.cpu_seconds_per_request), (Some(1.0), None));
        // It tells again: its rise counts over the time it took.
        usage.read(at(10), &[told("a", 10.0, 1.0, 1.0), told("b", 10.0, 1.0, 1.0)], Some(200));
        assert_eq!(usage.take(at(10), at(15)).cpu_cores, Some(2.0));
    }

    #[test]
    fn cost_per_request_looks_back_over_the_window_alone() {
        let mut usage = Usage::default();
        let mut cpu = 0.0;
        for step in 0..20 {
            usage.read(at(step * 5), &[told("a", cpu, 1.0, 1.0)], Some(step * 10));
            cpu += if step < 10 { 1.0 } else { 2.0 };
        }
        assert_eq!(usage.take(at(95), at(15)).cpu_seconds_per_request, Some(0.2));
    }
}
