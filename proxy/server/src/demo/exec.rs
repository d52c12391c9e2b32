//! `lab-child`: a command that does not outlive its parent.

use super::arguments::ChildArguments;
use anyhow::{Context, bail};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::getppid;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

/// Becomes another command of this executable, in the same process, and is killed when the parent
/// dies, however it dies: the kernel keeps the wish across `exec`.
///
/// # Errors
/// The parent is dead already, or the command cannot be started.
pub fn become_child(arguments: ChildArguments) -> anyhow::Result<ExitCode> {
    set_pdeathsig(Signal::SIGKILL).context("cannot ask to die with the parent")?;
    // Had it died before the line above, nobody would tell us.
    if getppid().as_raw() != arguments.parent {
        bail!("the parent, process {}, is gone", arguments.parent);
    }
    let executable = std::env::current_exe().context("cannot find this executable")?;
    Err(Command::new(executable).args(&arguments.command).exec())
        .context("cannot start the command")
}
