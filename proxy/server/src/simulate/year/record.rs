//! What became of the year, by quarter and by month.

use super::calendar::Deployment;
use crate::simulate::ledger::Outcome;
use crate::simulate::proxy::TakenBack;
use crate::simulate::record::write_file;
use anyhow::Context;
use serde::Serialize;
use serinus_models::learn::Lesson;
use serinus_models::world::Truth;
use serinus_models::{Label, Predictor};
use std::fmt::Write;
use std::fs;
use std::ops::Range;
use std::path::Path;

const QUARTER: usize = 91;
const MONTH: usize = 30;

/// Releases and what was done to them.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) struct Tally {
    /// Releases without a lasting fault, and of them those taken back.
    pub(super) good: u32,
    pub(super) false_rollbacks: u32,
    /// Releases with one that is worth it, and of them those that users were left on.
    pub(super) bad: u32,
    pub(super) missed: u32,
}

impl Tally {
    fn add(&mut self, other: Tally) {
        self.good += other.good;
        self.false_rollbacks += other.false_rollbacks;
        self.bad += other.bad;
        self.missed += other.missed;
    }

    fn rate(self) -> f64 {
        100.0 * f64::from(self.false_rollbacks) / f64::from(self.good.max(1))
    }
}

/// What became of one release.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Fate {
    service: &'static str,
    #[serde(skip)]
    is_odd: bool,
    scenario: String,
    truth: Truth,
    missed: bool,
    /// `forecast`, `repeated` or `unresolved`; none of a release that stayed.
    taken_back_by: Option<String>,
    /// Since the first alarm.
    after_seconds: Option<f64>,
    /// What the model said then.
    forecast: Option<f64>,
    /// Of its episodes, as observed.
    labels: Vec<Label>,
}

/// One day.
#[derive(Debug, Default)]
pub(super) struct Day {
    pub(super) odd: Tally,
    pub(super) ordinary: Tally,
    /// Labelled episodes with what is true of their releases.
    pub(super) lessons: Vec<(Lesson, bool, Truth)>,
    /// What became of each release.
    pub(super) fates: Vec<Fate>,
    /// Squared errors of the forecasts against the truth, and how many.
    pub(super) error: (f64, u32),
}

impl Day {
    pub(super) fn add(
        &mut self,
        deployment: &Deployment<'_>,
        (outcome, taken_back): (&Outcome, Option<TakenBack>),
        labels: Vec<Label>,
    ) {
        let is_bad = outcome.truth == Truth::Sustained;
        let tally = Tally {
            good: u32::from(!is_bad),
            false_rollbacks: u32::from(!is_bad && outcome.rolled_back),
            bad: u32::from(is_bad && outcome.severe),
            missed: u32::from(outcome.missed),
        };
        if deployment.is_odd {
            self.odd.add(tally)
        } else {
            self.ordinary.add(tally)
        }
        self.fates.push(Fate {
            service: deployment.service,
            is_odd: deployment.is_odd,
            scenario: deployment.scenario.name().to_owned(),
            truth: outcome.truth,
            missed: outcome.missed,
            taken_back_by: taken_back.as_ref().map(|taken_back| taken_back.by.clone()),
            after_seconds: taken_back.as_ref().map(|taken_back| taken_back.after.as_secs_f64()),
            forecast: taken_back.and_then(|taken_back| taken_back.forecast),
            labels,
        });
    }

    /// Holds the forecasts of the model that judged against what is true.
    pub(super) fn judged_by(&mut self, model: &Predictor) {
        for (lesson, _, truth) in &self.lessons {
            let own = model.of_service(&lesson.service);
            let truth = if *truth == Truth::Sustained { 1.0 } else { 0.0 };
            let errors = lesson
                .looks
                .iter()
                .map(|(_, features)| (own.forecast(features).probability - truth).powi(2));
            self.error.0 += errors.sum::<f64>() / lesson.looks.len().max(1) as f64;
            self.error.1 += 1;
        }
    }
}

/// Models of the year, by what became of them.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) struct Models {
    pub(super) trained: u32,
    pub(super) replaced: u32,
    pub(super) rejected: u32,
    pub(super) fell_back: u32,
}

pub(super) struct Year {
    pub(super) alone: Vec<Day>,
    pub(super) learned: Vec<Day>,
    pub(super) poisoned: Vec<Day>,
    pub(super) models: Models,
    /// Days whose labels were turned upside down.
    pub(super) poison: Range<u32>,
}

fn sum(days: &[Day], of: fn(&Day) -> Tally) -> Tally {
    let mut all = Tally::default();
    days.iter().for_each(|day| all.add(of(day)));
    all
}

fn brier(days: &[Day]) -> f64 {
    let error = days.iter().map(|day| day.error.0).sum::<f64>();
    error / f64::from(days.iter().map(|day| day.error.1).sum::<u32>().max(1))
}

/// A quarter: the last one has what is left of the year.
fn quarter(days: &[Day], number: usize) -> &[Day] {
    let from = (number * QUARTER).min(days.len());
    let to = if number == 3 { days.len() } else { ((number + 1) * QUARTER).min(days.len()) };
    &days[from..to]
}

