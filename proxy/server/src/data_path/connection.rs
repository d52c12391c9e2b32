//! A client's connection, from the handshake to its last request.

use super::gateway::Gateway;
use super::worker::Worker;
use async_trait::async_trait;
use http::header::HeaderValue;
use pingora::apps::{HttpServerApp, ServerApp};
use pingora::protocols::http::ServerSession;
use pingora::protocols::{ALPN, Stream};
use pingora::proxy::HttpProxy;
use pingora::server::ShutdownWatch;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// Time limits of a listener's connections; changed by a reload for whoever comes next.
#[derive(Debug)]
pub(crate) struct Limits {
    header_millis: AtomicU64,
    keepalive_millis: AtomicU64,
}

impl Limits {
    pub(crate) fn new(header: Duration, keepalive: Duration) -> Self {
        let limits = Limits { header_millis: 0.into(), keepalive_millis: 0.into() };
        limits.set(header, keepalive);
        limits
    }

    pub(crate) fn set(&self, header: Duration, keepalive: Duration) {
        self.header_millis.store(header.as_millis() as u64, Ordering::Relaxed);
        self.keepalive_millis.store(keepalive.as_millis() as u64, Ordering::Relaxed);
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
}

impl Client {
    pub(crate) fn new(address: Option<IpAddr>, tls: bool) -> Self {
        // A socket that speaks both families writes IPv4 clients as ::ffff:192.0.2.1.
        let address = address.map(|address| address.to_canonical());
        let text = address.and_then(|address| HeaderValue::try_from(address.to_string()).ok());
        Client { address, address_text: text, tls }
    }

    /// The client of a session that came without its connection (HTTP/2).
    pub(crate) fn of_session(session: &ServerSession) -> Self {
        let address = session.client_addr().and_then(|address| address.as_inet());
        let tls = session.digest().is_some_and(|digest| digest.ssl_digest.is_some());
        Client::new(address.map(|address| address.ip()), tls)
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
}

#[async_trait]
impl ServerApp for Front {
    async fn process_new(
        self: &Arc<Self>,
        stream: Stream,
        shutdown: &ShutdownWatch,
    ) -> Option<Stream> {
        let _open = self.worker.count_connection();
        if matches!(stream.selected_alpn_proto(), Some(ALPN::H2)) {
            return self.proxy.process_new(stream, shutdown).await;
        }
        self.serve_http1(stream, shutdown).await;
        None
    }
}

impl Front {
    /// Pingora's own loop, with a deadline for each whole header: its per-read timeout lets a
    /// client that sends a byte now and then live for ever.
    async fn serve_http1(&self, stream: Stream, shutdown: &ShutdownWatch) {
        let address = stream.get_socket_digest().and_then(|digest| {
            digest.peer_addr().and_then(|address| address.as_inet()).map(|address| address.ip())
        });
        let connection = Arc::new(Connection {
            client: Client::new(address, stream.get_ssl_digest().is_some()),
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
