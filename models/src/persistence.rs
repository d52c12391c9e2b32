//! Is the excess that raised the alarm still there? A running likelihood ratio of "at least half of
//! it" against "at most a tenth", after the alarm; it clears an anomaly, and confirms one.

use crate::evaluation::{Event, EventEvidence};
use crate::kernel::Count;
use crate::sample::Pair;
use crate::time::Timestamp;
use std::time::Duration;

/// An excess above this is tested as if it were this: a probe may see only a part of what users saw.
const MOST_EXCESS: f64 = 0.3;
/// From so many failures on, and at this rate, what is seen right after the alarm is a gross failure.
const GROSS_FROM: u64 = 3;
const GROSS_EXCESS: f64 = 0.2;
/// An excess below this cannot be told from none in any useful time.
const LEAST_EXCESS: f64 = 0.005;
/// Failures that happen to stable too, at the least: a single one is not proof.
const LEAST_BACKGROUND: f64 = 0.005;
/// Slow answers that happen to stable too, as long as little was seen.
const SLOW_BACKGROUND: f64 = 0.05;
/// What is assumed counts like so many observations.
const ASSUMED: f64 = 10.0;

/// The ratio (log) is kept within these: it must be able to turn when the world does.
const CEILING: f64 = 3.0;
const FLOOR: f64 = -6.0;
/// At or below: twenty to one that the excess is gone.
const CLEARED_BELOW: f64 = -3.0;
/// For so long before users may return.
const CLEARED_FOR: Duration = Duration::from_secs(3);
/// At or above, which is next to the ceiling: the failure goes on. One stray failure some seconds
/// after a blip does not lift the ratio there.
const CONFIRMED_ABOVE: f64 = 2.9;
/// So long after the alarm the excess that raised it may still be corrected by what is seen.
const CORRECTED_FOR: Duration = Duration::from_secs(3);
/// A failure that went on, but not among the last so many observations, may have just ended.
const FRESH: u64 = 5;

/// Of slowness a tick tells no more than so many independent observations, since one stall slows all of them.
const MOST_WITNESSES: f64 = 2.0;

/// A forecast that comes this early needs this share of the latest observations to be bad: later the
/// ratio alone is slow enough not to be fooled.
const EARLY: Duration = Duration::from_secs(10);
const EARLY_SHARE: f64 = 0.3;
/// What is left of an observation's weight in that share after the next one.
const FADING: f64 = 0.8;

/// So many standard deviations of fair coins: five of five, or twenty of twenty-five.
const MORE_OFTEN: f64 = 2.2;

/// What one observation of the canary after the alarm can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Look {
    /// With the event, and stable was without it at that time (a probe pair) or not compared.
    pub(crate) bad: u64,
    /// Without it.
    pub(crate) clean: u64,
}

/// What is left of a round's weight after the next one in what is usual of slowness: about the last fifty count.
/// While the canary is the slower one, stable hardly ever is; so what was seen then is no witness of
/// what is usual when the canary is as quick again.
const SLOW_FADING: f64 = 0.98;

/// Rounds in which a step of a probe was taken by both: in how many the canary was clearly the slower, stable was, or
/// neither. Nobody has to know how often that happens by chance: by chance it happens to both alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Pairs {
    pub(crate) canary: u64,
    pub(crate) stable: u64,
    pub(crate) neither: u64,
}

/// Of the rounds that tell them apart, the canary's share while it is slower, and once it is not.
const SLOWER: f64 = 0.75;
const AS_QUICK: f64 = 0.55;
/// What a round that does not tell them apart counts of one in which stable was the slower.
const UNDECIDED: f64 = 0.25;

impl Pairs {
    pub(crate) fn total(self) -> u64 {
        self.canary + self.stable + self.neither
    }

    pub(crate) fn add(&mut self, other: Pairs) {
        self.canary += other.canary;
        self.stable += other.stable;
        self.neither += other.neither;
    }

    /// Log-likelihood ratio of "it is slower" against "it is as quick".
    pub(crate) fn log_ratio(self) -> f64 {
        let quick = self.stable as f64 + UNDECIDED * self.neither as f64;
        self.canary as f64 * libm::log(SLOWER / AS_QUICK)
            + quick * libm::log((1.0 - SLOWER) / (1.0 - AS_QUICK))
    }
}

/// How likely the event is without any excess: that of stable at the same time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Background {
    assumed: f64,
    fading: f64,
    trials: f64,
    hits: f64,
}

