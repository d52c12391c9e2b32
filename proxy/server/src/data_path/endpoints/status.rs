//! Endpoints as the admin side shows them.

use super::Pool;
use serde::{Deserialize, Serialize};
use serinus_routing::Variant;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

/// What an endpoint is, the strongest reason first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndpointState {
    /// An operator has taken it out.
    Draining,
    /// Its name has no address so far.
    Unresolved,
    /// It failed its health checks.
    Unhealthy,
    /// Its requests failed, and it is left out for a while.
    Ejected,
    /// It has come, or come back, and does not get its whole share yet.
    SlowStart,
    /// Nothing speaks against it.
    Healthy,
}

impl EndpointState {
    /// The name used in labels and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            EndpointState::Draining => "draining",
            EndpointState::Unresolved => "unresolved",
            EndpointState::Unhealthy => "unhealthy",
            EndpointState::Ejected => "ejected",
            EndpointState::SlowStart => "slow_start",
            EndpointState::Healthy => "healthy",
        }
    }
}

/// One address of one endpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EndpointStatus {
    /// The variant that runs there.
    pub variant: Variant,
    /// `host:port` as configured.
    pub endpoint: Arc<str>,
    /// Where it was found; none while its name has no address.
    pub address: Option<SocketAddr>,
    /// As configured.
    pub weight: u32,
    /// What it is.
    pub state: EndpointState,
    /// Whether it gets requests: also one that is not well does, where too few are.
    pub asked: bool,
    /// Requests at it now; none where nobody counts them.
    pub active: Option<u32>,
    /// Ejections so far.
    pub ejections: u64,
    /// Health checks that passed so far.
    pub checks_passed: u64,
    /// Health checks that failed so far.
    pub checks_failed: u64,
    /// What its last failed check said, or how long it is left out.
    pub why: Option<String>,
}

impl Pool {
    /// Every address of every endpoint.
    pub(crate) fn status(&self, variant: Variant, now: Instant) -> Vec<EndpointStatus> {
        let line_up = self.line_up.load();
        let mut all = Vec::new();
        for (endpoint, weight) in self.endpoints.iter().zip(&self.weights) {
            let draining = endpoint.is_draining();
            let nowhere = EndpointStatus {
                variant,
                endpoint: Arc::clone(&endpoint.name),
                address: None,
                weight: *weight,
                state: if draining { EndpointState::Draining } else { EndpointState::Unresolved },
                asked: false,
                active: None,
                ejections: 0,
                checks_passed: 0,
                checks_failed: 0,
                why: None,
            };
            let instances = endpoint.instances();
            if instances.is_empty() {
                all.push(nowhere.clone());
            }
            for instance in instances {
                let (condition, share) = self.condition(&instance, draining, now);
                let look = instance.look(now);
                let state = match condition {
                    condition if condition.draining => EndpointState::Draining,
                    condition if condition.unhealthy => EndpointState::Unhealthy,
                    condition if condition.ejected => EndpointState::Ejected,
                    _ if share < 1.0 => EndpointState::SlowStart,
                    _ => EndpointState::Healthy,
                };
                let ejected = look.ejected_for.filter(|_| condition.ejected);
                let ejected = ejected.map(|time| format!("for {} s more", time.as_secs().max(1)));
                all.push(EndpointStatus {
                    address: Some(instance.address),
                    state,
                    asked: line_up.has(&instance),
                    active: self.engages().then_some(look.active),
                    ejections: look.ejections,
                    checks_passed: look.checks_passed,
                    checks_failed: look.checks_failed,
                    why: look.why.or(ejected),
                    ..nowhere.clone()
                });
            }
        }
        all
    }
}
