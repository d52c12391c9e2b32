//! Who judges, who is on trial, and what follows from new labels.

use super::bet::Bet;
use super::doubt::{STRETCH, doubted};
use super::frozen::Frozen;
use super::lesson::Lesson;
use super::trial::{Seen, Standing, Verdict, compare, forecasts, verdict};
use crate::fit::quality;
use crate::predictor::Predictor;
use crate::time::Timestamp;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// New labels after which a challenger is fitted.
pub const RETRAIN_AFTER: usize = 20;
/// With fewer new labels one is fitted after so long.
const RETRAIN_EVERY: Duration = Duration::from_secs(24 * 3600);
/// Challengers on trial at the same time.
const MOST_CHALLENGERS: usize = 8;
/// With fewer labels than this a challenger gives way to the next one.
const HARDLY_TRIED: u64 = 10;
/// How sure the drift guard has to be that the prior is the better one: an alarm in so many labels,
/// at most, where it is not.
const DRIFT: f64 = 100.0;
/// Labels that count as of late.
const OF_LATE: usize = 50;
/// No forecast is taken for surer than this, so that one surprise alone is no alarm.
const SUREST: f64 = 0.98;

/// The champion, its challengers, and the prior that both rest on.
#[derive(Debug, Clone)]
pub struct Roster {
    /// What judges where nothing better was learned.
    pub prior: Arc<Predictor>,
    /// What judges now.
    pub champion: Arc<Predictor>,
    /// The label with which it took over.
    pub champion_since: Timestamp,
    /// On trial, the oldest first.
    pub challengers: Vec<Arc<Predictor>>,
    /// Labels there were when the last challenger was fitted, and when the last of them came.
    pub trained: (usize, Timestamp),
}

/// What became of a model.
#[derive(Debug, Clone)]
pub enum Finding {
    /// It takes over.
    Replaced {
        /// The new champion.
        model: Arc<Predictor>,
        /// Whose place it takes.
        before: Arc<Predictor>,
        /// How they compared.
        standing: Standing,
    },
    /// It leaves the trial.
    Rejected {
        /// The challenger.
        model: Arc<Predictor>,
        /// Why.
        why: String,
        /// How it compared to the champion.
        standing: Standing,
    },
    /// It was the champion and forecasts worse than the prior by now: the prior judges.
    FellBack {
        /// The champion that was.
        before: Arc<Predictor>,
        /// What judges now.
        prior: Arc<Predictor>,
        /// Why.
        why: String,
    },
}

impl Roster {
    /// Nothing was learned yet.
    pub fn new(prior: Arc<Predictor>) -> Self {
        Roster {
            champion: prior.clone(),
            prior,
            champion_since: Timestamp(0),
            challengers: Vec::new(),
            trained: (0, Timestamp(0)),
        }
    }

    /// Whether the prior judges.
    pub fn is_prior(&self) -> bool {
        self.champion.id() == self.prior.id()
    }

    /// Whether it is time to fit a challenger: twenty new labels, or some and a day.
    pub fn is_training_due(&self, lessons: &[Lesson], now: Timestamp) -> bool {
        let (known, last) = self.trained;
        // By time, not by number: what is too old is forgotten.
        let new = lessons.iter().filter(|lesson| lesson.labelled_at > last).count();
        new >= RETRAIN_AFTER || (new > 0 && known > 0 && now.since(last) >= RETRAIN_EVERY)
    }

    /// Takes a challenger in that was fitted on these lessons, unless it is there already. It takes the
    /// place of one that has hardly been tried: else none would ever come to the end of its trial where
    /// one is fitted every day.
    pub fn enter(&mut self, challenger: Arc<Predictor>, lessons: &[Lesson]) {
        self.mark_trained(lessons);
        let aside = doubted(&self.prior, lessons);
        let tried = |model: &Predictor| compare((&self.champion, model), lessons, &aside).labels;
        if self.challengers.last().is_some_and(|last| tried(last) < HARDLY_TRIED) {
            self.challengers.pop();
        }
        let known = self.challengers.iter().chain([&self.champion]);
        if !known.into_iter().any(|known| known.id() == challenger.id()) {
            self.challengers.push(challenger);
        }
    }

    /// Nothing could be fitted on these lessons: new ones are waited for.
    pub fn mark_trained(&mut self, lessons: &[Lesson]) {
        let last = lessons.last().map_or(Timestamp(0), |lesson| lesson.labelled_at);
        self.trained = (lessons.len(), last);
    }

