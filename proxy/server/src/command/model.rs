//! `serinus model`: what judges, what it listens to, how good it is.

use super::place::Place;
use crate::control::journal::Reader;
use crate::control::models_at_hand;
use crate::learning::{Lessons, ModelStore};
use crate::wall_time;
use anyhow::{Context, anyhow};
use clap::{Args, Subcommand};
use serinus_models::learn::{CalibrationRow, Figures, Frozen, Lesson, calibration_table, figures};
use serinus_models::{Predictor, Provenance};
use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

/// Features shown.
const FEATURES_SHOWN: usize = 12;

#[derive(Debug, Args)]
pub(super) struct ModelArguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Members, features by importance, calibration, training set and lineage of a model.
    Show(ShowArguments),
    /// How good every model at hand is, on the labels of the journal and on the frozen scenarios.
    Evaluate(EvaluateArguments),
}

#[derive(Debug, Args)]
struct ShowArguments {
    /// Its name [default: the one that judges].
    model: Option<String>,
    /// For the releases of this service.
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// As JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
struct EvaluateArguments {
    /// As JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

pub(super) fn run(arguments: &ModelArguments) -> anyhow::Result<ExitCode> {
    match &arguments.what {
        What::Show(arguments) => show(arguments),
        What::Evaluate(arguments) => evaluate(arguments),
    }
}

/// Lessons of a journal; none where there is no journal yet.
fn lessons(directory: &Path) -> anyhow::Result<Vec<Lesson>> {
    match Reader::open(directory) {
        Ok(reader) => Ok(Lessons::read(&reader)?.learned),
        Err(_) => Ok(Vec::new()),
    }
}

/// The model that judges in a state directory, and what its files are refused for.
fn in_force(directory: &Path) -> anyhow::Result<(Arc<Predictor>, Vec<String>)> {
    let loaded = crate::control::load_model(directory);
    let (predictor, trouble) = loaded;
    let predictor =
        predictor.ok_or_else(|| anyhow!("no model can be used: the detector decides alone"))?;
    Ok((predictor, trouble.into_iter().collect()))
}

fn show(arguments: &ShowArguments) -> anyhow::Result<ExitCode> {
    let directory = arguments.place.directory()?;
    let (judging, troubles) = in_force(&directory)?;
    let model = match &arguments.model {
        None => judging.clone(),
        Some(name) => {
            let known = models_at_hand(&directory);
            let found = known.iter().find(|model| model.id().starts_with(&**name)).cloned();
            found.with_context(|| {
                let names: Vec<&str> = known.iter().map(|model| model.id()).collect();
                format!("there is no model '{name}'; there are {}", names.join(", "))
            })?
        }
    };
    let service = arguments.service.as_deref();
    let view = service.map_or_else(|| (*model).clone(), |service| model.of_service(service));
    let lessons: Vec<Lesson> = lessons(&directory)?
        .into_iter()
        .filter(|lesson| service.is_none_or(|service| *lesson.service == *service))
        .collect();
    let table = calibration_table(&model, &lessons, true);
    if arguments.json {
        let told = serde_json::json!({
            "model": model.id(),
            "judges": model.id() == judging.id(),
            "troubles": troubles,
            "layers": model.says(service),
            "training": model.provenance(),
            "lineage": model.lineage(),
            "features": view.importance(),
            "calibration": table,
            "unseen": figures(&model, &lessons, true),
        });
        println!("{}", serde_json::to_string_pretty(&told)?);
        return Ok(ExitCode::SUCCESS);
    }
    let judges = if model.id() == judging.id() { ", which judges" } else { "" };
    let mut text = format!("Model {}{judges}\n", model.id());
    troubles.iter().for_each(|trouble| text += &format!("  ! {trouble}\n"));
    text += "\nMembers\n  logistic regression (L2) and a regression forest, averaged on the log-odds, then calibrated\n";
    for say in model.says(service) {
        let seen = say.labels.map_or_else(
            || "fitted to simulated releases".to_owned(),
            |labels| format!("fitted to {labels} labels"),
        );
        let _ = writeln!(text, "  {:<24}{:>5.0}% of the say, {seen}", say.layer, 100.0 * say.share);
    }
    let _ = writeln!(
        text,
        "\nFeatures by importance\n  {:<46}{:>7}{:>11}{:>9}",
        "", "share", "logistic", "forest"
    );
    for importance in view.importance().into_iter().take(FEATURES_SHOWN) {
        let _ = writeln!(
            text,
            "  {:<46}{:>6.1}%{:>+11.2}{:>8.1}%",
            format!("{} ({})", importance.words, importance.feature),
            100.0 * importance.share,
            importance.logistic,
            100.0 * importance.forest
        );
    }
    calibration(&mut text, &table);
    training(&mut text, model.provenance());
    text.push('\n');
    text += &lineage(&model);
    print!("{text}");
    Ok(ExitCode::SUCCESS)
}

fn calibration(text: &mut String, table: &[CalibrationRow]) {
    if table.is_empty() {
        text.push_str(
            "\nCalibration\n  the journal has no label yet that this model had not seen\n",
        );
        return;
    }
    let _ = writeln!(
        text,
        "\nCalibration, on labels that it had not seen\n  {:<14}{:>10}{:>8}{:>10}",
        "forecast", "forecasts", "said", "happened"
    );
    for row in table {
        let _ = writeln!(
            text,
            "  {:<14}{:>10}{:>7.0}%{:>9.0}%",
            format!("{:.0} to {:.0}%", 100.0 * row.from, 100.0 * row.to),
            row.forecasts,
            100.0 * row.said,
            100.0 * row.happened
        );
    }
}

fn training(text: &mut String, provenance: &Provenance) {
    let Provenance { rows, sustained, deployments, calibrated, seed } = provenance;
    let _ = writeln!(
        text,
        "\nTraining set\n  {rows} looks at {deployments} releases, {sustained} of them at failures that lasted; {}; seed {seed}",
        if *calibrated { "calibrated on releases held out" } else { "too few to calibrate on" }
    );
}

/// Where a model comes from, in some lines.
pub(super) fn lineage(model: &Predictor) -> String {
    let mut text = format!("Lineage of {}\n", model.id());
    let Some(lineage) = model.lineage() else {
        text.push_str("  shipped with this version, or given by a person\n");
        return text;
    };
    let corrected = match lineage.corrected {
        0 => String::new(),
        count => format!(", {count} of them given by persons"),
    };
    let _ = writeln!(
        text,
        "  generation {}, fitted while {} judged, on prior {}\n  {} labels{corrected}, from {} to {}; seed {}",
        lineage.generation,
        lineage.parent,
        lineage.prior,
        lineage.labels,
        wall_time::readable(lineage.span.0),
        wall_time::readable(lineage.span.1),
        lineage.seed
    );
    for (service, (lasted, passed)) in &lineage.services {
        let own = match lineage.left_out.get(service) {
            Some(why) => format!("; no layer of its own: {why}"),
            None if lineage.services.len() > 1 => "; has a layer of its own".to_owned(),
            None => String::new(),
        };
        let _ = writeln!(text, "  {service}: {lasted} lasted, {passed} passed{own}");
    }
    text
}

fn evaluate(arguments: &EvaluateArguments) -> anyhow::Result<ExitCode> {
    let directory = arguments.place.directory()?;
    let (judging, troubles) = in_force(&directory)?;
    let lessons = lessons(&directory)?;
    let shipped = Predictor::shipped().context("the shipped model cannot be used")?;
    let (roster, _) = ModelStore::of(&directory).load(Arc::new(shipped));
    let frozen = Frozen::play();
    let mut models = models_at_hand(&directory);
    models.dedup_by(|a, b| a.id() == b.id());
    let role = |model: &Predictor| {
        let on_trial = roster.challengers.iter().any(|challenger| challenger.id() == model.id());
        match () {
            () if model.id() == judging.id() => "judges",
            () if on_trial => "on trial",
            () if model.id() == roster.prior.id() => "shipped",
            () => "former",
        }
    };
    let mut told = Vec::new();
    for model in &models {
        let unseen = figures(model, &lessons, true);
        let standing = (role(model) == "on trial").then(|| roster.standing(model, &lessons));
        told.push((model, role(model), frozen.brier(model), unseen, standing));
    }
    if arguments.json {
        let models: Vec<_> = told
            .iter()
            .map(|(model, role, frozen, unseen, standing)| {
                serde_json::json!({
                    "model": model.id(), "role": role, "brier_on_frozen_scenarios": frozen,
                    "unseen": unseen, "standing": standing,
                })
            })
            .collect();
        let told =
            serde_json::json!({ "labels": lessons.len(), "models": models, "troubles": troubles });
        println!("{}", serde_json::to_string_pretty(&told)?);
        return Ok(ExitCode::SUCCESS);
    }
    troubles.iter().for_each(|trouble| println!("! {trouble}"));
    println!("{} labels in the journal; each model on those that it had not seen", lessons.len());
    for (model, role, on_frozen, unseen, standing) in told {
        println!("\n{} ({role}), Brier score on the frozen scenarios {on_frozen:.3}", model.id());
        if unseen.is_empty() {
            println!("  no label yet that it had not seen");
            continue;
        }
        println!(
            "  {:<16}{:>10}{:>8}{:>8}{:>10}{:>8}",
            "after the alarm", "forecasts", "AUC", "Brier", "log-loss", "ECE"
        );
        unseen.iter().for_each(|figures| println!("{}", line(figures)));
        if let Some(standing) = standing {
            println!(
                "  against the one that judges: {} labels, the bet stands at {:.1} (20 wins, from 30 labels on); Brier {:.3}, was {:.3}",
                standing.labels, standing.capital, standing.brier.1, standing.brier.0
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn line(figures: &Figures) -> String {
    let Figures { age, forecasts, auc, brier, log_loss, calibration_error } = figures;
    let age = age.map_or_else(|| "all".to_owned(), |age| format!("+{age} s"));
    let auc = auc.map_or_else(|| "-".to_owned(), |auc| format!("{auc:.3}"));
    format!(
        "  {age:<16}{forecasts:>10}{auc:>8}{brier:>8.3}{log_loss:>10.3}{calibration_error:>8.3}"
    )
}
