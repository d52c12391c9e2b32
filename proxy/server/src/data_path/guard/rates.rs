//! How often requests may come: counted without a lock, in memory that does not grow.
//!
//! Each key has the time at which its credit would be whole again (GCRA: a token bucket in one
//! number). A table of fixed size has many keys; where too many are active at once, the one that is
//! nearest to being forgotten makes room, and its owner starts with whole credit: a flood of addresses
//! weakens the limit of each, never the proxy.

use crate::data_path::networks::client_key;
use http::HeaderMap;
use serinus_config::{RateKey, RateSettings};
use std::net::IpAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Sets of places. With the ways, 32,768 active keys and 256 KiB.
const SETS: usize = 4096;
/// Places that one key may be in.
const WAYS: usize = 8;
/// A place is the key's mark (24 bits) and a time in microseconds since the epoch (40 bits, which
/// begin again after twelve days; no credit lasts so long); zero is free.
const TIME_BITS: u32 = 40;
const TIME: u64 = (1 << TIME_BITS) - 1;

/// One rate, for all keys.
#[derive(Debug)]
pub(super) struct Meter {
    by: RateKey,
    /// Microseconds between two requests at the rate.
    interval: u64,
    /// Microseconds of credit.
    credit: u64,
    epoch: Instant,
    seed: u64,
    /// Made for the first request.
    places: OnceLock<Box<[AtomicU64]>>,
}

impl Meter {
    pub(super) fn new(settings: &RateSettings) -> Self {
        let per = settings.per.as_micros() as u64;
        let interval = (per / u64::from(settings.requests)).max(1);
        Meter {
            by: settings.by.clone(),
            interval,
            // Three days at most by the configuration: a quarter of what the clock tells apart.
            credit: (interval * u64::from(settings.burst)).min(TIME / 4),
            epoch: Instant::now(),
            seed: fastrand::u64(..),
            places: OnceLock::new(),
        }
    }

    /// Takes one request of a client from its credit, or says how long it shall wait.
    pub(super) fn take(
        &self,
        client: Option<IpAddr>,
        headers: &HeaderMap,
        now: Instant,
    ) -> Result<(), Duration> {
        let of_client =
            || xxh3_64_with_seed(&client.map_or(0, client_key).to_ne_bytes(), self.seed);
        let hash = match &self.by {
            RateKey::Route => self.seed,
            RateKey::Client => of_client(),
            RateKey::Header(name) => match headers.get(name.as_str()) {
                // Another seed: no client can name another's address.
                Some(value) => xxh3_64_with_seed(value.as_bytes(), !self.seed),
                None => of_client(),
            },
        };
        self.take_one(hash, now)
    }

    fn take_one(&self, hash: u64, now: Instant) -> Result<(), Duration> {
        let sets = if self.by == RateKey::Route { 1 } else { SETS };
        let places =
            self.places.get_or_init(|| (0..sets * WAYS).map(|_| AtomicU64::new(0)).collect());
        let mark = (hash >> TIME_BITS).max(1) << TIME_BITS;
        let set = (hash as usize % sets) * WAYS;
        let places = &places[set..set + WAYS];
        let now = now.saturating_duration_since(self.epoch).as_micros() as u64 & TIME;
        loop {
            let (place, seen) = find(places, mark, |seen| self.debt(seen, now));
            let debt = if seen & !TIME == mark { self.debt(seen, now) } else { 0 };
            if debt + self.interval > self.credit {
                return Err(Duration::from_micros(debt + self.interval - self.credit));
            }
            let next = mark | (now + debt + self.interval) & TIME;
            let taken =
                place.compare_exchange(seen, next, Ordering::AcqRel, Ordering::Acquire).is_ok();
            if taken {
                return Ok(());
            }
        }
    }

    /// Microseconds until the credit of a place is whole again.
    fn debt(&self, seen: u64, now: u64) -> u64 {
        let ahead = (seen & TIME).wrapping_sub(now) & TIME;
        // More than there can be: it is long past.
        if ahead > self.credit { 0 } else { ahead }
    }
}

