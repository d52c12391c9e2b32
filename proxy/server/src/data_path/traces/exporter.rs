//! Sends traces to the collector: a thread of its own, so that no request waits for it.

use super::{Finished, json};
use crate::outbound::Outbound;
use anyhow::Context;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Uri};
use http_body_util::Full;
use hyper::body::Bytes;
use serinus_config::OtlpSettings;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc as blocking;
use std::time::Duration;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::{Instant, sleep, timeout_at};

/// Requests that wait at most; more are lost, and counted.
const WAITING: usize = 4096;
/// Requests in one message ...
const TOGETHER: usize = 512;
/// ... and how long the first waits for others.
const GATHERING: Duration = Duration::from_secs(1);
/// Longest wait for the collector's answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// A message that the collector does not take now is sent again after so many seconds, then it is lost.
const PAUSES: [u64; 4] = [1, 2, 5, 10];

/// Spans since the start, by what became of them.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    sent: AtomicU64,
    lost: AtomicU64,
}

/// The way to a collector.
#[derive(Debug)]
pub(crate) struct Exporter {
    settings: OtlpSettings,
    queue: Sender<Message>,
    counts: Arc<Counts>,
}

#[derive(Debug)]
enum Message {
    Finished(Box<Finished>),
    /// Somebody waits until all before this is sent or lost.
    Flush(blocking::Sender<()>),
}

impl Counts {
    /// Spans that the collector took, and those that were lost.
    pub(crate) fn read(&self) -> (u64, u64) {
        (self.sent.load(Ordering::Relaxed), self.lost.load(Ordering::Relaxed))
    }
}

impl Exporter {
    /// The exporter of `settings`; `before`, if it is of the same.
    ///
    /// # Errors
    /// A file of authorities that cannot be used, or no thread.
    pub(crate) fn new(
        settings: &OtlpSettings,
        before: Option<&Arc<Exporter>>,
        counts: &Arc<Counts>,
    ) -> anyhow::Result<Arc<Exporter>> {
        if let Some(before) = before.filter(|before| before.settings == *settings) {
            return Ok(Arc::clone(before));
        }
        let outbound =
            Outbound::new(settings.authorities.as_deref(), PATIENCE).context("otlp.ca")?;
        let uri: Uri = settings.endpoint.parse().context("otlp.endpoint")?;
        let (queue, inbox) = channel(WAITING);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let worker = Worker {
            settings: settings.clone(),
            uri,
            outbound,
            inbox,
            counts: Arc::clone(counts),
            failing: false,
        };
        std::thread::Builder::new()
            .name("otlp".into())
            .spawn(move || {
                runtime.block_on(worker.run());
                runtime.shutdown_background(); // a name that is looked up is not waited for
            })
            .context("cannot start the thread that sends traces")?;
        Ok(Arc::new(Exporter { settings: settings.clone(), queue, counts: Arc::clone(counts) }))
    }

    /// Percent of the traces that begin here and are recorded.
    pub(super) fn sample(&self) -> f64 {
        self.settings.sample.percent()
    }

    /// Never waits.
    pub(super) fn hand_over(&self, finished: Finished) {
        let lost = match self.queue.try_send(Message::Finished(Box::new(finished))) {
            Ok(()) => return,
            Err(TrySendError::Full(lost) | TrySendError::Closed(lost)) => lost,
        };
        if let Message::Finished(lost) = lost {
            self.counts.lost.fetch_add(json::count(&lost), Ordering::Relaxed);
        }
    }

    /// Waits (blocking) until all that was handed over is sent or lost, or `patience` is over.
    pub(crate) fn flush(&self, patience: Duration) {
        let (done, flushed) = blocking::channel();
        if self.queue.try_send(Message::Flush(done)).is_ok() {
            // Over time or not: the process ends now.
            let _ = flushed.recv_timeout(patience);
        }
    }
}

/// What lives on the thread.
struct Worker {
    settings: OtlpSettings,
    uri: Uri,
    outbound: Outbound<Full<Bytes>>,
    inbox: Receiver<Message>,
    counts: Arc<Counts>,
    /// The last message was lost.
    failing: bool,
}

impl Worker {
    /// Until nobody hands anything over any more.
    async fn run(mut self) {
        while let Some(first) = self.inbox.recv().await {
            let (mut batch, mut waits) = (Vec::new(), None);
            let deadline = Instant::now() + GATHERING;
            let mut next = Some(first);
            while let Some(message) = next {
                match message {
                    Message::Finished(finished) => batch.push(*finished),
                    Message::Flush(done) => waits = Some(done),
                }
                if batch.len() >= TOGETHER || waits.is_some() {
                    break;
                }
                next = timeout_at(deadline, self.inbox.recv()).await.ok().flatten();
            }
            if !batch.is_empty() {
                self.send(&batch, waits.is_some()).await;
            }
            if let Some(done) = waits {
                let _ = done.send(()); // it may have lost its patience
            }
        }
    }

    /// Sends a message, several times if the collector cannot take it now; once if it is the `last`.
    async fn send(&mut self, batch: &[Finished], last: bool) {
        let spans: u64 = batch.iter().map(json::count).sum();
        let body = Bytes::from(json::message(&self.settings.service_name, batch));
        let mut pauses = PAUSES.into_iter().filter(|_| !last).map(Duration::from_secs);
        let failed = loop {
            let (why, is_passing) = match self.try_send(body.clone()).await {
                Ok(()) => break None,
                Err(why) => why,
            };
            match pauses.next().filter(|_| is_passing) {
                Some(pause) => sleep(pause).await,
                None => break Some(why),
            }
        };
        let count = if failed.is_none() { &self.counts.sent } else { &self.counts.lost };
        count.fetch_add(spans, Ordering::Relaxed);
        match (&failed, self.failing) {
            (Some(why), false) => {
                tracing::warn!(collector = self.settings.endpoint, "traces are lost: {why}");
            }
            (None, true) => {
                tracing::info!(collector = self.settings.endpoint, "traces are taken again");
            }
            _ => {}
        }
        self.failing = failed.is_some();
    }

    /// Why it was not taken, and whether it may be taken later.
    async fn try_send(&self, body: Bytes) -> Result<(), (String, bool)> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        for (name, value) in &self.settings.headers {
            request.headers_mut().insert(name.clone(), value.clone());
        }
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        match self.outbound.send(request).await {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => {
                let status = answer.status();
                Err((format!("it answers {status}"), matches!(status.as_u16(), 429 | 502..=504)))
            }
            Err(error) => Err((format!("{error:#}"), true)),
        }
    }
}
