//! Seeded draws from the distributions of the simulated world.

use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_distr::{Binomial, Distribution, Poisson, StandardNormal};
use rand_xoshiro::Xoshiro256PlusPlus;

/// A generator: the same seed gives the same draws on every machine.
#[derive(Debug, Clone)]
pub(super) struct Dice(Xoshiro256PlusPlus);

impl Dice {
    pub(super) fn new(seed: u64) -> Dice {
        Dice(Xoshiro256PlusPlus::seed_from_u64(seed))
    }

    /// Dice whose draws have nothing to do with these.
    pub(super) fn apart(&self) -> Dice {
        let mut apart = self.clone();
        apart.0.jump();
        apart
    }

    /// Whether something of probability `p` happens.
    pub(super) fn chance(&mut self, p: f64) -> bool {
        self.0.random::<f64>() < p
    }

    /// Even between `low` and `high`.
    pub(super) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.0.random::<f64>()
    }

    /// Even in the logarithm: as likely between 1 and 10 as between 10 and 100.
    pub(super) fn scale(&mut self, low: f64, high: f64) -> f64 {
        libm::exp(self.between(libm::log(low), libm::log(high)))
    }

    /// A whole number from `low` to `high`, both included.
    pub(super) fn whole(&mut self, low: usize, high: usize) -> usize {
        self.0.random_range(low..=high)
    }

    /// One of several; `first` if there is no choice.
    pub(super) fn pick<T: Copy>(&mut self, first: T, others: &[T]) -> T {
        let at = self.whole(0, others.len());
        if at == 0 { first } else { others.choose(&mut self.0).copied().unwrap_or(first) }
    }

    /// How many events of a mean number happen.
    pub(super) fn events(&mut self, mean: f64) -> u32 {
        Poisson::new(mean).map_or(0, |poisson| poisson.sample(&mut self.0) as u32)
    }

    /// How many of `n` have something of probability `p`.
    pub(super) fn hits(&mut self, n: u32, p: f64) -> u32 {
        if n == 0 || p <= 0.0 {
            return 0;
        }
        Binomial::new(u64::from(n), p.min(1.0)).map_or(0, |b| b.sample(&mut self.0) as u32)
    }

    /// From the standard normal distribution.
    pub(super) fn normal(&mut self) -> f64 {
        StandardNormal.sample(&mut self.0)
    }
}
