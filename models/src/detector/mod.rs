//! Is the canary worse than stable, beyond chance and beyond the margin? Streams of events, each an
//! e-process of [`crate::kernel`], mixed into one e-value.
//!
//! The mixture is a weighted mean of the processes' current values, with weights that are fixed
//! before a process sees anything and sum to at most 1; so it is an e-process too.

mod strand;
mod stratum;
mod stream;

use crate::baseline::{BaselineProfile, Clumping};
use crate::evaluation::{Event, EventEvidence};
use crate::kernel::Count;
use crate::sample::{Pair, ServiceTick};
use crate::settings::{EvaluationSettings, Exposure};
use crate::time::Timestamp;
use std::sync::Arc;
use strand::Rules;
use stratum::Stratum;
use stream::{
    LIVE_EVENTS, PROBE_EVENTS, STEP_EVENTS, Stream, live_counts, probe_counts, step_name,
    step_ratios,
};

pub(crate) use stream::{step_counts, step_of};

/// How a live event's counts are indexed: failures, the slow ones of the 90th percentile.
const FAILURE: usize = 0;
pub(crate) const SLOW: usize = 4;

/// Shares of the stake, by event in the order of [`LIVE_EVENTS`] and [`PROBE_EVENTS`]: failures matter most and are
/// looked for first; the rest is shared out over client errors and latency. They sum to 1.
///
/// On all routes together; failures of probes go in there, too: where users are few or none, both
/// together say what neither says alone, and where probes do not fail they take nothing away.
const TOGETHER: [f64; LIVE_EVENTS.len()] = [0.49, 0.018, 0.012, 0.018, 0.024, 0.024, 0.006, 0.036];
/// On each route by itself, shared out over them.
const BY_ROUTE: [f64; LIVE_EVENTS.len()] = [0.17, 0.012, 0.008, 0.012, 0.016, 0.016, 0.004, 0.024];
/// On all probes together, on each by itself; and how much an event of theirs weighs beside one of users: of failures more
/// than half of [`TOGETHER`], so that the one probe that fails is named and not "all routes and probes".
const ALL_PROBES: [f64; PROBE_EVENTS.len()] = [0.0, 0.008, 0.012];
const BY_PROBE: [f64; PROBE_EVENTS.len()] = [0.06, 0.004, 0.006];
const WEIGHT_OF_PROBES: [f64; PROBE_EVENTS.len()] = [0.25, 0.02, 0.03];
/// On each step of a probe.
const BY_STEP: [f64; STEP_EVENTS.len()] = [0.02];

/// Name of the stream that takes all routes together, and of that of all probes.
const EVERYWHERE: &str = "all routes";
/// The former, of failures, where there are probes.
const WITH_PROBES: &str = "all routes and probes";
const EVERY_PROBE: &str = "all probes";

/// A latency in microseconds that the canary may have where stable has `micros`: `margin` times as
/// long, and in any case a millisecond more. Without it a release a few percent slower, which is
/// worth nobody's night, would be caught with certainty: quantiles are sharp.
pub(crate) fn tolerated(micros: u64, margin: f64) -> u64 {
    ((micros as f64 * margin) as u64).max(micros + 1_000)
}

/// What a tick held, by event, over all routes and all probes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct TickCounts {
    pub(crate) live: [Pair<Count>; LIVE_EVENTS.len()],
    pub(crate) probe: [Pair<Count>; PROBE_EVENTS.len()],
    /// Whether the canary's live traffic was compared with stable's past.
    pub(crate) historical: bool,
}

/// The e-processes of one release.
#[derive(Debug, Clone)]
pub(crate) struct Detector {
    latest: Timestamp,
    all_routes: Stream<{ LIVE_EVENTS.len() }>,
    routes: Vec<Stream<{ LIVE_EVENTS.len() }>>,
    /// Of each of `routes`, what is not judged yet.
    strata: Vec<Stratum>,
    /// Under which those began.
    exposure: Exposure,
    all_probes: Stream<{ PROBE_EVENTS.len() }>,
    probes: Vec<Stream<{ PROBE_EVENTS.len() }>>,
    /// Of all probes' steps.
    steps: Vec<Stream<{ STEP_EVENTS.len() }>>,
    margin: f64,
}

