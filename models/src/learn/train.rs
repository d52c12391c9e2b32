//! A challenger: fitted to what all services have shown, and to what each has.

use super::doubt::doubted;
use super::frozen::Frozen;
use super::lesson::{Lesson, Rows, rows};
use super::say::{General, counts_as};
use crate::fit::{FitError, Fitted, fit_in_time};
use crate::predictor::{ALL_FROM, Layer, Learned, Lineage, Model, Predictor, SERVICE_FROM};
use crate::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The latest lessons that are learned from: what a fit may take in memory and time is bounded by it.
pub const MOST_LESSONS: usize = 5_000;
/// Looks that are fitted to, at most: of all services, and of one.
const MOST_ROWS: usize = 10_000;
const MOST_ROWS_OF_SERVICE: usize = 2_500;
/// Services that have a layer of their own, at most: those with the most labels.
const MOST_SERVICES: usize = 64;
/// Releases of a service from which on it has a layer, ...
const RELEASES: usize = 12;
/// ... and of them, those that lasted and those that passed.
const OF_EACH: usize = 3;
/// A service's own layer may tell the frozen scenarios apart so much worse than the prior (AUC).
/// A service may have its own ways; it cannot have them upside down.
const WORSE_AT_MOST: f64 = 0.2;
/// The layer of all services may make the forecasts of the frozen scenarios so much worse (Brier score).
const FROZEN_SLACK: f64 = 0.005;

/// How far a fit is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// Share of the work that is done, 0 to 1.
    pub done: f64,
}

/// Fits a challenger. The same lessons, prior and seed give the same model, byte for byte.
///
/// `parent` is the model that judges now. `go_on` is asked often; `false` cancels.
///
/// # Errors
/// [`FitError`] names what is wrong with the lessons.
pub fn train(
    lessons: &[Lesson],
    (prior, parent): (&Predictor, &Predictor),
    frozen: &Frozen,
    seed: u64,
    go_on: &mut dyn FnMut(Progress) -> bool,
) -> Result<Predictor, FitError> {
    let lessons = &lessons[lessons.len().saturating_sub(MOST_LESSONS)..];
    let aside = doubted(prior, lessons);
    let lessons: Vec<&Lesson> =
        lessons.iter().filter(|lesson| !aside.contains(&lesson.id)).collect();
    if lessons.is_empty() && !aside.is_empty() {
        return Err(FitError::SetAside { labels: aside.len() });
    }
    // The share of the work of each fit is that of its rows: all of them twice over.
    let total = 2.0 * lessons.len().max(1) as f64;
    let numbered: Vec<(usize, &Lesson)> = lessons.iter().copied().enumerate().collect();
    let of_all = rows(&numbered, MOST_ROWS);
    let all = fit_in_time(&of_all.rows, seed, &mut |share| {
        go_on(Progress { done: share * lessons.len() as f64 / total })
    })?;
    let mut general = General::prior(prior, &lessons, (&of_all, &all));
    let held_out = general.beside((&of_all, &all));
    let labels = lessons.len() as u64;
    let mut learned = Learned {
        lineage: lineage(&lessons, (prior, parent), seed),
        prior: prior_model(prior),
        all: Layer {
            labels,
            counts_as: counts_as(labels, ALL_FROM, &held_out),
            model: Arc::new(all.model.clone()),
        },
        services: BTreeMap::new(),
    };
    restrain(&mut learned, frozen.brier(prior) + FROZEN_SLACK, frozen);
    general.take_in(learned.all.share(ALL_FROM), (&of_all, &all));
    let mut of_services: BTreeMap<&str, Vec<(usize, &Lesson)>> = BTreeMap::new();
    for (number, lesson) in numbered {
        of_services.entry(&lesson.service).or_default().push((number, lesson));
    }
    // Where there is one service, the layer of all is its own.
    let alone = of_services.len() < 2;
    let mut by_size: Vec<(&str, Vec<(usize, &Lesson)>)> =
        of_services.into_iter().filter(|_| !alone).collect();
    by_size.sort_by_key(|(name, lessons)| (usize::MAX - lessons.len(), *name));
    let allowed = frozen.auc(prior) - WORSE_AT_MOST;
    let mut done = lessons.len();
    for (place, (service, own)) in by_size.into_iter().enumerate() {
        let fitted = fit_own(place, &own, seed, &mut |share| {
            go_on(Progress { done: (done as f64 + share * own.len() as f64) / total })
        });
        done += own.len();
        let refused = match fitted {
            Err(FitError::Cancelled) => return Err(FitError::Cancelled),
            Err(why) => Some(why.to_string()),
            Ok(Err(why)) => Some(why),
            Ok(Ok((rows, fitted))) => {
                let labels = own.len() as u64;
                let held_out = general.beside((&rows, &fitted));
                let counts_as = counts_as(labels, SERVICE_FROM, &held_out);
                let layer = Layer { labels, counts_as, model: Arc::new(fitted.model) };
                learned.services.insert(service.to_owned(), layer);
                let auc = frozen.auc(&Predictor::of_learned(learned.clone()).of_service(service));
                (auc < allowed).then(|| {
                    learned.services.remove(service);
                    format!("with it the frozen scenarios are told apart worse: AUC {auc:.3}, at least {allowed:.3} is asked for")
                })
            }
        };
        if let Some(why) = refused {
            learned.lineage.left_out.insert(service.to_owned(), why);
        }
    }
    Ok(Predictor::of_learned(learned))
}

