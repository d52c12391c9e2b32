//! The events of a route or of a probe, and how they are counted.

use super::strand::{Rules, Strand};
use super::tolerated;
use crate::baseline::{Clumping, LIMITS, LatencyProfile, RouteBaseline, THRESHOLDS};
use crate::evaluation::{Event, EventEvidence};
use crate::kernel::{Count, LogRatios};
use crate::outcome::Outcome;
use crate::persistence::is_about_time;
use crate::sample::{Pair, ProbeRound, Sample};
use crate::time::Timestamp;
use std::sync::Arc;

/// The events of live traffic; the slow ones in the order of [`LatencyProfile::limit`](crate::baseline::LatencyProfile).
pub(super) const LIVE_EVENTS: [Event; 8] = [
    Event::Failure,
    Event::ClientError,
    Event::SlowerThanP50,
    Event::SlowerThanP75,
    Event::SlowerThanP90,
    Event::SlowerThanP99,
    Event::SlowerThanP999,
    Event::MuchSlower,
];
const FIRST_SLOW: usize = 2;

/// The events of probe rounds.
pub(super) const PROBE_EVENTS: [Event; 3] =
    [Event::ProbeFailure, Event::ProbeSlower, Event::ProbeMuchSlower];
/// At which of stable's quantiles a round is slow: the upper quartile, the 99th percentile.
const SLOW_ROUNDS: [usize; 2] = [1, 3];
/// The event of a probe's step.
pub(super) const STEP_EVENTS: [Event; 1] = [Event::ProbeSlower];

/// The strands of one route or probe, or of all together.
#[derive(Debug, Clone)]
pub(super) struct Stream<const N: usize> {
    pub(super) name: Arc<str>,
    /// Of what all routes (or all probes) have together, 0 to 1.
    pub(super) share: f64,
    strands: [Strand; N],
}

impl<const N: usize> Stream<N> {
    pub(super) fn new(name: Arc<str>, events: &[Event; N], now: Timestamp) -> Self {
        let strands = events.map(|event| Strand::new(now, is_about_time(event)));
        Stream { name, share: 0.0, strands }
    }

    pub(super) fn next_tick(&mut self) {
        self.strands.iter_mut().for_each(Strand::next_tick);
    }

    /// Adds counts of this tick; what they say comes with the end of their stratum.
    pub(super) fn see(&mut self, counts: &[Pair<Count>; N]) {
        self.strands.iter_mut().zip(counts).for_each(|(strand, counts)| strand.see(counts));
    }

    /// Adds a stratum that ended in this tick.
    pub(super) fn end(&mut self, counts: &[Pair<Count>; N], ratios: &[LogRatios; N]) {
        for ((strand, counts), ratios) in self.strands.iter_mut().zip(counts).zip(ratios) {
            strand.end(counts, ratios);
        }
    }

    /// The same of one event alone, from elsewhere.
    pub(super) fn end_of(&mut self, event: usize, counts: &Pair<Count>, ratios: &LogRatios) {
        if let Some(strand) = self.strands.get_mut(event) {
            strand.end(counts, ratios);
        }
    }

    pub(super) fn close_tick(&mut self, rules: Rules) {
        self.strands.iter_mut().for_each(|strand| strand.close_tick(rules));
    }

    pub(super) fn last_tick(&self, event: usize) -> Pair<Count> {
        self.strands.get(event).map_or_else(Pair::default, |strand| strand.tick)
    }

    pub(super) fn e_values(&self, margin: f64) -> [f64; N] {
        std::array::from_fn(|at| self.strands[at].process.e_value(margin))
    }

    /// The largest e-value of its events.
    pub(super) fn most(&self, margin: f64) -> f64 {
        self.e_values(margin).into_iter().fold(0.0, f64::max)
    }

    pub(super) fn is_busy(&self) -> bool {
        self.strands.iter().any(Strand::is_busy)
    }

    /// Appends the evidence of each event that was tried, with its rank: by e-value, by how much
    /// such an event matters and by the precedence of the stream.
    pub(super) fn evidence(
        &self,
        events: &[Event; N],
        shares: &[f64; N],
        precedence: f64,
        margin: f64,
        found: &mut Vec<(f64, EventEvidence)>,
    ) {
        for ((event, strand), of_event) in events.iter().zip(&self.strands).zip(shares) {
            if !strand.is_busy() {
                continue;
            }
            let e_value = strand.process.e_value(margin);
            let counts = strand.counts();
            let evidence = EventEvidence {
                stream: self.name.clone(),
                event: *event,
                e_value,
                trials: Pair { stable: counts.stable.trials, canary: counts.canary.trials },
                hits: Pair { stable: counts.stable.hits, canary: counts.canary.hits },
            };
            found.push((precedence * of_event * e_value, evidence));
        }
    }
}

