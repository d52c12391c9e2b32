//! How good forecasts were, once it is known what happened.

/// Log-loss of one forecast given as log-odds, in nats; computed so that certainty costs no infinity.
pub fn log_loss(log_odds: f64, sustained: bool) -> f64 {
    let wrong = if sustained { -log_odds } else { log_odds };
    wrong.max(0.0) + libm::log1p(libm::exp(-wrong.abs()))
}

/// Probability that a lasting failure was forecast higher than a passing one, ties counted half
/// (area under the ROC curve, by ranks). `None` without both kinds.
pub fn auc(forecasts: &[(f64, bool)]) -> Option<f64> {
    let mut sorted = forecasts.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut below, mut wins, mut sustained) = (0.0, 0.0, 0.0);
    for tied in sorted.chunk_by(|a, b| a.0 == b.0) {
        let lasting = tied.iter().filter(|(_, label)| *label).count() as f64;
        let passing = tied.len() as f64 - lasting;
        wins += lasting * (below + passing / 2.0);
        below += passing;
        sustained += lasting;
    }
    (below > 0.0 && sustained > 0.0).then(|| wins / (below * sustained))
}

/// Mean squared distance of the probability from what happened; 0.25 is a coin.
pub fn brier(forecasts: &[(f64, bool)]) -> f64 {
    let squared = forecasts.iter().map(|(p, label)| (p - f64::from(u8::from(*label))).powi(2));
    squared.sum::<f64>() / forecasts.len() as f64
}

/// Expected calibration error: over ten equal bins of probability, the mean distance between what was
/// said and how often it happened, weighted by the bin's share.
pub fn calibration_error(forecasts: &[(f64, bool)]) -> f64 {
    let mut bins = [(0.0, 0.0); 10];
    for (probability, label) in forecasts {
        let bin = ((probability * 10.0) as usize).min(9);
        bins[bin].0 += probability;
        bins[bin].1 += f64::from(u8::from(*label));
    }
    bins.iter().map(|(said, happened)| (said - happened).abs()).sum::<f64>()
        / forecasts.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn auc_is_the_share_of_pairs_in_the_right_order(
            forecasts in proptest::collection::vec((0u8..20, any::<bool>()), 0..60)
        ) {
            let forecasts: Vec<_> = forecasts.iter().map(|(p, l)| (f64::from(*p) / 20.0, *l)).collect();
            let (mut pairs, mut right) = (0.0, 0.0);
            for (high, _) in forecasts.iter().filter(|(_, label)| *label) {
                for (low, _) in forecasts.iter().filter(|(_, label)| !*label) {
                    pairs += 1.0;
                    right += if high > low { 1.0 } else if high == low { 0.5 } else { 0.0 };
                }
            }
            match auc(&forecasts) {
                Some(auc) => prop_assert!((auc - right / pairs).abs() < 1e-12),
                None => prop_assert_eq!(pairs, 0.0),
            }
        }
    }

    #[test]
    fn honest_forecasts_have_no_calibration_error() {
        let honest: Vec<_> = (0..100).map(|i| (0.25, i % 4 == 0)).collect();
        assert!(calibration_error(&honest) < 1e-12);
        assert!((brier(&honest) - 0.1875).abs() < 1e-12);
        let proud: Vec<_> = honest.iter().map(|(_, label)| (0.95, *label)).collect();
        assert!((calibration_error(&proud) - 0.7).abs() < 1e-12);
    }

    #[test]
    fn log_loss_is_that_of_the_definition_and_finite_at_certainty() {
        let p: f64 = 0.7;
        let log_odds = (p / (1.0 - p)).ln();
        assert!((log_loss(log_odds, true) + p.ln()).abs() < 1e-12);
        assert!((log_loss(log_odds, false) + (1.0 - p).ln()).abs() < 1e-12);
        assert_eq!(log_loss(1000.0, false), 1000.0);
    }
}
