//! What users got: answers, failures and how long they waited.

use hdrhistogram::Histogram;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Who answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The version that users had before.
    Stable,
    /// The version on trial.
    Canary,
    /// Nobody, or nobody who said so.
    Unknown,
}

/// How a user was failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mishap {
    /// Answered with this status, 500 or more.
    Status(u16),
    /// No connection, or it was closed before the answer.
    NoAnswer,
    /// The answer ended in its middle.
    CutOff,
    /// The user's patience was over.
    GaveUp,
    /// Too much was under way.
    NotSent,
}

impl Mishap {
    /// The mishap in a status, if it is one.
    pub fn of_status(status: u16) -> Option<Mishap> {
        (status >= 500).then_some(Mishap::Status(status))
    }
}

/// Requests and failures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Requests that ended.
    pub requests: u64,
    /// Of them, those that failed their user.
    pub failures: u64,
}

/// The last seconds of one side.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Recent {
    /// Per second.
    pub requests: f64,
    /// Per second.
    pub failures: f64,
    /// Median latency; none without answers.
    pub p50: Option<Duration>,
    /// 99th percentile of the latency.
    pub p99: Option<Duration>,
}

/// Seconds in [`Recent`].
const RECENT: u64 = 3;
/// Longest latency told apart, in microseconds.
const LONGEST: u64 = 60_000_000;

/// One second of the three sides.
struct Second {
    number: u64,
    totals: [Totals; 3],
    latency: [Option<Histogram<u32>>; 3],
}

struct Book {
    totals: [Totals; 3],
    /// Milliseconds since the Unix epoch of every failure, and what it was.
    mishaps: Vec<(u64, Mishap)>,
    seconds: VecDeque<Second>,
}

/// Counts what users got. Shared by all requests.
pub struct Tally {
    began: Instant,
    book: Mutex<Book>,
}

impl Default for Tally {
    fn default() -> Self {
        let book =
            Book { totals: Default::default(), mishaps: Vec::new(), seconds: VecDeque::new() };
        Tally { began: Instant::now(), book: Mutex::new(book) }
    }
}

impl Tally {
    /// One request that ended now.
    pub fn record(&self, side: Side, latency: Duration, mishap: Option<Mishap>) {
        let number = self.began.elapsed().as_secs();
        let failed = u64::from(mishap.is_some());
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mishap) = mishap {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            book.mishaps.push((now.as_millis() as u64, mishap));
        }
        if book.seconds.back().is_none_or(|second| second.number < number) {
            book.seconds.push_back(Second {
                number,
                totals: Default::default(),
                latency: Default::default(),
            });
            book.seconds.retain(|second| second.number + RECENT >= number);
        }
        let add = |totals: &mut [Totals; 3]| {
            totals[side as usize].requests += 1;
            totals[side as usize].failures += failed;
        };
        add(&mut book.totals);
        if let Some(second) = book.seconds.back_mut() {
            add(&mut second.totals);
            let micros = (latency.as_micros() as u64).clamp(1, LONGEST);
            let histogram = &mut second.latency[side as usize];
            // The bounds are constants that it accepts, and the value is clamped into them.
            let histogram = histogram.get_or_insert_with(new_histogram);
            histogram.saturating_record(micros);
        }
    }

    /// Of one side since the beginning.
    pub fn totals(&self, side: Side) -> Totals {
        self.book.lock().unwrap_or_else(PoisonError::into_inner).totals[side as usize]
    }

    /// Of all sides since the beginning.
    pub fn all(&self) -> Totals {
        let book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        book.totals.iter().fold(Totals::default(), |sum, totals| Totals {
            requests: sum.requests + totals.requests,
            failures: sum.failures + totals.failures,
        })
    }

    /// Every failure: when, in milliseconds since the Unix epoch, and what.
    pub fn mishaps(&self) -> Vec<(u64, Mishap)> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner).mishaps.clone()
    }

    /// The last whole seconds of one side.
    pub fn recent(&self, side: Side) -> Recent {
        let now = self.began.elapsed().as_secs();
        let book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        let whole = book.seconds.iter().filter(|s| s.number < now && s.number + RECENT >= now);
        let mut sum = Totals::default();
        let mut latency = new_histogram();
        for second in whole {
            sum.requests += second.totals[side as usize].requests;
            sum.failures += second.totals[side as usize].failures;
            if let Some(histogram) = &second.latency[side as usize] {
                // Same bounds: it always fits.
                let _ = latency.add(histogram);
            }
        }
        let span = now.clamp(1, RECENT) as f64;
        let quantile = |share: f64| {
            (!latency.is_empty()).then(|| Duration::from_micros(latency.value_at_quantile(share)))
        };
        Recent {
            requests: sum.requests as f64 / span,
            failures: sum.failures as f64 / span,
            p50: quantile(0.5),
            p99: quantile(0.99),
        }
    }
}

#[expect(clippy::expect_used, reason = "the bounds are constants that hdrhistogram accepts")]
fn new_histogram() -> Histogram<u32> {
    Histogram::new_with_bounds(1, LONGEST, 2).expect("constant bounds")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_counted_by_side_and_in_all() {
        let tally = Tally::default();
        tally.record(Side::Stable, Duration::from_millis(5), None);
        tally.record(Side::Canary, Duration::from_millis(5), Some(Mishap::Status(500)));
        tally.record(Side::Unknown, Duration::from_secs(5), Some(Mishap::GaveUp));
        assert_eq!(tally.totals(Side::Canary), Totals { requests: 1, failures: 1 });
        assert_eq!(tally.all(), Totals { requests: 3, failures: 2 });
        assert_eq!(tally.mishaps().len(), 2);
    }
}
