//! `serinus simulate`: scenarios x policies x seeds under virtual time.
//!
//! Serinus plays through the controller that serves traffic, with its pace of looks and probes and its
//! labels ([`proxy`]); the others see what a metrics store would tell them ([`play`]). All policies
//! meet the same releases: a run's world has the same seed for each.

mod arguments;
mod benchmark;
mod frontier;
mod gathering;
mod ledger;
mod metrics;
mod play;
mod policy;
mod proxy;
mod rows;
mod statistics;
mod table;
#[cfg(test)]
mod tests;
mod totals;

pub(crate) use arguments::SimulateArguments;

use anyhow::Context;
use arguments::Wanted;
use benchmark::Benchmark;
use indicatif::{ProgressBar, ProgressStyle};
use serinus_models::Predictor;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use totals::Totals;

/// Plays what is asked for and shows what came of it.
pub(crate) fn run(arguments: &SimulateArguments) -> anyhow::Result<ExitCode> {
    let wanted = match arguments.read() {
        Ok(wanted) => wanted,
        Err(why) => {
            eprintln!("{}", why.trim_end());
            return Ok(ExitCode::FAILURE);
        }
    };
    let Wanted { scenarios, policies, json, svg } = wanted;
    let benchmark = Benchmark {
        scenarios: scenarios.iter().collect(),
        policies,
        seeds: arguments.seeds.purpose(),
        first: arguments.seed,
        runs: arguments.runs,
        jobs: arguments.jobs(),
    };
    let predictor = Predictor::shipped().context("the shipped model cannot be used")?;
    let model = predictor.id().to_owned();
    let began = Instant::now();
    let progress = ProgressBar::new(benchmark.releases() as u64);
    progress.set_style(ProgressStyle::with_template(
        "{bar:40} {pos}/{len} releases, {elapsed} gone, {eta} to go",
    )?);
    progress.enable_steady_tick(Duration::from_millis(250));
    let families = benchmark.run(Some(&Arc::new(predictor)), &|| progress.inc(1))?;
    progress.finish_and_clear();

    let rows = rows::rows(&families);
    let totals = Totals::of(&families);
    println!(
        "{} releases under {} policies: {} scenarios, {} seeds from number {}, {} runs each, model {model}\n",
        benchmark.releases(),
        benchmark.policies.len(),
        scenarios.len(),
        arguments.seeds.as_str(),
        arguments.seed,
        arguments.runs,
    );
    print!("{}", table::table(&families, &totals, &rows));
    if let Some(file) = json {
        let mut text = serde_json::to_string_pretty(&rows)?;
        text.push('\n');
        std::fs::write(file, text)
            .with_context(|| format!("{} cannot be written", file.display()))?;
    }
    if let Some(file) = svg {
        let text = frontier::svg(&totals, arguments.runs)
            .context("there is no frontier without a bad release: add a scenario")?;
        std::fs::write(file, text)
            .with_context(|| format!("{} cannot be written", file.display()))?;
    }
    eprintln!("took {:.0?} on {} threads", began.elapsed(), benchmark.jobs);
    Ok(ExitCode::SUCCESS)
}
