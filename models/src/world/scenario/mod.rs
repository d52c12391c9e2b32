//! Kinds of releases, each described by a TOML file. The format is told at the head of
//! `scenarios/error_step.toml`.

mod casting;
mod check;
mod choice;
mod error;
mod file;
mod number;

pub use error::ScenarioError;

use super::Truth;
use error::Mistake;
use file::{Amount, File};
use number::Number;
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

/// How long a play lasts if the file does not say.
const HALF_AN_HOUR: Duration = Duration::from_secs(30 * 60);

/// A kind of release: what is wrong with it, how that goes on, and what is left to chance.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    name: String,
    truth: Option<Truth>,
    file: File,
}

impl Scenario {
    /// Reads a scenario file; `file` is its path or name: the scenario is called as the file, without
    /// directories and extension.
    ///
    /// # Errors
    /// The first mistake, with its place and what to write instead.
    pub fn parse(file: &str, text: &str) -> Result<Scenario, ScenarioError> {
        let read = toml::from_str(text).map_err(|error| Mistake::of_toml(&error));
        let checked = read.and_then(|read| Ok((check::check(&read)?, read)));
        let (truth, read) = checked.map_err(|wrong| ScenarioError::new(file, text, wrong))?;
        let name = Path::new(file).file_stem().map_or(file.into(), |stem| stem.to_string_lossy());
        Ok(Scenario { name: name.into_owned(), truth, file: read })
    }

    /// The scenarios that come with Serinus.
    pub fn shipped() -> &'static [Scenario] {
        static PARSED: LazyLock<Vec<Scenario>> = LazyLock::new(|| {
            let parse = |(name, text): &(&str, &str)| Scenario::parse(name, text);
            // A test parses each of them.
            SHIPPED.iter().map(parse).collect::<Result<_, _>>().unwrap_or_else(|e| panic!("{e}"))
        });
        &PARSED
    }

    /// The shipped scenario of this name.
    pub fn named(name: &str) -> Option<&'static Scenario> {
        Scenario::shipped().iter().find(|scenario| scenario.name == name)
    }

    /// Its name: that of its file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is, in a sentence.
    pub fn about(&self) -> &str {
        self.file.about.get_ref()
    }

    /// What is true of its releases; `None` where that is drawn.
    pub fn truth(&self) -> Option<Truth> {
        self.truth
    }

    /// Weight in the mix of releases that the shipped prior is fitted on; 0 if it is not learned from.
    pub fn share(&self) -> u32 {
        self.file.share
    }

    /// How long one play lasts.
    pub fn lasts(&self) -> Duration {
        fixed(&self.file.lasts).map_or(HALF_AN_HOUR, Duration::from_secs_f64)
    }

    /// The odds ratio that its releases are judged by, where it is not the default.
    pub fn margin(&self) -> Option<f64> {
        fixed(&self.file.margin)
    }

    /// Scenarios of one seed shall not share their draws.
    pub(super) fn salt(&self) -> u64 {
        xxhash_rust::xxh3::xxh3_64(self.name.as_bytes())
    }
}

fn fixed(amount: &Amount) -> Option<f64> {
    match amount.as_ref()?.get_ref() {
        Number::Fixed(number) => Some(*number),
        _ => None,
    }
}

macro_rules! shipped {
    ($($name:literal)*) => {
        &[$((concat!($name, ".toml"), include_str!(concat!("../../../scenarios/", $name, ".toml")))),*]
    };
}

/// The files in `scenarios/`, in the order in which tables show them.
const SHIPPED: &[(&str, &str)] = shipped![
    "dead_on_arrival"
    "dead_later"
    "error_step"
    "error_step_0_3"
    "error_step_1"
    "error_step_2"
    "error_step_5"
    "error_step_20"
    "slow_step"
    "slow_leak"
    "memory_growth"
    "gc_sawtooth"
    "tail_only"
    "bimodal"
    "one_route"
    "one_endpoint_of_seven"
    "corrupt_body"
    "faster_but_wrong"
    "crash_loop"
    "flapping"
    "resets_lasting"
    "hangs_lasting"
    "load_dependent"
    "onset_after_6h"
    "low_traffic"
    "partial_zone"
    "blip"
    "cold_start"
    "cold_start_fading"
    "cold_start_tau"
    "cold_cache"
    "single_restart"
    "resets_passing"
    "hangs_passing"
    "noisy_neighbour"
    "shared_outage"
    "traffic_spike"
    "diurnal"
    "busy_machine"
    "healthy"
    "yardstick_0_4"
    "yardstick_1"
    "yardstick_2"
    "yardstick_5"
    "yardstick_20"
    "yardstick_0_4_late"
    "yardstick_1_late"
    "yardstick_2_late"
    "yardstick_5_late"
    "yardstick_20_late"
];

#[cfg(test)]
mod tests;
