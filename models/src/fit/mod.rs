//! Fitting a [`Predictor`] to labelled episodes.
//!
//! Rows of one deployment resemble each other, so whatever is chosen or calibrated on rows that a fit
//! has not seen is split by deployment, never by row.

mod forest;
mod logistic;
mod platt;
pub mod quality;

use crate::features::{FEATURES, FeatureVector};
use crate::predictor::{
    Calibration, Forest, Logistic, Model, Predictor, Provenance, Scaler, forest_log_odds,
};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_xoshiro::Xoshiro256PlusPlus;
use std::collections::BTreeSet;

/// L2 penalties that cross-validation chooses from.
const ALPHAS: [f64; 4] = [1.0, 3.0, 10.0, 30.0];
/// Parts of the cross-validation.
const FOLDS: usize = 5;
/// Deployments from which log-odds are calibrated; with fewer, two more parameters cost more than they bring.
const CALIBRATED_FROM: usize = 200;

/// One labelled look at an episode.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingRow {
    /// Rows of one deployment carry the same number.
    pub deployment: u64,
    /// What was known then.
    pub features: FeatureVector,
    /// What became of it.
    pub sustained: bool,
}

/// Why no model could be fitted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FitError {
    /// No rows.
    #[error("no rows to learn from")]
    Empty,
    /// A row of the wrong width.
    #[error("row {row} has {found} features in place of {expected}")]
    Width {
        /// Position of the row.
        row: usize,
        /// Its width.
        found: usize,
        /// The extractor's width.
        expected: usize,
    },
    /// NaN or infinity.
    #[error("row {row}: {feature} is not a finite number")]
    NotFinite {
        /// Position of the row.
        row: usize,
        /// Name of the feature.
        feature: String,
    },
    /// All labels are the same.
    #[error("every row is {}: nothing to tell apart", if *sustained { "sustained" } else { "transient" })]
    SingleClass {
        /// The one label.
        sustained: bool,
    },
    /// The features say nothing about the labels, or the opposite on deployments not fitted on.
    #[error("the features do not tell lasting failures from passing ones")]
    Uninformative,
    /// The library refused or panicked.
    #[error("{member} could not be fitted: {reason}")]
    Member {
        /// `logistic regression` or `forest`.
        member: &'static str,
        /// What it said.
        reason: String,
    },
}

/// Fits both members, chooses the penalty by grouped cross-validation, and from 200 deployments on
/// calibrates on the log-odds of rows that the folds had not seen. The same rows and seed give the same model.
///
/// # Errors
/// [`FitError`] names what is wrong with the rows, or which member could not be fitted.
pub fn fit(rows: &[TrainingRow], seed: u64) -> Result<Predictor, FitError> {
    check(rows)?;
    let all: Vec<&TrainingRow> = rows.iter().collect();
    let deployments: BTreeSet<u64> = rows.iter().map(|row| row.deployment).collect();

    let held_out = cross_validate(rows, &folds(&deployments, seed), seed)?;
    let alpha = held_out.best_alpha();
    let calibrated = deployments.len() >= CALIBRATED_FROM;
    let calibration = if calibrated {
        platt::calibrate(&held_out.scores(alpha)).ok_or(FitError::Uninformative)?
    } else {
        Calibration { slope: 1.0, intercept: 0.0 }
    };
    let scaler = scaler_of(&all);
    let design = Design::new(&scaler, &all);
    Ok(Predictor::of(Model {
        features: FEATURES.iter().map(|name| name.to_string()).collect(),
        provenance: Provenance {
            rows: rows.len() as u64,
            sustained: rows.iter().filter(|row| row.sustained).count() as u64,
            deployments: deployments.len() as u64,
            calibrated,
            seed,
        },
        logistic: logistic::logistic(&design, ALPHAS[alpha])?,
        forest: forest::forest(&design, seed)?,
        calibration,
        scaler,
    }))
}

