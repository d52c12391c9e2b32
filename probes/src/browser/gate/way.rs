//! The way from the gate to the endpoint: what leads there, how requests are marked, and what came of them.

use super::{Body, refusal};
use crate::expect::Failure;
use crate::marks::{self, Signer};
use crate::orca::{self, LoadReport};
use crate::sender::Sender;
use crate::target::Target;
use bytes::Bytes;
use http::header::{HOST, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING, UPGRADE};
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serinus_models::Outcome;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Other sites that are remembered by name.
const MOST_ELSEWHERE: usize = 8;

const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// Of one connection: they are not passed on.
const HOP_BY_HOP: [&str; 6] =
    ["connection", "keep-alive", "proxy-connection", "proxy-authorization", "te", "trailer"];

/// What came through so far.
#[derive(Debug, Clone, Default)]
pub(in crate::browser) struct Seen {
    /// Requests that the endpoint answered.
    pub(in crate::browser) requests: u32,
    /// Bytes of its answers' bodies.
    pub(in crate::browser) bytes: u64,
    /// The first that it did not answer.
    pub(in crate::browser) failure: Option<(Outcome, String)>,
    /// Sites that were asked for and refused.
    pub(in crate::browser) elsewhere: BTreeSet<String>,
    /// The last load that an answer told of (ORCA), and the cost that answers told, with their number.
    pub(in crate::browser) load: Option<LoadReport>,
    pub(in crate::browser) cost: (f64, u32),
}

/// Where everything goes, and how it is marked.
pub(super) struct Way {
    pub(super) host: String,
    pub(super) target: Target,
    pub(super) probe: String,
    pub(super) run: String,
    pub(super) trace: u128,
    pub(super) signer: Option<Arc<Signer>>,
    pub(super) seen: Mutex<Seen>,
}

/// A connection to the endpoint, kept for the next request of the browser's connection that it belongs to.
#[derive(Default)]
pub(super) struct Link {
    pub(super) kept: Option<Sender>,
    pub(super) driver: JoinSet<()>,
}

/// What the browser's connections are to the endpoint, encrypted or not.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

impl Way {
    pub(super) fn seen<T>(&self, with: impl FnOnce(&mut Seen) -> T) -> T {
        with(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The site's host, or the endpoint's own: an application may call itself by it.
    pub(super) fn leads_to(&self, host: &str) -> bool {
        let endpoint = self.target.endpoint.rsplit_once(':').map(|(host, _)| host);
        host.eq_ignore_ascii_case(&self.host) || Some(host) == endpoint
    }

    pub(super) fn refuse(&self, host: &str) -> Response<Body> {
        self.seen(|seen| {
            if seen.elsewhere.len() < MOST_ELSEWHERE {
                seen.elsewhere.insert(host.to_owned());
            }
        });
        refusal(StatusCode::FORBIDDEN, "a probe never leaves its site")
    }

    /// The request as the endpoint gets it.
    pub(super) fn marked(
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

    pub(super) async fn dial(&self) -> Result<Box<dyn Stream>, Failure> {
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

    pub(super) async fn connect(&self, link: &mut Link) -> Result<Sender, Failure> {
        let stream = self.dial().await?;
        link.driver.abort_all();
        Sender::handshake(TokioIo::new(stream), self.target.http2, &mut link.driver)
            .await
            .map_err(|error| broken(&error))
    }

    /// Keeps the connection, takes down what the answer tells, and passes it on as it comes.
    pub(super) fn answer(
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

pub(super) fn broken(error: &hyper::Error) -> Failure {
    Failure { outcome: Outcome::Reset, message: format!("the connection broke: {error}") }
}
