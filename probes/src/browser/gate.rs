//! What stands between the browser of a run and the one endpoint that the run is for: an HTTP proxy on the
//! loopback interface that lives as long as the run.
//!
//! Every request that the browser makes, whatever script, frame or worker of the page it comes from, comes
//! through here, gets the probe's marks, and goes to the endpoint as users' requests do. Other sites are
//! refused: a run never leaves its own. For pages over HTTPS the gate shows a certificate of its own making,
//! which that browser alone is told to take; the endpoint's is checked as for any probe.

mod way;

pub(super) use way::Seen;

use crate::expect::Failure;
use crate::run::RunContext;
use crate::target::Target;
use bytes::Bytes;
use http::header::{CONNECTION, HeaderValue, UPGRADE};
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::net::TcpListener;
use tokio::sync::Mutex as AsyncMutex;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use way::{Link, Way, broken};

/// The most that a page may send in one request, in bytes.
const LARGEST_BODY: usize = 16 << 20;

type Tunnels = Arc<Mutex<JoinSet<()>>>;
type Body = BoxBody<Bytes, hyper::Error>;

pub(super) struct Gate {
    address: SocketAddr,
    way: Arc<Way>,
    /// What goes on inside of tunnels: it outlives the connection that asked for one, not the gate.
    tunnels: Tunnels,
    /// Accepts, and serves what it has accepted; dropped with the gate.
    _running: JoinSet<()>,
}

impl Gate {
    pub(super) async fn open(
        host: &str,
        target: &Target,
        probe: &str,
        context: &RunContext,
    ) -> io::Result<Gate> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let way = Arc::new(Way {
            host: host.to_owned(),
            target: target.clone(),
            probe: probe.to_owned(),
            run: context.run.clone(),
            trace: fastrand::u128(1..),
            signer: context.signer.clone(),
            seen: Mutex::default(),
        });
        let mut running = JoinSet::new();
        let tunnels = Tunnels::default();
        running.spawn(accept(listener, way.clone(), tunnels.clone()));
        Ok(Gate { address, way, tunnels, _running: running })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn seen(&self) -> Seen {
        self.way.seen(|seen| seen.clone())
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        // They hold what holds them: nothing else would end them.
        self.tunnels.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
    }
}

async fn accept(listener: TcpListener, way: Arc<Way>, tunnels: Tunnels) {
    // They end with this task.
    let mut served = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (way, tunnels) = (way.clone(), tunnels.clone());
        served.spawn(async move { serve(stream, way, tunnels, None).await });
        while served.try_join_next().is_some() {}
    }
}

/// Serves a connection of the browser; `scheme` says what goes on inside a tunnel, none that it is the
/// proxy's own connection.
async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    way: Arc<Way>,
    tunnels: Tunnels,
    scheme: Option<&'static str>,
) {
    let link = Arc::new(AsyncMutex::new(Link::default()));
    let answer = service_fn(move |request: Request<Incoming>| {
        let (way, link, tunnels) = (way.clone(), link.clone(), tunnels.clone());
        async move {
            let response = match (request.method() == Method::CONNECT, scheme) {
                (true, None) => tunnel(request, &way, &tunnels),
                (true, Some(_)) => refusal(StatusCode::METHOD_NOT_ALLOWED, "a tunnel in a tunnel"),
                (false, scheme) => forward(request, &way, &link, &tunnels, scheme).await,
            };
            Ok::<_, Infallible>(response)
        }
    });
    let http = hyper::server::conn::http1::Builder::new();
    // What breaks here the browser notices by itself.
    drop(http.serve_connection(TokioIo::new(stream), answer).with_upgrades().await);
}

/// Opens the way for a connection of the browser's own choice: TLS where the port is not that of plain HTTP.
fn tunnel(request: Request<Incoming>, way: &Arc<Way>, tunnels: &Tunnels) -> Response<Body> {
    let Some(authority) = request.uri().authority().cloned() else {
        return refusal(StatusCode::BAD_REQUEST, "a tunnel to where?");
    };
    if !way.leads_to(authority.host()) {
        return way.refuse(authority.host());
    }
    let plain = authority.port_u16() == Some(80);
    let (way, inside) = (way.clone(), tunnels.clone());
    spawn(tunnels, async move {
        let Ok(upgraded) = hyper::upgrade::on(request).await else { return };
        let stream = TokioIo::new(upgraded);
        if plain {
            return serve_inside(stream, way, inside, "http").await;
        }
        let Some(acceptor) = &*ACCEPTOR else { return };
        if let Ok(stream) = acceptor.accept(stream).await {
            serve_inside(stream, way, inside, "https").await;
        }
    });
    Response::new(empty())
}

/// Boxed: what is inside of a tunnel is served as what is outside.
fn serve_inside(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    way: Arc<Way>,
    tunnels: Tunnels,
    scheme: &'static str,
) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(serve(stream, way, tunnels, Some(scheme)))
}

