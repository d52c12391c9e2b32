//! What the cases under `tests/` stand on.

pub mod simulation;
