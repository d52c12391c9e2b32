//! TLS with clients: the handshake, and what is known of a client after it.
//!
//! The handshake is done here and not by Pingora, so that everything about it (versions, protocols,
//! authorities of clients) follows a reload, sessions are resumed on whatever thread a client comes
//! back to, and a slow handshake has the listener's own deadline.

use super::certificates::{CertificateExpiry, Certificates, Chain, read};
use super::pem::{self, About};
use anyhow::Context;
use arc_swap::ArcSwap;
use async_trait::async_trait;
use http::HeaderValue;
use pingora::listeners::TlsAccept;
use pingora::listeners::tls::Acceptor;
use pingora::protocols::Stream;
use pingora::protocols::l4::stream::Stream as Cleartext;
use pingora::protocols::tls::TlsRef;
use pingora::protocols::tls::server::handshake_with_callback;
use serinus_config::{
    CertificateSettings, ClientCertificateSettings, HstsSettings, ListenerTlsSettings, TlsVersion,
};
use std::any::Any;
use std::sync::Arc;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

/// How one listener speaks TLS, shared by all threads.
#[derive(Debug)]
pub(crate) struct ListenerTls {
    certificates: Arc<Certificates>,
    terms: ArcSwap<Terms>,
}

/// What a reload may replace as a whole.
#[derive(Debug)]
struct Terms {
    settings: ListenerTlsSettings,
    /// Authorities of clients.
    roots: Option<RootCertStore>,
    config: Arc<ServerConfig>,
    hsts: Option<HeaderValue>,
}

/// Everything read for a listener, and found good.
#[derive(Debug)]
pub(crate) struct Prepared {
    chains: Vec<Chain>,
    settings: ListenerTlsSettings,
    roots: Option<RootCertStore>,
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    hsts: Option<HeaderValue>,
}

/// What the requests of a TLS connection must know of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct TlsClient {
    pub(crate) hsts: Option<HeaderValue>,
    pub(crate) certificate: Option<ClientCertificate>,
}

/// A client's certificate, verified, in the headers that tell the upstream of it.
#[derive(Debug, Clone)]
pub(crate) struct ClientCertificate {
    /// `CN=alice, O=Example`
    pub(crate) subject: HeaderValue,
    /// The certificate as RFC 9440 writes it.
    pub(crate) encoded: HeaderValue,
}

/// Reads what a listener needs.
///
/// # Errors
/// The first file that cannot be read or used, by its name.
pub(crate) fn prepare(
    certificates: &[CertificateSettings],
    settings: &ListenerTlsSettings,
) -> anyhow::Result<Prepared> {
    let chains = read(certificates)?;
    let clients = settings.client_certificate.as_ref();
    let roots = clients.map(|clients| pem::authorities(&clients.authorities)).transpose()?;
    let verifier = match (clients, &roots) {
        (Some(clients), Some(roots)) => Some(verifier(clients, roots.clone())?),
        _ => None,
    };
    let hsts = settings.hsts.as_ref().map(hsts).transpose()?;
    Ok(Prepared { chains, settings: settings.clone(), roots, verifier, hsts })
}

fn verifier(
    clients: &ClientCertificateSettings,
    roots: RootCertStore,
) -> anyhow::Result<Arc<dyn ClientCertVerifier>> {
    let builder =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(default_provider()));
    let builder = if clients.required { builder } else { builder.allow_unauthenticated() };
    builder
        .build()
        .with_context(|| format!("cannot verify clients by {}", clients.authorities.display()))
}

fn hsts(settings: &HstsSettings) -> anyhow::Result<HeaderValue> {
    let mut value = format!("max-age={}", settings.max_age.as_secs());
    if settings.include_subdomains {
        value += "; includeSubDomains";
    }
    if settings.preload {
        value += "; preload";
    }
    Ok(HeaderValue::try_from(value)?)
}

