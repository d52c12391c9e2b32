//! What the canary's processes use against stable's: levels for people, and reasons to go no further.
//!
//! A guard holds a release; it never takes one back, and no e-value comes of it: two processes are no sample.
//! It asks for the same thing in three spans of time one after the other, because a single reading is coarse
//! (CPU is counted in hundredths of a second) and a process that warms up grows too, ever more slowly.

use crate::evaluation::Reason;
use crate::sample::{Pair, Resources};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::time::Duration;

/// Readings are put together over this much time.
const BUCKET: Duration = Duration::from_secs(10);
/// Buckets that are remembered: eleven minutes.
const REMEMBERED: u64 = 66;
/// Buckets of one of the three spans: half a minute, and for a slow leak three minutes.
const SPANS: [u64; 2] = [3, 18];
/// Restarts are counted over so many buckets: ten minutes.
const RESTARTS_OVER: u64 = 60;
/// From so many restarts on it is no accident.
const MANY_RESTARTS: u32 = 2;
/// Growth of memory over the three spans that matters, against what there was.
const LEAST_GROWTH: f64 = 0.05;
/// ... and in bytes, where it is told in bytes.
const LEAST_GROWTH_BYTES: f64 = 4.0 * 1024.0 * 1024.0;
/// The last span grows at least so much as the first: what slows down is warming up.
const UNSLOWED: f64 = 0.5;
/// CPU seconds beyond stable's cost below which counters are too coarse to tell.
const LEAST_EXCESS_SECONDS: f64 = 0.1;
/// Requests of both variants are of the same kind where the share of probes differs by no more than this.
const ALIKE: f64 = 0.2;
/// Below this ratio of CPU per request two builds of the same program differ, too.
const LEAST_RATIO: f64 = 1.2;

/// What a variant's processes use now; what is not told is none.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ResourceLevels {
    /// CPU seconds per request answered.
    pub cpu_seconds_per_request: Option<f64>,
    /// Resident bytes, the mean over the endpoints.
    pub memory_bytes: Option<f64>,
    /// How much of that came in a minute, over the last one and a half.
    pub memory_bytes_per_minute: Option<f64>,
    /// Bytes over the network per request answered.
    pub network_bytes_per_request: Option<f64>,
    /// Share of the CPU in use, as the process tells it.
    pub cpu_utilization: Option<f64>,
    /// Share of the memory in use, as the process tells it.
    pub memory_utilization: Option<f64>,
    /// Process starts seen in the last ten minutes.
    pub restarts: Option<u32>,
}

/// Remembers what both variants used.
#[derive(Debug, Clone, Default)]
pub(crate) struct Guard {
    seen: Pair<VecDeque<Bucket>>,
    latest: Pair<Resources>,
}

/// Means over ten seconds.
#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    /// Which ten seconds since the epoch.
    index: u64,
    cpu: Mean,
    cores: Mean,
    memory: Mean,
    probe_share: Mean,
    restarts: Option<u32>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Mean {
    sum: f64,
    count: u32,
}

impl Mean {
    fn add(&mut self, value: Option<f64>) {
        if let Some(value) = value.filter(|value| value.is_finite()) {
            self.sum += value;
            self.count += 1;
        }
    }

    fn get(self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / f64::from(self.count))
    }
}

impl Guard {
    /// Takes in a reading.
    pub(crate) fn take(&mut self, now: Timestamp, resources: &Pair<Resources>) {
        self.latest = *resources;
        let index = now.0 / BUCKET.as_millis() as u64;
        for (seen, told) in
            [(&mut self.seen.stable, &resources.stable), (&mut self.seen.canary, &resources.canary)]
        {
            if seen.back().is_none_or(|last| last.index < index) {
                seen.push_back(Bucket { index, ..Bucket::default() });
            }
            while seen.front().is_some_and(|first| first.index + REMEMBERED < index) {
                seen.pop_front();
            }
            let Some(bucket) = seen.back_mut() else { continue };
            bucket.cpu.add(told.cpu_seconds_per_request);
            bucket.cores.add(told.cpu_cores);
            bucket.memory.add(told.memory_bytes.or(told.memory_utilization));
            bucket.probe_share.add(told.probe_share);
            if let Some(restarts) = told.restarts {
                bucket.restarts = Some(bucket.restarts.unwrap_or(0).saturating_add(restarts));
            }
        }
    }

