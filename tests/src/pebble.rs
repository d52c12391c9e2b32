//! A certificate authority that speaks ACME: pebble, as Debian ships it, with names that all lead here.

use crate::lab::DEADLINE;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::json;
use serinus::demo::free_port;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// A free port of the loopback.
///
/// # Panics
/// There is none.
pub fn local() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, free_port().expect("a free port")))
}

/// A CA as a process, with its name server. Both end with this.
pub struct Pebble {
    folder: TempDir,
    /// Where ACME is spoken.
    pub address: SocketAddr,
    management: SocketAddr,
    names: SocketAddr,
    trusted: RootCertStore,
    processes: Vec<Child>,
}

impl Pebble {
    /// A CA that looks at names by HTTP at `http` and by TLS at `tls`, and whose certificates are valid
    /// for so long.
    ///
    /// # Panics
    /// It does not start: `make setup-test` installs it.
    pub async fn start(http: SocketAddr, tls: SocketAddr, validity: Duration) -> Pebble {
        Pebble::start_for(http, tls, validity, &[]).await
    }

    /// The same, for `customers` alone: the names of their keys, and the keys in base64url. Without
    /// any, for everybody.
    ///
    /// # Panics
    /// As [`Pebble::start`].
    pub async fn start_for(
        http: SocketAddr,
        tls: SocketAddr,
        validity: Duration,
        customers: &[(&str, &str)],
    ) -> Pebble {
        let folder = TempDir::new().expect("a temporary folder");
        let path = |name: &str| folder.path().join(name);
        // What its own server is verified by.
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new([]).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = params.self_signed(&key).expect("a certificate");
        let issuer = Issuer::new(params, key);
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(["127.0.0.1".to_owned()]).expect("an address");
        let own = params.signed_by(&key, &issuer).expect("a certificate");
        let write = |name: &str, text: String| {
            std::fs::write(path(name), text).expect("the folder is ours");
        };
        write("ca.pem", root.pem());
        write("own.pem", own.pem());
        write("own.key", key.serialize_pem());
        let (address, management, names) = (local(), local(), local());
        let config = json!({ "pebble": {
            "listenAddress": address,
            "managementListenAddress": management,
            "certificate": path("own.pem"),
            "privateKey": path("own.key"),
            "httpPort": http.port(),
            "tlsPort": tls.port(),
            "ocspResponderURL": "",
            "externalAccountBindingRequired": !customers.is_empty(),
            "externalAccountMACKeys": customers.iter().copied().collect::<BTreeMap<_, _>>(),
            "certificateValidityPeriod": validity.as_secs(),
        } });
        write("pebble.json", config.to_string());
        let mut trusted = RootCertStore::empty();
        trusted.add(root.der().clone()).expect("an authority");
        let processes = Vec::new();
        let mut pebble = Pebble { folder, address, management, names, trusted, processes };
        pebble.begin().await;
        pebble
    }

    /// What its own server is verified by, PEM.
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Kills it.
    pub async fn kill(&mut self) {
        for process in &mut self.processes {
            process.kill().await.expect("the process is ours");
        }
        self.processes.clear();
    }

    /// Starts it, without a memory and with another root.
    ///
    /// # Panics
    /// It does not start.
    pub async fn begin(&mut self) {
        let names = self.names.to_string();
        let config = self.folder.path().join("pebble.json");
        let config = config.to_str().expect("an ordinary name").to_owned();
        let off = ["-http01", "", "-https01", "", "-tlsalpn01", "", "-management", ""];
        let address = ["-defaultIPv4", "127.0.0.1", "-defaultIPv6", "", "-dns01", &names];
        let management = local().to_string();
        let mut server: Vec<&str> = off.into_iter().chain(address).collect();
        server[7] = &management;
        self.run("pebble-challtestsrv", &server);
        self.run("pebble", &["-config", &config, "-dnsserver", &names]);
        let deadline = Instant::now() + DEADLINE;
        while let Err(error) = self.get("/roots/0").await {
            let log = std::fs::read_to_string(self.folder.path().join("pebble.log"));
            let log = log.unwrap_or_default();
            assert!(Instant::now() < deadline, "pebble does not start: {error}\n{log}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn run(&mut self, program: &str, arguments: &[&str]) {
        let log = File::create(self.folder.path().join(format!("{program}.log")));
        let log = log.expect("the folder is ours");
        let process = Command::new(program)
            .args(arguments)
            .current_dir(self.folder.path())
            // At once, always, and with a good memory for the numbers that it gave out.
            .envs([
                ("PEBBLE_VA_NOSLEEP", "1"),
                ("PEBBLE_AUTHZREUSE", "0"),
                ("PEBBLE_WFE_NONCEREJECT", "0"),
            ])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a descriptor"))
            .stderr(log)
            .kill_on_drop(true)
            .spawn();
        let process = process
            .unwrap_or_else(|error| panic!("{program}: {error}; `make setup-test` installs it"));
        self.processes.push(process);
    }

    /// Those who sign what it issues, until it is started anew.
    ///
    /// # Panics
    /// It does not say.
    pub async fn roots(&self) -> RootCertStore {
        let page = self.get("/roots/0").await.expect("pebble runs");
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_slice(page.as_bytes()).expect("a certificate");
        roots.add(root).expect("an authority");
        roots
    }

    async fn get(&self, path: &str) -> io::Result<String> {
        let mut stream = greet(self.management, "127.0.0.1", &self.trusted).await?;
        let request = format!("GET {path} HTTP/1.0\r\nhost: pebble\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
    }
}

/// A connection over TLS to `name` at `server`, whose certificate these must have signed.
///
/// # Errors
/// There is no connection, or it shows another certificate.
pub async fn greet(
    server: SocketAddr,
    name: &str,
    roots: &RootCertStore,
) -> io::Result<TlsStream<TcpStream>> {
    let config = ClientConfig::builder_with_provider(default_provider().into())
        .with_safe_default_protocol_versions()
        .expect("rustls knows them")
        .with_root_certificates(roots.clone())
        .with_no_client_auth();
    let stream = TcpStream::connect(server).await?;
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

/// The certificate at the other end.
///
/// # Panics
/// There is none, which no handshake lets pass.
pub fn leaf(stream: &TlsStream<TcpStream>) -> Vec<u8> {
    let chain = stream.get_ref().1.peer_certificates().expect("a certificate");
    chain[0].to_vec()
}
