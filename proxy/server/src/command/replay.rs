//! `serinus replay`: what a journal says, judged again.

use super::admin_client::Whom;
use crate::control::ProxyStatus;
use crate::control::journal::FILE_NAME;
use crate::replay::{self, Question};
use anyhow::Context;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Work that takes no longer shows no progress.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub(super) struct ReplayArguments {
    /// A decision, by the number that `serinus history` shows, or a journal's file; without
    /// either, the whole journal of --state-dir, of --config, or of the running proxy.
    what: Option<String>,
    /// Judge by another setting of [service.NAME.rollout]: rollback_threshold=0.9. May be given again.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    changes: Vec<String>,
    /// This service only.
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// As JSON.
    #[arg(long)]
    json: bool,
    /// The journal in this directory.
    #[arg(long, value_name = "DIRECTORY")]
    state_dir: Option<PathBuf>,
    #[command(flatten)]
    whom: Whom,
}

impl ReplayArguments {
    /// Where the proxy on this machine has its journal.
    fn of_proxy(&self) -> anyhow::Result<PathBuf> {
        let proxy: ProxyStatus = self.whom.client()?.get("/api/v1/proxy")?;
        Ok(proxy.fixed.state_dir().to_owned())
    }

    /// The journal's file, and the decision asked for.
    fn place(&self) -> anyhow::Result<(PathBuf, Option<u64>)> {
        let decision = self.what.as_deref().and_then(|what| what.parse().ok());
        if let (Some(what), None) = (&self.what, decision) {
            let path = PathBuf::from(what);
            return Ok((if path.is_dir() { path.join(FILE_NAME) } else { path }, None));
        }
        let directory = match &self.state_dir {
            Some(directory) => directory.clone(),
            None => match self.whom.settings()? {
                Some(settings) => settings.server.state_dir,
                None => self.of_proxy().context(
                    "which journal? name its file, its folder with --state-dir, or the configuration with --config",
                )?,
            },
        };
        Ok((directory.join(FILE_NAME), decision))
    }
}

pub(super) fn run(arguments: &ReplayArguments) -> anyhow::Result<ExitCode> {
    let (file, decision) = arguments.place()?;
    let question = Question {
        service: arguments.service.clone(),
        decision,
        changes: arguments.changes.clone(),
    };
    let began = Instant::now();
    // Draws nothing where standard error is not a terminal.
    let bar = ProgressBar::hidden();
    bar.set_style(ProgressStyle::with_template("{bar:40} {percent}%, {eta} to go")?);
    bar.set_length(1_000);
    let judged = replay::judge(&file, &question, |share| {
        if bar.is_hidden() && began.elapsed() > PATIENCE {
            bar.set_draw_target(indicatif::ProgressDrawTarget::stderr());
        }
        bar.set_position((share * 1e3) as u64);
    });
    bar.finish_and_clear();
    let judged = judged?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&judged)?);
    } else if judged.is_empty() {
        println!("The journal has no looks at any release: there is nothing to judge again.");
    }
    for (number, judged) in judged.iter().enumerate().filter(|_| !arguments.json) {
        if number > 0 {
            println!();
        }
        print!("{}", replay::report(judged));
    }
    let is_reproduced = judged.iter().all(replay::Judged::is_reproduced);
    Ok(if is_reproduced { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
