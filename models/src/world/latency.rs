//! How long answers take: distributions of latency.

use super::dice::Dice;
use std::f64::consts::SQRT_2;

/// Most parts of a mixture.
pub(super) const PARTS: usize = 4;
/// Most given quantiles.
pub(super) const KNOTS: usize = 8;

/// A distribution of latency.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Latency {
    /// A mixture of log-normal distributions; parts with share 0 are not there.
    Mixture([LogNormal; PARTS]),
    /// Log-normal between given quantiles and beyond them: the logarithm of latency is a line in
    /// the normal score from knot to knot.
    Quantiles {
        /// Normal score and logarithm of microseconds, ascending in both.
        knots: [(f64, f64); KNOTS],
        /// How many there are, at least 2.
        count: usize,
    },
}

/// A part of a mixture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LogNormal {
    /// Share of the requests; those of all parts sum to 1.
    pub share: f64,
    /// Logarithm of the median in microseconds.
    pub ln_median: f64,
    /// Deviation of the logarithm.
    pub sigma: f64,
}

impl LogNormal {
    const ABSENT: LogNormal = LogNormal { share: 0.0, ln_median: 0.0, sigma: 1.0 };
}

impl Latency {
    /// Log-normal, with its median in microseconds.
    pub fn log_normal(median: f64, sigma: f64) -> Latency {
        Latency::mixture(&[(1.0, median, sigma)])
    }

    /// A mixture of log-normal distributions by share (in proportion), median in microseconds and
    /// deviation of the logarithm; no more than four are taken.
    pub fn mixture(parts: &[(f64, f64, f64)]) -> Latency {
        let total: f64 = parts.iter().take(PARTS).map(|(share, _, _)| share).sum();
        let mut mixture = [LogNormal::ABSENT; PARTS];
        for (part, &(share, median, sigma)) in mixture.iter_mut().zip(parts) {
            *part = LogNormal { share: share / total, ln_median: libm::log(median), sigma };
        }
        Latency::Mixture(mixture)
    }

    /// By at least two pairs of quantile (between 0 and 1) and microseconds, ascending in both; no
    /// more than eight are taken.
    pub fn quantiles(given: &[(f64, f64)]) -> Latency {
        let mut knots = [(0.0, 0.0); KNOTS];
        for (knot, &(q, micros)) in knots.iter_mut().zip(given) {
            *knot = (normal_score(q), libm::log(micros));
        }
        Latency::Quantiles { knots, count: given.len().min(KNOTS) }
    }

    /// The probability of a latency below `micros`.
    pub fn below(&self, micros: f64) -> f64 {
        if micros <= 0.0 {
            return 0.0;
        }
        let ln = libm::log(micros);
        match self {
            Latency::Mixture(parts) => {
                let there = parts.iter().filter(|part| part.share > 0.0);
                there.map(|p| p.share * normal_below((ln - p.ln_median) / p.sigma)).sum()
            }
            Latency::Quantiles { knots, count } => {
                let ((z0, l0), (z1, l1)) = piece(&knots[..*count], |(_, knot)| ln < knot);
                normal_below(z0 + (ln - l0) * (z1 - z0) / (l1 - l0))
            }
        }
    }

    /// One latency in microseconds.
    pub(super) fn draw(&self, dice: &mut Dice) -> f64 {
        match self {
            Latency::Mixture(parts) => {
                let mut part = &parts[0];
                if part.share < 1.0 {
                    let mut at = dice.between(0.0, 1.0);
                    let there = parts.iter().filter(|part| part.share > 0.0);
                    for next in there {
                        part = next;
                        if at < next.share {
                            break;
                        }
                        at -= next.share;
                    }
                }
                libm::exp(part.ln_median + part.sigma * dice.normal())
            }
            Latency::Quantiles { knots, count } => {
                let z = dice.normal();
                let ((z0, l0), (z1, l1)) = piece(&knots[..*count], |(knot, _)| z < knot);
                libm::exp(l0 + (z - z0) * (l1 - l0) / (z1 - z0))
            }
        }
    }

    /// The latency in microseconds below which a share `q` lies, to a millionth.
    pub fn quantile(&self, q: f64) -> f64 {
        quantile_of(q, |micros| self.below(micros))
    }
}

/// The latency in microseconds at which a distribution function reaches `q`.
pub(super) fn quantile_of(q: f64, below: impl Fn(f64) -> f64) -> f64 {
    // From a nanosecond to half an hour.
    let (mut low, mut high) = (-7.0, 22.0);
    for _ in 0..48 {
        let middle = (low + high) / 2.0;
        if below(libm::exp(middle)) < q { low = middle } else { high = middle }
    }
    libm::exp((low + high) / 2.0)
}

/// The two knots between which the first one lies that is `beyond`, or the last two.
fn piece(knots: &[(f64, f64)], beyond: impl Fn((f64, f64)) -> bool) -> ((f64, f64), (f64, f64)) {
    let last = knots.len() - 1;
    let next = knots.iter().position(|knot| beyond(*knot)).unwrap_or(last).clamp(1, last);
    (knots[next - 1], knots[next])
}

/// The probability that a standard normal variable is below `z`.
fn normal_below(z: f64) -> f64 {
    0.5 * libm::erfc(-z / SQRT_2)
}

/// The standard normal variable's quantile.
fn normal_score(q: f64) -> f64 {
    let (mut low, mut high) = (-9.0, 9.0);
    for _ in 0..64 {
        let middle = (low + high) / 2.0;
        if normal_below(middle) < q { low = middle } else { high = middle }
    }
    (low + high) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn examples() -> [Latency; 3] {
        [
            Latency::log_normal(20e3, 0.5),
            Latency::mixture(&[(9.0, 10e3, 0.3), (1.0, 80e3, 0.5)]),
            Latency::quantiles(&[(0.5, 10e3), (0.9, 30e3), (0.99, 400e3)]),
        ]
    }

    #[test]
    fn draws_have_the_distribution() {
        for latency in examples() {
            let mut dice = Dice::new(1);
            let mut drawn: Vec<f64> = (0..40_000).map(|_| latency.draw(&mut dice)).collect();
            drawn.sort_by(f64::total_cmp);
            // Kolmogorov-Smirnov: a true distribution is further away once in a million times.
            for (at, micros) in drawn.iter().enumerate() {
                let distance = (latency.below(*micros) - at as f64 / 40_000.0).abs();
                assert!(distance < 2.7 / 200.0, "{latency:?}: {distance} at {micros}");
            }
        }
    }

    #[test]
    fn given_quantiles_are_kept_and_two_of_them_make_a_log_normal() {
        let latency = Latency::quantiles(&[(0.5, 10e3), (0.9, 30e3), (0.99, 400e3)]);
        for (q, micros) in [(0.5, 10e3), (0.9, 30e3), (0.99, 400e3)] {
            assert!((latency.below(micros) - q).abs() < 1e-9);
            assert!((latency.quantile(q) / micros - 1.0).abs() < 1e-6);
        }
        let normal = Latency::log_normal(10e3, 0.7);
        let two = Latency::quantiles(&[(0.25, normal.quantile(0.25)), (0.9, normal.quantile(0.9))]);
        for micros in [1e3, 5e3, 10e3, 50e3, 100e3] {
            assert!((two.below(micros) - normal.below(micros)).abs() < 1e-6);
        }
    }
}
