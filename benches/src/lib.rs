//! Benchmarks: `benches/hot_path.rs` (nanoseconds of what every request does), `bin/bare_pingora.rs`
//! (the smallest proxy that Pingora makes, the yardstick), `bin/cpu_per_request.rs` (CPU-seconds
//! and instructions per request beside it and beside nginx and HAProxy), `bin/soak.rs` and `bin/reloads.rs`
//! (what is lost, and what grows, over a long time and many changes). Records are in `runs/`.

pub mod process;
pub mod proxies;
pub mod soak;
