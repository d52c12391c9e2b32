//! What is usual, held against the plainest way to compute it, over drawn histories.

use super::latency::THRESHOLDS;
use super::{BaselineProfile, LatencyProfile, Rate, Trend};
use crate::latency::{bucket_of, highest_of};
use crate::outcome::Outcome;
use crate::sample::{LiveSample, Pair, ProbeResult, ProbeRound, Resources, Sample, ServiceTick};
use proptest::collection::vec;
use proptest::prelude::*;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// Of all that came in the last six parts, the latency that a share does not exceed; `None` where fewer than
/// two and a half would lie beyond it.
fn naive_threshold(parts: &[Vec<u64>], share: f64) -> Option<u64> {
    let mut window: Vec<u64> = parts.iter().rev().take(6).flatten().copied().collect();
    window.sort_unstable();
    let count = window.len() as f64;
    if count * (1.0 - share) < 2.5 - 1e-9 {
        return None;
    }
    let rank = ((share * count).ceil() as usize).max(1);
    Some(highest_of(bucket_of(window[rank - 1])))
}

/// A second of stable and canary on route `r` and under probe `p`.
fn tick(micros: u64, requests: u32, failed: u32) -> ServiceTick {
    let mut sample = Sample::default();
    sample.outcomes.add(Outcome::ServerError, failed);
    sample.outcomes.add(Outcome::Ok, requests);
    (0..requests).for_each(|_| sample.latency.record(micros));
    sample.bytes = u64::from(requests) * micros;
    let outcome = if failed > requests { Outcome::ServerError } else { Outcome::Ok };
    let result = ProbeResult { outcome, micros };
    let used = Resources {
        memory_bytes: Some(micros as f64),
        cpu_seconds_per_request: Some(micros as f64 * 1e-6),
        network_bytes_per_request: Some(micros as f64),
        ..Resources::default()
    };
    ServiceTick {
        span_ms: 1_000,
        live: vec![LiveSample {
            route: "r".into(),
            samples: Pair { stable: sample.clone(), canary: sample },
        }],
        probes: vec![ProbeRound {
            probe: "p".into(),
            results: Pair { stable: result.clone(), canary: result },
            steps: Vec::new(),
            plain: false,
        }],
        resources: Pair { stable: used, canary: used },
    }
}

/// All that the profile says.
fn said(profile: &BaselineProfile) -> Vec<Option<f64>> {
    let trends = [profile.cpu, profile.network, profile.memory, profile.bytes];
    let latencies = profile.routes.iter().map(|route| &route.latency);
    let latencies = latencies.chain(profile.probes.iter().map(|probe| &probe.latency));
    let thresholds = latencies.flat_map(|latency| {
        (0..THRESHOLDS.len()).map(|at| latency.threshold(at).map(|micros| micros as f64))
    });
    let rates = profile.routes.iter().flat_map(|route| [route.failures, route.client_errors]);
    let rates = rates.chain([profile.failures]).map(|rate| rate.mean());
    let trends = trends.iter().flat_map(|trend| [trend.usual(), trend.ahead(30.0)]);
    thresholds.chain(rates).chain(trends).collect()
}

