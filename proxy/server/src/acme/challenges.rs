//! What the CA is shown when it looks whose a name is.

use arc_swap::ArcSwap;
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::sign::CertifiedKey;

/// Where the CA looks over HTTP (RFC 8555, 8.3).
const PREFIX: &str = "/.well-known/acme-challenge/";
/// What it speaks over TLS (RFC 8737).
pub(crate) const PROTOCOL: &[u8] = b"acme-tls/1";

/// The answers to questions that are open.
#[derive(Debug, Default)]
pub(crate) struct Challenges {
    /// There are some: all that a request without such a question looks at.
    is_asked: AtomicBool,
    answers: ArcSwap<Vec<Arc<Answer>>>,
}

/// One of them.
#[derive(Debug)]
pub(super) enum Answer {
    Http { token: String, page: String },
    Tls { name: String, key: Arc<CertifiedKey> },
}

/// Takes an answer away when the question is over, however it ends.
#[derive(Debug)]
pub(super) struct Shown {
    challenges: Arc<Challenges>,
    answer: Arc<Answer>,
}

impl Challenges {
    /// Whether a CA may look at any moment.
    pub(crate) fn is_asked(&self) -> bool {
        self.is_asked.load(Ordering::Acquire)
    }

    /// What is at `path` for the CA; none for what it did not ask for.
    pub(crate) fn page(&self, path: &str) -> Option<String> {
        let asked = path.strip_prefix(PREFIX)?;
        self.answers.load().iter().find_map(|answer| match &**answer {
            Answer::Http { token, page } if token == asked => Some(page.clone()),
            _ => None,
        })
    }

    /// The certificate by which the CA recognises who holds `name`.
    pub(crate) fn certificate(&self, asked: &str) -> Option<Arc<CertifiedKey>> {
        self.answers.load().iter().find_map(|answer| match &**answer {
            Answer::Tls { name, key } if name == asked => Some(Arc::clone(key)),
            _ => None,
        })
    }

    pub(super) fn show(self: &Arc<Self>, answer: Answer) -> Shown {
        let answer = Arc::new(answer);
        self.answers.rcu(|now| {
            let mut answers = Vec::clone(now);
            answers.push(Arc::clone(&answer));
            answers
        });
        self.is_asked.store(true, Ordering::Release);
        Shown { challenges: Arc::clone(self), answer }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        let own = |answer: &Arc<Answer>| Arc::ptr_eq(answer, &self.answer);
        self.challenges.answers.rcu(|now| {
            let others = now.iter().filter(|answer| !own(answer));
            others.map(Arc::clone).collect::<Vec<_>>()
        });
        // Only the agent's thread shows and takes away.
        let is_empty = self.challenges.answers.load().is_empty();
        self.challenges.is_asked.store(!is_empty, Ordering::Release);
    }
}

impl Answer {
    /// A certificate that carries the digest of what the CA wants to hear (RFC 8737, 3).
    ///
    /// # Errors
    /// The libraries refuse the name.
    pub(super) fn by_tls(name: &str, digest: &[u8]) -> anyhow::Result<Answer> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new([name.to_owned()])?;
        params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
        let chain = vec![params.self_signed(&key)?.der().clone()];
        let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        // Made together: and the library's own check refuses what it does not know and is critical.
        let private = default_provider().key_provider.load_private_key(private)?;
        let key = Arc::new(CertifiedKey::new(chain, private));
        Ok(Answer::Tls { name: name.to_owned(), key })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_there_for_as_long_as_its_question() {
        let challenges = Arc::new(Challenges::default());
        let page = |token: &str| challenges.page(&format!("{PREFIX}{token}"));
        assert!(!challenges.is_asked());
        let answer = |token: &str| Answer::Http { token: token.into(), page: "yes".into() };
        let (one, two) = (challenges.show(answer("one")), challenges.show(answer("two")));
        assert_eq!((page("one"), page("two")), (Some("yes".into()), Some("yes".into())));
        assert_eq!((page("three"), challenges.page("/one"), page("")), (None, None, None));
        drop(one);
        assert_eq!((page("one"), page("two")), (None, Some("yes".into())));
        assert!(challenges.is_asked());
        drop(two);
        assert!(!challenges.is_asked());
    }

    #[test]
    fn by_tls_a_name_has_a_certificate_of_its_own() {
        let challenges = Arc::new(Challenges::default());
        let shown = challenges.show(Answer::by_tls("a.test", &[7; 32]).unwrap());
        assert!(challenges.certificate("a.test").is_some());
        assert!(challenges.certificate("b.test").is_none());
        drop(shown);
        assert!(challenges.certificate("a.test").is_none());
    }
}
