//! gRPC through the proxy, with a real client and a real server: HTTP/2 without TLS on both sides.

use super::{Running, settings};
use bytes::{Buf, BufMut, Bytes};
use http::uri::PathAndQuery;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serinus_config::UpstreamProtocol;
use serinus_models::Outcome;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::StreamingService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status, Streaming};

/// Messages as they are: no protocol buffers are needed to see whether they pass.
#[derive(Debug, Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Raw;
    type Decoder = Raw;

    fn encoder(&mut self) -> Raw {
        Raw
    }

    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

/// What a server has seen besides messages.
#[derive(Debug, Default)]
struct Seen {
    cancelled: Notify,
    timeout: Mutex<Option<String>>,
}

/// Tells when it is dropped: the call that holds it has been cancelled.
struct Call(Arc<Seen>);

impl Drop for Call {
    fn drop(&mut self) {
        self.0.cancelled.notify_one();
    }
}

/// One method of the server; all stream both ways, of which the others are special cases.
struct Method {
    name: String,
    seen: Arc<Seen>,
}

type Answer = Result<Response<ReceiverStream<Result<Bytes, Status>>>, Status>;

impl StreamingService<Bytes> for Method {
    type Response = Bytes;
    type ResponseStream = ReceiverStream<Result<Bytes, Status>>;
    type Future = Pin<Box<dyn Future<Output = Answer> + Send>>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        let (name, seen) = (self.name.clone(), Arc::clone(&self.seen));
        Box::pin(async move {
            let mut incoming = request.into_inner();
            match name.as_str() {
                "Refuse" => return Err(Status::unavailable("come back later")),
                "Missing" => return Err(Status::not_found("no such thing")),
                "Hang" => {
                    let _call = Call(seen);
                    std::future::pending::<()>().await;
                }
                _ => {}
            }
            let (send, receive) = mpsc::channel(1);
            tokio::spawn(async move {
                let mut all = Vec::new();
                while let Some(Ok(message)) = incoming.next().await {
                    match name.as_str() {
                        "Collect" => all.extend_from_slice(&message),
                        "Repeat" | "Break" => {
                            for _ in 0..3 {
                                send.send(Ok(message.clone())).await.unwrap();
                            }
                        }
                        _ => send.send(Ok(message)).await.unwrap(),
                    }
                }
                if name == "Collect" {
                    send.send(Ok(all.into())).await.unwrap();
                }
                if name == "Break" {
                    send.send(Err(Status::internal("broke after three"))).await.unwrap();
                }
            });
            Ok(Response::new(ReceiverStream::new(receive)))
        })
    }
}

async fn server() -> (SocketAddr, Arc<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(Seen::default());
    let shared = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let seen = Arc::clone(&shared);
            let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
                let seen = Arc::clone(&seen);
                async move {
                    let name = request.uri().path().trim_start_matches("/lab.Echo/").to_owned();
                    if let Some(timeout) = request.headers().get("grpc-timeout") {
                        let text = timeout.to_str().unwrap().to_owned();
                        *seen.timeout.lock().unwrap() = Some(text);
                    }
                    let method = Method { name, seen };
                    Ok::<_, std::convert::Infallible>(
                        tonic::server::Grpc::new(Raw).streaming(method, request).await,
                    )
                }
            });
            let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service);
            tokio::spawn(connection);
        }
    });
    (address, seen)
}

fn method(name: &str) -> PathAndQuery {
    format!("/lab.Echo/{name}").parse().unwrap()
}

async fn through(running: &Running) -> Grpc<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{}", running.address)).unwrap();
    let channel = endpoint.origin("http://shop.test".parse().unwrap()).connect().await.unwrap();
    let mut client = Grpc::new(channel);
    client.ready().await.unwrap();
    client
}