/// The place of a key, else a free one, else that of the smallest debt.
fn find(places: &[AtomicU64], mark: u64, debt: impl Fn(u64) -> u64) -> (&AtomicU64, u64) {
    let mut best = (&places[0], 0, u64::MAX);
    for place in places {
        let seen = place.load(Ordering::Acquire);
        if seen & !TIME == mark {
            return (place, seen);
        }
        let cost = if seen == 0 { 0 } else { 1 + debt(seen) };
        if cost < best.2 {
            best = (place, seen, cost);
        }
    }
    (best.0, best.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meter(requests: u32, per: Duration, burst: u32, by: RateKey) -> Meter {
        Meter::new(&RateSettings { requests, per, burst, by })
    }

    #[test]
    fn a_burst_is_taken_and_then_the_rate() {
        let meter = meter(10, Duration::from_secs(1), 5, RateKey::Client);
        let at = |millis: u64| meter.epoch + Duration::from_millis(millis);
        for _ in 0..5 {
            assert_eq!(meter.take_one(1, at(0)), Ok(()));
        }
        assert_eq!(meter.take_one(1, at(0)), Err(Duration::from_millis(100)));
        assert_eq!(meter.take_one(2, at(0)), Ok(())); // somebody else
        assert_eq!(meter.take_one(1, at(99)), Err(Duration::from_millis(1)));
        assert_eq!(meter.take_one(1, at(100)), Ok(()));
        assert_eq!(meter.take_one(1, at(100)), Err(Duration::from_millis(100)));
        // After a pause the whole burst again, and no more.
        let allowed = (0..20).filter(|_| meter.take_one(1, at(60_000)).is_ok()).count();
        assert_eq!(allowed, 5);
    }

    #[test]
    fn over_time_the_rate_holds_to_the_request() {
        let meter = meter(3, Duration::from_secs(1), 1, RateKey::Route);
        let allowed = (0..60_000u64)
            .filter(|millis| {
                meter.take_one(7, meter.epoch + Duration::from_millis(*millis)).is_ok()
            })
            .count();
        assert!((179..=180).contains(&allowed), "{allowed} in a minute");
    }

    #[test]
    fn a_key_that_was_away_for_days_has_its_credit() {
        let meter = meter(1, Duration::from_secs(1), 1, RateKey::Client);
        for day in 0..40 {
            let now = meter.epoch + Duration::from_secs(86_400 * day);
            assert_eq!(meter.take_one(9, now), Ok(()), "day {day}");
            assert!(meter.take_one(9, now).is_err());
        }
    }

    #[test]
    fn a_flood_of_keys_takes_no_more_memory_and_every_one_is_still_let_in() {
        let meter = meter(1, Duration::from_secs(60), 1, RateKey::Client);
        let now = meter.epoch;
        let key = |client: u128| xxh3_64_with_seed(&client.to_ne_bytes(), 3);
        assert!((0..200_000).all(|client| meter.take_one(key(client), now).is_ok()));
        assert_eq!(meter.places.get().unwrap().len(), SETS * WAYS);
    }

    #[test]
    fn threads_share_one_credit() {
        let meter = meter(1, Duration::from_secs(60), 1_000, RateKey::Route);
        let now = meter.epoch;
        let allowed: usize = std::thread::scope(|scope| {
            let count = || (0..1_000).filter(|_| meter.take_one(5, now).is_ok()).count();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(count)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(allowed, 1_000);
    }

    #[test]
    fn requests_are_counted_by_header_where_they_have_it() {
        let meter = meter(1, Duration::from_secs(60), 1, RateKey::Header("x-api-key".to_owned()));
        let now = meter.epoch;
        let with = |key: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("x-api-key", key.parse().unwrap());
            headers
        };
        let one = Some("192.0.2.1".parse().unwrap());
        assert!(meter.take(one, &with("a"), now).is_ok());
        assert!(meter.take(Some("192.0.2.2".parse().unwrap()), &with("a"), now).is_err());
        assert!(meter.take(one, &with("b"), now).is_ok());
        assert!(meter.take(one, &HeaderMap::new(), now).is_ok());
        assert!(meter.take(one, &HeaderMap::new(), now).is_err());
    }
}
