//! How many connections each client has: counted without a lock, in memory that does not grow.

use super::connection::Limits;
use super::networks::client_key;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Sets of places. With the ways, 32,768 clients at the same time and 256 KiB.
const SETS: usize = 4096;
/// Places that one client may have its count in.
const WAYS: usize = 8;
/// A place is the client's mark (40 bits) and its connections (24 bits); zero is free.
const COUNT_BITS: u32 = 24;
const COUNT: u64 = (1 << COUNT_BITS) - 1;

/// The connections of all clients of a listener.
pub(crate) struct Crowd {
    seed: u64,
    /// Made for the first client that is counted.
    places: OnceLock<Box<[AtomicU64]>>,
}

impl std::fmt::Debug for Crowd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Crowd").finish_non_exhaustive()
    }
}

/// One connection, for as long as this is held.
#[derive(Debug)]
pub(crate) struct Seat {
    limits: Arc<Limits>,
    place: Option<usize>,
}

impl Crowd {
    pub(crate) fn new(seed: u64) -> Self {
        Crowd { seed, places: OnceLock::new() }
    }

    /// Counts a connection of `client`; none if it has `most` already. Where all places of a set
    /// are taken by others, the connection is let in and not counted.
    pub(crate) fn enter(limits: &Arc<Limits>, client: IpAddr, most: u32) -> Option<Seat> {
        let place = limits.crowd.count(client_key(client), most).ok()?;
        Some(Seat { limits: Arc::clone(limits), place })
    }

    /// The place where it was counted; an error if it would be one too many.
    fn count(&self, client: u128, most: u32) -> Result<Option<usize>, ()> {
        let hash = xxh3_64_with_seed(&client.to_ne_bytes(), self.seed);
        let mark = (hash >> COUNT_BITS).max(1) << COUNT_BITS;
        let set = (hash as usize % SETS) * WAYS;
        let places =
            self.places.get_or_init(|| (0..SETS * WAYS).map(|_| AtomicU64::new(0)).collect());
        'again: loop {
            // Its own place first, then a free one.
            for wanted in [mark, 0] {
                for place in set..set + WAYS {
                    let seen = places[place].load(Ordering::Acquire);
                    if seen & !COUNT != wanted {
                        continue;
                    }
                    let count = seen & COUNT;
                    if count >= u64::from(most).min(COUNT) {
                        return Err(());
                    }
                    let counted = mark | (count + 1);
                    return match places[place].compare_exchange(
                        seen,
                        counted,
                        Ordering::AcqRel,
                        Ordering::Acquire,
                    ) {
                        Ok(_) => Ok(Some(place)),
                        Err(_) => continue 'again,
                    };
                }
            }
            return Ok(None);
        }
    }

    fn leave(&self, place: usize) {
        let less = |seen: u64| Some(if seen & COUNT <= 1 { 0 } else { seen - 1 });
        if let Some(places) = self.places.get() {
            let _ = places[place].fetch_update(Ordering::AcqRel, Ordering::Acquire, less);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.limits.crowd.leave(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn empty(crowd: &Crowd) -> bool {
        let places = crowd.places.get().unwrap();
        places.iter().all(|place| place.load(Ordering::Relaxed) == 0)
    }

    #[test]
    fn a_client_has_so_many_connections_and_no_more() {
        let crowd = Crowd::new(7);
        let first = crowd.count(1, 2).unwrap().unwrap();
        assert_eq!(crowd.count(1, 2), Ok(Some(first)));
        assert_eq!(crowd.count(1, 2), Err(()));
        assert!(crowd.count(2, 2).is_ok());
        crowd.leave(first);
        assert_eq!(crowd.count(1, 2), Ok(Some(first)));
    }

    #[test]
    fn whoever_leaves_makes_room_and_a_full_house_counts_no_more() {
        let crowd = Crowd::new(7);
        let seats: Vec<_> =
            (0..200_000u128).map(|client| crowd.count(client, 1).unwrap()).collect();
        let counted = seats.iter().flatten().count();
        assert!((30_000..=SETS * WAYS).contains(&counted), "{counted}");
        for place in seats.into_iter().flatten() {
            crowd.leave(place);
        }
        assert!(empty(&crowd));
    }

    #[test]
    fn nothing_is_lost_between_threads() {
        let crowd = Crowd::new(7);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for turn in 0..20_000u128 {
                        if let Ok(Some(place)) = crowd.count(turn % 5, 3) {
                            crowd.leave(place);
                        }
                    }
                });
            }
        });
        assert!(empty(&crowd));
    }
}
