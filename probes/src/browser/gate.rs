//! What stands between the browser of a run and the one endpoint that the run is for: an HTTP proxy on the
//! loopback interface that lives as long as the run.
//!
//! Every request that the browser makes, whatever script, frame or worker of the page it comes from, comes
//! through here, gets the probe's marks, and goes to the endpoint as users' requests do. Other sites are
//! refused: a run never leaves its own. For pages over HTTPS the gate shows a certificate of its own making,
//! which that browser alone is told to take; the endpoint's is checked as for any probe.

use crate::expect::Failure;
use crate::marks::{self, Signer};
use crate::orca::{self, LoadReport};
use crate::run::RunContext;
use crate::sender::Sender;
use crate::target::Target;
use bytes::Bytes;
use http::header::{
    CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING, UPGRADE,
};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serinus_models::Outcome;
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex as AsyncMutex;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// The most that a page may send in one request, in bytes.
const LARGEST_BODY: usize = 16 << 20;
/// Other sites that are remembered by name.
const MOST_ELSEWHERE: usize = 8;

const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// Of one connection: they are not passed on.
const HOP_BY_HOP: [&str; 6] =
    ["connection", "keep-alive", "proxy-connection", "proxy-authorization", "te", "trailer"];

type Tunnels = Arc<Mutex<JoinSet<()>>>;
type Body = BoxBody<Bytes, hyper::Error>;

/// What came through so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    /// Requests that the endpoint answered.
    pub(super) requests: u32,
    /// Bytes of its answers' bodies.
    pub(super) bytes: u64,
    /// The first that it did not answer.
    pub(super) failure: Option<(Outcome, String)>,
    /// Sites that were asked for and refused.
    pub(super) elsewhere: BTreeSet<String>,
    /// The last load that an answer told of (ORCA), and the cost that answers told, with their number.
    pub(super) load: Option<LoadReport>,
    pub(super) cost: (f64, u32),
}

pub(super) struct Gate {
    address: SocketAddr,
    way: Arc<Way>,
    /// What goes on inside of tunnels: it outlives the connection that asked for one, not the gate.
    tunnels: Tunnels,
    /// Accepts, and serves what it has accepted; dropped with the gate.
    _running: JoinSet<()>,
}

/// Where everything goes, and how it is marked.
struct Way {
    host: String,
    target: Target,
    probe: String,
    run: String,
    trace: u128,
    signer: Option<Arc<Signer>>,
    seen: Mutex<Seen>,
}

/// A connection to the endpoint, kept for the next request of the browser's connection that it belongs to.
#[derive(Default)]
struct Link {
    kept: Option<Sender>,
    driver: JoinSet<()>,
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

/// What the browser's connections are to the endpoint, encrypted or not.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

impl Way {
    fn seen<T>(&self, with: impl FnOnce(&mut Seen) -> T) -> T {
        with(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The site's host, or the endpoint's own: an application may call itself by it.
    fn leads_to(&self, host: &str) -> bool {
        let endpoint = self.target.endpoint.rsplit_once(':').map(|(host, _)| host);
        host.eq_ignore_ascii_case(&self.host) || Some(host) == endpoint
    }

    fn refuse(&self, host: &str) -> Response<Body> {
        self.seen(|seen| {
            if seen.elsewhere.len() < MOST_ELSEWHERE {
                seen.elsewhere.insert(host.to_owned());
            }
        });
        refusal(StatusCode::FORBIDDEN, "a probe never leaves its site")
    }

    /// The request as the endpoint gets it.
    fn marked(
        &self,
        head: http::request::Parts,
        body: Full<Bytes>,
        scheme: Option<&'static str>,
    ) -> Result<Request<Full<Bytes>>, Failure> {
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let mut headers = head.headers;
        HOP_BY_HOP.iter().for_each(|name| drop(headers.remove(*name)));
        headers.remove(TRANSFER_ENCODING);
        headers.remove(UPGRADE);
        if !headers.contains_key(HOST)
            && let Some(host) = head.uri.authority()
            && let Ok(host) = HeaderValue::from_str(host.as_str())
        {
            headers.insert(HOST, host);
        }
        headers.insert(FORWARDED_PROTO, HeaderValue::from_static(scheme.unwrap_or("http")));
        marks::mark(&mut headers, &self.probe, &self.run, self.trace);
        if let Some(signer) = &self.signer {
            signer.sign(&mut headers, &head.method, &path);
        }
        let mut request = Request::new(body);
        *request.method_mut() = head.method;
        *request.uri_mut() = path
            .parse::<Uri>()
            .map_err(|error| Failure::assertion(format!("path `{path}`: {error}")))?;
        *request.headers_mut() = headers;
        Ok(request)
    }

    async fn dial(&self) -> Result<Box<dyn Stream>, Failure> {
        let failed = |what: &str, error: &dyn std::error::Error| Failure {
            outcome: Outcome::ConnectError,
            message: format!("{what} {}: {error}", self.target.endpoint),
        };
        let stream = TcpStream::connect(&self.target.endpoint).await;
        let stream = stream.map_err(|error| failed("no connection to", &error))?;
        let _ = stream.set_nodelay(true);
        match &self.target.tls {
            None => Ok(Box::new(stream)),
            Some(tls) => match tls.connect(stream).await {
                Ok(stream) => Ok(Box::new(stream)),
                Err(error) => Err(failed("TLS handshake failed with", &error)),
            },
        }
    }

    async fn connect(&self, link: &mut Link) -> Result<Sender, Failure> {
        let stream = self.dial().await?;
        link.driver.abort_all();
        Sender::handshake(TokioIo::new(stream), self.target.http2, &mut link.driver)
            .await
            .map_err(|error| broken(&error))
    }

    /// Keeps the connection, takes down what the answer tells, and passes it on as it comes.
    fn answer(
        self: &Arc<Self>,
        response: Response<Incoming>,
        link: &mut Link,
        sender: Sender,
    ) -> Response<Body> {
        link.kept = Some(sender);
        let load = orca::of(response.headers()).and_then(Result::ok);
        self.seen(|seen| {
            seen.requests += 1;
            if let Some(load) = load {
                seen.load = Some(load);
                if let Some(seconds) = load.cpu_seconds {
                    seen.cost = (seen.cost.0 + seconds, seen.cost.1 + 1);
                }
            }
        });
        let (mut head, body) = response.into_parts();
        pass_on(&mut head.headers);
        head.version = http::Version::HTTP_11;
        let way = self.clone();
        let counted = body.map_frame(move |frame| {
            if let Some(data) = frame.data_ref() {
                way.seen(|seen| seen.bytes += data.len() as u64);
            }
            frame
        });
        Response::from_parts(head, counted.boxed())
    }
}

fn pass_on(headers: &mut HeaderMap) {
    HOP_BY_HOP.iter().for_each(|name| drop(headers.remove(*name)));
    headers.remove(TRANSFER_ENCODING);
}

fn broken(error: &hyper::Error) -> Failure {
    Failure { outcome: Outcome::Reset, message: format!("the connection broke: {error}") }
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