impl Year {
    /// In words and columns.
    pub(super) fn table(&self) -> String {
        let mut text = String::new();
        let Models { trained, replaced, rejected, fell_back } = self.models;
        let releases: u32 =
            [sum(&self.learned, |day| day.odd), sum(&self.learned, |day| day.ordinary)]
                .map(|tally| tally.good + tally.bad)
                .iter()
                .sum();
        let _ = writeln!(
            text,
            "{} days, {releases} releases, {} labels; {trained} models trained, {replaced} took over, {rejected} rejected, {fell_back} times back to the prior\n",
            self.learned.len(),
            self.learned.iter().map(|day| day.lessons.len()).sum::<usize>()
        );
        for (name, of) in [
            ("Services with their own ways", (|day: &Day| day.odd) as fn(&Day) -> Tally),
            ("Ordinary services", |day| day.ordinary),
        ] {
            let _ = writeln!(
                text,
                "{name}\n{:<10}{:>8}{:>22}{:>22}{:>8}{:>18}{:>18}",
                "quarter",
                "good",
                "taken back, learning",
                "taken back, prior",
                "bad",
                "missed, learning",
                "missed, prior"
            );
            for number in 0..4 {
                let (learned, alone) = (
                    sum(quarter(&self.learned, number), of),
                    sum(quarter(&self.alone, number), of),
                );
                let rate =
                    |tally: Tally| format!("{} ({:.1}%)", tally.false_rollbacks, tally.rate());
                let _ = writeln!(
                    text,
                    "{:<10}{:>8}{:>22}{:>22}{:>8}{:>18}{:>18}",
                    number + 1,
                    learned.good,
                    rate(learned),
                    rate(alone),
                    learned.bad,
                    learned.missed,
                    alone.missed
                );
            }
            text.push('\n');
        }
        let _ = writeln!(
            text,
            "Good releases of the services with their own ways that were taken back, by what said so\n{:<10}{:>22}{:>22}{:>22}",
            "quarter", "forecast", "anomaly came back", "unresolved"
        );
        for number in 0..4 {
            let fates = quarter(&self.learned, number).iter().flat_map(|day| &day.fates);
            let good = fates.filter(|fate| fate.is_odd && fate.truth != Truth::Sustained);
            let by: Vec<&str> = good.filter_map(|fate| fate.taken_back_by.as_deref()).collect();
            let count = |why: &str| by.iter().filter(|by| **by == why).count();
            let [forecast, repeated, unresolved] =
                ["forecast", "repeated", "unresolved"].map(count);
            let _ =
                writeln!(text, "{:<10}{forecast:>22}{repeated:>22}{unresolved:>22}", number + 1);
        }
        let _ = writeln!(
            text,
            "\nBrier score of the model that judges, against what is true (labels of days {} to {} upside down in the poisoned year)\n{:<10}{:>12}{:>12}{:>12}{:>12}",
            self.poison.start,
            self.poison.end - 1,
            "month",
            "learning",
            "prior",
            "poisoned",
            "prior"
        );
        for (number, (learned, poisoned)) in
            self.learned.chunks(MONTH).zip(self.poisoned.chunks(MONTH)).enumerate()
        {
            let alone = &self.alone[number * MONTH..number * MONTH + learned.len()];
            let _ = writeln!(
                text,
                "{:<10}{:>12.4}{:>12.4}{:>12.4}{:>12.4}",
                number + 1,
                brier(learned),
                brier(alone),
                brier(poisoned),
                brier(alone)
            );
        }
        let _ = writeln!(
            text,
            "\nWorst month of the poisoned year against the prior: {:+.4}",
            self.worst()
        );
        text
    }

    /// The most that a month of the poisoned year was worse than the prior.
    fn worst(&self) -> f64 {
        let months = self.poisoned.chunks(MONTH).zip(self.alone.chunks(MONTH));
        months.map(|(poisoned, alone)| brier(poisoned) - brier(alone)).fold(-1.0, f64::max)
    }

    /// A record: table, rows and a summary.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub(super) fn write(&self, folder: &Path, command: &str, prior: &str) -> anyhow::Result<()> {
        fs::create_dir_all(folder)
            .with_context(|| format!("{} cannot be made", folder.display()))?;
        write_file(&folder.join("table.txt"), &self.table())?;
        let row = |(day, (learned, alone)): (usize, (&Day, &Day))| {
            let brier = |day: &Day| (day.error.1 > 0).then(|| day.error.0 / f64::from(day.error.1));
            serde_json::json!({
                "day": day,
                "odd": { "learning": learned.odd, "prior": alone.odd },
                "ordinary": { "learning": learned.ordinary, "prior": alone.ordinary },
                "releases": { "learning": learned.fates, "prior": alone.fates },
                "brier": { "learning": brier(learned), "prior": brier(alone), "poisoned": brier(&self.poisoned[day]) },
            })
        };
        let rows: Vec<_> = self.learned.iter().zip(&self.alone).enumerate().map(row).collect();
        let mut rows = serde_json::to_string_pretty(&rows)?;
        rows.push('\n');
        write_file(&folder.join("days.json"), &rows)?;
        let summary = format!(
            "# Learning: a year of releases, with and without\n\n    {command}\n\nFive services, one release a day each, played through the controller that serves traffic; prior {prior}. \
             Machine and versions: `machine.txt`. What the services are like is told in `proxy/server/src/simulate/year/`.\n\n```\n{}```\n",
            self.table()
        );
        write_file(&folder.join("README.md"), &summary)
    }
}
