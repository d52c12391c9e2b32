//! `serinus schema`

use std::process::ExitCode;

pub(super) fn run() -> anyhow::Result<ExitCode> {
    println!("{:#}", serinus_config::schema());
    Ok(ExitCode::SUCCESS)
}
