//! `serinus demo`: a real shop, real load, a fault, and what the proxy made of it.
//!
//! Everything runs as processes of this same executable: two shops (`lab-upstream`), one proxy
//! (`run`), and this one, which sends the load and tells the story. What it shows of the rollout
//! it reads from the admin API, as anybody could. The end-to-end tests are built from the same
//! pieces.

mod arguments;
mod child;
mod client;
mod exec;
mod headless;
mod load;
mod scene;
mod shop;
mod stage;
mod story;
mod tally;
mod view;
mod visitor;
mod watcher;

pub use arguments::{ChildArguments, DemoArguments, UpstreamArguments};
pub use child::{Child, Shop, free_port};
pub use client::Client;
pub use exec::become_child;
pub use load::{LoadPlan, send};
pub use scene::run;
pub use shop::{FaultKind, FaultOrder, PASSWORD, serve as serve_shop};
pub use tally::{Mishap, Side, Tally, Totals};
