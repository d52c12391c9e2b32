//! Endpoints over TLS and HTTP/2.

use super::authority::Authority;
use super::lab::ask;
use super::{PATIENCE, Running, get, settings, table};
use crate::data_path::EndpointState;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serinus_config::{
    HealthSettings, Settings, TransportSettings, UpstreamProtocol, UpstreamTlsSettings,
};
use serinus_models::Outcome;
use serinus_routing::balance::HealthRule;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

/// An endpoint that answers with what it was asked by: version, name in the handshake, whether
/// there was a certificate.
struct Endpoint {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Endpoint {
    async fn start(tls: Option<Arc<ServerConfig>>, http2: bool) -> Endpoint {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(serve(stream, tls.clone(), http2));
            }
        });
        Endpoint { address, connections }
    }
}

async fn serve(stream: TcpStream, tls: Option<Arc<ServerConfig>>, http2: bool) {
    let Some(tls) = tls else { return speak(TokioIo::new(stream), "none".to_owned(), http2).await };
    // A client that does not trust the certificate ends the handshake.
    let Ok(stream) = TlsAcceptor::from(tls).accept(stream).await else { return };
    let session = stream.get_ref().1;
    let name = session.server_name().unwrap_or("no name").to_owned();
    let known = if session.peer_certificates().is_some() { "known" } else { "unknown" };
    speak(TokioIo::new(stream), format!("{name} {known}"), http2).await;
}

async fn speak(
    io: impl hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
    who: String,
    http2: bool,
) {
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let place = request.uri().authority().map_or("-", |authority| authority.as_str());
        let body = format!("{:?} {place} {who}", request.version());
        async move { Ok::<_, Infallible>(hyper::Response::new(Full::new(Bytes::from(body)))) }
    });
    // A client may leave whenever it likes.
    let _ = if http2 {
        hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(io, service)
            .await
    } else {
        hyper::server::conn::http1::Builder::new().serve_connection(io, service).await
    };
}

fn tls(authority: &Authority) -> UpstreamTlsSettings {
    UpstreamTlsSettings {
        server_name: "app.internal".to_owned(),
        authorities: Some(authority.file()),
        client_certificate: None,
        verify: true,
    }
}

