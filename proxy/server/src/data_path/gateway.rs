//! The way of a request: Pingora calls these hooks in the order in which they are written here.

use super::admission::{Turned, admit};
use super::connection::Connection;
use super::guard::Compression;
use super::recorder::Ending;
use super::rejection::Reason;
use super::request::Request;
use super::screening::{drop_underscores, screen};
use super::traces::{self, Trace};
use super::worker::Worker;
use super::{
    access, answer, attribution, forwarding, identity, origin, patience, recovery, rewriting,
};
use async_trait::async_trait;
use bytes::Bytes;
use http::header::{CONNECTION, HeaderName, HeaderValue, TRANSFER_ENCODING};
use http::{HeaderMap, StatusCode, Version};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource, ErrorType, Result};
use serinus_config::Underscores;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Attempts of one request at most: one and a stale connection, another endpoint and five retries, of
/// the canary and of stable. What is tried again is decided below, one by one.
pub(super) const ATTEMPTS: usize = 16;
/// The hooks of one thread.
pub(crate) struct Gateway {
    pub(crate) worker: Arc<Worker>,
}

#[async_trait]
impl ProxyHttp for Gateway {
    type CTX = Request;

    fn new_ctx(&self) -> Request {
        Request::new(self.worker.count_request())
    }

    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    async fn request_filter(&self, session: &mut Session, request: &mut Request) -> Result<bool> {
        let now = request.started;
        let Some(connection) = Connection::of(session) else {
            return Err(Error::new_in(ErrorType::InternalError)); // every connection has its gate
        };
        connection.taken.store(true, Ordering::Relaxed);
        let terms = Arc::clone(&connection.terms);
        let (tls, trusted) = (connection.client.tls, connection.client.trusted);
        request.client = origin::client(&connection.client, &terms, &session.req_header().headers);
        request.connection = Some(connection);
        if session.get_keepalive().is_some() {
            // Pingora's default is for ever; in seconds, where 0 means that too.
            session.set_keepalive(Some(terms.keepalive_timeout.as_secs().max(1)));
        }
        if session.req_header().version == Version::HTTP_10 {
            session.set_ignore_info_resp(true); // RFC 9110, 15.2
        }
        session.set_read_timeout(Some(terms.body_timeout));
        session.set_write_timeout(Some(terms.send_timeout));
        session.set_total_drain_timeout(Some(terms.body_timeout));
        if let Err(reason) = screen(session, &terms) {
            session.set_keepalive(None);
            return reject(session, request, reason).await;
        }
        let view = self.worker.view();
        if terms.request_id {
            origin::identify(session.req_header_mut(), trusted)?;
        }
        if let Some(exporter) = &view.setup.exporter {
            let trace = Trace::begin(exporter, session.req_header_mut(), now)?;
            request.trace = Some(Box::new(trace));
        } else if terms.trace_context {
            origin::pass_trace_on(session.req_header_mut())?;
        }
        if !tls
            && self.worker.challenges.is_asked()
            && let Some(page) = self.worker.challenges.page(session.req_header().uri.path())
        {
            answer::page_of(session, page).await?;
            return Ok(true);
        }
        if let Some(port) = terms.https_port {
            answer::send_to_https(session, port).await?;
            return Ok(true);
        }
        let routed = match admit(view, session, request.client, tls, now) {
            Ok(routed) => request.routed.insert(routed),
            Err(Turned::Elsewhere { status, location }) => {
                answer::redirect(session, status, location).await?;
                return Ok(true);
            }
            Err(Turned::Away) => return reject(session, request, Reason::NoRoute).await,
        };
        match routed.guard().map(Arc::clone) {
            Some(guard) => guard.admit(session, request).await,
            None => Ok(false),
        }
    }

