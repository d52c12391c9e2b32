//! The certificates of a listener: read at start and on reload, chosen by the name that the client
//! asks for.

use anyhow::{Context, bail};
use arc_swap::ArcSwap;
use serinus_config::CertificateSettings;
use std::sync::Arc;
use tokio_rustls::rustls::client::verify_server_name;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;

/// The certificates of one listener; a reload replaces them all at once.
#[derive(Debug)]
pub(crate) struct Certificates(ArcSwap<Vec<Arc<CertifiedKey>>>);

/// Certificates that were read and fit their keys.
pub(crate) type Chains = Vec<Arc<CertifiedKey>>;

impl Certificates {
    pub(crate) fn new(chains: Chains) -> Self {
        Certificates(ArcSwap::from_pointee(chains))
    }

    pub(crate) fn replace(&self, chains: Chains) {
        self.0.store(Arc::new(chains));
    }

    /// The first certificate that is valid for `name`; the first one of all for clients that name
    /// nothing or something else, as other servers do.
    fn choose(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let chains = self.0.load();
        let named = name.and_then(|name| {
            let name = ServerName::try_from(name).ok()?;
            chains.iter().find(|chain| {
                chain
                    .end_entity_cert()
                    .and_then(ParsedCertificate::try_from)
                    .is_ok_and(|cert| verify_server_name(&cert, &name).is_ok())
            })
        });
        named.or_else(|| chains.first()).cloned()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.choose(hello.server_name())
    }
}

/// Reads every pair of a listener.
///
/// # Errors
/// The first file that cannot be read or used, by its name.
pub(crate) fn read(settings: &[CertificateSettings]) -> anyhow::Result<Chains> {
    let provider = default_provider();
    settings.iter().map(|pair| Ok(Arc::new(read_pair(pair, &provider)?))).collect()
}

fn read_pair(
    pair: &CertificateSettings,
    provider: &CryptoProvider,
) -> anyhow::Result<CertifiedKey> {
    let (cert, key) = (pair.cert.display(), pair.key.display());
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&pair.cert)
        .and_then(Iterator::collect)
        .with_context(|| format!("cannot read the certificate {cert}"))?;
    if chain.is_empty() {
        bail!("there is no certificate in {cert}");
    }
    let private = PrivateKeyDer::from_pem_file(&pair.key)
        .with_context(|| format!("cannot read the key {key}"))?;
    CertifiedKey::from_der(chain, private, provider).with_context(|| {
        format!("the certificate {cert} and the key {key} cannot be used together")
    })
}
