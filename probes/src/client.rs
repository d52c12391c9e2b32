//! HTTP/1.1 over one connection at a time, every phase on the stopwatch.

use crate::phases::{Phase, Stopwatch};
use crate::target::{Target, Tls};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serinus_models::Outcome;
use std::io;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

/// A whole answer.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// What is known of a step's exchanges while they go on: it must outlive one that is cut short.
#[derive(Default)]
pub(crate) struct Progress {
    pub(crate) watch: Stopwatch,
    /// Of the last answer.
    pub(crate) status: Option<u16>,
    /// Body bytes of all answers.
    pub(crate) bytes: u64,
    /// Whether a connection left open by an earlier step was enough.
    pub(crate) reused: bool,
    opened: bool,
}

/// Why there is no whole answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExchangeError {
    #[error("no address for {endpoint}: {source}")]
    Resolve { endpoint: String, source: io::Error },
    #[error("no connection to {endpoint}: {source}")]
    Connect { endpoint: String, source: io::Error },
    #[error("TLS handshake with {endpoint} failed: {source}")]
    Tls { endpoint: String, source: io::Error },
    #[error("the connection broke {during}: {source}")]
    Broken { during: &'static str, source: hyper::Error },
    #[error("expected a body of at most {0} bytes, it is larger")]
    TooLarge(usize),
}

impl ExchangeError {
    /// The class under which it counts.
    pub(crate) const fn outcome(&self) -> Outcome {
        match self {
            ExchangeError::Resolve { .. }
            | ExchangeError::Connect { .. }
            | ExchangeError::Tls { .. } => Outcome::ConnectError,
            ExchangeError::Broken { .. } => Outcome::Reset,
            ExchangeError::TooLarge(_) => Outcome::Assertion,
        }
    }
}

/// Sends requests to one endpoint, keeping the connection from one to the next where the server does.
pub(crate) struct Client<'a> {
    target: &'a Target,
    /// The most that is read of one body, in bytes.
    max_body: usize,
    kept: Option<SendRequest<Full<Bytes>>>,
    /// The task that moves the connection's bytes; dropped with the client.
    driver: JoinSet<()>,
}

impl<'a> Client<'a> {
    pub(crate) fn new(target: &'a Target, max_body: usize) -> Self {
        Client { target, max_body, kept: None, driver: JoinSet::new() }
    }

    /// One request, one whole answer.
    pub(crate) async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
        progress: &mut Progress,
    ) -> Result<Answer, ExchangeError> {
        if let Some(mut sender) = self.kept.take()
            && sender.ready().await.is_ok()
        {
            progress.watch.enter(Phase::Processing);
            match sender.try_send_request(request.clone()).await {
                Ok(response) => {
                    progress.reused = !progress.opened;
                    return self.receive(sender, response, progress).await;
                }
                // A server may close a kept connection at any moment, also just now: then the request
                // goes out once more over a new one, unless it might have been carried out.
                Err(error)
                    if error.message().is_some()
                        || request.method().is_idempotent()
                            && error.error().is_incomplete_message() => {}
                Err(error) => {
                    let source = error.into_error();
                    return Err(ExchangeError::Broken { during: "before an answer", source });
                }
            }
        }
        let mut sender = self.connect(progress).await?;
        progress.watch.enter(Phase::Processing);
        match sender.send_request(request).await {
            Ok(response) => self.receive(sender, response, progress).await,
            Err(source) => Err(ExchangeError::Broken { during: "before an answer", source }),
        }
    }

    async fn connect(
        &mut self,
        progress: &mut Progress,
    ) -> Result<SendRequest<Full<Bytes>>, ExchangeError> {
        let endpoint = || self.target.endpoint.clone();
        (progress.opened, progress.reused) = (true, false);
        progress.watch.enter(Phase::Resolve);
        let addresses: Vec<_> = tokio::net::lookup_host(&self.target.endpoint)
            .await
            .map_err(|source| ExchangeError::Resolve { endpoint: endpoint(), source })?
            .collect();
        progress.watch.enter(Phase::Connect);
        let stream = async {
            let stream = TcpStream::connect(&*addresses).await?;
            stream.set_nodelay(true)?;
            Ok(stream)
        }
        .await
        .map_err(|source| ExchangeError::Connect { endpoint: endpoint(), source })?;
        match &self.target.tls {
            None => self.handshake(stream).await,
            Some(Tls { config, name }) => {
                progress.watch.enter(Phase::Tls);
                let stream = TlsConnector::from(config.clone())
                    .connect(name.clone(), stream)
                    .await
                    .map_err(|source| ExchangeError::Tls { endpoint: endpoint(), source })?;
                self.handshake(stream).await
            }
        }
    }

    async fn handshake(
        &mut self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> Result<SendRequest<Full<Bytes>>, ExchangeError> {
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|source| ExchangeError::Broken { during: "before an answer", source })?;
        self.driver.abort_all();
        self.driver.spawn(async move {
            // What goes wrong on the connection comes out of the request that was using it.
            let _ = connection.await;
        });
        Ok(sender)
    }

    async fn receive(
        &mut self,
        sender: SendRequest<Full<Bytes>>,
        response: Response<Incoming>,
        progress: &mut Progress,
    ) -> Result<Answer, ExchangeError> {
        progress.watch.enter(Phase::Transfer);
        let (head, mut incoming) = response.into_parts();
        progress.status = Some(head.status.as_u16());
        let mut body = BytesMut::new();
        while let Some(frame) = incoming.frame().await {
            let frame = frame
                .map_err(|source| ExchangeError::Broken { during: "inside the answer", source })?;
            if let Some(data) = frame.data_ref() {
                if body.len() + data.len() > self.max_body {
                    return Err(ExchangeError::TooLarge(self.max_body));
                }
                body.extend_from_slice(data);
                progress.bytes += data.len() as u64;
            }
        }
        progress.watch.stop();
        self.kept = Some(sender);
        Ok(Answer { status: head.status, headers: head.headers, body: body.freeze() })
    }
}
