//! Certificates by name, and their reload.

use super::lab::{Reply, Upstream, exchange};
use super::{Running, settings, table};
use serinus_config::CertificateSettings;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

fn key_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/data_path/tests/keys").join(name)
}

fn pair(cert: &str, key: &str) -> CertificateSettings {
    CertificateSettings { cert: key_file(cert), key: key_file(key) }
}

/// Connects as to `name`, trusting only `root`.
async fn connect(
    running: &Running,
    name: &str,
    root: &str,
    protocols: &[&[u8]],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(key_file(root)).unwrap()).unwrap();
    let mut config = ClientConfig::builder_with_provider(default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let tcp = TcpStream::connect(running.address).await?;
    let server = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(Arc::new(config)).connect(server, tcp).await
}

/// The status of an answer over such a connection.
async fn ask_as(running: &Running, name: &str, root: &str) -> std::io::Result<u16> {
    let mut stream = connect(running, name, root, &[]).await?;
    let request = "GET / HTTP/1.1\r\nhost: shop.test\r\nconnection: close\r\n\r\n";
    Ok(exchange(&mut stream, request).await?.status)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_chosen_by_name_and_reloaded() {
    let stable = Upstream::start("stable", Reply::Status(200)).await;
    let mut settings = settings(&[stable.address], &[]);
    settings.listeners[0].certificates = vec![pair("shop.pem", "shop.key")];
    let running = Running::start(settings, 0.0);
    assert_eq!(ask_as(&running, "shop.test", "shop.pem").await.unwrap(), 200);
    assert!(stable.seen()[0].contains("x-forwarded-proto: https\r\n"), "{}", stable.seen()[0]);
    assert!(ask_as(&running, "other.test", "other.pem").await.is_err());

    let mut next = running.settings.clone();
    next.listeners[0].certificates.push(pair("other.pem", "other.key"));
    running.path.reconfigure(&next, table(&next, 0.0)).unwrap();
    assert_eq!(ask_as(&running, "a.other.test", "other.pem").await.unwrap(), 200);
    assert_eq!(ask_as(&running, "shop.test", "shop.pem").await.unwrap(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_pair_changes_nothing_and_is_named() {
    let stable = Upstream::start("stable", Reply::Status(200)).await;
    let mut settings = settings(&[stable.address], &[]);
    settings.listeners[0].certificates = vec![pair("shop.pem", "shop.key")];
    let running = Running::start(settings, 0.0);
    for (bad, named) in [
        (pair("other.pem", "shop.key"), "other.pem"),
        (pair("missing.pem", "shop.key"), "missing.pem"),
        (pair("shop.pem", "shop.pem"), "shop.pem"),
    ] {
        let mut next = running.settings.clone();
        next.listeners[0].certificates = vec![bad];
        let error = running.path.reconfigure(&next, table(&next, 0.0)).unwrap_err();
        assert!(format!("{error:#}").contains(named), "{error:#}");
        assert_eq!(ask_as(&running, "shop.test", "shop.pem").await.unwrap(), 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http2_is_routed_by_its_authority() {
    let stable = Upstream::start("stable", Reply::Status(200)).await;
    let mut settings = settings(&[stable.address], &[]);
    settings.listeners[0].certificates = vec![pair("shop.pem", "shop.key")];
    let running = Running::start(settings, 0.0);
    let stream = connect(&running, "shop.test", "shop.pem", &[b"h2"]).await.unwrap();
    let io = hyper_util::rt::TokioIo::new(stream);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(executor, io).await.unwrap();
    tokio::spawn(connection);
    for (authority, status) in [("shop.test", 200), ("nobody.test", 404)] {
        let request = http::Request::get(format!("https://{authority}/a?b"))
            .body(http_body_util::Empty::<bytes::Bytes>::new())
            .unwrap();
        assert_eq!(sender.send_request(request).await.unwrap().status(), status);
    }
    let seen = &stable.seen()[0];
    assert!(seen.starts_with("GET /a?b HTTP/1.1\r\n"), "{seen}");
    for (name, value) in [
        ("host", "shop.test"),
        ("x-forwarded-host", "shop.test"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-proto", "https"),
    ] {
        assert_eq!(super::lab::field(seen, name), Some(value), "{name} in {seen}");
    }
    drop(sender);
    assert_eq!(running.stop().await, 0);
}