impl Background {
    /// Of failures or of slowness, before anything was seen.
    pub(crate) fn new(of_time: bool) -> Self {
        let (assumed, fading) =
            if of_time { (SLOW_BACKGROUND, SLOW_FADING) } else { (LEAST_BACKGROUND, 1.0) };
        Background { assumed, fading, trials: 0.0, hits: 0.0 }
    }

    pub(crate) fn add(&mut self, stable: Count) {
        let (trials, hits) = (stable.trials as f64, stable.hits as f64);
        let kept = libm::pow(self.fading, trials);
        self.trials = self.trials * kept + trials;
        self.hits = self.hits * kept + hits;
    }

    /// The rate, drawn towards what is assumed while little was seen.
    pub(crate) fn rate(&self) -> f64 {
        let hits = self.hits + ASSUMED * self.assumed;
        (hits / (self.trials + ASSUMED)).max(LEAST_BACKGROUND)
    }
}

/// What one look adds to the log-likelihood ratio of "half of `excess` persists" against "a tenth".
pub(crate) fn log_ratio(look: Look, excess: f64, background: f64) -> f64 {
    let rate = |share: f64| (background + share * excess).min(0.999);
    let (there, gone) = (rate(0.5), rate(0.1));
    look.bad as f64 * libm::log(there / gone)
        + look.clean as f64 * libm::log((1.0 - there) / (1.0 - gone))
}

/// The excess of an event on the canary, as a share of its requests.
pub(crate) fn excess_of(fired: &EventEvidence) -> f64 {
    let rate = |hits: u64, trials: u64| if trials == 0 { 0.0 } else { hits as f64 / trials as f64 };
    let canary = rate(fired.hits.canary, fired.trials.canary);
    (canary - rate(fired.hits.stable, fired.trials.stable)).clamp(0.0, 1.0)
}

/// Whether an event is about time; then slow probes speak as well as failing ones.
pub(crate) fn is_about_time(event: Event) -> bool {
    matches!(
        event,
        Event::SlowerThanP50
            | Event::SlowerThanP75
            | Event::SlowerThanP90
            | Event::SlowerThanP99
            | Event::SlowerThanP999
            | Event::MuchSlower
            | Event::ProbeSlower
            | Event::ProbeMuchSlower
    )
}

/// Whether an event is about the slowest few: then probes are held against the same.
pub(crate) fn is_about_the_slowest(event: Event) -> bool {
    matches!(
        event,
        Event::SlowerThanP99 | Event::SlowerThanP999 | Event::MuchSlower | Event::ProbeMuchSlower
    )
}

/// The running test.
#[derive(Debug, Clone)]
pub(crate) struct Persistence {
    since: Timestamp,
    excess: f64,
    /// Log-likelihood ratio, kept between floor and ceiling.
    sum: f64,
    cleared_since: Option<Timestamp>,
    of_time: bool,
    clean_run: u64,
    /// Share of bad ones among the latest observations, fading.
    bad_share: f64,
    seen: Look,
    /// Probe rounds that one side alone failed meanwhile.
    alone: Pair<u64>,
    /// Users' requests are held against stable's past, which is no witness of what goes on now.
    only_probes: bool,
    probes: Background,
    live: Background,
}

impl Persistence {
    /// Of an excess (0 to 1) that was there at `since`, of failures or of slowness.
    pub(crate) fn new(since: Timestamp, excess: f64, of_time: bool) -> Self {
        Persistence {
            since,
            excess: excess.clamp(LEAST_EXCESS, MOST_EXCESS),
            sum: 0.0,
            cleared_since: None,
            of_time,
            clean_run: 0,
            bad_share: 0.0,
            seen: Look::default(),
            alone: Pair::default(),
            only_probes: false,
            probes: Background::new(of_time),
            live: Background::new(of_time),
        }
    }

    /// Only probes can confirm it.
    pub(crate) fn by_probes(self) -> Self {
        Persistence { only_probes: true, ..self }
    }

    /// Begins anew at `now`: what was seen so far was an outage of both.
    pub(crate) fn restart(&mut self, now: Timestamp) {
        *self = Persistence {
            since: self.since,
            excess: self.excess,
            only_probes: self.only_probes,
            probes: self.probes,
            live: self.live,
            ..Persistence::new(now, self.excess, self.of_time)
        };
    }

