//! Levels that adapt without forgetting at once.

use std::time::Duration;

/// Fast memory: what Holt's trend is computed over.
const SHORT: Duration = Duration::from_secs(15);
/// Slow memory: what is usual.
const LONG: Duration = Duration::from_secs(300);

/// A level with its usual fluctuation, and where it is heading.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Trend {
    /// Exponentially weighted mean over about five minutes; a plain mean until then.
    pub mean: f64,
    /// Exponentially weighted mean distance from it.
    pub deviation: f64,
    /// Holt's level, over about 15 seconds.
    pub level: f64,
    /// Holt's slope, per second.
    pub slope: f64,
    /// Seconds of observation so far.
    seen: f64,
}

impl Trend {
    /// Takes in a value that held for `span`.
    pub fn add(&mut self, value: f64, span: Duration) {
        let seconds = span.as_secs_f64();
        if !value.is_finite() || seconds <= 0.0 {
            return;
        }
        if self.seen == 0.0 {
            *self = Trend { mean: value, level: value, seen: seconds, ..Trend::default() };
            return;
        }
        self.seen += seconds;
        let slow = gain(seconds, LONG).max((seconds / self.seen).min(1.0));
        self.deviation += slow * ((value - self.mean).abs() - self.deviation);
        self.mean += slow * (value - self.mean);
        let fast = gain(seconds, SHORT);
        let expected = self.level + self.slope * seconds;
        let level = expected + fast * (value - expected);
        self.slope += fast * 0.5 * ((level - self.level) / seconds - self.slope);
        self.level = level;
    }

    /// The mean; `None` before anything was seen.
    pub fn usual(&self) -> Option<f64> {
        (self.seen > 0.0).then_some(self.mean)
    }

    /// Holt's forecast that many seconds ahead; `None` before anything was seen.
    pub fn ahead(&self, seconds: f64) -> Option<f64> {
        (self.seen > 0.0).then_some(self.level + self.slope * seconds)
    }
}

fn gain(seconds: f64, memory: Duration) -> f64 {
    1.0 - libm::exp(-seconds / memory.as_secs_f64())
}

/// A share of events that fades: old ones count less and less.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Rate {
    hits: f64,
    trials: f64,
}

impl Rate {
    /// Adds `hits` of `trials`.
    pub fn add(&mut self, hits: u64, trials: u64) {
        self.hits += hits as f64;
        self.trials += trials as f64;
    }

    /// Lets `span` pass; after `memory` a third is left.
    pub fn fade(&mut self, span: Duration, memory: Duration) {
        let left = libm::exp(-span.as_secs_f64() / memory.as_secs_f64());
        self.hits *= left;
        self.trials *= left;
    }

    /// The share; `None` before anything was seen.
    pub fn mean(&self) -> Option<f64> {
        if self.trials > 0.0 { Some(self.hits / self.trials) } else { None }
    }

    /// What the share is very likely below (Wilson's bound at two standard deviations); 1 before
    /// anything was seen.
    pub fn upper(&self) -> f64 {
        let Some(mean) = self.mean() else { return 1.0 };
        let (n, z) = (self.trials, 2.0);
        let spread = z * libm::sqrt(mean * (1.0 - mean).max(0.0) / n + z * z / (4.0 * n * n));
        ((mean + z * z / (2.0 * n) + spread) / (1.0 + z * z / n)).clamp(0.0, 1.0)
    }

    /// How many trials the share rests on, faded.
    pub fn weight(&self) -> f64 {
        self.trials
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_trend_follows_a_line_and_says_where_it_leads() {
        let mut trend = Trend::default();
        (0..120).for_each(|second| trend.add(f64::from(second) * 2.0, SECOND));
        assert!((trend.slope - 2.0).abs() < 0.1, "{trend:?}");
        assert!((trend.ahead(30.0).unwrap() - 298.0).abs() < 8.0, "{trend:?}");
    }

    #[test]
    fn a_blip_moves_the_usual_level_little() {
        let mut trend = Trend::default();
        (0..600).for_each(|_| trend.add(1.0, SECOND));
        (0..3).for_each(|_| trend.add(100.0, SECOND));
        assert!(trend.mean < 2.5, "{trend:?}");
    }

    #[test]
    fn a_rate_is_sure_only_with_many_trials() {
        let mut few = Rate::default();
        few.add(0, 10);
        let mut many = Rate::default();
        many.add(0, 10_000);
        assert!(few.upper() > 0.2 && many.upper() < 0.001);
        assert_eq!(Rate::default().upper(), 1.0);
        many.fade(Duration::from_secs(6000), Duration::from_secs(600));
        assert!(many.upper() > 0.5);
    }
}
