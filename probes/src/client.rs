//! HTTP over one connection at a time, every phase on the stopwatch.

use crate::phases::{Phase, Stopwatch};
use crate::sender::Sender;
use crate::target::Target;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serinus_models::Outcome;
use std::error::Error;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;
use x509_parser::prelude::{FromDer, X509Certificate};

/// How long a connection may have been idle to be trusted with a request that must not go out twice.
/// Servers close idle ones unasked, gunicorn as soon as after 2 s, and a request sent at that moment is
/// lost; a probe whose thread had to wait for its core would meet that moment again and again.
const TRUSTED: Duration = Duration::from_secs(1);

/// A whole answer.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// End of the certificate that the endpoint showed, in seconds since 1970; none without TLS.
    pub(crate) certificate_end: Option<i64>,
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
    /// And since when it is idle.
    kept: Option<(Sender, Instant)>,
    /// Of the connection.
    certificate_end: Option<i64>,
    /// The task that moves the connection's bytes; dropped with the client.
    driver: JoinSet<()>,
}

impl<'a> Client<'a> {
    pub(crate) fn new(target: &'a Target, max_body: usize) -> Self {
        let driver = JoinSet::new();
        Client { target, max_body, kept: None, certificate_end: None, driver }
    }

    /// One request, one whole answer.
    pub(crate) async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
        progress: &mut Progress,
    ) -> Result<Answer, ExchangeError> {
        let repeatable = request.method().is_idempotent();
        if let Some((mut sender, since)) = self.kept.take()
            && (repeatable || since.elapsed() < TRUSTED)
            && sender.ready().await.is_ok()
        {
            progress.watch.enter(Phase::Processing);
            match sender.try_send(request.clone()).await {
                Ok(response) => {
                    progress.reused = !progress.opened;
                    return self.receive(sender, response, progress).await;
                }
                // A server may close a kept connection at any moment, also just now: then the request
                // goes out once more over a new one, unless it might have been carried out.
                Err(error)
                    if error.message().is_some() || repeatable && was_closed(error.error()) => {}
                Err(error) => {
                    let source = error.into_error();
                    return Err(ExchangeError::Broken { during: "before an answer", source });
                }
            }
        }
        // Boxed: connecting takes most of the room, and a run is made once a second and more.
        let mut sender = Box::pin(self.connect(progress)).await?;
        progress.watch.enter(Phase::Processing);
        match sender.try_send(request).await {
            Ok(response) => self.receive(sender, response, progress).await,
            Err(error) => {
                let source = error.into_error();
                Err(ExchangeError::Broken { during: "before an answer", source })
            }
        }
    }

    async fn connect(&mut self, progress: &mut Progress) -> Result<Sender, ExchangeError> {
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
            Some(tls) => {
                progress.watch.enter(Phase::Tls);
                let stream = tls
                    .connect(stream)
                    .await
                    .map_err(|source| ExchangeError::Tls { endpoint: endpoint(), source })?;
                let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
                self.certificate_end = shown.and_then(|certificate| end(certificate));
                self.handshake(stream).await
            }
        }
    }

    async fn handshake(
        &mut self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> Result<Sender, ExchangeError> {
        self.driver.abort_all();
        Sender::handshake(TokioIo::new(stream), self.target.http2, &mut self.driver)
            .await
            .map_err(|source| ExchangeError::Broken { during: "before an answer", source })
    }

    async fn receive(
        &mut self,
        sender: Sender,
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
        self.kept = Some((sender, Instant::now()));
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            body: body.freeze(),
            certificate_end: self.certificate_end,
        })
    }
}

/// Whether the server closed the connection instead of answering: politely, or by a reset, which it is
/// that comes back for what is sent to a closed socket.
fn was_closed(error: &hyper::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    let told = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    error.is_incomplete_message()
        || told.is_some_and(|told| {
            matches!(told.kind(), BrokenPipe | ConnectionAborted | ConnectionReset)
        })
}

/// The end of a certificate's validity, in seconds since 1970.
fn end(certificate: &[u8]) -> Option<i64> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    Some(certificate.validity().not_after.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Method;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// Answers whatever comes, and closes nothing.
    async fn patient_server(listener: TcpListener) {
        let mut connections = JoinSet::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            connections.spawn(async move {
                let mut request = [0; 4096];
                while stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                    if stream.write_all(answer).await.is_err() {
                        return;
                    }
                }
            });
        }
    }

    async fn kept_for(client: &mut Client<'_>, method: Method) -> bool {
        let mut request = Request::new(Full::default());
        *request.method_mut() = method;
        request.headers_mut().insert("host", "shop.example".parse().unwrap());
        let mut progress = Progress::default();
        client.send(request, &mut progress).await.unwrap();
        progress.reused
    }

    #[tokio::test]
    async fn what_must_not_go_out_twice_is_not_sent_over_a_connection_idle_for_long() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = Target::plain(listener.local_addr().unwrap().to_string());
        let _server = tokio::spawn(patient_server(listener));
        let mut client = Client::new(&target, 1_000);
        assert!(!kept_for(&mut client, Method::GET).await, "the first");
        assert!(kept_for(&mut client, Method::POST).await, "a moment after");
        tokio::time::pause();
        tokio::time::advance(TRUSTED).await;
        tokio::time::resume();
        assert!(!kept_for(&mut client, Method::POST).await, "too long after");
        tokio::time::pause();
        tokio::time::advance(TRUSTED).await;
        tokio::time::resume();
        assert!(kept_for(&mut client, Method::GET).await, "harmless to repeat");
    }
}