proptest! {
    #[test]
    fn a_fading_rate_is_the_sum_of_what_came_each_faded_by_its_age(
        seconds in vec((0u64..50, 0u64..50, 1u64..30), 1..60)
    ) {
        let memory = Duration::from_secs(100);
        let mut rate = Rate::default();
        let mut now = 0;
        let mut came = Vec::new();
        for (hits, others, span) in &seconds {
            rate.add(*hits, hits + others);
            came.push((now, *hits as f64, (hits + others) as f64));
            rate.fade(Duration::from_secs(*span), memory);
            now += span;
        }
        let faded = |of: fn(&(u64, f64, f64)) -> f64| -> f64 {
            came.iter().map(|at| of(at) * (-((now - at.0) as f64) / 100.0).exp()).sum()
        };
        let (hits, trials) = (faded(|at| at.1), faded(|at| at.2));
        prop_assert!((rate.weight() - trials).abs() < 1e-9 * (1.0 + trials));
        match rate.mean() {
            Some(mean) => prop_assert!((mean - hits / trials).abs() < 1e-9 && rate.upper() >= mean),
            None => prop_assert!(trials == 0.0 && rate.upper() == 1.0),
        }
    }

    #[test]
    fn a_young_trend_is_the_plain_mean_and_an_old_one_never_leaves_what_it_saw(
        values in vec(0.0f64..1e6, 1..900)
    ) {
        let mut trend = Trend::default();
        for (at, value) in values.iter().enumerate() {
            trend.add(*value, SECOND);
            trend.add(f64::NAN, SECOND);
            trend.add(1e12, Duration::ZERO);
            let seen = &values[..=at];
            let plain = seen.iter().sum::<f64>() / seen.len() as f64;
            if at < 300 {
                prop_assert!((trend.mean - plain).abs() <= 1e-9 * (1.0 + plain));
            }
            let (least, most) = seen.iter().fold((f64::MAX, 0.0f64), |(least, most), value| {
                (least.min(*value), most.max(*value))
            });
            prop_assert!(trend.mean >= least - 1e-6 && trend.mean <= most + 1e-6);
            prop_assert!((0.0..=most - least + 1e-6).contains(&trend.deviation));
        }
    }

    #[test]
    fn thresholds_are_the_quantiles_of_the_last_six_parts(
        seconds in vec((vec(1u64..5_000_000, 0..40), 1u64..4), 1..120)
    ) {
        let mut profile = LatencyProfile::default();
        let (mut parts, mut open, mut age, mut known) = (Vec::new(), Vec::new(), 0, false);
        for (latencies, span) in seconds {
            latencies.iter().for_each(|micros| profile.record(*micros));
            open.extend(latencies);
            age += span;
            profile.pass(Duration::from_secs(span));
            let first = !known && open.len() >= 25 && age >= 2;
            if first || (open.len() >= 50 && age >= 10) {
                parts.push(std::mem::take(&mut open));
                age = 0;
            }
            for (at, share) in THRESHOLDS.into_iter().enumerate() {
                prop_assert_eq!(profile.threshold(at), naive_threshold(&parts, share), "{}", share);
            }
            known = profile.threshold(0).is_some();
        }
    }

    #[test]
    fn it_goes_along_with_a_service_that_gets_slower_over_the_hours(
        begin in 2_000u64..200_000, per_minute in 0.99f64..1.01, requests in 10u32..60
    ) {
        let mut profile = BaselineProfile::default();
        let at = |second: u32| (begin as f64 * per_minute.powf(f64::from(second) / 60.0)) as u64;
        (0..2_400).for_each(|second| profile.learn(&tick(at(second), requests, 0), false));
        let now = at(2_399) as f64;
        let known = profile.routes[0].latency.threshold(0).unwrap() as f64;
        prop_assert!((known / now - 1.0).abs() < 0.02, "{known} of {now}");
        // What is usual lags by five minutes; where it leads does not.
        let ahead = profile.memory.ahead(0.0).unwrap();
        prop_assert!((profile.memory.mean / now - 1.0).abs() < 0.08, "{:?}", profile.memory);
        prop_assert!((ahead / now - 1.0).abs() < 0.001, "{ahead} of {now}");
    }

    #[test]
    fn nothing_that_comes_while_an_anomaly_is_open_is_usual_afterwards(
        fault in vec((1u64..60_000_000, 0u32..50, 0u32..50), 1..400)
    ) {
        let mut profile = BaselineProfile::default();
        (0..120).for_each(|_| profile.learn(&tick(5_000, 20, 0), false));
        let before = said(&profile);
        for (micros, requests, failed) in fault {
            profile.learn(&tick(micros, requests, failed), true);
        }
        prop_assert_eq!(said(&profile), before);
    }
}
