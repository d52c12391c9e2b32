//! What a route asks of requests before they reach its service, and does to their answers.

use crate::network::Network;
use std::collections::BTreeMap;
use std::time::Duration;

/// `[route.NAME.limits]`, `.access`, `.cors` and `.compression`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GuardSettings {
    /// Most bytes of a request's body; none for any number.
    pub body: Option<u64>,
    /// How often requests may come; all of them hold.
    pub rates: Vec<RateSettings>,
    /// Who may come.
    pub access: AccessSettings,
    /// What pages of other origins may do.
    pub cors: Option<CorsSettings>,
    /// Whether answers are compressed.
    pub compression: Option<CompressionSettings>,
}

/// `[[route.NAME.limits.rate]]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateSettings {
    /// So many requests ...
    pub requests: u32,
    /// ... in this time ...
    pub per: Duration,
    /// ... of which so many may come at once.
    pub burst: u32,
    /// Whose requests are counted together.
    pub by: RateKey,
}

/// Whose requests are counted together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RateKey {
    /// Those of one client address; of a /64 with IPv6.
    Client,
    /// All of the route.
    Route,
    /// Those with the same value of this header; without it, those of one client address.
    Header(String),
}

/// `[route.NAME.access]`
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AccessSettings {
    /// Only these may come, if there are any.
    pub allow: Vec<Network>,
    /// These may not, whatever `allow` says.
    pub deny: Vec<Network>,
    /// User name and password.
    pub basic: Option<BasicSettings>,
    /// Somebody else is asked.
    pub forward: Option<ForwardSettings>,
}

/// `[route.NAME.access.basic]`
#[derive(Clone, PartialEq, Eq)]
pub struct BasicSettings {
    /// What the browser shows.
    pub realm: String,
    /// bcrypt hashes by user name.
    pub users: BTreeMap<String, String>,
}

impl std::fmt::Debug for BasicSettings {
    /// Without the hashes: settings may end up in a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let users: Vec<&String> = self.users.keys().collect();
        f.debug_struct("BasicSettings").field("realm", &self.realm).field("users", &users).finish()
    }
}

/// `[route.NAME.access.forward]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardSettings {
    /// `host:port` of the service that is asked.
    pub authority: String,
    /// Path of the question.
    pub path: String,
    /// Longest wait for its answer.
    pub timeout: Duration,
    /// Fields of its answer that the upstream gets.
    pub copy: Vec<String>,
}

/// `[route.NAME.cors]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorsSettings {
    /// Origins; empty for every one.
    pub origins: Vec<String>,
    /// Methods that they may use.
    pub methods: Vec<String>,
    /// Fields that they may send.
    pub headers: Vec<String>,
    /// Fields of answers that they may read.
    pub expose: Vec<String>,
    /// They may send cookies.
    pub credentials: bool,
    /// How long a browser may remember it.
    pub max_age: Duration,
}

/// `[route.NAME.compression]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompressionSettings {
    /// Those that are used, where the client accepts them.
    pub algorithms: Vec<Compressor>,
    /// From 1, quick, to 9, small.
    pub level: u32,
    /// Shorter answers are left alone.
    pub min_size: u64,
}

/// An algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compressor {
    /// `gzip`
    Gzip,
    /// `br`
    Brotli,
    /// `zstd`
    Zstd,
}
