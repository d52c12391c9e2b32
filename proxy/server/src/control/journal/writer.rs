//! The thread that writes: takes what is queued, commits it as one, answers, and never gives up.

use super::queue::{Batch, Heards, Line, Queue};
use super::retention;
use super::store::{Restored, Store, StoreError, StoredRow};
use super::{Answer, Health};
use arc_swap::ArcSwap;
use serinus_models::Timestamp;
use serinus_rollout::{Heard, Record};
use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// Records that nobody brings again, kept in memory while they cannot be written; beyond it the
/// oldest go.
const MAX_KEPT: usize = 1_000;

/// How long what was heard waits for a record to be written with.
const HEARD_WAIT: Duration = Duration::from_secs(5);

pub(super) struct Writer<A> {
    directory: PathBuf,
    queue: Arc<Queue>,
    health: Arc<ArcSwap<Health>>,
    answer: A,
    retry_every: Duration,
    store: Option<Store>,
    /// Whether the file was ever read: until then nobody knows where the rollouts stood.
    known: bool,
    retry_at: Instant,
    kept: VecDeque<Line>,
    /// What was heard and is not on the disk yet.
    heard: Heards,
    /// What is judged by, as it is on the disk: a file that was begun anew needs it.
    scheme: Option<(Timestamp, Heard)>,
    tidy_at: Instant,
    /// The last state of every service that is on the disk, to be written again into a file that lost it.
    last: BTreeMap<Arc<str>, (u64, Record)>,
    /// When the newest state written by this process was decided, by service.
    newest: BTreeMap<Arc<str>, (Timestamp, u64)>,
}

impl<A: Fn(Answer)> Writer<A> {
    /// A writer that has tried to open the journal once; with what the journal says of the time before.
    pub(super) fn new(
        directory: PathBuf,
        queue: Arc<Queue>,
        health: Arc<ArcSwap<Health>>,
        retry_every: Duration,
        answer: A,
    ) -> (Self, Option<Restored>) {
        let mut writer = Writer {
            directory,
            queue,
            health,
            answer,
            retry_every,
            store: None,
            known: false,
            retry_at: Instant::now(),
            kept: VecDeque::new(),
            heard: Heards::default(),
            scheme: None,
            tidy_at: Instant::now(),
            last: BTreeMap::new(),
            newest: BTreeMap::new(),
        };
        let restored = writer.open();
        (writer, restored)
    }

    /// Writes until the queue is closed and empty.
    pub(super) fn run(mut self) {
        loop {
            let patience = match self.store {
                Some(_) => HEARD_WAIT,
                None => self.retry_at.saturating_duration_since(Instant::now()),
            };
            let Some(Batch { heard, lines }) = self.queue.take(patience) else { break };
            self.heard.append(heard);
            if self.store.is_none() && Instant::now() >= self.retry_at {
                let first = !self.known;
                if let Some(restored) = self.open().filter(|_| first) {
                    (self.answer)(Answer::Opened(restored));
                }
            }
            self.write(lines);
            self.tidy();
        }
        if !self.kept.is_empty() && self.open().is_none() {
            let lost = self.kept.len();
            tracing::error!(records = lost, "stopping with records that could not be written");
        }
    }

    /// Opens the file and writes what it lacks. `Some` if that worked.
    fn open(&mut self) -> Option<Restored> {
        match self.try_open() {
            Ok(restored) => {
                if !matches!(**self.health.load(), Health::Working) {
                    tracing::info!(directory = %self.directory.display(), "the journal works again");
                }
                self.health.store(Arc::new(Health::Working));
                Some(restored)
            }
            Err(error) => {
                self.failed(&error);
                None
            }
        }
    }

    fn try_open(&mut self) -> Result<Restored, StoreError> {
        self.store = None;
        let mut store = Store::open(&self.directory)?;
        let restored = store.restored()?;
        let on_disk: BTreeMap<&Arc<str>, u64> =
            restored.last.iter().map(|(service, id, _)| (service, *id)).collect();
        let mut missing: Vec<StoredRow<'_>> = self
            .last
            .iter()
            .filter(|(service, (id, _))| on_disk.get(service).is_none_or(|found| found < id))
            .map(|(_, (id, record))| StoredRow { id: *id, record, is_last_word: true })
            .collect();
        missing.sort_by_key(|row| row.id);
        let kept = self.kept.iter();
        let kept =
            kept.map(|Line { id, record, .. }| StoredRow { id: *id, record, is_last_word: false });
        let scheme = if store.has_heard()? { None } else { self.scheme.clone() };
        let lost = scheme.as_ref().map(|(at, _)| (*at, Heard::Lost(0)));
        store.append(scheme.iter().chain(&lost), missing.into_iter().chain(kept))?;
        let restored = store.restored()?;
        self.kept.clear();
        self.known = true;
        for (service, id, record) in &restored.last {
            self.last.insert(service.clone(), (*id, record.clone()));
        }
        self.store = Some(store);
        Ok(restored)
    }

