//! The certificates of a listener: read at start and on reload, chosen by the name that the client
//! asks for. Those that a CA issues are exchanged one by one, as they come.

use super::pem::{self, About};
use crate::acme::{Challenges, PROTOCOL, Store};
use anyhow::Context;
use arc_swap::ArcSwap;
use serinus_config::CertificateSettings;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio_rustls::rustls::client::verify_server_name;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use xxhash_rust::xxh3::xxh3_64;

/// From when on the log warns of a certificate's end: a renewal that is tried at a third of 90 days
/// has failed for two weeks by then.
const WARNED_DAYS: i64 = 14;

/// The certificates of one listener; a reload replaces them all at once.
#[derive(Debug)]
pub(crate) struct Certificates {
    shown: ArcSwap<Shown>,
    challenges: Arc<Challenges>,
}

/// What a listener shows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shown {
    /// Of files, in the order of the configuration.
    pub(crate) files: Vec<Arc<Chain>>,
    /// Names for which a CA is asked, each with what it has issued.
    pub(crate) issued: Vec<(String, Option<Arc<Chain>>)>,
    /// The CA looks here whose a name is.
    pub(crate) is_looked_at: bool,
}

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
    /// A CA issued it to the proxy, which renews it.
    pub is_issued: bool,
}

impl Certificates {
    pub(crate) fn new(shown: Shown, challenges: Arc<Challenges>) -> Self {
        Certificates { shown: ArcSwap::from_pointee(shown), challenges }
    }

    /// Shows something else. What was issued before is shown on while there is nothing newer.
    pub(crate) fn replace(&self, mut shown: Shown) {
        let now = self.shown.load();
        for (name, chain) in &mut shown.issued {
            let before = now.issued.iter().find(|(known, _)| known == name);
            *chain = chain.take().or_else(|| before.and_then(|(_, chain)| chain.clone()));
        }
        self.shown.store(Arc::new(shown));
    }

    /// Shows what a CA issued, if it did it for this listener.
    pub(crate) fn show_issued(&self, name: &str, chain: &Arc<Chain>) {
        if !self.shown.load().issued.iter().any(|(known, _)| known == name) {
            return;
        }
        self.shown.rcu(|now| {
            let mut shown = Shown::clone(now);
            for (_, slot) in shown.issued.iter_mut().filter(|(known, _)| known == name) {
                *slot = Some(Arc::clone(chain));
            }
            shown
        });
    }

    /// When each ends.
    pub(crate) fn expiries(&self, listener: &Arc<str>) -> Vec<CertificateExpiry> {
        let expiry = |chain: &Chain, is_issued| CertificateExpiry {
            listener: Arc::clone(listener),
            name: chain.about.name.clone(),
            not_after: chain.about.not_after,
            is_issued,
        };
        let shown = self.shown.load();
        let issued = shown.issued.iter().filter_map(|(_, chain)| chain.as_ref());
        let files = shown.files.iter().map(|chain| expiry(chain, false));
        files.chain(issued.map(|chain| expiry(chain, true))).collect()
    }

    /// What a CA issued for `name`, or else the first certificate of a file that is valid for it; the
    /// first one of all files for clients that name nothing or something else, as other servers do.
    fn choose(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let shown = self.shown.load();
        let named = name.and_then(|name| {
            let issued = shown.issued.iter().find(|(known, _)| known == name);
            if let Some(chain) = issued.and_then(|(_, chain)| chain.as_ref()) {
                return Some(chain);
            }
            let name = ServerName::try_from(name).ok()?;
            shown.files.iter().find(|chain| chain.is_for(&name))
        });
        let any = || shown.issued.iter().find_map(|(_, chain)| chain.as_ref());
        // A certificate of a CA is for its name, and no answer to another one.
        let fallback = || shown.files.first().or_else(|| any().filter(|_| name.is_none()));
        named.or_else(fallback).map(|chain| Arc::clone(&chain.key))
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let is_the_ca = hello.alpn().is_some_and(|mut offered| {
            offered.next() == Some(PROTOCOL) && offered.next().is_none()
        });
        if is_the_ca && self.shown.load().is_looked_at {
            return self.challenges.certificate(hello.server_name()?);
        }
        self.choose(hello.server_name())
    }
}

impl Chain {
    /// Key and chain of one file, which a CA issued for `name`.
    ///
    /// # Errors
    /// It cannot be read or used, or is for another name.
    pub(crate) fn read_issued(file: &Path, name: &str) -> anyhow::Result<Chain> {
        let chain = read_pair(file, file)?;
        let server = ServerName::try_from(name.to_owned())?;
        if !chain.is_for(&server) {
            anyhow::bail!("the certificate in {} is not for {name}", file.display());
        }
        Ok(chain)
    }

    fn is_for(&self, name: &ServerName<'_>) -> bool {
        let certificate = self.key.end_entity_cert().and_then(ParsedCertificate::try_from);
        certificate.is_ok_and(|certificate| verify_server_name(&certificate, name).is_ok())
    }

    /// Its end, in seconds since 1970.
    pub(crate) fn not_after(&self) -> i64 {
        self.about.not_after
    }

    /// Its begin and its end, in seconds since 1970.
    pub(crate) fn validity(&self) -> (i64, i64) {
        (self.about.not_before, self.about.not_after)
    }

    /// From 0 to 1, always the same for this certificate.
    pub(crate) fn dice(&self) -> f64 {
        let certificate = self.key.end_entity_cert().map(|der| xxh3_64(der)).unwrap_or_default();
        certificate as f64 / u64::MAX as f64
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
            // What the agent cannot renew it says itself.
            days if days < WARNED_DAYS && !self.is_issued => {
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
pub(crate) fn read(settings: &[CertificateSettings]) -> anyhow::Result<Vec<Arc<Chain>>> {
    settings.iter().map(|pair| read_pair(&pair.cert, &pair.key).map(Arc::new)).collect()
}

fn read_pair(cert: &Path, key: &Path) -> anyhow::Result<Chain> {
    let key = Arc::new(pem::pair(cert, key)?);
    let about = key.end_entity_cert().ok().and_then(|certificate| About::of(certificate));
    let about = about.with_context(|| format!("cannot read the certificate {}", cert.display()))?;
    Ok(Chain { key, about })
}

/// What a CA has issued for `names`, as far as it is in `store`.
pub(crate) fn read_issued(
    store: Option<&Store>,
    names: &[String],
) -> Vec<(String, Option<Arc<Chain>>)> {
    let chain = |name: &String| {
        let file = store?.certificate(name);
        if !file.exists() {
            return None;
        }
        // Another one will be issued: no reason not to start.
        Chain::read_issued(&file, name)
            .inspect_err(|error| tracing::error!("cannot use what was issued: {error:#}"))
            .ok()
            .map(Arc::new)
    };
    names.iter().map(|name| (name.clone(), chain(name))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn days_are_counted_down_to_the_end_and_beyond() {
        let expiry = CertificateExpiry {
            listener: "web".into(),
            name: "a".into(),
            not_after: 86_400 * 10,
            is_issued: false,
        };
        let on = |days: u64, seconds: u64| {
            expiry.days_left(UNIX_EPOCH + Duration::from_secs(days * 86_400 + seconds))
        };
        assert_eq!([on(0, 0), on(9, 0), on(9, 1), on(10, 0), on(10, 1)], [10, 1, 0, 0, -1]);
    }
}
