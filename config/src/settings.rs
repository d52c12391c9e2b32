//! The validated configuration: what the rest of Serinus works with.

use crate::guard::GuardSettings;
use crate::intake::IntakeSettings;
use crate::probe::ProbeDefinition;
use serinus_rollout::{Plan, RolloutPolicy};
use serinus_routing::balance::{Balance, EjectionRule, HealthRule};
use serinus_routing::{
    Asked, Conditions, HeaderChanges, PathChange, PathMatch, Redirect, Sticky, Weight,
};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A whole, valid configuration file.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `[server]`
    pub server: ServerSettings,
    /// `[admin]`
    pub admin: AdminSettings,
    /// `[log]`
    pub log: LogSettings,
    /// `[learning]`
    pub learning: LearningSettings,
    /// `[acme]`; none: no CA is asked.
    pub acme: Option<AcmeSettings>,
    /// `[otlp]`; none: no traces are sent.
    pub otlp: Option<OtlpSettings>,
    /// `[listener.NAME]`
    pub listeners: Vec<ListenerSettings>,
    /// `[route.NAME]`
    pub routes: Vec<RouteSettings>,
    /// `[service.NAME]`
    pub services: Vec<ServiceSettings>,
    /// `[probing]`
    pub probing: ProbingSettings,
    /// `[probe.NAME]`
    pub probes: Vec<Arc<ProbeDefinition>>,
    /// Hash of the text, 16 hex digits: names the configuration in records.
    pub hash: String,
    /// What is allowed but looks like a mistake.
    pub warnings: Vec<String>,
}

/// What only a restart can change, and the drain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSettings {
    /// Journal and learned models.
    pub state_dir: PathBuf,
    /// Data path threads; 0 is one per core, which the edge resolves.
    pub threads: usize,
    /// How long in-flight requests may take after SIGTERM.
    pub grace_period: Duration,
}

/// The admin listener.
#[derive(Clone, PartialEq, Eq)]
pub struct AdminSettings {
    /// Its address; none switches it off.
    pub listen: Option<SocketAddr>,
    /// Bearer token; always there off loopback.
    pub token: Option<String>,
}

impl std::fmt::Debug for AdminSettings {
    /// Without the token: settings may end up in a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let token = self.token.as_ref().map(|_| "(hidden)");
        f.debug_struct("AdminSettings")
            .field("listen", &self.listen)
            .field("token", &token)
            .finish()
    }
}

/// Logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// `error`, `warn`, `info`, `debug`, `trace`, or a filter like `serinus=debug,info`.
    pub level: String,
    /// One line per request; none switches it off.
    pub access: Option<AccessLogSettings>,
}

/// The access log: `access_*` of `[log]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessLogSettings {
    /// How a line looks.
    pub format: AccessFormat,
    /// What a JSON line has, in this order.
    pub fields: Vec<AccessField>,
    /// Percent of the requests answered below 400 that are written; the others all are.
    pub sample: Weight,
    /// Where lines go; none is standard error.
    pub file: Option<PathBuf>,
}

/// How a line of the access log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessFormat {
    /// A JSON object.
    Json,
    /// As Apache and nginx write it.
    Combined,
}

