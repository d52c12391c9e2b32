//! Platt's calibration: two numbers that make log-odds honest (Platt, 1999; Lin, Lin and Weng, 2007).

use crate::predictor::{Calibration, sigmoid};

/// The slope and intercept of least log-loss, by Newton's method, with Platt's softened labels.
/// `None` if more evidence does not mean more certainty: the scores are worth nothing.
pub(super) fn calibrate(scores: &[(f64, bool)]) -> Option<Calibration> {
    let sustained = scores.iter().filter(|(_, label)| *label).count() as f64;
    let transient = scores.len() as f64 - sustained;
    let target = |label| {
        if label { (sustained + 1.0) / (sustained + 2.0) } else { 1.0 / (transient + 2.0) }
    };
    let (mut slope, mut intercept) = (1.0, 0.0);
    for _ in 0..100 {
        // Gradient, and Hessian with a ridge that keeps it invertible.
        let (mut g_slope, mut g_intercept) = (0.0, 0.0);
        let (mut h_slope, mut h_both, mut h_intercept) = (1e-9, 0.0, 1e-9);
        for &(score, label) in scores {
            let p = sigmoid(slope * score + intercept);
            let (error, weight) = (p - target(label), (p * (1.0 - p)).max(1e-12));
            g_slope += error * score;
            g_intercept += error;
            h_slope += weight * score * score;
            h_both += weight * score;
            h_intercept += weight;
        }
        let determinant = h_slope * h_intercept - h_both * h_both;
        let step_slope = (h_intercept * g_slope - h_both * g_intercept) / determinant;
        let step_intercept = (h_slope * g_intercept - h_both * g_slope) / determinant;
        // Newton overshoots where the curve is flat; a bounded step does not.
        let brake = 1.0 / step_slope.abs().max(step_intercept.abs()).max(1.0);
        slope -= brake * step_slope;
        intercept -= brake * step_intercept;
        if step_slope.abs() + step_intercept.abs() < 1e-10 {
            break;
        }
    }
    let rounded = |value: f64| (value * 1e5).round() / 1e5;
    let sound = slope.is_finite() && intercept.is_finite() && slope > 0.01;
    sound.then(|| Calibration { slope: rounded(slope), intercept: rounded(intercept) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_xoshiro::Xoshiro256PlusPlus;

    fn scores(truth: impl Fn(f64) -> f64) -> Vec<(f64, bool)> {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(11);
        let mut draw = || {
            let score: f64 = rng.random_range(-4.0..4.0);
            (score, rng.random::<f64>() < truth(score))
        };
        (0..20_000).map(|_| draw()).collect()
    }

    #[test]
    fn finds_the_slope_and_intercept_that_made_the_labels() {
        let found = calibrate(&scores(|score| sigmoid(0.5 * score - 1.0))).unwrap();
        assert!((found.slope - 0.5).abs() < 0.03, "{found:?}");
        assert!((found.intercept + 1.0).abs() < 0.06, "{found:?}");
    }

    #[test]
    fn separable_scores_end_in_a_finite_slope() {
        let found = calibrate(&[(-2.0, false), (-1.0, false), (1.0, true), (2.0, true)]).unwrap();
        assert!(found.slope > 0.0 && found.slope < 100.0, "{found:?}");
    }

    #[test]
    fn scores_that_say_the_opposite_are_refused() {
        assert_eq!(calibrate(&scores(|score| sigmoid(-score))), None);
    }
}
