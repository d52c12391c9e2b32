//! Requests whose answer has not begun: how long each has been waiting, readable at any time.
//!
//! Without this a variant that hangs would look idle until its requests time out.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Requests a thread can watch at once; more are carried but not watched.
const SEATS: usize = 4096;
/// Seats tried before a request goes unwatched.
const TRIES: usize = 16;

/// A seat is one word: since when (units of 64 us since the epoch, 40 bits: two years), whose
/// (23 bits, from 1), and whether it was already counted as overdue (1 bit). Zero is free.
const UNIT_BITS: u32 = 6;
const OWNER_BITS: u32 = 23;
const COUNTED: u64 = 1;

/// The requests in flight of one thread.
#[derive(Debug)]
pub(crate) struct Flights {
    epoch: Instant,
    next: AtomicUsize,
    seats: Box<[AtomicU64]>,
}

/// A place among the requests in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seat(u32);

impl Flights {
    pub(crate) fn new(epoch: Instant) -> Self {
        Flights {
            epoch,
            next: AtomicUsize::new(0),
            seats: (0..SEATS).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Minutes since the epoch.
    pub(crate) fn minute(&self, at: Instant) -> u32 {
        (at.saturating_duration_since(self.epoch).as_secs() / 60) as u32
    }

    /// Watches a request of recorder `owner` that waits since `since`; none if there is no seat.
    pub(crate) fn board(&self, owner: u32, since: Instant) -> Option<Seat> {
        let micros = since.saturating_duration_since(self.epoch).as_micros() as u64;
        let owner = u64::from(owner) & ((1 << OWNER_BITS) - 1);
        let word = (micros >> UNIT_BITS) << (OWNER_BITS + 1) | owner << 1;
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        (first..first + TRIES).map(|seat| seat % SEATS).find_map(|seat| {
            let free = self.seats[seat].load(Ordering::Relaxed) == 0;
            let taken = free
                && self.seats[seat]
                    .compare_exchange(0, word, Ordering::AcqRel, Ordering::Relaxed)
                    .is_ok();
            taken.then_some(Seat(seat as u32))
        })
    }

    /// Frees the seat; true if the request was counted as overdue while it waited.
    pub(crate) fn leave(&self, seat: Seat) -> bool {
        self.seats[seat.0 as usize].swap(0, Ordering::AcqRel) & COUNTED != 0
    }

    /// Calls `count(owner, age)` once for each request that has now waited for `age` or longer
    /// and whose owner is `watched`.
    pub(crate) fn overdue(
        &self,
        now: Instant,
        age: Duration,
        watched: impl Fn(u32) -> bool,
        mut count: impl FnMut(u32, Duration),
    ) {
        for seat in &self.seats {
            let word = seat.load(Ordering::Acquire);
            if word == 0 || word & COUNTED != 0 {
                continue;
            }
            let micros = (word >> (OWNER_BITS + 1)) << UNIT_BITS;
            let owner = (word >> 1) as u32 & ((1 << OWNER_BITS) - 1);
            let waited = now.saturating_duration_since(self.epoch + Duration::from_micros(micros));
            if waited < age || !watched(owner) {
                continue;
            }
            // Fails if the request ended meanwhile: then it counts at its end. The same word can
            // only come back for the same owner and the same start.
            if seat
                .compare_exchange(word, word | COUNTED, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
            {
                count(owner, waited);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overdue(flights: &Flights, now: Instant, age: Duration) -> Vec<(u32, u64)> {
        let mut found = Vec::new();
        flights.overdue(
            now,
            age,
            |owner| owner != 9,
            |owner, age| found.push((owner, age.as_secs())),
        );
        found
    }

    #[test]
    fn a_request_is_overdue_once_and_only_while_it_waits() {
        let epoch = Instant::now();
        let flights = Flights::new(epoch);
        let second = Duration::from_secs(1);
        let hung = flights.board(3, epoch + second).unwrap();
        let quick = flights.board(4, epoch + second).unwrap();
        let of_others = flights.board(9, epoch + second).unwrap();
        assert_eq!(overdue(&flights, epoch + second, second), []);
        assert!(!flights.leave(quick));
        assert_eq!(overdue(&flights, epoch + 4 * second, second), [(3, 3)]);
        assert_eq!(overdue(&flights, epoch + 5 * second, second), []);
        assert!(flights.leave(hung));
        assert!(!flights.leave(of_others));
    }

    #[test]
    fn a_full_house_turns_requests_away_and_has_room_again() {
        let epoch = Instant::now();
        let flights = Flights::new(epoch);
        let seats: Vec<_> = std::iter::from_fn(|| flights.board(1, epoch)).collect();
        assert_eq!(seats.len(), SEATS);
        seats.into_iter().for_each(|seat| assert!(!flights.leave(seat)));
        assert!(flights.board(1, epoch).is_some());
    }
}
