//! What a service carries: how much of it stable has lately proved to bear, and how much of the
//! canary's part fails.

use serde::{Deserialize, Serialize};
use serinus_models::{Outcome, Pair, ServiceTick, Timestamp};
use std::time::Duration;

/// Rates are means over this time: long enough that chance is small, short enough to follow.
const WINDOW: Duration = Duration::from_secs(5);

/// What stable once carried counts half after this time: by then caches are cold, pools are
/// closed and machines may have been given back.
const HALF_LIFE: Duration = Duration::from_secs(600);

/// With fewer requests of users per second the canary is judged by probes as much as by them.
const QUIET: f64 = 2.0;

/// What is left of an observation's weight in a share after the next one: about the last twenty count.
const FADING: f64 = 0.9;

/// The load that stable has lately borne.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Carried {
    /// Requests per second.
    pub per_second: f64,
    /// When it bore them.
    pub at: Timestamp,
}

impl Carried {
    /// What that is worth now: half of it after ten minutes, a quarter after twenty.
    fn worth(self, now: Timestamp) -> f64 {
        let age = now.since(self.at).as_secs_f64() / HALF_LIFE.as_secs_f64();
        self.per_second * libm::exp2(-age)
    }
}

/// What would be asked of stable if everybody came back now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Demand {
    /// Requests per second that stable has lately carried.
    pub(crate) carried: f64,
    /// Requests per second that it would get.
    pub(crate) expected: f64,
}

/// Live requests of one service, tick by tick. Everything asked of a variant counts: a request that
/// the shield repeated counts for both, which errs towards care.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Load {
    span: Duration,
    stable: u64,
    all: u64,
    /// Requests per second in the last whole window: of stable, and of both variants.
    rates: Option<(f64, f64)>,
    carried: Option<Carried>,
    /// Fading shares of failures.
    live: Pair<f64>,
    probes: Pair<f64>,
}

impl Load {
    /// Goes on from what is remembered of the time before a restart.
    pub(crate) fn after(carried: Option<Carried>) -> Self {
        Load { carried, ..Load::default() }
    }

    /// Takes in what was seen since the last look.
    pub(crate) fn observe(&mut self, now: Timestamp, tick: &ServiceTick) {
        for live in &tick.live {
            let (stable, canary) = (&live.samples.stable.outcomes, &live.samples.canary.outcomes);
            self.stable += stable.total();
            self.all += stable.total() + canary.total();
            fade(&mut self.live.stable, stable.total(), stable.failures());
            fade(&mut self.live.canary, canary.total(), canary.failures());
        }
        // A plain round asks for many routes and fails with any of them: that is no share of requests.
        for round in tick.probes.iter().filter(|round| !round.plain) {
            let failed = |outcome: Outcome| u64::from(outcome != Outcome::Ok);
            fade(&mut self.probes.stable, 1, failed(round.results.stable.outcome));
            fade(&mut self.probes.canary, 1, failed(round.results.canary.outcome));
        }
        self.span += Duration::from_millis(tick.span_ms);
        if self.span >= WINDOW {
            let (stable, all) = self.rates_so_far();
            self.rates = Some((stable, all));
            if self.carried.is_none_or(|carried| stable >= carried.worth(now)) {
                self.carried = Some(Carried { per_second: stable, at: now });
            }
            (self.span, self.stable, self.all) = (Duration::ZERO, 0, 0);
        }
    }

    /// Whether so few users are on the canary that probes have to make up for them.
    pub(crate) fn is_quiet(&self) -> bool {
        let (stable, all) = self.rates.unwrap_or_else(|| self.rates_so_far());
        all - stable < QUIET
    }

    fn rates_so_far(&self) -> (f64, f64) {
        let seconds = self.span.as_secs_f64();
        if seconds == 0.0 {
            return (0.0, 0.0);
        }
        (self.stable as f64 / seconds, self.all as f64 / seconds)
    }

    /// The most that stable has lately carried, for the journal.
    pub(crate) fn carried(&self) -> Option<Carried> {
        self.carried
    }

    /// What would be asked of stable if everybody came back now.
    pub(crate) fn demand(&self, now: Timestamp) -> Demand {
        let (stable, all) = self.rates.unwrap_or_else(|| self.rates_so_far());
        let before = self.carried.map_or(0.0, |carried| carried.worth(now));
        Demand { carried: before.max(stable), expected: all }
    }

    /// The share of its users' requests that the canary has failed lately, beyond what stable
    /// fails; of its probes, if that is more: what answers 200 may be wrong.
    pub(crate) fn failing(&self) -> f64 {
        let excess = |share: Pair<f64>| (share.canary - share.stable).max(0.0);
        excess(self.live).max(excess(self.probes))
    }

    /// Users come to a canary of which nothing is known yet, or not any more.
    pub(crate) fn forget_canary(&mut self) {
        (self.live.canary, self.probes.canary) = (0.0, 0.0);
    }
}

