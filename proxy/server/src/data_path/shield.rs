//! How much may be retried on stable: enough to hide a failing canary from its users, not enough
//! to double the load of a stable version that fails as well.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Retries earned per finished request.
const PER_REQUEST: f64 = 0.2;
/// Retries earned per second, so that quiet services have some.
const PER_SECOND: f64 = 10.0;
/// Most retries that can be saved up.
const SAVED: f64 = 100.0;

/// The retry budget of one service. Only requests that failed come here, so a lock is cheap enough.
#[derive(Debug)]
pub(crate) struct RetryBudget(Mutex<Balance>);

#[derive(Debug)]
struct Balance {
    retries: f64,
    /// Retries that were taken, ever: their attempts earn nothing.
    taken: u64,
    /// Finished requests that have earned their share.
    requests: u64,
    at: Instant,
}

impl RetryBudget {
    /// A full budget at `now` of a service that has `finished` so many attempts.
    pub(crate) fn new(now: Instant, finished: u64) -> Self {
        RetryBudget(Mutex::new(Balance { retries: SAVED, taken: 0, requests: finished, at: now }))
    }

    /// Takes one retry, if there is one left. `finished` are the attempts of the service, retries included.
    pub(crate) fn spend(&self, now: Instant, finished: u64) -> bool {
        let mut balance = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Retries under way are taken and not yet finished.
        let requests = finished.saturating_sub(balance.taken).max(balance.requests);
        let seconds = now.saturating_duration_since(balance.at).as_secs_f64();
        let earned = (requests - balance.requests) as f64 * PER_REQUEST + seconds * PER_SECOND;
        balance.retries = (balance.retries + earned).min(SAVED);
        (balance.requests, balance.at) = (requests, now);
        let affordable = balance.retries >= 1.0;
        if affordable {
            balance.retries -= 1.0;
            balance.taken += 1;
        }
        affordable
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// Fails `failing` of `rate` requests per second for `seconds`; how many could be retried.
    fn retried(rate: u32, failing: u32, seconds: u32) -> u32 {
        let start = Instant::now();
        let budget = RetryBudget::new(start, 0);
        let mut retried = 0;
        for request in 0..rate * seconds {
            let now = start + Duration::from_secs(1) * request / rate;
            let fails = request * failing % rate < failing; // spread evenly
            retried += u32::from(fails && budget.spend(now, u64::from(request + retried)));
        }
        retried
    }

    #[test]
    fn a_failing_canary_at_a_tenth_of_the_traffic_is_hidden_completely() {
        assert_eq!(retried(200, 20, 60), 1_200);
    }

    #[test]
    fn half_of_the_traffic_is_hidden_until_the_canary_is_withdrawn() {
        // 100 saved up and 50 earned in each second: all but a rounding of two seconds' failures.
        assert!(retried(200, 100, 2) >= 198);
    }

    #[test]
    fn when_everything_fails_retries_stay_near_a_fifth() {
        let (rate, seconds) = (1_000, 60);
        let share = f64::from(retried(rate, rate, seconds)) / f64::from(rate * seconds);
        assert!((0.2..0.25).contains(&share), "{share}");
    }

    #[test]
    fn what_is_saved_up_over_a_quiet_day_is_bounded() {
        let start = Instant::now();
        let budget = RetryBudget::new(start, 0);
        let later = start + Duration::from_secs(86_400);
        let spent = (0..1_000).filter(|_| budget.spend(later, 1_000_000)).count();
        assert_eq!(spent, SAVED as usize);
    }
}
