//! Which variant serves a request: the route table, its matcher and the cohort choice.
//!
//! Pure: a [`RouteTable`] is a value. Whoever holds one sees the same routes, weights and cohorts
//! until they drop it, whatever is published meanwhile.

mod cohort;
mod matcher;
mod table;
mod weight;

pub use cohort::{Bucket, CohortSeed};
pub use table::{
    Pool, Route, RouteConflict, RouteIndex, RouteSpec, RouteTable, Service, ServiceIndex, Sticky,
};
pub use weight::{Weight, WeightError};

use serde::{Deserialize, Serialize};

/// One of the two versions of a service that traffic is split between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Variant {
    /// The version that users had before.
    Stable,
    /// The version on trial.
    Canary,
}

impl Variant {
    /// Both variants, in the order used for arrays.
    pub const ALL: [Variant; 2] = [Variant::Stable, Variant::Canary];

    /// The name used in labels, headers and the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Variant::Stable => "stable",
            Variant::Canary => "canary",
        }
    }
}

impl std::fmt::Display for Variant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
