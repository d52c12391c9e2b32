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
mod play_one;
mod policy;
mod proxy;
mod record;
mod rows;
mod statistics;
mod table;
mod targets;
#[cfg(test)]
mod tests;
mod totals;
mod year;

pub(crate) use arguments::SimulateArguments;

use anyhow::Context;
use arguments::Wanted;
use benchmark::Benchmark;
use indicatif::{ProgressBar, ProgressStyle};
use record::Heading;
use serinus_models::Predictor;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use totals::Totals;

/// Plays what is asked for and shows what came of it.
pub(crate) fn run(arguments: &SimulateArguments) -> anyhow::Result<ExitCode> {
    if arguments.learning {
        return year::run(arguments);
    }
    let wanted = match arguments.read() {
        Ok(wanted) => wanted,
        Err(why) => {
            eprintln!("{}", why.trim_end());
            return Ok(ExitCode::FAILURE);
        }
    };
    let Wanted { scenarios, policies, json, svg, record } = wanted;
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
    let what = format!(
        "{} releases under {} policies: {} scenarios, {} seeds from number {}, {} runs each, model {model}",
        benchmark.releases(),
        benchmark.policies.len(),
        scenarios.len(),
        arguments.seeds.as_str(),
        arguments.seed,
        arguments.runs,
    );
    println!("{what}\n");
    print!("{}", table::table(&families, &totals, &rows));
    if let Some(file) = json {
        record::write_rows(file, &rows)?;
    }
    if let Some(file) = svg {
        let picture = frontier::svg(&totals, arguments.runs)
            .context("a frontier needs bad releases and good ones: add a scenario")?;
        record::write_file(file, &picture)?;
    }
    if let Some(folder) = record {
        let command = std::env::args().collect::<Vec<_>>().join(" ");
        let heading = Heading { what, command, runs: arguments.runs };
        record::write(folder, &heading, &families, &totals, &rows)?;
    }
    eprintln!("took {:.0?} on {} threads", began.elapsed(), benchmark.jobs);
    Ok(ExitCode::SUCCESS)
}
