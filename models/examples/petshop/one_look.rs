//! What the counts alone allow: one test of everything that was recorded from the fault on, made once
//! when it is over. No rollout can wait for that; it says how much there is to find in so few requests.

use crate::metrics::{ROW_SECONDS, Row};
use crate::traffic::{Latencies, recorded, resampled};
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use serinus_models::{Pair, Sample};

/// The events that are tested: failures, and latencies above these shares of the first row.
const SHARES: [f64; 2] = [0.9, 0.99];

/// Requests, and those with the event.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    trials: u64,
    hits: u64,
}

/// Whether one look at the end, at the confidence and with the margin of the running test, says that the
/// canary is worse in failures or latency (a third of the error probability each).
pub(crate) fn one_look(rows: &[Row], fault_at: u64, margin: f64, alpha: f64, seed: u64) -> bool {
    let Some(first) = rows.first() else { return false };
    let mut dice = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut seen: Pair<Sample> = Pair::default();
    for row in &rows[(fault_at / ROW_SECONDS) as usize..] {
        let count = first.requests.unwrap_or(0);
        for (sum, seconds) in [
            (&mut seen.stable, resampled(first, count, &mut dice)),
            (&mut seen.canary, recorded(row, &mut dice)),
        ] {
            for sample in seconds {
                sum.outcomes.merge(&sample.outcomes);
                sum.latency.merge(&sample.latency);
            }
        }
    }
    let failures = |sample: &Sample| Count {
        trials: sample.outcomes.total(),
        hits: sample.outcomes.failures(),
    };
    let mut counts = vec![Pair { stable: failures(&seen.stable), canary: failures(&seen.canary) }];
    if let Some(usual) = Latencies::of(first) {
        counts.extend(SHARES.map(|share| {
            let limit = usual.at(share);
            let above = |sample: &Sample, limit: u64| Count {
                trials: sample.latency.total(),
                hits: sample.latency.above(limit),
            };
            let tolerated = (limit as f64 * margin) as u64;
            Pair { stable: above(&seen.stable, limit), canary: above(&seen.canary, tolerated) }
        }));
    }
    counts.into_iter().any(|counts| tail(counts, margin) <= alpha / (1 + SHARES.len()) as f64)
}

/// Probability of at least as many of the hits on the canary, given all of them and these odds
/// (Fisher's exact test, one-sided, with a margin: the noncentral hypergeometric distribution).
fn tail(counts: Pair<Count>, odds: f64) -> f64 {
    let Pair { stable, canary } = counts;
    let hits = stable.hits + canary.hits;
    let ln_choose = |n: u64, k: u64| {
        let ln_factorial = |n: u64| libm::lgamma(n as f64 + 1.0);
        ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k)
    };
    let least = hits.saturating_sub(stable.trials);
    let ln_weights = (least..=hits.min(canary.trials)).map(|on_canary| {
        let ln = ln_choose(canary.trials, on_canary)
            + ln_choose(stable.trials, hits - on_canary)
            + on_canary as f64 * libm::log(odds);
        (on_canary, ln)
    });
    let ln_weights: Vec<(u64, f64)> = ln_weights.collect();
    let most = ln_weights.iter().map(|(_, ln)| *ln).fold(f64::MIN, f64::max);
    let sum = |from: u64| -> f64 {
        let upper = ln_weights.iter().filter(|(on_canary, _)| *on_canary >= from);
        upper.map(|(_, ln)| libm::exp(ln - most)).sum()
    };
    sum(canary.hits) / sum(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(stable: (u64, u64), canary: (u64, u64)) -> Pair<Count> {
        let count = |(trials, hits)| Count { trials, hits };
        Pair { stable: count(stable), canary: count(canary) }
    }

    #[test]
    fn the_tail_is_that_of_fishers_tea_lady_and_of_equal_coins() {
        // Eight cups, four of each kind: all right by chance once in 70, three or more 17 times.
        assert!((tail(pair((4, 0), (4, 4)), 1.0) - 1.0 / 70.0).abs() < 1e-12);
        assert!((tail(pair((4, 1), (4, 3)), 1.0) - 17.0 / 70.0).abs() < 1e-12);
        assert!((tail(pair((9, 3), (9, 0)), 1.0) - 1.0).abs() < 1e-12);
        // One hit of all goes to the canary with the odds.
        assert!((tail(pair((50, 0), (50, 1)), 3.0) - 0.75).abs() < 1e-12);
    }
}
