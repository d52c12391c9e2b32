//! A client's connection, from its first byte to its last request.

use super::crowd::Crowd;
use super::gateway::Gateway;
use super::intake::{Gate, H2_PREFACE, HeadBounds, Intake};
use super::listener_tls::{ListenerTls, TlsClient};
use super::networks::Networks;
use super::rejection::Reason;
use super::serve::Stage;
use super::worker::Worker;
use super::{access, answer, proxy_header};
use arc_swap::ArcSwap;
use async_trait::async_trait;
use http::header::HeaderValue;
use pingora::apps::{HttpServerApp, ServerApp};
use pingora::protocols::http::ServerSession;
use pingora::protocols::l4::stream::Stream as Cleartext;
use pingora::protocols::{ALPN, Stream};
use pingora::proxy::HttpProxy;
use pingora::server::ShutdownWatch;
use serinus_config::{ListenerSettings, ScreeningSettings, Underscores};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

/// How long a client that was refused may go on sending before its connection is closed: an answer
/// is lost where bytes wait to be read.
const LINGER: Duration = Duration::from_secs(1);
/// ... and how much.
const LINGER_BYTES: usize = 256 * 1024;

/// A handshake that is under way when the listeners close may take as long as this: a client that
/// came in time is served, one that only sits there does not hold up the end.
const HANDSHAKE_LINGER: Duration = Duration::from_secs(1);

/// What a listener asks of its clients.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    /// For the whole header of a request: of the first from the connection on, of the next ones
    /// from their first byte on.
    pub(crate) header_timeout: Duration,
    /// From the end of one answer to the first byte of the next request.
    pub(crate) keepalive_timeout: Duration,
    pub(crate) body_timeout: Duration,
    pub(crate) send_timeout: Duration,
    pub(crate) bounds: HeadBounds,
    pub(crate) screening: ScreeningSettings,
    pub(crate) trusted: Networks,
    pub(crate) proxy_protocol: bool,
    pub(crate) request_id: bool,
    pub(crate) trace_context: bool,
    pub(crate) connections_per_client: Option<u32>,
    /// The port of HTTPS that clients are sent to, where they are not served.
    pub(crate) https_port: Option<u16>,
    /// HTTP/2 without TLS, for clients that begin with it.
    pub(crate) h2c: bool,
}

impl Terms {
    pub(crate) fn new(settings: &ListenerSettings) -> Self {
        let intake = &settings.intake;
        let limits = &intake.limits;
        Terms {
            header_timeout: settings.header_timeout,
            keepalive_timeout: settings.keepalive_timeout,
            body_timeout: limits.body_timeout,
            send_timeout: limits.send_timeout,
            bounds: HeadBounds {
                header: limits.header as usize,
                fields: limits.fields as usize,
                target: limits.target as usize,
                refuse_underscores: intake.screening.underscores == Underscores::Reject,
            },
            screening: intake.screening,
            trusted: Networks::new(&intake.identity.trusted_proxies),
            proxy_protocol: intake.identity.proxy_protocol,
            request_id: intake.identity.request_id,
            trace_context: intake.identity.trace_context,
            connections_per_client: limits.connections_per_client,
            https_port: settings.https_redirect,
            h2c: settings.h2c,
        }
    }
}

#[cfg(test)]
impl Default for Terms {
    fn default() -> Self {
        Terms::new(&ListenerSettings {
            name: String::new(),
            address: std::net::SocketAddr::from(([127, 0, 0, 1], 0)),
            certificates: Vec::new(),
            tls: serinus_config::ListenerTlsSettings::default(),
            acme: Vec::new(),
            https_redirect: None,
            h2c: false,
            header_timeout: Duration::from_secs(10),
            keepalive_timeout: Duration::from_secs(60),
            intake: serinus_config::IntakeSettings::default(),
        })
    }
}