/// Declares what a line can have: the name in the file and in the line.
macro_rules! access_fields {
    ($( $(#[doc = $doc:literal])+ $name:ident = $text:literal; )+) => {
        /// What a line of the access log can have.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum AccessField { $( $(#[doc = $doc])+ $name, )+ }

        impl AccessField {
            /// All of them.
            pub const ALL: &[AccessField] = &[$( AccessField::$name, )+];

            /// What it is called.
            pub const fn as_str(self) -> &'static str {
                match self { $( AccessField::$name => $text, )+ }
            }
        }
    };
}

access_fields! {
    /// When the request was over, RFC 3339.
    Time = "time";
    /// The client's address.
    Client = "client";
    /// GET and so on.
    Method = "method";
    /// The `Host`.
    Host = "host";
    /// The path, without the query.
    Path = "path";
    /// `HTTP/1.1` and so on.
    Protocol = "protocol";
    /// What the client got; 0 where it got nothing.
    Status = "status";
    /// Why the proxy turned it away.
    Rejected = "rejected";
    /// The route that took it.
    Route = "route";
    /// The variant that answered.
    Variant = "variant";
    /// The endpoint that was asked last.
    Endpoint = "endpoint";
    /// Stable answered for the canary.
    Shielded = "shielded";
    /// From its header to the end of its answer.
    DurationMs = "duration_ms";
    /// Bytes of the answer's body.
    Bytes = "bytes";
    /// It came over TLS.
    Tls = "tls";
    /// The client left or was too slow.
    ClientGone = "client_gone";
    /// `User-Agent`.
    UserAgent = "user_agent";
    /// `Referer`, without its query.
    Referer = "referer";
    /// `X-Request-Id`, as the upstream got it.
    RequestId = "request_id";
    /// The trace of `traceparent`.
    TraceId = "trace_id";
}

/// Learning from what became of releases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LearningSettings {
    /// Whether models are fitted and may take over.
    pub enabled: bool,
}

/// A socket that accepts requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerSettings {
    /// The name in the configuration.
    pub name: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// Certificates, chosen by SNI; empty for plain HTTP. Paths are resolved against the file's folder.
    pub certificates: Vec<CertificateSettings>,
    /// What a TLS listener asks of its clients, and tells them.
    pub tls: ListenerTlsSettings,
    /// Names whose certificates a CA issues: lower case, no wildcards.
    pub acme: Vec<String>,
    /// The port of HTTPS that clients are sent to; none where they are served here.
    pub https_redirect: Option<u16>,
    /// HTTP/2 without TLS for clients that begin with it.
    pub h2c: bool,
    /// Longest wait for a complete request header.
    pub header_timeout: Duration,
    /// Longest idle time of a kept connection.
    pub keepalive_timeout: Duration,
    /// Limits, screening, identity.
    pub intake: IntakeSettings,
}

impl ListenerSettings {
    /// Whether it speaks TLS.
    pub fn is_encrypted(&self) -> bool {
        !(self.certificates.is_empty() && self.acme.is_empty())
    }
}

/// `[acme]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcmeSettings {
    /// The CA's directory, an https URL.
    pub directory: String,
    /// Where the CA may write to.
    pub email: Option<String>,
    /// Who may have signed the certificate of the CA's own server, PEM; none for those that the
    /// machine trusts.
    pub authorities: Option<PathBuf>,
    /// How the CA sees whose a name is.
    pub challenge: AcmeChallenge,
}

/// How a CA sees whose a name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AcmeChallenge {
    /// A TLS handshake with a protocol of its own (RFC 8737).
    TlsAlpn,
    /// A file over plain HTTP (RFC 8555, 8.3).
    Http,
}

/// `[otlp]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtlpSettings {
    /// Where traces go, an http or https URL.
    pub endpoint: String,
    /// What the proxy is called in them.
    pub service_name: String,
    /// Share of the traces that begin here and are recorded.
    pub sample: Weight,
    /// Headers of every message; their values are marked as sensitive.
    pub headers: Vec<(http::HeaderName, http::HeaderValue)>,
    /// Who may have signed the collector's certificate, PEM; none for those that the machine trusts.
    pub authorities: Option<PathBuf>,
}

/// `[listener.NAME.tls]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerTlsSettings {
    /// The oldest version that is spoken.
    pub min_version: TlsVersion,
    /// What is offered, in order of preference; never empty.
    pub alpn: Vec<AlpnProtocol>,
    /// Strict-Transport-Security; none: not sent.
    pub hsts: Option<HstsSettings>,
    /// Certificates of clients; none: not asked for.
    pub client_certificate: Option<ClientCertificateSettings>,
}

impl Default for ListenerTlsSettings {
    fn default() -> Self {
        ListenerTlsSettings {
            min_version: TlsVersion::Tls12,
            alpn: vec![AlpnProtocol::Http2, AlpnProtocol::Http11],
            hsts: None,
            client_certificate: None,
        }
    }
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsVersion {
    /// 1.2 and 1.3
    Tls12,
    /// 1.3 alone
    Tls13,
}

/// A protocol that is offered in the TLS handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlpnProtocol {
    /// HTTP/2
    Http2,
    /// HTTP/1.1
    Http11,
}

