//! Features of any scale, some of them missing, to inputs between -6 and 6.

use super::ModelError;
use serde::{Deserialize, Serialize};

/// No input goes further from the training median than this many scale units.
const CLIP: f64 = 6.0;
/// The interquartile range of a normal distribution in standard deviations.
const NORMAL_IQR: f64 = 1.349;
/// The distance of its 5th and 95th percentiles.
const NORMAL_Q90: f64 = 3.290;

/// Median and spread of each feature in training, and which features get an input that says "missing".
///
/// Inputs are the scaled features (missing ones as 0, the median) followed by one flag of 0 or 1 per
/// feature that was sometimes, but not always, missing in training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Scaler {
    median: Vec<f64>,
    scale: Vec<f64>,
    /// Features with a missing flag, ascending.
    flagged: Vec<usize>,
    /// What each flag mostly was in training: 1 if the feature was missing in most rows.
    usual_flag: Vec<f64>,
}

impl Scaler {
    /// Learns medians and spreads. Rows must be of one width and finite where present.
    pub(crate) fn fit(rows: &[&[Option<f64>]]) -> Scaler {
        let width = rows.first().map_or(0, |row| row.len());
        let mut scaler =
            Scaler { median: vec![], scale: vec![], flagged: vec![], usual_flag: vec![] };
        for feature in 0..width {
            let mut present: Vec<f64> = rows.iter().filter_map(|row| row[feature]).collect();
            present.sort_by(f64::total_cmp);
            let missing = rows.len() - present.len();
            if missing > 0 && !present.is_empty() {
                scaler.flagged.push(feature);
                scaler.usual_flag.push(if 2 * missing > rows.len() { 1.0 } else { 0.0 });
            }
            scaler.median.push(rounded(quantile(&present, 0.5)));
            scaler.scale.push(rounded(spread(&present)));
        }
        scaler
    }

    /// Number of features.
    pub(crate) fn features(&self) -> usize {
        self.median.len()
    }

    /// Number of inputs of the members.
    pub(crate) fn inputs(&self) -> usize {
        self.median.len() + self.flagged.len()
    }

    /// The feature that an input speaks of.
    pub(crate) fn feature_of(&self, input: usize) -> usize {
        input.checked_sub(self.median.len()).map_or(input, |flag| self.flagged[flag])
    }

    /// The input as it usually was in training: contributions are counted from here.
    pub(crate) fn usual(&self, input: usize) -> f64 {
        input.checked_sub(self.median.len()).map_or(0.0, |flag| self.usual_flag[flag])
    }

    /// The inputs for one row. Features beyond the row's end, and such as are not finite, count as missing.
    pub(crate) fn transform(&self, row: &[Option<f64>]) -> Vec<f64> {
        let present =
            |feature: usize| row.get(feature).copied().flatten().filter(|v| v.is_finite());
        let scaled = (0..self.median.len()).map(|feature| {
            present(feature).map_or(0.0, |value| {
                ((value - self.median[feature]) / self.scale[feature]).clamp(-CLIP, CLIP)
            })
        });
        let flags = self.flagged.iter().map(|&f| if present(f).is_none() { 1.0 } else { 0.0 });
        scaled.chain(flags).collect()
    }

    /// Refuses what a fit cannot have made.
    pub(crate) fn check(&self) -> Result<(), ModelError> {
        let width = self.median.len();
        let sound = self.scale.len() == width
            && self.usual_flag.len() == self.flagged.len()
            && self.median.iter().chain(&self.usual_flag).all(|value| value.is_finite())
            && self.scale.iter().all(|scale| scale.is_finite() && *scale > 0.0)
            && self.flagged.iter().all(|feature| *feature < width);
        if sound { Ok(()) } else { Err(ModelError::Inconsistent("scaler")) }
    }
}

/// Nine significant digits: enough for any use, few enough to be the same on every machine.
fn rounded(value: f64) -> f64 {
    format!("{value:.8e}").parse().unwrap_or(value)
}

