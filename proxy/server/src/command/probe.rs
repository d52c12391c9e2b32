//! `serinus probe NAME --variant canary`: one run, phase by phase. `serinus probe lint` and `serinus probe suggest`.

use crate::control::read_config;
use crate::explain::words::latency;
use anyhow::{Context, anyhow, bail};
use clap::{Args, Subcommand};
use serinus_models::Outcome;
use serinus_probes::{Phase, ProbeRun, Rows, RunContext, Target, Traffic, lint, try_probe};
use serinus_routing::Variant;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Requests below which a route says nothing of its users.
const LEAST_REQUESTS: u64 = 100;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct ProbeArguments {
    #[command(subcommand)]
    other: Option<Other>,
    /// The probe, as in `[probe.NAME]`.
    #[arg(required = true)]
    name: Option<String>,
    /// Against which version.
    #[arg(long, value_parser = variant, default_value = "stable")]
    variant: Variant,
    /// The configuration file.
    #[arg(long, value_name = "FILE", required = true)]
    config: Option<PathBuf>,
    /// This row of its data, from 1 on, instead of any.
    #[arg(long, value_name = "NUMBER")]
    row: Option<usize>,
    /// This endpoint of the variant instead of its first.
    #[arg(long, value_name = "HOST:PORT")]
    endpoint: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Other {
    /// Name what in probes will break for no reason, see nothing or do harm: exit 1 if there is any.
    Lint {
        /// This probe only.
        name: Option<String>,
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Propose probes from an access log: what users ask for most, with a pace by its share. No bodies, no queries.
    Suggest {
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Access log: Serinus's own, or the combined format of nginx and Apache; default: standard input.
        #[arg(long, value_name = "FILE")]
        access_log: Option<PathBuf>,
        /// The route of a log that names none.
        #[arg(long, value_name = "NAME")]
        route: Option<String>,
    },
}

fn variant(text: &str) -> Result<Variant, String> {
    Variant::ALL
        .into_iter()
        .find(|variant| variant.as_str() == text)
        .ok_or_else(|| "use stable or canary".to_owned())
}

pub(super) fn run(arguments: ProbeArguments) -> anyhow::Result<ExitCode> {
    match (arguments.other, arguments.name, arguments.config) {
        (Some(Other::Lint { name, config }), ..) => lint_all(name.as_deref(), &config),
        (Some(Other::Suggest { config, access_log, route }), ..) => {
            suggest(&config, access_log.as_deref(), route)
        }
        (None, Some(name), Some(config)) => {
            run_once(&name, &config, arguments.variant, arguments.endpoint, arguments.row)
        }
        (None, ..) => bail!("which probe, of which configuration?"),
    }
}

fn lint_all(name: Option<&str>, config: &Path) -> anyhow::Result<ExitCode> {
    let text = std::fs::read_to_string(config).with_context(|| format!("{}", config.display()))?;
    let settings = serinus_config::parse(&text, config).map_err(|errors| anyhow!("{errors}"))?;
    let chosen =
        settings.probes.iter().filter(|probe| name.is_none_or(|name| *probe.name == *name));
    let (mut looked_at, mut said) = (0, 0);
    for probe in chosen {
        looked_at += 1;
        for remark in lint(probe) {
            said += 1;
            println!("probe {}: {remark}", probe.name);
        }
    }
    match (looked_at, name) {
        (0, Some(name)) => bail!("there is no probe '{name}'"),
        _ if said == 0 => {
            println!("{looked_at} probe{} looked at, nothing to say", plural(looked_at));
            Ok(ExitCode::SUCCESS)
        }
        _ => Ok(ExitCode::FAILURE),
    }
}

fn plural(number: usize) -> &'static str {
    if number == 1 { "" } else { "s" }
}

/// What a file that gzip wrote begins with.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Probes go to standard output, what cannot be proposed to standard error.
fn suggest(
    config: &Path,
    access_log: Option<&Path>,
    route: Option<String>,
) -> anyhow::Result<ExitCode> {
    let text = std::fs::read_to_string(config).with_context(|| format!("{}", config.display()))?;
    let settings = serinus_config::parse(&text, config).map_err(|errors| anyhow!("{errors}"))?;
    let mut lines: Box<dyn BufRead> = match access_log {
        Some(file) => Box::new(BufReader::new(
            File::open(file).with_context(|| format!("{}", file.display()))?,
        )),
        None => Box::new(io::stdin().lock()),
    };
    let shown = access_log.map_or("standard input".into(), |file| file.display().to_string());
    if lines.fill_buf().with_context(|| shown.clone())?.starts_with(&GZIP) {
        bail!("{shown} is compressed: zcat it into `serinus probe suggest --config ...`");
    }
    let mut traffic = Traffic::default();
    for line in lines.split(b'\n') {
        traffic.read(&String::from_utf8_lossy(&line.with_context(|| shown.clone())?));
    }
    if let Some(wanted) = &route
        && !settings.routes.iter().any(|route| route.name == *wanted)
    {
        let known: Vec<&str> = settings.routes.iter().map(|route| route.name.as_str()).collect();
        bail!("there is no route '{wanted}'; known: {}", known.join(", "));
    }
    // A log of another server names no route: the one that was given, or the only one there is.
    let only = match (&route, settings.routes.as_slice()) {
        (Some(route), _) => Some(route.clone()),
        (None, [only]) => Some(only.name.clone()),
        (None, _) => None,
    };
    let suggestion = traffic.suggest(LEAST_REQUESTS, |name| {
        let name = if name == "all" { only.as_deref()? } else { name };
        let route = settings.routes.iter().find(|route| route.name == name)?;
        route.service().map(str::to_owned)
    });
    print!("{}", suggestion.toml);
    suggestion.remarks.iter().for_each(|remark| eprintln!("# {remark}"));
    if traffic.unread > 0 {
        eprintln!("# {} lines were no requests of users", traffic.unread);
    }
    if suggestion.toml.is_empty() {
        // The remarks tell of every route that was asked for at all.
        let hint = match suggestion.remarks[..] {
            [] => {
                "there was no request of a user; [log] access = true writes the log that this reads"
            }
            _ => "see above",
        };
        eprintln!("# nothing to propose: {hint}");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

fn run_once(
    name: &str,
    config: &Path,
    variant: Variant,
    endpoint: Option<String>,
    row: Option<usize>,
) -> anyhow::Result<ExitCode> {
    let (settings, inputs) = read_config(config).map_err(|why| anyhow!("{why}"))?;
    let Some(probe) = settings.probes.iter().find(|probe| *probe.name == *name) else {
        let known: Vec<&str> = settings.probes.iter().map(|probe| &*probe.name).collect();
        bail!("there is no probe '{name}'; known: {}", known.join(", "));
    };
    let service = settings.service(&probe.service).ok_or_else(|| anyhow!("its service is gone"))?;
    let pool = match variant {
        Variant::Stable => &service.stable,
        Variant::Canary => service.canary.as_ref().ok_or_else(|| {
            anyhow!("service '{}' has no canary: use --variant stable", service.name)
        })?,
    };
    let Some(mut target) = Target::all_of(pool)?.into_iter().next() else {
        bail!("{variant} of service '{}' has no endpoint", service.name)
    };
    if let Some(endpoint) = endpoint {
        target.endpoint = endpoint;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let turn = match (row, inputs.rows(name).map_or(0, Rows::count)) {
        (Some(row), count) if row == 0 || row > count => {
            bail!("there is no row {row}: the data of probe '{name}' has {count}")
        }
        (Some(row), _) => row - 1,
        (None, _) => fastrand::usize(..),
    };
    let context = RunContext::of(fastrand::u64(..), &inputs, name, turn);
    let run = runtime.block_on(try_probe(probe, &target, &context))?;
    println!(
        "probe {} run {} against {} {} at {}",
        run.probe, run.run, variant, pool.version, run.endpoint
    );
    print!("{}", table(&run));
    match run.failure() {
        None => Ok(ExitCode::SUCCESS),
        Some(why) => {
            println!("FAILED ({}): {why}", run.outcome.as_str());
            Ok(ExitCode::FAILURE)
        }
    }
}

fn table(run: &ProbeRun) -> String {
    let mut text = format!("{:<34}{:>7}", "step", "status");
    for phase in Phase::ALL {
        text += &format!("{:>12}", phase.as_str());
    }
    text += &format!("{:>12}\n", "all");
    for step in &run.steps {
        let status = step.status.map_or_else(|| "-".to_owned(), |status| status.to_string());
        let mark = if step.outcome == Outcome::Ok { ' ' } else { '!' };
        let name: String = step.name.chars().take(31).collect();
        text += &format!("{mark} {name:<32}{status:>7}");
        for (_, time) in step.phases.each() {
            text += &format!("{:>12}", micros(time));
        }
        text += &format!("{:>12}\n", micros(step.phases.each().map(|(_, time)| time).sum()));
    }
    text
}

fn micros(time: std::time::Duration) -> String {
    match u64::try_from(time.as_micros()) {
        Ok(0) => "-".to_owned(),
        Ok(micros) => latency(Some(micros)),
        Err(_) => "?".to_owned(),
    }
}
