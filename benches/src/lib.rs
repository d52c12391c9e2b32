//! Benchmarks: `benches/hot_path.rs` (nanoseconds of what every request does), `bin/bare_pingora.rs`
//! (the smallest proxy that Pingora makes, the yardstick) and `bin/cpu_per_request.rs` (CPU-seconds
//! and instructions per request beside it and beside nginx and HAProxy). Records are in `runs/`.

pub mod process;
pub mod proxies;
