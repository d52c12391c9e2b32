//! Fitting a [`Predictor`] to labelled episodes.
//!
//! Rows of one deployment resemble each other, so whatever is chosen or calibrated on rows that a fit
//! has not seen is split by deployment, never by row.

mod folds;
mod forest;
mod logistic;
mod platt;
pub mod quality;

use crate::features::{FEATURES, FeatureVector};
use crate::predictor::{
    Calibration, Forest, Logistic, Model, Predictor, Provenance, Scaler, forest_log_odds, lateness,
};
use folds::{Fold, in_time, shuffled};
use std::collections::BTreeSet;

/// L2 penalties that cross-validation chooses from.
const ALPHAS: [f64; 4] = [1.0, 3.0, 10.0, 30.0];
/// Trees of the shipped prior's forest.
const TREES: usize = 100;
/// Trees where something is learned in a running proxy: within seconds, and hardly worse.
const TREES_IN_PLACE: usize = 40;
/// And of the forests that are only there to choose and calibrate by.
const TREES_HELD_OUT: usize = 20;
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

/// A model, and what was forecast of rows by others like it that had not seen them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fitted {
    pub(crate) model: Model,
    /// Positions of rows, and calibrated log-odds.
    pub(crate) held_out: Vec<(usize, f64)>,
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
    /// Every feature has the same value in all rows.
    #[error("no feature differs between the rows: there is nothing to learn from")]
    Constant,
    /// Labels that contradict the shipped prior altogether are not learned from.
    #[error(
        "all {labels} labels are set aside: they say the opposite of the shipped prior. Look at some of them and confirm or correct them with 'serinus label'"
    )]
    SetAside {
        /// How many.
        labels: usize,
    },
    /// Whoever asked for it does not want it any more.
    #[error("cancelled")]
    Cancelled,
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
    let folds = |deployments: &BTreeSet<u64>| shuffled(deployments, seed);
    let fitted = fit_by(rows, seed, (TREES, TREES), folds, &mut |_| true)?;
    Ok(Predictor::of(fitted.model))
}

/// Fits a model to what happened in this order: the deployments' numbers are their ranks in time, and
/// what is chosen and calibrated on is always later than what was fitted ([`folds::in_time`]).
///
/// `go_on` is told the share that is done, 0 to 1; it cancels the fit with `false`.
///
/// # Errors
/// As [`fit`], and [`FitError::Cancelled`].
pub(crate) fn fit_in_time(
    rows: &[TrainingRow],
    seed: u64,
    go_on: &mut dyn FnMut(f64) -> bool,
) -> Result<Fitted, FitError> {
    fit_by(rows, seed, (TREES_IN_PLACE, TREES_HELD_OUT), in_time, go_on)
}

fn fit_by(
    rows: &[TrainingRow],
    seed: u64,
    (trees, trees_held_out): (usize, usize),
    folds: impl FnOnce(&BTreeSet<u64>) -> Vec<Fold>,
    go_on: &mut dyn FnMut(f64) -> bool,
) -> Result<Fitted, FitError> {
    check(rows)?;
    let all: Vec<&TrainingRow> = rows.iter().collect();
    let deployments: BTreeSet<u64> = rows.iter().map(|row| row.deployment).collect();

    let held_out = cross_validate(rows, &folds(&deployments), (seed, trees_held_out), go_on)?;
    let alpha = held_out.best_alpha();
    let calibrated = deployments.len() >= CALIBRATED_FROM;
    let calibration = if calibrated {
        platt::calibrate(&held_out.scores(alpha)).ok_or(FitError::Uninformative)?
    } else {
        Calibration::NONE
    };
    let scaler = scaler_of(&all);
    let design = Design::new(&scaler, &all);
    let model = Model {
        features: FEATURES.iter().map(|name| name.to_string()).collect(),
        provenance: Provenance {
            rows: rows.len() as u64,
            sustained: rows.iter().filter(|row| row.sustained).count() as u64,
            deployments: deployments.len() as u64,
            calibrated,
            seed,
        },
        logistic: logistic::logistic(&design, ALPHAS[alpha])?,
        forest: forest::forest(&design, trees, seed)?,
        calibration,
        scaler,
    };
    let held_out = held_out.log_odds(alpha, calibration);
    go_on(1.0).then_some(Fitted { model, held_out }).ok_or(FitError::Cancelled)
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
    if rows.len() > 1 && rows.iter().all(|row| row.features == first.features) {
        return Err(FitError::Constant);
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

/// Predictions for rows by members that had not seen their deployment.
#[derive(Default)]
struct HeldOut {
    /// Positions of the rows.
    rows: Vec<usize>,
    sustained: Vec<bool>,
    /// See [`lateness`].
    lateness: Vec<f64>,
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

    /// Calibrated log-odds by the position of the row.
    fn log_odds(&self, alpha: usize, calibration: Calibration) -> Vec<(usize, f64)> {
        let calibrated = |score: platt::Score| calibration.apply(score.log_odds, score.lateness);
        self.rows.iter().copied().zip(self.scores(alpha).into_iter().map(calibrated)).collect()
    }

    /// Averaged log-odds with how late they were and their labels.
    fn scores(&self, alpha: usize) -> Vec<platt::Score> {
        let members = self.logistic[alpha].iter().zip(&self.forest);
        let scores = members.map(|(logistic, forest)| (logistic + forest) / 2.0);
        let known = self.lateness.iter().zip(&self.sustained);
        scores
            .zip(known)
            .map(|(log_odds, (lateness, sustained))| platt::Score {
                log_odds,
                lateness: *lateness,
                sustained: *sustained,
            })
            .collect()
    }
}

fn cross_validate(
    rows: &[TrainingRow],
    folds: &[Fold],
    (seed, trees): (u64, usize),
    go_on: &mut dyn FnMut(f64) -> bool,
) -> Result<HeldOut, FitError> {
    let mut held_out = HeldOut::default();
    for (done, fold) in folds.iter().enumerate() {
        if !go_on(done as f64 / (folds.len() + 1) as f64) {
            return Err(FitError::Cancelled);
        }
        let of = |deployments: &BTreeSet<u64>| {
            let those = rows.iter().enumerate();
            those.filter(|(_, row)| deployments.contains(&row.deployment)).unzip()
        };
        let (_, train): (Vec<usize>, Vec<&TrainingRow>) = of(&fold.train);
        let (places, test): (Vec<usize>, Vec<&TrainingRow>) = of(&fold.test);
        let one_class = train.windows(2).all(|pair| pair[0].sustained == pair[1].sustained);
        if one_class {
            continue; // nothing can be learnt without this fold, so nothing is held out
        }
        let scaler = scaler_of(&train);
        let (train, test_design) = (Design::new(&scaler, &train), Design::new(&scaler, &test));
        let forest: Forest = forest::forest(&train, trees, seed)?;
        for inputs in &test_design.inputs {
            let mean = forest.predict(inputs, &mut vec![0.0; inputs.len()]);
            held_out.forest.push(forest_log_odds(mean));
        }
        for (alpha, scores) in ALPHAS.iter().zip(&mut held_out.logistic) {
            let logistic: Logistic = logistic::logistic(&train, *alpha)?;
            scores.extend(test_design.inputs.iter().map(|inputs| logistic.log_odds(inputs)));
        }
        held_out.lateness.extend(test.iter().map(|row| lateness(&row.features.0)));
        held_out.sustained.extend(&test_design.sustained);
        held_out.rows.extend(places);
    }
    Ok(held_out)
}

#[cfg(test)]
pub(crate) mod tests;
