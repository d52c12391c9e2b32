//! All judgement state of one service's release, moved on tick by tick.

mod looks;

use crate::baseline::{BaselineProfile, Trend};
use crate::course::Course;
use crate::detector::Detector;
use crate::episode::{Episode, Open, Watched};
use crate::evaluate::{evaluate_deployment, is_failing_too, outage_above};
use crate::evaluation::{Evaluation, Event, EventEvidence};
use crate::evidence::{CanaryEvidence, Suspicion};
use crate::features::{FeatureVector, View, extract, ratio};
use crate::guard::Guard;

use crate::kernel::Count;
use crate::label::LabelEvidence;

use crate::outcome::OutcomeCounts;
use crate::patience::patience;
use crate::persistence::{Persistence, is_about_the_slowest, is_about_time};
use crate::predictor::Predictor;
use crate::sample::{Pair, ServiceTick};
use crate::settings::{EvaluationSettings, Exposure};
use crate::time::Timestamp;
use crate::window::{LatencyWindow, Recent, Seen, excess};
use looks::{P90, P99, probe_looks, quantiles, seen_in, step_pairs, usual_count, usual_rate};
use std::time::Duration;

/// Episodes that wait for their label at the same time; older ones are given up.
const MOST_WATCHED: usize = 8;
/// Events shown in an evaluation.
const MOST_EVIDENCE: usize = 12;
/// An excess that is assumed where users are off the canary and nobody remembers why.
const FORGOTTEN_EXCESS: f64 = 0.3;
/// So many more of its requests above stable's usual 90th percentile (as a share): the canary is slow.
const SLOW_EXCESS: f64 = 0.3;
/// A bad second within this time keeps a suspicion alive, in seconds.
const LATELY_WORSE: u64 = 30;

/// Judges one service's release, tick by tick.
#[derive(Debug, Clone)]
pub struct Evaluator {
    settings: EvaluationSettings,
    deployed: Timestamp,
    detector: Detector,
    baseline: BaselineProfile,
    recent: Recent,
    course: Course,
    live_latency: Pair<LatencyWindow>,
    probe_latency: Pair<LatencyWindow>,
    cpu: Trend,
    network: Trend,
    memory: Trend,
    guard: Guard,
    exposure: Exposure,
    historical: bool,
    stage_began: Timestamp,
    seen_in_stage: u64,
    open: Option<Open>,
    /// Users are off the canary, and the reason went with a restart.
    forgotten: Option<Persistence>,
    watched: Vec<Watched>,
    /// When both were last seen to fail alike.
    shared_at: Option<Timestamp>,
}

impl Evaluator {
    /// For a release that was deployed at `deployed`.
    pub fn new(settings: EvaluationSettings, deployed: Timestamp) -> Self {
        let window =
            || Pair { stable: LatencyWindow::new(deployed), canary: LatencyWindow::new(deployed) };
        Evaluator {
            settings,
            deployed,
            detector: Detector::new(deployed, settings.margin.max(1.0)),
            baseline: BaselineProfile::default(),
            recent: Recent::new(deployed),
            course: Course::new(deployed),
            live_latency: window(),
            probe_latency: window(),
            cpu: Trend::default(),
            network: Trend::default(),
            memory: Trend::default(),
            guard: Guard::default(),
            exposure: Exposure { weight: 0.0, withdrawn: false },
            historical: false,
            stage_began: deployed,
            seen_in_stage: 0,
            open: None,
            forgotten: None,
            watched: Vec::new(),
            shared_at: None,
        }
    }

    /// New settings; what was seen stays. With another margin the detector starts anew, since its
    /// processes were stakes on the old one.
    pub fn reconfigure(&mut self, settings: EvaluationSettings) {
        if settings.margin != self.settings.margin {
            self.detector = Detector::new(self.detector.latest(), settings.margin.max(1.0));
        }
        self.settings = settings;
    }