impl Detector {
    pub(crate) fn new(now: Timestamp, margin: f64) -> Self {
        Detector {
            latest: now,
            all_routes: Stream::new(Arc::from(EVERYWHERE), &LIVE_EVENTS, now),
            routes: Vec::new(),
            strata: Vec::new(),
            exposure: Exposure { weight: 0.0, withdrawn: false },
            all_probes: Stream::new(Arc::from(EVERY_PROBE), &PROBE_EVENTS, now),
            probes: Vec::new(),
            steps: Vec::new(),
            margin,
        }
    }

    /// When it last took in a tick.
    pub(crate) fn latest(&self) -> Timestamp {
        self.latest
    }

    /// Takes in a tick, judged by what was usual before it.
    pub(crate) fn observe(
        &mut self,
        now: Timestamp,
        tick: &ServiceTick,
        baseline: &BaselineProfile,
        settings: &EvaluationSettings,
        exposure: Exposure,
    ) -> TickCounts {
        let mut counts = TickCounts::default();
        let rules = Rules { now, margin: self.margin, horizon: settings.horizon };
        self.observe_live(rules, tick, baseline, exposure, &mut counts);
        self.observe_probes(rules, tick, baseline, &mut counts);
        self.all_routes.close_tick(rules);
        self.latest = now;
        counts
    }

    fn observe_live(
        &mut self,
        rules: Rules,
        tick: &ServiceTick,
        baseline: &BaselineProfile,
        exposure: Exposure,
        counts: &mut TickCounts,
    ) {
        let known = self.routes.len();
        for live in &tick.live {
            if !self.routes.iter().any(|stream| *stream.name == *live.route) {
                self.routes.push(Stream::new(live.route.clone(), &LIVE_EVENTS, rules.now));
                self.strata.push(Stratum::default());
            }
        }
        share_out(&mut self.routes, known);
        self.all_routes.next_tick();
        self.routes.iter_mut().for_each(Stream::next_tick);
        if exposure != self.exposure {
            // Another share of the users: within one stratum that would look like a difference. The strata ended
            // with the tick before: what comes now has not gone on for longer than this one.
            self.end_strata(rules, baseline, |_| true);
            let until_then = Rules { now: self.latest, ..rules };
            for stream in self.routes.iter_mut().chain([&mut self.all_routes]) {
                stream.close_tick(until_then);
                stream.next_tick();
            }
            self.exposure = exposure;
        }
        // With every user on the canary, what stable answers by the side proves nothing: its past does.
        let historical = is_historical(exposure);
        counts.historical = historical && !tick.live.is_empty();
        let margin = live_margin(rules.margin, historical);
        for (at, live) in tick.live.iter().enumerate() {
            let usual = baseline.route(&live.route, at);
            let seen = live_counts(&live.samples, usual, margin);
            for (sum, seen) in counts.live.iter_mut().zip(seen) {
                sum.stable.add(seen.stable);
                sum.canary.add(seen.canary);
            }
            let guess = self.routes.get(at).is_some_and(|stream| stream.name == live.route);
            let place = if guess { Some(at) } else { position(&self.routes, &live.route) };
            if let Some(at) = place {
                self.routes[at].see(&seen);
                self.strata[at].add(rules.now, &seen);
            }
            self.all_routes.see(&seen);
        }
        self.end_strata(rules, baseline, |stratum| historical || stratum.is_over(rules.now));
        self.routes.iter_mut().for_each(|stream| stream.close_tick(rules));
    }

