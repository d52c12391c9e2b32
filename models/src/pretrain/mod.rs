//! Where the shipped prior comes from: the simulated world in front of the real evaluator.
//!
//! `cargo run -p serinus-models --example pretrain` writes `pretrained/prior.model`; the same code on
//! the same seeds gives the same bytes.

mod play;
mod report;

pub use play::{Look, play, settings};
pub use report::{Ages, Report};

use crate::fit::{FitError, TrainingRow, fit};
use crate::predictor::Predictor;
use crate::world::seeds::Purpose;
use crate::world::{Scenario, Truth, World};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use std::time::Duration;

/// Seeds of training and test worlds: ranges that cannot meet.
const TRAINING: u64 = Purpose::Train.seed(0);
const TEST: u64 = Purpose::Test.seed(0);
/// Seconds after the alarm at which a row is taken.
/// Most are early: that is when it is hard.
const ROW_AGES: [u64; 11] = [0, 1, 2, 3, 4, 5, 7, 10, 20, 60, 180];
/// Releases for training, and for the report.
const TRAINING_RELEASES: u64 = 3000;
const TEST_RELEASES: u64 = 1500;

/// A release that raised an alarm.
#[derive(Debug, Clone, PartialEq)]
pub struct Episode {
    /// Its kind.
    pub scenario: &'static str,
    /// What is true of it.
    pub truth: Truth,
    /// Its seed.
    pub seed: u64,
    /// Every look from the alarm on.
    pub looks: Vec<Look>,
}

impl Episode {
    /// Whether its fault lasts.
    pub fn sustained(&self) -> bool {
        self.truth == Truth::Sustained
    }

    /// The first look at or after this age.
    pub fn at(&self, seconds: u64) -> Option<&Look> {
        self.looks.iter().find(|look| look.age >= Duration::from_secs(seconds))
    }
}

/// Plays `count` releases of the mix, their seeds beginning with `first`; those that raise no alarm are left out.
pub fn episodes(first: u64, count: u64) -> Vec<Episode> {
    played(first, count).collect()
}

/// The same, one after the other: all of them together are some tens of megabytes.
pub fn played(first: u64, count: u64) -> impl Iterator<Item = Episode> {
    let played = (first..first + count).map(|seed| {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let scenario = scenario(&mut rng);
        // A fault that does not come with the deployment may come hours later.
        let world = World::of_scenario(scenario, seed);
        let at_deployment = world.fault().is_some_and(|(begins, _)| begins.is_zero());
        let out_for = rng.random_range(0..6 * 3600);
        let old = rng.random_range(0..2) == 0 && !at_deployment;
        let age = Duration::from_secs(if old { out_for } else { 0 });
        let hasty = rng.random_range(0..2) == 0;
        let (scenario, truth) = (scenario.name(), world.truth());
        Episode { scenario, truth, seed, looks: play(world, age, hasty) }
    });
    played.filter(|episode| !episode.looks.is_empty())
}

/// One of the mix, by the scenarios' shares. A release that is dead from the start is the commonest bad
/// one; blips and restarts are the commonest faults that pass, and most blips raise no alarm. Faults that
/// need load have no share: without users nobody can know, so their label is `censored`.
fn scenario(rng: &mut Xoshiro256PlusPlus) -> &'static Scenario {
    let mix = Scenario::shipped();
    let mut at = rng.random_range(0..mix.iter().map(Scenario::share).sum());
    let here = |scenario: &&Scenario| {
        let here = at < scenario.share();
        at = at.saturating_sub(scenario.share());
        here
    };
    mix.iter().find(here).unwrap_or(&mix[0])
}

/// Training rows of episodes at [`ROW_AGES`].
pub fn rows(episodes: &[Episode]) -> Vec<TrainingRow> {
    let rows_of = |episode: &Episode| {
        let looks = ROW_AGES.iter().filter_map(|age| episode.at(*age));
        let row = |look: &Look| TrainingRow {
            deployment: episode.seed,
            features: look.features.clone(),
            sustained: episode.sustained(),
        };
        looks.map(row).collect::<Vec<_>>()
    };
    episodes.iter().flat_map(rows_of).collect()
}

/// Fits the shipped prior. Takes some tens of seconds.
///
/// # Errors
/// [`FitError`] if the evaluator raises no alarms to learn from, or the fit fails.
pub fn prior() -> Result<Predictor, FitError> {
    fit(&rows(&episodes(TRAINING, TRAINING_RELEASES)), TRAINING)
}

/// How good a model is on releases that it was not fitted on.
pub fn report(predictor: &Predictor) -> Report {
    Report::of(predictor, &episodes(TEST, TEST_RELEASES), settings().rollback_threshold)
}

#[cfg(test)]
mod tests;
