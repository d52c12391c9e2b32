//! Everybody back at once, or in steps that stable can take.
//!
//! Users who leave a canary with much traffic give stable a load that it has not lately carried:
//! a rollback that overloads stable harms everybody. So each step multiplies stable's load by at
//! most [`GROWTH`], and the steps come quickly. What waits on the canary meanwhile is harmed by its
//! fault: the more of it fails the quicker the steps, and from [`DEAD`] on there are none.

use crate::load::Demand;
use serinus_routing::Weight;
use std::time::Duration;

/// Stable is trusted with so many times what it has lately carried.
const GROWTH: f64 = 1.5;

/// Steps at most; one more would begin with an eighth of all users.
const MOST_STEPS: u32 = 5;

/// Below so many requests per second nothing is overloaded, and rates are chance.
const LIGHT: f64 = 10.0;

/// From this share of failures beyond stable's on, users have nothing to lose by leaving at once.
const DEAD: f64 = 0.5;

/// Share of users on the canary after each step from `weight` on, falling to zero; a single zero
/// means everybody at once.
pub(crate) fn weights(
    demand: Demand,
    weight: Weight,
    limit: Duration,
    failing: f64,
) -> Vec<Weight> {
    let Demand { carried, expected } = demand;
    if limit.is_zero() || failing >= DEAD || expected < LIGHT {
        return vec![Weight::ZERO];
    }
    let least = (0..MOST_STEPS).fold(expected, |load, _| load / GROWTH);
    let borne = carried.max(least).max((1.0 - weight.ratio()) * expected);
    let loads = std::iter::successors(Some(borne * GROWTH), |load| Some(load * GROWTH));
    let rest = |load: f64| Weight::from_percent(((1.0 - load / expected) * 1e4).round() / 100.0);
    let steps = loads.map(|load| rest(load).unwrap_or(Weight::ZERO));
    steps.take_while(|weight| !weight.is_zero()).chain([Weight::ZERO]).collect()
}

/// Time between two steps: a quarter of `limit` where nothing fails, none where half does. The
/// first step is taken at once, so all of them together take no longer than `limit`.
pub(crate) fn interval(limit: Duration, failing: f64) -> Duration {
    let patience = (1.0 - failing / DEAD).clamp(0.0, 1.0);
    (limit / (MOST_STEPS - 1)).mul_f64(patience)
}

/// How many steps should have been taken after this time, if `failing` is the share now.
pub(crate) fn due(elapsed: Duration, limit: Duration, failing: f64) -> usize {
    let interval = interval(limit, failing);
    if interval.is_zero() {
        return usize::MAX;
    }
    1 + (elapsed.as_nanos() / interval.as_nanos()) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TABLE: &str = include_str!("testdata/ramp.txt");

    fn seconds(duration: Duration) -> String {
        format!("{}s", (duration.as_secs_f64() * 100.0).round() / 100.0)
    }

    fn told(demand: Demand, weight: Weight, limit: Duration, failing: f64) -> String {
        let weights = weights(demand, weight, limit, failing);
        if weights.len() == 1 {
            return "at once".to_owned();
        }
        let interval = interval(limit, failing);
        let step = |(at, weight): (u32, &Weight)| format!("{} {weight}", seconds(interval * at));
        (0..).zip(&weights).map(step).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn steps_are_those_of_the_table() {
        let mut rows = 0;
        for line in TABLE.lines().map(str::trim) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (given, expected) = line.split_once("->").expect("an arrow");
            let figures: Vec<f64> = given
                .split_whitespace()
                .map(|word| word.trim_end_matches(['%', 's']).parse().expect("a figure"))
                .collect();
            let [carried, expected_load, percent, failing, limit] = figures[..] else {
                panic!("five figures: {line}");
            };
            let demand = Demand { carried, expected: expected_load };
            let weight = Weight::from_percent(percent).expect("a weight");
            let limit = Duration::from_secs_f64(limit);
            assert_eq!(told(demand, weight, limit, failing / 100.0), expected.trim(), "{line}");
            rows += 1;
        }
        assert!(rows > 12, "only {rows} rows were read");
    }

    proptest! {
        #[test]
        fn weights_fall_to_zero_and_no_step_is_larger_than_stable_can_take(
            carried in 0.0..2_000.0f64, expected in 0.0..2_000.0f64, points in 1u16..=10_000, failing in 0.0..0.5f64
        ) {
            let weight = Weight::from_percent(f64::from(points) / 100.0).unwrap();
            let limit = Duration::from_secs(8);
            let steps = weights(Demand { carried, expected }, weight, limit, failing);
            prop_assert!(steps.len() <= MOST_STEPS as usize);
            prop_assert_eq!(steps.last(), Some(&Weight::ZERO));
            prop_assert!(std::iter::once(&weight).chain(&steps).is_sorted_by(|a, b| a > b));
            let load_at = |weight: &Weight| (1.0 - weight.ratio()) * expected;
            let loads = steps.iter().map(load_at);
            let mut before = carried.max(expected / 7.59375).max(load_at(&weight));
            for load in loads.filter(|_| expected >= LIGHT) {
                // A hundredth of a percent of rounding.
                prop_assert!(load <= before * GROWTH + expected * 1e-4 + 1e-9, "{} {}", load, before);
                before = before.max(load);
            }
        }

        #[test]
        fn all_steps_are_due_within_the_limit(failing in 0.0..=1.0f64, limit in 0u64..=30_000) {
            let limit = Duration::from_millis(limit);
            prop_assert!(due(limit, limit, failing) >= MOST_STEPS as usize);
            prop_assert!(due(Duration::ZERO, limit, failing) >= 1);
        }
    }
}
