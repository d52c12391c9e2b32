//! A year of releases with learning: `serinus simulate --learning`.
//!
//! Five services release once a day. Three are ordinary (the mix that the shipped prior was fitted on, with
//! seeds of its own); one has blips that last for a minute or two, one has cold starts that look like
//! failures. Every label goes to the roster that the proxy uses, and every model that it puts in
//! force judges the next day's releases. The same releases are played under the shipped prior alone, and the
//! labels of those are learned from once more with a month of them turned upside down.

mod calendar;
mod record;

use super::arguments::SimulateArguments;
use super::play_one::{Played, play_one};
use crate::learning::SEED;
use anyhow::Context;
use calendar::{Calendar, Deployment};
use indicatif::{ProgressBar, ProgressStyle};
use record::{Day, Year};
use serinus_models::learn::{Finding, Frozen, Lesson, Roster, train};
use serinus_models::{Predictor, Timestamp};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Labels of these days, counted from 0, are turned upside down in the poisoned year.
const POISONED: std::ops::Range<u32> = 200..230;

pub(super) fn run(arguments: &SimulateArguments) -> anyhow::Result<ExitCode> {
    let prior = Arc::new(Predictor::shipped().context("the shipped model cannot be used")?);
    let calendar = Calendar::new(arguments.days, arguments.seeds.purpose(), arguments.seed);
    let began = Instant::now();
    let progress = ProgressBar::new(3 * u64::from(arguments.days));
    progress.set_style(ProgressStyle::with_template(
        "{bar:40} {pos}/{len} days, {elapsed} gone, {eta} to go; {msg}",
    )?);
    progress.enable_steady_tick(Duration::from_millis(250));
    let frozen = Frozen::play();
    let jobs = arguments.jobs();

    progress.set_message("the shipped prior alone");
    let alone = days(&calendar, jobs, &mut Unlearned(&prior), &progress)?;
    progress.set_message("learning");
    let mut school = School::new(prior.clone(), &frozen);
    let learned = days(&calendar, jobs, &mut school, &progress)?;
    progress.set_message("a poisoned month");
    let poisoned = poisoned(&alone, prior.clone(), &frozen, &progress);
    progress.finish_and_clear();

    let year = Year { alone, learned, poisoned, models: school.models, poison: POISONED };
    print!("{}", year.table());
    if let Some(folder) = arguments.record_folder() {
        let command = std::env::args().collect::<Vec<_>>().join(" ");
        year.write(folder, &command, prior.id())?;
    }
    eprintln!("took {:.0?} on {jobs} threads", began.elapsed());
    Ok(ExitCode::SUCCESS)
}

/// Who judges, and who hears of the labels in the evening.
trait Judge {
    fn model(&self) -> Arc<Predictor>;
    fn evening(&mut self, lessons: Vec<Lesson>);
}

struct Unlearned<'a>(&'a Arc<Predictor>);

impl Judge for Unlearned<'_> {
    fn model(&self) -> Arc<Predictor> {
        self.0.clone()
    }

    fn evening(&mut self, _: Vec<Lesson>) {}
}

/// Everything that is learned from, and the roster.
struct School<'a> {
    roster: Roster,
    lessons: Vec<Lesson>,
    frozen: &'a Frozen,
    models: record::Models,
}

impl<'a> School<'a> {
    fn new(prior: Arc<Predictor>, frozen: &'a Frozen) -> Self {
        let models = record::Models::default();
        School { roster: Roster::new(prior), lessons: Vec::new(), frozen, models }
    }
}

