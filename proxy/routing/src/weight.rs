//! The share of users sent to the canary.

use serde::{Deserialize, Serialize};

/// Percent of users sent to the canary, in steps of 0.01.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(try_from = "f64", into = "f64")]
pub struct Weight(u16);

/// A number that is not a weight.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("a weight is a percentage from 0 to 100 in steps of 0.01, not {0}")]
pub struct WeightError(pub f64);

impl Weight {
    /// Nobody.
    pub const ZERO: Weight = Weight(0);
    /// Every second one.
    pub const HALF: Weight = Weight(5_000);
    /// Everybody.
    pub const FULL: Weight = Weight(10_000);

    /// A weight from a percentage.
    ///
    /// # Errors
    /// Outside 0 to 100, not a number, or finer than 0.01.
    pub fn from_percent(percent: f64) -> Result<Self, WeightError> {
        let points = percent * 100.0;
        let rounded = points.round();
        // 0.07 * 100 is not exactly 7: allow for the rounding of one multiplication only.
        if !(0.0..=10_000.0).contains(&rounded) || (points - rounded).abs() > 1e-6 {
            return Err(WeightError(percent));
        }
        Ok(Weight(rounded as u16))
    }

    /// The percentage, 0 to 100.
    pub fn percent(self) -> f64 {
        f64::from(self.0) / 100.0
    }

    /// The ratio, 0 to 1.
    pub fn ratio(self) -> f64 {
        f64::from(self.0) / 10_000.0
    }

    /// Hundredths of a percent, 0 to 10 000.
    pub const fn basis_points(self) -> u16 {
        self.0
    }

    /// Whether no user is sent to the canary.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl TryFrom<f64> for Weight {
    type Error = WeightError;
    fn try_from(percent: f64) -> Result<Self, WeightError> {
        Weight::from_percent(percent)
    }
}

impl From<Weight> for f64 {
    fn from(weight: Weight) -> f64 {
        weight.percent()
    }
}

impl std::fmt::Display for Weight {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}%", self.percent())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hundredth_of_a_percent_survives_the_round_trip() {
        for points in 0..=10_000u16 {
            let weight = Weight(points);
            assert_eq!(Weight::from_percent(weight.percent()), Ok(weight));
        }
    }

    #[test]
    fn what_is_not_a_percentage_in_hundredths_is_refused() {
        for bad in [-0.01, 100.01, 0.001, 33.333, f64::NAN, f64::INFINITY] {
            assert!(Weight::from_percent(bad).is_err(), "{bad}");
        }
    }
}