    fn write(&mut self, lines: Vec<Line>) {
        if self.heard.is_empty() && lines.is_empty() {
            return;
        }
        let mut outcome = self.append(&lines);
        if matches!(outcome, Some(Err(StoreError::Replaced { .. }))) {
            // Somebody moved the file away: begin a new one at once.
            outcome = self.open().and_then(|_| self.append(&lines));
        }
        match outcome {
            Some(Ok(())) => {
                for line in lines {
                    if let Some(ticket) = line.ticket {
                        (self.answer)(Answer::Durable(ticket));
                    }
                }
            }
            Some(Err(error)) => {
                self.store = None;
                self.keep(lines);
                self.failed(&error);
            }
            None => self.keep(lines),
        }
    }

    /// `None` where there is no open file.
    fn append(&mut self, lines: &[Line]) -> Option<Result<(), StoreError>> {
        let store = self.store.as_mut()?;
        let mut newest = self.newest.clone();
        let mut rows = Vec::with_capacity(lines.len());
        for Line { id, record, .. } in lines {
            rows.push(StoredRow {
                id: *id,
                record,
                is_last_word: is_last_word(&mut newest, *id, record),
            });
        }
        let Heards { latest, lost } = &self.heard;
        let first = latest.front().map(|(at, _)| (*at, Heard::Lost(*lost)));
        let heard = first.iter().filter(|_| *lost > 0).chain(latest);
        let outcome = store.append(heard, rows.iter().copied());
        if outcome.is_ok() {
            self.newest = newest;
            for StoredRow { id, record, .. } in rows.into_iter().filter(|row| row.is_last_word) {
                if let Some(service) = &record.service {
                    self.last.insert(service.clone(), (id, record.clone()));
                }
            }
            let heard = std::mem::take(&mut self.heard).latest;
            let scheme = heard.into_iter().rfind(|(_, heard)| heard.scheme().is_some());
            self.scheme = scheme.or(self.scheme.take());
        }
        Some(outcome)
    }

    /// Removes what is kept no longer, a little at a time: whoever waits for an answer comes first.
    fn tidy(&mut self) {
        let Some(store) = self.store.as_mut().filter(|_| Instant::now() >= self.tidy_at) else {
            return;
        };
        match store.tidy() {
            Ok(is_done) => {
                // What is left is for the next round of the loop.
                let pause = if is_done { retention::EVERY } else { Duration::ZERO };
                self.tidy_at = Instant::now() + pause;
            }
            Err(error) => {
                tracing::warn!(%error, "the journal could not be tidied");
                self.tidy_at = Instant::now() + retention::EVERY;
            }
        }
    }

    /// Answers that nothing is on the disk. Whoever waits for an answer brings what must not be
    /// lost again; the rest is kept here.
    fn keep(&mut self, lines: Vec<Line>) {
        for line in lines {
            match line.ticket {
                Some(ticket) => (self.answer)(Answer::NotDurable(ticket)),
                None => {
                    if self.kept.len() == MAX_KEPT {
                        self.kept.pop_front();
                    }
                    self.kept.push_back(line);
                }
            }
        }
    }

    fn failed(&mut self, error: &StoreError) {
        self.retry_at = Instant::now() + self.retry_every;
        let why = error.to_string();
        let since = match &**self.health.load() {
            Health::Failing { since, why: before } if *before == why => *since,
            Health::Failing { since, .. } => {
                tracing::error!(%why, "the journal still does not work");
                *since
            }
            Health::Working => {
                tracing::error!(
                    %why,
                    "the journal does not work: users are still protected, but nobody new is sent to a canary"
                );
                SystemTime::now()
            }
        };
        self.health.store(Arc::new(Health::Failing { since, why }));
    }
}

/// Whether this record says where its service's rollout stands, and no later one does: what could
/// not be written at first comes after what followed it, and must not pass for the last word.
fn is_last_word(
    newest: &mut BTreeMap<Arc<str>, (Timestamp, u64)>,
    id: u64,
    record: &Record,
) -> bool {
    let (Some(service), Some(_)) = (&record.service, &record.state) else { return false };
    let before = newest.entry(service.clone()).or_default();
    let is_newest = (record.at, id) >= *before;
    *before = (record.at, id).max(*before);
    is_newest
}
