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

/// The most that evidence of slowness may grow in a second, as a logarithm; where nothing came for longer, for
/// so many seconds together at the most. One stall slows all requests of a second: a second is one witness,
/// and a handful of them have to agree.
const MOST_PER_SECOND: f64 = 2.0;
const LONGEST_SPELL: f64 = 10.0;

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
    /// When evidence was last taken in.
    judged: Timestamp,
    /// Of the tick that is being taken in, or was last.
    pub(super) tick: Pair<Count>,
    /// Of the strata that ended in it, and what they say.
    ended: Pair<Count>,
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
            tick: Pair::default(),
            ended: Pair::default(),
            ratios: LogRatios::default(),
            deviations: [Deviation::default(); 2],
            total: Pair::default(),
        }
    }

    pub(super) fn next_tick(&mut self) {
        self.tick = Pair::default();
        self.ended = Pair::default();
        self.ratios = LogRatios::default();
    }

    /// Counts of this tick; its stratum may go on.
    pub(super) fn see(&mut self, counts: &Pair<Count>) {
        add(&mut self.tick, counts);
    }

    /// A stratum that ended in this tick.
    pub(super) fn end(&mut self, counts: &Pair<Count>, ratios: &LogRatios) {
        add(&mut self.ended, counts);
        self.ratios.add(ratios);
    }

    pub(super) fn close_tick(&mut self, rules: Rules) {
        if self.ended.canary.trials == 0 && self.ended.stable.trials == 0 {
            return;
        }
        add(&mut self.total, &self.ended);
        if self.of_time {
            let spell = rules.now.since(self.judged).as_secs_f64().min(LONGEST_SPELL);
            self.ratios = self.ratios.at_most(MOST_PER_SECOND * spell);
        }
        self.judged = rules.now;
        for (deviation, step) in self.deviations.iter_mut().zip(self.ratios.slight_and_gross()) {
            deviation.climb = (deviation.climb + step).max(0.0);
            if deviation.climb > 0.0 {
                add(&mut deviation.since, &self.ended);
            } else {
                deviation.since = Pair::default();
            }
        }
        // Without events the process does not move; its stake catches up at the next one.
        if self.ratios != LogRatios::default() {
            self.process.multiply(rules.now, &self.ratios, rules.margin, rules.horizon);
        }
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
