//! Kayenta with its `NetflixACAJudge`, as documented and as its judge does it (spinnaker.io, "How canary
//! judgment works" and "Best practices"; spinnaker/kayenta, `docs/canary-config.md`, `NetflixACAJudge.scala`,
//! `MannWhitneyClassifier.scala`, `WeightedSumScorer.scala`).
//!
//! - One point a minute, variant and metric. Two metrics, each a group of half the weight, `direction: increase`:
//!   share of failed requests, 99th percentile of latency. `nanStrategy: remove`: a minute without requests gives no point.
//! - A metric is `High` where the lower end of the 98% Mann-Whitney interval of canary less baseline is above
//!   `0.25 * |estimate|` (the judge's tolerance) and the mean ratio is at least 1 (the default effect size).
//! - `Nodata` where either side has no point. It counts as passed within the score, but with half of the metrics
//!   without data the canary fails.
//! - The score is the weight of the groups that passed; below `pass: 75` (here also the marginal score) the
//!   canary fails, at once.
//!
//! Kinder than the documentation: judged every 10 minutes over all points so far, where hours are
//! recommended (at least 50 points, an interval of an hour), so that it can say anything in a stage of 30 minutes. Stable
//! as a whole takes the place of the separate baseline deployment.

use super::super::metrics::{Metrics, SLICE};
use super::Watcher;
use super::mann_whitney::significantly_above;
use serinus_models::Pair;
use std::time::Duration;

const STEP: Duration = Duration::from_secs(60);
const INTERVAL: u32 = 10;
const TOLERANCE: f64 = 0.25;
const GROUP_WEIGHT: f64 = 50.0;
const PASS: f64 = 75.0;
const TOO_MUCH_NODATA: f64 = 0.5;

#[derive(Debug, Default)]
pub(super) struct Kayenta {
    minute: Metrics,
    filled: Duration,
    minutes: u32,
    failed_share: Pair<Vec<f64>>,
    p99: Pair<Vec<f64>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Classification {
    Pass,
    High,
    Nodata,
}

fn classify(points: &Pair<Vec<f64>>) -> Classification {
    let (baseline, canary) = (&points.stable, &points.canary);
    if baseline.is_empty() || canary.is_empty() {
        return Classification::Nodata;
    }
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let is_high = significantly_above(canary, baseline)
        .is_some_and(|shift| shift.lower > TOLERANCE * shift.estimate.abs())
        && mean(canary) >= mean(baseline);
    if is_high { Classification::High } else { Classification::Pass }
}

/// Of the metrics, each its own group of the same weight.
fn score(metrics: &[Classification]) -> f64 {
    let count = |wanted| metrics.iter().filter(|metric| **metric == wanted).count() as f64;
    if count(Classification::Nodata) / metrics.len() as f64 >= TOO_MUCH_NODATA {
        return 0.0;
    }
    GROUP_WEIGHT * (count(Classification::Pass) + count(Classification::Nodata))
}

impl Kayenta {
    fn take_points(&mut self) {
        let Metrics(minute) = std::mem::take(&mut self.minute);
        let sides = [
            (minute.stable, &mut self.failed_share.stable, &mut self.p99.stable),
            (minute.canary, &mut self.failed_share.canary, &mut self.p99.canary),
        ];
        for (requests, failed_share, p99) in sides {
            failed_share.extend(requests.success_rate().map(|rate| 1.0 - rate));
            p99.extend(requests.quantile_ms(0.99));
        }
    }
}

impl Watcher for Kayenta {
    fn see(&mut self, slice: &Metrics) -> bool {
        self.minute.add(slice);
        self.filled += SLICE;
        if self.filled < STEP {
            return false;
        }
        self.filled = Duration::ZERO;
        self.minutes += 1;
        self.take_points();
        self.minutes.is_multiple_of(INTERVAL)
            && score(&[classify(&self.failed_share), classify(&self.p99)]) < PASS
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::metrics::tests::{failing, requests};
    use super::*;

    /// The minute (from 1) in which it rolls back, if minute `n` looks like `minute(n)`.
    fn rolled_back(minute: impl Fn(u64) -> Metrics) -> Option<u64> {
        let mut kayenta = Kayenta::default();
        (1..=60).find(|n| (0..6).any(|_| kayenta.see(&minute(*n))))
    }

    #[test]
    fn twice_the_errors_fail_at_the_first_judgement_and_as_many_never() {
        assert_eq!(rolled_back(|n| failing(1000, 10 + n % 5, 20 + n % 5)), Some(10));
        assert_eq!(rolled_back(|n| failing(1000, 10 + n % 5, 10 + (n + 2) % 5)), None);
    }

    #[test]
    fn a_late_fault_shows_when_half_of_the_points_are_bad() {
        let late = |n| failing(1000, 10 + n % 5, 10 + (n + 1) % 5 + if n > 20 { 500 } else { 0 });
        assert_eq!(rolled_back(late), Some(40));
    }

    #[test]
    fn slow_answers_fail_it_alone_and_an_outage_of_both_does_not() {
        let slow = |n| {
            let (stable, canary) = (requests(100, 0, 10 + n % 3), requests(100, 0, 40 + n % 3));
            Metrics(Pair { stable, canary })
        };
        assert_eq!(rolled_back(slow), Some(10));
        assert_eq!(rolled_back(|n| failing(1000, 500 + n % 7, 500 + (n + 3) % 7)), None);
    }

    #[test]
    fn a_canary_without_data_fails_and_half_without_too() {
        use Classification::{High, Nodata, Pass};
        let silent = |_| Metrics(Pair { stable: requests(9, 0, 10), ..Pair::default() });
        assert_eq!(rolled_back(silent), Some(10));
        assert_eq!(score(&[Pass, Pass]), 100.0);
        assert_eq!(score(&[Pass, High]), 50.0);
        assert_eq!(score(&[Pass, Nodata]), 0.0);
    }
}
