//! What became of a fault, from the recorded series alone.

use crate::dataset::Metric;
use crate::metrics::{ROW_SECONDS, Row};
use crate::traffic::failing_share;
use serde::Serialize;

/// Means below this many times the first row's are within the margin that is worth a rollback.
const SLOWER: f64 = 1.25;
/// Failures less than this share above the first row's are too few to speak of.
const FAILING: f64 = 0.005;

/// The label of a fault in a stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Fate {
    /// At least half of the largest excess is there.
    Sustained,
    /// At most a tenth is.
    Transient,
    /// Neither.
    Unclear,
    /// At this node the fault never shows by more than the margin.
    Slight,
    /// The stretch was not recorded.
    Unknown,
}

/// How much worse a node was than in its first row, row by row.
#[derive(Debug, Clone)]
pub(crate) struct Excess {
    by_row: Vec<Option<f64>>,
    largest: f64,
    shows_from: f64,
}

impl Excess {
    /// Of mean latency in seconds, or of the share of failures, by what the fault was seen by.
    pub(crate) fn of(rows: &[Row], metric: Metric) -> Excess {
        let value = |row: &Row| match metric {
            Metric::Latency => row.mean,
            Metric::Availability => failing_share(row),
        };
        let usual = rows.first().and_then(value);
        let by_row: Vec<_> = rows.iter().map(|row| Some(value(row)? - usual?)).collect();
        let largest = by_row.iter().flatten().copied().fold(0.0, f64::max);
        let shows_from = match metric {
            Metric::Latency => usual.map_or(f64::MAX, |usual| (SLOWER - 1.0) * usual),
            Metric::Availability => FAILING,
        };
        Excess { by_row, largest, shows_from }
    }

    /// Whether the fault shows at this node at all.
    pub(crate) fn shows(&self) -> bool {
        self.largest >= self.shows_from
    }

    /// The fate in the last row.
    pub(crate) fn at_the_end(&self) -> Fate {
        let rows = self.by_row.len() as u64;
        self.between(rows.saturating_sub(1) * ROW_SECONDS, rows * ROW_SECONDS)
    }

    /// The fate from one second of the recording to another: the mean of the rows there, weighted by
    /// how much of each lies between.
    pub(crate) fn between(&self, from: u64, to: u64) -> Fate {
        if !self.shows() {
            return Fate::Slight;
        }
        let (mut sum, mut seconds) = (0.0, 0);
        for (at, excess) in self.by_row.iter().enumerate() {
            let begins = at as u64 * ROW_SECONDS;
            let inside = to.min(begins + ROW_SECONDS).saturating_sub(from.max(begins));
            if let (Some(excess), true) = (excess, inside > 0) {
                sum += excess * inside as f64;
                seconds += inside;
            }
        }
        if seconds == 0 {
            return Fate::Unknown;
        }
        match sum / seconds as f64 / self.largest {
            left if left >= 0.5 => Fate::Sustained,
            left if left <= 0.1 => Fate::Transient,
            _ => Fate::Unclear,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(failures: [Option<u64>; 5]) -> Vec<Row> {
        let row = |failures| Row { requests: Some(1000), failures, ..Row::default() };
        failures.into_iter().map(row).collect()
    }

    #[test]
    fn the_last_row_decides_between_half_and_a_tenth_of_the_largest_excess() {
        for (last, fate) in [
            (52, Fate::Sustained),
            (50, Fate::Sustained),
            (49, Fate::Unclear),
            (11, Fate::Unclear),
            (10, Fate::Transient),
            (0, Fate::Transient),
        ] {
            let rows = rows([Some(0), Some(10), Some(100), Some(80), Some(last)]);
            assert_eq!(Excess::of(&rows, Metric::Availability).at_the_end(), fate, "{last}");
        }
    }

    #[test]
    fn what_stays_within_the_margin_is_slight_and_what_is_missing_unknown() {
        let slight = rows([Some(1), Some(3), Some(4), Some(5), Some(5)]);
        assert_eq!(Excess::of(&slight, Metric::Availability).at_the_end(), Fate::Slight);
        let unknown = rows([Some(0), Some(3), Some(90), Some(80), None]);
        assert_eq!(Excess::of(&unknown, Metric::Availability).at_the_end(), Fate::Unknown);
    }

    #[test]
    fn a_stretch_weighs_the_rows_by_what_lies_in_it() {
        let rows = rows([Some(0), Some(0), Some(100), Some(0), Some(0)]);
        let excess = Excess::of(&rows, Metric::Availability);
        assert_eq!(excess.between(660, 890), Fate::Sustained);
        assert_eq!(excess.between(780, 1020), Fate::Sustained, "half of it");
        assert_eq!(excess.between(860, 1100), Fate::Unclear);
        assert_eq!(excess.between(895, 1135), Fate::Transient);
        assert_eq!(excess.between(1500, 1600), Fate::Unknown);
    }
}
