//! The format of scenario files. What the keys mean is told at the head of
//! `scenarios/error_step.toml`.

use super::choice::Choice;
use super::number::{Draws, Number};
use crate::outcome::Outcome;
use crate::world::{Reach, Truth};
use serde::Deserialize;
use std::collections::BTreeMap;
use toml::Spanned;

/// A number that may be left out.
pub(super) type Amount = Option<Spanned<Number>>;

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) about: Spanned<String>,
    pub(super) lasts: Amount,
    pub(super) margin: Amount,
    #[serde(default)]
    pub(super) share: u32,
    pub(super) truth: Option<TruthWord>,
    #[serde(default)]
    pub(super) draw: Draws,
    #[serde(default)]
    pub(super) service: Service,
    #[serde(default)]
    pub(super) traffic: TrafficTable,
    #[serde(default)]
    pub(super) probes: Probes,
    #[serde(default)]
    pub(super) resources: ResourcesTable,
    #[serde(default)]
    pub(super) fault: Vec<FaultTable>,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Service {
    pub(super) requests_per_second: Amount,
    pub(super) weight: Amount,
    pub(super) errors: Amount,
    pub(super) classes: Option<Classes>,
    pub(super) client_errors: Amount,
    pub(super) routes: Amount,
    #[serde(default)]
    pub(super) route: Vec<Spanned<RouteTable>>,
    pub(super) latency: Option<Spanned<LatencyTable>>,
    pub(super) timeout: Amount,
    pub(super) bytes: Amount,
    pub(super) idempotent: Amount,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RouteTable {
    pub(super) name: String,
    pub(super) share: Amount,
    pub(super) latency: Option<Spanned<LatencyTable>>,
}

/// One of: median and sigma, quantiles, a mixture.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LatencyTable {
    pub(super) median: Amount,
    pub(super) sigma: Amount,
    pub(super) quantiles: Option<BTreeMap<String, Spanned<Number>>>,
    pub(super) mixture: Option<Vec<PartTable>>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PartTable {
    pub(super) share: Spanned<Number>,
    pub(super) median: Spanned<Number>,
    pub(super) sigma: Spanned<Number>,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TrafficTable {
    pub(super) swing: Amount,
    pub(super) period: Amount,
    pub(super) phase: Amount,
    #[serde(default)]
    pub(super) spike: Vec<SpikeTable>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SpikeTable {
    pub(super) begins: Spanned<Number>,
    pub(super) lasts: Spanned<Number>,
    pub(super) times: Spanned<Number>,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Probes {
    pub(super) rate: Amount,
    pub(super) assertions: Option<bool>,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ResourcesTable {
    pub(super) known: Option<bool>,
    pub(super) cpu_per_request: Amount,
    pub(super) memory: Amount,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FaultTable {
    #[serde(default = "canary")]
    pub(super) reach: ReachWord,
    pub(super) begins: Amount,
    pub(super) lasts: Amount,
    pub(super) course: Option<Spanned<CourseWord>>,
    pub(super) failures: Amount,
    pub(super) class: Option<Choice<Class>>,
    pub(super) classes: Option<Classes>,
    pub(super) slow_factor: Amount,
    pub(super) slow_share: Amount,
    pub(super) latency: Option<Spanned<LatencyTable>>,
    pub(super) wrong: Amount,
    pub(super) cpu: Amount,
    pub(super) network: Amount,
    pub(super) memory_per_minute: Amount,
    #[serde(default)]
    pub(super) restarts: bool,
    pub(super) endpoints: Amount,
    pub(super) route: Option<Spanned<Choice<String>>>,
    pub(super) needs_load: Amount,
}

fn canary() -> ReachWord {
    ReachWord::Canary
}

/// Classes of failures with their shares, in proportion.
pub(super) type Classes = BTreeMap<Class, Spanned<Number>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Class {
    ServerError,
    ConnectError,
    Reset,
    Timeout,
}

impl From<Class> for Outcome {
    fn from(class: Class) -> Outcome {
        match class {
            Class::ServerError => Outcome::ServerError,
            Class::ConnectError => Outcome::ConnectError,
            Class::Reset => Outcome::Reset,
            Class::Timeout => Outcome::Timeout,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ReachWord {
    Canary,
    Stable,
    Both,
}

impl From<ReachWord> for Reach {
    fn from(reach: ReachWord) -> Reach {
        match reach {
            ReachWord::Canary => Reach::Canary,
            ReachWord::Stable => Reach::Stable,
            ReachWord::Both => Reach::Both,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum TruthWord {
    Sustained,
    Transient,
    Null,
}

impl From<TruthWord> for Truth {
    fn from(truth: TruthWord) -> Truth {
        match truth {
            TruthWord::Sustained => Truth::Sustained,
            TruthWord::Transient => Truth::Transient,
            TruthWord::Null => Truth::Null,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum CourseWord {
    Step,
    Growing(Number),
    Shrinking(Number),
    Fading(Number),
    Sawtooth(Number),
    Waving(Number),
    Pulsing { period: Number, on: Number },
    OneOf(Vec<CourseWord>),
}
