//! The parts of the binary `serinus`, as a library so that benchmarks and tests measure what runs.
//! Modules are declared here, not in `main.rs`.

mod acme;
mod admin;
mod chart;
pub mod command;
mod complaints;
mod control;
pub mod data_path;
pub mod demo;
mod explain;
mod idle_time;
mod learning;
mod lifecycle;
mod logging;
mod outbound;
mod replay;
mod report;
mod simulate;
mod wall_time;
