//! Synthetic transactions against both variants, and what their processes use.
//!
//! [`run_probe`] runs one probe once; [`Scheduler`] runs them all, forever, against both variants at
//! the same moment with the same inputs; [`ResourceReader`] reads CPU, memory and restarts from the
//! endpoints' Prometheus pages. See README.md for how probes are written.

mod any_certificate;
mod browser;
mod capture;
mod client;
mod cookies;
mod encoded;
mod expect;
mod exposition;
pub mod import;
mod inputs;
mod journey;
mod lint;
mod local;
mod marks;
pub mod orca;
mod pace;
mod page;
mod phases;
mod plan;
mod received;
mod request;
mod resources;
mod rows;
mod run;
mod sameness;
mod scheduler;
mod seasons;
mod secrets;
mod sender;
mod suggest;
mod target;
mod template;
mod usage;
mod value;

pub use browser::{Browsers, Missing, NotRun, Recording, RecordingError, Recordings};
pub use inputs::{InputError, Inputs};
pub use lint::lint;
pub use marks::{PROBE_AGENT, Signer};
pub use pace::{Cadence, Urgency};
pub use phases::{Phase, Phases};
pub use plan::{Pool, ServiceProbes};
pub use resources::{RequestCounter, ResourceReader, ServiceResources};
pub use rows::{Row, Rows, RowsError};
pub use run::{ProbeRun, RunContext, StepRun, run_probe, try_probe};
pub use scheduler::{Round, RoundHook, Runs, Scheduler};
pub use secrets::{REDACTED, SecretError, Secrets};
pub use suggest::{Suggestion, Traffic};
pub use target::{Target, Tls, TlsError};
pub use usage::Answered;
