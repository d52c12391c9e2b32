//! Likelihood ratios of the hypergeometric distribution tilted by an odds ratio (Fisher's
//! noncentral): `Z(psi) = sum over u of C(n_c, u) C(n_s, m - u) psi^u`.

use super::Count;
use crate::sample::Pair;

/// Terms below this share of the largest end the sum.
const NEGLIGIBLE: f64 = 1e-13;

/// `ln L_psi = a ln(psi / margin) + ln Z(margin) - ln Z(psi)` for each of `psis`, 0 for those at or
/// below the margin; `None` where the stratum says nothing.
pub(super) fn log_ratios<const N: usize>(
    counts: Pair<Count>,
    margin: f64,
    psis: &[f64; N],
) -> Option<[f64; N]> {
    let stratum = Stratum::of(counts)?;
    let hits = (counts.canary.hits.max(stratum.lowest) - stratum.lowest) as f64;
    let log_z_of = |psi: f64| stratum.log_z(psi);
    let null = log_z_of(margin);
    Some(psis.map(|psi| {
        if psi <= margin {
            return 0.0;
        }
        hits * libm::log(psi / margin) + null - log_z_of(psi)
    }))
}

/// One table with its margins fixed. Events on the canary run from `lowest` to `highest`.
struct Stratum {
    canary: f64,
    stable: f64,
    events: f64,
    lowest: u64,
    highest: u64,
    /// Coefficients of `psi^(u - lowest)` relative to the first, where they are few and small.
    short: Option<([f64; SHORT + 1], usize)>,
}

/// Up to this many steps the sum is taken from its lowest term.
const SHORT: usize = 16;

impl Stratum {
    fn of(counts: Pair<Count>) -> Option<Stratum> {
        let (canary, stable) = (counts.canary.trials, counts.stable.trials);
        let events = counts.canary.hits + counts.stable.hits;
        let lowest = events.saturating_sub(stable);
        let highest = events.min(canary);
        if lowest >= highest {
            return None;
        }
        let mut stratum = Stratum {
            canary: canary as f64,
            stable: stable as f64,
            events: events as f64,
            lowest,
            highest,
            short: None,
        };
        let steps = (highest - lowest) as usize;
        // The largest coefficient is below (canary * events)^16 < 1e192; times 100^16 it still fits.
        if steps <= SHORT && stratum.canary * stratum.events < 1e12 {
            let mut coefficients = [1.0; SHORT + 1];
            for step in 0..steps {
                coefficients[step + 1] =
                    coefficients[step] * stratum.step((lowest + step as u64) as f64);
            }
            stratum.short = Some((coefficients, steps));
        }
        Some(stratum)
    }

    /// Ratio of the term at `u + 1` to that at `u`, without the odds ratio.
    fn step(&self, u: f64) -> f64 {
        (self.canary - u) * (self.events - u) / ((u + 1.0) * (self.stable - self.events + u + 1.0))
    }

    /// `ln Z(psi)` up to a term that does not depend on `psi`, as a series in `psi^(u - lowest)`.
    fn log_z(&self, psi: f64) -> f64 {
        if let Some((coefficients, steps)) = &self.short {
            let sum = coefficients[..=*steps].iter().rev().fold(0.0, |sum, c| sum * psi + c);
            return libm::log(sum);
        }
        let mode = self.mode(psi);
        let mut sum = 1.0;
        let mut term = 1.0;
        for u in mode..self.highest {
            term *= psi * self.step(u as f64);
            sum += term;
            if term < NEGLIGIBLE * sum {
                break;
            }
        }
        term = 1.0;
        for u in (self.lowest..mode).rev() {
            term /= psi * self.step(u as f64);
            sum += term;
            if term < NEGLIGIBLE * sum {
                break;
            }
        }
        libm::log(sum) + self.log_coefficient(mode) + (mode - self.lowest) as f64 * libm::log(psi)
    }

    /// Where the terms of `Z(psi)` are largest: there the ratio of neighbours passes 1, which is a
    /// quadratic equation in `u`.
    fn mode(&self, psi: f64) -> u64 {
        let rest = self.stable - self.events;
        let a = psi - 1.0;
        let b = psi * (self.canary + self.events) + rest + 2.0;
        let c = psi * self.canary * self.events - rest - 1.0;
        let root = 2.0 * c / (b + libm::sqrt((b * b - 4.0 * a * c).max(0.0)));
        (libm::ceil(root).max(0.0) as u64).clamp(self.lowest, self.highest)
    }

    /// Logarithm of `C(n_c, u) C(n_s, m - u)` without the factorials that do not depend on `u`.
    fn log_coefficient(&self, u: u64) -> f64 {
        let u = u as f64;
        -(libm::lgamma(u + 1.0)
            + libm::lgamma(self.canary - u + 1.0)
            + libm::lgamma(self.events - u + 1.0)
            + libm::lgamma(self.stable - self.events + u + 1.0))
    }
}
