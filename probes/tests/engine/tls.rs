use crate::builder::*;
use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{CertificateParams, CertifiedKey, KeyPair, date_time_ymd, generate_simple_self_signed};
use serinus_config::{
    EndpointSettings, Expect, PoolSettings, TransportSettings, UpstreamProtocol,
    UpstreamTlsSettings,
};
use serinus_models::Outcome;
use serinus_probes::{Phase, Target, Tls};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// A TLS server for `shop.test` that answers 200 once per connection; its endpoint and its certificate.
pub(crate) async fn server() -> (String, String, JoinSet<()>) {
    // As far away as rcgen puts it where nothing is said.
    server_until(4096).await
}

/// The same with a certificate that ends at the beginning of a year.
pub(crate) async fn server_until(year: i32) -> (String, String, JoinSet<()>) {
    let signing_key = KeyPair::generate().unwrap();
    let mut parameters = CertificateParams::new(["shop.test".to_owned()]).unwrap();
    parameters.not_after = date_time_ymd(year, 1, 1);
    let cert = parameters.self_signed(&signing_key).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = listener.local_addr().unwrap().to_string();
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            // A client that does not trust the certificate ends the handshake: next one.
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
            let _ = stream.shutdown().await;
        }
    });
    (endpoint, cert.pem(), serving)
}

#[tokio::test]
async fn an_endpoint_with_the_right_certificate_is_probed_over_tls() {
    let (endpoint, authority, _serving) = server().await;
    let tls = Tls::with_authority(authority.as_bytes(), "shop.test").unwrap();
    let run = succeed(vec![get("/")], &Target { endpoint, tls: Some(tls), http2: false }).await;
    assert!(!run.steps[0].phases.of(Phase::Tls).is_zero());
}

#[tokio::test]
async fn a_certificate_for_another_name_or_of_another_authority_is_refused() {
    let (endpoint, authority, _serving) = server().await;
    let (_, stranger, _) = server().await;
    for (authority, name) in [(&authority, "other.test"), (&stranger, "shop.test")] {
        let tls = Tls::with_authority(authority.as_bytes(), name).unwrap();
        let target = Target { endpoint: endpoint.clone(), tls: Some(tls), http2: false };
        let run = run(&probe("p", vec![get("/")]), &target).await;
        assert_eq!(run.outcome, Outcome::ConnectError);
        let message = run.failure().unwrap();
        assert!(message.contains("TLS handshake") && message.contains("certificate"), "{message}");
    }
}

#[test]
fn a_broken_authority_is_refused_before_any_probe_runs() {
    let error = Tls::with_authority(b"no pem", "shop.test").unwrap_err();
    assert_eq!(error.to_string(), "no certificate authority found in the PEM text");
}

#[tokio::test]
async fn a_certificate_that_ends_too_soon_fails_the_step_and_says_how_soon() {
    let (endpoint, authority, _serving) = server().await;
    // rcgen's certificates end in the year 4096.
    let tls = Tls::with_authority(authority.as_bytes(), "shop.test").unwrap();
    let target = Target { endpoint, tls: Some(tls), http2: false };
    let days = |days| {
        let expect = Expect { certificate_days_left: Some(days), ..Expect::default() };
        vec![get("/").expect(expect)]
    };
    succeed(days(3_650), &target).await;
    let message = failure(days(1_000_000), &target).await;
    assert!(message.contains("valid for 1000000 days more, got one with 7"), "{message}");
}

#[tokio::test]
async fn a_step_that_expects_a_certificate_where_there_is_none_says_so() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = Target::plain(listener.local_addr().unwrap().to_string());
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 4096];
        let _ = stream.read(&mut request).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    });
    let expect = Expect { certificate_days_left: Some(14), ..Expect::default() };
    let message = failure(vec![get("/").expect(expect)], &target).await;
    assert!(message.ends_with("got none: there is no TLS"), "{message}");
}

#[tokio::test]
async fn a_pool_of_http2_endpoints_over_tls_is_probed_as_its_settings_say() {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["shop.test".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = listener.local_addr().unwrap().to_string();
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let stream = TokioIo::new(acceptor.accept(stream).await.unwrap());
        let service = service_fn(async |request: http::Request<hyper::body::Incoming>| {
            let body = format!("{:?} {}", request.version(), request.uri());
            Ok::<_, std::convert::Infallible>(http::Response::new(Full::new(Bytes::from(body))))
        });
        let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let _ = builder.serve_connection(stream, service).await;
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, cert.pem()).unwrap();
    let pool = PoolSettings {
        version: "1".to_owned(),
        endpoints: vec![EndpointSettings { address: endpoint, weight: 1 }],
        transport: TransportSettings {
            tls: Some(UpstreamTlsSettings {
                server_name: "shop.test".to_owned(),
                authorities: Some(file.clone()),
                client_certificate: None,
                verify: true,
            }),
            protocol: UpstreamProtocol::Http2,
        },
    };
    let targets = Target::all_of(&pool).unwrap();
    let again = Target::all_of(&pool).unwrap();
    assert_eq!(targets, again, "the same files are the same target: probes go on undisturbed");
    let said = |path: &str| Expect {
        body_matches: vec![regex::Regex::new(&format!("^HTTP/2.0 http://[^/]+{path}$")).unwrap()],
        ..Expect::default()
    };
    let steps = vec![get("/a").expect(said("/a")), get("/b").expect(said("/b"))];
    let run = succeed(steps, &targets[0]).await;
    assert!(run.steps[1].reused);
    std::fs::write(&file, generate_simple_self_signed(["a".to_owned()]).unwrap().cert.pem())
        .unwrap();
    assert_ne!(Target::all_of(&pool).unwrap(), targets);
}
