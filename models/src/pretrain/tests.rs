use super::*;
use crate::outcome::Outcome;
use crate::world::{Course, Effect, Fault, ServiceShape};

#[test]
fn the_committed_command_makes_the_shipped_file_byte_for_byte() {
    let made = prior().unwrap().to_bytes();
    let shipped = Predictor::shipped().unwrap().to_bytes();
    // Not assert_eq: nobody wants to read two models.
    assert!(made == shipped, "run `cargo run -p serinus-models --example pretrain` and commit");
}

#[test]
fn training_and_test_releases_cannot_meet() {
    const { assert!(TRAINING + TRAINING_RELEASES <= TEST) }
}

#[test]
fn the_same_seeds_play_the_same_episodes() {
    assert_eq!(episodes(5, 6), episodes(5, 6));
}

/// Plays `fault` on the shop (200 requests per second, a tenth on the canary) with many seeds and
/// gives for each alarm the time to the first forecast above the threshold, where a rollback may follow.
fn passed(fault: Fault) -> Vec<Option<Duration>> {
    let predictor = Predictor::shipped().unwrap();
    let first_above = |looks: Vec<Look>| {
        let mut confirmed = looks.into_iter().filter(|look| look.confirmed);
        let threshold = settings().rollback_threshold;
        let above = |look: &Look| predictor.forecast(&look.features).probability > threshold;
        confirmed.find(above).map(|look| look.age)
    };
    let played = (0..40).map(|seed| {
        let world = World::with_faults(ServiceShape::shop(), vec![fault], seed);
        play(world, Duration::ZERO, seed % 2 == 0)
    });
    played.filter(|looks| !looks.is_empty()).map(first_above).collect()
}

#[test]
fn a_dead_canary_is_forecast_to_stay_dead_within_three_seconds_of_the_alarm() {
    for begins in [0.0, 40.0] {
        let dead = Fault::lasting(begins, Effect::failing(1.0, Outcome::ServerError));
        let passed = passed(dead);
        assert_eq!(passed.len(), 40, "every one raises an alarm");
        let late = |after: &Option<Duration>| after.is_none_or(|at| at > Duration::from_secs(3));
        assert!(!passed.iter().any(late), "{passed:?}");
    }
}

#[test]
fn a_blip_of_two_seconds_is_never_forecast_to_last() {
    for begins in [0.0, 40.0] {
        let blip = Fault::passing(begins, 2.0, Effect::failing(0.5, Outcome::ServerError));
        let passed = passed(blip);
        assert!(passed.len() > 30 && passed.iter().all(Option::is_none), "{passed:?}");
    }
}

#[test]
fn a_cold_start_of_eight_seconds_is_never_forecast_to_last() {
    // What is three times slower and soon well is over before it is an anomaly.
    for (times, failures, alarms) in [(3.0, 0.0, 0..=0), (10.0, 0.0, 11..=40), (16.0, 0.2, 21..=40)]
    {
        let effect = Effect { failures, ..Effect::slow(1.0, times) };
        let cold = Fault::passing(0.0, 8.0, effect).with(Course::Shrinking { over: 8.0 });
        let passed = passed(cold);
        assert!(alarms.contains(&passed.len()), "{times}: {passed:?}");
        assert!(passed.iter().all(Option::is_none), "{times}: {passed:?}");
    }
}
