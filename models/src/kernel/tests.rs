use super::*;
use proptest::prelude::*;
use rand::SeedableRng;
use rand_distr::{Binomial, Distribution};
use rand_xoshiro::Xoshiro256PlusPlus;

const MARGIN: f64 = 1.25;
const HOUR: Duration = Duration::from_secs(3600);

fn pair(canary: (u64, u64), stable: (u64, u64)) -> Pair<Count> {
    Pair { canary: Count::new(canary.0, canary.1), stable: Count::new(stable.0, stable.1) }
}

/// `ln C(n, k)` by summing logarithms.
fn log_choose(n: u64, k: u64) -> f64 {
    (0..k).map(|i| ((n - i) as f64 / (i + 1) as f64).ln()).sum()
}

/// Logarithms of the tilted hypergeometric probabilities over the whole support, term by term.
fn naive_log_probabilities(canary: u64, stable: u64, events: u64, psi: f64) -> Vec<(u64, f64)> {
    let support = events.saturating_sub(stable)..=events.min(canary);
    let terms: Vec<(u64, f64)> = support
        .map(|u| (u, log_choose(canary, u) + log_choose(stable, events - u) + u as f64 * psi.ln()))
        .collect();
    let most = terms.iter().map(|(_, term)| *term).fold(f64::MIN, f64::max);
    let log_z = most + terms.iter().map(|(_, term)| (term - most).exp()).sum::<f64>().ln();
    terms.into_iter().map(|(u, term)| (u, term - log_z)).collect()
}

fn table() -> impl Strategy<Value = (u64, u64, u64, u64)> {
    (0u64..400, 0u64..2000)
        .prop_flat_map(|(canary, stable)| (Just(canary), 0..=canary, Just(stable), 0..=stable))
}

proptest! {
    #[test]
    fn ratios_are_those_of_the_naive_distribution((canary, a, stable, b) in table(), margin in 1.0f64..3.0) {
        let ratios = LogRatios::of_stratum(pair((canary, a), (stable, b)), margin);
        let log_p = |psi| {
            naive_log_probabilities(canary, stable, a + b, psi).into_iter()
                .find(|(u, _)| *u == a).map(|(_, p)| p).unwrap()
        };
        for (psi, ratio) in ALTERNATIVES.iter().zip(ratios.0) {
            let naive = if *psi <= margin { 0.0 } else { log_p(*psi) - log_p(margin) };
            prop_assert!((ratio - naive).abs() < 1e-7 * (1.0 + naive.abs()), "{psi}: {ratio} {naive}");
        }
    }

    #[test]
    fn expectation_is_at_most_one_while_the_odds_ratio_is_within_the_margin(
        (canary, a, stable, b) in table(), share in 0.0f64..=1.0
    ) {
        let events = a + b;
        let odds_ratio = 0.5 + share * (MARGIN - 0.5);
        let mut expected = [0.0; ALTERNATIVES.len()];
        for (u, log_p) in naive_log_probabilities(canary, stable, events, odds_ratio) {
            let ratios = LogRatios::of_stratum(pair((canary, u), (stable, events - u)), MARGIN);
            for (sum, ratio) in expected.iter_mut().zip(ratios.0) {
                *sum += (log_p + ratio).exp();
            }
        }
        for value in expected {
            prop_assert!(value <= 1.0 + 1e-9, "{value}");
        }
    }

    #[test]
    fn history_expects_at_most_one_up_to_its_rate(
        trials in 1u64..200, rate in 0.0001f64..0.9, share in 0.0f64..=1.0
    ) {
        let mut expected = [0.0; ALTERNATIVES.len()];
        // Odds within the margin of the known rate.
        let odds = rate / (1.0 - rate) * MARGIN * share;
        let p: f64 = odds / (1.0 + odds);
        for hits in 0..=trials {
            let log_p = log_choose(trials, hits) + hits as f64 * p.max(1e-300).ln()
                + (trials - hits) as f64 * (1.0 - p).ln();
            let ratios = LogRatios::against_history(Count::new(trials, hits), rate, MARGIN);
            for (sum, ratio) in expected.iter_mut().zip(ratios.0) {
                *sum += (log_p + ratio).exp();
            }
        }
        for value in expected {
            prop_assert!(value <= 1.0 + 1e-9, "{value}");
        }
    }
}

#[test]
fn huge_and_empty_strata_stay_finite() {
    for counts in [
        pair((0, 0), (0, 0)),
        pair((10, 10), (0, 0)),
        pair((0, 0), (10, 10)),
        pair((5, 5), (7, 7)),
        pair((1_000_000, 1_000_000), (20_000_000, 0)),
        pair((1_000_000, 0), (20_000_000, 10_000_000)),
    ] {
        let mut process = Process::new(Timestamp(0));
        for second in 1..50 {
            let ratios = LogRatios::of_stratum(counts, MARGIN);
            assert!(ratios.0.iter().all(|ratio| ratio.is_finite()), "{counts:?}");
            process.multiply(Timestamp(second * 1000), &ratios, MARGIN, HOUR);
            let e = process.e_value(MARGIN);
            assert!(e.is_finite() && e >= 0.0, "{counts:?}: {e}");
        }
    }
}

