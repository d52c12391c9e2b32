//! Which users try the canary: a fixed place on a line of 10 000 buckets for every user.
//!
//! A user whose bucket lies below the weight is served by the canary. Raising the weight only
//! adds buckets, so nobody moves back; and because the place depends on nothing but the user's
//! key and the seed, every replica agrees, before and after a restart.

use crate::{Variant, Weight};
use xxhash_rust::xxh3::xxh3_64_with_seed;

const BUCKETS: u64 = 10_000;

/// What makes the cohorts of one rollout independent of those of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CohortSeed(u64);

impl CohortSeed {
    /// The seed of one release: derived from names alone, so that replicas need not talk.
    /// The version takes part so that it is not always the same users who meet new releases first.
    pub fn of_release(service: &str, canary_version: &str) -> Self {
        CohortSeed(xxh3_64_with_seed(
            canary_version.as_bytes(),
            xxh3_64_with_seed(service.as_bytes(), 0),
        ))
    }
}

/// A user's place, 0 to 9 999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bucket(u16);

impl Bucket {
    /// How many places there are.
    pub const COUNT: usize = BUCKETS as usize;

    /// Below [`Bucket::COUNT`].
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// The place of the user known by `key`.
    pub fn of_key(seed: CohortSeed, key: &[u8]) -> Self {
        Self::of_hash(xxh3_64_with_seed(key, seed.0))
    }

    /// The place of a request that belongs to no known user; `dice` is 64 uniform random bits.
    pub fn of_dice(dice: u64) -> Self {
        Self::of_hash(dice)
    }

    /// Multiply-shift: uniform to one part in 2^50, without the bias of a remainder.
    fn of_hash(hash: u64) -> Self {
        Bucket(((u128::from(hash) * u128::from(BUCKETS)) >> 64) as u16)
    }

    /// The variant that serves this bucket at `weight`.
    pub fn variant(self, weight: Weight) -> Variant {
        if self.0 < weight.basis_points() { Variant::Canary } else { Variant::Stable }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seed() -> CohortSeed {
        CohortSeed::of_release("checkout", "1.9.0")
    }

    #[test]
    fn the_split_over_users_is_the_weight() {
        let weight = Weight::from_percent(5.0).unwrap();
        let users = 100_000;
        let on_canary = (0..users)
            .filter(|user| {
                Bucket::of_key(seed(), format!("user-{user}").as_bytes()).variant(weight)
                    == Variant::Canary
            })
            .count() as f64;
        let expected = users as f64 * weight.ratio();
        let sigma = (expected * (1.0 - weight.ratio())).sqrt();
        assert!(
            (on_canary - expected).abs() < 4.0 * sigma,
            "{on_canary} of {users} on the canary, expected {expected} +- {sigma}"
        );
    }

    #[test]
    fn a_release_has_cohorts_of_its_own() {
        let weight = Weight::from_percent(10.0).unwrap();
        let other = CohortSeed::of_release("checkout", "1.9.1");
        let both = (0..100_000)
            .filter(|user| {
                let key = format!("user-{user}");
                [seed(), other]
                    .iter()
                    .all(|s| Bucket::of_key(*s, key.as_bytes()).variant(weight) == Variant::Canary)
            })
            .count();
        // Independent cohorts share 1% of the users; the same cohort would share 10%.
        assert!((800..1200).contains(&both), "{both}");
    }

    #[test]
    fn buckets_are_fixed_for_ever() {
        // A change here moves real users between versions on upgrade of the proxy.
        let places: Vec<u16> = ["alice", "bob", "203.0.113.7", ""]
            .iter()
            .map(|key| Bucket::of_key(seed(), key.as_bytes()).0)
            .collect();
        assert_eq!(places, PLACES);
    }
    const PLACES: [u16; 4] = [4370, 387, 9546, 5225];

    proptest! {
        #[test]
        fn raising_the_weight_never_moves_a_user_back(
            key in proptest::collection::vec(any::<u8>(), 0..40), low in 0u16..=10_000, more in 0u16..=10_000
        ) {
            let low_weight = Weight::from_percent(f64::from(low) / 100.0).unwrap();
            let high_weight = Weight::from_percent(f64::from(low.saturating_add(more).min(10_000)) / 100.0).unwrap();
            let bucket = Bucket::of_key(seed(), &key);
            if bucket.variant(low_weight) == Variant::Canary {
                prop_assert_eq!(bucket.variant(high_weight), Variant::Canary);
            }
        }

        #[test]
        fn nobody_at_zero_and_everybody_at_full(dice in any::<u64>()) {
            prop_assert_eq!(Bucket::of_dice(dice).variant(Weight::ZERO), Variant::Stable);
            prop_assert_eq!(Bucket::of_dice(dice).variant(Weight::FULL), Variant::Canary);
        }
    }
}
