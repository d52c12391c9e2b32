//! What is written and sent about requests: the log, the access log, traces.

use serinus_routing::Weight;
use std::path::PathBuf;

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
