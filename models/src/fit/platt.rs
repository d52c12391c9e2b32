//! Platt's calibration: numbers that make log-odds honest (Platt, 1999; Lin, Lin and Weng, 2007).
//!
//! Slope and intercept move along with the time since the alarm. One pair for all times makes the
//! early forecasts too sure and the late ones not sure enough: most rows are early, and late ones
//! know more.

use crate::predictor::{Calibration, sigmoid};

/// Slope, intercept, and what is added to both towards the end.
const PARAMETERS: usize = 4;
/// Keeps the Hessian invertible, and the later ones at zero where every row is of one age.
const RIDGE: f64 = 1e-6;

/// One forecast that the fit had not seen, with what became of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Score {
    pub(super) log_odds: f64,
    /// 0 at the alarm, 1 from three minutes after it on.
    pub(super) lateness: f64,
    pub(super) sustained: bool,
}

type Vector = [f64; PARAMETERS];

/// The parameters of least log-loss, by Newton's method, with Platt's softened labels.
/// `None` if more evidence does not mean more certainty: the scores are worth nothing.
pub(super) fn calibrate(scores: &[Score]) -> Option<Calibration> {
    let sustained = scores.iter().filter(|score| score.sustained).count() as f64;
    let transient = scores.len() as f64 - sustained;
    let target = |label| {
        if label { (sustained + 1.0) / (sustained + 2.0) } else { 1.0 / (transient + 2.0) }
    };
    let mut parameters: Vector = [1.0, 0.0, 0.0, 0.0];
    for _ in 0..100 {
        let (mut gradient, mut hessian) = (Vector::default(), [Vector::default(); PARAMETERS]);
        for score in scores {
            let Score { log_odds, lateness, sustained } = *score;
            let inputs = [log_odds, 1.0, lateness * log_odds, lateness];
            let p = sigmoid(inputs.iter().zip(parameters).map(|(x, w)| x * w).sum());
            let (error, weight) = (p - target(sustained), (p * (1.0 - p)).max(1e-12));
            for (row, x) in inputs.iter().enumerate() {
                gradient[row] += error * x;
                for (cell, y) in hessian[row].iter_mut().zip(inputs) {
                    *cell += weight * x * y;
                }
            }
        }
        (0..PARAMETERS).for_each(|at| hessian[at][at] += RIDGE);
        let step = solve(hessian, gradient);
        // Newton overshoots where the curve is flat; a bounded step does not.
        let most = step.iter().fold(1.0_f64, |most, part| most.max(part.abs()));
        for (parameter, part) in parameters.iter_mut().zip(step) {
            *parameter -= part / most;
        }
        if step.iter().map(|part| part.abs()).sum::<f64>() < 1e-10 {
            break;
        }
    }
    let [slope, intercept, slope_later, intercept_later] =
        parameters.map(|value| (value * 1e5).round() / 1e5);
    let sound = parameters.iter().all(|parameter| parameter.is_finite())
        && slope > 0.01
        && slope + slope_later > 0.01;
    sound.then_some(Calibration { slope, intercept, slope_later, intercept_later })
}

/// Gaussian elimination with pivoting: `matrix` times the answer is `right`.
fn solve(mut matrix: [Vector; PARAMETERS], mut right: Vector) -> Vector {
    for column in 0..PARAMETERS {
        let size = |row: &usize| matrix[*row][column].abs();
        let pivot = (column..PARAMETERS).max_by(|a, b| size(a).total_cmp(&size(b)));
        let pivot = pivot.unwrap_or(column);
        matrix.swap(column, pivot);
        right.swap(column, pivot);
        let (head, head_right) = (matrix[column], right[column]);
        for row in column + 1..PARAMETERS {
            let factor = matrix[row][column] / head[column];
            for (cell, of_head) in matrix[row].iter_mut().zip(head) {
                *cell -= factor * of_head;
            }
            right[row] -= factor * head_right;
        }
    }
    let mut answer = Vector::default();
    for row in (0..PARAMETERS).rev() {
        let known: f64 = (row + 1..PARAMETERS).map(|at| matrix[row][at] * answer[at]).sum();
        answer[row] = (right[row] - known) / matrix[row][row];
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_xoshiro::Xoshiro256PlusPlus;

    fn scores(truth: impl Fn(f64, f64) -> f64, ages: &[f64]) -> Vec<Score> {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(11);
        let mut draw = |at: usize| {
            let log_odds: f64 = rng.random_range(-4.0..4.0);
            let lateness = ages[at % ages.len()];
            let sustained = rng.random::<f64>() < truth(log_odds, lateness);
            Score { log_odds, lateness, sustained }
        };
        (0..20_000).map(&mut draw).collect()
    }

    #[test]
    fn finds_the_slope_and_intercept_that_made_the_labels() {
        let found = calibrate(&scores(|score, _| sigmoid(0.5 * score - 1.0), &[0.0])).unwrap();
        assert!((found.slope - 0.5).abs() < 0.03, "{found:?}");
        assert!((found.intercept + 1.0).abs() < 0.06, "{found:?}");
        assert_eq!((found.slope_later, found.intercept_later), (0.0, 0.0), "all of one age");
    }

    #[test]
    fn finds_how_both_move_along_with_the_time() {
        let truth = |score: f64, late: f64| sigmoid((0.5 + late) * score - 1.0 + 0.5 * late);
        let found = calibrate(&scores(truth, &[0.0, 0.5, 1.0])).unwrap();
        assert!((found.slope - 0.5).abs() < 0.05, "{found:?}");
        assert!((found.slope_later - 1.0).abs() < 0.12, "{found:?}");
        assert!((found.intercept_later - 0.5).abs() < 0.12, "{found:?}");
    }

    #[test]
    fn separable_scores_end_in_a_finite_slope() {
        let score = |log_odds: f64| Score { log_odds, lateness: 0.0, sustained: log_odds > 0.0 };
        let found = calibrate(&[-2.0, -1.0, 1.0, 2.0].map(score)).unwrap();
        assert!(found.slope > 0.0 && found.slope < 100.0, "{found:?}");
    }

    #[test]
    fn scores_that_say_the_opposite_are_refused() {
        assert_eq!(calibrate(&scores(|score, _| sigmoid(-score), &[0.0])), None);
    }
}
