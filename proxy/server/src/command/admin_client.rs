//! Talking to a running proxy.

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use clap::Args;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serinus_config::Settings;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

const DEFAULT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9901);
/// A decision that exposes users waits for the disk, up to 10 s.
const PATIENCE: Duration = Duration::from_secs(15);
const TOKEN_VARIABLE: &str = "SERINUS_ADMIN_TOKEN";

/// Which proxy is meant.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Whom {
    /// Admin address of the running proxy [default: that of --config, else 127.0.0.1:9901].
    #[arg(long, value_name = "HOST:PORT")]
    admin: Option<String>,
    /// Its configuration, for the admin address and the token (else SERINUS_ADMIN_TOKEN).
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Whom {
    /// The configuration named on the command line.
    pub(super) fn settings(&self) -> anyhow::Result<Option<Settings>> {
        let Some(file) = &self.config else { return Ok(None) };
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        serinus_config::parse(&text, file).map(Some).map_err(|errors| anyhow!("{errors}"))
    }

    /// Whether a configuration says which.
    pub(super) fn is_by_config(&self) -> bool {
        self.config.is_some()
    }

    /// A client for it.
    pub(super) fn client(&self) -> anyhow::Result<AdminClient> {
        let settings = self.settings()?;
        let configured = settings.as_ref().and_then(|settings| settings.admin.listen);
        let address = match (&self.admin, configured) {
            (Some(address), _) => address.clone(),
            (None, Some(address)) => reachable(address).to_string(),
            (None, None) if settings.is_some() => {
                bail!("the admin side is off in this configuration: set admin.listen")
            }
            (None, None) => DEFAULT.to_string(),
        };
        let token = std::env::var(TOKEN_VARIABLE).ok().filter(|token| !token.is_empty());
        let token = token.or(settings.and_then(|settings| settings.admin.token));
        AdminClient::new(address, token)
    }
}

/// Where to reach what listens on `address`.
pub(super) fn reachable(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => (Ipv4Addr::LOCALHOST, v4.port()).into(),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => (Ipv6Addr::LOCALHOST, v6.port()).into(),
        address => address,
    }
}

/// A refusal in the API's own words.
#[derive(Debug, thiserror::Error)]
#[error("{error}\n  {fix}")]
pub(super) struct Refused {
    pub(super) status: StatusCode,
    error: String,
    fix: String,
}

/// Nobody answers.
#[derive(Debug, thiserror::Error)]
#[error(
    "no serinus answers at {address} ({cause}): start one with 'serinus run --config FILE', or name the one you mean with --admin HOST:PORT or --config FILE"
)]
pub(super) struct Unreachable {
    address: String,
    cause: std::io::Error,
}

/// A client of the admin API, one connection per call.
pub(super) struct AdminClient {
    pub(super) address: String,
    token: Option<String>,
    runtime: Runtime,
}

impl AdminClient {
    pub(super) fn new(address: String, token: Option<String>) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(AdminClient { address, token, runtime })
    }

    pub(super) fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        self.call(Method::GET, path)
    }

    pub(super) fn post(&self, path: &str) -> anyhow::Result<Value> {
        self.call(Method::POST, path)
    }

    fn call<T: DeserializeOwned>(&self, method: Method, path: &str) -> anyhow::Result<T> {
        let (status, body) = self
            .runtime
            .block_on(async { tokio::time::timeout(PATIENCE, self.exchange(method, path)).await })
            .with_context(|| {
                format!("{} does not answer within {} s", self.address, PATIENCE.as_secs())
            })??;
        if status.is_success() {
            return serde_json::from_slice(&body).with_context(|| {
                format!(
                    "{} answers {path} in another format: is it serinus, of this version?",
                    self.address
                )
            });
        }
        let told: Value = serde_json::from_slice(&body).unwrap_or_default();
        let text = |name: &str| told[name].as_str().unwrap_or_default().to_owned();
        let error = match text("error") {
            error if error.is_empty() => {
                format!("{} answers {status}: is it serinus?", self.address)
            }
            error => error,
        };
        Err(Refused { status, error, fix: text("fix") }.into())
    }

    async fn exchange(&self, method: Method, path: &str) -> anyhow::Result<(StatusCode, Bytes)> {
        let stream = TcpStream::connect(&self.address)
            .await
            .map_err(|cause| Unreachable { address: self.address.clone(), cause })?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, &self.address)
            .header(header::ACCEPT, "application/json");
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Empty::<Bytes>::new())?;
        let exchange = async {
            let answer = sender.send_request(request).await?;
            let status = answer.status();
            anyhow::Ok((status, answer.into_body().collect().await?.to_bytes()))
        };
        tokio::pin!(exchange);
        tokio::select! {
            answer = &mut exchange => answer,
            ended = connection => {
                ended?;
                exchange.await
            }
        }
    }
}

/// A part of a path, encoded so that it stays one.
pub(super) fn segment(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(byte);
    text.bytes()
        .map(
            |byte| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") },
        )
        .collect()
}
