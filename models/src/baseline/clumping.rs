//! Whether slow answers come alone or together.
//!
//! A process that is stalled for a tenth of a second (garbage collection, a busy machine) slows all requests
//! that are under way: twenty slow answers of one stall say little more than one. How much they clump is
//! learned from stable, so that a quiet service is judged quickly and a restless one with patience.

use std::time::Duration;

/// What was seen fades: after so long a third is left.
const MEMORY: Duration = Duration::from_secs(300);

/// Correlation of "slow" between two requests of one variant in one tick, by the method of moments:
/// of the squared distances from what independent requests would show (Donner 1986, intraclass correlation
/// of binary observations), summed over ticks.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Clumping {
    hits: f64,
    trials: f64,
    /// Sum of squared distances beyond those of independent requests.
    beyond: f64,
    /// What that sum would be if all requests of a tick were slow or quick together.
    most: f64,
}

impl Clumping {
    /// Takes in a tick of stable's: of `trials` requests `hits` were slow.
    pub(crate) fn add(&mut self, hits: u64, trials: u64) {
        let (hits, trials) = (hits as f64, trials as f64);
        if self.trials > 0.0 && trials > 1.0 {
            let rate = self.hits / self.trials;
            let variance = rate * (1.0 - rate);
            let distance = hits - trials * rate;
            self.beyond += distance * distance - trials * variance;
            self.most += trials * (trials - 1.0) * variance;
        }
        self.hits += hits;
        self.trials += trials;
    }

    /// Lets `span` pass.
    pub(crate) fn fade(&mut self, span: Duration) {
        let left = libm::exp(-span.as_secs_f64() / MEMORY.as_secs_f64());
        for sum in [&mut self.hits, &mut self.trials, &mut self.beyond, &mut self.most] {
            *sum *= left;
        }
    }

    /// 0: each request by itself; 1: all of a tick alike.
    pub(crate) fn correlation(&self) -> f64 {
        if self.most > 0.0 { (self.beyond / self.most).clamp(0.0, 1.0) } else { 0.0 }
    }

    /// By how much more the difference of two shares varies than with independent requests (the design
    /// effect, Kish 1965), for groups of so many requests; at least 1.
    pub(crate) fn inflation(&self, one: u64, other: u64) -> f64 {
        if one == 0 || other == 0 {
            return 1.0;
        }
        let size = 1.0 / (1.0 / one as f64 + 1.0 / other as f64);
        (1.0 + self.correlation() * (2.0 * size - 1.0)).max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_xoshiro::Xoshiro256PlusPlus;

    fn learned(seconds: u32, mut slow_of_100: impl FnMut() -> u64) -> Clumping {
        let mut clumping = Clumping::default();
        for _ in 0..seconds {
            clumping.add(slow_of_100(), 100);
            clumping.fade(Duration::from_secs(1));
        }
        clumping
    }

    #[test]
    fn independent_requests_do_not_clump() {
        let mut dice = Xoshiro256PlusPlus::seed_from_u64(1);
        let clumping = learned(600, || (0..100).filter(|_| dice.random_bool(0.1)).count() as u64);
        assert!(clumping.correlation() < 0.005, "{clumping:?}");
        assert!(clumping.inflation(10, 90) < 1.1);
    }

    #[test]
    fn stalls_that_slow_everybody_do() {
        let mut dice = Xoshiro256PlusPlus::seed_from_u64(2);
        let clumping = learned(600, || if dice.random_bool(0.1) { 100 } else { 0 });
        assert!(clumping.correlation() > 0.9, "{clumping:?}");
        // Ten requests of a stall count as one.
        assert!(clumping.inflation(10, 1_000_000) > 15.0, "{}", clumping.inflation(10, 1_000_000));
        let clumping = learned(600, || if dice.random_bool(0.05) { 60 } else { 7 });
        assert!((0.05..0.6).contains(&clumping.correlation()), "{clumping:?}");
    }

    #[test]
    fn without_observations_nothing_is_held_against_speed() {
        assert_eq!(Clumping::default().inflation(10, 100), 1.0);
        assert_eq!(learned(10, || 50).inflation(0, 5), 1.0);
    }
}