    /// How a challenger compares to the champion so far.
    pub fn standing(&self, challenger: &Predictor, lessons: &[Lesson]) -> Standing {
        compare((&self.champion, challenger), lessons, &doubted(&self.prior, lessons))
    }

    /// What follows from these lessons, in order. Called after every label.
    pub fn review(&mut self, lessons: &[Lesson], frozen: &Frozen) -> Vec<Finding> {
        let aside = doubted(&self.prior, lessons);
        let mut findings = Vec::new();
        let last = lessons.last().map_or(Timestamp(0), |lesson| lesson.labelled_at);
        if let Some(why) = self.drift(lessons, &aside) {
            let before = std::mem::replace(&mut self.champion, self.prior.clone());
            self.champion_since = last;
            let prior = self.prior.clone();
            findings.push(Finding::FellBack { before, prior, why });
        }
        let mut on_trial = std::mem::take(&mut self.challengers);
        while let Some(challenger) = on_trial.first().cloned() {
            on_trial.remove(0);
            // Whether the latest labels are upside down shows with those that follow.
            let settled = &lessons[..lessons.len().saturating_sub(STRETCH)];
            let standing = compare((&self.champion, &challenger), settled, &aside);
            match verdict(&standing, (&self.prior, &challenger), frozen) {
                Verdict::Open => self.challengers.push(challenger),
                Verdict::Lost(why) => {
                    findings.push(Finding::Rejected { model: challenger, why, standing });
                }
                Verdict::Won => {
                    let before = std::mem::replace(&mut self.champion, challenger.clone());
                    self.champion_since = last;
                    findings.push(Finding::Replaced { model: challenger, before, standing });
                    // Those before it were fitted on less; they go without a word.
                    self.challengers.clear();
                }
            }
        }
        while self.challengers.len() > MOST_CHALLENGERS {
            let stands = |at: &usize| {
                compare((&self.champion, &self.challengers[*at]), lessons, &aside).capital
            };
            // Never the youngest: it has hardly been tried.
            let candidates = 0..self.challengers.len() - 1;
            let worst = candidates.min_by(|a, b| stands(a).total_cmp(&stands(b))).unwrap_or(0);
            let model = self.challengers.remove(worst);
            let standing = compare((&self.champion, &model), lessons, &aside);
            let why = format!("{MOST_CHALLENGERS} others do better on trial");
            findings.push(Finding::Rejected { model, why, standing });
        }
        findings
    }

    /// The drift guard: why the champion is no better than the prior any more, since it took over.
    fn drift(&self, lessons: &[Lesson], aside: &BTreeSet<u64>) -> Option<String> {
        if self.is_prior() {
            return None;
        }
        let seen = Seen::by(&self.champion, lessons);
        let (mut bet, mut losses) = (Bet::new(), Vec::new());
        let surest = libm::log(SUREST / (1.0 - SUREST));
        let loss = |forecasts: &[f64], sustained: bool| {
            let of = |p: &f64| {
                let log_odds = libm::log(p / (1.0 - p)).clamp(-surest, surest);
                quality::log_loss(log_odds, sustained)
            };
            forecasts.iter().map(of).sum::<f64>() / forecasts.len().max(1) as f64
        };
        let since = |lesson: &&Lesson| lesson.labelled_at > self.champion_since;
        for lesson in lessons.iter().filter(since) {
            if aside.contains(&lesson.id) || !seen.is_new(lesson) {
                continue;
            }
            let (own, of_prior) =
                (forecasts(&self.champion, lesson), forecasts(&self.prior, lesson));
            let differs = |label: bool| loss(&own, label) - loss(&of_prior, label);
            losses.push((loss(&own, lesson.sustained), loss(&of_prior, lesson.sustained)));
            // The most that it can be is known before the label is.
            let most = differs(true).abs().max(differs(false).abs());
            bet.see_change(differs(lesson.sustained), most);
        }
        let late = &losses[losses.len().saturating_sub(OF_LATE)..];
        let mean = |of: fn(&(f64, f64)) -> f64| {
            late.iter().map(of).sum::<f64>() / late.len().max(1) as f64
        };
        let (own, of_prior) = (mean(|loss| loss.0), mean(|loss| loss.1));
        (bet.capital() >= DRIFT && own > of_prior).then(|| {
            format!(
                "over the last {} labels its log-loss is {own:.3}, that of the prior {of_prior:.3}: beyond chance",
                late.len()
            )
        })
    }
}
