//! `[service.NAME]`: two variants of one application, and what is known of their processes.

use super::BalanceSettings;
use super::ConcurrencySettings;
use super::EjectionSettings;
use super::HealthSettings;
use super::PoolSettings;
use super::RetrySettings;
use super::TimeoutSettings;
use serinus_rollout::RolloutPolicy;
use serinus_routing::Sticky;
use serinus_routing::Weight;
use std::path::PathBuf;
use std::time::Duration;

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
