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
mod model;
mod scaler;

pub(crate) use forest::{Forest, Tree};
pub use importance::Importance;
pub(crate) use learned::{ALL_FROM, Layer, Learned, SERVICE_FROM};
pub use learned::{Lineage, Say};
pub use model::Provenance;
pub(crate) use model::{Calibration, Logistic, Model, forest_log_odds, lateness, sigmoid};
pub(crate) use scaler::Scaler;

use crate::features::{FEATURES, FeatureVector};
use std::sync::Arc;

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
