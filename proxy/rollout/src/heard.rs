//! What a controller was told, as it is written down: all that another one needs to decide the same.

use crate::load::Load;
use crate::message::Command;
use crate::phase::ServiceState;
use crate::plan::ServicePlan;
use crate::record::RecordKind;
use serde::{Deserialize, Serialize};
use serinus_models::{ServiceTick, Timestamp};
use std::sync::Arc;

/// One thing that a controller was told. Told the same things at the same times in the same order,
/// any controller of this build gives the same answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Heard {
    /// A controller began: the process started, the journal turned up, or the judgement failed and
    /// began anew. What earlier ones knew beyond the states is gone.
    Began {
        /// Version of the program.
        version: String,
        /// What it judges by.
        scheme: Scheme,
        /// Where the rollouts stood.
        states: Vec<(Arc<str>, ServiceState)>,
    },
    /// What was seen of a service. Only where it could still decide something.
    Observed {
        /// The service's name.
        service: Arc<str>,
        /// What was seen.
        tick: ServiceTick,
    },
    /// What a service carried, where looks that are not among these have changed it.
    Carried {
        /// The service's name.
        service: Arc<str>,
        /// What it carried.
        load: Load,
    },
    /// Time passed. Only after a look that was kept, or where it had a consequence.
    Tick,
    /// A person's command that was carried out.
    Commanded {
        /// The service's name.
        service: Arc<str>,
        /// What they wanted.
        command: Command,
    },
    /// Another configuration.
    Configured(Scheme),
    /// Another model.
    Model(Scheme),
    /// The disk answered.
    Answered(Answer),
    /// So many things that were told are missing here: the journal could not be written.
    Lost(u64),
}

/// A record of a service and whether the disk took it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The record's service.
    pub service: Arc<str>,
    /// The record's time.
    pub at: Timestamp,
    /// The record's kind.
    pub kind: RecordKind,
    /// Whether it is on the disk.
    pub durable: bool,
}

/// What a controller judges by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scheme {
    /// Names the configuration in records.
    pub config_hash: String,
    /// The services.
    pub services: Vec<ServicePlan>,
    /// The model in use; none where the detector decides alone.
    pub model: Option<String>,
}

impl Heard {
    /// The service that it is about; none where it concerns all.
    pub fn service(&self) -> Option<&Arc<str>> {
        match self {
            Heard::Observed { service, .. }
            | Heard::Carried { service, .. }
            | Heard::Commanded { service, .. }
            | Heard::Answered(Answer { service, .. }) => Some(service),
            _ => None,
        }
    }

    /// What is judged by from then on, where it says that.
    pub const fn scheme(&self) -> Option<&Scheme> {
        match self {
            Heard::Began { scheme, .. } | Heard::Configured(scheme) | Heard::Model(scheme) => {
                Some(scheme)
            }
            _ => None,
        }
    }

    /// The name of its kind in the journal.
    pub const fn kind(&self) -> &'static str {
        match self {
            Heard::Began { .. } => "began",
            Heard::Observed { .. } => "observed",
            Heard::Carried { .. } => "carried",
            Heard::Tick => "tick",
            Heard::Commanded { .. } => "commanded",
            Heard::Configured(_) => "configured",
            Heard::Model(_) => "model",
            Heard::Answered(_) => "answered",
            Heard::Lost(_) => "lost",
        }
    }
}
