//! Kinds of releases, by name.

mod error;

pub use error::ScenarioError;

use super::{Family, Truth};
use serde::Deserialize;
use std::sync::LazyLock;
use std::time::Duration;
use toml::Spanned;

/// A kind of release with random parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    pub(super) family: Family,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    family: Spanned<String>,
}

/// Weights in the training mix.
const SHARES: [(Family, u32); 22] = [
    (Family::DeadOnArrival, 16),
    (Family::ErrorStep, 20),
    (Family::SlowLeak, 2),
    (Family::GcSawtooth, 2),
    (Family::SlowStep, 4),
    (Family::TailOnly, 2),
    (Family::Bimodal, 2),
    (Family::OneRoute, 3),
    (Family::CorruptBody, 2),
    (Family::CrashLoop, 3),
    (Family::Flapping, 1),
    (Family::ResetsLasting, 3),
    (Family::HangsLasting, 2),
    (Family::ZoneLost, 2),
    (Family::Blip, 30),
    (Family::ColdStart, 24),
    (Family::ColdCache, 3),
    (Family::SingleRestart, 12),
    (Family::ResetsPassing, 2),
    (Family::HangsPassing, 1),
    (Family::ZoneBack, 2),
    (Family::NoisyNeighbour, 2),
];

impl Scenario {
    /// Reads a scenario file; `file` is its name in errors.
    ///
    /// # Errors
    /// The first mistake, with its place and what to write instead.
    pub fn parse(file: &str, text: &str) -> Result<Scenario, ScenarioError> {
        let located = |span, message: String, help: &str| {
            ScenarioError::new(file, text, span, message, help.to_owned())
        };
        let read: File = toml::from_str(text).map_err(|error| {
            let span = error.span().unwrap_or(0..0);
            located(span, error.message().to_owned(), "write family = \"error_step\"")
        })?;
        let named = |family: &Family| family.as_str() == read.family.as_ref();
        match Family::ALL.into_iter().find(named) {
            Some(family) => Ok(Scenario { family }),
            None => {
                let message = format!("there is no family '{}'", read.family.as_ref());
                Err(located(read.family.span(), message, "write the name of a shipped scenario"))
            }
        }
    }

    /// The scenarios that come with Serinus.
    pub fn shipped() -> &'static [Scenario] {
        static SHIPPED: LazyLock<Vec<Scenario>> =
            LazyLock::new(|| Family::ALL.map(|family| Scenario { family }).to_vec());
        &SHIPPED
    }

    /// Its name: that of its file.
    pub fn name(&self) -> &str {
        self.family.as_str()
    }

    /// What it is, in a sentence.
    pub fn about(&self) -> &str {
        self.family.as_str()
    }

    /// What is true of its releases; `None` where that is drawn.
    pub fn truth(&self) -> Option<Truth> {
        Some(self.family.truth())
    }

    /// Weight in the mix of releases that the shipped prior is fitted on; 0 if it is not learned from.
    pub fn share(&self) -> u32 {
        SHARES.iter().find(|(family, _)| *family == self.family).map_or(0, |(_, share)| *share)
    }

    /// How long one play lasts.
    pub fn lasts(&self) -> Duration {
        let day = matches!(self.family, Family::Diurnal | Family::Healthy);
        Duration::from_secs(if day { 24 * 3600 } else { 30 * 60 })
    }
}
