//! The access log: one event per request, only where it is switched on.

use super::gateway::is_the_clients;
use super::request::Request;
use pingora::Error;
use pingora::proxy::Session;
use std::time::Instant;

/// Writes the line of a finished request.
pub(crate) fn log(
    session: &Session,
    request: &Request,
    error: Option<&Error>,
    now: Instant,
    bytes: u64,
) {
    let Some(routed) = &request.routed else { return };
    if !routed.view.setup.access_log {
        return;
    }
    let header = session.req_header();
    let client = match &request.connection {
        Some(connection) => connection.client.address,
        None => session.client_addr().and_then(|address| address.as_inet()).map(|inet| inet.ip()),
    };
    tracing::info!(
        target: "access",
        method = header.method.as_str(),
        path = header.uri.path(),
        status = session.response_written().map_or(0, |response| response.status.as_u16()),
        route = &*routed.view.table.route(routed.route).name,
        variant = routed.variant.as_str(),
        shielded = routed.shielded,
        duration_ms = now.saturating_duration_since(routed.started).as_secs_f64() * 1e3,
        bytes,
        client = client.map(tracing::field::display),
        client_gone = error.is_some_and(is_the_clients),
    );
}
