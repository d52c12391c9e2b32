//! The validated configuration: what the rest of Serinus works with.

mod listener;
mod pool;
mod probing;
mod route;
mod service;
mod telemetry;

pub use listener::*;
pub use pool::*;
pub use probing::*;
pub use route::*;
pub use service::*;
pub use telemetry::*;

use crate::probe::ProbeDefinition;
use serinus_rollout::Plan;
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

/// Learning from what became of releases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LearningSettings {
    /// Whether models are fitted and may take over.
    pub enabled: bool,
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
