//! Timestamps as people write them.

use serinus_models::Timestamp;

const DAY_MS: u64 = 86_400_000;

/// `2026-11-23 00:44:52 UTC`
pub(crate) fn readable(at: Timestamp) -> String {
    let (year, month, day) = date(at.0 / DAY_MS);
    let (hour, minute, second, _) = clock(at.0 % DAY_MS);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

/// RFC 3339 with milliseconds.
pub(crate) fn rfc3339(at: Timestamp) -> String {
    let (year, month, day) = date(at.0 / DAY_MS);
    let (hour, minute, second, ms) = clock(at.0 % DAY_MS);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

fn clock(ms: u64) -> (u64, u64, u64, u64) {
    (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60, ms % 1_000)
}

/// Year, month and day of a day since 1970-01-01 (Hinnant, "chrono-compatible low-level date
/// algorithms", civil_from_days for days after the epoch).
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468; // from 0000-03-01
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153; // 0 is March
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments_are_written_as_everybody_writes_them() {
        // Pairs from `date -u -d @SECONDS`.
        for (seconds, expect) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_709_251_199, "2024-02-29 23:59:59 UTC"),
            (1_795_394_692, "2026-11-23 00:44:52 UTC"),
            (4_102_444_800, "2100-01-01 00:00:00 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
        ] {
            assert_eq!(readable(Timestamp(seconds * 1_000)), expect);
        }
        assert_eq!(rfc3339(Timestamp(1_795_394_692_007)), "2026-11-23T00:44:52.007Z");
    }
}
