//! One certificate, from the account to the chain.

use super::challenges::{Answer, Challenges, Shown};
use super::store::{SavedAccount, Store};
use crate::outbound::Outbound;
use anyhow::{Context, anyhow, bail};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http_body_util::Full;
use hyper::body::Bytes;
use instant_acme::{
    Account, AccountBuilder, AuthorizationStatus, BodyWrapper, BytesResponse, ChallengeType, Error,
    ExternalAccountKey, HttpClient, Identifier, NewAccount, NewOrder, Order, OrderStatus,
    RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use serinus_config::{AcmeChallenge, AcmeSettings, ExternalAccount};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Longest wait for one answer of the CA.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long the CA may take to look at an answer, and then to issue.
const VALIDATION: Duration = Duration::from_secs(60);

/// What the CA says of an account that it does not know (any more).
const UNKNOWN_ACCOUNT: &str = "urn:ietf:params:acme:error:accountDoesNotExist";

/// ... of one that it would make for a customer of its own.
const EXTERNAL_ACCOUNT: &str = "urn:ietf:params:acme:error:externalAccountRequired";

/// A private key and the chain that was issued for it, PEM.
pub(super) struct Issued {
    pub(super) key: String,
    pub(super) chain: String,
}

/// What one attempt works with.
pub(super) struct Attempt<'a> {
    pub(super) settings: &'a AcmeSettings,
    pub(super) store: &'a Store,
    pub(super) challenges: &'a Arc<Challenges>,
    /// Set to the seconds for which the CA does not want to be asked, if it says so.
    pub(super) wait: Arc<AtomicU64>,
}

impl Attempt<'_> {
    /// # Errors
    /// Whatever went wrong, in words.
    pub(super) async fn run(&self, name: &str) -> anyhow::Result<Issued> {
        let (account, is_new) = self.account().await.context("no account at the CA")?;
        let order = match order(&account, name).await {
            Err(error) if is_unknown(&error) && !is_new => {
                tracing::warn!("the CA does not know this proxy's account: making another one");
                let account = self.new_account().await.context("no account at the CA")?;
                order(&account, name).await
            }
            order => order,
        };
        let mut order = order.context("the CA takes no order")?;
        let shown = self.prove(&mut order, name).await?;
        let policy = RetryPolicy::new()
            .initial_delay(Duration::from_millis(200))
            .backoff(1.5)
            .timeout(VALIDATION);
        let ready = order.poll_ready(&policy).await;
        drop(shown);
        if !matches!(ready, Ok(OrderStatus::Ready)) {
            return Err(refusal(&mut order, ready).await);
        }
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new([name.to_owned()])?;
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(&key)?;
        order.finalize_csr(request.der()).await.context("the CA refuses the request")?;
        let chain = order.poll_certificate(&policy).await.context("the CA issued nothing")?;
        Ok(Issued { key: key.serialize_pem(), chain })
    }

    /// The account of the disk, or else a new one.
    async fn account(&self) -> anyhow::Result<(Account, bool)> {
        let Some(saved) = self.store.account() else {
            return Ok((self.new_account().await?, true));
        };
        let SavedAccount { email, credentials } = saved;
        if email == self.settings.email {
            return Ok((self.builder()?.from_credentials(credentials).await?, false));
        }
        let text = serde_json::to_value(&credentials)?;
        let account = self.builder()?.from_credentials(credentials).await?;
        let contact = self.contact();
        match account.update_contacts(&contact.iter().map(String::as_str).collect::<Vec<_>>()).await
        {
            Ok(()) => {
                let (email, credentials) =
                    (self.settings.email.clone(), serde_json::from_value(text)?);
                self.store.keep_account(&SavedAccount { email, credentials })?;
            }
            // No reason to be without a certificate; an unknown account is found out by the order.
            Err(error) => tracing::warn!(%error, "the CA does not take acme.email"),
        }
        Ok((account, false))
    }

    async fn new_account(&self) -> anyhow::Result<Account> {
        let contact = self.contact();
        let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
        let account = NewAccount {
            contact: &contact,
            terms_of_service_agreed: true, // asked for by [acme] accept_terms
            only_return_existing: false,
        };
        let directory = self.settings.directory.clone();
        let customer = self.settings.external_account.as_ref().map(customer).transpose()?;
        let created = self.builder()?.create(&account, directory, customer.as_ref()).await;
        let (account, credentials) = match created {
            Err(error) if asks_who_we_are(&error) => bail!(
                "{error}: it makes accounts for its customers alone; put what it gave you into acme.eab_key_id and acme.eab_key_file"
            ),
            created => created?,
        };
        self.store
            .keep_account(&SavedAccount { email: self.settings.email.clone(), credentials })?;
        Ok(account)
    }

    fn contact(&self) -> Option<String> {
        self.settings.email.as_ref().map(|email| format!("mailto:{email}"))
    }

    fn builder(&self) -> anyhow::Result<AccountBuilder> {
        let outbound = Outbound::new(self.settings.authorities.as_deref(), PATIENCE)?;
        let http = Http { outbound, wait: Arc::clone(&self.wait) };
        Ok(Account::builder_with_http(Box::new(http)))
    }

    /// Shows what the CA wants to see, and tells it to look.
    async fn prove(&self, order: &mut Order, name: &str) -> anyhow::Result<Vec<Shown>> {
        let mut shown = Vec::new();
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            match authorization.status {
                AuthorizationStatus::Pending => {}
                AuthorizationStatus::Valid => continue, // seen before, and remembered
                status => bail!("the CA holds the name for {status:?}"),
            }
            let (kind, known) = match self.settings.challenge {
                AcmeChallenge::Http => (ChallengeType::Http01, "http-01"),
                AcmeChallenge::TlsAlpn => (ChallengeType::TlsAlpn01, "tls-alpn-01"),
            };
            let mut challenge = authorization
                .challenge(kind)
                .with_context(|| format!("the CA does not look by {known}"))?;
            let authorization = challenge.key_authorization();
            let answer = match self.settings.challenge {
                AcmeChallenge::Http => Answer::Http {
                    token: challenge.token.clone(),
                    page: authorization.as_str().to_owned(),
                },
                AcmeChallenge::TlsAlpn => Answer::by_tls(name, authorization.digest().as_ref())?,
            };
            shown.push(self.challenges.show(answer));
            challenge.set_ready().await.context("the CA does not look")?;
        }
        Ok(shown)
    }
}

