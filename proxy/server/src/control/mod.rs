//! From observations to published tables: the thread that owns the controller, and its journal.

pub(crate) mod board;
pub(crate) mod events;
pub(crate) mod fixed;
pub(crate) mod journal;
mod request;

pub(crate) use board::{Board, Lifecycle, ProxyStatus};
pub(crate) use request::{Refusal, Request};
