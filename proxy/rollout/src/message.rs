//! What goes into the controller and what comes out: its whole contact with the world.

use crate::heard::Heard;
use crate::phase::Phase;
use crate::plan::Plan;
use crate::record::Record;
use serde::{Deserialize, Serialize};
use serinus_models::{Evaluation, Label, Predictor, ServiceTick};
use serinus_routing::{RouteTable, Weight};
use std::sync::Arc;

/// What a person asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Give everybody the canary now.
    Promote,
    /// Stop the clock.
    Pause,
    /// Let it run on.
    Resume,
    /// Take the release back.
    Abort,
    /// Give a rolled-back version another try, from the first stage.
    Retry,
}

impl Command {
    /// Every command.
    pub const ALL: [Command; 5] =
        [Command::Promote, Command::Pause, Command::Resume, Command::Abort, Command::Retry];

    /// The name in the API and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Command::Promote => "promote",
            Command::Pause => "pause",
            Command::Resume => "resume",
            Command::Abort => "abort",
            Command::Retry => "retry",
        }
    }
}

/// Numbers a record on its way to the disk.
pub type Ticket = u64;

/// What the controller is told.
#[allow(clippy::large_enum_variant, reason = "the large one is the one that comes, once per look")]
#[derive(Debug)]
pub enum Input {
    /// What was seen of a service since the last look.
    Observed {
        /// The service's name.
        service: Arc<str>,
        /// What was seen.
        tick: ServiceTick,
    },
    /// Time has passed.
    Tick,
    /// A person wants something.
    Command {
        /// The service's name.
        service: Arc<str>,
        /// What they want.
        command: Command,
    },
    /// A new, valid configuration.
    ConfigChanged(Plan),
    /// A model to judge with from now on; none if it is missing or broken.
    ModelLoaded(Option<Arc<Predictor>>),
    /// A record is safe on the disk.
    Durable(Ticket),
    /// A record could not be written.
    NotDurable(Ticket),
}

/// What the controller wants done, in this order.
#[derive(Debug, Clone)]
pub enum Output {
    /// Keep this, so that what follows from it can be judged again. Before everything else.
    Remember(Box<Heard>),
    /// Route by this table from now on.
    Publish(RouteTable),
    /// Write this down and answer with [`Input::Durable`] or [`Input::NotDurable`].
    Append {
        /// What the answer refers to.
        ticket: Ticket,
        /// The line.
        record: Box<Record>,
    },
    /// Tell whoever listens (event stream, log). The record may not be on the disk yet.
    Notify(Box<Record>),
    /// Probe this service at this urgency from now on.
    ProbeRate {
        /// The service's name.
        service: Arc<str>,
        /// How often.
        urgency: Urgency,
    },
}

/// How often a service's probes run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Urgency {
    /// There is no canary, or it is settled: as configured.
    Routine,
    /// Evidence is short: more often.
    Raised,
    /// An anomaly is open and its nature unknown: as often as allowed, and where the service has
    /// no probe, a plain GET of its routes.
    Suspicion,
}

/// Why a command was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// No such service.
    #[error("there is no service '{0}'; known: {1}")]
    UnknownService(String, String),
    /// It makes no sense now.
    #[error("cannot {command} service '{service}': it is {}", phase.as_str())]
    WrongPhase {
        /// The service.
        service: String,
        /// What was asked.
        command: &'static str,
        /// Where it stands.
        phase: Phase,
    },
    /// Users are on their way back to stable.
    #[error("cannot {command} service '{service}': its users are on their way back to stable")]
    Leaving {
        /// The service.
        service: String,
        /// What was asked.
        command: &'static str,
    },
}

/// A service as the API shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// The name in the configuration.
    pub name: Arc<str>,
    /// Where the rollout stands.
    pub phase: Phase,
    /// Index of the stage, from 0.
    pub stage: usize,
    /// Number of stages.
    pub stages: usize,
    /// Percent of users sent to the canary now.
    pub weight: Weight,
    /// The stable version.
    pub stable: VersionStatus,
    /// The canary, if there is one.
    pub canary: Option<VersionStatus>,
    /// Confidence that the canary is worse.
    pub anomaly_score: f64,
    /// Forecast that the failure lasts.
    pub failure_probability: Option<f64>,
    /// Whether users are off the canary for now.
    pub withdrawn: bool,
    /// What should happen: a [`serinus_models::Verdict`].
    pub verdict: serinus_models::Verdict,
    /// Why.
    pub reasons: Vec<serinus_models::Reason>,
    /// Whether decisions are only observed.
    pub observe: bool,
    /// The last evaluation in full.
    pub evaluation: Option<Evaluation>,
    /// The label of the last episode, once known.
    pub last_label: Option<Label>,
    /// Whether what is seen of the canary can still decide something, a label included.
    #[serde(default)]
    pub watched: bool,
}

/// One variant in [`ServiceStatus`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionStatus {
    /// Its version.
    pub version: Arc<str>,
}
