//! Which season of the week it is.

use serinus_config::Season;
use std::time::{SystemTime, UNIX_EPOCH};

/// How many times the configured pace a probe runs at now.
pub(crate) fn rate(seasons: &[Season], now: SystemTime) -> f64 {
    if seasons.is_empty() {
        return 1.0;
    }
    let hours = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() / 3600;
    // The epoch was a Thursday.
    let (day, hour) = ((hours / 24 + 3) % 7, (hours % 24) as u8);
    seasons.iter().find(|season| season.holds(day as usize, hour)).map_or(1.0, |season| season.rate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_first_season_that_fits_counts() {
        let week = [true, true, true, true, true, false, false];
        let office = Season { days: week, from: 8, to: 18, rate: 2.0 };
        let night = Season { days: [true; 7], from: 22, to: 6, rate: 0.25 };
        let at = |seconds: u64| UNIX_EPOCH + Duration::from_secs(seconds);
        // Thursday, 26 November 2026, 14:30 UTC.
        let thursday = 1_795_703_400;
        let seasons = [office, night];
        assert_eq!(rate(&seasons, at(thursday)), 2.0);
        assert_eq!(rate(&seasons, at(thursday + 2 * 86_400)), 1.0, "on Saturday");
        assert_eq!(rate(&seasons, at(thursday + 8 * 3600)), 0.25);
        assert_eq!(rate(&seasons, at(thursday + 5 * 3600)), 1.0);
        assert_eq!(rate(&[], at(thursday)), 1.0);
    }
}