/// Cuts the say of the layer of all services back until the frozen scenarios are forecast well
/// enough. What some services have as their own ways is not true of one that nobody knows; their own
/// layers keep their say.
fn restrain(learned: &mut Learned, allowed: f64, frozen: &Frozen) {
    while learned.all.counts_as > 0
        && frozen.brier(&Predictor::of_learned(learned.clone())) > allowed
    {
        learned.all.counts_as = learned.all.counts_as * 3 / 4;
    }
}

/// A service's own model and what it was fitted to; in the inner error, why it has none.
fn fit_own(
    place: usize,
    own: &[(usize, &Lesson)],
    seed: u64,
    go_on: &mut dyn FnMut(f64) -> bool,
) -> Result<Result<(Rows, Fitted), String>, FitError> {
    let releases = |of: Option<bool>| {
        let of = own.iter().filter(|(_, lesson)| of.is_none_or(|kind| lesson.sustained == kind));
        of.map(|(_, lesson)| lesson.release()).collect::<BTreeSet<_>>().len()
    };
    let (all, lasting, passing) = (releases(None), releases(Some(true)), releases(Some(false)));
    if place >= MOST_SERVICES {
        return Ok(Err(format!("{MOST_SERVICES} services have more labels")));
    }
    if all < RELEASES || lasting < OF_EACH || passing < OF_EACH {
        return Ok(Err(format!(
            "{all} releases, {lasting} with a lasting failure and {passing} with a passing one: it takes {RELEASES}, and {OF_EACH} of each"
        )));
    }
    let rows = rows(own, MOST_ROWS_OF_SERVICE);
    let fitted = fit_in_time(&rows.rows, seed, go_on)?;
    Ok(Ok((rows, fitted)))
}

/// What a pool rests on. A learned model given as the prior lends its own.
fn prior_model(prior: &Predictor) -> Arc<Model> {
    prior.first_model().clone()
}

fn lineage(lessons: &[&Lesson], (prior, parent): (&Predictor, &Predictor), seed: u64) -> Lineage {
    let mut services: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for lesson in lessons {
        let counts = services.entry(lesson.service.to_string()).or_default();
        *(if lesson.sustained { &mut counts.0 } else { &mut counts.1 }) += 1;
    }
    let at = |lesson: Option<&&Lesson>| lesson.map_or(Timestamp(0), |lesson| lesson.labelled_at);
    Lineage {
        parent: parent.id().to_owned(),
        prior: prior.id().to_owned(),
        generation: parent.lineage().map_or(0, |lineage| lineage.generation) + 1,
        labels: lessons.len() as u64,
        corrected: lessons.iter().filter(|lesson| lesson.corrected).count() as u64,
        span: (at(lessons.first()), at(lessons.last())),
        services,
        left_out: BTreeMap::new(),
        seed,
    }
}