    /// Takes in what probes saw: the canary alone, and stable alone.
    pub(crate) fn take_probes(&mut self, now: Timestamp, look: Look, stable: Count) {
        self.probes.add(stable);
        self.alone.stable += stable.hits;
        self.alone.canary += look.bad;
        self.take(now, look, self.probes.rate());
    }

    /// Takes in what probes saw of the step that was slower.
    pub(crate) fn take_pairs(&mut self, now: Timestamp, pairs: Pairs) {
        self.alone.stable += pairs.stable;
        self.alone.canary += pairs.canary;
        let look = Look { bad: pairs.canary, clean: pairs.stable + pairs.neither };
        self.move_by(now, look, pairs.log_ratio());
    }

    /// Takes in what users saw.
    pub(crate) fn take_live(&mut self, now: Timestamp, counts: Pair<Count>) {
        self.live.add(counts.stable);
        let Count { trials, hits } = counts.canary;
        self.take(now, Look { bad: hits, clean: trials - hits }, self.live.rate());
    }

    fn take(&mut self, now: Timestamp, look: Look, background: f64) {
        self.move_by(now, look, log_ratio(look, self.excess, background));
        if now.since(self.since) <= CORRECTED_FOR && self.seen.bad > 0 {
            self.correct_excess(background);
        }
    }

    /// Takes in a look that says so much.
    fn move_by(&mut self, now: Timestamp, look: Look, change: f64) {
        if look == Look::default() {
            return;
        }
        let observations = (look.bad + look.clean) as f64;
        let witnesses = if self.of_time { MOST_WITNESSES.min(observations) } else { observations };
        let change = change * witnesses / observations;
        self.sum = (self.sum + change).clamp(FLOOR, CEILING);
        self.seen.bad += look.bad;
        self.seen.clean += look.clean;
        let kept = libm::pow(FADING, observations);
        self.bad_share = self.bad_share * kept + look.bad as f64 / observations * (1.0 - kept);
        self.clean_run = if change > 0.0 { 0 } else { self.clean_run + look.clean };
        self.cleared_since = match self.cleared_since {
            _ if self.sum > CLEARED_BELOW => None,
            None => Some(now),
            since => since,
        };
    }

    /// What fired may have been dated too early and so taken for slight; taken for slight, a gross
    /// failure that ended would take minutes to clear, and a stray one would confirm it.
    fn correct_excess(&mut self, background: f64) {
        let rate = self.seen.bad as f64 / (self.seen.bad + self.seen.clean) as f64 - background;
        if self.seen.bad >= GROSS_FROM && rate >= GROSS_EXCESS {
            self.excess = self.excess.max(rate.min(MOST_EXCESS));
        }
    }

    /// When the alarm was.
    pub(crate) fn since(&self) -> Timestamp {
        self.since
    }

    /// The log-likelihood ratio now; `None` before anything was seen.
    pub(crate) fn log_ratio(&self) -> Option<f64> {
        (self.seen != Look::default()).then_some(self.sum)
    }

    /// Observations since the alarm.
    pub(crate) fn seen(&self) -> Look {
        self.seen
    }

    /// Observations since the last bad one.
    pub(crate) fn clean_run(&self) -> u64 {
        self.clean_run
    }

    /// Whether the excess is gone, and has been for several seconds.
    pub(crate) fn cleared(&self, now: Timestamp) -> bool {
        self.cleared_since.is_some_and(|since| now.since(since) >= CLEARED_FOR)
    }

    /// Whether the failure goes on; how long after the alarm that may be said is [`crate::patience`]'s.
    pub(crate) fn confirmed(&self, now: Timestamp) -> bool {
        (now.since(self.since) >= EARLY || self.bad_share >= EARLY_SHARE)
            && self.sum >= CONFIRMED_ABOVE
            && self.clean_run < FRESH
            && self.is_worse()
    }

