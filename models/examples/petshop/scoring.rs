//! Shares with their intervals, and what forecasts were worth. The unit is the incident: several
//! draws of one incident are not several incidents.

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::Serialize;
use serinus_models::fit::quality;

/// Two-sided 95%.
const Z: f64 = 1.96;
/// Resamples of the incidents for an interval of the AUC.
const RESAMPLES: usize = 1000;

/// A share of incidents with its 95% interval (Wilson).
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Share {
    pub(crate) share: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Share {
    /// Of one number per incident, 0 to 1: the share of its draws. `None` without incidents.
    pub(crate) fn of(incidents: &[f64]) -> Option<Share> {
        let n = incidents.len() as f64;
        if incidents.is_empty() {
            return None;
        }
        let p = incidents.iter().sum::<f64>() / n;
        let middle = (p + Z * Z / (2.0 * n)) / (1.0 + Z * Z / n);
        let half = Z * libm::sqrt(p * (1.0 - p) / n + Z * Z / (4.0 * n * n)) / (1.0 + Z * Z / n);
        Some(Share { share: p, low: (middle - half).max(0.0), high: (middle + half).min(1.0) })
    }
}

/// What the forecasts at one age after the alarm were worth.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Score {
    /// Seconds after the alarm.
    pub(crate) age: u64,
    /// Incidents with a forecast and a label.
    pub(crate) incidents: usize,
    /// Forecasts, and those of faults that lasted.
    pub(crate) forecasts: usize,
    pub(crate) sustained: usize,
    /// Probability that one that lasted was forecast higher than one that passed.
    pub(crate) auc: Option<f64>,
    /// 95% by resampling incidents.
    pub(crate) auc_interval: Option<(f64, f64)>,
    /// Mean squared error, and that of always saying how often they last here.
    pub(crate) brier: Option<f64>,
    pub(crate) brier_of_the_base_rate: Option<f64>,
    /// Expected calibration error.
    pub(crate) calibration_error: Option<f64>,
}

/// Forecasts and labels of the draws of one incident.
pub(crate) type Draws = Vec<(f64, bool)>;

impl Score {
    pub(crate) fn of(age: u64, incidents: &[Draws]) -> Score {
        let all: Draws = incidents.iter().flatten().copied().collect();
        let sustained = all.iter().filter(|(_, lasted)| *lasted).count();
        let some = !all.is_empty();
        let base = sustained as f64 / all.len() as f64;
        Score {
            age,
            incidents: incidents.iter().filter(|draws| !draws.is_empty()).count(),
            forecasts: all.len(),
            sustained,
            auc: quality::auc(&all),
            auc_interval: auc_interval(incidents),
            brier: some.then(|| quality::brier(&all)),
            brier_of_the_base_rate: some.then_some(base * (1.0 - base)),
            calibration_error: some.then(|| quality::calibration_error(&all)),
        }
    }
}

fn auc_interval(incidents: &[Draws]) -> Option<(f64, f64)> {
    let mut dice = Xoshiro256PlusPlus::seed_from_u64(incidents.len() as u64);
    let mut found: Vec<f64> = (0..RESAMPLES)
        .filter_map(|_| {
            let pick = |_| incidents[dice.random_range(0..incidents.len())].iter().copied();
            let drawn: Draws = (0..incidents.len()).flat_map(pick).collect();
            quality::auc(&drawn)
        })
        .collect();
    found.sort_by(f64::total_cmp);
    let at = |q: f64| found.get((q * found.len() as f64) as usize).copied();
    at(0.025).zip(at(0.975))
}

/// The middle of some numbers; `None` of none.
pub(crate) fn median(mut numbers: Vec<u64>) -> Option<u64> {
    numbers.sort_unstable();
    numbers.get(numbers.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_incidents_has_wilsons_interval() {
        let share = Share::of(&[1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.0]).unwrap();
        assert!((share.share - 0.8).abs() < 1e-12);
        assert!((share.low - 0.490).abs() < 1e-3 && (share.high - 0.943).abs() < 1e-3, "{share:?}");
        assert_eq!(Share::of(&[]), None);
    }

    #[test]
    fn many_draws_of_two_incidents_are_no_evidence() {
        let draws = |p: f64, lasted| vec![(p, lasted); 1000];
        let score = Score::of(60, &[draws(0.9, true), draws(0.1, false)]);
        assert_eq!(score.auc, Some(1.0));
        // Passing ones forecast at 0.2 and 0.7 in turn, lasting ones at 0.5: an AUC of one half.
        let incident = |n: u32| draws([0.5, 0.2, 0.5, 0.7][n as usize % 4], n.is_multiple_of(2));
        let incidents: Vec<Draws> = (0..20).map(incident).collect();
        let (low, high) = Score::of(60, &incidents).auc_interval.unwrap();
        assert!(high - low > 0.1, "{low} to {high}: twenty incidents, not 20000");
    }
}
