//! How much a more particular model has to say: as much as it was right about what it had not seen.
//!
//! By the number of labels alone, a model that knows a service well would share its say for years with one that is
//! surely wrong about that service, and one that knows nothing would have as much. So every share that it could have
//! is a forecaster of its own, the pool with that share; they are weighed by how well they forecast what was held
//! out in time, starting from what the number of labels suggests, and the share is their mean. It is a Bayesian
//! mixture: over the labels held out it loses no more than a constant against the best share, none at all included.

use super::lesson::{Lesson, Rows};
use crate::fit::{Fitted, quality};
use crate::predictor::Predictor;
use std::collections::BTreeMap;

/// Shares that are weighed against each other: the middles of so many equal parts.
const SHARES: usize = 20;
/// How firmly the share that follows from the number of labels is believed in beforehand: as so many draws.
const BELIEF: f64 = 4.0;

/// What more general layers, pooled, forecast of looks that they had not seen: log-odds by the number of the
/// lesson and the place of the look.
pub(super) struct General<'a> {
    lessons: &'a [&'a Lesson],
    log_odds: BTreeMap<(usize, usize), f64>,
}

/// What was held out of one episode.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct HeldOut {
    /// At each look: log-odds by the general layers, and by the particular one.
    pub(super) looks: Vec<(f64, f64)>,
    pub(super) sustained: bool,
}

impl<'a> General<'a> {
    /// The prior alone, which has seen none of it, at the looks that were held out of this fit.
    pub(super) fn prior(
        prior: &Predictor,
        lessons: &'a [&'a Lesson],
        (rows, fitted): (&Rows, &Fitted),
    ) -> General<'a> {
        let said = |(row, _): &(usize, f64)| {
            let forecast = prior.forecast(&rows.rows[*row].features);
            (rows.places[*row], forecast.base + forecast.contributions.iter().sum::<f64>())
        };
        General { lessons, log_odds: fitted.held_out.iter().map(said).collect() }
    }

    /// Pools a layer with it that has this share.
    pub(super) fn take_in(&mut self, share: f64, (rows, fitted): (&Rows, &Fitted)) {
        for (row, particular) in &fitted.held_out {
            if let Some(general) = self.log_odds.get_mut(&rows.places[*row]) {
                *general = (1.0 - share) * *general + share * particular;
            }
        }
    }

    /// Beside it, what a more particular layer forecast; by episode.
    pub(super) fn beside(&self, (rows, fitted): (&Rows, &Fitted)) -> Vec<HeldOut> {
        let mut episodes: BTreeMap<usize, HeldOut> = BTreeMap::new();
        for (row, particular) in &fitted.held_out {
            let place = rows.places[*row];
            let Some(general) = self.log_odds.get(&place) else { continue };
            let sustained = self.lessons[place.0].sustained;
            let of = episodes.entry(place.0);
            let of = of.or_insert_with(|| HeldOut { looks: Vec::new(), sustained });
            of.looks.push((*general, *particular));
        }
        episodes.into_values().collect()
    }
}

/// As how many labels a layer counts that has seen `labels`, where so many as `from` have half of the say.
pub(super) fn counts_as(labels: u64, from: f64, held_out: &[HeldOut]) -> u64 {
    let share = share(labels as f64 / (from + labels as f64), held_out);
    (from * share / (1.0 - share)).round() as u64
}

/// The share of the particular layer, 0 to 1; `suggested` by the number of its labels.
fn share(suggested: f64, held_out: &[HeldOut]) -> f64 {
    let (for_it, against) = (BELIEF * suggested - 1.0, BELIEF * (1.0 - suggested) - 1.0);
    let weighed: Vec<(f64, f64)> = (0..SHARES)
        .map(|at| {
            let share = (at as f64 + 0.5) / SHARES as f64;
            // The density of a beta distribution, times how likely the labels were.
            let beforehand = for_it * libm::log(share) + against * libm::log(1.0 - share);
            let loss: f64 = held_out.iter().map(|episode| episode.loss(share)).sum();
            (share, beforehand - loss)
        })
        .collect();
    let most = weighed.iter().map(|(_, weight)| *weight).fold(f64::NEG_INFINITY, f64::max);
    let weight = |log: f64| libm::exp(log - most);
    let total: f64 = weighed.iter().map(|(_, log)| weight(*log)).sum();
    weighed.iter().map(|(share, log)| share * weight(*log)).sum::<f64>() / total
}

impl HeldOut {
    /// Log-loss of the pool with that share. Looks at one episode resemble each other: together they count as one.
    fn loss(&self, share: f64) -> f64 {
        let of_look = |(general, particular): &(f64, f64)| {
            quality::log_loss((1.0 - share) * general + share * particular, self.sustained)
        };
        self.looks.iter().map(of_look).sum::<f64>() / self.looks.len() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Episodes that last by turns; log-odds of what becomes of them, by the general layers and by the particular one.
    fn episodes(count: usize, right: (f64, f64)) -> Vec<HeldOut> {
        let episode = |at: usize| {
            let sustained = at.is_multiple_of(2);
            let sign = if sustained { 1.0 } else { -1.0 };
            HeldOut { looks: vec![(sign * right.0, sign * right.1); 5], sustained }
        };
        (0..count).map(episode).collect()
    }

    #[test]
    fn nothing_held_out_leaves_what_the_number_of_labels_suggests() {
        for suggested in [0.25, 0.5, 0.75] {
            assert!((share(suggested, &[]) - suggested).abs() < 0.01, "{}", share(suggested, &[]));
        }
        assert_eq!(counts_as(50, 50.0, &[]), 50);
    }

    #[test]
    fn who_was_right_has_the_say_and_who_was_wrong_has_none() {
        let (right, wrong) =
            (share(0.3, &episodes(30, (-2.0, 2.0))), share(0.7, &episodes(30, (2.0, -2.0))));
        assert!(right > 0.85 && wrong < 0.15, "{right} {wrong}");
        // A few labels move it, and no more.
        let few = share(0.3, &episodes(2, (-2.0, 2.0)));
        assert!(few > 0.4 && few < right, "{few}");
    }

    #[test]
    fn looks_at_one_episode_count_as_one() {
        let often: Vec<HeldOut> = episodes(4, (-1.0, 1.0));
        let once = often.iter().cloned().map(|mut episode| {
            episode.looks.truncate(1);
            episode
        });
        let once = share(0.5, &once.collect::<Vec<_>>());
        assert!((share(0.5, &often) - once).abs() < 1e-9, "{once}");
    }

    #[test]
    fn where_both_are_too_sure_in_turn_the_pool_is_better_than_either() {
        let mut mixed = episodes(40, (3.0, -0.5));
        mixed.extend(episodes(40, (-0.5, 3.0)));
        let found = share(0.5, &mixed);
        assert!((found - 0.5).abs() < 0.05, "{found}");
    }
}
