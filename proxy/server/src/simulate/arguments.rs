//! What a simulation can be told.

use super::policy::Policy;
use serinus_models::world::Scenario;
use serinus_models::world::seeds::Purpose;
use std::path::{Path, PathBuf};
use std::thread;

/// `serinus simulate`
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct SimulateArguments {
    /// A scenario file, or the name of a shipped scenario; may be repeated. Default: all that are shipped.
    #[arg(long = "scenario", value_name = "FILE|NAME")]
    scenarios: Vec<String>,
    /// A policy; may be repeated. Default: all.
    #[arg(long = "policy", value_name = "NAME", value_parser = Policy::named)]
    policies: Vec<Policy>,
    /// Which seeds: those for choosing settings, or those that are only reported on.
    #[arg(long, value_enum, default_value = "tune")]
    pub(super) seeds: Seeds,
    /// Number of the first seed.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) seed: u32,
    /// Releases of each scenario.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(super) runs: u32,
    /// Threads. Default: one per core.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,
    /// Write the rows to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the frontier to this file.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Play a year of releases with learning, and without, in place of scenarios under policies.
    #[arg(long, conflicts_with_all = ["scenarios", "policies", "runs", "json", "svg"])]
    pub(super) learning: bool,
    /// Days of that year.
    #[arg(long, value_name = "N", default_value_t = 365, requires = "learning", value_parser = clap::value_parser!(u32).range(1..=3_650))]
    pub(super) days: u32,
    /// Write rows, table, frontier and a summary into this folder.
    #[arg(long, value_name = "FOLDER")]
    record: Option<PathBuf>,
}

/// Ranges of seeds that cannot meet; those that the shipped model was fitted on are not offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Seeds {
    Tune,
    Test,
}

impl Seeds {
    pub(super) const fn purpose(self) -> Purpose {
        match self {
            Seeds::Tune => Purpose::Tune,
            Seeds::Test => Purpose::Test,
        }
    }

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Seeds::Tune => "tune",
            Seeds::Test => "test",
        }
    }
}

/// What is asked for, looked up.
pub(super) struct Wanted<'a> {
    pub(super) scenarios: Vec<Scenario>,
    pub(super) policies: Vec<Policy>,
    pub(super) json: Option<&'a Path>,
    pub(super) svg: Option<&'a Path>,
    pub(super) record: Option<&'a Path>,
}

impl SimulateArguments {
    /// Looks up scenarios and policies.
    ///
    /// # Errors
    /// In words: a file that cannot be read or is wrong (with its place), a scenario that is not there.
    pub(super) fn read(&self) -> Result<Wanted<'_>, String> {
        let scenarios = if self.scenarios.is_empty() {
            Scenario::shipped().to_vec()
        } else {
            self.scenarios.iter().map(|name| scenario(name)).collect::<Result<_, _>>()?
        };
        // In the order of the list, whatever the order on the command line, and each once.
        let asked = |policy: &Policy| self.policies.is_empty() || self.policies.contains(policy);
        let policies = Policy::ALL.into_iter().filter(asked).collect();
        let (json, svg) = (self.json.as_deref(), self.svg.as_deref());
        Ok(Wanted { scenarios, policies, json, svg, record: self.record.as_deref() })
    }

    pub(super) fn record_folder(&self) -> Option<&Path> {
        self.record.as_deref()
    }

    pub(super) fn jobs(&self) -> usize {
        let cores = || thread::available_parallelism().map_or(1, usize::from);
        self.jobs.map_or_else(cores, usize::from)
    }
}

/// A shipped scenario by its name, or one from a file.
fn scenario(name: &str) -> Result<Scenario, String> {
    if let Some(shipped) = Scenario::shipped().iter().find(|shipped| shipped.name() == name) {
        return Ok(shipped.clone());
    }
    let is_file = name.ends_with(".toml") || Path::new(name).exists();
    if !is_file {
        let names: Vec<_> = Scenario::shipped().iter().map(Scenario::name).collect();
        return Err(format!(
            "there is no file and no scenario '{name}'; shipped are {}",
            names.join(", ")
        ));
    }
    let text =
        std::fs::read_to_string(name).map_err(|error| format!("{name} cannot be read: {error}"))?;
    Scenario::parse(name, &text).map_err(|error| error.to_string())
}