/// The value that a share `q` of the ascending `sorted` does not exceed; 0 if there is none.
fn quantile(sorted: &[f64], q: f64) -> f64 {
    let rank = (q * sorted.len().saturating_sub(1) as f64).round() as usize;
    sorted.get(rank).copied().unwrap_or(0.0)
}

/// A robust standard deviation, never zero. The interquartile range is zero for a feature that is
/// mostly constant ("restarts"); there the floor, half of what the 5th and 95th percentiles say, and
/// at last the range itself, keep the rare values apart.
fn spread(sorted: &[f64]) -> f64 {
    let between = |low, high| quantile(sorted, high) - quantile(sorted, low);
    let robust = (between(0.25, 0.75) / NORMAL_IQR).max(between(0.05, 0.95) / NORMAL_Q90 / 2.0);
    if robust > 0.0 && robust.is_finite() {
        return robust;
    }
    let range = between(0.0, 1.0) / CLIP;
    if range > 0.0 && range.is_finite() { range } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit(rows: &[Vec<Option<f64>>]) -> Scaler {
        Scaler::fit(&rows.iter().map(Vec::as_slice).collect::<Vec<_>>())
    }

    #[test]
    fn a_normal_column_becomes_about_unit_scale_around_its_median() {
        let rows: Vec<_> = (0..1001).map(|i| vec![Some(100.0 + 20.0 * f64::from(i))]).collect();
        let scaler = fit(&rows);
        assert_eq!(scaler.transform(&[Some(100.0 + 20.0 * 500.0)]), [0.0]);
        let upper_quartile = scaler.transform(&[Some(100.0 + 20.0 * 750.0)])[0];
        assert!((upper_quartile - NORMAL_IQR / 2.0).abs() < 1e-6, "{upper_quartile}");
    }

    #[test]
    fn outliers_are_clipped() {
        let scaler = fit(&(0..100).map(|i| vec![Some(f64::from(i))]).collect::<Vec<_>>());
        assert_eq!(scaler.transform(&[Some(1e12)]), [CLIP]);
        assert_eq!(scaler.transform(&[Some(-1e12)]), [-CLIP]);
    }

    #[test]
    fn a_mostly_constant_column_keeps_its_rare_values_apart() {
        let rows: Vec<_> = (0..100).map(|i| vec![Some(if i == 0 { 3.0 } else { 0.0 })]).collect();
        let scaler = fit(&rows);
        assert_eq!(scaler.transform(&[Some(0.0)]), [0.0]);
        assert_eq!(scaler.transform(&[Some(3.0)]), [CLIP]);
    }

    #[test]
    fn a_constant_column_is_harmless() {
        let scaler = fit(&vec![vec![Some(7.0)]; 10]);
        assert_eq!(scaler.transform(&[Some(7.0)]), [0.0]);
        assert!(scaler.check().is_ok());
    }

    #[test]
    fn a_missing_value_is_the_median_and_raises_its_flag() {
        let rows =
            vec![vec![Some(1.0), Some(1.0)], vec![None, Some(2.0)], vec![Some(3.0), Some(3.0)]];
        let scaler = fit(&rows);
        assert_eq!(scaler.inputs(), 3, "only the column that can be missing has a flag");
        assert_eq!(scaler.transform(&[None, Some(2.0)]), [0.0, 0.0, 1.0]);
        assert_eq!(scaler.feature_of(2), 0);
        assert_eq!(scaler.usual(2), 0.0);
    }

    #[test]
    fn values_that_are_not_finite_and_short_rows_count_as_missing() {
        let scaler = fit(&[vec![Some(1.0)], vec![None], vec![Some(3.0)]]);
        for row in [&[Some(f64::NAN)][..], &[Some(f64::INFINITY)], &[None], &[]] {
            assert_eq!(scaler.transform(row), [0.0, 1.0]);
        }
    }

    #[test]
    fn a_column_that_was_never_there_has_no_say() {
        let scaler = fit(&[vec![None], vec![None]]);
        assert_eq!(scaler.inputs(), 1);
        assert_eq!(scaler.transform(&[None]), [0.0]);
    }
}
