//! `serinus upgrade`: the next process, with the binary that is installed now.

use super::admin_client::{AdminClient, Whom};
use crate::control::{Lifecycle, ProxyStatus};
use anyhow::{Context, bail};
use clap::Args;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Longer than both processes wait for each other.
const PATIENCE: Duration = Duration::from_secs(70);
const LOOK_EVERY: Duration = Duration::from_millis(50);

#[derive(Debug, Args)]
pub(super) struct UpgradeArguments {
    #[command(flatten)]
    whom: Whom,
}

pub(super) fn run(arguments: &UpgradeArguments) -> anyhow::Result<ExitCode> {
    let client = arguments.whom.client()?;
    let before = status(&client)?;
    let pid = i32::try_from(before.pid).context("that is no process id")?;
    kill(Pid::from_raw(pid), Signal::SIGUSR2).with_context(|| {
        format!("process {pid} cannot be asked: run this as its user on its machine")
    })?;
    let since = Instant::now();
    while since.elapsed() < PATIENCE {
        std::thread::sleep(LOOK_EVERY);
        // Between the two nobody may answer.
        let Ok(now) = status(&client) else { continue };
        if now.pid != before.pid && now.lifecycle == Lifecycle::Serving {
            println!("process {} (version {}) took over from process {pid}", now.pid, now.version);
            return Ok(ExitCode::SUCCESS);
        }
        if let Some(why) = now.upgrade_failed {
            bail!("process {pid} goes on: {why}");
        }
    }
    bail!("process {pid} has not handed over after {} s: see its log", PATIENCE.as_secs())
}

fn status(client: &AdminClient) -> anyhow::Result<ProxyStatus> {
    client.get("/api/v1/proxy")
}
