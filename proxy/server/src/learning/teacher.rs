//! The thread that learns: woken by a label, it reads the journal, lets champion and challengers be
//! compared, fits a new challenger when it is time, and tells the control loop what came of it.
//!
//! It is nobody's neighbour: it has a core while nobody else wants it (`SCHED_IDLE`), bounded memory (the latest
//! 5 000 labels), and it can be cancelled. Each round has a thread of its own: a panic ends the round, not the next one.

use super::lessons::Lessons;
use super::news::News;
use super::store::ModelStore;
use crate::control::journal::Reader;
use crate::idle_time;
use serinus_models::fit::FitError;
use serinus_models::learn::{Frozen, Roster, Standing, doubted, train};
use serinus_models::{Predictor, Timestamp};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Seed of folds and forests, the same everywhere: the same lessons give the same model.
pub(crate) const SEED: u64 = 1;
/// Without a new label it is asked so often whether a day has passed.
const EVERY: Duration = Duration::from_secs(3_600);
/// The lowest priority among threads that share a core.
const NICE: i32 = 19;

/// What the thread knows after a round.
#[derive(Debug, Clone, Default)]
pub(crate) struct Report {
    /// Labels that can be learned from.
    pub(crate) labels: usize,
    /// Of them, labels that say the opposite of the shipped prior and are set aside.
    pub(crate) set_aside: usize,
    /// On trial: model, how it stands.
    pub(crate) on_trial: Vec<(String, Standing)>,
    /// What is wrong, in words.
    pub(crate) trouble: Option<String>,
}

/// A handle on the thread. Dropping it cancels what it does; nobody waits for it.
#[derive(Debug)]
pub(crate) struct Teacher {
    wake: Sender<()>,
    cancelled: Arc<AtomicBool>,
}

impl Teacher {
    /// Starts the thread. It begins with a round: labels may have come since the last one.
    ///
    /// # Errors
    /// No thread can be started.
    pub(crate) fn start(
        state_dir: PathBuf,
        roster: Roster,
        tell: impl Fn(Vec<News>, Report) + Send + 'static,
    ) -> std::io::Result<Teacher> {
        let (wake, woken) = channel();
        let cancelled = Arc::new(AtomicBool::new(false));
        let desk =
            Desk { state_dir, roster, frozen: OnceLock::new(), cancelled: cancelled.clone() };
        std::thread::Builder::new().name("learning".into()).spawn(move || {
            idle_time::use_only("learning", NICE); // and so do the threads that it starts
            desk.run(&woken, tell);
        })?;
        Ok(Teacher { wake, cancelled })
    }

    /// There is a new label in the journal.
    pub(crate) fn wake(&self) {
        // A thread that is gone has said so.
        let _ = self.wake.send(());
    }
}

impl Drop for Teacher {
    fn drop(&mut self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }
}

/// What the thread works with.
struct Desk {
    state_dir: PathBuf,
    roster: Roster,
    /// Played when it is first asked for.
    frozen: OnceLock<Frozen>,
    cancelled: Arc<AtomicBool>,
}

impl Desk {
    fn run(mut self, woken: &Receiver<()>, tell: impl Fn(Vec<News>, Report)) {
        loop {
            let (news, report) = match self.round_apart() {
                Ok(Ok(round)) => round,
                Ok(Err(error)) => trouble(format!("nothing is learned: {error:#}")),
                // The panic itself was logged by the panic hook.
                Err(_) => {
                    trouble("nothing is learned: the last round failed, see the log".to_owned())
                }
            };
            tell(news, report);
            match woken.recv_timeout(EVERY) {
                Ok(()) => while woken.try_recv().is_ok() {},
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if self.cancelled.load(Ordering::Relaxed) {
                return;
            }
        }
    }

    /// One round on a thread that ends with it: what a fit took of memory stays with an idle thread in
    /// the allocator, and rounds are hours apart.
    fn round_apart(&mut self) -> std::thread::Result<anyhow::Result<(Vec<News>, Report)>> {
        std::thread::scope(|scope| {
            let round = std::thread::Builder::new().name("learning".into());
            let round = round.spawn_scoped(scope, || self.round(now()));
            match round {
                Ok(round) => round.join(),
                Err(error) => Ok(Err(error.into())),
            }
        })
    }

    /// One round. What it changes is on the disk before it is told.
    fn round(&mut self, now: Timestamp) -> anyhow::Result<(Vec<News>, Report)> {
        let reader = match Reader::open(&self.state_dir) {
            Ok(reader) => reader,
            // Nothing was written yet.
            Err(_) => return Ok(Default::default()),
        };
        let Lessons { learned: lessons, .. } = Lessons::read(&reader)?;
        let mut roster = self.roster.clone();
        let mut news: Vec<News> = Vec::new();
        if !lessons.is_empty() {
            let frozen = self.frozen.get_or_init(Frozen::play);
            news.extend(roster.review(&lessons, frozen).into_iter().map(News::from));
            if roster.is_training_due(&lessons, now) {
                let begun = Instant::now();
                let parent = roster.champion.clone();
                let cancelled = &self.cancelled;
                let fitted = train(&lessons, (&roster.prior, &parent), frozen, SEED, &mut |_| {
                    !cancelled.load(Ordering::Relaxed)
                });
                match fitted {
                    Ok(challenger) => {
                        news.push(News::trained(&challenger, begun.elapsed().as_secs_f64()));
                        roster.enter(Arc::new(challenger), &lessons);
                    }
                    Err(FitError::Cancelled) => return Ok(Default::default()),
                    Err(why) => {
                        news.push(News::refused(&why.to_string()));
                        roster.mark_trained(&lessons);
                    }
                }
            }
        }
        if !news.is_empty() {
            ModelStore::of(&self.state_dir).save(&roster)?;
        }
        self.roster = roster;
        let on_trial = self.roster.challengers.iter().map(|challenger: &Arc<Predictor>| {
            (challenger.id().to_owned(), self.roster.standing(challenger, &lessons))
        });
        let report = Report {
            labels: lessons.len(),
            set_aside: doubted(&self.roster.prior, &lessons).len(),
            on_trial: on_trial.collect(),
            trouble: None,
        };
        Ok((news, report))
    }
}

fn trouble(why: String) -> (Vec<News>, Report) {
    tracing::error!(%why, "learning");
    (Vec::new(), Report { trouble: Some(why), ..Report::default() })
}

fn now() -> Timestamp {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(since_1970.as_millis() as u64)
}
