//! `/api/v1/events`: a list, or a stream for those who accept one.

use super::Admin;
use super::failure::Failure;
use super::views::EventView;
use crate::control::journal::{Entry, Reader, Selection};
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use std::convert::Infallible;
use std::sync::Arc;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

const DEFAULT_LIMIT: usize = 200;
const MAX_LIMIT: usize = 1_000;

/// Which events are wanted.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// Of this service only.
    service: Option<String>,
    /// At most so many, the latest; with `after`, the earliest.
    limit: Option<usize>,
    /// What came after this one.
    after: Option<u64>,
}

impl Wanted {
    fn includes(&self, entry: &Entry) -> bool {
        self.service.is_none() || self.service.as_deref() == entry.record.service.as_deref()
    }
}

pub(super) async fn events(
    State(admin): State<Admin>,
    headers: HeaderMap,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Response, Failure> {
    let Query(wanted) = wanted.map_err(|rejection| {
        Failure::new(
            StatusCode::BAD_REQUEST,
            rejection.body_text(),
            "use ?service=NAME&limit=NUMBER&after=ID",
        )
    })?;
    let accepts = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    if accepts.is_some_and(|accept| accept.contains("text/event-stream")) {
        return Ok(stream(&admin, &headers, wanted));
    }
    let limit = wanted.limit.unwrap_or(DEFAULT_LIMIT).min(MAX_LIMIT);
    let entries = select(&admin, &wanted, limit).await?;
    let views: Vec<EventView<'_>> = entries.iter().map(|entry| EventView::new(entry)).collect();
    Ok(Json(views).into_response())
}

async fn select(admin: &Admin, wanted: &Wanted, limit: usize) -> Result<Vec<Arc<Entry>>, Failure> {
    let events = &admin.board.events;
    let mut entries: Vec<_> = events.subscribe(wanted.after).0;
    entries.retain(|entry| wanted.includes(entry));
    if entries.len() < limit && !events.reaches_back_to(wanted.after) {
        let directory = admin.state_dir.clone();
        let selection = Selection { service: wanted.service.clone(), after: wanted.after, limit };
        let read = move || Reader::open(&directory)?.list(&selection);
        let found = tokio::task::spawn_blocking(read)
            .await
            .map_err(Failure::internal)?
            .map_err(Failure::internal)?;
        entries = found.into_iter().map(Arc::new).collect();
    }
    let surplus = entries.len().saturating_sub(limit);
    match wanted.after {
        Some(_) => entries.truncate(limit),
        None => drop(entries.drain(..surplus)),
    }
    Ok(entries)
}

/// What came after `Last-Event-ID` (or `?after=`), then everything as it happens.
fn stream(admin: &Admin, headers: &HeaderMap, wanted: Wanted) -> Response {
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
    let (past, receiver) = match last.or(wanted.after) {
        Some(after) => admin.board.events.subscribe(Some(after)),
        None => (Vec::new(), admin.board.events.subscribe(None).1),
    };
    // A client that reads slowly fills this, then loses its place and is disconnected: it comes back
    // with the last number it saw.
    let (sender, outgoing) = tokio::sync::mpsc::channel(64);
    tokio::spawn(forward(past, receiver, sender, wanted));
    let events = ReceiverStream::new(outgoing).map(|entry| Ok::<_, Infallible>(message(&entry)));
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}

async fn forward(
    past: Vec<Arc<Entry>>,
    mut receiver: Receiver<Arc<Entry>>,
    sender: tokio::sync::mpsc::Sender<Arc<Entry>>,
    wanted: Wanted,
) {
    for entry in past.into_iter().filter(|entry| wanted.includes(entry)) {
        if sender.send(entry).await.is_err() {
            return;
        }
    }
    loop {
        let entry = tokio::select! {
            entry = receiver.recv() => entry,
            () = sender.closed() => return,
        };
        match entry {
            Ok(entry) if wanted.includes(&entry) => {
                if sender.send(entry).await.is_err() {
                    return;
                }
            }
            Ok(_) => {}
            Err(RecvError::Closed | RecvError::Lagged(_)) => return,
        }
    }
}

fn message(entry: &Entry) -> Event {
    let event = Event::default().id(entry.id.to_string()).event(entry.record.kind.as_str());
    // A view of plain fields always has a JSON form; should it ever not, the number is still there.
    event
        .json_data(EventView::new(entry))
        .unwrap_or_else(|_| Event::default().id(entry.id.to_string()))
}
