//! Certificates and keys in files, and what stands in a certificate.

use anyhow::{Context, bail};
use std::path::Path;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{self, RootCertStore};
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::prelude::{
    AttributeTypeAndValue, FromDer, GeneralName, ParsedExtension, X509Certificate, X509Name,
};

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

/// A name in its parts, `CN=alice, O=Example`. What in a value would read as the begin of another part
/// is escaped (RFC 4514, 2.4): nobody passes for `O=Example, CN=root` by being called so.
fn written(name: &X509Name<'_>) -> String {
    let part = |attribute: &AttributeTypeAndValue<'_>| {
        let kind = match oid2abbrev(attribute.attr_type(), oid_registry()) {
            Ok(short) => short.to_owned(),
            Err(_) => attribute.attr_type().to_id_string(),
        };
        let value = match attribute.as_str() {
            Ok(text) => escaped(text),
            Err(_) => attribute
                .as_slice()
                .iter()
                .fold("#".to_owned(), |text, byte| text + &format!("{byte:02X}")),
        };
        format!("{kind}={value}")
    };
    let parts = name.iter_rdn().map(|parts| parts.iter().map(part).collect::<Vec<_>>().join(" + "));
    parts.collect::<Vec<_>>().join(", ")
}

fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for (at, c) in value.char_indices() {
        let is_at_an_end = at == 0 || at + c.len_utf8() == value.len();
        if matches!(c, ',' | '+' | '"' | '\\' | '<' | '>' | ';' | '=')
            || (at == 0 && c == '#')
            || (is_at_an_end && c == ' ')
        {
            text.push('\\');
        }
        text.push(c);
    }
    text
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
        let subject = written(certificate.subject());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_of_a_name_reads_as_two() {
        for (value, text) in [
            ("alice", "alice"),
            ("Example, CN=root", "Example\\, CN\\=root"),
            ("a + b", "a \\+ b"),
            (" #\\ ", "\\ #\\\\\\ "),
            ("#04", "\\#04"),
            ("", ""),
        ] {
            assert_eq!(escaped(value), text);
        }
    }
}
