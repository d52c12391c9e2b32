use crate::builder::*;
use rcgen::{CertifiedKey, generate_simple_self_signed};
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
async fn server() -> (String, String, JoinSet<()>) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["shop.test".to_owned()]).unwrap();
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
