//! Certificates and keys in files, and what stands in a certificate.

use anyhow::{Context, bail};
use std::path::Path;
use tokio_rustls::rustls::{self, RootCertStore};
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension, X509Certificate};

/// Every certificate of a file; never none.
///
/// # Errors
/// It cannot be read, or there is none, by its name.
pub(crate) fn certificates(file: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let shown = file.display();
    let chain: Vec<_> = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .with_context(|| format!("cannot read the certificate {shown}"))?;
    if chain.is_empty() {
        bail!("there is no certificate in {shown}");
    }
    Ok(chain)
}

/// A chain and the key that belongs to it.
///
/// # Errors
/// As [`certificates`], the same of the key, and where they do not fit each other.
pub(crate) fn pair(cert: &Path, key: &Path) -> anyhow::Result<CertifiedKey> {
    let chain = certificates(cert)?;
    let private = private_key(key)?;
    let (cert, key) = (cert.display(), key.display());
    match CertifiedKey::from_der(chain, private, &default_provider()) {
        Err(rustls::Error::InconsistentKeys(_)) => {
            bail!("the key {key} is not the one of the certificate {cert}")
        }
        pair => pair.with_context(|| {
            format!("the certificate {cert} and the key {key} cannot be used together")
        }),
    }
}

/// The key of a file.
///
/// # Errors
/// It cannot be read, by its name.
pub(crate) fn private_key(file: &Path) -> anyhow::Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_file(file)
        .with_context(|| format!("cannot read the key {}", file.display()))
}

/// The certificates of a file as authorities.
///
/// # Errors
/// As [`certificates`], and one that cannot be an authority.
pub(crate) fn authorities(file: &Path) -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        roots
            .add(certificate)
            .with_context(|| format!("a certificate in {} is no authority", file.display()))?;
    }
    Ok(roots)
}

/// What a certificate says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct About {
    /// Its first host name, or else its subject.
    pub(crate) name: String,
    /// Its subject, `CN=alice, O=Example`.
    pub(crate) subject: String,
    /// The begin and the end of its validity, in seconds since 1970.
    pub(crate) not_before: i64,
    pub(crate) not_after: i64,
}

impl About {
    /// None if it is no certificate.
    pub(crate) fn of(certificate: &[u8]) -> Option<About> {
        let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
        let subject = certificate.subject().to_string();
        let names = certificate.extensions().iter().filter_map(|extension| {
            match extension.parsed_extension() {
                ParsedExtension::SubjectAlternativeName(names) => Some(&names.general_names),
                _ => None,
            }
        });
        let host = names.flatten().find_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        });
        Some(About {
            name: host.unwrap_or_else(|| subject.clone()),
            subject,
            not_before: certificate.validity().not_before.timestamp(),
            not_after: certificate.validity().not_after.timestamp(),
        })
    }
}
