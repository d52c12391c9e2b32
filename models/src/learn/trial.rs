//! Champion against challenger, on episodes that neither had seen when it forecast them.

use super::bet::{Bet, WON};
use super::frozen::Frozen;
use super::lesson::Lesson;
use crate::fit::quality;
use crate::predictor::Predictor;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Labels before which nothing is decided.
const LEAST: u64 = 30;
/// Labels after which a challenger that has not won is no better.
const MOST: u64 = 200;
/// So much worse calibrated on the trial's labels is no worse: they are few.
const CALIBRATION_SLACK: f64 = 0.02;
/// So much worse on the frozen scenarios is no worse: the world is not the scenarios.
const FROZEN_SLACK: f64 = 0.01;

/// How two models compare.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// Labels that were forecast by both.
    pub labels: u64,
    /// The betting test's capital; the challenger wins from 20 on.
    pub capital: f64,
    /// Mean squared error of the champion and of the challenger.
    pub brier: (f64, f64),
    /// Expected calibration error of both.
    pub calibration: (f64, f64),
}

/// What follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// More labels have to tell.
    Open,
    /// The challenger takes over.
    Won,
    /// It does not, and why.
    Lost(String),
}

/// When a model's training ended: it forecasts what was labelled later, of releases that it had not
/// learned from.
#[derive(Debug, Clone)]
pub(super) struct Seen<'a> {
    until: Timestamp,
    releases: BTreeSet<(Timestamp, &'a str)>,
}

impl<'a> Seen<'a> {
    pub(super) fn by(predictor: &Predictor, lessons: &'a [Lesson]) -> Seen<'a> {
        let until = predictor.lineage().map_or(Timestamp(0), |lineage| lineage.span.1);
        let known = lessons.iter().filter(|lesson| lesson.labelled_at <= until);
        Seen { until, releases: known.map(Lesson::release).collect() }
    }

    pub(super) fn is_new(&self, lesson: &Lesson) -> bool {
        lesson.labelled_at > self.until && !self.releases.contains(&lesson.release())
    }
}

/// A model's forecasts for a lesson's looks.
pub(super) fn forecasts(predictor: &Predictor, lesson: &Lesson) -> Vec<f64> {
    let own = predictor.of_service(&lesson.service);
    lesson.looks.iter().map(|(_, features)| own.forecast(features).probability).collect()
}

/// Mean squared error of forecasts of one outcome.
fn squared(forecasts: &[f64], sustained: bool) -> f64 {
    let truth = f64::from(u8::from(sustained));
    forecasts.iter().map(|p| (p - truth).powi(2)).sum::<f64>() / forecasts.len().max(1) as f64
}

/// Lets both forecast what neither has seen; labels in `aside` do not count.
pub(super) fn compare(
    (champion, challenger): (&Predictor, &Predictor),
    lessons: &[Lesson],
    aside: &BTreeSet<u64>,
) -> Standing {
    let seen = [champion, challenger].map(|model| Seen::by(model, lessons));
    let (mut bet, mut labels) = (Bet::new(), 0);
    let mut sums = (0.0, 0.0);
    let (mut by_champion, mut by_challenger) = (Vec::new(), Vec::new());
    for lesson in lessons {
        if aside.contains(&lesson.id) || !seen.iter().all(|seen| seen.is_new(lesson)) {
            continue;
        }
        let (before, after) = (forecasts(champion, lesson), forecasts(challenger, lesson));
        let loss = (squared(&before, lesson.sustained), squared(&after, lesson.sustained));
        // The most that they can differ by on this lesson is known before its label is.
        let differs = |label| squared(&before, label) - squared(&after, label);
        let most = differs(true).abs().max(differs(false).abs());
        bet.see(differs(lesson.sustained), most);
        labels += 1;
        sums = (sums.0 + loss.0, sums.1 + loss.1);
        by_champion.extend(before.into_iter().map(|p| (p, lesson.sustained)));
        by_challenger.extend(after.into_iter().map(|p| (p, lesson.sustained)));
    }
    if labels == 0 {
        return Standing { capital: 1.0, ..Standing::default() };
    }
    let error = |forecasts: &[(f64, bool)]| quality::calibration_error(forecasts);
    Standing {
        labels,
        capital: bet.capital(),
        brier: (sums.0 / labels as f64, sums.1 / labels as f64),
        calibration: (error(&by_champion), error(&by_challenger)),
    }
}

/// What follows from a standing. The frozen scenarios are asked last: only of a challenger that has won.
pub(super) fn verdict(
    standing: &Standing,
    (prior, challenger): (&Predictor, &Predictor),
    frozen: &Frozen,
) -> Verdict {
    let Standing { labels, capital, brier, calibration } = standing;
    if *labels < LEAST {
        return Verdict::Open;
    }
    if *capital < WON {
        return if *labels >= MOST {
            Verdict::Lost(format!(
                "over {labels} labels it was no better: the bet stands at {capital:.1}, {WON} is asked for"
            ))
        } else {
            Verdict::Open
        };
    }
    if brier.1 > brier.0 || calibration.1 > calibration.0 + CALIBRATION_SLACK {
        // It may get there yet: the bet was won in a part of the labels.
        return if *labels >= MOST {
            Verdict::Lost(format!(
                "it won the bet, but over {labels} labels its Brier score is {:.3} (was {:.3}), its calibration error {:.3} (was {:.3})",
                brier.1, brier.0, calibration.1, calibration.0
            ))
        } else {
            Verdict::Open
        };
    }
    let (of_prior, own) = (frozen.brier(prior), frozen.brier(challenger));
    if own > of_prior + FROZEN_SLACK {
        return Verdict::Lost(format!(
            "it won the bet, but on the frozen scenarios its Brier score is {own:.3}, the prior's {of_prior:.3}"
        ));
    }
    Verdict::Won
}
