//! What one data path thread owns. Everything a request writes lies here, or in a shard that is
//! this thread's, so that threads do not wait for each other's cache lines.

use super::flights::Flights;
use super::guard::AuthClient;
use super::mirror::MirrorClient;
use super::rejection::Rejections;
use super::shards::{Padded, Shard};
use super::view::View;
use crate::acme::Challenges;
use arc_swap::ArcSwap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

/// One thread of the data path.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) shard: Shard,
    /// Every thread has an allocation of its own: counting its holders touches nobody else's.
    view: ArcSwap<View>,
    pub(crate) flights: Flights,
    pub(crate) rejections: Rejections,
    pub(crate) auth_client: AuthClient,
    pub(crate) mirror_client: MirrorClient,
    /// What CAs are shown.
    pub(crate) challenges: Arc<Challenges>,
    /// Requests whose header has been read and whose answer is not finished.
    requests: Padded<AtomicUsize>,
    /// Open connections of clients.
    connections: Padded<AtomicUsize>,
    /// No connection is kept for another request.
    closing: AtomicBool,
    /// No connection comes any more: all that were accepted are counted.
    shut: AtomicBool,
}

impl Worker {
    pub(crate) fn new(
        thread: usize,
        view: View,
        epoch: Instant,
        challenges: Arc<Challenges>,
    ) -> Self {
        Worker {
            shard: Shard::of_thread(thread),
            view: ArcSwap::from_pointee(view),
            flights: Flights::new(epoch),
            rejections: Rejections::default(),
            auth_client: AuthClient::default(),
            mirror_client: MirrorClient::default(),
            challenges,
            requests: Padded::default(),
            connections: Padded::default(),
            closing: AtomicBool::new(false),
            shut: AtomicBool::new(false),
        }
    }

    /// What a new request sees, to its end.
    pub(crate) fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    pub(crate) fn publish(&self, view: View) {
        self.view.store(Arc::new(view));
    }

    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::Acquire)
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Acquire)
    }

    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::Release);
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    pub(crate) fn shut(&self) {
        self.shut.store(true, Ordering::Release);
    }

    /// Whether a client is connected, or may yet be.
    pub(crate) fn is_busy(&self) -> bool {
        // In this order: who is not shut may have taken one more meanwhile.
        !self.shut.load(Ordering::Acquire) || self.connections() + self.requests() > 0
    }

    pub(crate) fn count_request(self: &Arc<Self>) -> Counted {
        Counted::new(self, |worker| &worker.requests)
    }

    pub(crate) fn count_connection(self: &Arc<Self>) -> Counted {
        Counted::new(self, |worker| &worker.connections)
    }
}

/// One of a worker's requests or connections, for as long as this is held.
#[derive(Debug)]
pub(crate) struct Counted {
    worker: Arc<Worker>,
    counter: fn(&Worker) -> &AtomicUsize,
}

impl Counted {
    fn new(worker: &Arc<Worker>, counter: fn(&Worker) -> &AtomicUsize) -> Self {
        counter(worker).fetch_add(1, Ordering::AcqRel);
        Counted { worker: Arc::clone(worker), counter }
    }

    pub(crate) fn worker(&self) -> &Arc<Worker> {
        &self.worker
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        (self.counter)(&self.worker).fetch_sub(1, Ordering::AcqRel);
    }
}