    async fn upstream_peer(
        &self,
        session: &mut Session,
        request: &mut Request,
    ) -> Result<Box<HttpPeer>> {
        loop {
            let Some(routed) = &request.routed else {
                return Err(Error::new_in(ErrorType::InternalError)); // request_filter routes or ends
            };
            let setup = routed.setup();
            let pool = Arc::clone(setup.pool(routed.variant));
            let (timeouts, tried) = (setup.timeouts, routed.attempt.address);
            let key = pool.hashes_by().and_then(|by| {
                identity::request_key(by, &session.req_header().headers, request.client)
            });
            let placed = pool.place(self.worker.shard, tried, key, timeouts.connect).await;
            let chosen = match placed {
                Ok(chosen) => chosen,
                Err(why) if recovery::after_no_endpoint(session, request, why) => continue,
                Err(_) => {
                    let mut error = Error::new_up(ErrorType::HTTPStatus(503));
                    error.set_retry(false);
                    return Err(error);
                }
            };
            let Some(routed) = &mut request.routed else { continue };
            if chosen.waited {
                // The wait for a place was not the endpoint's: it had nothing to answer.
                routed.attempt.since = Instant::now();
            }
            routed.attempt.address = Some(chosen.address);
            routed.attempt.engaged = chosen.engaged;
            let mut peer = Box::new(pool.upstream.peer(chosen.address));
            // A stale connection is not tried twice: the retry makes a new one, in a pool of its own.
            peer.group_key = pool.key << 1 | u64::from(routed.stale_connection);
            peer.options.connection_timeout = Some(timeouts.connect);
            peer.options.total_connection_timeout = Some(timeouts.connect);
            let pause = request.connection.as_ref().map(|it| it.terms.body_timeout);
            peer.options.read_timeout = Some(patience::read_timeout(session, routed, pause));
            peer.options.write_timeout = Some(timeouts.write);
            peer.options.idle_timeout = Some(timeouts.idle);
            let (since, uploading) = (routed.attempt.since, routed.uploading);
            if !uploading {
                request.wait(since);
            }
            return Ok(peer);
        }
    }

    fn fail_to_connect(
        &self,
        session: &mut Session,
        _peer: &HttpPeer,
        request: &mut Request,
        error: Box<Error>,
    ) -> Box<Error> {
        recovery::after_no_connection(session, request, error)
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        upstream: &mut RequestHeader,
        request: &mut Request,
    ) -> Result<()> {
        let mut again = false;
        if let Some(routed) = &mut request.routed {
            again = std::mem::replace(&mut routed.sent, true);
            if routed.stale_connection && upstream.version != Version::HTTP_2 {
                // Not kept, so that there is never an old one in the pool of fresh connections.
                upstream.insert_header(CONNECTION, HeaderValue::from_static("close"))?;
            }
        }
        let Some(connection) = &request.connection else {
            return Err(Error::new_in(ErrorType::InternalError)); // request_filter finds it
        };
        // Of the client's version: that of the endpoint stands in the header that goes there.
        let is_http2 = session.req_header().version == Version::HTTP_2;
        let has_underscores = is_http2 || connection.underscores.load(Ordering::Relaxed);
        if has_underscores && connection.terms.screening.underscores == Underscores::Drop {
            drop_underscores(upstream);
        }
        forwarding::to_upstream(upstream, &connection.client)?;
        if let Some(trace) = &request.trace {
            trace.tell(upstream)?;
        }
        if let Some(routed) = &request.routed {
            let route = routed.view.table.route(routed.route);
            rewriting::path(upstream, &route.path)?;
            rewriting::request_headers(upstream, &route.request_headers)?;
            if let Some(mirror) = routed.setup().mirror.as_ref().filter(|_| !again) {
                mirror.copy(&self.worker, routed, upstream);
            }
        }
        Ok(())
    }

