//! Serinus: a layer-7 edge proxy that watches a new version and takes users off it before they notice.
//!
//! The modules live in `lib.rs`, so that benchmarks and tests can reach them.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    serinus::command::main()
}