impl AlpnProtocol {
    /// As it stands in the handshake.
    pub const fn as_str(self) -> &'static str {
        match self {
            AlpnProtocol::Http2 => "h2",
            AlpnProtocol::Http11 => "http/1.1",
        }
    }
}

/// Strict-Transport-Security (RFC 6797).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HstsSettings {
    /// How long browsers remember it.
    pub max_age: Duration,
    /// Names below the host, too.
    pub include_subdomains: bool,
    /// May be put on browsers' lists.
    pub preload: bool,
}

/// Certificates of clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificateSettings {
    /// Who may have signed them, PEM.
    pub authorities: PathBuf,
    /// Whether clients without one are turned away.
    pub required: bool,
}

/// A certificate and its key, PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateSettings {
    /// The chain.
    pub cert: PathBuf,
    /// The key.
    pub key: PathBuf,
}

/// A match that leads somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteSettings {
    /// The name in the configuration.
    pub name: String,
    /// Lower case; empty for every host.
    pub hosts: Vec<String>,
    /// What of the path it matches.
    pub path: PathMatch,
    /// What else must hold.
    pub conditions: Conditions,
    /// Where it leads.
    pub target: RouteTarget,
    /// Limits, access, CORS, compression.
    pub guard: GuardSettings,
}

/// Where a route leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteTarget {
    /// To a service.
    Service {
        /// Its name.
        service: String,
        /// What the upstream is told in place of the path.
        path: PathChange,
        /// Changes on the way to the upstream.
        request_headers: HeaderChanges,
        /// Changes on the way to the client.
        response_headers: HeaderChanges,
    },
    /// Clients are sent elsewhere.
    Redirect(Redirect),
}

impl RouteTarget {
    /// To a service, with nothing changed.
    pub fn service(name: &str) -> RouteTarget {
        RouteTarget::Service {
            service: name.to_owned(),
            path: PathChange::None,
            request_headers: HeaderChanges::default(),
            response_headers: HeaderChanges::default(),
        }
    }
}

impl RouteSettings {
    /// A route by hosts and prefix to a service, with nothing else.
    pub fn of_prefix(name: &str, hosts: Vec<String>, path_prefix: &str, service: &str) -> Self {
        RouteSettings {
            name: name.to_owned(),
            hosts,
            path: PathMatch::Prefix(path_prefix.to_owned()),
            conditions: Conditions::default(),
            target: RouteTarget::service(service),
            guard: GuardSettings::default(),
        }
    }

    /// What a GET without headers and query makes the upstream see; none where the route is not for
    /// such a one, or where only a pattern says what its paths look like.
    pub fn plain_get(&self) -> Option<String> {
        let path = match &self.path {
            PathMatch::Exact(path) | PathMatch::Prefix(path) => path,
            PathMatch::Pattern(_) => return None,
        };
        let (method, headers) = (http::Method::GET, http::HeaderMap::new());
        let asked = Asked { method: &method, headers: &headers, query: None };
        match &self.target {
            RouteTarget::Service { path: change, .. } if self.conditions.hold(&asked) => {
                Some(change.of(path).into_owned())
            }
            _ => None,
        }
    }

    /// The service that it leads to, if it leads to one.
    pub fn service(&self) -> Option<&str> {
        match &self.target {
            RouteTarget::Service { service, .. } => Some(service),
            RouteTarget::Redirect(_) => None,
        }
    }
}

/// One variant of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolSettings {
    /// The version that runs there; `"unversioned"` where a plain proxy names none.
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

