//! The access log: one event per request, only where it is switched on.

use super::gateway::is_the_clients;
use super::rejection::Reason;
use super::request::Request;
use super::worker::Worker;
use pingora::Error;
use pingora::proxy::Session;
use std::net::IpAddr;
use std::time::Instant;

/// Bytes of a refused request's first line that are shown.
const SHOWN: usize = 200;

/// Counts a request that was refused before its hooks, and writes its line.
pub(crate) fn refused(worker: &Worker, reason: Reason, client: Option<IpAddr>, received: &[u8]) {
    worker.rejections.count(reason);
    if !worker.view().setup.access_log {
        return;
    }
    // Without the query, which may hold what is nobody's business.
    let line =
        received.split(|byte| matches!(byte, b'\r' | b'\n' | b'?')).next().unwrap_or_default();
    let line = &line[..line.len().min(SHOWN)];
    tracing::info!(
        target: "access",
        request = %line.escape_ascii(),
        status = reason.status(),
        rejected = reason.as_str(),
        client = client.map(tracing::field::display),
    );
}

/// Writes the line of a finished request.
pub(crate) fn log(
    session: &Session,
    request: &Request,
    error: Option<&Error>,
    now: Instant,
    bytes: u64,
) {
    let worker = request.counted.worker();
    let on = match &request.routed {
        Some(routed) => routed.view.setup.access_log,
        None => worker.view().setup.access_log,
    };
    if !on {
        return;
    }
    let header = session.req_header();
    let routed = request.routed.as_ref();
    tracing::info!(
        target: "access",
        method = header.method.as_str(),
        path = header.uri.path(),
        status = session.response_written().map_or(0, |response| response.status.as_u16()),
        rejected = request.rejected.map(Reason::as_str),
        route = routed.map(|routed| &*routed.view.table.route(routed.route).name),
        variant = routed.map(|routed| routed.variant.as_str()),
        shielded = routed.is_some_and(|routed| routed.shielded),
        duration_ms = now.saturating_duration_since(request.started).as_secs_f64() * 1e3,
        bytes,
        client = request.client.map(tracing::field::display),
        client_gone = error.is_some_and(is_the_clients),
    );
}
