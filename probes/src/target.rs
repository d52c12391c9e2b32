//! Where a probe goes: one endpoint of one variant.

use crate::any_certificate::AnyCertificate;
use rustls_native_certs::load_native_certs;
use serinus_config::{PoolSettings, UpstreamProtocol, UpstreamTlsSettings};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fmt, fs, io};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{
    CertificateDer, InvalidDnsNameError, PrivateKeyDer, ServerName,
};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

/// One endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// `host:port`, resolved anew for every run.
    pub endpoint: String,
    /// How to speak TLS with it; none for plain HTTP.
    pub tls: Option<Tls>,
    /// Whether it speaks HTTP/2.
    pub http2: bool,
}

impl Target {
    /// An endpoint that speaks plain HTTP/1.1.
    pub fn plain(endpoint: impl Into<String>) -> Target {
        Target { endpoint: endpoint.into(), tls: None, http2: false }
    }

    /// The endpoints of a pool, each spoken to as users' requests are. Reads the files that it names.
    ///
    /// # Errors
    /// One that cannot be used.
    pub fn all_of(pool: &PoolSettings) -> Result<Vec<Target>, TlsError> {
        let http2 = pool.transport.protocol != UpstreamProtocol::Http1;
        let tls = pool.transport.tls.as_ref();
        let tls = tls.map(|settings| Tls::of(settings, http2)).transpose()?;
        let target =
            |endpoint: &str| Target { endpoint: endpoint.to_owned(), tls: tls.clone(), http2 };
        Ok(pool.addresses().map(target).collect())
    }
}

/// TLS towards an endpoint: which name its certificate must carry, and who may have signed it.
#[derive(Clone)]
pub struct Tls {
    pub(crate) config: Arc<ClientConfig>,
    pub(crate) name: ServerName<'static>,
    /// What the configuration was made from, where it came from files: what makes it another one.
    made_of: Option<Arc<Material>>,
}

#[derive(PartialEq, Eq)]
struct Material {
    settings: UpstreamTlsSettings,
    http2: bool,
    files: Vec<Vec<u8>>,
}

/// TLS that cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// No usable certificate.
    #[error("no certificate authority found in {0}")]
    NoRoots(&'static str),
    /// A file cannot be read.
    #[error("cannot read {}: {source}", file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The PEM text is broken.
    #[error("certificate authority: {0}")]
    Pem(#[from] rustls::pki_types::pem::Error),
    /// Refused by rustls.
    #[error("certificate authority: {0}")]
    Certificate(#[from] rustls::Error),
    /// Not a host name or address.
    #[error("server name: {0}")]
    Name(#[from] InvalidDnsNameError),
}

impl Tls {
    /// Trusts what the machine trusts. Reads files: call it once, and clone.
    ///
    /// # Errors
    /// If the machine has no roots, or `name` is no host name.
    pub fn native(name: &str) -> Result<Tls, TlsError> {
        let roots = native_roots();
        if roots.is_empty() {
            return Err(TlsError::NoRoots("the machine's store"));
        }
        Tls::with_roots(roots, name)
    }

    /// Trusts these authorities (PEM) alone.
    ///
    /// # Errors
    /// If the text is broken or empty, or `name` is no host name.
    pub fn with_authority(pem: &[u8], name: &str) -> Result<Tls, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            roots.add(certificate?)?;
        }
        if roots.is_empty() {
            return Err(TlsError::NoRoots("the PEM text"));
        }
        Tls::with_roots(roots, name)
    }

    /// As a pool's settings say. Reads the files that they name.
    ///
    /// # Errors
    /// One that cannot be used.
    pub fn of(settings: &UpstreamTlsSettings, http2: bool) -> Result<Tls, TlsError> {
        let mut files = Vec::new();
        let roots = match &settings.authorities {
            Some(file) => {
                let mut roots = RootCertStore::empty();
                let pem = read(file)?;
                for certificate in CertificateDer::pem_slice_iter(&pem) {
                    roots.add(certificate?)?;
                }
                files.push(pem);
                roots
            }
            None => native_roots(),
        };
        let pair = match &settings.client_certificate {
            Some((cert, key)) => {
                let (cert, key) = (read(cert)?, read(key)?);
                let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&cert).collect();
                let pair = (chain?, PrivateKeyDer::from_pem_slice(&key)?);
                files.extend([cert, key]);
                Some(pair)
            }
            None => None,
        };
        if roots.is_empty() && settings.verify {
            return Err(TlsError::NoRoots("the machine's store"));
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let mut config = match pair {
            Some((chain, key)) => builder.with_client_auth_cert(chain, key)?,
            None => builder.with_no_client_auth(),
        };
        if !settings.verify {
            config.dangerous().set_certificate_verifier(Arc::new(AnyCertificate::new(&provider)));
        }
        config.alpn_protocols = vec![if http2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
        let material = Material { settings: settings.clone(), http2, files };
        Ok(Tls {
            config: Arc::new(config),
            name: ServerName::try_from(settings.server_name.clone())?,
            made_of: Some(Arc::new(material)),
        })
    }

    /// The handshake.
    ///
    /// # Errors
    /// The other side speaks no TLS, or is not who it must be.
    pub async fn connect(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        TlsConnector::from(self.config.clone()).connect(self.name.clone(), stream).await
    }

    fn with_roots(roots: RootCertStore, name: &str) -> Result<Tls, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let name = ServerName::try_from(name.to_owned())?;
        Ok(Tls { config: Arc::new(config), name, made_of: None })
    }
}

fn read(file: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(file).map_err(|source| TlsError::File { file: file.to_owned(), source })
}

fn native_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(load_native_certs().certs);
    roots
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tls").field(&self.name).finish()
    }
}

impl PartialEq for Tls {
    fn eq(&self, other: &Tls) -> bool {
        let same_files = matches!((&self.made_of, &other.made_of), (Some(a), Some(b)) if a == b);
        self.name == other.name && (same_files || Arc::ptr_eq(&self.config, &other.config))
    }
}

impl Eq for Tls {}