/// An application: stable and canary.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceSettings {
    /// The name in the configuration.
    pub name: String,
    /// The version that users had before.
    pub stable: PoolSettings,
    /// The version on trial.
    pub canary: Option<PoolSettings>,
    /// Stages, thresholds, mode.
    pub policy: RolloutPolicy,
    /// How users are recognised.
    pub sticky: Sticky,
    /// Retry failed idempotent canary requests on stable.
    pub shield: bool,
    /// Share of stable's idempotent requests copied to the canary.
    pub mirror: Weight,
    /// Add `x-serinus-variant` to responses.
    pub expose_variant_header: bool,
    /// Upstream timeouts.
    pub timeouts: TimeoutSettings,
    /// Which endpoint is asked.
    pub balance: BalanceSettings,
    /// Active health checks.
    pub health: Option<HealthSettings>,
    /// Passive ejection.
    pub ejection: Option<EjectionSettings>,
    /// How much is asked at a time.
    pub limits: ConcurrencySettings,
    /// What is tried again.
    pub retry: Option<RetrySettings>,
    /// Where the endpoints tell what they use, if they do.
    pub resources: Option<ResourceSettings>,
}

/// `[service.NAME.resources]`: where it is told what the processes use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceSettings {
    /// Path of a Prometheus page at every endpoint, usually `/metrics`.
    pub scrape: Option<String>,
    /// What its series are called, where not as usual.
    pub names: MetricNames,
    /// Answers carry `endpoint-load-metrics` (ORCA): read, and taken off before the client.
    pub orca: bool,
    /// A cgroup (v2) of each variant on this machine, in place of its page.
    pub cgroup: VariantPaths,
    /// A file with the process id of each variant on this machine, in place of its page.
    pub pid_file: VariantPaths,
    /// Time between two readings. Default 5 s.
    pub interval: Duration,
}

/// A path for each variant that has one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VariantPaths {
    /// Of the version that users had before.
    pub stable: Option<PathBuf>,
    /// Of the version on trial.
    pub canary: Option<PathBuf>,
}

/// Names of series; none for the usual ones.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MetricNames {
    /// CPU seconds, a counter.
    pub cpu: Option<String>,
    /// Bytes of memory.
    pub memory: Option<String>,
    /// Start of the process, in Unix seconds.
    pub start: Option<String>,
    /// Bytes received, a counter.
    pub received: Option<String>,
    /// Bytes sent, a counter.
    pub sent: Option<String>,
}

/// `[probing]`: what concerns all probes together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbingSettings {
    /// Rounds that go on at the same time at most; one too many is left out and counted.
    pub concurrency: usize,
    /// Whether routes that no probe asks for get plain GETs where evidence is wanted.
    pub plain_requests: bool,
    /// Name of the secret that signs every request of a probe; none for unsigned ones.
    pub sign_with: Option<String>,
    /// `[probing.browser]`
    pub browser: BrowserSettings,
}

impl Default for ProbingSettings {
    fn default() -> Self {
        ProbingSettings {
            concurrency: 100,
            plain_requests: true,
            sign_with: None,
            browser: BrowserSettings::default(),
        }
    }
}

/// `[probing.browser]`: the browser that plays recordings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrowserSettings {
    /// Chromium's executable; none to look for it in `PATH`.
    pub chromium: Option<PathBuf>,
    /// `serinus-browser`, which drives it; none to look for it beside this executable, then in `PATH`.
    pub worker: Option<PathBuf>,
    /// The most that one browser may use, all its processes together, in bytes.
    pub max_memory: u64,
}

impl Default for BrowserSettings {
    fn default() -> Self {
        BrowserSettings { chromium: None, worker: None, max_memory: 1 << 30 }
    }
}

impl Settings {
    /// Secrets that probes refer to, by name: what the edge must find before they can run.
    pub fn secret_names(&self) -> BTreeMap<&str, &str> {
        let signing = self.probing.sign_with.iter();
        let signing = signing.map(|secret| (secret.as_str(), "(all: probing.sign_with)"));
        let of_probes = self.probes.iter().flat_map(|probe| {
            probe.secrets.iter().map(move |secret| (secret.as_str(), &*probe.name))
        });
        signing.chain(of_probes).collect()
    }

    /// The service of that name.
    pub fn service(&self, name: &str) -> Option<&ServiceSettings> {
        self.services.iter().find(|service| service.name == name)
    }

    /// The configuration as the controller sees it, every weight at zero.
    pub fn plan(&self) -> Plan {
        crate::plan::plan(self)
    }
}
