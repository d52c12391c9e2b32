//! The journal: every decision with what it rested on, in SQLite, written by a thread of its own.
//!
//! A record that exposes users is answered [`Answer::Durable`] only once it is on the disk. While
//! the file cannot be written the proxy goes on: what protects users happens and the controller brings
//! its record again until it is written; what exposes users does not happen.

mod queue;
mod read;
mod retention;
mod store;
mod writer;

#[cfg(test)]
pub(crate) mod tests;

pub(crate) use queue::Line;
pub(crate) use read::{Entry, Reader, Selection};
pub(crate) use retention::HEARD_KEPT_DAYS;
pub(crate) use store::{FILE_NAME, Restored};
use store::{Store, StoreError, StoredRow};

use arc_swap::ArcSwap;
use queue::Queue;
use serinus_models::Timestamp;
use serinus_rollout::{Heard, Record, Ticket};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};
use writer::Writer;

/// Time between two attempts to open a journal that does not work.
const RETRY_EVERY: Duration = Duration::from_secs(3);

/// What the journal tells the control loop.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The record is on the disk.
    Durable(Ticket),
    /// The record is not on the disk.
    NotDurable(Ticket),
    /// The journal could not be opened at the start and now could: this is where the rollouts stood.
    Opened(Restored),
}

/// Whether decisions can be written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Health {
    /// They can.
    Working,
    /// They cannot.
    Failing {
        /// Since when.
        since: SystemTime,
        /// In words, with what to do.
        why: String,
    },
}

/// Writes one record into the journal of a proxy that is not running; says under which number.
///
/// # Errors
/// The file cannot be used: for one, because a proxy is running and has it.
pub(crate) fn append_alone(directory: &Path, record: &Record) -> Result<u64, StoreError> {
    let mut store = Store::open(directory)?;
    let id = store.restored()?.last_id + 1;
    store.append([], [StoredRow { id, record, is_last_word: false }])?;
    Ok(id)
}

/// A handle on the writing thread. Dropping it writes what is queued and ends the thread.
#[derive(Debug)]
pub(crate) struct Journal {
    queue: Arc<Queue>,
    health: Arc<ArcSwap<Health>>,
    thread: Option<JoinHandle<()>>,
}

impl Journal {
    /// Opens the journal in `directory` and starts its thread. `None` for the time before means that
    /// the file cannot be used now; [`Answer::Opened`] follows when it can.
    ///
    /// # Errors
    /// No thread can be started.
    pub(crate) fn start(
        directory: &Path,
        answer: impl Fn(Answer) + Send + 'static,
    ) -> std::io::Result<(Journal, Option<Restored>)> {
        Self::start_with(directory, RETRY_EVERY, answer)
    }

    fn start_with(
        directory: &Path,
        retry_every: Duration,
        answer: impl Fn(Answer) + Send + 'static,
    ) -> std::io::Result<(Journal, Option<Restored>)> {
        let queue = Arc::new(Queue::default());
        let health = Arc::new(ArcSwap::from_pointee(Health::Working));
        let (writer, restored) =
            Writer::new(directory.to_owned(), queue.clone(), health.clone(), retry_every, answer);
        let thread = std::thread::Builder::new().name("journal".into()).spawn(|| writer.run())?;
        Ok((Journal { queue, health, thread: Some(thread) }, restored))
    }

    /// Hands a record over without waiting; says whether it could be queued. If not, no answer follows.
    pub(crate) fn append(&self, line: Line) -> bool {
        self.queue.push(line)
    }

    /// Hands over what the controller was told, before the records that follow from it.
    pub(crate) fn hear(&self, at: Timestamp, heard: Heard) {
        self.queue.hear(at, heard);
    }

    /// How it does, now and later.
    pub(crate) fn health(&self) -> Arc<ArcSwap<Health>> {
        self.health.clone()
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.queue.close();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was reported by the panic hook.
            let _ = thread.join();
        }
    }
}
