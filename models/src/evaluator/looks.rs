//! What a tick says: to the windows, and to the tests that run after an alarm.

use crate::baseline::{BaselineProfile, THRESHOLDS};
use crate::detector::{SLOW, TickCounts, step_counts, step_of, tolerated};
use crate::evaluation::{Event, EventEvidence, Quantiles};
use crate::kernel::Count;
use crate::outcome::Outcome;
use crate::persistence::{Look, Pairs};
use crate::sample::{ProbeResult, ProbeRound, ServiceTick};
use crate::window::{LatencyWindow, Seen};

pub(super) fn seen_in(tick: &ServiceTick, counts: &TickCounts) -> Seen {
    let mut seen = Seen {
        live: counts.live[0],
        live_slow: counts.live[SLOW],
        probe: counts.probe[0],
        probe_slow: counts.probe[1],
        restarts: tick.resources.canary.restarts.unwrap_or(0),
        ..Seen::default()
    };
    for live in &tick.live {
        seen.outcomes.stable.merge(&live.samples.stable.outcomes);
        seen.outcomes.canary.merge(&live.samples.canary.outcomes);
    }
    for round in &tick.probes {
        seen.outcomes.stable.add(round.results.stable.outcome, 1);
        seen.outcomes.canary.add(round.results.canary.outcome, 1);
    }
    seen
}

/// Of stable's usual quantiles ([`THRESHOLDS`]), those that probe rounds are held against after an alarm.
pub(super) const P90: usize = 2;
pub(super) const P99: usize = 3;

/// What probe rounds say of the canary alone, and of stable alone; a round that shows the same on
/// both is shared and says nothing. With `slow`, one of stable's quantiles, an answer beyond it counts like a failed one, held
/// against the same limit on both sides.
pub(super) fn probe_looks(
    rounds: &[ProbeRound],
    baseline: &BaselineProfile,
    margin: f64,
    slow: Option<usize>,
) -> (Look, Count) {
    let (mut look, mut stable) = (Look::default(), Count::default());
    for round in rounds {
        let usual = baseline.probe(&round.probe).map(|usual| &usual.latency);
        let limit = slow
            .and_then(|at| usual?.threshold(at).or_else(|| usual?.threshold(P90)))
            .map(|usual| tolerated(usual, margin));
        let is_bad = |result: &ProbeResult| {
            result.outcome != Outcome::Ok || limit.is_some_and(|limit| result.micros > limit)
        };
        let any_failed = [&round.results.stable, &round.results.canary]
            .iter()
            .any(|result| result.outcome != Outcome::Ok);
        if slow.is_some() && limit.is_none() && !any_failed {
            continue;
        }
        match (is_bad(&round.results.stable), is_bad(&round.results.canary)) {
            (true, true) => continue,
            (false, true) => look.bad += 1,
            (stable_bad, false) => {
                look.clean += 1;
                stable.hits += u64::from(stable_bad);
            }
        }
        stable.trials += 1;
    }
    (look, stable)
}

/// What rounds say of the step that is behind the stream `fired`, each side against the other in the same round; a
/// side that fails alone is the slower. `None` where it is no step's.
pub(super) fn step_pairs(rounds: &[ProbeRound], fired: &str, margin: f64) -> Option<Pairs> {
    let mut pairs: Option<Pairs> = None;
    for round in rounds {
        let Some(at) = step_of(fired, &round.probe) else { continue };
        let pairs = pairs.get_or_insert_default();
        let failed = |result: &ProbeResult| result.outcome != Outcome::Ok;
        let (stable, canary) = match round.steps.get(at) {
            Some(micros) => {
                let seen = step_counts(micros, margin);
                (seen.stable.hits > 0, seen.canary.hits > 0)
            }
            None => (failed(&round.results.stable), failed(&round.results.canary)),
        };
        pairs.canary += u64::from(canary && !stable);
        pairs.stable += u64::from(stable && !canary);
        pairs.neither += u64::from(!stable && !canary);
    }
    pairs
}

/// Stable's usual share of the event that fired, 0 to 1; `None` where that is not known.
pub(super) fn usual_rate(baseline: &BaselineProfile, fired: &EventEvidence) -> Option<f64> {
    let route = baseline.routes.iter().find(|known| *known.route == *fired.stream);
    match fired.event {
        Event::Failure => route.map_or(&baseline.failures, |route| &route.failures).mean(),
        Event::ClientError => route.and_then(|route| route.client_errors.mean()),
        Event::SlowerThanP50 => Some(1.0 - THRESHOLDS[0]),
        Event::SlowerThanP75 => Some(1.0 - THRESHOLDS[1]),
        Event::SlowerThanP90 => Some(1.0 - THRESHOLDS[2]),
        Event::SlowerThanP99 => Some(1.0 - THRESHOLDS[3]),
        Event::SlowerThanP999 => Some(1.0 - THRESHOLDS[4]),
        Event::MuchSlower | Event::ProbeFailure | Event::ProbeSlower | Event::ProbeMuchSlower => {
            None
        }
    }
}

/// As many trials of stable as the canary had, with its usual share of the event.
pub(super) fn usual_count(baseline: &BaselineProfile, fired: &EventEvidence, trials: u64) -> Count {
    usual_rate(baseline, fired).map_or_else(Count::default, |rate| {
        Count::new(trials, (trials as f64 * rate).round() as u64)
    })
}

/// Of live traffic; of probes where there is none.
pub(super) fn quantiles(live: &LatencyWindow, probe: &LatencyWindow) -> Quantiles {
    let shown = [0.5, 0.9, 0.99];
    let [p50, p90, p99] = match live.quantiles(shown) {
        [None, ..] => probe.quantiles(shown),
        found => found,
    };
    Quantiles { p50, p90, p99 }
}
