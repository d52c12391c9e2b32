//! Endpoints that stop in the middle of an answer, over every pair of versions.

use super::{PATIENCE, Running, settings};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::Request;
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serinus_config::UpstreamProtocol;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_stream::StreamExt;

/// An endpoint that sends a header and a piece of the body, and then nothing.
async fn endpoint(http2: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = service_fn(|request: Request<Incoming>| async {
        request.into_body().collect().await.unwrap();
        let piece = Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"begun")));
        let body = tokio_stream::once(piece).chain(tokio_stream::pending());
        Ok::<_, Infallible>(hyper::Response::new(StreamBody::new(body)))
    });
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let io = TokioIo::new(stream);
            if http2 {
                let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                tokio::spawn(server.serve_connection(io, service));
            } else {
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(io, service),
                );
            }
        }
    });
    address
}

/// What a client gets of the answer, and how it ends.
async fn ask(proxy: SocketAddr, http2: bool, method: &str) -> (Bytes, hyper::Error) {
    let io = TokioIo::new(TcpStream::connect(proxy).await.unwrap());
    let body = if method == "POST" { "a question" } else { "" };
    let request = Request::builder().method(method).body(Full::new(Bytes::from(body)));
    let mut request = request.unwrap();
    let answer = if http2 {
        *request.uri_mut() = "http://shop.test/".parse().unwrap();
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), io);
        let (mut sender, connection) = handshake.await.unwrap();
        tokio::spawn(connection);
        sender.send_request(request).await.unwrap()
    } else {
        request.headers_mut().insert("host", "shop.test".parse().unwrap());
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        tokio::spawn(connection);
        sender.send_request(request).await.unwrap()
    };
    assert_eq!(answer.status(), 200);
    let mut body = answer.into_body();
    let begun = body.frame().await.unwrap().unwrap().into_data().unwrap();
    (begun, body.frame().await.expect("it is no whole answer").unwrap_err())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_stops_in_its_middle_is_ended_whatever_is_spoken() {
    for endpoint_http2 in [false, true] {
        let mut settings = settings(&[endpoint(endpoint_http2).await], &[]);
        settings.listeners[0].h2c = true;
        settings.services[0].timeouts.read = Duration::from_millis(200);
        if endpoint_http2 {
            settings.services[0].stable.transport.protocol = UpstreamProtocol::Http2Cleartext;
        }
        let running = Running::start(settings, 0.0);
        for client_http2 in [false, true] {
            for method in ["GET", "POST"] {
                let asked = ask(running.address, client_http2, method);
                let (begun, error) = timeout(PATIENCE, asked).await.unwrap_or_else(|_| {
                    panic!(
                        "{method}: client HTTP/2 {client_http2}, endpoint HTTP/2 {endpoint_http2}"
                    )
                });
                assert_eq!(&begun[..], b"begun", "{error}");
            }
        }
    }
}