fn speaking(
    address: SocketAddr,
    tls: Option<UpstreamTlsSettings>,
    protocol: UpstreamProtocol,
) -> Settings {
    let mut settings = settings(&[address], &[]);
    settings.services[0].stable.transport = TransportSettings { tls, protocol };
    settings
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_over_tls_is_asked_by_name_and_shown_the_certificate() {
    let authority = Authority::new();
    let server = authority.issue("app", "app.internal", 2090);
    let edge = authority.issue("edge", "edge.internal", 2090);
    let endpoint = Endpoint::start(Some(authority.server(&server, true, &[])), false).await;
    let with =
        UpstreamTlsSettings { client_certificate: Some((edge.cert, edge.key)), ..tls(&authority) };
    let running =
        Running::start(speaking(endpoint.address, Some(with), UpstreamProtocol::Http1), 0.0);
    let answer = running.get("/").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "HTTP/1.1 - app.internal known"));
    // Without a certificate of its own it is turned away, which is no fault of the client.
    let mut next = running.settings.clone();
    next.services[0].stable.transport.tls = Some(tls(&authority));
    running.path.reconfigure(&next, table(&next, 0.0)).unwrap();
    assert_eq!(running.get("/").await.status, 502);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_is_not_who_it_must_be_gets_no_request() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    for (issued, of, verify, status) in [
        (authority.issue("app", "app.internal", 2090), &authority, true, 200),
        (authority.issue("app", "other.internal", 2090), &authority, true, 502),
        (authority.issue("app", "app.internal", 2021), &authority, true, 502),
        (stranger.issue("app", "app.internal", 2090), &stranger, true, 502),
        (stranger.issue("app", "other.internal", 2021), &stranger, false, 200),
    ] {
        let endpoint = Endpoint::start(Some(of.server(&issued, false, &[])), false).await;
        let with = UpstreamTlsSettings { verify, ..tls(&authority) };
        let settings = speaking(endpoint.address, Some(with), UpstreamProtocol::Http1);
        let running = Running::start(settings, 0.0);
        assert_eq!(running.get("/").await.status, status, "{issued:?}");
        let seen = running.observed(1).await.stable.outcomes;
        assert_eq!(
            seen.of(Outcome::ConnectError),
            u64::from(status == 502),
            "{issued:?}: {seen:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_with_another_authority_uses_no_connection_that_the_one_before_vouched_for() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = authority.issue("app", "app.internal", 2090);
    let endpoint = Endpoint::start(Some(authority.server(&server, false, &[])), false).await;
    let settings = speaking(endpoint.address, Some(tls(&authority)), UpstreamProtocol::Http1);
    let running = Running::start(settings, 0.0);
    for _ in 0..4 {
        assert_eq!(running.get("/").await.status, 200);
    }
    let before = endpoint.connections.load(Ordering::Relaxed);
    assert!(before <= 2, "one per thread is enough: {before}");
    // The same file with another authority in it: the settings are the same.
    std::fs::copy(other.file(), authority.file()).unwrap();
    running.path.reconfigure(&running.settings, table(&running.settings, 0.0)).unwrap();
    assert_eq!(running.get("/").await.status, 502);
    // What cannot be used is refused, by its name, and changes nothing.
    std::fs::write(authority.file(), "no PEM").unwrap();
    let error =
        running.path.reconfigure(&running.settings, table(&running.settings, 0.0)).unwrap_err();
    assert!(format!("{error:#}").contains("ca.pem"), "{error:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http2_is_spoken_with_endpoints_with_and_without_tls() {
    let authority = Authority::new();
    let server = authority.issue("app", "app.internal", 2090);
    let encrypted = Endpoint::start(Some(authority.server(&server, false, &["h2"])), true).await;
    let plain = Endpoint::start(None, true).await;
    for (endpoint, tls, protocol, body) in [
        (
            &encrypted,
            Some(tls(&authority)),
            UpstreamProtocol::Http2,
            "HTTP/2.0 shop.test app.internal unknown",
        ),
        (&plain, None, UpstreamProtocol::Http2Cleartext, "HTTP/2.0 shop.test none"),
    ] {
        let running = Running::start(speaking(endpoint.address, tls, protocol), 0.0);
        let mut asked = JoinSet::new();
        for _ in 0..20 {
            let address = running.address;
            asked.spawn(async move { ask(address, &get("/a")).await.unwrap() });
        }
        while let Some(answer) = asked.join_next().await {
            let answer = answer.unwrap();
            assert_eq!((answer.status, answer.body.as_str()), (200, body));
        }
        running.observed(20).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_checks_ask_as_requests_do() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let issue = |by: &Authority| by.server(&by.issue("app", "app.internal", 2090), false, &["h2"]);
    let good = Endpoint::start(Some(issue(&authority)), true).await;
    let bad = Endpoint::start(Some(issue(&stranger)), true).await;
    let mut settings = settings(&[good.address, bad.address], &[]);
    let protocol = UpstreamProtocol::Http2;
    settings.services[0].stable.transport =
        TransportSettings { tls: Some(tls(&authority)), protocol };
    settings.services[0].health = Some(HealthSettings {
        path: "/healthz".to_owned(),
        interval: Duration::from_millis(50),
        timeout: Duration::from_secs(1),
        rule: HealthRule { unhealthy_after: 2, healthy_after: 2 },
        status: vec![200],
        host: Some("health.test".to_owned()),
    });
    let running = Running::start(settings, 0.0);
    let started = Instant::now();
    loop {
        let endpoints = running.path.endpoints().remove(0).1;
        let states: Vec<_> = endpoints.iter().map(|endpoint| endpoint.state).collect();
        if states == [EndpointState::Healthy, EndpointState::Unhealthy] {
            let why = endpoints[1].why.clone().unwrap_or_default();
            assert!(why.contains("certificate"), "{why}");
            break;
        }
        assert!(started.elapsed() < PATIENCE, "{endpoints:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // The first may not have been asked yet when the second had failed.
    let asked = good.connections.load(Ordering::Relaxed);
    while good.connections.load(Ordering::Relaxed) < asked + 3 {
        assert!(started.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(running.path.endpoints().remove(0).1[0].state, EndpointState::Healthy);
    assert_eq!(running.get("/").await.status, 200);
}
