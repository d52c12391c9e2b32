//! `serinus label`: what a person says of an episode wins over what was observed.

use super::admin_client::{Unreachable, segment};
use super::place::Place;
use crate::control::journal::{Reader, append_alone};
use crate::learning::correction;
use anyhow::bail;
use clap::{Args, ValueEnum};
use serde_json::Value;
use serinus_models::{Label, Timestamp};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

#[derive(Debug, Args)]
pub(super) struct LabelArguments {
    /// A number that `serinus history` shows: of the episode, or of a decision in it.
    id: u64,
    /// What it was.
    label: Said,
    /// How you know.
    #[arg(long)]
    why: String,
    #[command(flatten)]
    place: Place,
}

/// What can be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Said {
    /// The failure lasted, or would have.
    Sustained,
    /// It passed by itself.
    Transient,
    /// Stable failed too.
    Shared,
    /// It ended because load left.
    Censored,
    /// Nobody can tell: nothing is learned from it.
    Unclear,
}

impl From<Said> for Label {
    fn from(said: Said) -> Label {
        match said {
            Said::Sustained => Label::Sustained,
            Said::Transient => Label::Transient,
            Said::Shared => Label::Shared,
            Said::Censored => Label::Censored,
            Said::Unclear => Label::Unclear,
        }
    }
}

pub(super) fn run(arguments: &LabelArguments) -> anyhow::Result<ExitCode> {
    let LabelArguments { id, why, place, .. } = arguments;
    let label = Label::from(arguments.label);
    if why.trim().is_empty() {
        bail!("say why: --why \"the database was restarted\"");
    }
    let path =
        format!("/api/v1/decisions/{id}/label?label={}&why={}", label.as_str(), segment(why));
    match place.whom.client().and_then(|client| client.post(&path)) {
        Ok(answer) => told(&answer, label),
        // Nobody runs: the journal can be written without it.
        Err(error)
            if error.is::<Unreachable>()
                && (place.state_dir.is_some() || place.whom.is_by_config()) =>
        {
            let directory = place.directory()?;
            let found = correction(&Reader::open(&directory)?, *id, label, why.trim())?;
            let (episode, service, observed) =
                (found.episode, found.service.clone(), found.observed.clone());
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let record = found.record(Timestamp(now.as_millis() as u64), String::new());
            append_alone(&directory, &record)?;
            told(
                &serde_json::json!({ "episode": episode, "service": service, "observed": observed }),
                label,
            );
        }
        Err(error) => return Err(error),
    }
    Ok(ExitCode::SUCCESS)
}

fn told(answer: &Value, label: Label) {
    let text = |name: &str| answer[name].as_str().unwrap_or_default();
    println!(
        "episode {} of {} counts as {} from now on (observed: {}); the next training takes it so",
        answer["episode"],
        text("service"),
        label.as_str(),
        text("observed")
    );
}
