//! A client's connection, from the handshake to its last request.

use super::gateway::Gateway;
use super::listener_tls::{ListenerTls, TlsClient};
use super::worker::Worker;
use async_trait::async_trait;
use http::header::HeaderValue;
use pingora::apps::{HttpServerApp, ServerApp};
use pingora::protocols::http::ServerSession;
use pingora::protocols::l4::stream::Stream as Cleartext;
use pingora::protocols::{ALPN, Stream};
use pingora::proxy::HttpProxy;
use pingora::server::ShutdownWatch;
use serinus_config::ListenerSettings;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// What a client that speaks HTTP/2 says first (RFC 9113, 3.4).
const H2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// A handshake that is under way when the listeners close may take as long as this: a client that
/// came in time is served, one that only sits there does not hold up the end.
const HANDSHAKE_LINGER: Duration = Duration::from_secs(1);

/// What a listener asks of its connections; changed by a reload for whoever comes next.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    header_millis: AtomicU64,
    keepalive_millis: AtomicU64,
    /// The port of HTTPS that clients are sent to; 0 where they are served.
    https_port: AtomicU16,
    h2c: AtomicBool,
}

impl Limits {
    pub(crate) fn new(settings: &ListenerSettings) -> Self {
        let limits = Limits::default();
        limits.set(settings);
        limits
    }

    pub(crate) fn set(&self, settings: &ListenerSettings) {
        let millis = |duration: Duration| duration.as_millis() as u64;
        self.header_millis.store(millis(settings.header_timeout), Ordering::Relaxed);
        self.keepalive_millis.store(millis(settings.keepalive_timeout), Ordering::Relaxed);
        self.https_port.store(settings.https_redirect.unwrap_or_default(), Ordering::Relaxed);
        self.h2c.store(settings.h2c, Ordering::Relaxed);
    }

    /// The port of HTTPS that clients are sent to, if they are.
    pub(crate) fn https_port(&self) -> Option<u16> {
        Some(self.https_port.load(Ordering::Relaxed)).filter(|port| *port != 0)
    }

    /// For the first request of a connection: from its start to the end of the header.
    fn header(&self) -> Duration {
        Duration::from_millis(self.header_millis.load(Ordering::Relaxed))
    }

    /// From the end of one answer to the end of the next request's header.
    pub(crate) fn keepalive(&self) -> Duration {
        Duration::from_millis(self.keepalive_millis.load(Ordering::Relaxed))
    }
}

/// Who is at the other end.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) address: Option<IpAddr>,
    /// The address as a header value, shared by all requests of the connection.
    pub(crate) address_text: Option<HeaderValue>,
    pub(crate) tls: bool,
    /// What the handshake told of it.
    pub(crate) handshake: TlsClient,
}

impl Client {
    pub(crate) fn new(address: Option<IpAddr>, tls: bool, handshake: TlsClient) -> Self {
        // A socket that speaks both families writes IPv4 clients as ::ffff:192.0.2.1.
        let address = address.map(|address| address.to_canonical());
        let text = address.and_then(|address| HeaderValue::try_from(address.to_string()).ok());
        Client { address, address_text: text, tls, handshake }
    }

    /// The client of a session that came without its connection (HTTP/2).
    pub(crate) fn of_session(session: &ServerSession) -> Self {
        let address = session.client_addr().and_then(|address| address.as_inet());
        let tls = session.digest().and_then(|digest| digest.ssl_digest.as_ref());
        let handshake = tls.and_then(|tls| tls.extension.get::<TlsClient>()).cloned();
        Client::new(
            address.map(|address| address.ip()),
            tls.is_some(),
            handshake.unwrap_or_default(),
        )
    }
}

/// What the requests of an HTTP/1 connection share with the loop that drives it.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) client: Client,
    pub(crate) limits: Arc<Limits>,
    /// The header of the current request is complete: its deadline no longer counts.
    pub(crate) header_read: AtomicBool,
}

/// The application behind one listener on one thread.
pub(crate) struct Front {
    pub(crate) proxy: Arc<HttpProxy<Gateway>>,
    pub(crate) worker: Arc<Worker>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) tls: Option<Arc<ListenerTls>>,
}