    /// Takes in what was seen since the last tick, of any span: 100 ms or many seconds.
    pub fn observe(&mut self, now: Timestamp, tick: &ServiceTick, exposure: Exposure) {
        self.exposure = exposure;
        let counts = self.detector.observe(now, tick, &self.baseline, &self.settings, exposure);
        self.historical = counts.historical;
        let seen = seen_in(tick, &counts);
        self.recent.add(now, &seen);
        self.course.advance(now, &self.recent);
        self.take_latencies(now, tick);
        self.take_resources(tick);
        self.guard.take(now, &tick.resources);
        let plain = tick.probes.iter().filter(|round| round.plain).count() as u64;
        self.seen_in_stage += seen.failures().canary.trials - plain;
        self.follow(now, tick, &seen);
        if is_failing_too(told(self.recent.sum(now, 10).failures()), &self.baseline)
            || self.open.as_ref().is_some_and(Open::is_shared)
        {
            self.shared_at = Some(now);
            if let Some(open) = &mut self.open {
                open.persistence.restart(now);
            }
        }
        let frozen = self.open.is_some() || self.stable_is_failing(now);
        self.baseline.learn(tick, frozen);
        if self.open.is_none() && score(self.detector.e_value()) >= self.settings.anomaly_threshold
        {
            self.alarm(now);
        }
        self.keep_checkpoint(now);
    }

    fn take_latencies(&mut self, now: Timestamp, tick: &ServiceTick) {
        for window in [&mut self.live_latency, &mut self.probe_latency] {
            window.stable.advance(now);
            window.canary.advance(now);
        }
        for live in &tick.live {
            self.live_latency.stable.add(&live.samples.stable.latency);
            self.live_latency.canary.add(&live.samples.canary.latency);
        }
        for round in &tick.probes {
            self.probe_latency.stable.add_one(round.results.stable.micros);
            self.probe_latency.canary.add_one(round.results.canary.micros);
        }
    }

    fn take_resources(&mut self, tick: &ServiceTick) {
        let span = Duration::from_millis(tick.span_ms);
        if let Some(bytes) = tick.resources.canary.network_bytes_per_request {
            self.network.add(bytes, span);
        }
        if let Some(cpu) = tick.resources.canary.cpu_seconds_per_request {
            self.cpu.add(cpu, span);
        }
        if let Some(memory) = tick.resources.canary.memory_bytes {
            self.memory.add(memory, span);
        }
    }

    /// Moves the tests on that run after an alarm: is it still there, and what was it.
    fn follow(&mut self, now: Timestamp, tick: &ServiceTick, seen: &Seen) {
        let (baseline, margin) = (&self.baseline, self.settings.margin);
        let look_at = |slow| probe_looks(&tick.probes, baseline, margin, slow);
        let looks = [None, Some(P90), Some(P99)].map(look_at);
        let look_of = |fired: &EventEvidence| match fired.event {
            event if is_about_the_slowest(event) => looks[2],
            event if is_about_time(event) => looks[1],
            _ => looks[0],
        };
        let pairs_of = |fired: &EventEvidence| match fired.event {
            Event::ProbeSlower => step_pairs(&tick.probes, &fired.stream, margin),
            _ => None,
        };
        let live_of = |fired: &EventEvidence| {
            let mut counts = self.detector.last_tick(&fired.stream, fired.event);
            if counts.stable.trials == 0 {
                // Everybody is on the canary: what is usual for stable takes its place.
                counts.stable = usual_count(baseline, fired, counts.canary.trials);
            }
            counts
        };
        let exposed = self.is_exposed();
        if let Some(open) = &mut self.open {
            match (pairs_of(&open.fired), look_of(&open.fired)) {
                (Some(pairs), _) => open.persistence.take_pairs(now, pairs),
                (None, (look, stable)) => open.persistence.take_probes(now, look, stable),
            }
            if let Some(present) = &mut open.present {
                let seen = self.detector.last_tick(&open.fired.stream, open.fired.event).stable;
                present.add(seen, Duration::from_millis(tick.span_ms));
            }
            open.probes.stable.add(seen.probe.stable);
            open.probes.canary.add(seen.probe.canary);
            open.outcomes.merge(&seen.outcomes.canary);
            // Of a canary without users only late answers of before come in.
            if exposed {
                open.persistence.take_live(now, live_of(&open.fired));
            }
        } else if let Some(forgotten) = &mut self.forgotten {
            let (look, stable) = looks[1];
            forgotten.take_probes(now, look, stable);
        }
        for watched in &mut self.watched {
            let fired = &watched.episode.fired;
            match (pairs_of(fired), look_of(fired)) {
                (Some(pairs), _) => watched.evidence.take_pairs(now, pairs),
                (None, (look, stable)) => watched.evidence.take_probes(now, look, stable),
            }
            watched.evidence.take_failures(now, seen.failures());
            if exposed {
                watched.evidence.take_live(now, live_of(fired));
            }
        }
    }

