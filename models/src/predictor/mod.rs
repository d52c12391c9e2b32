//! Will it last? The forecast that decides between waiting and rolling back.
//!
//! Two members see the same scaled inputs: a logistic regression, which extrapolates smoothly, and a
//! regression forest on 0/1 labels, which finds interactions. Their log-odds are averaged and
//! calibrated (Platt). Both members are fitted by `smartcore` ([`crate::fit`]); what is kept of them
//! is plain numbers, so that a forecast allocates little, cannot panic and can be explained.

mod file;
mod forest;
mod importance;
mod learned;
mod scaler;

pub(crate) use forest::{Forest, Tree};
pub use importance::Importance;
pub(crate) use learned::{ALL_FROM, Layer, Learned, SERVICE_FROM};
pub use learned::{Lineage, Say};
pub(crate) use scaler::Scaler;

use crate::features::{FEATURES, FeatureVector};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

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
    fn check(&self) -> Result<(), ModelError> {
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

    fn forecast(&self, row: &[Option<f64>]) -> Forecast {
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

/// A fitted model, or several that are pooled, that forecast whether a failure lasts.
#[derive(Clone, PartialEq)]
pub struct Predictor {
    /// Whose forecasts are averaged on the log-odds, with shares that sum to 1.
    layers: Vec<(f64, Arc<Model>)>,
    /// What its file has besides, where it was learned here.
    learned: Option<Arc<Learned>>,
    id: Arc<str>,
}

impl std::fmt::Debug for Predictor {
    /// Its id: nobody wants to read its trees.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Predictor").field(&self.id).finish()
    }
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
        let (content, id) = file::read(file)?;
        Ok(match content {
            file::Content::Model(model) => Predictor::plain(Arc::new(model), id),
            file::Content::Learned(learned) => Predictor::pooled(Arc::new(learned), id),
        })
    }

    pub(crate) fn of(model: Model) -> Predictor {
        let (_, id) = file::write_model(&model);
        Predictor::plain(Arc::new(model), id)
    }

    pub(crate) fn of_learned(learned: Learned) -> Predictor {
        let (_, id) = file::write_learned(&learned);
        Predictor::pooled(Arc::new(learned), id)
    }

    fn plain(model: Arc<Model>, id: String) -> Predictor {
        Predictor { layers: vec![(1.0, model)], learned: None, id: id.into() }
    }

    fn pooled(learned: Arc<Learned>, id: String) -> Predictor {
        Predictor { layers: learned.layers(None), learned: Some(learned), id: id.into() }
    }

    /// The same for the releases of one service: what was learned from that service has its say, too.
    /// Of a service that has nothing of its own it stays as it is.
    pub fn of_service(&self, service: &str) -> Predictor {
        let own = self.learned.as_ref().filter(|learned| learned.services.contains_key(service));
        let layers = own.map(|learned| learned.layers(Some(service)));
        Predictor { layers: layers.unwrap_or_else(|| self.layers.clone()), ..self.clone() }
    }

    /// The model file: the same bytes whenever the model is the same.
    pub fn to_bytes(&self) -> Vec<u8> {
        match &self.learned {
            Some(learned) => file::write_learned(learned).0,
            None => file::write_model(&self.layers[0].1).0,
        }
    }

    /// Names the model: twelve hexadecimal digits of its content's hash.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What the model was made from; of a pool: what its last layer was.
    pub fn provenance(&self) -> &Provenance {
        &self.layers[self.layers.len() - 1].1.provenance
    }

    /// Where a model that was learned here comes from; none of a shipped one.
    pub fn lineage(&self) -> Option<&Lineage> {
        self.learned.as_ref().map(|learned| &learned.lineage)
    }

    /// The model that the others are pooled with.
    pub(crate) fn first_model(&self) -> &Arc<Model> {
        &self.layers[0].1
    }

    /// What was learned from all services, alone.
    #[cfg(test)]
    pub(crate) fn layer_of_all(&self) -> Predictor {
        Predictor::of(Model::clone(&self.layers[1].1))
    }

    /// Forecasts whether the failure that these features describe will last.
    pub fn forecast(&self, features: &FeatureVector) -> Forecast {
        if let [(_, only)] = &self.layers[..] {
            return only.forecast(&features.0);
        }
        let mut pooled =
            Forecast { probability: 0.5, contributions: vec![0.0; FEATURES.len()], base: 0.0 };
        for (share, model) in &self.layers {
            let Forecast { contributions, base, .. } = model.forecast(&features.0);
            pooled.base += share * base;
            for (sum, of_model) in pooled.contributions.iter_mut().zip(contributions) {
                *sum += share * of_model;
            }
        }
        pooled.probability = sigmoid(pooled.base + pooled.contributions.iter().sum::<f64>());
        pooled
    }
}

#[cfg(test)]
mod tests;
