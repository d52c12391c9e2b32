//! Which variant serves a request, and which of its endpoints: the route table, its matcher, the
//! cohort choice and the balancing.
//!
//! Pure: a [`RouteTable`] is a value. Whoever holds one sees the same routes, weights and cohorts
//! until they drop it, whatever is published meanwhile.

pub mod balance;
mod cohort;
mod condition;
mod headers;
mod matcher;
mod path;
mod redirect;
mod table;
mod weight;

pub use cohort::{Bucket, CohortSeed};
pub use condition::{Asked, Conditions, HeaderCondition, QueryCondition, ValueCheck};
pub use headers::HeaderChanges;
pub use path::{PathChange, PathMatch, PathPattern};
pub use redirect::{Redirect, Scheme, Visited};
pub use table::{
    Place, Pool, RedirectIndex, Route, RouteConflict, RouteIndex, RouteSpec, RouteTable, Service,
    ServiceIndex, Sticky, Target,
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
