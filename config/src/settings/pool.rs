//! Where a variant runs, how it is spoken to and how its endpoints share the load.

use serinus_routing::Weight;
use serinus_routing::balance::Balance;
use serinus_routing::balance::EjectionRule;
use serinus_routing::balance::HealthRule;
use std::path::PathBuf;
use std::time::Duration;

/// The version of a pool whose version nobody named.
pub const UNVERSIONED: &str = "unversioned";

/// One variant of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolSettings {
    /// The version that runs there; [`UNVERSIONED`] where a plain proxy names none.
    pub version: String,
    /// Where it runs; never empty.
    pub endpoints: Vec<EndpointSettings>,
    /// How they are spoken to.
    pub transport: TransportSettings,
}

/// One endpoint of a variant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointSettings {
    /// `host:port`
    pub address: String,
    /// How much of the traffic it gets, beside the weights of the others. Default 1.
    pub weight: u32,
}

impl PoolSettings {
    /// `host:port` of every endpoint.
    pub fn addresses(&self) -> impl Iterator<Item = &str> {
        self.endpoints.iter().map(|endpoint| endpoint.address.as_str())
    }
}

/// How endpoints are spoken to; by default HTTP/1.1 without TLS.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TransportSettings {
    /// None for cleartext.
    pub tls: Option<UpstreamTlsSettings>,
    /// The version of HTTP.
    pub protocol: UpstreamProtocol,
}

/// What an upstream speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UpstreamProtocol {
    /// HTTP/1.1, with or without TLS.
    #[default]
    Http1,
    /// HTTP/2 over TLS.
    Http2,
    /// HTTP/2 without TLS, without asking first.
    Http2Cleartext,
}

/// TLS towards endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamTlsSettings {
    /// The name that is asked for and that the certificate must carry; never empty.
    pub server_name: String,
    /// Who may have signed the certificate, PEM; none for those that the machine trusts.
    pub authorities: Option<PathBuf>,
    /// Chain and key, PEM, for endpoints that ask.
    pub client_certificate: Option<(PathBuf, PathBuf)>,
    /// Whether the certificate is checked at all.
    pub verify: bool,
}

/// Upstream timeouts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeoutSettings {
    /// To make a connection. Default 2 s.
    pub connect: Duration,
    /// Between two reads of the answer, from the end of the request on. Default 30 s.
    pub read: Duration,
    /// Between two writes of the request. Default 30 s.
    pub write: Duration,
    /// As `read`, for WebSockets, event streams and gRPC calls. Default 10 min.
    pub stream_idle: Duration,
    /// How long an idle upstream connection is kept. Default 60 s.
    pub idle: Duration,
    /// One attempt, from the end of the request to the header of the answer.
    pub attempt: Option<Duration>,
    /// The whole request, with all its attempts.
    pub total: Option<Duration>,
}

/// `[service.NAME.balance]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BalanceSettings {
    /// How the next endpoint is chosen.
    pub method: Balance,
    /// How long an endpoint that comes (back) takes to get its whole share.
    pub slow_start: Duration,
    /// Below this share of endpoints that are well, all are asked.
    pub panic_threshold: Weight,
}

impl Default for BalanceSettings {
    fn default() -> Self {
        BalanceSettings {
            method: Balance::RoundRobin,
            slow_start: Duration::ZERO,
            panic_threshold: Weight::HALF,
        }
    }
}

/// `[service.NAME.health]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthSettings {
    /// Path to GET.
    pub path: String,
    /// Time between two checks of an endpoint.
    pub interval: Duration,
    /// For connection and answer together.
    pub timeout: Duration,
    /// What changes an endpoint's health.
    pub rule: HealthRule,
    /// Statuses that pass, in ascending order.
    pub status: Vec<u16>,
    /// Host header; the endpoint as configured without it.
    pub host: Option<String>,
}

/// `[service.NAME.ejection]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EjectionSettings {
    /// What gets an endpoint ejected, and for how long.
    pub rule: EjectionRule,
    /// Share of a variant's endpoints that may be out at a time.
    pub most: Weight,
}

/// `[service.NAME.limits]`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ConcurrencySettings {
    /// Requests at one endpoint at a time.
    pub max_connections: Option<u32>,
    /// Requests of a variant that may wait for a place.
    pub max_pending: u32,
}

/// `[service.NAME.retry]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetrySettings {
    /// Retries of one request at most.
    pub attempts: u32,
    /// Statuses that are tried again, in ascending order.
    pub status: Vec<u16>,
}
