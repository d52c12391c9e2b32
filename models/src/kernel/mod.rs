//! The sequential test: stratified e-processes that may be looked at as often as one likes.
//!
//! One stratum is one tick (of one route; several where it is quiet). Given the number of events in it, how many fall on the
//! canary is hypergeometric, tilted by the odds ratio `psi` between canary and stable; whatever both
//! share in that tick (an outage, a burst, the time of day) cancels. The likelihood ratio of each
//! alternative against the margin has expectation at most 1 while the odds ratio is at most the
//! margin, so by Ville's inequality the product ever reaches `1 / alpha` with probability at most
//! `alpha`. Sources: Turner & Gruenwald (stratified count e-values), Lindon & Malek (conditional
//! canary test), Shin, Ramdas & Rinaldo (mixture over change-points).

mod hypergeometric;
#[cfg(test)]
mod tests;

use crate::sample::Pair;
use crate::time::Timestamp;
use std::time::Duration;

/// Odds ratios that are played against the margin; those at or below the margin sit out.
const ALTERNATIVES: [f64; 8] = [1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0];

/// Shares of the stake on them, in proportion: the outermost seldom win.
const WEIGHTS: [f64; ALTERNATIVES.len()] = [0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.5];
/// Share of the stake that is played at once; the rest is spread over the horizon, for faults that come later.
const AT_ONCE: f64 = 0.45;

/// Capital of one alternative is cut off here: a cut can only lower the e-value.
const MOST_CAPITAL: f64 = 1e60;

/// Trials of one variant and how many of them had the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Count {
    pub(crate) trials: u64,
    /// At most `trials`.
    pub(crate) hits: u64,
}

impl Count {
    pub(crate) fn new(trials: u64, hits: u64) -> Self {
        Count { trials, hits: hits.min(trials) }
    }

    pub(crate) fn add(&mut self, other: Count) {
        self.trials += other.trials;
        self.hits += other.hits;
    }

    /// Share of trials with the event; `None` without trials.
    pub(crate) fn rate(self) -> Option<f64> {
        (self.trials > 0).then(|| self.hits as f64 / self.trials as f64)
    }
}

/// Logarithm of the likelihood ratio of each alternative against the margin, in one stratum.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct LogRatios([f64; ALTERNATIVES.len()]);

impl LogRatios {
    /// Of counts made at the same time. `margin` is the odds ratio that is still no worse, at least 1.
    pub(crate) fn of_stratum(counts: Pair<Count>, margin: f64) -> Self {
        hypergeometric::log_ratios(counts, margin, &ALTERNATIVES)
            .map_or_else(Self::default, LogRatios)
    }

    /// Of the canary alone against a rate of stable's that is known from before (0 to 1).
    pub(crate) fn against_history(canary: Count, rate: f64, margin: f64) -> Self {
        let rate = rate.clamp(1e-6, 1.0 - 1e-6);
        let (hits, trials) = (canary.hits as f64, canary.trials as f64);
        // Binomial: the normaliser of odds ratio psi is (1 - rate + rate * psi) per trial.
        let normaliser = |psi: f64| libm::log(1.0 - rate + rate * psi);
        LogRatios(ALTERNATIVES.map(|psi| {
            if psi <= margin {
                return 0.0;
            }
            hits * libm::log(psi / margin) + trials * (normaliser(margin) - normaliser(psi))
        }))
    }

    /// The same evidence for requests that are not independent: the counts vary `inflation` (at least 1) times as
    /// much. A power below one of something with expectation at most 1 has that too (Jensen).
    pub(crate) fn tempered(self, inflation: f64) -> Self {
        LogRatios(self.0.map(|ratio| ratio / inflation))
    }

    /// No alternative wins more than `most` (logarithm): a cut can only lower the expectation.
    pub(crate) fn at_most(self, most: f64) -> Self {
        LogRatios(self.0.map(|ratio| ratio.min(most)))
    }

    /// Adds another stratum of the same tick.
    pub(crate) fn add(&mut self, other: &LogRatios) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine += theirs;
        }
    }

    /// Those of the alternatives "three times the odds" and "twenty times": the steps of the search
    /// for when a slight or a gross deviation began.
    pub(crate) fn slight_and_gross(&self) -> [f64; 2] {
        [self.0[2], self.0[5]]
    }
}

/// One e-process: capital betted on every alternative, a part of it at once, the rest spread over the
/// horizon so that a change long after the start is met with fresh capital.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Process {
    capital: [f64; ALTERNATIVES.len()],
    /// Share of the stake that is in play, 0 to 1.
    staked: f64,
    began: Timestamp,
}

impl Process {
    pub(crate) fn new(now: Timestamp) -> Self {
        Process { capital: [0.0; ALTERNATIVES.len()], staked: 0.0, began: now }
    }

    /// Takes in the stratum that ended at `now`.
    pub(crate) fn multiply(
        &mut self,
        now: Timestamp,
        ratios: &LogRatios,
        margin: f64,
        horizon: Duration,
    ) {
        let age = now.since(self.began);
        if age > horizon && self.e_value(margin) <= 1.0 {
            // The stake is used up and nothing is going on: a new horizon, with its own `alpha`.
            *self = Process::new(now);
        }
        let age = now.since(self.began).as_secs_f64();
        let passed = if age < horizon.as_secs_f64() { age / horizon.as_secs_f64() } else { 1.0 };
        let stake = (AT_ONCE + (1.0 - AT_ONCE) * passed - self.staked).max(0.0);
        self.staked += stake;
        for (capital, ratio) in self.capital.iter_mut().zip(ratios.0) {
            // Ratio 0 is the rule for alternatives that sit out and ticks without events.
            let factor = if ratio == 0.0 { 1.0 } else { libm::exp(ratio.min(500.0)) };
            *capital = ((*capital + stake) * factor).min(MOST_CAPITAL);
        }
    }

    /// The e-value now: how many times better "worse by more than the margin" explains what came.
    pub(crate) fn e_value(&self, margin: f64) -> f64 {
        let weighed = ALTERNATIVES.iter().zip(WEIGHTS).zip(self.capital);
        let playing = weighed.filter(|((psi, _), _)| **psi > margin);
        let (weights, sum) = playing.fold((0.0, 0.0), |(weights, sum), ((_, weight), capital)| {
            (weights + weight, sum + weight * capital)
        });
        if weights == 0.0 {
            return 1.0;
        }
        sum / weights + (1.0 - self.staked)
    }
}
