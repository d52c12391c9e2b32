//! Will it last? The forecast that decides between waiting and rolling back.
//!
//! Two members see the same scaled inputs: a logistic regression, which extrapolates smoothly, and a
//! regression forest on 0/1 labels, which finds interactions. Their log-odds are averaged and
//! calibrated (Platt). Both members are fitted by `smartcore` ([`crate::fit`]); what is kept of them
//! is plain numbers, so that a forecast allocates little, cannot panic and can be explained.

mod file;
mod forest;
mod scaler;

pub(crate) use forest::{Forest, Tree};
pub(crate) use scaler::Scaler;

use crate::features::{FEATURES, FeatureVector};
use serde::{Deserialize, Serialize};

/// The forest's answer is kept this far from certainty before it becomes log-odds.
const FOREST_DOUBT: f64 = 0.01;

/// Why a model file was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// It does not begin like a model file.
    #[error("not a Serinus model file")]
    Foreign,
    /// Written by another version of Serinus.
    #[error("model file of format {found}; this version reads format {known}")]
    Format {
        /// The file's format.
        found: u32,
        /// The format that can be read.
        known: u32,
    },
    /// The checksum does not fit the content.
    #[error("model file is damaged: its checksum does not fit its content")]
    Damaged,
    /// The content is not a model.
    #[error("model file cannot be read: {0}")]
    Content(String),
    /// Parts of the model contradict each other.
    #[error("model file is inconsistent: {0}")]
    Inconsistent(&'static str),
    /// Fitted on other features than this version extracts.
    #[error("model was fitted on other features: {0}")]
    Features(String),
}

/// How long a failure is thought to last, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Forecast {
    /// Probability that the failure lasts, 0 to 1.
    pub probability: f64,
    /// What each feature adds to the log-odds, in the extractor's order: against the training median
    /// for the logistic member (exact), along the decision paths for the forest (exact per tree;
    /// its step from probability to log-odds is shared out in proportion).
    pub contributions: Vec<f64>,
    /// Log-odds of an unremarkable episode: with the contributions they sum to those of `probability`.
    pub base: f64,
}

/// The logistic member.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Logistic {
    /// L2 penalty it was fitted with.
    pub(crate) alpha: f64,
    pub(crate) intercept: f64,
    /// One per input.
    pub(crate) coefficients: Vec<f64>,
}

/// Platt's correction of the averaged log-odds: `slope * z + intercept`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Calibration {
    pub(crate) slope: f64,
    pub(crate) intercept: f64,
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
    fn check(&self) -> Result<(), ModelError> {
        self.scaler.check()?;
        self.forest.check(self.scaler.inputs())?;
        let numbers = [self.logistic.intercept, self.calibration.slope, self.calibration.intercept];
        if self.logistic.coefficients.len() != self.scaler.inputs()
            || !numbers.iter().chain(&self.logistic.coefficients).all(|number| number.is_finite())
        {
            return Err(ModelError::Inconsistent("logistic regression"));
        }
        if self.calibration.slope <= 0.0 {
            return Err(ModelError::Inconsistent("calibration"));
        }
        if self.features.len() != self.scaler.features() {
            return Err(ModelError::Inconsistent("features"));
        }
        Ok(())
    }

    fn forecast(&self, row: &[Option<f64>]) -> Forecast {
        let inputs = self.scaler.transform(row);
        let mut credit = vec![0.0; inputs.len()];
        let probability = self.forest.predict(&inputs, &mut credit);
        let root = self.forest.root();
        let (forest, forest_base) = (forest_log_odds(probability), forest_log_odds(root));
        // Log-odds per unit of probability on the way from the root's mean to the answer.
        let moved = probability - root;
        let steepness = if moved.abs() < 1e-9 { 0.0 } else { (forest - forest_base) / moved };

        let half = self.calibration.slope / 2.0;
        let mut contributions = vec![0.0; self.scaler.features()];
        let mut logistic_base = self.logistic.intercept;
        for (input, (value, credit)) in inputs.iter().zip(&credit).enumerate() {
            let (coefficient, usual) =
                (self.logistic.coefficients[input], self.scaler.usual(input));
            logistic_base += coefficient * usual;
            contributions[self.scaler.feature_of(input)] +=
                half * (coefficient * (value - usual) + steepness * credit);
        }
        let log_odds =
            half * (self.logistic.log_odds(&inputs) + forest) + self.calibration.intercept;
        Forecast {
            probability: sigmoid(log_odds),
            contributions,
            base: half * (logistic_base + forest_base) + self.calibration.intercept,
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

/// A fitted model that forecasts whether a failure lasts.
#[derive(Debug, Clone, PartialEq)]
pub struct Predictor {
    model: Model,
    id: String,
}

impl Predictor {
    /// The prior that comes with Serinus, fitted on the simulated world (`pretrained/README.md`).
    ///
    /// # Errors
    /// [`ModelError`] if the file in this build does not fit this build's features: a release that
    /// passed its tests cannot fail here.
    pub fn shipped() -> Result<Predictor, ModelError> {
        Predictor::from_bytes(include_bytes!("../../pretrained/prior.model"))
    }

    /// Reads a model file.
    ///
    /// # Errors
    /// [`ModelError`] names what is wrong; a model that is returned can forecast.
    pub fn from_bytes(file: &[u8]) -> Result<Predictor, ModelError> {
        let (model, id) = file::read(file)?;
        let expected: Vec<&str> = FEATURES.to_vec();
        if model.features != expected {
            let odd = model.features.iter().zip(&expected).find(|(found, known)| found != *known);
            return Err(ModelError::Features(match odd {
                Some((found, known)) => format!("{found} in place of {known}"),
                None => format!("{} in place of {}", model.features.len(), expected.len()),
            }));
        }
        Ok(Predictor { model, id })
    }

    pub(crate) fn of(model: Model) -> Predictor {
        let (_, id) = file::write(&model);
        Predictor { model, id }
    }

    /// The model file: the same bytes whenever the model is the same.
    pub fn to_bytes(&self) -> Vec<u8> {
        file::write(&self.model).0
    }

    /// Names the model: twelve hexadecimal digits of its content's hash.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What the model was made from.
    pub fn provenance(&self) -> &Provenance {
        &self.model.provenance
    }

    /// Forecasts whether the failure that these features describe will last.
    pub fn forecast(&self, features: &FeatureVector) -> Forecast {
        self.model.forecast(&features.0)
    }
}

#[cfg(test)]
mod tests;
