//! What the cases under `tests/` stand on.

pub mod browser;
pub mod lab;
pub mod setup;
pub mod simulation;