    /// Whether users are served by the canary.
    fn is_exposed(&self) -> bool {
        self.exposure.weight > 0.0 && !self.exposure.withdrawn
    }

    /// Whether the canary is slow now, and stable is not.
    fn is_slow(&self, now: Timestamp) -> bool {
        excess(self.recent.sum(now, 10).slow()).is_some_and(|more| more >= SLOW_EXCESS)
    }

    fn stable_is_failing(&self, now: Timestamp) -> bool {
        let stable = self.recent.sum(now, 10).failures().stable;
        stable.hits >= 3 && stable.rate().is_some_and(|rate| rate >= outage_above(&self.baseline))
    }

    fn alarm(&mut self, now: Timestamp) {
        let Some(fired) = self.detector.strongest(1).pop() else { return };
        let on_users = self.is_exposed()
            && !matches!(
                fired.event,
                Event::ProbeFailure | Event::ProbeSlower | Event::ProbeMuchSlower
            );
        for before in
            self.watched.iter_mut().filter(|watched| watched.episode.returned_at.is_some())
        {
            before.evidence.came_back |= on_users;
        }
        let mut evidence = LabelEvidence::new(
            now,
            &fired,
            self.settings.label_window,
            outage_above(&self.baseline),
        );
        evidence.cpu_ratio = ratio(&self.cpu, &self.baseline.cpu);
        let mut open = Open::new(now, fired.clone());
        if self.historical && on_users {
            let usual = usual_rate(&self.baseline, &fired).unwrap_or_default();
            open.hold_against_the_past(usual);
        }
        self.open = Some(open);
        self.forgotten = None;
        if self.watched.len() == MOST_WATCHED {
            self.watched.remove(0);
        }
        self.watched.push(Watched::new(now, fired, evidence));
        if self.exposure.withdrawn {
            self.mark_withdrawn(now);
        }
    }

    fn keep_checkpoint(&mut self, now: Timestamp) {
        let Some(alarm_at) = self.open.as_ref().map(|open| open.alarm_at) else { return };
        let place = self.watched.iter().position(|watched| watched.episode.alarm_at == alarm_at);
        let due = place.and_then(|at| self.watched[at].checkpoint_due(now).map(|due| (at, due)));
        if let (Some((at, due)), Some(features)) = (due, self.features(now)) {
            self.watched[at].episode.checkpoints.push((due, features));
        }
    }

    /// Judges what was seen so far: gathers the evidence and calls [`evaluate_deployment`].
    pub fn evaluate(&self, now: Timestamp, predictor: Option<&Predictor>) -> Evaluation {
        evaluate_deployment(&self.evidence(now), &self.baseline, &self.settings, predictor)
    }

    /// What is known of the canary now.
    pub fn evidence(&self, now: Timestamp) -> CanaryEvidence {
        let second = now.0 / 1000;
        let lately = self.recent.sum(now, 10);
        CanaryEvidence {
            exposed: self.is_exposed(),
            e_value: self.detector.e_value(),
            strongest: self.detector.strongest(MOST_EVIDENCE),
            recent: self.recent.sum(now, 60).outcomes,
            lately: told(lately.failures()),
            slow_lately: told(lately.slow()),
            shared_ago: self.shared_at.map(|at| now.since(at)),
            latency: Pair {
                stable: quantiles(&self.live_latency.stable, &self.probe_latency.stable),
                canary: quantiles(&self.live_latency.canary, &self.probe_latency.canary),
            },
            resources: self.guard.levels(now),
            guards: self.guard.reasons(now, self.settings.margin),
            worse_lately: self.course.last_bad.is_some_and(|bad| bad + LATELY_WORSE >= second),
            seen_in_stage: self.seen_in_stage,
            stage_age: now.since(self.stage_began),
            age: now.since(self.deployed),
            historical: self.historical,
            suspicion: self.suspicion(now),
        }
    }

