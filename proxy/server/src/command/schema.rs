//! `serinus schema`

use std::process::ExitCode;

pub(super) fn run() -> anyhow::Result<ExitCode> {
    anyhow::bail!("the configuration crate is not built yet")
}
