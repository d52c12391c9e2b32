//! Reports of many answers, gathered by those who carry them and read by the one who looks.

use super::{LoadReport, of};
use http::HeaderMap;
use serinus_models::Pair;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Of live traffic one report in this time is read: a level does not change faster.
const EVERY: Duration = Duration::from_millis(50);

/// Reports of one variant since they were taken out last.
#[derive(Debug, Default)]
pub struct Reports {
    /// Microseconds of the owner's epoch from which on the next report is read.
    due: AtomicU64,
    sums: Mutex<Sums>,
}

#[derive(Debug, Default)]
struct Sums {
    cpu_utilization: Mean,
    memory_utilization: Mean,
    requests_per_second: Mean,
    cpu_seconds: Mean,
    memory_bytes: Mean,
}

#[derive(Debug, Default)]
struct Mean {
    sum: f64,
    count: u32,
}

impl Mean {
    fn add(&mut self, value: Option<f64>) {
        if let Some(value) = value {
            self.sum += value;
            self.count += 1;
        }
    }

    fn take(self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / f64::from(self.count))
    }
}

impl Reports {
    /// Reads the report of a live answer, if one is due; never waits, and parses 20 a second at most.
    pub fn hear(&self, headers: &HeaderMap, since_epoch: Duration) {
        let now = u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX);
        if now < self.due.load(Ordering::Relaxed) {
            return;
        }
        match of(headers) {
            None => {}
            Some(Ok(report)) => {
                self.due.store(now.saturating_add(EVERY.as_micros() as u64), Ordering::Relaxed);
                // What a user's request cost says nothing beside what another user's did.
                let report = LoadReport { cpu_seconds: None, ..report };
                if let Ok(mut sums) = self.sums.try_lock() {
                    sums.add(&report);
                }
            }
            Some(Err(error)) => {
                self.due.store(now.saturating_add(EVERY.as_micros() as u64), Ordering::Relaxed);
                tracing::debug!(%error, "a load report was refused");
            }
        }
    }

    /// Takes up the report of a probe's run. What its requests cost is the same work on both variants.
    pub fn add(&self, report: &LoadReport) {
        self.sums.lock().unwrap_or_else(PoisonError::into_inner).add(report);
    }

    /// The mean of every figure since the last call; what nobody told is none.
    pub fn take(&self) -> LoadReport {
        let sums = std::mem::take(&mut *self.sums.lock().unwrap_or_else(PoisonError::into_inner));
        LoadReport {
            cpu_utilization: sums.cpu_utilization.take(),
            memory_utilization: sums.memory_utilization.take(),
            requests_per_second: sums.requests_per_second.take(),
            cpu_seconds: sums.cpu_seconds.take(),
            memory_bytes: sums.memory_bytes.take(),
        }
    }
}

/// The last that was told of each figure, and when: what answers few requests tells rarely.
#[derive(Debug, Default)]
pub(crate) struct RecentLoad {
    cpu_utilization: Told,
    memory_utilization: Told,
    requests_per_second: Told,
    memory_bytes: Told,
}

type Told = Option<(Duration, f64)>;

impl RecentLoad {
    /// Takes up what was told since the last call. Gives what is not older than `fresh`; what a request
    /// cost only where it was told just now.
    pub(crate) fn hear(&mut self, now: Duration, load: &LoadReport, fresh: Duration) -> LoadReport {
        let hear = |told: &mut Told, value: Option<f64>| {
            *told = value
                .map(|value| (now, value))
                .or(told.filter(|(at, _)| now.saturating_sub(*at) <= fresh));
            told.map(|(_, value)| value)
        };
        LoadReport {
            cpu_utilization: hear(&mut self.cpu_utilization, load.cpu_utilization),
            memory_utilization: hear(&mut self.memory_utilization, load.memory_utilization),
            requests_per_second: hear(&mut self.requests_per_second, load.requests_per_second),
            cpu_seconds: load.cpu_seconds,
            memory_bytes: hear(&mut self.memory_bytes, load.memory_bytes),
        }
    }
}

impl Sums {
    fn add(&mut self, report: &LoadReport) {
        self.cpu_utilization.add(report.cpu_utilization);
        self.memory_utilization.add(report.memory_utilization);
        self.requests_per_second.add(report.requests_per_second);
        self.cpu_seconds.add(report.cpu_seconds);
        self.memory_bytes.add(report.memory_bytes);
    }
}

/// By name.
type Services = HashMap<Arc<str>, Arc<Pair<Reports>>>;

/// The reports of every service, shared between who hears them and who reads them.
#[derive(Debug, Clone)]
pub struct LoadReports {
    epoch: Instant,
    services: Arc<Mutex<Services>>,
}

impl Default for LoadReports {
    fn default() -> Self {
        LoadReports { epoch: Instant::now(), services: Arc::default() }
    }
}

impl LoadReports {
    /// The reports of a service; the same for as long as this lives.
    pub fn of(&self, service: &str) -> Arc<Pair<Reports>> {
        let mut services = self.services.lock().unwrap_or_else(PoisonError::into_inner);
        services.entry(service.into()).or_default().clone()
    }

    /// When reports count from.
    pub fn epoch(&self) -> Instant {
        self.epoch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_rarely_is_known_for_a_while_and_then_no_more() {
        let seconds = Duration::from_secs;
        let told =
            LoadReport { memory_bytes: Some(5.0), cpu_seconds: Some(1.0), ..LoadReport::default() };
        let mut recent = RecentLoad::default();
        let mut hear = |at, load: &LoadReport| recent.hear(seconds(at), load, seconds(15));
        assert_eq!(hear(0, &LoadReport::default()), LoadReport::default(), "never zero");
        assert_eq!(hear(5, &told), told);
        let silence = LoadReport::default();
        assert_eq!(hear(10, &silence), LoadReport { cpu_seconds: None, ..told });
        assert_eq!(hear(20, &silence).memory_bytes, Some(5.0));
        assert_eq!(hear(25, &silence), silence);
    }
}
