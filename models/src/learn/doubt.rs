//! Labels that nobody should believe.
//!
//! The shipped prior may be wrong about a service, but not about all of them the other way round. Where
//! over a stretch of labels the failures that lasted were those that it thought would pass, and the other
//! way round, it is the labels that are upside down: probes that report the opposite, a script that
//! confirms everything wrongly. Such a stretch is set aside until it is over or a person has
//! spoken: what a person says of an episode is believed.

use super::Lesson;
use crate::fit::quality;
use crate::predictor::Predictor;
use std::collections::BTreeSet;

/// Labels that are looked at together.
pub(super) const STRETCH: usize = 20;
/// Of each kind at the least: else nothing can be upside down.
const OF_EACH: usize = 4;
/// Probability that a lasting failure was forecast higher than a passing one, below which the
/// labels are upside down; 0.5 is a coin, the prior's is above 0.9.
const UPSIDE_DOWN: f64 = 0.4;

/// The labels, by their number, that are set aside. `lessons` are in the order of their labels.
pub fn doubted(prior: &Predictor, lessons: &[Lesson]) -> BTreeSet<u64> {
    let observed: Vec<&Lesson> = lessons.iter().filter(|lesson| !lesson.corrected).collect();
    let forecasts: Vec<(f64, bool)> = observed
        .iter()
        .map(|lesson| {
            let of_look = |(_, features): &(u32, _)| prior.forecast(features).probability;
            let sum: f64 = lesson.looks.iter().map(of_look).sum();
            (sum / lesson.looks.len().max(1) as f64, lesson.sustained)
        })
        .collect();
    let mut doubted = BTreeSet::new();
    for (from, stretch) in forecasts.windows(STRETCH).enumerate() {
        let sustained = stretch.iter().filter(|(_, sustained)| *sustained).count();
        let is_mixed = (OF_EACH..=STRETCH - OF_EACH).contains(&sustained);
        if is_mixed && quality::auc(stretch).is_some_and(|auc| auc < UPSIDE_DOWN) {
            doubted.extend(observed[from..from + STRETCH].iter().map(|lesson| lesson.id));
        }
    }
    doubted
}
