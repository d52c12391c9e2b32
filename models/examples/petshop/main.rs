//! A trial on real incidents: Amazon's PetShop data set (CC-BY-4.0, not part of this repository).
//!
//! `make bench-petshop DATA=PATH`, or
//! `cargo run --release -p serinus-models --example petshop -- --data PATH [--draws N] [--seed N] [--json FILE]`.
//! The node of an incident plays the canary, the same node before the incident plays stable; recordings
//! in which nothing was injected have to stay silent. What that can show and what not is in
//! `benches/runs/*-petshop/README.md`.

#![expect(
    clippy::disallowed_methods,
    reason = "an example is an edge: it reads the data and writes the report"
)]

mod dataset;
mod label;
mod metrics;
#[cfg(test)]
mod null_tests;
mod one_look;
mod read_error;
mod record;
mod report;
mod scoring;
#[cfg(test)]
mod tests;
mod traffic;
mod trial;

use crate::dataset::Dataset;
use crate::record::{Judge, Null};
use crate::report::VIEWS;
use crate::traffic::Latencies;
use crate::trial::Watch;
use serinus_models::{Predictor, pretrain};
use std::error::Error;
use std::path::PathBuf;

const USAGE: &str = "usage: petshop --data PATH [--draws N] [--seed N] [--json FILE]";
/// What the licence of the data asks for.
const ATTRIBUTION: &str = "PetShop root-cause data set, Copyright Amazon.com, Inc. or its affiliates, CC-BY-4.0, \
    https://github.com/amazon-science/petshop-root-cause-analysis; requests were drawn anew from its sums";

struct Arguments {
    data: PathBuf,
    draws: u64,
    seed: u64,
    json: Option<PathBuf>,
}

impl Arguments {
    fn parse(mut given: impl Iterator<Item = String>) -> Result<Arguments, Box<dyn Error>> {
        let (mut data, mut draws, mut seed, mut json) = (None, 3, 1, None);
        while let Some(name) = given.next() {
            let value = given.next().ok_or_else(|| format!("{name} without a value; {USAGE}"))?;
            match name.as_str() {
                "--data" => data = Some(PathBuf::from(value)),
                "--json" => json = Some(PathBuf::from(value)),
                "--draws" => draws = value.parse().map_err(|wrong| format!("--draws: {wrong}"))?,
                "--seed" => seed = value.parse().map_err(|wrong| format!("--seed: {wrong}"))?,
                _ => return Err(format!("unknown argument '{name}'; {USAGE}").into()),
            }
        }
        let data = data.ok_or(USAGE)?;
        Ok(Arguments { data, draws, seed, json })
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse(std::env::args().skip(1))?;
    let dataset = Dataset::read(&arguments.data)?;
    let judge = Judge {
        settings: pretrain::settings(),
        predictor: Predictor::shipped()?,
        draws: arguments.draws,
        seed: arguments.seed,
    };
    println!("{ATTRIBUTION}.");
    println!(
        "{} incidents, {} calm recordings, {} draws of each, seed {}, model {}.",
        dataset.incidents.len(),
        dataset.calm.len(),
        judge.draws,
        judge.seed,
        judge.predictor.id()
    );
    let (ratio, rows) = mean_ratio(&dataset);
    println!(
        "Means of latencies drawn between the quantiles are {ratio:.3} times the recorded ones (median of {rows} rows).\n"
    );

    let mut incidents = vec![];
    for (view, watch) in VIEWS {
        eprintln!("incidents: {} by {}", report::word(&view), report::word(&watch));
        let played = dataset.incidents.iter().map(|it| record::incident(it, view, watch, &judge));
        incidents.extend(played);
    }
    let (mut groups, mut scores) = (vec![], vec![]);
    for (view, watch) in VIEWS {
        println!("## {} watched by {}\n", report::word(&view), report::word(&watch));
        let here = report::groups(&incidents, view, watch);
        report::print_groups(&here);
        println!();
        let scored = report::scores(&incidents, view, watch);
        report::print_scores(&scored);
        println!();
        groups.extend(here);
        scores.extend(scored);
    }
    report::print_mended(&incidents);
    println!("\n## Nulls\n");
    let mut nulls = vec![];
    for null in [Null::Split, Null::DayBefore, Null::FirstRow] {
        for watch in [Watch::Recording, Watch::Probes] {
            eprintln!("nulls: {} by {}", report::word(&null), report::word(&watch));
            nulls.extend(record::nulls(&dataset, null, watch, &judge)?);
        }
    }
    report::print_nulls(&nulls);
    if let Some(file) = arguments.json {
        let json = serde_json::json!({
            "attribution": ATTRIBUTION,
            "model": judge.predictor.id(),
            "settings": judge.settings,
            "draws": judge.draws,
            "seed": judge.seed,
            "mean_ratio": ratio,
            "groups": groups,
            "scores": scores,
            "incidents": incidents,
            "nulls": nulls,
        });
        std::fs::write(&file, json.to_string() + "\n")?;
    }
    Ok(())
}

/// How the mean of what is drawn relates to the mean that the data has, over the rows of all incidents:
/// the median, and of how many rows.
fn mean_ratio(dataset: &Dataset) -> (f64, usize) {
    let scenes = dataset.incidents.iter().flat_map(|incident| [&incident.front, &incident.cause]);
    let mut ratios: Vec<f64> = scenes
        .flat_map(|scene| &scene.rows)
        .filter_map(|row| Some(Latencies::of(row)?.mean() / row.mean?))
        .collect();
    ratios.sort_by(f64::total_cmp);
    (ratios.get(ratios.len() / 2).copied().unwrap_or(f64::NAN), ratios.len())
}
