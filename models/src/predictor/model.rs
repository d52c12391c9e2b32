//! One fitted model as plain numbers: both members, the scaler before them, the calibration after them.

use super::{Forecast, Forest, ModelError, Scaler};
use crate::features::FEATURES;
use serde::{Deserialize, Serialize};

/// The forest's answer is kept this far from certainty before it becomes log-odds.
const FOREST_DOUBT: f64 = 0.01;

/// The logistic member.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Logistic {
    /// L2 penalty it was fitted with.
    pub(crate) alpha: f64,
    pub(crate) intercept: f64,
    /// One per input.
    pub(crate) coefficients: Vec<f64>,
}

/// Platt's correction of the averaged log-odds, `slope * z + intercept`, with both moving along with
/// the time since the alarm: what a model may be sure of after minutes it must not be at once.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Calibration {
    /// At the alarm.
    pub(crate) slope: f64,
    pub(crate) intercept: f64,
    /// What is added to them by [`LATE`] after it, in proportion to the logarithm of the time.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) slope_later: f64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) intercept_later: f64,
}

/// Seconds after the alarm from which on the calibration changes no more.
const LATE: f64 = 180.0;

fn is_zero(value: &f64) -> bool {
    *value == 0.0
}

/// How far along the time since the alarm is that a row tells, 0 (at the alarm, or unknown) to 1.
pub(crate) fn lateness(row: &[Option<f64>]) -> f64 {
    let place = FEATURES.iter().position(|name| *name == "ln_since_alarm");
    let ln_since = place.and_then(|place| row.get(place).copied().flatten()).unwrap_or(0.0);
    if ln_since.is_finite() { (ln_since / libm::log1p(LATE)).clamp(0.0, 1.0) } else { 0.0 }
}

impl Calibration {
    /// Log-odds as they are.
    pub(crate) const NONE: Calibration =
        Calibration { slope: 1.0, intercept: 0.0, slope_later: 0.0, intercept_later: 0.0 };

    /// Corrected log-odds of a forecast at a [`lateness`].
    pub(crate) fn apply(self, log_odds: f64, lateness: f64) -> f64 {
        let (slope, intercept) = self.at(lateness);
        slope * log_odds + intercept
    }

    /// Slope and intercept at a [`lateness`].
    fn at(self, lateness: f64) -> (f64, f64) {
        let Calibration { slope, intercept, slope_later, intercept_later } = self;
        (slope + lateness * slope_later, intercept + lateness * intercept_later)
    }
}

/// What a model was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// Rows in training.
    pub rows: u64,
    /// Of them, rows of failures that lasted.
    pub sustained: u64,
    /// Different deployments that the rows came from.
    pub deployments: u64,
    /// Whether log-odds were calibrated; needs 200 deployments.
    pub calibrated: bool,
    /// Seed of folds and forest.
    pub seed: u64,
}

/// Everything that is in a model file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Model {
    pub(crate) features: Vec<String>,
    pub(crate) provenance: Provenance,
    pub(crate) scaler: Scaler,
    pub(crate) logistic: Logistic,
    pub(crate) calibration: Calibration,
    pub(crate) forest: Forest,
}

impl Model {
    pub(super) fn check(&self) -> Result<(), ModelError> {
        self.scaler.check()?;
        self.forest.check(self.scaler.inputs())?;
        let calibrations = [self.calibration.at(0.0), self.calibration.at(1.0)];
        let numbers: Vec<f64> =
            calibrations.iter().flat_map(|(slope, intercept)| [*slope, *intercept]).collect();
        let numbers = [&numbers[..], &[self.logistic.intercept]].concat();
        if self.logistic.coefficients.len() != self.scaler.inputs()
            || !numbers.iter().chain(&self.logistic.coefficients).all(|number| number.is_finite())
        {
            return Err(ModelError::Inconsistent("logistic regression"));
        }
        if calibrations.iter().any(|(slope, _)| *slope <= 0.0) {
            return Err(ModelError::Inconsistent("calibration"));
        }
        if self.features.len() != self.scaler.features() {
            return Err(ModelError::Inconsistent("features"));
        }
        self.check_features()
    }

    /// That it was fitted on what this version extracts.
    fn check_features(&self) -> Result<(), ModelError> {
        let expected: Vec<&str> = FEATURES.to_vec();
        if self.features == expected {
            return Ok(());
        }
        let odd = self.features.iter().zip(&expected).find(|(found, known)| found != *known);
        Err(ModelError::Features(match odd {
            Some((found, known)) => format!("{found} in place of {known}"),
            None => format!("{} in place of {}", self.features.len(), expected.len()),
        }))
    }

    pub(super) fn forecast(&self, row: &[Option<f64>]) -> Forecast {
        let inputs = self.scaler.transform(row);
        let mut credit = vec![0.0; inputs.len()];
        let probability = self.forest.predict(&inputs, &mut credit);
        let root = self.forest.root();
        let (forest, forest_base) = (forest_log_odds(probability), forest_log_odds(root));
        // Log-odds per unit of probability on the way from the root's mean to the answer.
        let moved = probability - root;
        let steepness = if moved.abs() < 1e-9 { 0.0 } else { (forest - forest_base) / moved };

        let (slope, intercept) = self.calibration.at(lateness(row));
        let half = slope / 2.0;
        let mut contributions = vec![0.0; self.scaler.features()];
        let mut logistic_base = self.logistic.intercept;
        for (input, (value, credit)) in inputs.iter().zip(&credit).enumerate() {
            let (coefficient, usual) =
                (self.logistic.coefficients[input], self.scaler.usual(input));
            logistic_base += coefficient * usual;
            contributions[self.scaler.feature_of(input)] +=
                half * (coefficient * (value - usual) + steepness * credit);
        }
        let log_odds = half * (self.logistic.log_odds(&inputs) + forest) + intercept;
        Forecast {
            probability: sigmoid(log_odds),
            contributions,
            base: half * (logistic_base + forest_base) + intercept,
        }
    }
}

impl Logistic {
    pub(crate) fn log_odds(&self, inputs: &[f64]) -> f64 {
        self.intercept + self.coefficients.iter().zip(inputs).map(|(c, x)| c * x).sum::<f64>()
    }
}

/// The forest's mean label as log-odds.
pub(crate) fn forest_log_odds(probability: f64) -> f64 {
    let probability = probability.clamp(FOREST_DOUBT, 1.0 - FOREST_DOUBT);
    libm::log(probability / (1.0 - probability))
}

/// Probability of log-odds.
pub(crate) fn sigmoid(log_odds: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-log_odds))
}
