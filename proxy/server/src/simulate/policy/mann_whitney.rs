//! The Mann-Whitney U test with the confidence interval of R's `wilcox.test` (asymptotic, two-sided,
//! with correction for continuity and ties), which Kayenta's judge uses.

/// Location of `x` against `y`: the Hodges-Lehmann estimate and the lower end of its confidence
/// interval; none if every observation is the same.
pub(super) struct Shift {
    pub(super) estimate: f64,
    pub(super) lower: f64,
}

/// Standard normal quantile of a 98% two-sided interval's upper end.
const Z_98: f64 = 2.326_347_874_040_841;
/// Steps of the search for a root: halves the range each time.
const HALVINGS: usize = 60;

/// The shift if it is above zero with 98% confidence.
pub(super) fn significantly_above(x: &[f64], y: &[f64]) -> Option<Shift> {
    // The interval's lower end is above zero exactly where the statistic at zero is above its quantile.
    if statistic(x, y, 0.0)? <= Z_98 {
        return None;
    }
    let (highest, lowest) = (extreme(x, f64::max) - extreme(y, f64::min), 0.0);
    let root = |quantile: f64| {
        let (mut low, mut high) = (lowest, highest);
        for _ in 0..HALVINGS {
            let middle = f64::midpoint(low, high);
            // It falls with the shift that is taken away from x.
            match statistic(x, y, middle) {
                Some(value) if value <= quantile => high = middle,
                _ => low = middle,
            }
        }
        f64::midpoint(low, high)
    };
    Some(Shift { estimate: root(0.0), lower: root(Z_98) })
}

fn extreme(values: &[f64], choose: fn(f64, f64) -> f64) -> f64 {
    values.iter().copied().reduce(choose).unwrap_or(0.0)
}

/// Standardised rank sum of `x` less `shift` among both; none if there is nothing to rank by.
fn statistic(x: &[f64], y: &[f64], shift: f64) -> Option<f64> {
    let (n, m) = (x.len() as f64, y.len() as f64);
    let mut all: Vec<(f64, bool)> = x
        .iter()
        .map(|value| (value - shift, true))
        .chain(y.iter().map(|value| (*value, false)))
        .collect();
    all.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    let (mut rank_sum, mut ties, mut before) = (0.0, 0.0, 0);
    for tied in all.chunk_by(|(one, _), (other, _)| one == other) {
        let count = tied.len() as f64;
        let rank = before as f64 + (count + 1.0) / 2.0;
        rank_sum += rank * tied.iter().filter(|(_, is_x)| *is_x).count() as f64;
        ties += count.powi(3) - count;
        before += tied.len();
    }
    let distance = rank_sum - n * (n + 1.0) / 2.0 - n * m / 2.0;
    let total = n + m;
    let variance = n * m / 12.0 * (total + 1.0 - ties / (total * (total - 1.0)));
    let correction = if distance == 0.0 { 0.0 } else { 0.5 * distance.signum() };
    (variance > 0.0).then(|| (distance - correction) / variance.sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `wilcox.test(y, x, exact = FALSE)` of R on its own example (Hollander and Wolfe: permeability
    /// of the placenta at term and before): W = 35, p = 0.2207 one-sided without correction 0.1102.
    const TERM: [f64; 10] = [0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46];
    const BEFORE: [f64; 5] = [1.15, 0.88, 0.90, 0.74, 1.21];

    #[test]
    fn the_statistic_is_that_of_the_textbook_example() {
        // W = 35: (35 - 25 - 0.5) / sqrt(10 * 5 * 16 / 12).
        let z = statistic(&TERM, &BEFORE, 0.0).unwrap();
        assert!((z - 9.5 / (800.0f64 / 12.0).sqrt()).abs() < 1e-12, "{z}");
        assert!(significantly_above(&TERM, &BEFORE).is_none());
    }

    #[test]
    fn the_estimate_is_the_median_of_the_differences_and_the_bound_lies_below() {
        let y: Vec<f64> = (0..30).map(f64::from).collect();
        let x: Vec<f64> = y.iter().map(|y| y + 40.25).collect();
        let shift = significantly_above(&x, &y).unwrap();
        assert!((shift.estimate - 40.25).abs() < 0.51, "{}", shift.estimate);
        assert!(shift.lower > 30.0 && shift.lower < 40.0, "{}", shift.lower);
    }

    #[test]
    fn nothing_can_be_said_where_all_is_the_same() {
        assert!(statistic(&[1.0; 5], &[1.0; 5], 0.0).is_none());
    }
}