    async fn request_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        request: &mut Request,
    ) -> Result<()> {
        if let Some(most) = request.routed.as_ref().and_then(|routed| routed.guard()?.body()) {
            request.body += body.as_ref().map_or(0, |body| body.len() as u64);
            if request.body > most {
                request.reject(Reason::BodyTooLarge);
                return Err(Error::new_down(ErrorType::HTTPStatus(413)));
            }
        }
        // Until now the variant had nothing to answer: waiting begins here.
        if end_of_stream
            && let Some(routed) = &mut request.routed
            && routed.uploading
        {
            routed.uploading = false;
            request.wait(Instant::now());
        }
        Ok(())
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        request: &mut Request,
    ) -> Result<()> {
        let status = response.status;
        if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS {
            return Ok(());
        }
        if status == StatusCode::SWITCHING_PROTOCOLS && !session.is_upgrade_req() {
            // Nobody asked for another protocol: to the client it would be the end of HTTP.
            let mut error = Error::new_up(ErrorType::InvalidHTTPHeader);
            error.set_context("101 to a request that asked for no upgrade");
            return Err(error);
        }
        if !forwarding::ends_plainly(response) {
            let mut error = Error::new_up(ErrorType::InvalidHTTPHeader);
            error.set_context("a transfer coding other than chunked");
            return Err(error);
        }
        let now = Instant::now();
        request.stop_waiting();
        if let Some(routed) = &mut request.routed {
            routed.attempt.header = Some((now, status.as_u16()));
            routed.attempt.grpc = grpc_ending(&response.headers);
            if let Some(hearing) = &routed.setup().hearing {
                hearing.header(routed.variant, response, now);
            }
        }
        if status.is_server_error() || status == StatusCode::SWITCHING_PROTOCOLS {
            // Certain from here on, whatever becomes of the body.
            request.settle(Ending::of_status(status.as_u16()), now, 0);
        }
        if !status.is_server_error() {
            return Ok(());
        }
        recovery::after_status(session, request, status, now)
    }

    fn upstream_response_body_filter(
        &self,
        _session: &mut Session,
        _body: &mut Option<Bytes>,
        end_of_stream: bool,
        request: &mut Request,
    ) -> Result<Option<Duration>> {
        let Some(routed) = &request.routed else { return Ok(None) };
        if end_of_stream || routed.setup().timeouts.total.is_none() {
            return Ok(None);
        }
        let now = Instant::now();
        if routed.time_left(now).is_some_and(|left| left.is_zero()) {
            // The client may be the slow one: the answer counts by its header.
            if let Some((at, status)) = routed.attempt.header {
                request.settle(Ending::of_status(status), at, 0);
            }
            let mut error = Error::new_up(ErrorType::ReadTimedout);
            error.set_retry(false);
            return Err(error);
        }
        Ok(None)
    }

    fn upstream_response_trailer_filter(
        &self,
        _session: &mut Session,
        trailers: &mut HeaderMap,
        request: &mut Request,
    ) -> Result<()> {
        if let Some(routed) = &mut request.routed {
            if let Some(ending) = grpc_ending(trailers) {
                routed.attempt.grpc = Some(ending);
            }
            if let Some(hearing) = &routed.setup().hearing {
                hearing.trailers(routed.variant, trailers, Instant::now());
            }
        }
        Ok(())
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        request: &mut Request,
    ) -> Result<()> {
        forwarding::to_client(response)?;
        if session.req_header().version == Version::HTTP_10
            && response.headers.contains_key(TRANSFER_ENCODING)
        {
            // It knows no chunks: the end of the connection is the end of the answer.
            response.remove_header(&TRANSFER_ENCODING);
            session.set_keepalive(None);
        }
        if response.status == StatusCode::SWITCHING_PROTOCOLS {
            session.set_read_timeout(None); // what follows is no body, and may be silent for long
        }
        if self.worker.is_closing() {
            session.set_keepalive(None);
        }
        let connection = request.connection.as_ref();
        let hsts = connection.and_then(|connection| connection.client.handshake.hsts.as_ref());
        if let Some(hsts) = hsts {
            forwarding::add_hsts(response, hsts)?;
        }
        let Some(routed) = &request.routed else { return Ok(()) };
        if let Some(guard) = routed.guard() {
            guard.expose(response, request)?;
            if let Some(settings) = guard.compression() {
                request.compression = Compression::begin(settings, session.req_header(), response)?;
            }
        }
        let Some(routed) = &request.routed else { return Ok(()) };
        let route = routed.view.table.route(routed.route);
        rewriting::response_headers(response, &route.response_headers)?;
        if let Some(user) = routed.new_user
            && let Some(cookie) = user.set_cookie(routed.secure)
        {
            forwarding::set_cookie(response, cookie)?;
        }
        if routed.service().expose_variant_header {
            forwarding::expose_variant(response, routed.variant)?;
        }
        Ok(())
    }

    fn response_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        request: &mut Request,
    ) -> Result<Option<Duration>> {
        if let Some(compression) = &mut request.compression {
            compression.encode(body, end_of_stream);
        }
        Ok(None)
    }

    fn error_while_proxy(
        &self,
        _peer: &HttpPeer,
        session: &mut Session,
        error: Box<Error>,
        request: &mut Request,
        reused: bool,
    ) -> Box<Error> {
        recovery::after_failure(session, request, error, reused)
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        request: &mut Request,
    ) -> FailToProxy {
        let uploading = request.routed.as_ref().is_some_and(|routed| routed.uploading);
        let noted = request.connection.as_ref().and_then(|connection| connection.noted());
        let status = noted.map(Reason::status).or_else(|| attribution::status(error, uploading));
        let too_slow = (status == Some(408)).then_some(Reason::BodyTimeout);
        if let Some(reason) = noted.or(too_slow).filter(|_| request.rejected.is_none()) {
            request.reject(reason);
        }
        let mut told = 0;
        if let Some(status) = status.filter(|_| !recovery::has_begun(session)) {
            session.set_keepalive(None);
            let guard = request.routed.as_ref().and_then(|routed| routed.guard());
            let fields = guard.map(|guard| guard.told(request)).unwrap_or_default();
            if answer::give_with(session, status, fields).await.is_ok() {
                told = status;
            }
        }
        FailToProxy { error_code: told, can_reuse_downstream: false }
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, request: &mut Request) {
        let now = Instant::now();
        let bytes = session.body_bytes_sent() as u64;
        if error.is_none() {
            let streamed = session.response_written().is_some_and(is_stream);
            request.settle_answered(now, bytes, streamed);
        }
        access::log(session, request, error, now, bytes);
        traces::finish(session, request, error, now);
    }

    /// Failures are counted, shown in the metrics and, if wanted, in the access log; causes are told here alone.
    fn suppress_error_log(&self, _: &Session, request: &Request, error: &Error) -> bool {
        complain(request, error);
        true
    }

    fn suppress_proxy_warn_log(
        &self,
        _: &Session,
        request: &Request,
        error: &Error,
        _: ProxyWarnLogContext,
    ) -> bool {
        complain(request, error); // it is tried again
        true
    }
}