fn fade(share: &mut f64, total: u64, failed: u64) {
    if total > 0 {
        let kept = libm::pow(FADING, total as f64);
        *share = *share * kept + failed as f64 / total as f64 * (1.0 - kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serinus_models::{LiveSample, ProbeResult, ProbeRound, Sample};

    /// So many requests of each variant in one tick, and how many of the canary's failed.
    fn tick(span_ms: u64, stable: u32, canary: u32, failed: u32) -> ServiceTick {
        let sample = |ok: u32, failed: u32| {
            let mut sample = Sample::default();
            sample.outcomes.add(Outcome::Ok, ok);
            sample.outcomes.add(Outcome::ServerError, failed);
            sample
        };
        let samples = Pair { stable: sample(stable, 0), canary: sample(canary - failed, failed) };
        let live = vec![LiveSample { route: "shop".into(), samples }];
        ServiceTick { span_ms, live, ..ServiceTick::default() }
    }

    #[test]
    fn a_canary_with_a_request_or_two_per_second_is_quiet() {
        let quiet = |canary| {
            let mut load = Load::default();
            (0..6).for_each(|second| load.observe(at(second), &tick(1000, 20, canary, 0)));
            load.is_quiet()
        };
        assert!(quiet(0) && quiet(1));
        assert!(!quiet(2) && !quiet(40));
    }

    fn at(second: u64) -> Timestamp {
        Timestamp(second * 1000)
    }

    /// A minute of 200 requests per second at this weight, after `begin` seconds.
    fn minute(load: &mut Load, begin: u64, percent: u32) {
        for second in 1..=60 {
            load.observe(at(begin + second), &tick(1000, 200 - 2 * percent, 2 * percent, 0));
        }
    }

    #[test]
    fn stable_is_trusted_with_what_it_bore_and_half_of_it_ten_minutes_later() {
        let mut load = Load::default();
        minute(&mut load, 0, 0);
        minute(&mut load, 60, 100);
        let demand = load.demand(at(120));
        assert_eq!(demand.expected, 200.0);
        assert!((185.0..=190.0).contains(&demand.carried), "a minute ago: {demand:?}");
        for minutes in 2..11 {
            minute(&mut load, 60 * minutes, 100);
        }
        let demand = load.demand(at(660));
        assert!((99.0..=101.0).contains(&demand.carried), "ten minutes ago: {demand:?}");
    }

    #[test]
    fn what_it_carries_now_counts_whatever_was_before() {
        let mut load = Load::after(Some(Carried { per_second: 500.0, at: at(0) }));
        minute(&mut load, 36_000, 50);
        let demand = load.demand(at(36_060));
        assert_eq!((demand.carried, demand.expected), (100.0, 200.0));
    }

    #[test]
    fn short_looks_give_the_same_rates_as_long_ones() {
        let mut load = Load::default();
        for look in 1..=100 {
            load.observe(Timestamp(look * 100), &tick(100, 10, 10, 0));
        }
        assert_eq!(load.demand(at(10)), Demand { carried: 100.0, expected: 200.0 });
        load.observe(at(20), &tick(10_000, 500, 500, 0));
        assert_eq!(load.demand(at(20)).expected, 100.0);
    }

    #[test]
    fn before_the_first_window_is_over_what_was_seen_so_far_counts() {
        let mut load = Load::default();
        assert_eq!(load.demand(at(0)), Demand { carried: 0.0, expected: 0.0 });
        load.observe(at(1), &tick(1000, 20, 30, 0));
        assert_eq!(load.demand(at(1)), Demand { carried: 20.0, expected: 50.0 });
    }

    #[test]
    fn the_share_that_fails_follows_within_a_few_requests() {
        let mut load = Load::default();
        load.observe(at(1), &tick(1000, 100, 100, 20));
        assert!((load.failing() - 0.2).abs() < 0.01, "{}", load.failing());
        load.observe(at(2), &tick(100, 10, 10, 10));
        assert!(load.failing() > 0.5, "{}", load.failing());
        load.forget_canary();
        assert_eq!(load.failing(), 0.0);
    }

    #[test]
    fn wrong_answers_that_only_probes_see_count_too() {
        let mut load = Load::default();
        load.observe(at(1), &tick(1000, 100, 100, 0));
        let result = |outcome| ProbeResult { outcome, micros: 1_000 };
        let results = Pair { stable: result(Outcome::Ok), canary: result(Outcome::Assertion) };
        let round = ProbeRound { probe: "order".into(), results, steps: Vec::new(), plain: false };
        let probes = vec![round; 10];
        load.observe(at(2), &ServiceTick { span_ms: 1000, probes, ..ServiceTick::default() });
        assert!(load.failing() > 0.6, "{}", load.failing());
    }
}