    /// Whether the canary alone showed the event more often than stable alone, beyond chance. What is usual
    /// is learned as slowly as it shows: in an outage of both, which hits now one, now the other, that is
    /// too slow.
    fn is_worse(&self) -> bool {
        let canary = if self.only_probes { self.alone.canary } else { self.seen.bad };
        let (canary, stable) = (canary as f64, self.alone.stable as f64);
        canary - stable >= MORE_OFTEN * libm::sqrt(canary + stable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Five probe rounds a second; whether each failed on the canary, by time in milliseconds.
    fn after(excess: f64, seconds: u64, bad: impl Fn(u64) -> bool) -> (Persistence, Timestamp) {
        let mut test = Persistence::new(Timestamp(0), excess, false);
        for round in 1..=seconds * 5 {
            let now = round * 200;
            let look = if bad(now) { Look { bad: 1, clean: 0 } } else { Look { bad: 0, clean: 1 } };
            test.take_probes(Timestamp(now), look, Count::new(1, 0));
        }
        (test, Timestamp(seconds * 1000))
    }

    #[test]
    fn what_goes_on_is_confirmed_within_seconds_and_never_cleared() {
        let (test, now) = after(0.8, 3, |_| true);
        assert!(test.confirmed(now) && !test.cleared(now), "{test:?}");
        let (test, now) = after(0.2, 600, |at| at % 1000 == 0);
        assert!(!test.cleared(now), "{test:?}");
    }

    #[test]
    fn what_ended_after_two_seconds_is_not_confirmed_and_clears_within_twenty() {
        for seconds in 3..=20 {
            let (test, now) = after(0.5, seconds, |at| at < 1500);
            assert!(!test.confirmed(now), "{seconds}: {test:?}");
        }
        let (test, now) = after(0.5, 20, |at| at < 1500);
        assert!(test.cleared(now), "{test:?}");
    }

    #[test]
    fn a_stray_failure_soon_after_a_blip_confirms_nothing() {
        for stray in (1800..12_000).step_by(200) {
            for seconds in 3..=12 {
                let (test, now) = after(0.5, seconds, |at| at < 1200 || at == stray);
                assert!(!test.confirmed(now), "{stray} {seconds}: {test:?}");
            }
        }
    }

    #[test]
    fn a_small_excess_takes_many_clean_rounds_to_clear() {
        let (test, now) = after(0.02, 20, |_| false);
        assert!(!test.cleared(now), "{test:?}");
        let (test, now) = after(0.02, 120, |_| false);
        assert!(test.cleared(now), "{test:?}");
    }

    #[test]
    fn a_gross_failure_that_was_taken_for_slight_clears_like_a_gross_one() {
        let (test, now) = after(0.015, 15, |at| at < 1500);
        assert!(test.cleared(now), "{test:?}");
    }

    #[test]
    fn what_comes_back_is_not_cleared_any_more() {
        let (test, now) = after(0.5, 40, |at| at > 36_000);
        assert!(!test.cleared(now), "{test:?}");
    }

    /// A round of a step, five a second: the canary was the slower, stable was, or neither.
    fn stepped(test: &mut Persistence, from: u64, seconds: u64, pattern: &[Pairs]) -> Timestamp {
        for round in 1..=seconds * 5 {
            let pairs = pattern[round as usize % pattern.len()];
            test.take_pairs(Timestamp(from + round * 200), pairs);
        }
        Timestamp(from + seconds * 1000)
    }

    #[test]
    fn a_step_that_is_as_quick_again_clears_however_much_both_waver() {
        let canary = Pairs { canary: 1, ..Pairs::default() };
        let stable = Pairs { stable: 1, ..Pairs::default() };
        let neither = Pairs { neither: 1, ..Pairs::default() };
        for after in [&[canary, stable][..], &[canary, stable, neither], &[neither]] {
            let mut test = Persistence::new(Timestamp(0), 0.9, true);
            let slow = stepped(&mut test, 0, 60, &[canary, canary, canary, neither]);
            assert!(test.confirmed(slow) && !test.cleared(slow), "{test:?}");
            let quick = stepped(&mut test, slow.0, 90, after);
            assert!(test.cleared(quick) && !test.confirmed(quick), "{after:?} {test:?}");
        }
    }

    #[test]
    fn a_step_that_is_slower_in_most_rounds_that_tell_is_not_cleared() {
        let canary = Pairs { canary: 1, ..Pairs::default() };
        let stable = Pairs { stable: 1, ..Pairs::default() };
        let mut test = Persistence::new(Timestamp(0), 0.9, true);
        let now = stepped(&mut test, 0, 600, &[canary, canary, canary, stable]);
        assert!(test.log_ratio() > Some(2.0) && !test.cleared(now), "{test:?}");
    }

    #[test]
    fn without_a_look_nothing_is_said() {
        let test = Persistence::new(Timestamp(0), 0.5, false);
        let later = Timestamp(1_000_000);
        assert!(!test.cleared(later) && !test.confirmed(later) && test.log_ratio().is_none());
    }
}
