//! What a model listens to: how much of a forecast each feature moves, at a typical distance from
//! the training median.

use super::{Model, Predictor, Say};
use crate::features::{FEATURES, FeatureName, in_words};
use serde::Serialize;

/// One feature's weight in a model, in log-odds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Importance {
    /// The feature.
    pub feature: FeatureName,
    /// In an operator's words.
    pub words: &'static str,
    /// What one scale unit moves in the logistic member; above zero it speaks for "it lasts".
    pub logistic: f64,
    /// Its share of all that the forest's questions move, 0 to 1.
    pub forest: f64,
    /// Its share in the whole, 0 to 1: the mean of both members' shares over the layers.
    pub share: f64,
}

impl Predictor {
    /// Features by what they move in a forecast, the strongest first.
    pub fn importance(&self) -> Vec<Importance> {
        let mut found: Vec<Importance> = FEATURES
            .iter()
            .enumerate()
            .map(|(at, feature)| Importance {
                feature,
                words: in_words(at),
                logistic: 0.0,
                forest: 0.0,
                share: 0.0,
            })
            .collect();
        for (say, model) in &self.layers {
            let (logistic, forest) = (model.coefficients(), model.forest_moves());
            let (of_logistic, of_forest) = (absolute(&logistic), absolute(&forest));
            for (at, importance) in found.iter_mut().enumerate() {
                importance.logistic += say * logistic[at];
                importance.forest += say * forest[at] / of_forest;
                importance.share +=
                    say * (logistic[at].abs() / of_logistic + forest[at] / of_forest) / 2.0;
            }
        }
        found.sort_by(|a, b| b.share.total_cmp(&a.share));
        found
    }

    /// What each layer has to say for a service, or for any. A single model has all the say.
    pub fn says(&self, service: Option<&str>) -> Vec<Say> {
        match &self.learned {
            Some(learned) => learned.says(service),
            None => vec![Say { layer: "prior".to_owned(), share: 1.0, labels: None }],
        }
    }
}

/// Never zero: a divisor.
fn absolute(values: &[f64]) -> f64 {
    values.iter().map(|value| value.abs()).sum::<f64>().max(1e-12)
}

impl Model {
    /// By feature; the flags that say "missing" aside.
    fn coefficients(&self) -> Vec<f64> {
        self.logistic.coefficients[..self.scaler.features()].to_vec()
    }

    /// By feature: how far the questions about it move the mean label, over all nodes of all trees,
    /// those near the root counting as often as rows come by.
    fn forest_moves(&self) -> Vec<f64> {
        let mut moves = vec![0.0; self.scaler.features()];
        for tree in &self.forest.trees {
            // Nodes with the share of the rows that reach them, halved at each question.
            let mut waiting = vec![(0usize, 1.0)];
            while let Some((node, reach)) = waiting.pop() {
                let right = tree.right[node] as usize;
                if right == 0 {
                    continue;
                }
                let feature = self.scaler.feature_of(usize::from(tree.input[node]));
                for child in [node + 1, right] {
                    moves[feature] += reach / 2.0 * (tree.value[child] - tree.value[node]).abs();
                    waiting.push((child, reach / 2.0));
                }
            }
        }
        moves
    }
}
