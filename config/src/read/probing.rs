//! `[probing]`, and what says how often a probe may run.

use crate::number::{Number, Size, Whole};
use crate::probe::{Season, SideEffect};
use crate::read::Surroundings;
use crate::read::names::SecretName;
use crate::reader::{At, Fault, Reader, Text, fault};
use crate::settings::{BrowserSettings, ProbingSettings};
use crate::suggest::choose;
use crate::table::table;
use std::path::PathBuf;

table! {
    /// What concerns all probes together.
    ProbingFile {
        /// Rounds that go on at the same time at most. One too many is left out and counted.
        concurrency: Whole<1, 10000> = 100,
        /// Routes that no probe asks for get plain GETs while a release is in doubt or has few users.
        plain_requests: bool = true,
        /// Name of a secret: every request of a probe is signed with it.
        sign_with: SecretName,
        /// The browser that plays recordings.
        browser: BrowserFile = {},
    }
}

table! {
    /// The browser that plays recordings.
    BrowserFile {
        /// Chromium's executable; by default the first in PATH that is called like it.
        chromium: PathBuf,
        /// The program that drives it; by default serinus-browser beside this executable, then in PATH.
        worker: PathBuf,
        /// The most that one browser may use, all its processes together; beyond it is ended.
        max_memory: Size<134217728, 68719476736> = "1GiB",
    }
}

impl ProbingFile {
    pub(crate) fn settle(self, surroundings: &Surroundings) -> Option<ProbingSettings> {
        let browser = self.browser?.value;
        let path = |at: At<PathBuf>| surroundings.path(&at.value);
        Some(ProbingSettings {
            concurrency: self.concurrency?.value.0 as usize,
            plain_requests: self.plain_requests?.value,
            sign_with: self.sign_with.map(|at| at.value.0),
            browser: BrowserSettings {
                chromium: browser.chromium.map(path),
                worker: browser.worker.map(path),
                max_memory: browser.max_memory?.value.0,
            },
        })
    }
}

table! {
    /// A time of the week with a pace of its own.
    SeasonFile {
        /// Hours, UTC: "08-18" is from 8:00 to 17:59, "22-06" goes on past midnight.
        hours: Hours = "00-24",
        /// Days on which it begins: "mon-fri", "sat-sun", "wed".
        days: Days = "mon-sun",
        /// How many times the configured pace: 2 halves the interval, 0.25 makes it four times as long.
        @required rate: Number,
    }
}

/// The slowest and the fastest pace.
const RATES: std::ops::RangeInclusive<f64> = 0.01..=100.0;

impl SeasonFile {
    pub(crate) fn settle(self, reader: &mut Reader) -> Option<Season> {
        let (hours, days, rate) = (self.hours?.value, self.days?.value, self.rate?);
        if !RATES.contains(&rate.value.0) {
            let message = format!("{} is no pace", rate.value.0);
            return reader.fault(&rate.span, fault(message, "write a number from 0.01 to 100"));
        }
        Some(Season { days: days.0, from: hours.0, to: hours.1, rate: rate.value.0 })
    }
}

/// Every season that is right.
pub(crate) fn seasons(
    list: Option<At<Vec<At<SeasonFile>>>>,
    reader: &mut Reader,
) -> Option<Vec<Season>> {
    let files = list.map(|at| at.value).unwrap_or_default();
    let settled: Vec<_> = files.into_iter().map(|file| file.value.settle(reader)).collect();
    settled.into_iter().collect()
}

/// From an hour to another, which is no longer in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hours(u8, u8);

impl Text for Hours {
    const WHAT: &'static str = "hours";
    const EXAMPLE: &'static str = "\"08-18\"";

    fn parse(text: &str) -> Result<Self, Fault> {
        let hour = |text: &str| text.parse().ok().filter(|hour| *hour <= 24u8);
        match text.split_once('-').and_then(|(from, to)| Some((hour(from)?, hour(to)?))) {
            Some((from, to)) if from != to && from < 24 && to > 0 => Ok(Hours(from, to)),
            _ => {
                let message = format!("\"{}\" are no hours", text.escape_debug());
                Err(fault(message, "write from and to, UTC: \"08-18\", or \"22-06\" past midnight"))
            }
        }
    }

    fn schema() -> serde_json::Value {
        serde_json::json!({ "type": "string", "pattern": "^[0-9]{1,2}-[0-9]{1,2}$" })
    }
}

/// Days of the week, Monday first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Days([bool; 7]);

const DAYS: [(&str, usize); 7] =
    [("mon", 0), ("tue", 1), ("wed", 2), ("thu", 3), ("fri", 4), ("sat", 5), ("sun", 6)];

impl Text for Days {
    const WHAT: &'static str = "days";
    const EXAMPLE: &'static str = "\"mon-fri\"";

    fn parse(text: &str) -> Result<Self, Fault> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let (first, last) = (choose(first, &DAYS)?, choose(last, &DAYS)?);
        let mut days = [false; 7];
        let mut day = first;
        days[day] = true;
        while day != last {
            day = (day + 1) % 7;
            days[day] = true;
        }
        Ok(Days(days))
    }

    fn schema() -> serde_json::Value {
        let day = "(mon|tue|wed|thu|fri|sat|sun)";
        serde_json::json!({ "type": "string", "pattern": format!("^{day}(-{day})?$") })
    }
}

const SIDE_EFFECTS: [(&str, SideEffect); 3] = [
    ("safe", SideEffect::Safe),
    ("creates", SideEffect::Creates),
    ("charges", SideEffect::Charges),
];

impl Text for SideEffect {
    const WHAT: &'static str = "what a run leaves behind";
    const EXAMPLE: &'static str = "\"safe\"";

    fn parse(text: &str) -> Result<Self, Fault> {
        choose(text, &SIDE_EFFECTS)
    }

    fn schema() -> serde_json::Value {
        serde_json::json!({ "enum": SIDE_EFFECTS.map(|(name, _)| name) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn season(days: &str, hours: &str) -> Season {
        let (days, hours) = (Days::parse(days).unwrap(), Hours::parse(hours).unwrap());
        Season { days: days.0, from: hours.0, to: hours.1, rate: 1.0 }
    }

    #[test]
    fn a_season_holds_in_its_hours_on_its_days() {
        let office = season("mon-fri", "08-18");
        assert!(office.holds(0, 8) && office.holds(4, 17));
        assert!(!office.holds(0, 18) && !office.holds(5, 12) && !office.holds(0, 7));
        assert!(season("mon-sun", "00-24").holds(6, 23));
    }

    #[test]
    fn a_season_past_midnight_belongs_to_the_day_on_which_it_began() {
        let night = season("fri", "22-06");
        assert!(night.holds(4, 23) && night.holds(5, 5));
        assert!(!night.holds(4, 5) && !night.holds(5, 22) && !night.holds(5, 6));
        assert!(season("sun", "22-06").holds(0, 3), "from Sunday to Monday");
    }

    #[test]
    fn days_go_around_the_week() {
        assert_eq!(Days::parse("sat-mon").unwrap().0.iter().filter(|day| **day).count(), 3);
        assert!(Days::parse("mon-funday").is_err() && Days::parse("").is_err());
        for wrong in ["8", "8-8", "24-3", "0-0", "8-25", "a-b", "-1-3"] {
            assert!(Hours::parse(wrong).is_err(), "{wrong}");
        }
    }
}