/// Says why an endpoint gave no answer. What it did answer is in the access log.
fn complain(request: &Request, error: &Error) {
    tracing::debug!(target: "serinus::upstream", "{error}");
    let is_an_answer = matches!(error.etype(), ErrorType::HTTPStatus(_));
    let is_its_own = error.esource() == &ErrorSource::Upstream;
    if let Some(routed) = request.routed.as_ref().filter(|_| is_its_own && !is_an_answer)
        && let Some(address) = routed.attempt.address
    {
        routed.setup().pool(routed.variant).complain(address, error, Instant::now());
    }
}

/// Turns a request away.
async fn reject(session: &mut Session, request: &mut Request, reason: Reason) -> Result<bool> {
    request.reject(reason);
    answer::give(session, reason.status()).await?;
    Ok(true)
}

/// How a gRPC call ended, where it says so: after its body, or in the header of an answer without one.
fn grpc_ending(fields: &HeaderMap) -> Option<Ending> {
    const STATUS: HeaderName = HeaderName::from_static("grpc-status");
    fields.get(STATUS).map(|status| Ending::of_grpc(status.as_bytes()))
}

/// Answers that go on for as long as both sides like.
fn is_stream(header: &ResponseHeader) -> bool {
    let kind = header.headers.get(http::header::CONTENT_TYPE).map_or(&b""[..], |v| v.as_bytes());
    kind.starts_with(b"text/event-stream") || kind.starts_with(b"application/grpc")
}

/// Who caused an error that reached nobody's attempt: for the access log.
pub(super) fn is_the_clients(error: &Error) -> bool {
    error.esource() == &ErrorSource::Downstream
}