    /// Judges the strata that are `over`.
    fn end_strata(
        &mut self,
        rules: Rules,
        baseline: &BaselineProfile,
        over: impl Fn(&Stratum) -> bool,
    ) {
        let historical = is_historical(self.exposure);
        let margin = live_margin(rules.margin, historical);
        for (at, (stream, stratum)) in self.routes.iter_mut().zip(&mut self.strata).enumerate() {
            let Some(counts) = over(stratum).then(|| stratum.end()).flatten() else { continue };
            let usual = baseline.route(&stream.name, at);
            let clumping = usual.map_or_else(Clumping::default, |usual| usual.clumping);
            let ratios = match (historical, usual) {
                (false, _) => stream::stratum_ratios(&counts, clumping, margin),
                (true, Some(usual)) => stream::history_ratios(&counts, usual, margin),
                (true, None) => Default::default(),
            };
            stream.end(&counts, &ratios);
            self.all_routes.end(&counts, &ratios);
        }
    }

    fn observe_probes(
        &mut self,
        rules: Rules,
        tick: &ServiceTick,
        baseline: &BaselineProfile,
        counts: &mut TickCounts,
    ) {
        let known = self.probes.len();
        for round in &tick.probes {
            if !self.probes.iter().any(|stream| *stream.name == *round.probe) {
                self.probes.push(Stream::new(round.probe.clone(), &PROBE_EVENTS, rules.now));
            }
        }
        share_out(&mut self.probes, known);
        self.all_probes.next_tick();
        self.probes.iter_mut().for_each(Stream::next_tick);
        for round in &tick.probes {
            let usual = baseline.probe(&round.probe).map(|usual| &usual.latency);
            let seen = probe_counts(round, usual, rules.margin);
            for (sum, seen) in counts.probe.iter_mut().zip(seen) {
                sum.stable.add(seen.stable);
                sum.canary.add(seen.canary);
            }
            // Every round is a stratum of its own: a pair.
            let ratios = stream::round_ratios(&seen, rules.margin);
            if let Some(at) = position(&self.probes, &round.probe) {
                self.probes[at].see(&seen);
                self.probes[at].end(&seen, &ratios);
            }
            self.all_probes.see(&seen);
            self.all_probes.end(&seen, &ratios);
            self.all_routes.end_of(FAILURE, &seen[0], &ratios[0]);
        }
        self.probes.iter_mut().for_each(|stream| stream.close_tick(rules));
        self.all_probes.close_tick(rules);
        self.observe_steps(rules, tick);
    }

    /// Each step of a round is a pair: the canary's time is held against stable's at that very moment, so that
    /// what slows both, and how long the other steps take, does not hide the one that is slower. They are not
    /// looked at together: what slows one step of a run slows the next as well.
    fn observe_steps(&mut self, rules: Rules, tick: &ServiceTick) {
        let known = self.steps.len();
        self.steps.iter_mut().for_each(Stream::next_tick);
        for round in &tick.probes {
            for (at, micros) in round.steps.iter().enumerate() {
                let name = step_name(&round.probe, at);
                let place = position(&self.steps, &name).unwrap_or_else(|| {
                    self.steps.push(Stream::new(name.into(), &STEP_EVENTS, rules.now));
                    self.steps.len() - 1
                });
                let seen = step_counts(micros, rules.margin);
                self.steps[place].see(&[seen]);
                self.steps[place].end(&[seen], &step_ratios(seen, rules.margin));
            }
        }
        share_out(&mut self.steps, known);
        self.steps.iter_mut().for_each(|stream| stream.close_tick(rules));
    }

    /// The e-value now.
    pub(crate) fn e_value(&self) -> f64 {
        let margin = self.margin;
        let live =
            gain(&self.all_routes, &TOGETHER, margin) + of_each(&self.routes, &BY_ROUTE, margin);
        let probe =
            gain(&self.all_probes, &ALL_PROBES, margin) + of_each(&self.probes, &BY_PROBE, margin);
        let steps = of_each(&self.steps, &BY_STEP, margin);
        // What no process has of the stake stays where it was: at 1.
        (1.0 + live + probe + steps).max(0.0)
    }