    fn suspicion(&self, now: Timestamp) -> Option<Suspicion> {
        let fired = self.open.as_ref().map(|open| open.fired.clone());
        let persistence = match (&self.open, &self.forgotten) {
            (Some(open), _) => &open.persistence,
            (None, Some(forgotten)) => forgotten,
            (None, None) => return None,
        };
        let seen = persistence.seen();
        let since_alarm = now.since(persistence.since());
        // Without an episode nobody knows what failed: as for a part of the answers.
        let patience = self.open.as_ref().map_or_else(
            || patience(OutcomeCounts::default(), false, false, false),
            |open| {
                let of_time = is_about_time(open.fired.event);
                patience(open.outcomes, of_time, self.is_slow(now), self.is_exposed())
            },
        );
        Some(Suspicion {
            since_alarm,
            fired,
            since: (seen.bad + seen.clean, seen.bad),
            cleared: persistence.cleared(now),
            confirmed: since_alarm >= patience.wait && persistence.confirmed(now),
            waits: (patience.wait, patience.why),
            features: self.features(now),
        })
    }

    /// What the predictor sees; `None` unless an episode is open.
    pub fn features(&self, now: Timestamp) -> Option<FeatureVector> {
        let open = self.open.as_ref()?;
        Some(extract(&View {
            now,
            deployed: self.deployed,
            recent: &self.recent,
            course: &self.course,
            open,
            baseline: &self.baseline,
            cpu: &self.cpu,
            network: &self.network,
            memory: &self.memory,
            e_value: self.detector.e_value(),
            routes_affected: self.detector.routes_affected(),
        }))
    }

    /// A stage began: the evidence for `min_requests` is counted anew; the e-processes go on.
    pub fn stage_began(&mut self, now: Timestamp) {
        self.stage_began = now;
        self.seen_in_stage = 0;
    }

    /// Users came back, or the anomaly is over where they never left: the serving part of the
    /// episode ends and the detector starts anew; baseline and number of onsets stay.
    pub fn users_returned(&mut self, now: Timestamp) {
        self.forgotten = None;
        self.exposure.withdrawn = false;
        if let Some(open) = self.open.take()
            && let Some(watched) =
                self.watched.iter_mut().find(|watched| watched.episode.alarm_at == open.alarm_at)
        {
            watched.episode.returned_at = Some(now);
        }
        self.detector = Detector::new(now, self.settings.margin.max(1.0));
    }

    /// Users were taken off the canary now; also after a restart that found them off it, where no
    /// episode is known: then probes have to show that the canary works.
    pub fn mark_withdrawn(&mut self, now: Timestamp) {
        self.exposure.withdrawn = true;
        let Some(open) = &self.open else {
            self.forgotten = Some(Persistence::new(now, FORGOTTEN_EXCESS, false));
            return;
        };
        for watched in &mut self.watched {
            if watched.episode.alarm_at == open.alarm_at {
                watched.episode.withdrawn_at.get_or_insert(now);
            }
        }
    }

    /// Whether an episode is watched whose label is not known yet.
    pub fn awaits_label(&self) -> bool {
        !self.watched.is_empty()
    }

    /// An episode whose label window has closed, once.
    pub fn take_labelled(&mut self, now: Timestamp) -> Option<Episode> {
        let at = self.watched.iter().position(|watched| watched.evidence.is_due(now))?;
        Some(self.watched.remove(at).labelled())
    }
}

/// How many, and how many with the event.
fn told(counts: Pair<Count>) -> Pair<(u64, u64)> {
    let of = |count: Count| (count.trials, count.hits);
    Pair { stable: of(counts.stable), canary: of(counts.canary) }
}

/// Confidence of an e-value.
pub(crate) fn score(e_value: f64) -> f64 {
    (1.0 - 1.0 / e_value).max(0.0)
}

#[cfg(test)]
mod tests;