async fn start() -> (Running, Arc<Seen>, Grpc<Channel>) {
    let (address, seen) = server().await;
    let mut settings = settings(&[address], &[]);
    settings.listeners[0].h2c = true;
    settings.services[0].stable.transport.protocol = UpstreamProtocol::Http2Cleartext;
    let running = Running::start(settings, 0.0);
    let client = through(&running).await;
    (running, seen, client)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_four_kinds_of_calls_pass() {
    let (running, _seen, mut client) = start().await;
    let hello = || Request::new(Bytes::from_static(b"hello"));
    let answer = client.unary(hello(), method("Echo"), Raw).await.unwrap();
    assert_eq!(&answer.into_inner()[..], b"hello");

    client.ready().await.unwrap();
    let answer = client.server_streaming(hello(), method("Repeat"), Raw).await.unwrap();
    let all: Vec<_> = answer.into_inner().collect().await;
    assert_eq!(all.len(), 3);
    assert!(all.iter().all(|message| message.as_ref().unwrap() == "hello"), "{all:?}");

    client.ready().await.unwrap();
    let parts = tokio_stream::iter([Bytes::from("a"), Bytes::from("b"), Bytes::from("c")]);
    let answer = client.client_streaming(Request::new(parts), method("Collect"), Raw).await;
    assert_eq!(&answer.unwrap().into_inner()[..], b"abc");

    // Each message is answered before the next is sent: nothing is held back on the way.
    client.ready().await.unwrap();
    let (send, receive) = mpsc::channel(1);
    let call = client.streaming(Request::new(ReceiverStream::new(receive)), method("Echo"), Raw);
    let first = async { send.send(Bytes::from_static(b"0")).await.unwrap() };
    let (answer, ()) = tokio::join!(call, first);
    let mut answers = answer.unwrap().into_inner();
    for number in 1..5u8 {
        assert_eq!(answers.next().await.unwrap().unwrap(), (number - 1).to_string());
        send.send(Bytes::from(number.to_string())).await.unwrap();
    }
    assert_eq!(answers.next().await.unwrap().unwrap(), "4");
    drop(send);
    assert!(answers.next().await.is_none());
    let seen = running.observed(4).await.stable;
    assert_eq!(seen.outcomes.of(Outcome::Ok), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_are_passed_on_and_counted_by_their_own_status() {
    let (running, _seen, mut client) = start().await;
    let hello = || Request::new(Bytes::from_static(b"hello"));
    // Without a body: the status stands in the header.
    let error = client.unary(hello(), method("Refuse"), Raw).await.unwrap_err();
    assert_eq!((error.code(), error.message()), (Code::Unavailable, "come back later"));
    client.ready().await.unwrap();
    let error = client.unary(hello(), method("Missing"), Raw).await.unwrap_err();
    assert_eq!(error.code(), Code::NotFound);
    // After a body: the status is a trailer.
    client.ready().await.unwrap();
    let answer = client.server_streaming(hello(), method("Break"), Raw).await.unwrap();
    let all: Vec<_> = answer.into_inner().collect().await;
    assert_eq!(all.len(), 4);
    let error = all[3].as_ref().unwrap_err();
    assert_eq!((error.code(), error.message()), (Code::Internal, "broke after three"));
    let seen = running.observed(3).await.stable;
    assert_eq!(seen.outcomes.of(Outcome::ServerError), 2, "{seen:?}");
    assert_eq!(seen.outcomes.of(Outcome::ClientError), 1, "{seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_reaches_the_upstream_and_what_a_client_cancels_is_cancelled_there() {
    let (running, seen, mut client) = start().await;
    let mut request = Request::new(Bytes::from_static(b"hello"));
    request.set_timeout(Duration::from_millis(300));
    let error = client.unary(request, method("Hang"), Raw).await.unwrap_err();
    assert!(matches!(error.code(), Code::Cancelled | Code::DeadlineExceeded), "{error}");
    seen.cancelled.notified().await;
    assert!(seen.timeout.lock().unwrap().is_some(), "the deadline is passed on");
    // A client that leaves is nobody's failure.
    while running.path.in_flight() > 0 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(running.path.drain("checkout"), []);
}
