//! The way of a request: Pingora calls these hooks in the order in which they are written here.

use super::admission::admit;
use super::connection::{Client, Connection};
use super::listener_tls::TlsClient;
use super::recorder::Ending;
use super::request::{Request, Routed, is_idempotent};
use super::screening::{Refusal, screen, to_origin_form};
use super::worker::Worker;
use super::{access, answer, attribution, forwarding};
use async_trait::async_trait;
use attribution::Fault;
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderName, HeaderValue, TRANSFER_ENCODING};
use http::{HeaderMap, StatusCode, Version};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource, ErrorType, Result, RetryType};
use serinus_routing::Variant;
use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Attempts of one request at most: two endpoints of the canary, two of stable.
pub(super) const ATTEMPTS: usize = 4;
/// A client that uploads more slowly than this, in bytes per second on the whole, is not waited for.
const SLOWEST_UPLOAD: u64 = 8 * 1024;
/// How long an upload of unknown length may take.
const OPEN_UPLOAD: Duration = Duration::from_secs(600);

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

    fn on_connection_reuse(
        &self,
        _session: &mut Session,
        request: &mut Request,
        connection: Box<dyn Any + Send + Sync>,
    ) {
        if let Ok(connection) = connection.downcast::<Arc<Connection>>() {
            connection.header_read.store(true, Ordering::Relaxed);
            request.connection = Some(*connection);
        }
    }

    async fn request_filter(&self, session: &mut Session, request: &mut Request) -> Result<bool> {
        let now = Instant::now();
        if let Some(connection) = &request.connection
            && session.get_keepalive().is_some()
        {
            // Pingora's default is for ever; in seconds, where 0 means that too.
            session.set_keepalive(Some(connection.limits.keepalive().as_secs().max(1)));
        }
        let refused = match screen(session) {
            Ok(()) => to_origin_form(session.req_header_mut()).err().map(|_| Refusal(400)),
            Err(refusal) => Some(refusal),
        };
        if let Some(Refusal(status)) = refused {
            session.set_keepalive(None);
            answer::give(session, status).await?;
            return Ok(true);
        }
        let limits = request.connection.as_ref().map(|connection| &connection.limits);
        if let Some(port) = limits.and_then(|limits| limits.https_port()) {
            answer::send_to_https(session, port).await?;
            return Ok(true);
        }
        let view = self.worker.view();
        request.routed = admit(view, session, request.connection.as_deref(), now);
        if request.routed.is_none() {
            answer::give(session, 404).await?;
            return Ok(true);
        }
        Ok(false)
    }

    async fn upstream_peer(
        &self,
        session: &mut Session,
        request: &mut Request,
    ) -> Result<Box<HttpPeer>> {
        loop {
            let Some(routed) = &mut request.routed else {
                return Err(Error::new_in(ErrorType::InternalError)); // request_filter routes or ends
            };
            let setup = routed.setup();
            let pool = Arc::clone(setup.pool(routed.variant));
            let timeouts = setup.timeouts;
            let Some(address) = pool.next(self.worker.shard, routed.attempt.address) else {
                // No name of this variant could ever be resolved.
                let now = Instant::now();
                let shielded = routed.may_be_shielded(&session.req_header().method, true)
                    && routed.spend_retry(now);
                request.settle(Ending::ConnectError, now, 0);
                if shielded {
                    shield(request, now);
                    continue;
                }
                let mut error = Error::new_up(ErrorType::HTTPStatus(503));
                error.set_retry(false);
                return Err(error);
            };
            routed.attempt.address = Some(address);
            let mut peer = Box::new(pool.upstream.peer(address));
            // A stale connection is not tried twice: the retry makes a new one, in a pool of its own.
            peer.group_key = pool.key << 1 | u64::from(routed.stale_connection);
            peer.options.connection_timeout = Some(timeouts.connect);
            peer.options.total_connection_timeout = Some(timeouts.connect);
            peer.options.read_timeout = Some(timeouts.read + upload_allowance(session, routed));
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
        mut error: Box<Error>,
    ) -> Box<Error> {
        error.set_retry(false);
        let now = Instant::now();
        let repeatable = !session.as_ref().retry_buffer_truncated();
        let Fault::Variant(ending) = attribution::fault(&error, false) else { return error };
        request.settle(ending, now, 0);
        let Some(routed) = &mut request.routed else { return error };
        routed.connect_failures += 1;
        let method = &session.req_header().method;
        let may_repeat = !routed.sent || (repeatable && is_idempotent(method));
        let others = routed.setup().pool(routed.variant).has_others();
        if may_repeat && others && routed.connect_failures == 1 {
            let variant = routed.variant;
            request.try_again(variant, now);
            error.set_retry(true);
        } else if routed.may_be_shielded(method, repeatable) && routed.spend_retry(now) {
            shield(request, now);
            error.set_retry(true);
        }
        error
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        upstream: &mut RequestHeader,
        request: &mut Request,
    ) -> Result<()> {
        if let Some(routed) = &mut request.routed {
            routed.sent = true;
            if routed.stale_connection && upstream.version != Version::HTTP_2 {
                // Not kept, so that there is never an old one in the pool of fresh connections.
                upstream.insert_header(CONNECTION, HeaderValue::from_static("close"))?;
            }
        }
        match &request.connection {
            Some(connection) => forwarding::to_upstream(upstream, &connection.client),
            None => forwarding::to_upstream(upstream, &Client::of_session(session)),
        }
    }

    async fn request_body_filter(
        &self,
        _session: &mut Session,
        _body: &mut Option<Bytes>,
        end_of_stream: bool,
        request: &mut Request,
    ) -> Result<()> {
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
        let now = Instant::now();
        request.stop_waiting();
        if let Some(routed) = &mut request.routed {
            routed.attempt.header = Some((now, status.as_u16()));
            routed.attempt.grpc = grpc_ending(&response.headers);
        }
        if status.is_server_error() || status == StatusCode::SWITCHING_PROTOCOLS {
            // Certain from here on, whatever becomes of the body.
            request.settle(Ending::of_status(status.as_u16()), now, 0);
        }
        let repeatable = !session.as_ref().retry_buffer_truncated();
        if status.is_server_error()
            && let Some(routed) = &request.routed
            && routed.may_be_shielded(&session.req_header().method, repeatable)
            && routed.spend_retry(now)
        {
            shield(request, now);
            let mut error = Error::new_up(ErrorType::HTTPStatus(status.as_u16()));
            error.set_retry(true);
            return Err(error);
        }
        Ok(())
    }

    fn upstream_response_trailer_filter(
        &self,
        _session: &mut Session,
        trailers: &mut HeaderMap,
        request: &mut Request,
    ) -> Result<()> {
        if let Some(routed) = &mut request.routed
            && let Some(ending) = grpc_ending(trailers)
        {
            routed.attempt.grpc = Some(ending);
        }
        Ok(())
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        request: &mut Request,
    ) -> Result<()> {
        forwarding::to_client(response);
        if session.req_header().version == Version::HTTP_10
            && response.headers.contains_key(TRANSFER_ENCODING)
        {
            // It knows no chunks: the end of the connection is the end of the answer.
            response.remove_header(&TRANSFER_ENCODING);
            session.set_keepalive(None);
        }
        if self.worker.is_closing() {
            session.set_keepalive(None);
        }
        let hsts = match &request.connection {
            Some(connection) => connection.client.handshake.hsts.as_ref(),
            None => {
                let tls = session.digest().and_then(|digest| digest.ssl_digest.as_ref());
                tls.and_then(|tls| tls.extension.get::<TlsClient>()?.hsts.as_ref())
            }
        };
        if let Some(hsts) = hsts {
            forwarding::add_hsts(response, hsts)?;
        }
        let Some(routed) = &request.routed else { return Ok(()) };
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

    fn error_while_proxy(
        &self,
        _peer: &HttpPeer,
        session: &mut Session,
        mut error: Box<Error>,
        request: &mut Request,
        reused: bool,
    ) -> Box<Error> {
        let for_reused = matches!(error.retry, RetryType::ReusedOnly);
        let shielding = matches!(error.retry, RetryType::Decided(true));
        error.set_retry(shielding); // decided by upstream_response_filter
        if shielding {
            return error;
        }
        let now = Instant::now();
        let begun = has_begun(session);
        let repeatable = !begun && !session.as_ref().retry_buffer_truncated();
        let Some(routed) = &mut request.routed else { return error };
        let Fault::Variant(ending) = attribution::fault(&error, routed.uploading) else {
            routed.attempt.settled = true;
            return error;
        };
        let method = &session.req_header().method;
        let stale = reused && !begun && (for_reused || error.etype() == &ErrorType::WriteError);
        if stale && !routed.stale_connection && repeatable && is_idempotent(method) {
            // The upstream closed a connection that it had kept: nobody's fault, once.
            routed.stale_connection = true;
            let variant = routed.variant;
            request.try_again(variant, now);
            error.set_retry(true);
            return error;
        }
        let shielded =
            repeatable && routed.may_be_shielded(method, repeatable) && routed.spend_retry(now);
        request.settle(ending, now, 0);
        if shielded {
            shield(request, now);
            error.set_retry(true);
        }
        error
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        request: &mut Request,
    ) -> FailToProxy {
        let uploading = request.routed.as_ref().is_some_and(|routed| routed.uploading);
        let status = attribution::status(error, uploading);
        let mut told = 0;
        if let Some(status) = status.filter(|_| !has_begun(session)) {
            session.set_keepalive(None);
            if answer::give(session, status).await.is_ok() {
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
    }

    /// Failures are counted, shown in the metrics and, if wanted, in the access log.
    fn suppress_error_log(&self, _: &Session, _: &Request, error: &Error) -> bool {
        tracing::debug!(target: "serinus::upstream", "{error}");
        true
    }

    fn suppress_proxy_warn_log(
        &self,
        _: &Session,
        _: &Request,
        error: &Error,
        _: ProxyWarnLogContext,
    ) -> bool {
        tracing::debug!(target: "serinus::upstream", "tried again: {error}");
        true
    }
}

/// Lets stable answer for the canary, whose failure has been counted.
fn shield(request: &mut Request, now: Instant) {
    if let Some(routed) = &mut request.routed {
        routed.recorder_of(Variant::Canary).shielded();
        routed.shielded = true;
        routed.connect_failures = 0;
        routed.stale_connection = false;
    }
    request.try_again(Variant::Stable, now);
}

/// Whether the client has seen any of the final answer.
fn has_begun(session: &Session) -> bool {
    session.response_written().is_some_and(|header| {
        !header.status.is_informational() || header.status == StatusCode::SWITCHING_PROTOCOLS
    })
}

/// Pingora's read timeout starts with the request's header, so the time that an upload may take
/// comes on top of it: a slow client is not a slow variant.
fn upload_allowance(session: &Session, routed: &Routed) -> Duration {
    if !routed.has_body {
        return Duration::ZERO;
    }
    let length = session.req_header().headers.get(CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.trim().parse::<u64>().ok());
    length.map_or(OPEN_UPLOAD, |bytes| Duration::from_secs(bytes / SLOWEST_UPLOAD))
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
