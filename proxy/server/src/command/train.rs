//! `serinus train`: what the learning thread does, by hand, from any journal.

use super::place::journal;
use crate::control::journal::Reader;
use crate::learning::{Lessons, SEED, write_atomically};
use anyhow::Context;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serinus_models::Predictor;
use serinus_models::learn::{Frozen, figures, train};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(super) struct TrainArguments {
    /// The journal: its file, or the state directory.
    #[arg(long, value_name = "PATH")]
    journal: PathBuf,
    /// Write the model here. Put into a state directory as model.learned, it judges there from the next
    /// start on, and nothing else is learned.
    #[arg(long, short = 'o', value_name = "FILE")]
    out: Option<PathBuf>,
    /// Seed of folds and forests; that of the running proxy is the default.
    #[arg(long, value_name = "N", default_value_t = SEED)]
    seed: u64,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &TrainArguments) -> anyhow::Result<ExitCode> {
    let reader = Reader::open_file(&journal(&arguments.journal))?;
    let Lessons { learned: lessons, left_out } = Lessons::read(&reader)?;
    let prior = Predictor::shipped().context("the shipped model cannot be used")?;
    // Draws nothing where standard error is not a terminal.
    let bar = ProgressBar::new(1_000);
    bar.set_style(ProgressStyle::with_template("{msg} {bar:40} {percent}%, {eta} to go")?);
    bar.set_message("playing the frozen scenarios");
    bar.tick();
    let frozen = Frozen::play();
    bar.set_message(format!("fitting {} labels", lessons.len()));
    let trained = train(&lessons, (&prior, &prior), &frozen, arguments.seed, &mut |progress| {
        bar.set_position((progress.done * 1e3) as u64);
        true
    });
    bar.finish_and_clear();
    let model = trained
        .with_context(|| format!("nothing can be learned from {}", arguments.journal.display()))?;
    if let Some(out) = &arguments.out {
        write_atomically(out, &model.to_bytes())
            .with_context(|| format!("{} cannot be written", out.display()))?;
    }
    let on_frozen = (frozen.brier(&prior), frozen.brier(&model));
    if arguments.json {
        let told = serde_json::json!({
            "model": model.id(),
            "lineage": model.lineage(),
            "left_out": left_out,
            "brier_on_frozen_scenarios": { "prior": on_frozen.0, "model": on_frozen.1 },
            "prior_on_these_labels": figures(&prior, &lessons, false),
        });
        println!("{}", serde_json::to_string_pretty(&told)?);
        return Ok(ExitCode::SUCCESS);
    }
    print!("{}", super::model::lineage(&model));
    for (why, count) in &left_out {
        println!("  not learned from: {count} ({why})");
    }
    println!(
        "  Brier score on the frozen scenarios: {:.3} (prior {:.3})",
        on_frozen.1, on_frozen.0
    );
    if let Some(out) = &arguments.out {
        println!("written to {}", out.display());
    }
    Ok(ExitCode::SUCCESS)
}
