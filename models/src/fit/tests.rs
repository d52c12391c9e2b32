use super::*;
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// A feature that came later has dice of its own: so the rows are what they were before it.
const LATER: &str = "network_ratio";

/// Rows with a signal in two features, noise in the others, and gaps.
pub(crate) fn planted(deployments: u64, rows_each: u64, seed: u64) -> Vec<TrainingRow> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut later = Xoshiro256PlusPlus::seed_from_u64(!seed);
    let mut row = |deployment| {
        let mut value = |name: &&str| {
            let dice = if *name == LATER { &mut later } else { &mut rng };
            Some(dice.random_range(-1.0..1.0))
        };
        let mut values: Vec<Option<f64>> = FEATURES.iter().map(&mut value).collect();
        let strength = 3.0 * values[0].unwrap_or(0.0) - 2.0 * values[3].unwrap_or(0.0);
        let sustained = rng.random::<f64>() < 1.0 / (1.0 + f64::exp(-2.0 * strength));
        values[5] = values[5].filter(|_| rng.random::<f64>() < 0.7);
        TrainingRow { deployment, features: FeatureVector(values), sustained }
    };
    (0..deployments * rows_each).map(|i| row(i / rows_each)).collect()
}

fn forecasts(predictor: &Predictor, rows: &[TrainingRow]) -> Vec<(f64, bool)> {
    rows.iter().map(|row| (predictor.forecast(&row.features).probability, row.sustained)).collect()
}

#[test]
fn what_was_held_out_is_told_of_the_row_that_it_is_of_and_calibrated() {
    let rows = planted(300, 2, 5);
    let fitted = fit_in_time(&rows, 7, &mut |_| true).unwrap();
    // The first fifth is never held out.
    let places: BTreeSet<usize> = fitted.held_out.iter().map(|(place, _)| *place).collect();
    assert_eq!(places, (120..600).collect());
    let told = fitted
        .held_out
        .iter()
        .map(|(place, log_odds)| (1.0 / (1.0 + f64::exp(-log_odds)), rows[*place].sustained));
    let told: Vec<(f64, bool)> = told.collect();
    assert!(quality::auc(&told).unwrap() > 0.85, "{:?}", quality::auc(&told));
    assert!(quality::calibration_error(&told) < 0.06, "{}", quality::calibration_error(&told));
}

#[test]
fn finds_what_was_planted_and_says_it_honestly_on_deployments_it_has_not_seen() {
    let predictor = fit(&planted(400, 2, 1), 7).unwrap();
    let unseen = forecasts(&predictor, &planted(400, 2, 2));
    // The labels are noisy: a forecast from the true probabilities reaches 0.93.
    assert!(quality::auc(&unseen).unwrap() > 0.89, "{:?}", quality::auc(&unseen));
    assert!(quality::brier(&unseen) < 0.14, "{}", quality::brier(&unseen));
    assert!(quality::calibration_error(&unseen) < 0.07, "{}", quality::calibration_error(&unseen));
    assert!(predictor.provenance().calibrated);
}

#[test]
fn forecasts_rise_with_the_planted_feature() {
    let predictor = fit(&planted(300, 2, 1), 7).unwrap();
    let at = |value| {
        let mut values = vec![Some(0.0); FEATURES.len()];
        values[0] = Some(value);
        predictor.forecast(&FeatureVector(values)).probability
    };
    assert!(at(-0.8) < 0.2 && at(-0.8) < at(0.0) && at(0.0) < at(0.8) && at(0.8) > 0.8);
}

#[test]
fn a_small_set_is_fitted_but_not_calibrated() {
    let predictor = fit(&planted(30, 2, 1), 7).unwrap();
    assert!(!predictor.provenance().calibrated);
    assert_eq!(predictor.provenance().deployments, 30);
}

#[test]
fn one_deployment_is_enough_to_fit() {
    assert!(fit(&planted(1, 40, 1), 7).is_ok());
}

#[test]
fn the_same_rows_and_seed_give_the_same_file_and_another_seed_another() {
    let rows = planted(60, 2, 1);
    assert_eq!(fit(&rows, 7).unwrap().to_bytes(), fit(&rows, 7).unwrap().to_bytes());
    assert_ne!(fit(&rows, 7).unwrap().to_bytes(), fit(&rows, 8).unwrap().to_bytes());
}

#[test]
fn nothing_to_learn_from_is_refused() {
    assert_eq!(fit(&[], 7), Err(FitError::Empty));
}

