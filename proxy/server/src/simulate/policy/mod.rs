//! The policies that are compared: Serinus in several settings, and what others do.

pub(super) mod argo;
pub(super) mod at_alarm;
pub(super) mod cusum;
pub(super) mod flagger;
pub(super) mod kayenta;
mod mann_whitney;
pub(super) mod serinus;
pub(super) mod wait;

use super::metrics::Metrics;
use serinus_rollout::{Mode, OnAnomaly};
use std::time::Duration;

/// A way to decide about a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Policy {
    Ours,
    OursWithoutPredictor,
    OursHold,
    AlwaysAtAlarm,
    WaitAMinute,
    Cusum,
    Kayenta,
    Flagger,
    ArgoQuick,
    ArgoPatient,
}

/// Where a policy lives.
pub(super) enum Place {
    /// In the proxy: early looks, probes, the shield.
    Proxy(Conduct),
    /// Beside the metrics store: sees requests only, sums over intervals.
    Metrics(Box<dyn Watcher>),
}

/// How the proxy is set up for a policy, and who acts on what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Conduct {
    pub(super) predictor: bool,
    pub(super) on_anomaly: OnAnomaly,
    pub(super) mode: Mode,
    /// Somebody aborts the rollout when an anomaly has been open for so long.
    pub(super) abort_after: Option<Duration>,
}

/// Decides by what a metrics store tells of live requests.
pub(super) trait Watcher {
    /// Takes in the next [`SLICE`](super::metrics::SLICE) of the release; whether to roll it back now.
    fn see(&mut self, slice: &Metrics) -> bool;
}

impl Policy {
    pub(super) const ALL: [Policy; 10] = [
        Policy::Ours,
        Policy::OursWithoutPredictor,
        Policy::OursHold,
        Policy::AlwaysAtAlarm,
        Policy::WaitAMinute,
        Policy::Cusum,
        Policy::Kayenta,
        Policy::Flagger,
        Policy::ArgoQuick,
        Policy::ArgoPatient,
    ];

    /// The name on the command line and in results.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Policy::Ours => "ours",
            Policy::OursWithoutPredictor => "ours-no-predictor",
            Policy::OursHold => "ours-hold",
            Policy::AlwaysAtAlarm => "always-at-alarm",
            Policy::WaitAMinute => "wait-60s",
            Policy::Cusum => "cusum",
            Policy::Kayenta => "kayenta",
            Policy::Flagger => "flagger",
            Policy::ArgoQuick => "argo-60s",
            Policy::ArgoPatient => "argo-5m",
        }
    }

    /// In one line.
    pub(super) const fn about(self) -> &'static str {
        match self {
            Policy::Ours => "Serinus with its defaults",
            Policy::OursWithoutPredictor => "Serinus without a model: the detector decides alone",
            Policy::OursHold => "Serinus with on_anomaly = \"hold\": users stay until the forecast",
            Policy::AlwaysAtAlarm => "Serinus' detector, rolled back at its first alarm",
            Policy::WaitAMinute => {
                "Serinus' detector, rolled back if the anomaly is still open after 60 s"
            }
            Policy::Cusum => "tabular CUSUM of failures, k = 0.5, h = 5, every 10 s",
            Policy::Kayenta => {
                "Mann-Whitney at 98%, tolerance 0.25, 1-minute points, pass 75, every 10 min"
            }
            Policy::Flagger => {
                "every minute: success >= 99%, p99 <= 500 ms; rolled back at the fifth failed check"
            }
            Policy::ArgoQuick => "every 60 s: success >= 95%, failureLimit 0",
            Policy::ArgoPatient => "every 5 min: success >= 95%, failureLimit 3",
        }
    }

    pub(super) fn place(self) -> Place {
        match self {
            Policy::Ours => Place::Proxy(serinus::DEFAULT),
            Policy::OursWithoutPredictor => Place::Proxy(serinus::WITHOUT_PREDICTOR),
            Policy::OursHold => Place::Proxy(serinus::HOLD),
            Policy::AlwaysAtAlarm => Place::Proxy(at_alarm::CONDUCT),
            Policy::WaitAMinute => Place::Proxy(wait::CONDUCT),
            Policy::Cusum => Place::Metrics(Box::new(cusum::Cusum::default())),
            Policy::Kayenta => Place::Metrics(Box::new(kayenta::Kayenta::default())),
            Policy::Flagger => Place::Metrics(Box::new(flagger::Flagger::default())),
            Policy::ArgoQuick => Place::Metrics(Box::new(argo::Argo::quick())),
            Policy::ArgoPatient => Place::Metrics(Box::new(argo::Argo::patient())),
        }
    }

    /// The policy of this name, or what to write instead.
    pub(super) fn named(name: &str) -> Result<Policy, String> {
        let found = Policy::ALL.into_iter().find(|policy| policy.as_str() == name);
        found.ok_or_else(|| {
            let names = Policy::ALL.map(Policy::as_str).join(", ");
            format!("there is no policy '{name}'; there are {names}")
        })
    }
}
