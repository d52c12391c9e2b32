//! One event of one stream: its e-process and its counts.

use crate::kernel::{Count, LogRatios, Process};
use crate::sample::Pair;
use crate::time::Timestamp;
use std::time::Duration;

/// What holds for every strand in a tick.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    pub(super) now: Timestamp,
    pub(super) margin: f64,
    pub(super) horizon: Duration,
}

/// The most that evidence of slowness may grow in a second, as a logarithm: one stall slows all requests of a
/// second, so a second is one witness. The longer it goes on without a pause the less it is a stall: the bound
/// is as many as the seconds for which the canary has been the slower one already, but no less and no more than these.
const LEAST_PER_SECOND: f64 = 1.0;
const MOST_PER_SECOND: f64 = 3.0;
/// A pause takes so many times its length from those seconds.
const PAUSE: f64 = 2.0;
/// Where nothing came for longer, so many seconds count together at the most.
const LONGEST_SPAN: f64 = 10.0;

/// Page's search for the beginning of a deviation of known size.
#[derive(Debug, Clone, Copy, Default)]
struct Deviation {
    /// Climbs while the canary does worse, falls to zero while it does not.
    climb: f64,
    /// Counts since it last left zero.
    since: Pair<Count>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Strand {
    pub(super) process: Process,
    /// About latency.
    of_time: bool,
    /// When a stratum last ended, whether or not this event could be told in it.
    judged: Timestamp,
    /// For how many seconds the canary has been the slower one.
    slow_for: f64,
    /// Of the tick that is being taken in, or was last.
    pub(super) tick: Pair<Count>,
    /// Of the strata that ended in it, and what they say; none where none has.
    ended: Option<Pair<Count>>,
    ratios: LogRatios,
    /// Searches for when a slight and a gross deviation began.
    deviations: [Deviation; 2],
    /// Counts since the start.
    total: Pair<Count>,
}

impl Strand {
    pub(super) fn new(now: Timestamp, of_time: bool) -> Self {
        Strand {
            process: Process::new(now),
            of_time,
            judged: now,
            slow_for: 0.0,
            tick: Pair::default(),
            ended: None,
            ratios: LogRatios::default(),
            deviations: [Deviation::default(); 2],
            total: Pair::default(),
        }
    }

    pub(super) fn next_tick(&mut self) {
        self.tick = Pair::default();
        self.ended = None;
        self.ratios = LogRatios::default();
    }

    /// Counts of this tick; its stratum may go on.
    pub(super) fn see(&mut self, counts: &Pair<Count>) {
        add(&mut self.tick, counts);
    }

    /// A stratum that ended in this tick.
    pub(super) fn end(&mut self, counts: &Pair<Count>, ratios: &LogRatios) {
        add(self.ended.get_or_insert_default(), counts);
        self.ratios.add(ratios);
    }

    pub(super) fn close_tick(&mut self, rules: Rules) {
        let Some(ended) = self.ended else { return };
        let span = rules.now.since(self.judged).as_secs_f64().min(LONGEST_SPAN);
        self.judged = rules.now;
        if ended.canary.trials == 0 && ended.stable.trials == 0 {
            return;
        }
        add(&mut self.total, &ended);
        if self.of_time {
            self.bound_by_time(span);
        }
        for (deviation, step) in self.deviations.iter_mut().zip(self.ratios.slight_and_gross()) {
            deviation.climb = (deviation.climb + step).max(0.0);
            if deviation.climb > 0.0 {
                add(&mut deviation.since, &ended);
            } else {
                deviation.since = Pair::default();
            }
        }
        // Without events the process does not move; its stake catches up at the next one.
        if self.ratios != LogRatios::default() {
            self.process.multiply(rules.now, &self.ratios, rules.margin, rules.horizon);
        }
    }

    /// What strata of `span` seconds say of slowness, bounded as that many seconds' witness.
    fn bound_by_time(&mut self, span: f64) {
        let is_slower = self.ratios.slight_and_gross().into_iter().any(|ratio| ratio > 0.0);
        let most = self.slow_for.clamp(LEAST_PER_SECOND, MOST_PER_SECOND);
        self.ratios = self.ratios.at_most(most * span);
        let change = if is_slower { span } else { -PAUSE * span };
        self.slow_for = (self.slow_for + change).clamp(0.0, LONGEST_SPAN);
    }

    /// Counts that speak for themselves: since the deviation began, of all where there is none.
    pub(super) fn counts(&self) -> Pair<Count> {
        let [slight, gross] = &self.deviations;
        let likelier = if gross.climb > slight.climb { gross } else { slight };
        if likelier.since.canary.trials > 0 { likelier.since } else { self.total }
    }

    pub(super) fn is_busy(&self) -> bool {
        self.total.canary.trials > 0
    }
}

fn add(sum: &mut Pair<Count>, more: &Pair<Count>) {
    sum.stable.add(more.stable);
    sum.canary.add(more.canary);
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARGIN: f64 = 1.25;

    /// One second after the other; `slow` of the canary's 20 requests, none of stable's 180, `told` or not.
    fn live(strand: &mut Strand, from: u64, seconds: u64, slow: u64, told: bool) {
        for at in from + 1..=from + seconds {
            let counts = match told {
                true => Pair { stable: Count::new(180, 0), canary: Count::new(20, slow) },
                false => Pair::default(),
            };
            strand.next_tick();
            strand.end(&counts, &LogRatios::of_stratum(counts, MARGIN));
            let horizon = Duration::from_secs(3600);
            strand.close_tick(Rules { now: Timestamp(at * 1000), margin: MARGIN, horizon });
        }
    }

    fn evidence(strand: &Strand) -> f64 {
        strand.process.e_value(MARGIN).ln()
    }

    #[test]
    fn a_stall_says_little_and_slowness_that_goes_on_says_much() {
        let mut strand = Strand::new(Timestamp(0), true);
        live(&mut strand, 0, 60, 0, true);
        live(&mut strand, 60, 3, 20, true);
        let stall = evidence(&strand);
        assert!((2.0..4.0).contains(&stall), "{stall}");
        live(&mut strand, 63, 4, 20, true);
        let fault = evidence(&strand);
        assert!(fault > 11.0, "{fault}");
        // Of failures each is a witness.
        let mut failing = Strand::new(Timestamp(0), false);
        live(&mut failing, 0, 1, 20, true);
        assert!(evidence(&failing) > 20.0, "{}", evidence(&failing));
    }

    #[test]
    fn after_a_pause_slowness_counts_as_a_stall_again() {
        let mut strand = Strand::new(Timestamp(0), true);
        for stall in 0..4 {
            live(&mut strand, 12 * stall, 2, 20, true);
            live(&mut strand, 12 * stall + 2, 10, 0, true);
        }
        // Eight seconds of it without a pause would be worth twice as much.
        assert!(evidence(&strand) <= 8.0, "{}", evidence(&strand));
    }

    #[test]
    fn time_in_which_slowness_could_not_be_told_is_no_witness() {
        let mut strand = Strand::new(Timestamp(0), true);
        live(&mut strand, 0, 30, 0, false);
        live(&mut strand, 30, 1, 20, true);
        assert!(evidence(&strand) <= 1.0, "{}", evidence(&strand));
    }
}
