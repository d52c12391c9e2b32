//! How good a model's forecasts of labelled episodes are: what `serinus model` tells.

use super::lesson::Lesson;
use super::trial::{Seen, forecasts};
use crate::fit::quality;
use crate::predictor::Predictor;
use serde::Serialize;

/// How good a model's forecasts of lessons are.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figures {
    /// Seconds after the alarm; none: all together.
    pub age: Option<u32>,
    /// Forecasts.
    pub forecasts: usize,
    /// Probability that a lasting failure was forecast higher than a passing one; none without both.
    pub auc: Option<f64>,
    /// Mean squared error.
    pub brier: f64,
    /// Mean log-loss, in nats.
    pub log_loss: f64,
    /// Expected calibration error.
    pub calibration_error: f64,
}

/// Figures of a model by the time since the alarm, then of all together. With `unseen`, only lessons
/// that it did not learn from count.
pub fn figures(predictor: &Predictor, lessons: &[Lesson], unseen: bool) -> Vec<Figures> {
    let forecasts = told(predictor, lessons, unseen);
    let mut ages: Vec<u32> = forecasts.iter().map(|(age, ..)| *age).collect();
    ages.sort_unstable();
    ages.dedup();
    let ages = ages.into_iter().map(Some).chain([None]);
    ages.map(|age| {
        let of_age = forecasts.iter().filter(|(of, ..)| age.is_none_or(|age| age == *of));
        let of_age: Vec<(f64, bool)> = of_age.map(|(_, p, label)| (*p, *label)).collect();
        let log_odds = |p: f64| libm::log(p / (1.0 - p));
        let loss = |(p, label): &(f64, bool)| quality::log_loss(log_odds(*p), *label);
        Figures {
            age,
            forecasts: of_age.len(),
            auc: quality::auc(&of_age),
            brier: quality::brier(&of_age),
            log_loss: of_age.iter().map(loss).sum::<f64>() / of_age.len() as f64,
            calibration_error: quality::calibration_error(&of_age),
        }
    })
    .filter(|figures| figures.forecasts > 0)
    .collect()
}

fn told(predictor: &Predictor, lessons: &[Lesson], unseen: bool) -> Vec<(u32, f64, bool)> {
    let seen = Seen::by(predictor, lessons);
    let counts = lessons.iter().filter(|lesson| !unseen || seen.is_new(lesson));
    counts
        .flat_map(|lesson| {
            let ages = lesson.looks.iter().map(|(age, _)| *age);
            let told = ages.zip(forecasts(predictor, lesson));
            told.map(|(age, p)| (age, p, lesson.sustained)).collect::<Vec<_>>()
        })
        .collect()
}

/// One row of a calibration table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CalibrationRow {
    /// Forecasts from here ...
    pub from: f64,
    /// ... to here.
    pub to: f64,
    /// How many there were.
    pub forecasts: usize,
    /// What was said, on average.
    pub said: f64,
    /// How often the failure lasted.
    pub happened: f64,
}

/// What was said against what happened, in tenths; tenths without forecasts are left out.
pub fn calibration_table(
    predictor: &Predictor,
    lessons: &[Lesson],
    unseen: bool,
) -> Vec<CalibrationRow> {
    let told = told(predictor, lessons, unseen);
    let row = |tenth: usize| {
        let (from, to) = (tenth as f64 / 10.0, (tenth + 1) as f64 / 10.0);
        let within: Vec<&(u32, f64, bool)> =
            told.iter().filter(|(_, p, _)| ((p * 10.0) as usize).min(9) == tenth).collect();
        let count = within.len() as f64;
        (!within.is_empty()).then(|| CalibrationRow {
            from,
            to,
            forecasts: within.len(),
            said: within.iter().map(|(_, p, _)| p).sum::<f64>() / count,
            happened: within.iter().filter(|(.., label)| *label).count() as f64 / count,
        })
    };
    (0..10).filter_map(row).collect()
}
