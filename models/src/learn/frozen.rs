//! The frozen scenario set: simulated releases whose truth nobody can poison.

use crate::fit::{TrainingRow, quality};
use crate::predictor::Predictor;
use crate::pretrain::{Episode, Look, played};
use crate::world::seeds::Purpose;

/// The first seed, among those for tuning; `simulate` begins at 0.
const FIRST: u32 = 1_000_000_000;
/// Releases; about two thirds of them raise an alarm.
const RELEASES: u64 = 200;
/// Seconds after the alarm.
const AGES: [u64; 6] = [0, 3, 10, 20, 60, 180];

/// Looks at simulated episodes, with what is true of them.
#[derive(Debug, Clone)]
pub struct Frozen {
    rows: Vec<TrainingRow>,
}

impl Frozen {
    /// Plays the releases: some seconds. In a proxy: so one at a time, its looks forgotten before the next.
    pub fn play() -> Frozen {
        Frozen::of(played(Purpose::Tune.seed(FIRST), RELEASES))
    }

    /// Of episodes that were played.
    pub fn of(episodes: impl IntoIterator<Item = Episode>) -> Frozen {
        let rows_of = |episode: Episode| {
            let looks = AGES.iter().filter_map(|age| episode.at(*age));
            let row = |look: &Look| TrainingRow {
                deployment: episode.seed,
                features: look.features.clone(),
                sustained: episode.sustained(),
            };
            looks.map(row).collect::<Vec<_>>()
        };
        Frozen { rows: episodes.into_iter().flat_map(rows_of).collect() }
    }

    #[cfg(test)]
    pub(super) fn from_rows(rows: Vec<TrainingRow>) -> Frozen {
        Frozen { rows }
    }

    fn forecasts(&self, predictor: &Predictor) -> Vec<(f64, bool)> {
        let forecast = |row: &TrainingRow| predictor.forecast(&row.features).probability;
        self.rows.iter().map(|row| (forecast(row), row.sustained)).collect()
    }

    /// Mean squared error of a model's forecasts.
    pub fn brier(&self, predictor: &Predictor) -> f64 {
        quality::brier(&self.forecasts(predictor))
    }

    /// How well it tells lasting failures from passing ones; 0.5 if there is nothing to tell apart.
    pub fn auc(&self, predictor: &Predictor) -> f64 {
        quality::auc(&self.forecasts(predictor)).unwrap_or(0.5)
    }
}