/// What all connections of a listener share; changed by a reload for whoever comes next.
#[derive(Debug)]
pub(crate) struct Limits {
    terms: ArcSwap<Terms>,
    /// Clients that are connected, where their connections are counted.
    pub(crate) crowd: Crowd,
}

impl Limits {
    pub(crate) fn new(settings: &ListenerSettings) -> Self {
        Limits {
            terms: ArcSwap::from_pointee(Terms::new(settings)),
            crowd: Crowd::new(fastrand::u64(..)),
        }
    }

    pub(crate) fn set(&self, settings: &ListenerSettings) {
        self.terms.store(Arc::new(Terms::new(settings)));
    }

    pub(crate) fn terms(&self) -> Arc<Terms> {
        self.terms.load_full()
    }
}

/// Who is at the other end.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) address: Option<IpAddr>,
    /// The address as a header value, shared by all requests of the connection.
    pub(crate) address_text: Option<HeaderValue>,
    pub(crate) tls: bool,
    /// It is believed about whom it speaks for.
    pub(crate) trusted: bool,
    /// What the handshake told of it.
    pub(crate) handshake: TlsClient,
}

impl Client {
    pub(crate) fn new(address: Option<IpAddr>, tls: bool, trusted: &Networks) -> Self {
        // A socket that speaks both families writes IPv4 clients as ::ffff:192.0.2.1.
        let address = address.map(|address| address.to_canonical());
        let text = address.and_then(|address| HeaderValue::try_from(address.to_string()).ok());
        let trusted = address.is_some_and(|address| trusted.holds(address));
        Client { address, address_text: text, tls, trusted, handshake: TlsClient::default() }
    }
}

/// What the requests of a connection share.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) client: Client,
    pub(crate) terms: Arc<Terms>,
    /// The proxy has taken the request: from here on its hooks count and log it.
    pub(crate) taken: AtomicBool,
    /// The current request has names with underscores.
    pub(crate) underscores: AtomicBool,
    /// One more than the reason for which the current request is refused in its middle.
    noted: AtomicU8,
}

impl Connection {
    pub(crate) fn new(client: Client, terms: Arc<Terms>) -> Self {
        Connection {
            client,
            terms,
            taken: AtomicBool::new(false),
            underscores: AtomicBool::new(false),
            noted: AtomicU8::new(0),
        }
    }

    /// The connection of a session.
    pub(crate) fn of(session: &ServerSession) -> Option<Arc<Connection>> {
        let digest = session.digest()?.proxy_digest.as_ref()?;
        digest.user_data.as_ref()?.downcast_ref::<Arc<Connection>>().map(Arc::clone)
    }

    /// Remembers why the body of the current request cannot be read on.
    pub(crate) fn note(&self, reason: Reason) {
        self.noted.store(reason as u8 + 1, Ordering::Relaxed);
    }

    /// Why it could not.
    pub(crate) fn noted(&self) -> Option<Reason> {
        let noted = self.noted.load(Ordering::Relaxed);
        Reason::ALL.get(usize::from(noted.checked_sub(1)?)).copied()
    }
}

/// The application behind one listener on one thread.
pub(crate) struct Front {
    pub(crate) proxy: Arc<HttpProxy<Gateway>>,
    pub(crate) worker: Arc<Worker>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) tls: Option<Arc<ListenerTls>>,
    /// Tells when idle connections are closed.
    pub(crate) stages: watch::Receiver<Stage>,
}

