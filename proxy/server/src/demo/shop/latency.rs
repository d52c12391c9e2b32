//! How long an answer takes on a good day.

use std::f64::consts::TAU;
use std::time::Duration;

/// Log-normal around a median, with a rare long tail, as services with a database have it.
pub(super) struct Latency {
    median_ms: f64,
    dice: fastrand::Rng,
}

/// Spread of the logarithm: the 99th percentile is about 2.3 times the median.
const SIGMA: f64 = 0.35;
/// Share of answers that take four times as long: a lock, a garbage collection, a cold page.
const TAIL: f64 = 0.005;

impl Latency {
    /// `median_ms` in milliseconds; 0 for no latency.
    pub(super) fn new(median_ms: f64, seed: u64) -> Self {
        Latency { median_ms: median_ms.max(0.0), dice: fastrand::Rng::with_seed(seed) }
    }

    /// The generator, for other draws.
    pub(super) fn dice(&mut self) -> &mut fastrand::Rng {
        &mut self.dice
    }

    /// The time of one answer.
    pub(super) fn draw(&mut self) -> Duration {
        if self.median_ms == 0.0 {
            return Duration::ZERO;
        }
        // Box and Muller; 1 - u is never 0.
        let radius = (-2.0 * (1.0 - self.dice.f64()).ln()).sqrt();
        let normal = radius * (TAU * self.dice.f64()).cos();
        let tail = if self.dice.f64() < TAIL { 4.0 } else { 1.0 };
        Duration::from_secs_f64(self.median_ms * (SIGMA * normal).exp() * tail / 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_one_asked_for() {
        let mut latency = Latency::new(8.0, 7);
        let mut draws: Vec<Duration> = (0..10_001).map(|_| latency.draw()).collect();
        draws.sort();
        let at = |share: f64| draws[(share * 10_000.0) as usize].as_secs_f64() * 1000.0;
        assert!((7.7..8.3).contains(&at(0.5)), "{}", at(0.5));
        assert!((16.0..24.0).contains(&at(0.99)), "{}", at(0.99));
    }
}
