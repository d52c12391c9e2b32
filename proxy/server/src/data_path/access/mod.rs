//! The access log: a line per request, only where it is switched on.
//!
//! Never a query, a cookie or an authorization: what is a secret does not get here.

mod line;
mod writer;

use super::gateway::is_the_clients;
use super::origin;
use super::rejection::Reason;
use super::request::Request;
use super::worker::Worker;
use http::header::{HOST, REFERER, USER_AGENT};
use line::Line;
use pingora::Error;
use pingora::proxy::Session;
use serinus_config::{AccessField, AccessFormat, AccessLogSettings};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;
use writer::Writer;

/// Answers from here on are written whatever the sample is.
const ALWAYS: u16 = 400;

/// Where and how lines are written.
#[derive(Debug)]
pub(crate) struct AccessLog {
    settings: AccessLogSettings,
    writer: Writer,
}

impl AccessLog {
    /// The log of `settings`; `before`, if it is of the same and goes to standard error: a file is
    /// opened again, since it may have been moved away.
    ///
    /// # Errors
    /// The folder of the file is not there.
    pub(crate) fn new(
        settings: &AccessLogSettings,
        before: Option<&Arc<AccessLog>>,
    ) -> anyhow::Result<Arc<AccessLog>> {
        if let Some(before) = before
            && before.settings == *settings
            && settings.file.is_none()
        {
            return Ok(Arc::clone(before));
        }
        let writer = Writer::new(settings.file.clone())?;
        Ok(Arc::new(AccessLog { settings: settings.clone(), writer }))
    }

    fn wants(&self, status: u16) -> bool {
        status >= ALWAYS || status == 0 || fastrand::f64() * 100.0 < self.settings.sample.percent()
    }

    fn write(&self, line: &Line<'_>) {
        let text = match self.settings.format {
            AccessFormat::Json => line.json(&self.settings.fields),
            AccessFormat::Combined => line.combined(),
        };
        self.writer.write(text);
    }

    fn has(&self, field: AccessField) -> bool {
        self.settings.format == AccessFormat::Json && self.settings.fields.contains(&field)
    }
}

/// Counts a request that was refused before its hooks, and writes its line.
pub(crate) fn refused(worker: &Worker, reason: Reason, client: Option<IpAddr>, received: &[u8]) {
    worker.rejections.count(reason);
    let view = worker.view();
    let Some(log) = &view.setup.access_log else { return };
    // Without the query, which may hold what is nobody's business.
    let first = received.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
    let first = &first[..first.len().min(line::LONGEST)];
    let first = String::from_utf8_lossy(first);
    let mut words = first.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    log.write(&Line {
        client,
        method,
        path: target.split('?').next().unwrap_or_default(),
        protocol: words.next().unwrap_or_default(),
        status: reason.status(),
        rejected: Some(reason),
        ..Line::default()
    });
}

/// Writes the line of a finished request.
pub(crate) fn log(
    session: &Session,
    request: &Request,
    error: Option<&Error>,
    now: Instant,
    bytes: u64,
) {
    let view = match &request.routed {
        Some(routed) => &routed.view,
        None => &request.counted.worker().view(),
    };
    let Some(log) = &view.setup.access_log else { return };
    let status = session.response_written().map_or(0, |response| response.status.as_u16());
    if !log.wants(status) {
        return;
    }
    let header = session.req_header();
    let field = |name| header.headers.get(name).and_then(|value| value.to_str().ok());
    let authority = || header.uri.authority().map(|authority| authority.as_str());
    let routed = request.routed.as_ref();
    let connection = request.connection.as_ref();
    let trace = log.has(AccessField::TraceId).then(|| origin::trace_of(&header.headers)).flatten();
    log.write(&Line {
        client: request.client,
        method: header.method.as_str(),
        host: field(HOST).or_else(authority),
        path: header.uri.path(),
        protocol: line::protocol(header.version),
        status,
        rejected: request.rejected,
        route: routed.map(|routed| &*routed.view.table.route(routed.route).name),
        variant: routed.map(|routed| routed.variant.as_str()),
        endpoint: routed.and_then(|routed| routed.attempt.address),
        shielded: routed.is_some_and(|routed| routed.shielded),
        duration: Some(now.saturating_duration_since(request.started)),
        bytes,
        tls: connection.is_some_and(|connection| connection.client.tls),
        client_gone: error.is_some_and(is_the_clients),
        user_agent: field(USER_AGENT),
        referer: field(REFERER).map(|referer| referer.split('?').next().unwrap_or_default()),
        request_id: field(origin::REQUEST_ID),
        trace_id: trace.as_deref(),
    });
}
