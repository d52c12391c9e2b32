//! `serinus import har|recorder|hurl FILE`: a journey written down elsewhere, as `[probe.NAME]`.

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use serinus_probes::import::{Naming, Source, import};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(super) struct ImportArguments {
    /// What the file was written by.
    from: Format,
    /// The file.
    file: PathBuf,
    /// The service that the probe watches.
    #[arg(long, default_value = "NAME_OF_YOUR_SERVICE")]
    service: String,
    /// The probe's name; default: the file's.
    #[arg(long)]
    name: Option<String>,
    /// The site whose requests are kept; default: that of the first request.
    #[arg(long)]
    host: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// HTTP Archive, from a browser's network panel.
    Har,
    /// JSON of Chrome DevTools' Recorder.
    Recorder,
    /// Hurl (a subset).
    Hurl,
}

/// The probe goes to standard output, what was left out or guessed to standard error.
pub(super) fn run(arguments: ImportArguments) -> anyhow::Result<ExitCode> {
    let file = &arguments.file;
    let text = std::fs::read_to_string(file).with_context(|| format!("{}", file.display()))?;
    let source = match arguments.from {
        Format::Har => Source::Har,
        Format::Recorder => Source::Recorder,
        Format::Hurl => Source::Hurl,
    };
    let name = arguments.name.unwrap_or_else(|| name_of(file));
    let naming = Naming { probe: name, service: arguments.service, host: arguments.host };
    match import(source, &text, &naming) {
        Ok(imported) => {
            print!("{}", imported.toml);
            imported.remarks.iter().for_each(|remark| eprintln!("# {remark}"));
            Ok(ExitCode::SUCCESS)
        }
        Err(why) => bail!("{}: {why}", file.display()),
    }
}

/// The file's name as the name of a probe.
fn name_of(file: &Path) -> String {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    let name: String = stem.chars().take(60).map(plain).collect();
    match name.trim_start_matches(['_', '-']) {
        "" => "imported".to_owned(),
        name => name.to_owned(),
    }
}