#[async_trait]
impl ServerApp for Front {
    async fn process_new(
        self: &Arc<Self>,
        mut stream: Stream,
        shutdown: &ShutdownWatch,
    ) -> Option<Stream> {
        let _open = self.worker.count_connection();
        let terms = self.limits.terms();
        // What is needed at the beginning only is in boxes: the connection would hold the room for it to its
        // end, and an idle one should cost little.
        if terms.proxy_protocol {
            // Of the proxy in front, which is all that is known yet.
            let front = peer(&stream);
            let read = Box::pin(proxy_header::read(&mut *stream, &terms.trusted));
            match tokio::time::timeout(terms.header_timeout, read).await {
                Ok(Ok(())) => {}
                Ok(Err(proxy_header::Failed::Closed)) => return None,
                Ok(Err(proxy_header::Failed::Refused)) | Err(_) => {
                    access::refused(&self.worker, Reason::ProxyHeader, front, b"");
                    return None;
                }
            }
        }
        if let Some(tls) = &self.tls {
            stream = Box::pin(handshake(tls, stream, &terms, shutdown)).await?;
        }
        let address = peer(&stream);
        let tls = stream.get_ssl_digest();
        let told = tls.as_ref().and_then(|tls| tls.extension.get::<TlsClient>()).cloned();
        let client = Client {
            handshake: told.unwrap_or_default(),
            ..Client::new(address, tls.is_some(), &terms.trusted)
        };
        let seat = match (terms.connections_per_client, client.address) {
            (Some(most), Some(address)) if !client.trusted => {
                match Crowd::enter(&self.limits, address, most) {
                    Some(seat) => Some(seat),
                    None => {
                        access::refused(&self.worker, Reason::Connections, Some(address), b"");
                        return None;
                    }
                }
            }
            _ => None,
        };
        let mut is_http2 = matches!(stream.selected_alpn_proto(), Some(ALPN::H2));
        if terms.h2c && tls.is_none() {
            let mut stages = self.stages.clone();
            is_http2 = tokio::select! {
                begins = timeout(terms.header_timeout, begins_http2(&mut stream)) => begins.ok()??,
                _ = stages.wait_for(|stage| *stage >= Stage::ClosingIdle) => return None,
            };
        }
        let connection = Arc::new(Connection::new(client, terms));
        if is_http2 {
            let header_timeout = connection.terms.header_timeout;
            let client = connection.client.address;
            let mut gate = Gate::open(stream, connection, &self.worker).ok()?;
            let mut stages = self.stages.clone();
            // The library would wait for it as long as the client likes.
            let has_preface = tokio::select! {
                has_preface = timeout(header_timeout, gate.has_preface()) => has_preface,
                _ = stages.wait_for(|stage| *stage >= Stage::ClosingIdle) => return None,
            };
            if has_preface != Ok(true) {
                if !gate.received().is_empty() {
                    access::refused(&self.worker, Reason::Http2, client, b"");
                }
                return None;
            }
            return self.proxy.process_new(Box::new(gate), shutdown).await;
        }
        if let Ok(gate) = Gate::new(stream, Arc::clone(&connection)) {
            self.serve_http1(Box::new(gate), &connection, shutdown).await;
        }
        drop(seat);
        None
    }
}

/// Whether a client begins with HTTP/2, with nothing taken away from its connection; none if it is gone.
async fn begins_http2(stream: &mut Stream) -> Option<bool> {
    // In three looks, because one for all bytes would wait for ever for those that a short HTTP/1
    // request does not have: "P" may be POST, "PRI" is no method that there is.
    let mut preface = [0; H2_PREFACE.len()];
    for length in [1, 3, H2_PREFACE.len()] {
        let looked_at = preface.get_mut(..length)?;
        if !stream.try_peek(looked_at).await.ok()? || !H2_PREFACE.starts_with(looked_at) {
            return Some(false);
        }
    }
    Some(true)
}

/// The address at the other end.
fn peer(stream: &Stream) -> Option<IpAddr> {
    let digest = stream.get_socket_digest()?;
    Some(digest.peer_addr()?.as_inet()?.ip())
}