    /// The strongest events, strongest first, at most `count`.
    pub(crate) fn strongest(&self, count: usize) -> Vec<EventEvidence> {
        let mut found: Vec<(f64, EventEvidence)> = Vec::new();
        // With one route and no probes "all routes" would say the same thing twice.
        let several = self.routes.len() + self.probes.len() > 1;
        let wide_routes = several.then_some((&self.all_routes, 0.5));
        let wide_probes = (self.probes.len() > 1).then_some((&self.all_probes, 0.5));
        // The route that fails is named, unless all together explain it twice as well.
        let alone = |stream| (stream, 1.0);
        for (stream, rank) in self.routes.iter().map(alone).chain(wide_routes) {
            stream.evidence(&LIVE_EVENTS, &TOGETHER, rank, self.margin, &mut found);
        }
        let alone = |stream| (stream, 1.0);
        for (stream, rank) in self.probes.iter().map(alone).chain(wide_probes) {
            stream.evidence(&PROBE_EVENTS, &WEIGHT_OF_PROBES, rank, self.margin, &mut found);
        }
        for stream in &self.steps {
            stream.evidence(&STEP_EVENTS, &BY_STEP, 1.0, self.margin, &mut found);
        }
        found.sort_by(|(one, _), (other, _)| other.total_cmp(one));
        found.truncate(count);
        let named = |(_, mut evidence): (f64, EventEvidence)| {
            if evidence.event == Event::Failure
                && *evidence.stream == *EVERYWHERE
                && !self.probes.is_empty()
            {
                evidence.stream = Arc::from(WITH_PROBES);
            }
            evidence
        };
        found.into_iter().map(named).collect()
    }

    /// The counts of one event in the last tick.
    pub(crate) fn last_tick(&self, stream: &str, event: Event) -> Pair<Count> {
        if let Some(event) = LIVE_EVENTS.iter().position(|known| *known == event) {
            let found = self.routes.iter().find(|known| *known.name == *stream);
            return found.unwrap_or(&self.all_routes).last_tick(event);
        }
        Pair::default()
    }

    /// Share of the routes with live traffic on which an event's e-value is 20 and more.
    pub(crate) fn routes_affected(&self) -> Option<f64> {
        let busy = self.routes.iter().filter(|stream| stream.is_busy());
        let (busy, affected) = busy.fold((0u32, 0u32), |(busy, affected), stream| {
            (busy + 1, affected + u32::from(stream.most(self.margin) >= 20.0))
        });
        (busy > 0).then(|| f64::from(affected) / f64::from(busy))
    }
}

/// Whether all users are on the canary.
fn is_historical(exposure: Exposure) -> bool {
    exposure.weight >= 0.9999 && !exposure.withdrawn
}

/// The past is a poorer witness than stable at the same time: it takes twice the margin.
fn live_margin(margin: f64, historical: bool) -> f64 {
    if historical { 2.0 * margin - 1.0 } else { margin }
}

fn position<const N: usize>(streams: &[Stream<N>], name: &str) -> Option<usize> {
    streams.iter().position(|stream| *stream.name == *name)
}

/// What these streams, each by itself, have won over their stakes.
fn of_each<const N: usize>(streams: &[Stream<N>], shares: &[f64; N], margin: f64) -> f64 {
    streams.iter().map(|stream| stream.share * gain(stream, shares, margin)).sum()
}

/// What the events of a stream have won over their stakes.
fn gain<const N: usize>(stream: &Stream<N>, shares: &[f64; N], margin: f64) -> f64 {
    let values = stream.e_values(margin);
    shares.iter().zip(values).map(|(share, e)| share * (e - 1.0)).sum()
}

/// Shares for the streams from `known` on. Nobody knows how many will come: the first `n` streams
/// together have `2 n / (2 n + 1)`, equally if they come at once, and later ones divide what is left.
fn share_out<const N: usize>(streams: &mut [Stream<N>], known: usize) {
    let (before, after) = (known as f64, streams.len() as f64);
    let new = after - before;
    for stream in streams.iter_mut().skip(known) {
        stream.share = (1.0 / (2.0 * before + 1.0) - 1.0 / (2.0 * after + 1.0)) / new;
    }
}

#[cfg(test)]
mod tests;
