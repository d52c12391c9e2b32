//! Which endpoint of a variant is asked, and which are left out for now.
//!
//! Pure: who is well and what was ejected when are arguments; the edge keeps the counters.

mod eligibility;
mod hashing;
mod health;
mod load;
mod schedule;

pub use eligibility::{Condition, Eligible, eligible, may_eject};
pub use hashing::{EndpointKey, RequestKey, highest};
pub use health::{Ejection, EjectionRule, Health, HealthRule, newcomer_share};
pub use load::{least_loaded, less_loaded_of_two};
pub use schedule::Schedule;

/// How the next endpoint is chosen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Balance {
    /// In turn, each as often as its weight says.
    #[default]
    RoundRobin,
    /// The one with the fewest requests for its weight.
    LeastConnections,
    /// Of two that are drawn the one with fewer requests.
    PowerOfTwo,
    /// The same one for the same key.
    Hash(HashBy),
}

/// What a request is recognised by where the same must reach the same endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashBy {
    /// The client's address.
    ClientIp,
    /// The value of a header, lower case.
    Header(String),
    /// The value of a cookie.
    Cookie(String),
}
