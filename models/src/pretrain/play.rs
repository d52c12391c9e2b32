//! One release of the simulated world in front of the real evaluator.

use crate::evaluator::Evaluator;
use crate::features::FeatureVector;
use crate::settings::{EvaluationSettings, Exposure};
use crate::time::Timestamp;
use crate::world::{ProbeRates, World};
use std::time::Duration;

/// Probe rounds while something is suspected.
const SUSPICION: ProbeRates = ProbeRates { own: 5.0, plain: 5.0 };
/// For how long after the alarm it is looked at.
const WATCHED: Duration = Duration::from_secs(300);
/// For how long an alarm is waited for after the fault began, and after it ended.
const PATIENCE: Duration = Duration::from_secs(120);
const PATIENCE_AFTER: Duration = Duration::from_secs(10);
/// From this age on only every fifth look is kept.
const EVERY_LOOK_UNTIL: Duration = Duration::from_secs(20);
/// Looks come this often from the alarm's neighbourhood on; the proxy looks early when requests fail.
const EARLY_LOOK: Duration = Duration::from_millis(250);
const LOOK: Duration = Duration::from_secs(1);

/// How a release is watched in training and test: the product's defaults.
pub fn settings() -> EvaluationSettings {
    EvaluationSettings {
        anomaly_threshold: 0.999,
        rollback_threshold: 0.8,
        resume_threshold: 0.2,
        margin: 1.25,
        withdraw: true,
        min_requests: 100,
        horizon: Duration::from_secs(31 * 60),
        label_window: (Duration::from_secs(60), Duration::from_secs(300)),
    }
}

/// What was known at one moment of an episode.
#[derive(Debug, Clone, PartialEq)]
pub struct Look {
    /// Time since the alarm.
    pub age: Duration,
    /// Time since the fault began; zero if the alarm came before any.
    pub fault_age: Duration,
    /// What the predictor sees.
    pub features: FeatureVector,
    /// Whether what was seen since the alarm allows a rollback, if the forecast asks for it.
    pub confirmed: bool,
}

/// Plays a release until 300 s after its first alarm: users leave at the alarm, probes go on at a
/// raised rate. Empty if there is no alarm within two minutes of the fault's begin and ten seconds of
/// its end. `age` is how long the release had been out when the world began; `hasty` looks four times
/// a second up to 5 s after the alarm.
pub fn play(mut world: World, age: Duration, hasty: bool) -> Vec<Look> {
    let start = Timestamp(1_700_000_000_000);
    let mut evaluator = Evaluator::new(settings(), start);
    let begun = start + age;
    let weight = world.service().weight;
    let routine = ProbeRates::own(world.service().probe_rate);
    let (fault, ends) = world.fault().unwrap_or_default();
    let give_up = ends.map_or(Duration::MAX, |ends| ends + PATIENCE_AFTER).min(fault + PATIENCE);

    let mut looks = vec![];
    let mut alarm: Option<Duration> = None;
    loop {
        let since_alarm = alarm.map(|at| world.elapsed() - at);
        let early = hasty && since_alarm.is_none_or(|since| since < Duration::from_secs(5));
        let exposure = Exposure { weight, withdrawn: alarm.is_some() };
        let rates = if alarm.is_some() { SUSPICION } else { routine };
        let tick = world.tick(if early { EARLY_LOOK } else { LOOK }, exposure, rates);
        let elapsed = world.elapsed();
        let now = begun + elapsed;
        evaluator.observe(now, &tick, exposure);
        if alarm.is_none() {
            if evaluator.features(now).is_some() {
                alarm = Some(elapsed);
                evaluator.mark_withdrawn(now);
            } else if elapsed > give_up {
                return looks;
            }
        }
        let Some(alarm) = alarm else { continue };
        if elapsed - alarm > WATCHED {
            return looks;
        }
        let age = elapsed - alarm;
        if age > EVERY_LOOK_UNTIL && !age.as_secs().is_multiple_of(5) {
            continue;
        }
        let suspicion = evaluator.evidence(now).suspicion;
        let confirmed = suspicion.as_ref().is_some_and(|suspicion| suspicion.confirmed);
        if let Some(features) = suspicion.and_then(|suspicion| suspicion.features) {
            looks.push(Look { age, fault_age: elapsed.saturating_sub(fault), features, confirmed });
        }
    }
}
