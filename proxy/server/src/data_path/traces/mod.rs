//! Traces of requests for a collector of OpenTelemetry: what a request notes on its way.
//!
//! A request that is recorded is a span of the server, each of its attempts one of a client below it.
//! What is noted is handed over when the request is over; encoding and sending are the exporter's
//! thread's. Where no collector is configured a request carries an empty box.

mod exporter;
mod json;

pub(crate) use exporter::{Counts, Exporter};

use super::gateway::is_the_clients;
use super::origin::{self, TRACEPARENT, TRACESTATE};
use super::rejection::Reason;
use super::request::{Request, Routed};
use super::totals::Ending;
use http::header::{HOST, HeaderValue, USER_AGENT};
use http::{Method, Version};
use pingora::Error;
use pingora::http::RequestHeader;
use pingora::proxy::Session;
use serinus_routing::Variant;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

/// The trace of one request, from its header to its end.
#[derive(Debug)]
pub(crate) struct Trace {
    exporter: Arc<Exporter>,
    trace: u128,
    /// The span that it came in with.
    parent: Option<u64>,
    root: u64,
    /// As it goes on, two hexadecimal digits.
    flags: String,
    sampled: bool,
    began: (SystemTime, Instant),
    done: Vec<Attempt>,
    /// The attempt that is under way: its span, since when, and how it ended if that is certain.
    current: (u64, Instant, Option<Ending>),
}

/// One attempt at one endpoint.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) span: u64,
    pub(super) began: Instant,
    pub(super) ended: Instant,
    pub(super) variant: Variant,
    pub(super) endpoint: Option<SocketAddr>,
    pub(super) status: Option<u16>,
    pub(super) ending: Option<Ending>,
}

/// A request that is over.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) trace: u128,
    pub(super) parent: Option<u64>,
    pub(super) span: u64,
    pub(super) state: Option<HeaderValue>,
    pub(super) began: (SystemTime, Instant),
    pub(super) ended: Instant,
    pub(super) method: Method,
    /// Without the query, which may hold what is nobody's business.
    pub(super) path: String,
    pub(super) version: Version,
    pub(super) tls: bool,
    pub(super) host: Option<String>,
    pub(super) user_agent: Option<HeaderValue>,
    pub(super) client: Option<IpAddr>,
    pub(super) status: u16,
    pub(super) rejected: Option<Reason>,
    pub(super) client_gone: bool,
    pub(super) route: Option<(Arc<str>, Arc<str>)>,
    pub(super) variant: Option<Variant>,
    pub(super) shielded: bool,
    pub(super) attempts: Vec<Attempt>,
}

impl Trace {
    /// Goes on with the trace that a request came with, or begins one. One that came in is recorded if
    /// its parent was, one that begins if the dice say so.
    pub(crate) fn begin(
        exporter: &Arc<Exporter>,
        request: &mut RequestHeader,
        now: Instant,
    ) -> pingora::Result<Trace> {
        let passed = request.headers.get(TRACEPARENT).and_then(origin::parent);
        let (trace, parent, flags, sampled) = match passed {
            Some(passed) => (passed.trace, Some(passed.span), passed.flags, passed.sampled),
            None => {
                request.remove_header(&TRACESTATE); // it belonged to no trace
                let sampled = fastrand::f64() * 100.0 < exporter.sample();
                let flags = if sampled { "01" } else { "00" };
                (fastrand::u128(1..), None, flags.to_owned(), sampled)
            }
        };
        let root = fastrand::u64(1..);
        let began = if sampled { SystemTime::now() } else { SystemTime::UNIX_EPOCH };
        let trace = Trace {
            exporter: Arc::clone(exporter),
            trace,
            parent,
            root,
            flags,
            sampled,
            began: (began, now),
            done: Vec::new(),
            current: (fastrand::u64(1..), now, None),
        };
        // For the access log, and for who is asked whether it may pass.
        request.insert_header(TRACEPARENT, trace.header(root))?;
        Ok(trace)
    }

    fn header(&self, span: u64) -> String {
        format!("00-{:032x}-{span:016x}-{}", self.trace, self.flags)
    }

    /// Tells the upstream whose child its span is.
    pub(crate) fn tell(&self, upstream: &mut RequestHeader) -> pingora::Result<()> {
        upstream.insert_header(TRACEPARENT, self.header(self.current.0))
    }

    /// How the current attempt ended.
    pub(crate) fn settle(&mut self, ending: Ending) {
        self.current.2 = Some(ending);
    }

    /// The current attempt of `routed` is over, and another one begins.
    pub(crate) fn try_again(&mut self, routed: &Routed, now: Instant) {
        self.note(routed, now);
        self.current = (fastrand::u64(1..), now, None);
    }

    fn note(&mut self, routed: &Routed, now: Instant) {
        let attempt = &routed.attempt;
        // One that no endpoint was found for asked nobody.
        if !self.sampled || attempt.address.is_none() {
            return;
        }
        let (span, began, ending) = self.current;
        self.done.push(Attempt {
            span,
            began,
            ended: now,
            variant: routed.variant,
            endpoint: attempt.address,
            status: attempt.header.map(|(_, status)| status),
            ending,
        });
    }
}

/// Hands the trace of a finished request over, if it is recorded.
pub(crate) fn finish(
    session: &Session,
    request: &mut Request,
    error: Option<&Error>,
    now: Instant,
) {
    let Some(mut trace) = request.trace.take().filter(|trace| trace.sampled) else { return };
    if let Some(routed) = &request.routed {
        trace.note(routed, now);
    }
    let header = session.req_header();
    let text = |name| header.headers.get(name).and_then(|value| value.to_str().ok());
    let authority = || header.uri.authority().map(|authority| authority.as_str());
    let routed = request.routed.as_ref();
    let finished = Finished {
        trace: trace.trace,
        parent: trace.parent,
        span: trace.root,
        state: header.headers.get(TRACESTATE).cloned(),
        began: trace.began,
        ended: now,
        method: header.method.clone(),
        path: header.uri.path().to_owned(),
        version: header.version,
        tls: request.connection.as_ref().is_some_and(|connection| connection.client.tls),
        host: text(HOST).or_else(authority).map(str::to_owned),
        user_agent: header.headers.get(USER_AGENT).cloned(),
        client: request.client,
        status: session.response_written().map_or(0, |response| response.status.as_u16()),
        rejected: request.rejected,
        client_gone: error.is_some_and(is_the_clients),
        route: routed.map(|routed| {
            let route = routed.view.table.route(routed.route);
            (Arc::clone(&route.name), Arc::clone(&routed.service().name))
        }),
        variant: routed.map(|routed| routed.variant),
        shielded: routed.is_some_and(|routed| routed.shielded),
        attempts: trace.done,
    };
    trace.exporter.hand_over(finished);
}
