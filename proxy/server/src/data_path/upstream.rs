//! How the endpoints of a pool are spoken to: the version of HTTP, and TLS.

use super::pem;
use anyhow::Context;
use pingora::protocols::ALPN;
use pingora::protocols::tls::CaType;
use pingora::upstreams::peer::HttpPeer;
use pingora::utils::tls::{CertKey, WrappedX509, parse_x509};
use serinus_config::{TransportSettings, UpstreamProtocol, UpstreamTlsSettings};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Requests at a time on one HTTP/2 connection; servers allow 100 or more (RFC 9113, 6.5.2).
const STREAMS: usize = 100;
/// An HTTP/2 connection on which nothing moves is asked whether it lives: one whose other side has
/// vanished would otherwise swallow every request until its timeout.
const PING_EVERY: Duration = Duration::from_secs(10);

/// How a pool is spoken to, with everything that it needs read from its files.
#[derive(Debug)]
pub(crate) struct Upstream {
    settings: TransportSettings,
    tls: Option<Tls>,
}

#[derive(Debug)]
struct Tls {
    authorities: Option<Arc<CaType>>,
    client: Option<Arc<CertKey>>,
    /// For what asks besides users' requests.
    check: serinus_probes::Tls,
}

impl Upstream {
    /// Reads what `settings` name.
    ///
    /// # Errors
    /// The first file that cannot be read or used, by its name.
    pub(crate) fn read(settings: &TransportSettings) -> anyhow::Result<Upstream> {
        let http2 = settings.protocol != UpstreamProtocol::Http1;
        let tls = settings.tls.as_ref().map(|tls| Tls::read(tls, http2)).transpose()?;
        Ok(Upstream { settings: settings.clone(), tls })
    }

    /// Whether a connection that was made like this is as good as one made like `other`.
    pub(crate) fn is_like(&self, other: &Upstream) -> bool {
        let same = match (&self.tls, &other.tls) {
            (Some(tls), Some(other)) => tls.is_like(other),
            (tls, other) => tls.is_none() && other.is_none(),
        };
        self.settings == other.settings && same
    }

    /// Whether it is HTTP/2.
    pub(crate) fn is_http2(&self) -> bool {
        self.settings.protocol != UpstreamProtocol::Http1
    }

    /// TLS for health checks, the same as for requests.
    pub(crate) fn check_tls(&self) -> Option<&serinus_probes::Tls> {
        Some(&self.tls.as_ref()?.check)
    }

    /// An endpoint, to be spoken to like this.
    pub(crate) fn peer(&self, address: SocketAddr) -> HttpPeer {
        let settings = self.settings.tls.as_ref();
        let name = settings.map(|tls| tls.server_name.clone()).unwrap_or_default();
        let mut peer = HttpPeer::new(address, settings.is_some(), name);
        if self.is_http2() {
            peer.options.alpn = ALPN::H2;
            peer.options.max_h2_streams = STREAMS;
            peer.options.h2_ping_interval = Some(PING_EVERY);
        }
        if let (Some(settings), Some(tls)) = (settings, &self.tls) {
            peer.options.verify_cert = settings.verify;
            peer.options.verify_hostname = settings.verify;
            peer.options.ca = tls.authorities.clone();
            peer.client_cert_key = tls.client.clone();
        }
        peer
    }
}

impl Tls {
    fn read(settings: &UpstreamTlsSettings, http2: bool) -> anyhow::Result<Tls> {
        let authorities = settings.authorities.as_deref().map(authorities).transpose()?;
        let client = settings.client_certificate.as_ref();
        let client = client.map(|(cert, key)| client_pair(cert, key)).transpose()?;
        let check = serinus_probes::Tls::of(settings, http2)?;
        Ok(Tls { authorities, client, check })
    }

    fn is_like(&self, other: &Tls) -> bool {
        let raw = |tls: &Tls| -> Vec<Vec<u8>> {
            let authorities = tls.authorities.iter().flat_map(|all| all.iter());
            let client = tls
                .client
                .iter()
                .flat_map(|pair| std::iter::once(pair.leaf()).chain(pair.intermediates()));
            authorities.chain(client).map(|one| one.borrow_raw_cert().clone()).collect()
        };
        let key = |tls: &Tls| tls.client.as_ref().map(|pair| pair.key().clone());
        raw(self) == raw(other) && key(self) == key(other)
    }
}

fn authorities(file: &Path) -> anyhow::Result<Arc<CaType>> {
    pem::authorities(file)?; // each can be one
    let all = pem::certificates(file)?;
    let all: anyhow::Result<Vec<WrappedX509>> =
        all.into_iter().map(|one| wrapped(one.to_vec(), file)).collect();
    Ok(all?.into())
}

/// Pingora takes only what it can parse, and panics otherwise.
fn wrapped(der: Vec<u8>, file: &Path) -> anyhow::Result<WrappedX509> {
    pem::About::of(&der)
        .with_context(|| format!("cannot read a certificate in {}", file.display()))?;
    Ok(WrappedX509::new(der, parse_x509))
}

fn client_pair(cert: &Path, key: &Path) -> anyhow::Result<Arc<CertKey>> {
    let chain = pem::pair(cert, key)?.cert;
    for one in &chain {
        pem::About::of(one)
            .with_context(|| format!("cannot read a certificate in {}", cert.display()))?;
    }
    let key = pem::private_key(key)?.secret_der().to_vec();
    Ok(Arc::new(CertKey::new(chain.iter().map(|one| one.to_vec()).collect(), key)))
}