/// Counts the events of a route in a tick. Stable's latencies are held against its own thresholds,
/// the canary's against what is tolerated: so "no worse" includes "slower within the margin".
pub(super) fn live_counts(
    samples: &Pair<Sample>,
    usual: Option<&RouteBaseline>,
    margin: f64,
) -> [Pair<Count>; LIVE_EVENTS.len()] {
    let by_class = |count: fn(&Sample) -> u64| Pair {
        stable: Count::new(samples.stable.outcomes.total(), count(&samples.stable)),
        canary: Count::new(samples.canary.outcomes.total(), count(&samples.canary)),
    };
    let mut counts = [Pair::default(); LIVE_EVENTS.len()];
    // Where users are known, they are the unit: what repeats itself is neither a failure nor a trial.
    let by_user = |sample: &Sample| {
        let repeated = u64::from(sample.repeated);
        let (total, failures) = (sample.outcomes.total(), sample.outcomes.failures());
        Count::new(total.saturating_sub(repeated), failures.saturating_sub(repeated))
    };
    counts[0] = Pair { stable: by_user(&samples.stable), canary: by_user(&samples.canary) };
    counts[1] = by_class(|sample| sample.outcomes.of(Outcome::ClientError));
    let timed =
        Pair { stable: samples.stable.latency.total(), canary: samples.canary.latency.total() };
    for at in 0..LIMITS {
        let Some(threshold) = usual.and_then(|usual| usual.latency.limit(at)) else { continue };
        counts[FIRST_SLOW + at] = Pair {
            stable: Count::new(timed.stable, samples.stable.latency.above(threshold)),
            canary: Count::new(
                timed.canary,
                samples.canary.latency.above(tolerated(threshold, margin)),
            ),
        };
    }
    counts
}

/// Counts the events of one round: a pair.
pub(super) fn probe_counts(
    round: &ProbeRound,
    usual: Option<&LatencyProfile>,
    margin: f64,
) -> [Pair<Count>; PROBE_EVENTS.len()] {
    let (stable, canary) = (&round.results.stable, &round.results.canary);
    let one = |hit: bool| Count::new(1, u64::from(hit));
    let failed = Pair {
        stable: one(stable.outcome != Outcome::Ok),
        canary: one(canary.outcome != Outcome::Ok),
    };
    let both_answered = failed.stable.hits == 0 && failed.canary.hits == 0;
    let [slow, slower] = SLOW_ROUNDS.map(|at| {
        match usual.and_then(|usual| usual.threshold(at)).filter(|_| both_answered) {
            Some(threshold) => Pair {
                stable: one(stable.micros > threshold),
                canary: one(canary.micros > tolerated(threshold, margin)),
            },
            None => Pair::default(),
        }
    });
    [failed, slow, slower]
}

/// The stream of a probe's step; `at` counts from 0.
pub(super) fn step_name(probe: &str, at: usize) -> String {
    format!("{probe}, step {}", at + 1)
}

/// Which step of this probe a stream is of, counted from 0; none where it is of another or of no step.
pub(crate) fn step_of(stream: &str, probe: &str) -> Option<usize> {
    let number = stream.strip_prefix(probe)?.strip_prefix(", step ")?;
    number.parse::<usize>().ok()?.checked_sub(1)
}

/// Whether one side of a step was clearly slower than the other at the same moment.
pub(crate) fn step_counts(micros: &Pair<u64>, margin: f64) -> Pair<Count> {
    let one = |hit: bool| Count::new(1, u64::from(hit));
    Pair {
        stable: one(micros.stable > tolerated(micros.canary, margin)),
        canary: one(micros.canary > tolerated(micros.stable, margin)),
    }
}

/// "No worse" includes a canary that takes `margin` times as long: it is then beyond that as often as not. So
/// what speaks for it is every round in which it is not, and not only those in which stable is the slower.
pub(super) fn step_ratios(seen: Pair<Count>, margin: f64) -> [LogRatios; STEP_EVENTS.len()] {
    let not_slower = Count::new(1, 1 - seen.canary.hits);
    [LogRatios::of_stratum(Pair { stable: not_slower, ..seen }, margin)]
}

/// Canary against stable in the same round.
pub(super) fn round_ratios(
    counts: &[Pair<Count>; PROBE_EVENTS.len()],
    margin: f64,
) -> [LogRatios; PROBE_EVENTS.len()] {
    counts.map(|counts| LogRatios::of_stratum(counts, margin))
}

/// Canary against stable at the same time. Slow answers that come together count for less.
pub(super) fn stratum_ratios(
    counts: &[Pair<Count>; LIVE_EVENTS.len()],
    clumping: Clumping,
    margin: f64,
) -> [LogRatios; LIVE_EVENTS.len()] {
    std::array::from_fn(|at| {
        let Pair { stable, canary } = counts[at];
        let ratios = LogRatios::of_stratum(counts[at], margin);
        if at < FIRST_SLOW {
            return ratios;
        }
        ratios.tempered(clumping.inflation(stable.trials, canary.trials))
    })
}

/// Canary against what was usual for stable while it had users.
pub(super) fn history_ratios(
    counts: &[Pair<Count>; LIVE_EVENTS.len()],
    usual: &RouteBaseline,
    margin: f64,
) -> [LogRatios; LIVE_EVENTS.len()] {
    std::array::from_fn(|at| {
        let rate = match at {
            0 => usual.failures.upper(),
            1 => usual.client_errors.upper(),
            slow => match THRESHOLDS.get(slow - FIRST_SLOW) {
                Some(below) => 1.0 - below,
                // How many of stable's are beyond twice its 99th percentile is not kept.
                None => return LogRatios::default(),
            },
        };
        let canary = counts[at].canary;
        let ratios = LogRatios::against_history(canary, rate, margin);
        if at < FIRST_SLOW {
            return ratios;
        }
        ratios.tempered(usual.clumping.inflation(canary.trials, u64::MAX))
    })
}
