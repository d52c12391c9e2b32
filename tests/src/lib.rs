//! What the cases under `tests/` stand on.

pub mod again;
pub mod browser;
pub mod lab;
pub mod pebble;
pub mod play;
pub mod setup;
pub mod simulation;
