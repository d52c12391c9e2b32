//! From a row's sums to requests, and from those to what an evaluation tick sees.
//!
//! A row says how many requests there were in five minutes, how many failed and between which latencies
//! they lie; when in the five minutes each came it does not say. So requests are spread evenly at random
//! over the row, failures and latencies independently of each other.

use crate::metrics::{ROW_SECONDS, Row, SHARES};
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_xoshiro::Xoshiro256PlusPlus;
use serinus_models::{Outcome, Pair, ProbeResult, Sample};

/// The fastest request, as a share of the median: the data has no quantile below the median.
const FASTEST: f64 = 0.25;

/// Latencies between the quantiles of a row: linear in the logarithm.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Latencies([(f64, f64); SHARES.len() + 2]);

impl Latencies {
    /// `None` where the row has no quantiles. Beyond the last quantile latencies go on growing as they
    /// did between the last two.
    pub(crate) fn of(row: &Row) -> Option<Latencies> {
        let seconds = row.quantiles?;
        let ln = seconds.map(|seconds| libm::log(seconds.max(1e-6)));
        let mut points = [(0.0, ln[0] + libm::log(FASTEST)); SHARES.len() + 2];
        for (point, known) in points[1..].iter_mut().zip(SHARES.into_iter().zip(ln)) {
            *point = known;
        }
        points[SHARES.len() + 1] = (1.0, 2.0 * ln[3] - ln[2]);
        Some(Latencies(points))
    }

    /// The latency in microseconds that a share `u` (0 to 1) of the requests stays below.
    pub(crate) fn at(&self, u: f64) -> u64 {
        let upper = self.0.iter().position(|(share, _)| u < *share).unwrap_or(self.0.len() - 1);
        let ((from, low), (to, high)) = (self.0[upper.max(1) - 1], self.0[upper.max(1)]);
        let ln = low + (high - low) * ((u - from) / (to - from)).clamp(0.0, 1.0);
        (libm::exp(ln) * 1e6) as u64
    }

    /// The mean in seconds: to hold against the mean that the data has.
    pub(crate) fn mean(&self) -> f64 {
        let steps = 10_000;
        let micros = (0..steps).map(|n| self.at((f64::from(n) + 0.5) / f64::from(steps)));
        micros.sum::<u64>() as f64 / f64::from(steps) / 1e6
    }
}

/// One request; what its row does not know of it is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Request {
    failed: Option<bool>,
    micros: Option<u64>,
}

impl Request {
    fn record(self, sample: &mut Sample) {
        if let Some(failed) = self.failed {
            sample.outcomes.add(if failed { Outcome::ServerError } else { Outcome::Ok }, 1);
        }
        if let Some(micros) = self.micros {
            sample.latency.record(micros);
        }
    }
}

/// A row second by second.
pub(crate) type Seconds = Vec<Sample>;

/// The row's own requests: exactly as many, exactly as many failed, and latencies that have the row's
/// quantiles. None where the row does not know how many there were.
fn own_requests(row: &Row, dice: &mut Xoshiro256PlusPlus) -> Vec<Request> {
    let count = row.requests.unwrap_or(0);
    let latencies = Latencies::of(row);
    let mut failed: Vec<Option<bool>> =
        (0..count).map(|n| row.failures.map(|failures| n < failures)).collect();
    failed.shuffle(dice);
    let requests = failed.into_iter().enumerate().map(|(n, failed)| {
        let u = (n as f64 + dice.random::<f64>()) / count as f64;
        Request { failed, micros: latencies.map(|latencies| latencies.at(u)) }
    });
    requests.collect()
}

/// The row's requests as they were recorded.
pub(crate) fn recorded(row: &Row, dice: &mut Xoshiro256PlusPlus) -> Seconds {
    let mut seconds = vec![Sample::default(); ROW_SECONDS as usize];
    for request in own_requests(row, dice) {
        request.record(&mut seconds[dice.random_range(0..ROW_SECONDS) as usize]);
    }
    seconds
}

/// `count` other requests to a node in the state of `row`: drawn anew, each for itself.
pub(crate) fn resampled(row: &Row, count: u64, dice: &mut Xoshiro256PlusPlus) -> Seconds {
    let mut seconds = vec![Sample::default(); ROW_SECONDS as usize];
    if row.requests.is_none() {
        return seconds;
    }
    let latencies = Latencies::of(row);
    let failing = failing_share(row);
    for _ in 0..count {
        let request = Request {
            failed: failing.map(|share| dice.random::<f64>() < share),
            micros: latencies.map(|latencies| latencies.at(dice.random())),
        };
        request.record(&mut seconds[dice.random_range(0..ROW_SECONDS) as usize]);
    }
    seconds
}

/// The row's requests dealt to both variants by a coin: what a proxy does with one healthy version.
pub(crate) fn dealt(row: &Row, dice: &mut Xoshiro256PlusPlus) -> Pair<Seconds> {
    let empty = || vec![Sample::default(); ROW_SECONDS as usize];
    let mut dealt = Pair { stable: empty(), canary: empty() };
    for request in own_requests(row, dice) {
        let side = if dice.random() { &mut dealt.canary } else { &mut dealt.stable };
        request.record(&mut side[dice.random_range(0..ROW_SECONDS) as usize]);
    }
    dealt
}

/// Share of the row's requests that failed; `None` if that is not known or there were none.
pub(crate) fn failing_share(row: &Row) -> Option<f64> {
    let requests = row.requests.filter(|requests| *requests > 0)?;
    Some(row.failures? as f64 / requests as f64)
}

/// One probe of a node in the state of `row`; `None` where the row knows too little.
pub(crate) fn probed(row: &Row, dice: &mut Xoshiro256PlusPlus) -> Option<ProbeResult> {
    let (failing, latencies) = (failing_share(row)?, Latencies::of(row)?);
    let failed = dice.random::<f64>() < failing;
    let outcome = if failed { Outcome::ServerError } else { Outcome::Ok };
    Some(ProbeResult { outcome, micros: latencies.at(dice.random()) })
}