async fn order(account: &Account, name: &str) -> Result<Order, Error> {
    account.new_order(&NewOrder::new(&[Identifier::Dns(name.to_owned())])).await
}

/// By what the CA knows its customer. The file is read when it is needed, and that is once.
fn customer(known: &ExternalAccount) -> anyhow::Result<ExternalAccountKey> {
    let file = &known.key_file;
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("cannot read acme.eab_key_file {}", file.display()))?;
    let key = URL_SAFE_NO_PAD.decode(text.trim().trim_end_matches('='));
    let key = key.ok().filter(|key| !key.is_empty());
    let key = key.with_context(|| {
        format!("acme.eab_key_file {} holds no key in base64url", file.display())
    })?;
    Ok(ExternalAccountKey::new(known.key_id.clone(), &key))
}

fn asks_who_we_are(error: &Error) -> bool {
    matches!(error, Error::Api(problem) if problem.r#type.as_deref() == Some(EXTERNAL_ACCOUNT))
}

fn is_unknown(error: &Error) -> bool {
    matches!(error, Error::Api(problem) if problem.r#type.as_deref() == Some(UNKNOWN_ACCOUNT))
}

/// Why an order did not become ready: what the CA saw when it looked, if it says that.
async fn refusal(order: &mut Order, ready: Result<OrderStatus, Error>) -> anyhow::Error {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let Ok(state) = authorization.refresh().await else { continue };
        let problem = state.challenges.iter().find_map(|challenge| challenge.error.as_ref());
        if let Some(problem) = problem {
            let detail = problem.detail.clone().unwrap_or_else(|| problem.to_string());
            return anyhow!("the CA looked and was not content: {detail}");
        }
    }
    match ready {
        Ok(status) => anyhow!("the order is {status:?} at the CA"),
        Err(error) => anyhow::Error::from(error).context("the CA did not see whose the name is"),
    }
}

/// The way to the CA.
struct Http {
    outbound: Outbound<BodyWrapper<Bytes>>,
    wait: Arc<AtomicU64>,
}

impl HttpClient for Http {
    fn request(
        &self,
        request: http::Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let (outbound, wait) = (self.outbound.clone(), Arc::clone(&self.wait));
        Box::pin(async move {
            let answer =
                outbound.send(request).await.map_err(|error| Error::Other(error.into()))?;
            if matches!(answer.status().as_u16(), 429 | 503) {
                let seconds = answer.headers().get(http::header::RETRY_AFTER);
                let seconds = seconds.and_then(|value| value.to_str().ok()?.trim().parse().ok());
                wait.fetch_max(seconds.unwrap_or(0), Ordering::Relaxed);
            }
            Ok(BytesResponse::from(answer.map(Full::new)))
        })
    }
}
