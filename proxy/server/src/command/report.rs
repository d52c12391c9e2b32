//! `serinus report ID`: one decision as a page.

use super::place::{Place, journal};
use crate::{learning, replay, report};
use anyhow::Context;
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(super) struct ReportArguments {
    /// A number that `serinus history` shows.
    id: u64,
    /// Where to write it; - for standard output [default: decision-ID.html].
    #[arg(long, short = 'o', value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
}

pub(super) fn run(arguments: &ReportArguments) -> anyhow::Result<ExitCode> {
    let ReportArguments { id, out, place } = arguments;
    let (entry, course) = replay::course(&journal(&place.directory()?), *id)?;
    let page = report::html(&entry, &course);
    let out = out.clone().unwrap_or_else(|| format!("decision-{id}.html").into());
    if out.as_os_str() == "-" {
        print!("{page}");
        return Ok(ExitCode::SUCCESS);
    }
    learning::write_atomically(&out, page.as_bytes())
        .with_context(|| format!("{} cannot be written", out.display()))?;
    println!("{}", out.display());
    Ok(ExitCode::SUCCESS)
}
