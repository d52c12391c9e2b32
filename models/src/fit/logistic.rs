//! L2 logistic regression by Newton's method on `smartcore`'s Cholesky decomposition.
//!
//! The optimum is the one that `smartcore`'s own `LogisticRegression` looks for (a test holds them
//! against each other). Its L-BFGS asks for a gradient of 1e-8, does not get there on thousands of rows,
//! and then runs its full thousand rounds: a minute in place of less than a second.

use super::{Design, FitError, quality};
use crate::predictor::{Logistic, sigmoid};
use smartcore::error::Failed;
use smartcore::linalg::basic::matrix::DenseMatrix;
use smartcore::linalg::traits::cholesky::CholeskyDecomposable;

/// Newton needs about eight rounds; more than this, and there is no optimum.
const MOST_ROUNDS: usize = 100;
/// A step below this changes nothing that is kept.
const SMALL: f64 = 1e-9;

/// Fits coefficients with penalty `alpha / 2 * |w|^2`, the intercept free.
pub(super) fn logistic(design: &Design, alpha: f64) -> Result<Logistic, FitError> {
    let refused = |reason| FitError::Member { member: "logistic regression", reason };
    // The last weight is the intercept.
    let mut weights = vec![0.0; design.inputs.first().map_or(0, Vec::len) + 1];
    let mut loss = penalised_loss(design, &weights, alpha);
    for _ in 0..MOST_ROUNDS {
        let step =
            newton_step(design, &weights, alpha).map_err(|failed| refused(failed.to_string()))?;
        // Far from the optimum a full step may overshoot: halve it until it is one for the better.
        let mut share = 1.0;
        let moved = |share: f64| -> Vec<f64> {
            weights.iter().zip(&step).map(|(weight, step)| weight - share * step).collect()
        };
        let mut next = moved(share);
        let mut next_loss = penalised_loss(design, &next, alpha);
        while (next_loss > loss || !next_loss.is_finite()) && share > 1e-6 {
            share /= 2.0;
            next = moved(share);
            next_loss = penalised_loss(design, &next, alpha);
        }
        let distance = step.iter().fold(0.0_f64, |most, step| most.max(share * step.abs()));
        if !next_loss.is_finite() {
            return Err(refused("it did not converge".to_owned()));
        }
        (weights, loss) = (next, next_loss);
        if distance < SMALL || share < 1e-5 {
            let rounded = |weight: &f64| (weight * 1e6).round() / 1e6;
            let intercept = weights.last().map_or(0.0, rounded);
            weights.pop();
            return Ok(Logistic {
                alpha,
                intercept,
                coefficients: weights.iter().map(rounded).collect(),
            });
        }
    }
    Err(refused("it did not converge".to_owned()))
}

fn log_odds(inputs: &[f64], weights: &[f64]) -> f64 {
    let products = inputs.iter().zip(weights).map(|(input, weight)| input * weight);
    products.sum::<f64>() + weights[inputs.len()]
}

fn penalised_loss(design: &Design, weights: &[f64], alpha: f64) -> f64 {
    let rows = design.inputs.iter().zip(&design.sustained);
    let loss: f64 =
        rows.map(|(row, label)| quality::log_loss(log_odds(row, weights), *label)).sum();
    let squares: f64 = weights[..weights.len() - 1].iter().map(|weight| weight * weight).sum();
    loss + alpha / 2.0 * squares
}

/// Inverse Hessian times gradient.
fn newton_step(design: &Design, weights: &[f64], alpha: f64) -> Result<Vec<f64>, Failed> {
    let width = weights.len();
    let mut gradient = vec![0.0; width];
    let mut hessian = vec![vec![0.0; width]; width];
    let mut row = vec![1.0; width];
    for (inputs, label) in design.inputs.iter().zip(&design.sustained) {
        row[..inputs.len()].copy_from_slice(inputs);
        let p = sigmoid(log_odds(inputs, weights));
        let (error, curvature) = (p - f64::from(u8::from(*label)), p * (1.0 - p));
        for at in 0..width {
            gradient[at] += error * row[at];
            let scaled = curvature * row[at];
            if scaled != 0.0 {
                for (sum, other) in hessian[at][..=at].iter_mut().zip(&row) {
                    *sum += scaled * other;
                }
            }
        }
    }
    for at in 0..width {
        // A ridge of almost nothing keeps the intercept's curvature positive where all is certain.
        let ridge = if at + 1 == width { SMALL } else { alpha };
        hessian[at][at] += ridge;
        if at + 1 < width {
            gradient[at] += alpha * weights[at];
        }
    }
    let gradient = DenseMatrix::from_2d_vec(&gradient.into_iter().map(|g| vec![g]).collect())?;
    // Only the lower half was summed.
    let mirrored = |row: usize| (0..width).map(|at| hessian[row.max(at)][row.min(at)]).collect();
    let hessian: Vec<Vec<f64>> = (0..width).map(mirrored).collect();
    let step = DenseMatrix::from_2d_vec(&hessian)?.cholesky_solve_mut(gradient)?;
    Ok(smartcore::linalg::basic::arrays::Array::iterator(&step, 0).copied().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_xoshiro::Xoshiro256PlusPlus;
    use smartcore::linalg::basic::arrays::Array;
    use smartcore::linear::logistic_regression::{
        LogisticRegression, LogisticRegressionParameters,
    };

    fn design(rows: usize, noise: f64) -> Design {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(3);
        let inputs: Vec<Vec<f64>> =
            (0..rows).map(|_| (0..4).map(|_| rng.random_range(-3.0..3.0)).collect()).collect();
        let sustained =
            inputs.iter().map(|row| row[2] + noise * rng.random_range(-1.0..1.0) > 0.3).collect();
        Design { inputs, sustained }
    }

    #[test]
    fn finds_the_optimum_that_smartcore_finds() {
        let design = design(300, 2.0);
        let x = DenseMatrix::from_2d_vec(&design.inputs).unwrap();
        let y: Vec<u32> = design.sustained.iter().map(|s| u32::from(*s)).collect();
        for alpha in [1.0, 30.0] {
            let parameters = LogisticRegressionParameters::default().with_alpha(alpha);
            let theirs = LogisticRegression::fit(&x, &y, parameters).unwrap();
            let ours = logistic(&design, alpha).unwrap();
            assert!((ours.intercept - theirs.intercept().get((0, 0))).abs() < 1e-4, "{ours:?}");
            for (ours, theirs) in ours.coefficients.iter().zip(theirs.coefficients().iterator(0)) {
                assert!((ours - theirs).abs() < 1e-4, "{ours} {theirs}");
            }
        }
    }

    #[test]
    fn finds_the_direction_that_was_planted_even_where_it_separates_all_rows() {
        let fitted = logistic(&design(400, 0.0), 1.0).unwrap();
        assert!(fitted.coefficients[2] > 2.0, "{fitted:?}");
        assert!([0, 1, 3].iter().all(|&i| fitted.coefficients[i].abs() < 0.5), "{fitted:?}");
    }

    #[test]
    fn inputs_that_never_vary_get_no_weight() {
        let mut design = design(200, 2.0);
        design.inputs.iter_mut().for_each(|row| row[1] = 0.0);
        assert_eq!(logistic(&design, 1.0).unwrap().coefficients[1], 0.0);
    }
}
