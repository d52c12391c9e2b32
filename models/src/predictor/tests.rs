use super::*;
use crate::fit::{TrainingRow, fit};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use std::sync::LazyLock;

/// A model fitted on a few planted rows.
static FITTED: LazyLock<Predictor> = LazyLock::new(|| {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    let mut row = |deployment| {
        let values: Vec<Option<f64>> = FEATURES
            .iter()
            .map(|_| Some(rng.random_range(-2.0..2.0)).filter(|value| *value > -1.7))
            .collect();
        let strength =
            values[0].unwrap_or(-2.0) + values[1].unwrap_or(0.0) * values[2].unwrap_or(0.0);
        let sustained = strength > rng.random_range(-0.5..0.5);
        TrainingRow { deployment, features: FeatureVector(values), sustained }
    };
    fit(&(0..240).map(&mut row).collect::<Vec<_>>(), 5).unwrap()
});

fn any_features() -> impl Strategy<Value = FeatureVector> {
    let value = prop_oneof![
        4 => (-5.0..5.0).prop_map(Some),
        1 => Just(None),
        1 => prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(f64::MAX), Just(-1e300)].prop_map(Some),
    ];
    proptest::collection::vec(value, FEATURES.len()).prop_map(FeatureVector)
}

proptest! {
    #[test]
    fn a_model_that_was_saved_and_read_back_forecasts_the_same(features in any_features()) {
        let read = Predictor::from_bytes(&FITTED.to_bytes()).unwrap();
        prop_assert_eq!(read.forecast(&features), FITTED.forecast(&features));
    }

    #[test]
    fn contributions_and_base_sum_to_the_log_odds(features in any_features()) {
        let forecast = FITTED.forecast(&features);
        prop_assert!(forecast.probability > 0.0 && forecast.probability < 1.0);
        prop_assert_eq!(forecast.contributions.len(), FEATURES.len());
        let sum = forecast.base + forecast.contributions.iter().sum::<f64>();
        prop_assert!((sigmoid(sum) - forecast.probability).abs() < 1e-9);
    }

    #[test]
    fn a_changed_byte_is_noticed(at in any::<prop::sample::Index>(), flip in 1u8..=255) {
        let mut file = FITTED.to_bytes();
        let at = at.index(file.len());
        file[at] ^= flip;
        prop_assert!(Predictor::from_bytes(&file).is_err());
    }
}

#[test]
fn a_cut_file_is_noticed() {
    let file = FITTED.to_bytes();
    for length in [0, 1, 20, 40, file.len() / 2, file.len() - 1] {
        assert!(Predictor::from_bytes(&file[..length]).is_err(), "{length} bytes");
    }
    assert_eq!(Predictor::from_bytes(&file[..file.len() / 2]), Err(ModelError::Damaged));
}

#[test]
fn foreign_and_old_files_are_told_apart() {
    assert_eq!(Predictor::from_bytes(b""), Err(ModelError::Foreign));
    assert_eq!(Predictor::from_bytes(b"\xff\xfe\x00"), Err(ModelError::Foreign));
    assert_eq!(Predictor::from_bytes(b"{\"trees\":[]}\n"), Err(ModelError::Foreign));
    let old = ModelError::Format { found: 0, known: 1 };
    assert_eq!(Predictor::from_bytes(b"serinus-model 0 00\n{}\n"), Err(old));
}

/// A file whose checksum is right, but whose content has been changed.
fn altered(change: impl Fn(&mut Model)) -> Result<Predictor, ModelError> {
    let mut model = Model::clone(FITTED.first_model());
    change(&mut model);
    Predictor::from_bytes(&file::write_model(&model).0)
}

#[test]
fn a_sound_file_with_a_senseless_model_is_refused() {
    assert!(altered(|_| {}).is_ok());
    let refused = |part| Err(ModelError::Inconsistent(part));
    assert_eq!(altered(|m| m.forest.trees.clear()), refused("forest"));
    assert_eq!(altered(|m| m.logistic.coefficients.truncate(3)), refused("logistic regression"));
    assert_eq!(altered(|m| m.calibration.slope = -1.0), refused("calibration"));
    assert!(matches!(altered(|m| m.logistic.intercept = f64::NAN), Err(ModelError::Content(_))));
}

#[test]
fn a_model_of_other_features_is_refused_by_name() {
    let refused = altered(|model| model.features[3] = "moon_phase".to_owned());
    let Err(ModelError::Features(text)) = refused else { panic!("{refused:?}") };
    assert!(text.contains("moon_phase"), "{text}");
}

#[test]
fn the_id_names_the_content() {
    assert_eq!(FITTED.id().len(), 12);
    assert_eq!(Predictor::from_bytes(&FITTED.to_bytes()).unwrap().id(), FITTED.id());
    let other = altered(|model| model.logistic.intercept += 0.5).unwrap();
    assert_ne!(other.id(), FITTED.id());
}