impl Judge for School<'_> {
    fn model(&self) -> Arc<Predictor> {
        self.roster.champion.clone()
    }

    /// Labels come in the evening. Challengers are fitted after twenty of them; the daily fit besides is left
    /// out: what it makes gives way to the next before it is tried.
    fn evening(&mut self, lessons: Vec<Lesson>) {
        self.lessons.extend(lessons);
        for finding in self.roster.review(&self.lessons, self.frozen) {
            match finding {
                Finding::Replaced { .. } => self.models.replaced += 1,
                Finding::Rejected { .. } => self.models.rejected += 1,
                Finding::FellBack { .. } => self.models.fell_back += 1,
            }
        }
        let last_trained = self.roster.trained.1;
        if !self.roster.is_training_due(&self.lessons, last_trained) {
            return;
        }
        let parent = self.roster.champion.clone();
        let pair = (&*self.roster.prior, &*parent);
        match train(&self.lessons, pair, self.frozen, SEED, &mut |_| true) {
            Ok(challenger) => {
                self.models.trained += 1;
                self.roster.enter(Arc::new(challenger), &self.lessons);
            }
            Err(_) => self.roster.mark_trained(&self.lessons),
        }
    }
}

/// Plays the calendar, day by day.
fn days(
    calendar: &Calendar,
    jobs: usize,
    judge: &mut dyn Judge,
    progress: &ProgressBar,
) -> anyhow::Result<Vec<Day>> {
    let mut days = Vec::new();
    for day in 0..calendar.days {
        let model = judge.model();
        let deployments = calendar.of(day);
        let played = together(&deployments, jobs, |deployment: &Deployment<'_>| {
            let own = Arc::new(model.of_service(deployment.service));
            play_one(deployment.scenario, deployment.seed, own)
        })?;
        let mut done = Day::default();
        let mut lessons = Vec::new();
        for (deployment, played) in deployments.iter().zip(played) {
            let Played { outcome, labelled, taken_back } = played;
            // Forecast by what judged, held against what is true: whatever the label says.
            let labels = labelled.iter().map(|episode| episode.label).collect();
            done.add(deployment, (&outcome, taken_back), labels);
            let first = Timestamp(calendar.time(day, deployment.place).0);
            for episode in labelled {
                let id = u64::from(day) * 1_000 + lessons.len() as u64;
                let whose = (id, deployment.service.into(), first);
                let at = first + Duration::from_secs(600);
                if let Ok(lesson) = Lesson::of(&episode, whose, at, None) {
                    lessons.push(lesson.clone());
                    done.lessons.push((lesson, deployment.is_odd, outcome.truth));
                }
            }
        }
        done.judged_by(&model);
        days.push(done);
        judge.evening(lessons);
        progress.inc(1);
    }
    Ok(days)
}

/// The year's labels once more, with those of a month turned upside down; by day, how the model
/// that would have judged does on what is true.
fn poisoned(
    alone: &[Day],
    prior: Arc<Predictor>,
    frozen: &Frozen,
    progress: &ProgressBar,
) -> Vec<Day> {
    let mut school = School::new(prior, frozen);
    let mut days = Vec::new();
    for (day, was) in (0..).zip(alone) {
        let mut done = Day { lessons: was.lessons.clone(), ..Day::default() };
        done.judged_by(&school.model());
        days.push(done);
        let told = was.lessons.iter().map(|(lesson, ..)| Lesson {
            sustained: lesson.sustained != POISONED.contains(&day),
            ..lesson.clone()
        });
        school.evening(told.collect());
        progress.inc(1);
    }
    days
}

/// Does the work for all, over so many threads; the answers are in the order of the questions.
fn together<Q: Sync, A: Send>(
    questions: &[Q],
    jobs: usize,
    work: impl Fn(&Q) -> anyhow::Result<A> + Sync,
) -> anyhow::Result<Vec<A>> {
    let next = AtomicUsize::new(0);
    let answer = || {
        let mut answers = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(question) = questions.get(at) else { break };
            answers.push((at, work(question)?));
        }
        anyhow::Ok(answers)
    };
    let done: Vec<anyhow::Result<Vec<(usize, A)>>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..jobs.max(1)).map(|_| scope.spawn(answer)).collect();
        let joined = threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| anyhow::bail!("a play panicked")));
        joined.collect()
    });
    let mut all = Vec::with_capacity(questions.len());
    for answers in done {
        all.extend(answers?);
    }
    all.sort_by_key(|(at, _)| *at);
    Ok(all.into_iter().map(|(_, answer)| answer).collect())
}
