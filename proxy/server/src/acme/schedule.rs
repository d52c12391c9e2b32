//! When a CA is asked: pure, times in seconds since 1970.

use std::time::Duration;

/// The first pause after a failure; each further one is this many times as long ...
const FIRST_PAUSE: Duration = Duration::from_secs(60);
const LONGER: u32 = 5;
/// ... up to this. Let's Encrypt bears five failures of a name an hour, and these are three.
const LONGEST_PAUSE: Duration = Duration::from_secs(12 * 3600);
/// A third of its lifetime before its end a certificate is renewed ...
const LEFT: i64 = 3;
/// ... or a little earlier, up to this part of its lifetime, so that those who came together
/// do not come back together.
const SPREAD: f64 = 1.0 / 30.0;

/// When a certificate is renewed. `dice` is from 0 to 1, and the same for the same certificate.
pub(super) fn renew_at(not_before: i64, not_after: i64, dice: f64) -> i64 {
    let lifetime = not_after.saturating_sub(not_before).max(0);
    not_after - lifetime / LEFT - (lifetime as f64 * SPREAD * dice) as i64
}

/// How long nobody asks after so many failures in a row. `dice` is from 0 to 1.
pub(super) fn pause_after(failures: u32, dice: f64) -> Duration {
    let times = LONGER.saturating_pow(failures.saturating_sub(1));
    let pause = FIRST_PAUSE.saturating_mul(times).min(LONGEST_PAUSE);
    pause.mul_f64(1.0 + 0.2 * dice)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;

    #[test]
    fn a_third_is_left_when_a_certificate_is_renewed() {
        assert_eq!(renew_at(0, 90 * DAY, 0.0), 60 * DAY);
        assert_eq!(renew_at(0, 90 * DAY, 1.0), 57 * DAY);
        assert_eq!(renew_at(10 * DAY, 16 * DAY, 0.0), 14 * DAY);
        // What makes no sense is renewed at once.
        assert_eq!(renew_at(5, 3, 0.5), 3);
    }

    #[test]
    fn pauses_get_longer_and_have_an_end() {
        let minutes = |failures| pause_after(failures, 0.0).as_secs() / 60;
        assert_eq!([1, 2, 3, 4, 5, 6, 1_000].map(minutes), [1, 5, 25, 125, 625, 720, 720]);
        assert_eq!(pause_after(1, 1.0), Duration::from_secs(72));
    }
}
