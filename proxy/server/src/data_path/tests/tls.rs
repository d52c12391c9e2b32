//! Certificates by name, and their reload.

use super::authority::Authority;
use super::lab::{Answer, Reply, Upstream, exchange};
use super::{Running, settings, table};
use crate::data_path::Reason;
use serinus_config::{
    AlpnProtocol, CertificateSettings, ClientCertificateSettings, HstsSettings,
    ListenerTlsSettings, TlsVersion,
};
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
        (pair("other.pem", "shop.key"), "shop.key is not the one of the certificate"),
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

/// A listener with a certificate for `shop.test` and these settings, in front of one endpoint.
async fn encrypted(authority: &Authority, tls: ListenerTlsSettings) -> (Running, Upstream) {
    let stable = Upstream::start("stable", Reply::Status(200)).await;
    let issued = authority.issue("shop", "shop.test", 2090);
    let mut settings = settings(&[stable.address], &[]);
    settings.listeners[0].certificates =
        vec![CertificateSettings { cert: issued.cert, key: issued.key }];
    settings.listeners[0].tls = tls;
    (Running::start(settings, 0.0), stable)
}

/// Asks once over TLS with this client.
async fn ask_over(running: &Running, config: ClientConfig) -> std::io::Result<Answer> {
    let tcp = TcpStream::connect(running.address).await?;
    let server = ServerName::try_from("shop.test").unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(server, tcp).await?;
    let forged = "x-client-subject: CN=root\r\nclient-cert: :AAAA:\r\n";
    let request = format!("GET / HTTP/1.1\r\nhost: shop.test\r\n{forged}connection: close\r\n\r\n");
    exchange(&mut stream, &request).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_certificate_is_verified_and_told_to_the_upstream() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let clients = |required| ListenerTlsSettings {
        client_certificate: Some(ClientCertificateSettings {
            authorities: authority.file(),
            required,
        }),
        ..ListenerTlsSettings::default()
    };
    let (running, stable) = encrypted(&authority, clients(false)).await;
    let alice = authority.issue("alice", "alice.test", 2090);
    let mallory = stranger.issue("alice", "alice.test", 2090);
    let status = ask_over(&running, authority.client(Some(&alice), &[])).await.unwrap().status;
    assert_eq!(status, 200);
    let seen = stable.seen();
    let told = super::lab::field(&seen[0], "x-client-subject");
    assert_eq!(told, Some("CN=alice, O=Example"), "{}", seen[0]);
    let encoded = super::lab::field(&seen[0], "client-cert").unwrap();
    assert!(encoded.starts_with(":MII") && encoded.ends_with(':'), "{encoded}");
    assert_eq!(seen[0].matches("lient-cert: ").count(), 1, "{}", seen[0]);
    // Without one there is no name, whatever the client says of itself.
    assert_eq!(ask_over(&running, authority.client(None, &[])).await.unwrap().status, 200);
    assert_eq!(super::lab::field(&stable.seen()[1], "x-client-subject"), None);
    assert_eq!(super::lab::field(&stable.seen()[1], "client-cert"), None);
    assert!(ask_over(&running, authority.client(Some(&mallory), &[])).await.is_err());
    // From now on one is required, for connections that come then.
    let mut next = running.settings.clone();
    next.listeners[0].tls = clients(true);
    running.path.reconfigure(&next, table(&next, 0.0)).unwrap();
    assert!(ask_over(&running, authority.client(None, &[])).await.is_err());
    assert_eq!(ask_over(&running, authority.client(Some(&alice), &[])).await.unwrap().status, 200);
    assert_eq!(stable.seen().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_protocols_and_hsts_follow_a_reload() {
    let authority = Authority::new();
    let (running, stable) = encrypted(&authority, ListenerTlsSettings::default()).await;
    let old_client = || {
        let mut config = ClientConfig::builder_with_provider(default_provider().into())
            .with_protocol_versions(&[&tokio_rustls::rustls::version::TLS12])
            .unwrap()
            .with_root_certificates(authority.roots())
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config
    };
    let protocol = async |config: ClientConfig| {
        let tcp = TcpStream::connect(running.address).await.unwrap();
        let server = ServerName::try_from("shop.test").unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(server, tcp).await?;
        let chosen = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
        Ok::<_, std::io::Error>(chosen.unwrap_or_default())
    };
    assert_eq!(protocol(old_client()).await.unwrap(), b"h2");
    let plain = authority.client(None, &["http/1.1"]);
    let answer = ask_over(&running, plain.clone()).await.unwrap();
    assert_eq!(answer.field("strict-transport-security"), None);
    let mut next = running.settings.clone();
    next.listeners[0].tls = ListenerTlsSettings {
        min_version: TlsVersion::Tls13,
        alpn: vec![AlpnProtocol::Http11],
        hsts: Some(HstsSettings {
            max_age: std::time::Duration::from_secs(31_536_000),
            include_subdomains: true,
            preload: true,
        }),
        client_certificate: None,
    };
    running.path.reconfigure(&next, table(&next, 0.0)).unwrap();
    assert!(protocol(old_client()).await.is_err(), "TLS 1.2 is refused");
    let both = authority.client(None, &["h2", "http/1.1"]);
    assert_eq!(protocol(both).await.unwrap(), b"http/1.1");
    let hsts = "max-age=31536000; includeSubDomains; preload";
    let answer = ask_over(&running, plain.clone()).await.unwrap();
    assert_eq!(answer.field("strict-transport-security"), Some(hsts));
    stable.reply(Reply::Close);
    let answer = ask_over(&running, plain.clone()).await.unwrap();
    assert_eq!((answer.status, answer.field("strict-transport-security")), (502, Some(hsts)));
    let own =
        "HTTP/1.1 200 OK\r\nstrict-transport-security: max-age=0\r\ncontent-length: 0\r\n\r\n";
    stable.reply(Reply::Raw(own));
    let answer = ask_over(&running, plain).await.unwrap();
    assert_eq!(answer.field("strict-transport-security"), Some("max-age=0"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http2_requests_carry_the_name_and_the_answers_hsts() {
    let authority = Authority::new();
    let tls = ListenerTlsSettings {
        hsts: Some(HstsSettings {
            max_age: std::time::Duration::from_secs(60),
            include_subdomains: false,
            preload: false,
        }),
        client_certificate: Some(ClientCertificateSettings {
            authorities: authority.file(),
            required: true,
        }),
        ..ListenerTlsSettings::default()
    };
    let (running, stable) = encrypted(&authority, tls).await;
    let alice = authority.issue("alice", "alice.test", 2090);
    let config = authority.client(Some(&alice), &["h2"]);
    let tcp = TcpStream::connect(running.address).await.unwrap();
    let server = ServerName::try_from("shop.test").unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(server, tcp).await.unwrap();
    let io = hyper_util::rt::TokioIo::new(stream);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(executor, io).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::get("https://shop.test/")
        .header("client-cert", ":AAAA:")
        .body(http_body_util::Empty::<bytes::Bytes>::new())
        .unwrap();
    let answer = sender.send_request(request).await.unwrap();
    assert_eq!(answer.headers()["strict-transport-security"], "max-age=60");
    let seen = &stable.seen()[0];
    assert_eq!(super::lab::field(seen, "x-client-subject"), Some("CN=alice, O=Example"), "{seen}");
    assert_eq!(seen.matches("lient-cert: ").count(), 1, "{seen}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plain_listener_sends_clients_to_https() {
    let stable = Upstream::start("stable", Reply::Status(200)).await;
    let mut settings = settings(&[stable.address], &[]);
    settings.listeners[0].https_redirect = Some(8443);
    let running = Running::start(settings, 0.0);
    let answer = running.get("/a?b=1").await;
    assert_eq!((answer.status, answer.body.as_str()), (308, ""));
    assert_eq!(answer.field("location"), Some("https://shop.test:8443/a?b=1"));
    let answer = running.ask("GET / HTTP/1.0\r\n\r\n").await;
    assert_eq!(answer.status, 400, "there is no place without a host");
    assert_eq!(stable.seen().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http2_without_tls_is_for_those_who_begin_with_it() {
    let stable = Upstream::start("stable", Reply::Status(200)).await;
    let mut settings = settings(&[stable.address], &[]);
    settings.listeners[0].h2c = true;
    let running = Running::start(settings, 0.0);
    let io = hyper_util::rt::TokioIo::new(TcpStream::connect(running.address).await.unwrap());
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(executor, io).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::get("http://shop.test/")
        .body(http_body_util::Empty::<bytes::Bytes>::new())
        .unwrap();
    assert_eq!(sender.send_request(request).await.unwrap().status(), 200);
    // Shorter than the preface of HTTP/2, and with its first letter.
    assert_eq!(running.ask("PUT / HTTP/1.0\r\n\r\n").await.status, 404);
    assert_eq!(running.get("/").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_every_certificate_is_known() {
    let authority = Authority::new();
    let (running, _stable) = encrypted(&authority, ListenerTlsSettings::default()).await;
    let ends = running.path.certificates();
    let end = 3_818_361_600; // 2090-12-31
    assert_eq!((ends.len(), &*ends[0].listener, ends[0].name.as_str()), (1, "web", "shop.test"));
    assert_eq!(ends[0].not_after, end);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_chose_http2_and_does_not_begin_is_not_waited_for() {
    let authority = Authority::new();
    let (running, stable) = encrypted(&authority, ListenerTlsSettings::default()).await;
    let mut next = running.settings.clone();
    next.listeners[0].header_timeout = std::time::Duration::from_millis(300);
    running.path.reconfigure(&next, table(&next, 0.0)).unwrap();
    for (said, counts) in [(&b""[..], 0), (b"PRI * HTTP/2.0\r\n", 1), (b"GET / HTTP/1.1\r\n", 2)] {
        let config = authority.client(None, &["h2"]);
        let tcp = TcpStream::connect(running.address).await.unwrap();
        let server = ServerName::try_from("shop.test").unwrap();
        let mut stream = TlsConnector::from(Arc::new(config)).connect(server, tcp).await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, said).await.unwrap();
        let mut goodbye = [0; 64];
        let end = tokio::io::AsyncReadExt::read(&mut stream, &mut goodbye);
        // Closed, with or without a goodbye.
        let end = tokio::time::timeout(super::PATIENCE, end).await.expect("an end");
        assert_eq!(end.unwrap_or(0), 0);
        super::hardening::counted(&running, Reason::Http2, counts).await;
    }
    assert_eq!(stable.seen(), [""; 0]);
}