    /// Why the release should go no further now; empty where nothing speaks against it. `margin` is the ratio of
    /// CPU per request that is tolerated.
    pub(crate) fn reasons(&self, now: Timestamp, margin: f64) -> Vec<Reason> {
        let found = [self.cpu(now, margin), self.memory(now), self.restarts(now)];
        let reasons = found.into_iter().flatten();
        reasons.map(|text| Reason::new("resources", text)).collect()
    }

    /// What both use now.
    pub(crate) fn levels(&self, now: Timestamp) -> Pair<ResourceLevels> {
        let of = |seen: &VecDeque<Bucket>, told: &Resources| ResourceLevels {
            cpu_seconds_per_request: told.cpu_seconds_per_request,
            memory_bytes: told.memory_bytes,
            memory_bytes_per_minute: told.memory_bytes.and_then(|_| {
                let levels = levels(seen, last_full(now), SPANS[0], |bucket| bucket.memory)?;
                let minutes = 3.0 * SPANS[0] as f64 * BUCKET.as_secs_f64() / 60.0;
                Some((levels[3] - levels[0]) / minutes)
            }),
            network_bytes_per_request: told.network_bytes_per_request,
            cpu_utilization: told.cpu_utilization,
            memory_utilization: told.memory_utilization,
            restarts: restarts(seen, now),
        };
        Pair {
            stable: of(&self.seen.stable, &self.latest.stable),
            canary: of(&self.seen.canary, &self.latest.canary),
        }
    }

    /// Whether a request costs the canary more, in each of three half minutes.
    fn cpu(&self, now: Timestamp, margin: f64) -> Option<String> {
        let margin = margin.max(LEAST_RATIO);
        let end = last_full(now);
        let mut costs = Vec::new();
        let mut excess_seconds = Some(0.0);
        for third in 0..3 {
            let from = end.checked_sub((3 - third) * SPANS[0] - 1)?;
            let within = |seen, of: fn(&Bucket) -> Mean| mean(seen, from, from + SPANS[0], of);
            let both = |of: fn(&Bucket) -> Mean| {
                Some((within(&self.seen.stable, of)?, within(&self.seen.canary, of)?))
            };
            let (stable, canary) = both(|bucket| bucket.cpu)?;
            let (of_stable, of_canary) = both(|bucket| bucket.probe_share)?;
            if stable <= 0.0 || canary < margin * stable || (of_stable - of_canary).abs() > ALIKE {
                return None;
            }
            // Of a process that tells its own cost there are no counters, and no coarseness.
            let cores = within(&self.seen.canary, |bucket| bucket.cores);
            let span = SPANS[0] as f64 * BUCKET.as_secs_f64();
            excess_seconds = excess_seconds
                .zip(cores)
                .map(|(sum, cores)| sum + cores * span * (1.0 - stable / canary));
            costs.push((stable, canary));
        }
        if excess_seconds.is_some_and(|seconds| seconds < LEAST_EXCESS_SECONDS) {
            return None;
        }
        let (stable, canary) = costs.iter().fold((0.0, 0.0), |(s, c), (a, b)| (s + a, c + b));
        let millis = |sum: f64| sum / costs.len() as f64 * 1e3;
        Some(format!(
            "a request costs the canary {:.1} ms of CPU and stable {:.1} ms, {:.2} times as much, in each of the last three half minutes",
            millis(canary),
            millis(stable),
            canary / stable
        ))
    }

