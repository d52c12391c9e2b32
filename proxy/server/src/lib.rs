//! The parts of the binary `serinus`, as a library so that benchmarks and tests measure what runs.
//! Modules are declared here, not in `main.rs`.

pub mod command;
pub mod demo;
mod control;
pub mod data_path;
mod admin;
mod explain;
mod wall_time;
mod logging;
