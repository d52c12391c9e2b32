//! What comes before HTTP on a TLS connection, and floods within HTTP/2.

use super::hardening::counted;
use super::lab::{Reply, Upstream, exchange, field};
use super::{PATIENCE, Running, settings};
use crate::data_path::Reason;
use serinus_config::{CertificateSettings, parse};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
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

/// A TLS listener with these further keys.
async fn started(keys: &str) -> (Upstream, Running) {
    let stable = Upstream::start("stable", Reply::Status(200)).await;
    let mut settings = settings(&[stable.address], &[]);
    let text = format!(
        "[listener.a]\naddress = \"127.0.0.1:0\"\n{keys}\n[route.a]\nservice = \"a\"\n\
         [service.a.stable]\nendpoints = [\"a:1\"]\n"
    );
    settings.listeners[0].intake =
        parse(&text, Path::new("s.toml")).unwrap().listeners[0].intake.clone();
    settings.listeners[0].certificates =
        vec![CertificateSettings { cert: key_file("shop.pem"), key: key_file("shop.key") }];
    (stable, Running::start(settings, 0.0))
}

/// A handshake after the bytes of `first`.
async fn connect(
    running: &Running,
    first: &[u8],
    protocol: &[u8],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(key_file("shop.pem")).unwrap()).unwrap();
    let mut config = ClientConfig::builder_with_provider(default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let mut tcp = TcpStream::connect(running.address).await?;
    tcp.write_all(first).await?;
    let server = ServerName::try_from("shop.test").unwrap();
    TlsConnector::from(Arc::new(config)).connect(server, tcp).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_header_comes_before_the_handshake() {
    let (stable, running) =
        started("identity = { trusted_proxies = [\"127.0.0.1\"], proxy_protocol = true }").await;
    let mut binary = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c".to_vec();
    binary.extend([192, 0, 2, 7, 198, 51, 100, 1, 0, 80, 1, 187]);
    for first in [&b"PROXY TCP4 192.0.2.7 198.51.100.1 80 443\r\n"[..], &binary] {
        let mut stream = connect(&running, first, b"http/1.1").await.unwrap();
        let request = "GET / HTTP/1.1\r\nhost: shop.test\r\nconnection: close\r\n\r\n";
        assert_eq!(exchange(&mut stream, request).await.unwrap().status, 200);
        let seen = stable.seen();
        assert_eq!(field(seen.last().unwrap(), "x-forwarded-for"), Some("192.0.2.7"));
        assert_eq!(field(seen.last().unwrap(), "x-forwarded-proto"), Some("https"));
    }
    assert!(connect(&running, b"", b"http/1.1").await.is_err());
    counted(&running, Reason::ProxyHeader, 1).await;
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// GET / over https with an authority, in HPACK without Huffman.
const FIELDS: &[u8] = b"\x82\x87\x84\x01\x09shop.test";

/// Sends frames until the connection is ended; the error of its GOAWAY.
async fn flood(running: &Running, frames: impl Iterator<Item = Vec<u8>>) -> Option<u32> {
    let mut stream = connect(running, b"", b"h2").await.unwrap();
    let mut first = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    first.extend(frame(4, 0, 0, b""));
    stream.write_all(&first).await.unwrap();
    let (mut reading, mut writing) = tokio::io::split(stream);
    let sending = async {
        for frame in frames {
            if writing.write_all(&frame).await.is_err() {
                return;
            }
        }
        let _ = writing.flush().await;
    };
    let mut received = Vec::new();
    let receiving = async {
        let _ = reading.read_to_end(&mut received).await;
    };
    let both = async { tokio::join!(sending, receiving) };
    tokio::time::timeout(PATIENCE, both).await.expect("the connection is ended");
    let mut error = None;
    let mut rest = &received[..];
    while rest.len() >= 9 {
        let length = u32::from_be_bytes([0, rest[0], rest[1], rest[2]]) as usize;
        if rest[3] == 7 {
            error = Some(u32::from_be_bytes(rest[13..17].try_into().unwrap()));
        }
        rest = rest.get(9 + length..).unwrap_or_default();
    }
    error
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_are_reset_at_once_end_the_connection() {
    let (_stable, running) = started("").await;
    let pairs = (0..50_000u32).map(|number| {
        let stream = 2 * number + 1;
        let mut pair = frame(1, 5, stream, FIELDS);
        pair.extend(frame(3, 0, stream, &8u32.to_be_bytes()));
        pair
    });
    // ENHANCE_YOUR_CALM
    assert_eq!(flood(&running, pairs).await, Some(11));
    assert_eq!(running.path.failures_since_drain("checkout"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_without_an_end_end_the_connection() {
    let (stable, running) = started("").await;
    let first = || std::iter::once(frame(1, 1, 1, FIELDS));
    let fields = b"\x00\x01a\x01b".repeat(200);
    let long = first().chain((0..20_000).map(|_| frame(9, 0, 1, &fields)));
    assert!(flood(&running, long).await.is_some_and(|error| error != 0));
    let empty = first().chain((0..200_000).map(|_| frame(9, 0, 1, b"")));
    assert!(flood(&running, empty).await.is_some_and(|error| error != 0));
    assert_eq!(stable.seen(), [""; 0]);
}