/// Passes a request on to the endpoint, marked, and its answer back.
async fn forward(
    request: Request<Incoming>,
    way: &Arc<Way>,
    link: &Arc<AsyncMutex<Link>>,
    tunnels: &Tunnels,
    scheme: Option<&'static str>,
) -> Response<Body> {
    let host = match scheme {
        None => request.uri().host().map(str::to_owned),
        // Within a tunnel the host was looked at when it was opened.
        Some(_) => Some(way.host.clone()),
    };
    match host {
        Some(host) if way.leads_to(&host) => {}
        Some(host) => return way.refuse(&host),
        None => return refusal(StatusCode::BAD_REQUEST, "this is a proxy"),
    }
    let is_socket = request.headers().get(UPGRADE).is_some_and(|to| to.as_bytes() == b"websocket");
    let result = if is_socket {
        web_socket(request, way, tunnels, scheme).await
    } else {
        exchange(request, way, link, scheme).await
    };
    match result {
        Ok(response) => response,
        Err(failure) => {
            let answer = refusal(StatusCode::BAD_GATEWAY, &failure.message);
            way.seen(|seen| seen.failure.get_or_insert((failure.outcome, failure.message)).clone());
            answer
        }
    }
}

async fn exchange(
    request: Request<Incoming>,
    way: &Arc<Way>,
    link: &AsyncMutex<Link>,
    scheme: Option<&'static str>,
) -> Result<Response<Body>, Failure> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, LARGEST_BODY).collect().await;
    let body = body.map_err(|error| Failure::assertion(format!("a request's body: {error}")))?;
    let mut request = way.marked(head, Full::new(body.to_bytes()), scheme)?;
    // One request at a time, as the browser's own connection has them.
    let mut link = link.lock().await;
    let kept = match link.kept.take() {
        Some(mut sender) => sender.ready().await.is_ok().then_some(sender),
        None => None,
    };
    let mut sender = match kept {
        Some(mut sender) => {
            match sender.try_send(request.clone()).await {
                Ok(response) => return Ok(way.answer(response, &mut link, sender)),
                // A server may close a kept connection at any moment, also just now.
                Err(mut error)
                    if error.message().is_some()
                        || request.method().is_idempotent()
                            && error.error().is_incomplete_message() =>
                {
                    request = error.take_message().unwrap_or(request);
                    way.connect(&mut link).await?
                }
                Err(error) => return Err(broken(&error.into_error())),
            }
        }
        None => way.connect(&mut link).await?,
    };
    match sender.try_send(request).await {
        Ok(response) => Ok(way.answer(response, &mut link, sender)),
        Err(error) => Err(broken(&error.into_error())),
    }
}

/// A WebSocket: after the handshake its bytes are moved as they are.
async fn web_socket(
    mut request: Request<Incoming>,
    way: &Arc<Way>,
    tunnels: &Tunnels,
    scheme: Option<&'static str>,
) -> Result<Response<Body>, Failure> {
    let ours = hyper::upgrade::on(&mut request);
    let (head, _) = request.into_parts();
    let kept = head.headers.get(UPGRADE).cloned();
    let mut request = way.marked(head, Full::default(), scheme)?;
    request.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
    if let Some(upgrade) = kept {
        request.headers_mut().insert(UPGRADE, upgrade);
    }
    let stream = way.dial().await?;
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| broken(&error))?;
    spawn(tunnels, async move { drop(connection.with_upgrades().await) });
    let mut response = sender.send_request(request).await.map_err(|error| broken(&error))?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let theirs = hyper::upgrade::on(&mut response);
        spawn(tunnels, async move {
            if let (Ok(ours), Ok(theirs)) = (ours.await, theirs.await) {
                let _ =
                    copy_bidirectional(&mut TokioIo::new(ours), &mut TokioIo::new(theirs)).await;
            }
        });
    }
    way.seen(|seen| seen.requests += 1);
    let (head, body) = response.into_parts();
    Ok(Response::from_parts(head, body.boxed()))
}

fn refusal(status: StatusCode, why: &str) -> Response<Body> {
    let body = Full::new(Bytes::from(why.to_owned())).map_err(|never| match never {}).boxed();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}

fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed()
}

fn spawn(tasks: &Mutex<JoinSet<()>>, task: impl Future<Output = ()> + Send + 'static) {
    tasks.lock().unwrap_or_else(PoisonError::into_inner).spawn(task);
}

/// With a certificate that nobody else trusts; none if the machine's random numbers fail.
static ACCEPTOR: LazyLock<Option<TlsAcceptor>> = LazyLock::new(|| {
    let made = rcgen::generate_simple_self_signed(vec!["serinus-probe".to_owned()]).ok()?;
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).ok()?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .ok()?
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .ok()?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Some(TlsAcceptor::from(Arc::new(config)))
});