fn check(rows: &[TrainingRow]) -> Result<(), FitError> {
    let first = rows.first().ok_or(FitError::Empty)?;
    for (at, row) in rows.iter().enumerate() {
        let values = &row.features.0;
        if values.len() != FEATURES.len() {
            let expected = FEATURES.len();
            return Err(FitError::Width { row: at, found: values.len(), expected });
        }
        if let Some(feature) = values.iter().position(|v| v.is_some_and(|v| !v.is_finite())) {
            return Err(FitError::NotFinite { row: at, feature: FEATURES[feature].to_string() });
        }
    }
    if rows.iter().all(|row| row.sustained == first.sustained) {
        return Err(FitError::SingleClass { sustained: first.sustained });
    }
    Ok(())
}

fn scaler_of(rows: &[&TrainingRow]) -> Scaler {
    Scaler::fit(&rows.iter().map(|row| row.features.0.as_slice()).collect::<Vec<_>>())
}

/// Rows as the members see them.
struct Design {
    inputs: Vec<Vec<f64>>,
    sustained: Vec<bool>,
}

impl Design {
    fn new(scaler: &Scaler, rows: &[&TrainingRow]) -> Design {
        Design {
            inputs: rows.iter().map(|row| scaler.transform(&row.features.0)).collect(),
            sustained: rows.iter().map(|row| row.sustained).collect(),
        }
    }
}

/// Deployments in random order, dealt out to the folds: at least two, so that something is held out.
fn folds(deployments: &BTreeSet<u64>, seed: u64) -> Vec<BTreeSet<u64>> {
    let mut order: Vec<u64> = deployments.iter().copied().collect();
    order.shuffle(&mut Xoshiro256PlusPlus::seed_from_u64(seed));
    let count = FOLDS.min(order.len());
    let mut folds = vec![BTreeSet::new(); count];
    for (position, deployment) in order.into_iter().enumerate() {
        folds[position % count].insert(deployment);
    }
    folds
}

/// Predictions for rows by members that had not seen their deployment.
#[derive(Default)]
struct HeldOut {
    sustained: Vec<bool>,
    forest: Vec<f64>,
    /// Per penalty of [`ALPHAS`].
    logistic: [Vec<f64>; ALPHAS.len()],
}

impl HeldOut {
    /// Position of the penalty with the least log-loss; the strongest of equals (and where nothing
    /// could be held out).
    fn best_alpha(&self) -> usize {
        let loss = |alpha: usize| {
            let rows = self.logistic[alpha].iter().zip(&self.sustained);
            rows.map(|(log_odds, label)| quality::log_loss(*log_odds, *label)).sum::<f64>()
        };
        let losses = (0..ALPHAS.len()).map(|alpha| (alpha, loss(alpha)));
        losses.rev().min_by(|a, b| a.1.total_cmp(&b.1)).map_or(ALPHAS.len() - 1, |best| best.0)
    }

    /// Averaged log-odds with their labels.
    fn scores(&self, alpha: usize) -> Vec<(f64, bool)> {
        let members = self.logistic[alpha].iter().zip(&self.forest);
        let scores = members.map(|(logistic, forest)| (logistic + forest) / 2.0);
        scores.zip(self.sustained.iter().copied()).collect()
    }
}

fn cross_validate(
    rows: &[TrainingRow],
    folds: &[BTreeSet<u64>],
    seed: u64,
) -> Result<HeldOut, FitError> {
    let mut held_out = HeldOut::default();
    for fold in folds {
        let (test, train): (Vec<_>, Vec<_>) =
            rows.iter().partition(|row| fold.contains(&row.deployment));
        let one_class = train.windows(2).all(|pair| pair[0].sustained == pair[1].sustained);
        if one_class {
            continue; // nothing can be learnt without this fold, so nothing is held out
        }
        let scaler = scaler_of(&train);
        let (train, test) = (Design::new(&scaler, &train), Design::new(&scaler, &test));
        let forest: Forest = forest::forest(&train, seed)?;
        for inputs in &test.inputs {
            let mean = forest.predict(inputs, &mut vec![0.0; inputs.len()]);
            held_out.forest.push(forest_log_odds(mean));
        }
        for (alpha, scores) in ALPHAS.iter().zip(&mut held_out.logistic) {
            let logistic: Logistic = logistic::logistic(&train, *alpha)?;
            scores.extend(test.inputs.iter().map(|inputs| logistic.log_odds(inputs)));
        }
        held_out.sustained.extend(&test.sustained);
    }
    Ok(held_out)
}

#[cfg(test)]
mod tests;
