//! From observations to published tables: the thread that owns the controller, and its journal.

mod announce;
pub(crate) mod board;
mod clock;
mod conductor;
mod drains;
pub(crate) mod events;
pub(crate) mod fixed;
pub(crate) mod journal;
mod judgement;
pub(crate) mod looking;
mod model;
mod numbering;
mod parts;
pub(crate) mod past;
mod probe_log;
mod reload;
mod request;

pub(crate) use board::{Board, Lifecycle, ProxyStatus};
pub(crate) use clock::Clock;
pub(crate) use conductor::{Beginning, Conductor, pace};
pub(crate) use model::{at_hand as models_at_hand, in_force as load_model};
pub(crate) use parts::{Parts, inputs as inputs_of};
pub(crate) use reload::read as read_config;
pub(crate) use request::{Refusal, Request};