impl ListenerTls {
    /// # Errors
    /// The TLS library refuses the settings, which it does not after [`prepare`].
    pub(crate) fn new(prepared: Prepared) -> anyhow::Result<ListenerTls> {
        let Prepared { chains, settings, roots, verifier, hsts } = prepared;
        let certificates = Arc::new(Certificates::new(chains));
        let config = config(&settings, verifier, Arc::clone(&certificates))?;
        let terms = ArcSwap::from_pointee(Terms { settings, roots, config, hsts });
        Ok(ListenerTls { certificates, terms })
    }

    /// For connections that come from now on. Sessions of clients are forgotten only if something
    /// besides the certificates changed.
    ///
    /// # Errors
    /// As [`ListenerTls::new`]; then nothing has changed.
    pub(crate) fn replace(&self, prepared: Prepared) -> anyhow::Result<()> {
        let Prepared { chains, settings, roots, verifier, hsts } = prepared;
        let now = self.terms.load();
        let is_same_authority = match (&now.roots, &roots) {
            (Some(old), Some(new)) => old.roots == new.roots,
            (old, new) => old.is_none() && new.is_none(),
        };
        if now.settings != settings || !is_same_authority {
            let config = config(&settings, verifier, Arc::clone(&self.certificates))?;
            self.terms.store(Arc::new(Terms { settings, roots, config, hsts }));
        }
        self.certificates.replace(chains);
        Ok(())
    }

    pub(crate) fn expiries(&self, listener: &Arc<str>) -> Vec<CertificateExpiry> {
        self.certificates.expiries(listener)
    }

    /// The handshake with a client.
    ///
    /// # Errors
    /// The client does not speak TLS, or not as it must.
    pub(crate) async fn accept(&self, stream: Box<Cleartext>) -> pingora::Result<Stream> {
        let terms = self.terms.load_full();
        let acceptor = Acceptor::from_server_config(Arc::clone(&terms.config));
        let stream = handshake_with_callback(&acceptor, *stream, &*terms).await?;
        Ok(Box::new(stream))
    }
}

fn config(
    settings: &ListenerTlsSettings,
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    certificates: Arc<Certificates>,
) -> anyhow::Result<Arc<ServerConfig>> {
    let versions: &[&SupportedProtocolVersion] = match settings.min_version {
        TlsVersion::Tls12 => &[&TLS13, &TLS12],
        TlsVersion::Tls13 => &[&TLS13],
    };
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(versions)?;
    let builder = match verifier {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(certificates);
    config.alpn_protocols =
        settings.alpn.iter().map(|protocol| protocol.as_str().as_bytes().to_vec()).collect();
    Ok(Arc::new(config))
}

#[async_trait]
impl TlsAccept for Terms {
    /// What is left here comes back with every request of the connection.
    async fn handshake_complete_callback(
        &self,
        tls: &TlsRef,
    ) -> Option<Arc<dyn Any + Send + Sync>> {
        let certificate = tls.peer_certificate_der().and_then(ClientCertificate::of);
        if self.hsts.is_none() && certificate.is_none() {
            return None;
        }
        Some(Arc::new(TlsClient { hsts: self.hsts.clone(), certificate }))
    }
}

impl ClientCertificate {
    /// None for what is no certificate, which no verifier lets through.
    fn of(certificate: &[u8]) -> Option<ClientCertificate> {
        let subject = About::of(certificate)?.subject;
        // A header holds no control characters, and whoever reads it should not have to guess a charset.
        let plain: String = subject
            .chars()
            .flat_map(|c| match c {
                ' '..='~' => vec![c],
                c => c.escape_default().collect(),
            })
            .collect();
        Some(ClientCertificate {
            subject: HeaderValue::try_from(plain).ok()?,
            encoded: HeaderValue::try_from(format!(":{}:", base64(certificate))).ok()?,
        })
    }
}

/// RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let is_there = digit <= chunk.len();
            let value = (bits >> (18 - 6 * digit) & 63) as usize;
            text.push(if is_there { char::from(DIGITS[value]) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_as_the_rfc_has_it() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
