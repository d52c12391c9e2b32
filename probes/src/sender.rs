//! The sending end of a connection, in either version of HTTP.

use bytes::Bytes;
use http::header::HOST;
use http::{Request, Response, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper::rt::{Read, Write};
use hyper_util::rt::TokioExecutor;
use tokio::task::JoinSet;

pub(crate) enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Sender {
    /// Begins on a connection, whose bytes a task of `driver` moves from now on.
    ///
    /// # Errors
    /// The other side does not speak it.
    pub(crate) async fn handshake(
        stream: impl Read + Write + Unpin + Send + 'static,
        http2: bool,
        driver: &mut JoinSet<()>,
    ) -> hyper::Result<Sender> {
        // What goes wrong on the connection comes out of the request that was using it.
        if http2 {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
            driver.spawn(async move { drop(connection.await) });
            return Ok(Sender::Http2(sender));
        }
        let (sender, connection) = http1::handshake(stream).await?;
        driver.spawn(async move { drop(connection.await) });
        Ok(Sender::Http1(sender))
    }

    /// Waits until a request can be sent.
    ///
    /// # Errors
    /// The connection is closed.
    pub(crate) async fn ready(&mut self) -> hyper::Result<()> {
        match self {
            Sender::Http1(sender) => sender.ready().await,
            Sender::Http2(sender) => sender.ready().await,
        }
    }

    /// Sends a request; one that did not leave comes back with the error.
    ///
    /// # Errors
    /// No answer.
    pub(crate) async fn try_send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Full<Bytes>>>> {
        match self {
            Sender::Http1(sender) => sender.try_send_request(request).await,
            Sender::Http2(sender) => sender.try_send_request(with_authority(request)).await,
        }
    }
}

/// HTTP/2 says in the target which host is meant. The scheme is not looked at by anybody.
fn with_authority(mut request: Request<Full<Bytes>>) -> Request<Full<Bytes>> {
    let Some(host) = request.headers_mut().remove(HOST) else { return request };
    let mut parts = request.uri().clone().into_parts();
    parts.scheme = Some(http::uri::Scheme::HTTP);
    parts.authority = host.to_str().ok().and_then(|host| host.parse().ok());
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
    request
}
