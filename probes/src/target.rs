//! Where a probe goes: one endpoint of one variant.

use rustls_native_certs::load_native_certs;
use std::fmt;
use std::sync::Arc;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, InvalidDnsNameError, ServerName};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

/// One endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// `host:port`, resolved anew for every run.
    pub endpoint: String,
    /// How to speak TLS with it; none for plain HTTP.
    pub tls: Option<Tls>,
}

impl Target {
    /// An endpoint that speaks plain HTTP.
    pub fn plain(endpoint: impl Into<String>) -> Target {
        Target { endpoint: endpoint.into(), tls: None }
    }
}

/// TLS towards an endpoint: which name its certificate must carry, and who may have signed it.
#[derive(Clone)]
pub struct Tls {
    pub(crate) config: Arc<ClientConfig>,
    pub(crate) name: ServerName<'static>,
}

/// TLS that cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// No usable certificate.
    #[error("no certificate authority found in {0}")]
    NoRoots(&'static str),
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
        let mut roots = RootCertStore::empty();
        let (added, _refused) = roots.add_parsable_certificates(load_native_certs().certs);
        if added == 0 {
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

    fn with_roots(roots: RootCertStore, name: &str) -> Result<Tls, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Tls { config: Arc::new(config), name: ServerName::try_from(name.to_owned())? })
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tls").field(&self.name).finish()
    }
}

impl PartialEq for Tls {
    fn eq(&self, other: &Tls) -> bool {
        self.name == other.name && Arc::ptr_eq(&self.config, &other.config)
    }
}

impl Eq for Tls {}
