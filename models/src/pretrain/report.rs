//! What a model is worth on episodes that it has not seen.

use super::Episode;
use crate::fit::quality;
use crate::predictor::Predictor;
use crate::world::{Scenario, Truth};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Ages in seconds at which forecasts are scored: those of the benchmark.
const SCORED_AGES: [u64; 4] = [0, 20, 60, 180];

/// Quality of the forecasts at one age after the alarm.
#[derive(Debug, Clone, PartialEq)]
pub struct Ages {
    /// Seconds after the alarm.
    pub age: u64,
    /// Episodes.
    pub episodes: usize,
    /// Probability that a lasting failure is forecast higher than a passing one.
    pub auc: f64,
    /// Mean squared error.
    pub brier: f64,
    /// Expected calibration error.
    pub calibration_error: f64,
}

/// Of one scenario: how often the forecast passes the threshold where a rollback may follow, and when.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Passed {
    /// Episodes.
    pub episodes: usize,
    /// Time from the alarm to the first forecast above the threshold, ascending, of those that had one.
    pub after: Vec<Duration>,
}

/// Forecasts on releases that the model was not fitted on.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The model.
    pub model: String,
    /// By age.
    pub ages: Vec<Ages>,
    /// By scenario.
    pub scenarios: BTreeMap<&'static str, Passed>,
}

impl Report {
    pub(super) fn of(predictor: &Predictor, episodes: &[Episode], threshold: f64) -> Report {
        let ages = SCORED_AGES.map(|age| {
            let looks = episodes.iter().filter_map(|e| Some((e.at(age)?, e.sustained())));
            let forecasts: Vec<(f64, bool)> = looks
                .map(|(look, label)| (predictor.forecast(&look.features).probability, label))
                .collect();
            Ages {
                age,
                episodes: forecasts.len(),
                auc: quality::auc(&forecasts).unwrap_or(f64::NAN),
                brier: quality::brier(&forecasts),
                calibration_error: quality::calibration_error(&forecasts),
            }
        });
        let mut scenarios = BTreeMap::<&'static str, Passed>::new();
        for episode in episodes {
            let passed = scenarios.entry(episode.scenario).or_default();
            passed.episodes += 1;
            let confirmed = episode.looks.iter().filter(|look| look.confirmed);
            let mut above = confirmed
                .filter(|look| predictor.forecast(&look.features).probability > threshold)
                .map(|look| look.age);
            passed.after.extend(above.next());
        }
        scenarios.values_mut().for_each(|passed| passed.after.sort());
        Report { model: predictor.id().to_owned(), ages: ages.to_vec(), scenarios }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "model {}\n", self.model)?;
        writeln!(f, "| after the alarm | episodes | AUC | Brier | ECE |\n|---|---|---|---|---|")?;
        for age in &self.ages {
            writeln!(
                f,
                "| +{} s | {} | {:.3} | {:.3} | {:.3} |",
                age.age, age.episodes, age.auc, age.brier, age.calibration_error
            )?;
        }
        writeln!(f, "\n| scenario | truth | episodes | passed | median after | 95% after |")?;
        writeln!(f, "|---|---|---|---|---|---|")?;
        for (name, passed) in &self.scenarios {
            let truth = Scenario::named(name).and_then(Scenario::truth);
            let at = |q: f64| {
                let rank = (q * passed.after.len().saturating_sub(1) as f64).round() as usize;
                passed.after.get(rank).map_or("".to_owned(), |after| format!("{after:.1?}"))
            };
            writeln!(
                f,
                "| {name} | {} | {} | {} | {} | {} |",
                truth.map_or("either", Truth::as_str),
                passed.episodes,
                passed.after.len(),
                at(0.5),
                at(0.95)
            )?;
        }
        Ok(())
    }
}
