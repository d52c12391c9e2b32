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

#[derive(Debug, Clone, Copy)]
pub(super) struct Strand {
    pub(super) process: Process,
    /// Of the tick that is being taken in, or was last.
    pub(super) tick: Pair<Count>,
    ratios: LogRatios,
    /// Page's sum: climbs while the canary does worse, falls to zero while it does not.
    climb: f64,
    /// Counts since it last left zero: since the deviation began.
    deviation: Pair<Count>,
    /// Counts since the start.
    total: Pair<Count>,
}

impl Strand {
    pub(super) fn new(now: Timestamp) -> Self {
        Strand {
            process: Process::new(now),
            tick: Pair::default(),
            ratios: LogRatios::default(),
            climb: 0.0,
            deviation: Pair::default(),
            total: Pair::default(),
        }
    }

    pub(super) fn next_tick(&mut self) {
        self.tick = Pair::default();
        self.ratios = LogRatios::default();
    }

    pub(super) fn add(&mut self, counts: &Pair<Count>, ratios: &LogRatios) {
        add(&mut self.tick, counts);
        self.ratios.add(ratios);
    }

    pub(super) fn close_tick(&mut self, rules: Rules) {
        if self.tick.canary.trials == 0 && self.tick.stable.trials == 0 {
            return;
        }
        add(&mut self.total, &self.tick);
        self.climb = (self.climb + self.ratios.of_tripled_odds()).max(0.0);
        if self.climb > 0.0 {
            add(&mut self.deviation, &self.tick);
        } else {
            self.deviation = Pair::default();
        }
        // Without events the process does not move; its stake catches up at the next one.
        if self.ratios != LogRatios::default() {
            self.process.multiply(rules.now, &self.ratios, rules.margin, rules.horizon);
        }
    }

    /// Counts that speak for themselves: since the deviation began, of all where there is none.
    pub(super) fn counts(&self) -> Pair<Count> {
        if self.deviation.canary.trials > 0 { self.deviation } else { self.total }
    }

    pub(super) fn is_busy(&self) -> bool {
        self.total.canary.trials > 0
    }
}

fn add(sum: &mut Pair<Count>, more: &Pair<Count>) {
    sum.stable.add(more.stable);
    sum.canary.add(more.canary);
}
