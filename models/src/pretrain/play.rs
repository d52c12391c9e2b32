//! One release of the simulated world in front of the real evaluator.

use crate::evaluator::Evaluator;
use crate::features::FeatureVector;
use crate::settings::{EvaluationSettings, Exposure};
use crate::time::Timestamp;
use crate::world::World;
use std::time::Duration;

/// Probe rounds per second while something is suspected.
const RAISED_PROBES: f64 = 5.0;
/// For how long after the alarm it is looked at.
const WATCHED: Duration = Duration::from_secs(180);
/// For how long after the fault began an alarm is waited for.
const PATIENCE: Duration = Duration::from_secs(120);
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

/// Plays a release until 180 s after its first alarm: users leave at the alarm, probes go on at a
/// raised rate. Empty if there is no alarm within two minutes of the fault. `age` is how long the
/// release had been out when the world began; `hasty` looks four times a second up to 5 s after the alarm.
pub fn play(mut world: World, age: Duration, hasty: bool) -> Vec<Look> {
    let start = Timestamp(1_700_000_000_000);
    let mut evaluator = Evaluator::new(settings(), start);
    let begun = start + age;
    let (weight, routine) = (world.service().weight, world.service().probe_rate);
    let fault = world.fault().map_or(Duration::ZERO, |(begins, _)| begins);

    let mut looks = vec![];
    let mut alarm: Option<Duration> = None;
    loop {
        let since_alarm = alarm.map(|at| world.elapsed() - at);
        let early = hasty && since_alarm.is_none_or(|since| since < Duration::from_secs(5));
        let exposure = Exposure { weight, withdrawn: alarm.is_some() };
        let probe_rate = if alarm.is_some() { RAISED_PROBES } else { routine };
        let tick = world.tick(if early { EARLY_LOOK } else { LOOK }, exposure, probe_rate);
        let elapsed = world.elapsed();
        let now = begun + elapsed;
        evaluator.observe(now, &tick, exposure);
        let suspicion = evaluator.evidence(now).suspicion;
        if alarm.is_none() {
            if evaluator.features(now).is_some() {
                alarm = Some(elapsed);
                evaluator.mark_withdrawn(now);
            } else if elapsed > fault + PATIENCE {
                return looks;
            }
        }
        let Some(alarm) = alarm else { continue };
        if elapsed - alarm > WATCHED {
            return looks;
        }
        if let Some(features) = evaluator.features(now) {
            looks.push(Look {
                age: elapsed - alarm,
                fault_age: elapsed.saturating_sub(fault),
                features,
                confirmed: suspicion.is_some_and(|suspicion| suspicion.confirmed),
            });
        }
    }
}
