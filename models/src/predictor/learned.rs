//! Models that are pooled: the shipped one, one of all services' episodes, one of each service's.
//!
//! Each step moves the log-odds towards the more particular model: `(n0 * general + n * particular) / (n0 + n)`,
//! `n` being how many labels that one has seen, more where it forecast better what it had not seen and fewer where it
//! forecast worse (`learn/say.rs`). So the first labels hardly move a forecast, and what was learned from one service
//! never leaves it.

use super::{Model, ModelError};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Labels of all services that weigh as much as the shipped prior.
pub(crate) const ALL_FROM: f64 = 100.0;
/// Labels of one service that weigh as much as everything else.
pub(crate) const SERVICE_FROM: f64 = 50.0;

/// A model and the labels that it has seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Layer {
    pub(crate) labels: u64,
    /// As how many it counts where models are pooled.
    pub(crate) counts_as: u64,
    pub(crate) model: Arc<Model>,
}

/// Where a learned model comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lineage {
    /// The model that judged when this one was fitted.
    pub parent: String,
    /// The prior that it rests on.
    pub prior: String,
    /// Models between the prior and this one, this one included.
    pub generation: u32,
    /// Labels that it learned from.
    pub labels: u64,
    /// Of them, labels that a person gave.
    pub corrected: u64,
    /// The first and the last of them.
    pub span: (Timestamp, Timestamp),
    /// Labels by service: sustained, transient.
    pub services: BTreeMap<String, (u64, u64)>,
    /// Services whose own episodes were not learned from, and why.
    pub left_out: BTreeMap<String, String>,
    /// Seed of its folds and forests.
    pub seed: u64,
}

/// Everything that is in the file of a learned model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Learned {
    pub(crate) lineage: Lineage,
    pub(crate) prior: Arc<Model>,
    pub(crate) all: Layer,
    pub(crate) services: BTreeMap<String, Layer>,
}

/// One layer's say in a forecast.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Say {
    /// `prior`, `all services`, or the service.
    pub layer: String,
    /// Its share of the log-odds, 0 to 1.
    pub share: f64,
    /// Labels that it has seen; none of the prior, which saw simulated releases.
    pub labels: Option<u64>,
}

impl Learned {
    pub(super) fn check(&self) -> Result<(), ModelError> {
        let layers = self.services.values().chain([&self.all]);
        for model in layers.map(|layer| &layer.model).chain([&self.prior]) {
            model.check()?;
        }
        Ok(())
    }

    /// The layers with their shares, for the releases of one service or for any.
    pub(super) fn layers(&self, service: Option<&str>) -> Vec<(f64, Arc<Model>)> {
        let all = self.all.share(ALL_FROM);
        let mut layers = vec![(1.0 - all, self.prior.clone()), (all, self.all.model.clone())];
        if let Some(own) = service.and_then(|service| self.services.get(service)) {
            let share = own.share(SERVICE_FROM);
            layers.iter_mut().for_each(|(of_layer, _)| *of_layer *= 1.0 - share);
            layers.push((share, own.model.clone()));
        }
        layers
    }

    /// What each layer has to say, for one service or for any.
    pub(super) fn says(&self, service: Option<&str>) -> Vec<Say> {
        let own = service.filter(|service| self.services.contains_key(*service));
        let names = ["prior", "all services"].into_iter().chain(own);
        let seen = own.and_then(|service| self.services.get(service)).map(|layer| layer.labels);
        let labels = [None, Some(self.all.labels), seen];
        let layers = self.layers(service).into_iter().zip(names).zip(labels);
        layers
            .map(|(((share, _), layer), labels)| Say { layer: layer.to_owned(), share, labels })
            .collect()
    }
}

impl Layer {
    /// Its share against what weighs as `from` labels.
    pub(crate) fn share(&self, from: f64) -> f64 {
        self.counts_as as f64 / (from + self.counts_as as f64)
    }
}
