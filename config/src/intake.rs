//! What a listener takes in: limits, what is done about paths, who is believed.

use crate::network::Network;
use std::time::Duration;

/// `[listener.NAME.limits]`, `.screening` and `.identity`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IntakeSettings {
    /// How much one client may send, and how slowly.
    pub limits: LimitSettings,
    /// What is done about requests that others would read differently.
    pub screening: ScreeningSettings,
    /// Who is believed about whom they speak for.
    pub identity: IdentitySettings,
}

/// `[listener.NAME.limits]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitSettings {
    /// Bytes of a request's header, request line included. Default 32 KiB.
    pub header: u64,
    /// Fields of a header. Default 100.
    pub fields: u32,
    /// Bytes of a request's target. Default 8 KiB.
    pub target: u64,
    /// Between two reads of a request's body. Default 30 s.
    pub body_timeout: Duration,
    /// For each piece of an answer, 64 KiB at most, to be taken by the client. Default 60 s.
    pub send_timeout: Duration,
    /// Connections of one client address; none for any number.
    pub connections_per_client: Option<u32>,
}

impl Default for LimitSettings {
    fn default() -> Self {
        LimitSettings {
            header: 32 * 1024,
            fields: 100,
            target: 8 * 1024,
            body_timeout: Duration::from_secs(30),
            send_timeout: Duration::from_secs(60),
            connections_per_client: None,
        }
    }
}

/// `[listener.NAME.screening]`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ScreeningSettings {
    /// Dot segments, repeated slashes, letters that are percent-encoded without need.
    pub paths: PathForm,
    /// `%2F` and `%5C` in paths go on.
    pub encoded_slashes: bool,
    /// Names of fields with an underscore.
    pub underscores: Underscores,
}

/// What is done about a path that could be written more plainly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PathForm {
    /// It goes on in its plain form.
    #[default]
    Normalize,
    /// It goes no further.
    Reject,
    /// It goes on as it is; paths that lead above the root do not.
    Pass,
}

/// What is done about fields whose name has an underscore: CGI and what follows it cannot tell
/// them from those with a hyphen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Underscores {
    /// The field is left out.
    #[default]
    Drop,
    /// The request goes no further.
    Reject,
    /// The field goes on.
    Pass,
}

/// `[listener.NAME.identity]`
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IdentitySettings {
    /// Peers that are believed about the client: what they say in `X-Forwarded-*`, `Forwarded`,
    /// `X-Request-Id` and the PROXY protocol.
    pub trusted_proxies: Vec<Network>,
    /// Every connection begins with a PROXY header, version 1 or 2.
    pub proxy_protocol: bool,
    /// Every request gets an `X-Request-Id`.
    pub request_id: bool,
    /// Every request gets a W3C `traceparent`.
    pub trace_context: bool,
}
