//! `serinus probe NAME --variant canary`: one run, phase by phase.

use crate::control::read_config;
use crate::explain::words::latency;
use anyhow::{anyhow, bail};
use clap::Args;
use serinus_models::Outcome;
use serinus_probes::{Phase, ProbeRun, RunContext, Target, run_probe};
use serinus_routing::Variant;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

#[derive(Debug, Args)]
pub(super) struct ProbeArguments {
    /// The probe, as in `[probe.NAME]`.
    name: String,
    /// Against which version.
    #[arg(long, value_parser = variant, default_value = "stable")]
    variant: Variant,
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// This endpoint of the variant instead of its first.
    #[arg(long, value_name = "HOST:PORT")]
    endpoint: Option<String>,
}

fn variant(text: &str) -> Result<Variant, String> {
    Variant::ALL
        .into_iter()
        .find(|variant| variant.as_str() == text)
        .ok_or_else(|| "use stable or canary".to_owned())
}

pub(super) fn run(arguments: ProbeArguments) -> anyhow::Result<ExitCode> {
    let (settings, secrets) = read_config(&arguments.config).map_err(|why| anyhow!("{why}"))?;
    let Some(probe) = settings.probes.iter().find(|probe| *probe.name == *arguments.name) else {
        let known: Vec<&str> = settings.probes.iter().map(|probe| &*probe.name).collect();
        bail!("there is no probe '{}'; known: {}", arguments.name, known.join(", "));
    };
    let service = settings.service(&probe.service).ok_or_else(|| anyhow!("its service is gone"))?;
    let pool = match arguments.variant {
        Variant::Stable => &service.stable,
        Variant::Canary => service.canary.as_ref().ok_or_else(|| {
            anyhow!("service '{}' has no canary: use --variant stable", service.name)
        })?,
    };
    let Some(mut target) = Target::all_of(pool)?.into_iter().next() else {
        bail!("{} of service '{}' has no endpoint", arguments.variant, service.name)
    };
    if let Some(endpoint) = arguments.endpoint {
        target.endpoint = endpoint;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let context = RunContext::new(fastrand::u64(..), Arc::new(secrets));
    let run = runtime.block_on(run_probe(probe, &target, &context));
    println!(
        "probe {} run {} against {} {} at {}",
        run.probe, run.run, arguments.variant, pool.version, run.endpoint
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
