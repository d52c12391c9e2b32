//! TLS with clients: the handshake, and what is known of a client after it.
//!
//! The handshake is done here and not by Pingora, so that everything about it (versions, protocols,
//! authorities of clients) follows a reload, sessions are resumed on whatever thread a client comes
//! back to, and a slow handshake has the listener's own deadline.

use super::certificates::{CertificateExpiry, Certificates, Chain, Shown, read, read_issued};
use super::pem::{self, About};
use crate::acme::{Challenges, PROTOCOL, Store};
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
    AcmeChallenge, AcmeSettings, ClientCertificateSettings, HstsSettings, ListenerSettings,
    ListenerTlsSettings, TlsVersion,
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
    speech: ArcSwap<Speech>,
}

/// What a reload may replace as a whole.
#[derive(Debug)]
struct Speech {
    settings: ListenerTlsSettings,
    /// The CA looks here whose a name is.
    is_looked_at: bool,
    /// Authorities of clients.
    roots: Option<RootCertStore>,
    config: Arc<ServerConfig>,
    hsts: Option<HeaderValue>,
}

/// Everything read for a listener, and found good.
#[derive(Debug)]
pub(crate) struct Prepared {
    shown: Shown,
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
    listener: &ListenerSettings,
    ca: Option<(&AcmeSettings, &Store)>,
) -> anyhow::Result<Prepared> {
    let settings = &listener.tls;
    let is_tls = |acme: &AcmeSettings| acme.challenge == AcmeChallenge::TlsAlpn;
    let shown = Shown {
        files: read(&listener.certificates)?,
        issued: read_issued(ca.map(|(_, store)| store), &listener.acme),
        is_looked_at: !listener.acme.is_empty() && ca.is_some_and(|(acme, _)| is_tls(acme)),
    };
    let clients = settings.client_certificate.as_ref();
    let roots = clients.map(|clients| pem::authorities(&clients.authorities)).transpose()?;
    let verifier = match (clients, &roots) {
        (Some(clients), Some(roots)) => Some(verifier(clients, roots.clone())?),
        _ => None,
    };
    let hsts = settings.hsts.as_ref().map(hsts).transpose()?;
    Ok(Prepared { shown, settings: settings.clone(), roots, verifier, hsts })
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
    pub(crate) fn new(
        prepared: Prepared,
        challenges: Arc<Challenges>,
    ) -> anyhow::Result<ListenerTls> {
        let Prepared { shown, settings, roots, verifier, hsts } = prepared;
        let is_looked_at = shown.is_looked_at;
        let certificates = Arc::new(Certificates::new(shown, challenges));
        let config = config(&settings, is_looked_at, verifier, Arc::clone(&certificates))?;
        let speech = Speech { settings, is_looked_at, roots, config, hsts };
        Ok(ListenerTls { certificates, speech: ArcSwap::from_pointee(speech) })
    }

    /// For connections that come from now on. Sessions of clients are forgotten only if something
    /// besides the certificates changed.
    ///
    /// # Errors
    /// As [`ListenerTls::new`]; then nothing has changed.
    pub(crate) fn replace(&self, prepared: Prepared) -> anyhow::Result<()> {
        let Prepared { shown, settings, roots, verifier, hsts } = prepared;
        let is_looked_at = shown.is_looked_at;
        let now = self.speech.load();
        let is_same_authority = match (&now.roots, &roots) {
            (Some(old), Some(new)) => old.roots == new.roots,
            (old, new) => old.is_none() && new.is_none(),
        };
        let is_same = now.settings == settings && now.is_looked_at == is_looked_at;
        if !is_same || !is_same_authority {
            let config = config(&settings, is_looked_at, verifier, Arc::clone(&self.certificates))?;
            self.speech.store(Arc::new(Speech { settings, is_looked_at, roots, config, hsts }));
        }
        self.certificates.replace(shown);
        Ok(())
    }

    /// Shows what a CA issued, if it did it for this listener.
    pub(crate) fn show_issued(&self, name: &str, chain: &Arc<Chain>) {
        self.certificates.show_issued(name, chain);
    }

    pub(crate) fn expiries(&self, listener: &Arc<str>) -> Vec<CertificateExpiry> {
        self.certificates.expiries(listener)
    }

    /// The handshake with a client.
    ///
    /// # Errors
    /// The client does not speak TLS, or not as it must.
    pub(crate) async fn accept(&self, stream: Box<Cleartext>) -> pingora::Result<Stream> {
        let speech = self.speech.load_full();
        let acceptor = Acceptor::from_server_config(Arc::clone(&speech.config));
        let stream = handshake_with_callback(&acceptor, *stream, &*speech).await?;
        Ok(Box::new(stream))
    }
}

fn config(
    settings: &ListenerTlsSettings,
    is_looked_at: bool,
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
    if is_looked_at {
        // Last, and offered by nobody but a CA that looks.
        config.alpn_protocols.push(PROTOCOL.to_vec());
    }
    Ok(Arc::new(config))
}

#[async_trait]
impl TlsAccept for Speech {
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
