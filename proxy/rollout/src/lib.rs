//! Stages, phases and the controller: from evaluations to who is served by what.
//!
//! Pure: the controller is told what happened and when, and answers what to do. It never waits,
//! locks or reads a clock, so it runs the same in the proxy, in a simulation and over a journal.

mod controller;
mod heard;
mod leave;
mod load;
mod machine;
#[cfg(test)]
mod machine_table;
mod message;
mod phase;
mod plan;
mod ramp;
mod record;
mod relapse;
mod replay;
mod service;

pub use controller::Controller;
pub use heard::{Answer, Heard, Scheme};
pub use load::{Carried, Load};
pub use message::{
    Command, CommandError, Input, Output, ServiceStatus, Ticket, Urgency, VersionStatus,
};
pub use phase::{Leaving, Phase, ServiceState};
pub use plan::{Mode, OnAnomaly, Plan, RolloutPolicy, ServicePlan, Stage};
pub use record::{Record, RecordKind};
pub use replay::{Answers, Library, Made, Replay, UnknownModel, Written};