    /// Whether the canary's memory grows without an end in sight, and stable's does not.
    fn memory(&self, now: Timestamp) -> Option<String> {
        let end = last_full(now);
        SPANS.into_iter().find_map(|span| {
            let canary = levels(&self.seen.canary, end, span, |bucket| bucket.memory)?;
            let rises = [canary[1] - canary[0], canary[2] - canary[1], canary[3] - canary[2]];
            let growth = growth(&canary)?;
            let in_bytes = self.latest.canary.memory_bytes.is_some();
            let is_much = growth >= LEAST_GROWTH
                && (!in_bytes || canary[3] - canary[0] >= LEAST_GROWTH_BYTES);
            let goes_on = rises.iter().all(|rise| *rise > 0.0) && rises[2] >= UNSLOWED * rises[0];
            let usual = self.usual_growth(end, span)?;
            if !is_much || !goes_on || growth <= 2.0 * usual {
                return None;
            }
            let seconds = 3 * span * BUCKET.as_secs();
            let level = |level: f64| match in_bytes {
                true => format!("{:.1} MiB", level / 1_048_576.0),
                false => format!("{:.0}% of its memory", level * 100.0),
            };
            Some(format!(
                "the canary's memory grew from {} to {} in {seconds} s and goes on growing; stable's grew by {:.1}%",
                level(canary[0]),
                level(canary[3]),
                usual * 100.0
            ))
        })
    }

    /// The most that stable grew in so much time, as far as it is remembered; none where it is not told.
    fn usual_growth(&self, end: u64, span: u64) -> Option<f64> {
        let ends = (0..=REMEMBERED).filter_map(|back| end.checked_sub(back));
        ends.filter_map(|end| {
            growth(&levels(&self.seen.stable, end, span, |bucket| bucket.memory)?)
        })
        .map(|growth| growth.max(0.0))
        .reduce(f64::max)
    }

    /// Whether the canary starts again and again, and stable does not.
    fn restarts(&self, now: Timestamp) -> Option<String> {
        let canary = restarts(&self.seen.canary, now)?;
        let stable = restarts(&self.seen.stable, now).unwrap_or(0);
        (canary >= MANY_RESTARTS && canary > stable + 1).then(|| {
            format!("the canary's processes started {canary} times in the last ten minutes, stable's {stable} times")
        })
    }
}

/// The last ten seconds that are over.
fn last_full(now: Timestamp) -> u64 {
    (now.0 / BUCKET.as_millis() as u64).saturating_sub(1)
}

/// The mean over the buckets from `from` to before `to`; none where more than half of them do not tell.
fn mean(seen: &VecDeque<Bucket>, from: u64, to: u64, of: impl Fn(&Bucket) -> Mean) -> Option<f64> {
    let within = seen.iter().filter(|bucket| (from..to).contains(&bucket.index));
    let (sum, count) = within
        .filter_map(|bucket| of(bucket).get())
        .fold((0.0, 0u64), |(sum, count), value| (sum + value, count + 1));
    (count * 2 >= to - from && count > 0).then(|| sum / count as f64)
}

/// Levels at the ends of three spans that end with bucket `end`, oldest first.
fn levels(
    seen: &VecDeque<Bucket>,
    end: u64,
    span: u64,
    of: impl Fn(&Bucket) -> Mean + Copy,
) -> Option<[f64; 4]> {
    let at = |back: u64| {
        let index = end.checked_sub(back * span)?;
        // A reading that failed is made good by its neighbour.
        mean(seen, index, index + 1, of).or_else(|| mean(seen, index.checked_sub(1)?, index, of))
    };
    Some([at(3)?, at(2)?, at(1)?, at(0)?])
}

/// From the first level to the last, against the first.
fn growth(levels: &[f64; 4]) -> Option<f64> {
    (levels[0] > 0.0).then(|| (levels[3] - levels[0]) / levels[0])
}

fn restarts(seen: &VecDeque<Bucket>, now: Timestamp) -> Option<u32> {
    let index = now.0 / BUCKET.as_millis() as u64;
    let within = seen.iter().filter(|bucket| bucket.index + RESTARTS_OVER > index);
    within.filter_map(|bucket| bucket.restarts).reduce(u32::saturating_add)
}

#[cfg(test)]
mod tests;