#[test]
fn one_kind_of_label_is_refused() {
    let mut rows = planted(30, 2, 1);
    rows.iter_mut().for_each(|row| row.sustained = true);
    assert_eq!(fit(&rows, 7), Err(FitError::SingleClass { sustained: true }));
}

#[test]
fn values_that_are_not_finite_are_refused_by_row_and_name() {
    for odd in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let mut rows = planted(30, 2, 1);
        rows[11].features.0[2] = Some(odd);
        let expected = FitError::NotFinite { row: 11, feature: FEATURES[2].to_string() };
        assert_eq!(fit(&rows, 7), Err(expected));
    }
}

#[test]
fn rows_of_another_width_are_refused() {
    let mut rows = planted(30, 2, 1);
    rows[4].features.0.pop();
    let (found, expected) = (FEATURES.len() - 1, FEATURES.len());
    assert_eq!(fit(&rows, 7), Err(FitError::Width { row: 4, found, expected }));
}

#[test]
fn labels_that_have_nothing_to_do_with_the_features_give_no_confident_model() {
    let mut rows = planted(400, 1, 1);
    let labels: Vec<bool> = planted(400, 1, 2).iter().map(|row| row.sustained).collect();
    rows.iter_mut().zip(labels).for_each(|(row, label)| row.sustained = label);
    match fit(&rows, 7) {
        Err(refused) => assert_eq!(refused, FitError::Uninformative),
        Ok(predictor) => {
            let sure =
                forecasts(&predictor, &rows).iter().filter(|(p, _)| (p - 0.5).abs() > 0.4).count();
            assert!(sure < 20, "{sure} of 400 forecasts are sure of noise");
        }
    }
}

#[test]
fn columns_that_are_constant_or_never_there_do_no_harm() {
    let mut rows = planted(60, 2, 1);
    for row in &mut rows {
        row.features.0[1] = Some(42.0);
        row.features.0[2] = None;
    }
    let predictor = fit(&rows, 7).unwrap();
    let mut odd = rows[0].features.clone();
    odd.0[1] = Some(-1e9);
    odd.0[2] = Some(1e9);
    assert_eq!(
        predictor.forecast(&odd).probability,
        predictor.forecast(&rows[0].features).probability,
        "what never varied in training has no say"
    );
}

#[test]
fn rows_that_are_all_alike_are_refused() {
    let mut rows = planted(30, 2, 1);
    let features = rows[0].features.clone();
    rows.iter_mut().for_each(|row| row.features = features.clone());
    assert_eq!(fit(&rows, 7), Err(FitError::Constant));
}

#[test]
fn a_fit_in_time_can_be_cancelled_at_every_step_and_ends_with_the_whole() {
    let rows = planted(60, 2, 1);
    let mut steps = Vec::new();
    let fitted = fit_in_time(&rows, 7, &mut |share| {
        steps.push(share);
        true
    });
    assert!(fitted.is_ok());
    assert!(steps.is_sorted() && steps.last() == Some(&1.0), "{steps:?}");
    for stop in 0..steps.len() {
        let mut left = stop;
        let cancelled = fit_in_time(&rows, 7, &mut |_| {
            left = left.wrapping_sub(1);
            left != usize::MAX
        });
        assert_eq!(cancelled, Err(FitError::Cancelled), "at step {stop}");
    }
}

#[test]
fn what_is_known_late_is_calibrated_apart_from_what_is_known_at_once() {
    // Late looks are right in 99 of 100, early ones in 3 of 4; their features look the same.
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(5);
    let late_at = FEATURES.iter().position(|name| *name == "ln_since_alarm").unwrap();
    let mut rows = planted(1500, 2, 4);
    for (at, row) in rows.iter_mut().enumerate() {
        let late = at % 2 == 1;
        row.features.0[late_at] = Some(if late { 181.0f64.ln() } else { 0.0 });
        let says = row.features.0[0].unwrap_or(0.0) > 0.0;
        row.sustained = says == (rng.random::<f64>() < if late { 0.99 } else { 0.75 });
    }
    let (train, test) = rows.split_at(2000);
    let predictor = fit(train, 7).unwrap();
    for late in [false, true] {
        let of_age = test.iter().enumerate().filter(|(at, _)| (at % 2 == 1) == late);
        let rows: Vec<TrainingRow> = of_age.map(|(_, row)| row.clone()).collect();
        let error = quality::calibration_error(&forecasts(&predictor, &rows));
        // With one calibration for all ages both are wrong by 0.12.
        assert!(error < 0.09, "late: {late}, {error}");
    }
}
