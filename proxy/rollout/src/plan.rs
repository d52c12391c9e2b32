//! What the operator asked for: the validated configuration as the controller sees it.

use serde::{Deserialize, Serialize};
use serinus_routing::{Pool, RouteTable, Service, ServiceIndex, Sticky, Weight};
use std::sync::Arc;
use std::time::Duration;

/// One step of a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// Share of users on the canary.
    pub weight: Weight,
    /// How long it must look well at this weight.
    pub hold: Duration,
}

/// What happens at the first alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnAnomaly {
    /// Users leave at once; the verdict follows.
    #[default]
    Withdraw,
    /// The weight stays until the forecast decides.
    Hold,
}

/// Whether decisions are carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Decide and act.
    #[default]
    Enforce,
    /// Follow the stages, decide and journal, but take nobody off the canary.
    Observe,
}

/// How one service is rolled out and judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)] // what an earlier version did not write down was at its default
pub struct RolloutPolicy {
    /// In order; weights never fall; never empty.
    pub stages: Vec<Stage>,
    /// Time between two looks. Failures are looked at earlier.
    pub evaluation_interval: Duration,
    /// Confidence that the canary is worse at which users are protected.
    pub anomaly_threshold: f64,
    /// Forecast probability above which the release is taken back.
    pub rollback_threshold: f64,
    /// Forecast probability below which users return once the anomaly has cleared.
    pub resume_threshold: f64,
    /// What happens at the first alarm.
    pub on_anomaly: OnAnomaly,
    /// How long users may be withdrawn without a verdict.
    pub withdraw_limit: Duration,
    /// Longest time in which users return to stable step by step where everybody at once would be
    /// more than it has lately carried; zero brings all back at once.
    pub ramp_limit: Duration,
    /// Odds ratio below which "worse" is not worth a rollback; at least 1.
    pub margin: f64,
    /// Observations of the canary (live requests and probe runs) without which a stage does not end.
    pub min_requests: u64,
    /// From when to when after the alarm an episode is watched for its label.
    pub label_window: (Duration, Duration),
    /// Whether decisions are carried out.
    pub mode: Mode,
}

impl Default for RolloutPolicy {
    fn default() -> Self {
        let stage = |percent: u16, minutes: u64| Stage {
            weight: Weight::from_percent(f64::from(percent)).unwrap_or(Weight::ZERO),
            hold: Duration::from_secs(minutes * 60),
        };
        RolloutPolicy {
            stages: vec![stage(1, 5), stage(10, 10), stage(50, 10), stage(100, 30)],
            evaluation_interval: Duration::from_secs(1),
            anomaly_threshold: 0.999,
            rollback_threshold: 0.8,
            resume_threshold: 0.2,
            on_anomaly: OnAnomaly::Withdraw,
            withdraw_limit: Duration::from_secs(600),
            ramp_limit: Duration::from_secs(8),
            margin: 1.25,
            min_requests: 10,
            label_window: (Duration::from_secs(60), Duration::from_secs(300)),
            mode: Mode::Enforce,
        }
    }
}

/// One service as the controller sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServicePlan {
    /// The name in the configuration.
    pub name: Arc<str>,
    /// Its place in the route table.
    pub index: ServiceIndex,
    /// The version that users had before.
    pub stable_version: Arc<str>,
    /// The version on trial; without one the service is idle.
    pub canary_version: Option<Arc<str>>,
    /// How it is rolled out.
    pub policy: RolloutPolicy,
    /// Whether any probe watches it.
    pub probed: bool,
}

/// A whole configuration.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Routes and services with every weight at zero.
    pub table: RouteTable,
    /// The services, by their place in the table.
    pub services: Vec<ServicePlan>,
    /// Names the configuration in records.
    pub config_hash: String,
}

impl Plan {
    /// A plan to judge by where nobody is served: these services and no routes.
    pub fn without_routes(services: Vec<ServicePlan>, config_hash: String) -> Plan {
        let pool = |version: &Arc<str>| Pool { version: version.clone(), endpoints: [].into() };
        let in_table = services.iter().map(|service| Service {
            name: service.name.clone(),
            stable: pool(&service.stable_version),
            canary: service.canary_version.as_ref().map(pool),
            weight: Weight::ZERO,
            sticky: Sticky::None,
            shield: false,
            expose_variant_header: false,
        });
        #[expect(clippy::expect_used, reason = "only routes can be in conflict")]
        let table = RouteTable::new(&[], in_table.collect()).expect("there are no routes");
        let services = (0u32..)
            .zip(services)
            .map(|(index, service)| ServicePlan { index: ServiceIndex(index), ..service })
            .collect();
        Plan { table, services, config_hash }
    }
}