#[test]
fn without_evidence_the_e_value_stays_at_one() {
    let mut process = Process::new(Timestamp(0));
    for second in 0..7200 {
        process.multiply(Timestamp(second * 1000), &LogRatios::default(), MARGIN, HOUR);
        assert!((process.e_value(MARGIN) - 1.0).abs() < 1e-9);
    }
}

#[test]
fn a_discordant_pair_is_a_coin_that_the_margin_loads() {
    let ratios = LogRatios::of_stratum(pair((1, 1), (1, 0)), MARGIN);
    let expected = (100.0 / MARGIN) * (1.0 + MARGIN) / 101.0;
    assert!((ratios.0[7] - f64::ln(expected)).abs() < 1e-12);
}

/// Ticks of one second; the rates of canary and stable by second; when the e-value passed `alarm`.
fn seconds_to_alarm(
    rng: &mut Xoshiro256PlusPlus,
    requests: (u64, u64),
    seconds: u64,
    margin: f64,
    alarm: f64,
    rates: impl Fn(u64) -> (f64, f64),
) -> Option<u64> {
    let mut process = Process::new(Timestamp(0));
    (1..=seconds).find(|second| {
        let (canary, stable) = rates(*second);
        let mut draw = |n: u64, p: f64| Binomial::new(n, p).unwrap().sample(rng);
        let counts =
            pair((requests.0, draw(requests.0, canary)), (requests.1, draw(requests.1, stable)));
        let ratios = LogRatios::of_stratum(counts, margin);
        process.multiply(Timestamp(second * 1000), &ratios, margin, HOUR);
        process.e_value(margin) >= alarm
    })
}

fn with_odds(rate: f64, ratio: f64) -> f64 {
    let odds = rate / (1.0 - rate) * ratio;
    odds / (1.0 + odds)
}

#[test]
fn false_alarms_at_the_margin_stay_within_alpha_over_all_looks() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    let runs = 600;
    let alarms = (0..runs)
        .filter(|_| {
            seconds_to_alarm(&mut rng, (20, 180), 600, MARGIN, 20.0, |_| {
                (with_odds(0.02, MARGIN), 0.02)
            })
            .is_some()
        })
        .count();
    // alpha = 0.05: 30 expected at most, standard deviation 5.3.
    assert!(alarms <= 45, "{alarms} of {runs}");
}

#[test]
fn shared_outages_raise_no_alarm() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(2);
    let outage = |second: u64| match second % 200 {
        50..=60 => (0.9, 0.9),
        100..=180 => (0.3, 0.3),
        _ => (0.002, 0.002),
    };
    for run in 0..200 {
        let alarm = seconds_to_alarm(&mut rng, (20, 380), 600, MARGIN, 1000.0, outage);
        assert_eq!(alarm, None, "run {run}");
    }
}

#[test]
fn canary_requests_to_alarm_are_near_the_yardsticks() {
    // Canary 100 requests/s of 2000, base 0.2%, alpha 0.001, no margin, failing from the deployment on.
    for (rate, yardstick, runs) in [
        (0.004, 12_549.0, 60),
        (0.01, 1372.0, 200),
        (0.02, 461.0, 200),
        (0.05, 151.0, 300),
        (0.2, 100.0, 100),
    ] {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(3);
        let requests: u64 = (0..runs)
            .map(|_| {
                100 * seconds_to_alarm(&mut rng, (100, 1900), 3600, 1.0, 1000.0, |_| (rate, 0.002))
                    .unwrap()
            })
            .sum();
        let mean = requests as f64 / f64::from(runs);
        assert!(mean < 1.15 * yardstick, "{rate}: {mean} requests, not {yardstick}");
    }
}

#[test]
fn a_fault_after_an_hour_is_met_with_fresh_capital() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(4);
    for _ in 0..20 {
        let rates = |second| if second > 3000 { (0.2, 0.002) } else { (0.002, 0.002) };
        let alarm = seconds_to_alarm(&mut rng, (20, 180), 3600, MARGIN, 1000.0, rates);
        assert!(alarm.is_some_and(|second| (3001..=3010).contains(&second)), "{alarm:?}");
        // Beyond the horizon as well.
        let rates = |second| if second > 8000 { (0.2, 0.002) } else { (0.002, 0.002) };
        let alarm = seconds_to_alarm(&mut rng, (20, 180), 9000, MARGIN, 1000.0, rates);
        assert!(alarm.is_some_and(|second| (8001..=8010).contains(&second)), "{alarm:?}");
    }
}