/// The connection as it is after the handshake; none if it failed.
async fn handshake(
    tls: &ListenerTls,
    stream: Stream,
    terms: &Terms,
    shutdown: &ShutdownWatch,
) -> Option<Stream> {
    let client = peer(&stream).map(|address| address.to_string()).unwrap_or_default();
    let stream = stream.into_any().downcast::<Cleartext>().ok()?;
    let mut shutdown = shutdown.clone();
    let handshake = tokio::select! {
        handshake = timeout(terms.header_timeout, tls.accept(stream)) => handshake,
        () = async {
            // An error means that the sender is gone, which is the end as well.
            let _ = shutdown.wait_for(|shutdown| *shutdown).await;
            sleep(HANDSHAKE_LINGER).await;
        } => return None,
    };
    match handshake {
        // The handshake was all that a CA wanted to see; it closes the connection.
        Ok(Ok(stream)) if matches!(stream.selected_alpn_proto(), Some(ALPN::Custom(_))) => None,
        Ok(Ok(stream)) => Some(stream),
        Ok(Err(error)) => {
            tracing::debug!(target: "serinus::tls", client, "a client's handshake failed: {error}");
            None
        }
        Err(_) => {
            tracing::debug!(target: "serinus::tls", client, "a client's handshake took too long");
            None
        }
    }
}

impl Front {
    /// Pingora's own loop, but every header is read and checked before Pingora sees it, within a
    /// deadline for the whole of it.
    async fn serve_http1(
        &self,
        mut gate: Box<Gate>,
        connection: &Arc<Connection>,
        shutdown: &ShutdownWatch,
    ) {
        let terms = &*connection.terms;
        let mut stages = self.stages.clone();
        let deadline = tokio::time::sleep(terms.header_timeout);
        tokio::pin!(deadline);
        loop {
            let begins = tokio::select! {
                biased;
                begins = gate.begins() => begins,
                () = &mut deadline => false,
                _ = stages.wait_for(|stage| *stage >= Stage::ClosingIdle) => false,
            };
            if !begins {
                return; // closes the connection
            }
            let intake = match gate.parse(&terms.bounds) {
                Some(intake) => intake,
                None => {
                    if connection.taken.load(Ordering::Relaxed) {
                        deadline.as_mut().reset(Instant::now() + terms.header_timeout);
                    }
                    tokio::select! {
                        biased;
                        intake = gate.head(&terms.bounds) => intake,
                        () = &mut deadline => Intake::Refused(Reason::HeaderTimeout),
                    }
                }
            };
            let head = match intake {
                Intake::Head(head) => head,
                // In a box as well: most connections never come here.
                Intake::Refused(reason) => {
                    return Box::pin(self.refuse(gate, connection, reason)).await;
                }
                Intake::Closed => return,
            };
            connection.underscores.store(head.underscores, Ordering::Relaxed);
            connection.taken.store(false, Ordering::Relaxed);
            let mut session = ServerSession::new_http1(gate);
            // The whole header is there; between two requests the timeouts are ours.
            session.set_keepalive(Some(0));
            let reusable = self.proxy.process_new_http(session, shutdown).await;
            if !connection.taken.load(Ordering::Relaxed) {
                let address = connection.client.address;
                access::refused(&self.worker, Reason::Malformed, address, b"");
            }
            let Some((stream, _)) = reusable.map(|reusable| reusable.consume()) else { return };
            let Ok(same) = stream.into_any().downcast::<Gate>() else { return };
            gate = same;
            if !gate.is_between() {
                return;
            }
            gate.next();
            deadline.as_mut().reset(Instant::now() + terms.keepalive_timeout);
        }
    }

    /// Answers a request that goes no further, and closes the connection.
    async fn refuse(&self, mut gate: Box<Gate>, connection: &Connection, reason: Reason) {
        access::refused(&self.worker, reason, connection.client.address, gate.received());
        let answer = answer::bytes(reason.status(), gate.received());
        let told = async {
            gate.write_all(&answer).await?;
            gate.flush().await?;
            AsyncWriteExt::shutdown(&mut gate).await
        };
        let terms = &connection.terms;
        let told = tokio::time::timeout(terms.send_timeout.min(terms.header_timeout), told).await;
        if matches!(told, Ok(Ok(()))) {
            // Whether it goes on sending or closes makes no difference here.
            let _ = tokio::time::timeout(LINGER, gate.discard(LINGER_BYTES)).await;
        }
    }
}
