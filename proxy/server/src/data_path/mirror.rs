//! Copies of stable's requests for the canary: the load that it is judged under does not leave with
//! its users, so that a fault which needs load is still there for the probes to see.
//!
//! Nobody waits for a copy: its answer is thrown away, counted for nobody and noted at no endpoint.
//! Copied is what asks for something and changes nothing (GET, HEAD and OPTIONS without a body), once
//! per request, and only so many at a time: where the canary is slow, copies are left out.

use super::request::Routed;
use super::worker::Worker;
use http::header::{HOST, HeaderName, HeaderValue, UPGRADE};
use http::uri::Scheme;
use http::{Method, Uri, Version};
use pingora::connectors::http::Connector;
use pingora::http::RequestHeader;
use serinus_routing::{Variant, Weight};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// Copies of a service that wait for their answer at the same time.
const MOST_AT_ONCE: usize = 64;
/// Longest answer that is read to keep its connection; a longer one is hung up on.
const LONGEST: usize = 1 << 20;
/// How a copy is known; what clients send of it is taken off with the other marks.
pub(super) const MARK: HeaderName = HeaderName::from_static("x-serinus-mirror");

/// What is copied of one service's requests.
#[derive(Debug)]
pub(crate) struct Mirror {
    share: Weight,
    state: Arc<State>,
}

/// The same over reloads.
#[derive(Debug, Default)]
struct State {
    /// The canary is being judged.
    open: AtomicBool,
    under_way: AtomicUsize,
    answered: AtomicU64,
    left_out: AtomicU64,
}

impl Mirror {
    /// None where nothing is to be copied.
    pub(crate) fn new(share: Weight, before: Option<&Mirror>) -> Option<Mirror> {
        let state = || before.map_or_else(Arc::default, |before| Arc::clone(&before.state));
        (!share.is_zero()).then(|| Mirror { share, state: state() })
    }

    /// Copies from now on, or no more.
    pub(crate) fn open(&self, open: bool) {
        self.state.open.store(open, Ordering::Relaxed);
    }

    /// Copies that were answered, and those that were left out or failed.
    pub(crate) fn read(&self) -> (u64, u64) {
        let State { answered, left_out, .. } = &*self.state;
        (answered.load(Ordering::Relaxed), left_out.load(Ordering::Relaxed))
    }

    /// Sends a copy of a request that is on its way to stable for the first time, if it is its turn.
    pub(crate) fn copy(&self, worker: &Arc<Worker>, routed: &Routed, header: &RequestHeader) {
        if !self.state.open.load(Ordering::Relaxed)
            || routed.variant != Variant::Stable
            || routed.has_body
            || !matches!(header.method, Method::GET | Method::HEAD | Method::OPTIONS)
            || header.headers.contains_key(UPGRADE)
            || fastrand::u16(..10_000) >= self.share.basis_points()
        {
            return;
        }
        let Some(ticket) = Ticket::take(&self.state) else {
            self.state.left_out.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let (worker, view) = (Arc::clone(worker), Arc::clone(&routed.view));
        let (service, header) = (view.table.route(routed.route).service, Box::new(header.clone()));
        tokio::spawn(async move {
            let setup = &view.setup.services[service.0 as usize];
            let most = setup.timeouts.connect + setup.timeouts.read;
            let sent = send(&worker, setup, header);
            let answered = matches!(tokio::time::timeout(most, sent).await, Ok(Some(())));
            let State { answered: yes, left_out: no, .. } = &*ticket.0;
            (if answered { yes } else { no }).fetch_add(1, Ordering::Relaxed);
        });
    }
}

/// Sends it and reads the answer; `None` if there is none.
async fn send(
    worker: &Worker,
    setup: &super::view::ServiceSetup,
    mut header: Box<RequestHeader>,
) -> Option<()> {
    let pool = setup.canary.as_ref()?;
    // No key: it need not be the endpoint that would have got the user.
    let chosen = pool.at_once(worker.shard)?;
    let mut peer = pool.upstream.peer(chosen.address);
    peer.group_key = pool.key;
    peer.options.connection_timeout = Some(setup.timeouts.connect);
    peer.options.total_connection_timeout = Some(setup.timeouts.connect);
    peer.options.read_timeout = Some(setup.timeouts.read);
    peer.options.write_timeout = Some(setup.timeouts.write);
    peer.options.idle_timeout = Some(setup.timeouts.idle);
    header.insert_header(MARK, HeaderValue::from_static("1")).ok()?;
    address(&mut header, pool.upstream.is_http2(), peer.sni.is_empty())?;
    let client = worker.mirror_client.connector();
    let (mut session, _) = client.get_http_session(&peer).await.ok()?;
    session.set_read_timeout(peer.options.read_timeout);
    session.set_write_timeout(peer.options.write_timeout);
    session.write_request_header(header).await.ok()?;
    session.finish_request_body().await.ok()?;
    session.read_response_header().await.ok()?;
    while session.response_header()?.status.is_informational() {
        session.read_response_header().await.ok()?;
    }
    let mut length = 0;
    while let Some(piece) = session.read_response_body().await.ok()? {
        length += piece.len();
        if length > LONGEST {
            session.shutdown().await;
            return Some(());
        }
    }
    client.release_http_session(session, &peer, Some(setup.timeouts.idle)).await;
    Some(())
}

/// Says whose page is asked for in the way of the canary's version of HTTP: stable may speak another.
fn address(header: &mut RequestHeader, http2: bool, plain: bool) -> Option<()> {
    let host = match header.headers.get(HOST) {
        Some(host) => host.clone(),
        None => HeaderValue::from_str(header.uri.authority()?.as_str()).ok()?,
    };
    let path = header.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    if http2 {
        header.remove_header(&HOST);
        let scheme = if plain { Scheme::HTTP } else { Scheme::HTTPS };
        let uri = Uri::builder().scheme(scheme).authority(host.as_bytes()).path_and_query(path);
        header.set_uri(uri.build().ok()?);
        header.set_version(Version::HTTP_2);
    } else if header.version == Version::HTTP_2 {
        header.insert_header(HOST, host).ok()?;
        header.set_uri(path.parse().ok()?);
        header.set_version(Version::HTTP_11);
    }
    Some(())
}

/// One copy on its way.
struct Ticket(Arc<State>);

impl Ticket {
    fn take(state: &Arc<State>) -> Option<Ticket> {
        let under_way = state.under_way.fetch_add(1, Ordering::AcqRel);
        let ticket = Ticket(Arc::clone(state));
        (under_way < MOST_AT_ONCE).then_some(ticket)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The connections of one thread for copies, apart from those for users; made for the first copy.
#[derive(Default)]
pub(crate) struct MirrorClient(OnceLock<Connector>);

impl MirrorClient {
    fn connector(&self) -> &Connector {
        self.0.get_or_init(|| Connector::new(None))
    }
}

impl fmt::Debug for MirrorClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MirrorClient").finish_non_exhaustive()
    }
}
