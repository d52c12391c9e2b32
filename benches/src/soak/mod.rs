//! Load under which nothing may be lost, with an account of every single request: for the soak
//! (`bin/soak.rs`) and for reloads and upgrades (`bin/reloads.rs`).
//!
//! Users (`load`) are open-loop and check every byte; endpoints (`endpoint`) are processes of their own
//! that write down what they have in hand, so that what a killed one took with it is known by name
//! (`account`); the proxy (`subject`) is the binary that is shipped.

pub mod account;
pub mod configuration;
pub mod endpoint;
pub mod load;
pub mod samples;
pub mod subject;
