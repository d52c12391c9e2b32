//! Figures with 95% intervals.

/// Standard normal quantile of a 95% two-sided interval.
const Z: f64 = 1.959_963_984_540_054;

/// A share of `trials`, with Wilson's interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Share {
    pub(super) hits: usize,
    pub(super) trials: usize,
}

impl Share {
    pub(super) fn of(hits: impl IntoIterator<Item = bool>) -> Share {
        let (mut share, mut all) = (Share { hits: 0, trials: 0 }, hits.into_iter());
        all.by_ref().for_each(|hit| {
            share.hits += usize::from(hit);
            share.trials += 1;
        });
        share
    }

    /// 0 to 1; 0 without trials.
    pub(super) fn rate(self) -> f64 {
        if self.trials == 0 { 0.0 } else { self.hits as f64 / self.trials as f64 }
    }

    /// Both ends, 0 to 1.
    pub(super) fn interval(self) -> (f64, f64) {
        let n = self.trials as f64;
        if n == 0.0 {
            return (0.0, 1.0);
        }
        let (p, z2) = (self.rate(), Z * Z);
        let centre = (p + z2 / (2.0 * n)) / (1.0 + z2 / n);
        let half = Z / (1.0 + z2 / n) * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
        ((centre - half).max(0.0), (centre + half).min(1.0))
    }
}

/// Numbers in ascending order.
#[derive(Debug, Clone, Default)]
pub(super) struct Sorted(Vec<f64>);

impl Sorted {
    pub(super) fn of(numbers: impl IntoIterator<Item = f64>) -> Sorted {
        let mut sorted: Vec<f64> = numbers.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        Sorted(sorted)
    }

    /// The smallest number that a share `q` (0 to 1) does not exceed; the mean of the two where it
    /// falls between them. None of none.
    pub(super) fn quantile(&self, q: f64) -> Option<f64> {
        let at = q * self.0.len() as f64;
        let upper = self.0.get((at.floor() as usize).min(self.0.len().checked_sub(1)?))?;
        let between = at.fract() == 0.0 && at > 0.0;
        let lower = if between { self.0.get(at as usize - 1)? } else { upper };
        Some(f64::midpoint(*lower, *upper))
    }

    /// An interval that holds the quantile, whatever the distribution: order statistics by the normal
    /// approximation of the binomial.
    pub(super) fn interval(&self, q: f64) -> Option<(f64, f64)> {
        let n = self.0.len() as f64;
        let half = Z * (n * q * (1.0 - q)).sqrt();
        let last = self.0.len().checked_sub(1)?;
        let rank = |at: f64| (at.max(0.0) as usize).min(last);
        let low = rank((n * q - half).floor() - 1.0);
        let high = rank((n * q + half).ceil());
        Some((self.0[low], self.0[high]))
    }

    /// None of none.
    pub(super) fn mean(&self) -> Option<f64> {
        let n = self.0.len();
        (n > 0).then(|| self.0.iter().sum::<f64>() / n as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilsons_interval_is_that_of_the_tables() {
        let (low, high) = Share { hits: 0, trials: 200 }.interval();
        assert!(low == 0.0 && (high - 0.01885).abs() < 1e-4, "{high}");
        let (low, high) = Share { hits: 81, trials: 263 }.interval();
        // Newcombe (1998), table I.
        assert!((low - 0.2553).abs() < 1e-4 && (high - 0.3662).abs() < 1e-4, "{low} {high}");
        assert_eq!(Share::of([true, false, true]), Share { hits: 2, trials: 3 });
    }

    #[test]
    fn quantiles_and_their_intervals() {
        let hundred = Sorted::of((1..=100).rev().map(f64::from));
        assert_eq!(hundred.quantile(0.5), Some(50.5));
        assert_eq!(hundred.quantile(0.95), Some(95.5));
        assert_eq!(hundred.quantile(1.0), Some(100.0));
        assert_eq!(hundred.quantile(0.0), Some(1.0));
        // The textbook's ranks for n = 100: 40 and 61.
        assert_eq!(hundred.interval(0.5), Some((40.0, 61.0)));
        assert_eq!(Sorted::of([3.0]).quantile(0.95), Some(3.0));
        assert_eq!(Sorted::default().quantile(0.5), None);
        assert_eq!(Sorted::default().interval(0.5), None);
        assert_eq!(Sorted::of([1.0, 3.0]).mean(), Some(2.0));
    }
}
