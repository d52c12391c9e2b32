//! The page that is open, and what happens on it.

use chromiumoxide::Page;
use chromiumoxide::cdp::browser_protocol::network::{EventResponseReceived, ResourceType};
use chromiumoxide::cdp::browser_protocol::page::{
    EventFrameNavigated, EventJavascriptDialogOpening, EventLoadEventFired,
    EventNavigatedWithinDocument, HandleJavaScriptDialogParams,
};
use chromiumoxide::cdp::js_protocol::runtime::{EvaluateParams, EventExceptionThrown};
use serde_json::Value;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;
use tokio_stream::StreamExt;

/// What has happened so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Progress {
    /// Pages that were loaded to the end.
    pub(crate) loads: u64,
    /// Pages that were begun.
    pub(crate) navigations: u64,
    /// Addresses that changed without a new page, as applications of one page do it.
    pub(crate) within: u64,
    /// Of the page that is open.
    pub(crate) status: Option<u16>,
}

pub(crate) struct Watched {
    pub(crate) page: Page,
    progress: watch::Receiver<Progress>,
    /// The first exception that no script caught, since it was last taken.
    thrown: Arc<Mutex<Option<String>>>,
}

impl Watched {
    pub(crate) async fn new(page: Page) -> anyhow::Result<Watched> {
        let (sender, progress) = watch::channel(Progress::default());
        let sender = Arc::new(sender);
        let thrown = Arc::new(Mutex::new(None));
        let main = page.mainframe().await?;
        let mut loads = page.event_listener::<EventLoadEventFired>().await?;
        let mut frames = page.event_listener::<EventFrameNavigated>().await?;
        let mut within = page.event_listener::<EventNavigatedWithinDocument>().await?;
        let mut answers = page.event_listener::<EventResponseReceived>().await?;
        let mut exceptions = page.event_listener::<EventExceptionThrown>().await?;
        let mut dialogs = page.event_listener::<EventJavascriptDialogOpening>().await?;
        let to = sender.clone();
        tokio::spawn(async move {
            while loads.next().await.is_some() {
                to.send_modify(|progress| progress.loads += 1);
            }
        });
        let to = sender.clone();
        tokio::spawn(async move {
            while let Some(event) = frames.next().await {
                if event.frame.parent_id.is_none() {
                    to.send_modify(|progress| progress.navigations += 1);
                }
            }
        });
        let to = sender.clone();
        tokio::spawn(async move {
            while within.next().await.is_some() {
                to.send_modify(|progress| progress.within += 1);
            }
        });
        tokio::spawn(async move {
            while let Some(event) = answers.next().await {
                let is_page = event.r#type == ResourceType::Document && event.frame_id == main;
                if is_page {
                    let status = u16::try_from(event.response.status).ok();
                    sender.send_modify(|progress| progress.status = status);
                }
            }
        });
        let keep = thrown.clone();
        tokio::spawn(async move {
            while let Some(event) = exceptions.next().await {
                let details = &event.exception_details;
                let said =
                    details.exception.as_ref().and_then(|thrown| thrown.description.as_ref());
                let first = said.unwrap_or(&details.text).lines().next().unwrap_or_default();
                let first: String = first.chars().take(200).collect();
                lock(&keep).get_or_insert(first);
            }
        });
        let closer = page.clone();
        tokio::spawn(async move {
            // Nobody is there to answer: what asks is told yes, or the page would wait for ever.
            while dialogs.next().await.is_some() {
                let _ = closer.execute(HandleJavaScriptDialogParams::new(true)).await;
            }
        });
        Ok(Watched { page, progress, thrown })
    }

    pub(crate) fn progress(&self) -> Progress {
        *self.progress.borrow()
    }

    /// Waits until something holds.
    pub(crate) async fn until(&self, holds: impl Fn(&Progress) -> bool) {
        // The senders live as long as the page.
        let _ = self.progress.clone().wait_for(|progress| holds(progress)).await;
    }

    pub(crate) fn take_thrown(&self) -> Option<String> {
        lock(&self.thrown).take()
    }

    /// What a script gives; none where the page went away under it.
    pub(crate) async fn evaluate(&self, script: String) -> Result<Option<Value>, String> {
        let ask = EvaluateParams::builder()
            .expression(script)
            .await_promise(true)
            .return_by_value(true)
            .user_gesture(true)
            .build()?;
        let Ok(answer) = self.page.execute(ask).await else { return Ok(None) };
        if let Some(details) = &answer.result.exception_details {
            let said = details.exception.as_ref().and_then(|thrown| thrown.description.as_ref());
            return Err(said
                .unwrap_or(&details.text)
                .lines()
                .next()
                .unwrap_or_default()
                .to_owned());
        }
        Ok(Some(answer.result.result.value.clone().unwrap_or_default()))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
