//! The certificates of a listener: read at start and on reload, chosen by the name that the client
//! asks for.

use super::pem::{self, About};
use anyhow::Context;
use arc_swap::ArcSwap;
use serinus_config::CertificateSettings;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio_rustls::rustls::client::verify_server_name;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;

/// From when on the log warns of a certificate's end: a renewal that is tried at a third of 90 days
/// has failed for two weeks by then.
const WARNED_DAYS: i64 = 14;

/// The certificates of one listener; a reload replaces them all at once.
#[derive(Debug)]
pub(crate) struct Certificates(ArcSwap<Vec<Chain>>);

/// A certificate that was read and fits its key.
#[derive(Debug)]
pub(crate) struct Chain {
    key: Arc<CertifiedKey>,
    about: About,
}

/// When a certificate ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateExpiry {
    /// The listener's name.
    pub listener: Arc<str>,
    /// The first host name that the certificate carries.
    pub name: String,
    /// In seconds since 1970.
    pub not_after: i64,
}

impl Certificates {
    pub(crate) fn new(chains: Vec<Chain>) -> Self {
        Certificates(ArcSwap::from_pointee(chains))
    }

    pub(crate) fn replace(&self, chains: Vec<Chain>) {
        self.0.store(Arc::new(chains));
    }

    /// When each ends.
    pub(crate) fn expiries(&self, listener: &Arc<str>) -> Vec<CertificateExpiry> {
        let expiry = |chain: &Chain| CertificateExpiry {
            listener: Arc::clone(listener),
            name: chain.about.name.clone(),
            not_after: chain.about.not_after,
        };
        self.0.load().iter().map(expiry).collect()
    }

    /// The first certificate that is valid for `name`; the first one of all for clients that name
    /// nothing or something else, as other servers do.
    fn choose(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let chains = self.0.load();
        let named = name.and_then(|name| {
            let name = ServerName::try_from(name).ok()?;
            chains.iter().find(|chain| {
                chain
                    .key
                    .end_entity_cert()
                    .and_then(ParsedCertificate::try_from)
                    .is_ok_and(|cert| verify_server_name(&cert, &name).is_ok())
            })
        });
        named.or_else(|| chains.first()).map(|chain| Arc::clone(&chain.key))
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.choose(hello.server_name())
    }
}

impl CertificateExpiry {
    /// Days until then; negative afterwards.
    fn days_left(&self, now: SystemTime) -> i64 {
        let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
        (self.not_after - now).div_euclid(86_400)
    }

    /// Says so in the log if it is near or past.
    pub(super) fn warn(&self, now: SystemTime) {
        let (listener, name) = (&*self.listener, self.name.as_str());
        match self.days_left(now) {
            days if days < 0 => {
                tracing::error!(listener, certificate = name, "a certificate has expired");
            }
            days if days < WARNED_DAYS => {
                tracing::warn!(listener, certificate = name, days, "a certificate expires soon");
            }
            _ => {}
        }
    }
}

/// Reads every pair of a listener.
///
/// # Errors
/// The first file that cannot be read or used, by its name.
pub(crate) fn read(settings: &[CertificateSettings]) -> anyhow::Result<Vec<Chain>> {
    settings.iter().map(read_pair).collect()
}

fn read_pair(pair: &CertificateSettings) -> anyhow::Result<Chain> {
    let key = Arc::new(pem::pair(&pair.cert, &pair.key)?);
    let about = key.end_entity_cert().ok().and_then(|certificate| About::of(certificate));
    let about =
        about.with_context(|| format!("cannot read the certificate {}", pair.cert.display()))?;
    Ok(Chain { key, about })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn days_are_counted_down_to_the_end_and_beyond() {
        let expiry =
            CertificateExpiry { listener: "web".into(), name: "a".into(), not_after: 86_400 * 10 };
        let on = |days: u64, seconds: u64| {
            expiry.days_left(UNIX_EPOCH + Duration::from_secs(days * 86_400 + seconds))
        };
        assert_eq!([on(0, 0), on(9, 0), on(9, 1), on(10, 0), on(10, 1)], [10, 1, 0, 0, -1]);
    }
}