#[async_trait]
impl ServerApp for Front {
    async fn process_new(
        self: &Arc<Self>,
        stream: Stream,
        shutdown: &ShutdownWatch,
    ) -> Option<Stream> {
        let _open = self.worker.count_connection();
        let stream = self.handshake(stream, shutdown).await?;
        if matches!(stream.selected_alpn_proto(), Some(ALPN::H2)) {
            return self.proxy.process_new(stream, shutdown).await;
        }
        let stream = match self.limits.h2c.load(Ordering::Relaxed) {
            true => {
                let peeked = begins_http2(stream);
                let (stream, is_http2) = timeout(self.limits.header(), peeked).await.ok()??;
                if is_http2 {
                    return self.proxy.process_new(stream, shutdown).await;
                }
                stream
            }
            false => stream,
        };
        self.serve_http1(stream, shutdown).await;
        None
    }
}

/// Whether a client begins with HTTP/2, and its connection with nothing taken away; none if it is gone.
async fn begins_http2(mut stream: Stream) -> Option<(Stream, bool)> {
    // In three looks, because one for all bytes would wait for ever for those that a short HTTP/1
    // request does not have: "P" may be POST, "PRI" is no method that there is.
    let mut preface = [0; H2_PREFACE.len()];
    for length in [1, 3, H2_PREFACE.len()] {
        let looked_at = preface.get_mut(..length)?;
        if !stream.try_peek(looked_at).await.ok()? || !H2_PREFACE.starts_with(looked_at) {
            return Some((stream, false));
        }
    }
    Some((stream, true))
}

impl Front {
    /// The connection as it is after the handshake, where there must be one; none if it failed.
    async fn handshake(&self, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let Some(tls) = &self.tls else { return Some(stream) };
        let stream = stream.into_any().downcast::<Cleartext>().ok()?;
        let mut shutdown = shutdown.clone();
        let handshake = tokio::select! {
            handshake = timeout(self.limits.header(), tls.accept(stream)) => handshake,
            () = async {
                // An error means that the sender is gone, which is the end as well.
                let _ = shutdown.wait_for(|shutdown| *shutdown).await;
                sleep(HANDSHAKE_LINGER).await;
            } => return None,
        };
        match handshake {
            Ok(Ok(stream)) => Some(stream),
            Ok(Err(error)) => {
                tracing::debug!(target: "serinus::tls", "a client's handshake failed: {error}");
                None
            }
            Err(_) => {
                tracing::debug!(target: "serinus::tls", "a client's handshake took too long");
                None
            }
        }
    }

    /// Pingora's own loop, with a deadline for each whole header: its per-read timeout lets a
    /// client that sends a byte now and then live for ever.
    async fn serve_http1(&self, stream: Stream, shutdown: &ShutdownWatch) {
        let address = stream.get_socket_digest().and_then(|digest| {
            digest.peer_addr().and_then(|address| address.as_inet()).map(|address| address.ip())
        });
        let tls = stream.get_ssl_digest();
        let handshake = tls.as_ref().and_then(|tls| tls.extension.get::<TlsClient>()).cloned();
        let connection = Arc::new(Connection {
            client: Client::new(address, tls.is_some(), handshake.unwrap_or_default()),
            limits: Arc::clone(&self.limits),
            header_read: AtomicBool::new(false),
        });
        let deadline = tokio::time::sleep(self.limits.header());
        tokio::pin!(deadline);
        let mut session = ServerSession::new_http1(stream);
        // Without it Pingora aborts a request whose client has already sent the next one.
        session.set_pipelining_enabled(true);
        loop {
            // "For ever" to Pingora: the deadline is the timeout.
            session.set_keepalive(Some(0));
            session.set_connection_user_context(Some(Box::new(Arc::clone(&connection))));
            connection.header_read.store(false, Ordering::Relaxed);
            let mut exchange = self.proxy.process_new_http(session, shutdown);
            let reusable = tokio::select! {
                biased;
                reusable = &mut exchange => reusable,
                () = &mut deadline => {
                    if !connection.header_read.load(Ordering::Relaxed) {
                        return; // closes the connection
                    }
                    exchange.await
                }
            };
            let Some((stream, settings)) = reusable.map(|reusable| reusable.consume()) else {
                return;
            };
            session = ServerSession::new_http1(stream);
            if let Some(settings) = settings {
                settings.apply_to_session(&mut session);
            }
            deadline.as_mut().reset(Instant::now() + self.limits.keepalive());
        }
    }
}
