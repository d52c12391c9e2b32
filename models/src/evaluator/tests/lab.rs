//! Drawn traffic in front of an evaluator, and a controller of a dozen lines behind it.

use crate::evaluation::{Evaluation, Verdict};
use crate::features::{FEATURES, FeatureVector};
use crate::fit::{TrainingRow, fit};
use crate::predictor::Predictor;
use crate::sample::{LiveSample, Pair, ProbeResult, ProbeRound, Sample, ServiceTick};
use crate::settings::{EvaluationSettings, Exposure};
use crate::time::Timestamp;
use crate::{Episode, Evaluator, Outcome};
use rand::SeedableRng;
use rand_distr::{Distribution, LogNormal, Poisson, Uniform};
use rand_xoshiro::Xoshiro256PlusPlus;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

pub(super) const SECOND: u64 = 1000;

/// How a variant behaves.
#[derive(Debug, Clone, Copy)]
pub(super) struct Behaviour {
    pub(super) failing: f64,
    /// Times the usual latency.
    pub(super) slower: f64,
    /// This share of requests is slower still.
    pub(super) tail: f64,
    pub(super) tail_slower: f64,
}

pub(super) struct Lab {
    pub(super) evaluator: Evaluator,
    pub(super) now: Timestamp,
    pub(super) requests_per_second: f64,
    pub(super) weight: f64,
    pub(super) withdrawn: bool,
    pub(super) rolled_back: bool,
    pub(super) with_model: bool,
    pub(super) stable_is_mute: bool,
    /// Live traffic is served well whatever the behaviour: only probes notice.
    pub(super) probes_see_more: bool,
    /// Milliseconds between probe rounds while nothing is suspected.
    pub(super) probe_every: Option<u64>,
    pub(super) events: Vec<(f64, Verdict)>,
    pub(super) verdicts: Vec<(f64, Evaluation)>,
    pub(super) labels: Vec<Episode>,
    pub(super) first_reason: String,
    next_probe: u64,
    dice: Xoshiro256PlusPlus,
}

pub(super) fn settings() -> EvaluationSettings {
    EvaluationSettings {
        anomaly_threshold: 0.999,
        rollback_threshold: 0.8,
        resume_threshold: 0.2,
        margin: 1.25,
        withdraw: true,
        min_requests: 10,
        horizon: Duration::from_secs(3300),
        label_window: (Duration::from_secs(60), Duration::from_secs(300)),
    }
}

/// A real model of the simplest kind: what persists lasts.
fn predictor() -> &'static Predictor {
    static MODEL: OnceLock<Predictor> = OnceLock::new();
    MODEL.get_or_init(|| {
        let persistence = FEATURES.iter().position(|name| *name == "persistence").unwrap();
        let rows: Vec<TrainingRow> = (0..120)
            .map(|deployment| {
                let sustained = deployment % 2 == 0;
                let value = if sustained { 3.0 } else { -2.0 } + (deployment % 7) as f64 * 0.1;
                let mut features = vec![Some(0.0); FEATURES.len()];
                features[persistence] = Some(value);
                TrainingRow { deployment, features: FeatureVector(features), sustained }
            })
            .collect();
        fit(&rows, 1).unwrap()
    })
}

impl Lab {
    pub(super) fn new(seed: u64) -> Self {
        let now = Timestamp(1_700_000_000_000);
        Lab {
            evaluator: Evaluator::new(settings(), now),
            now,
            requests_per_second: 200.0,
            weight: 0.1,
            withdrawn: false,
            rolled_back: false,
            with_model: true,
            stable_is_mute: false,
            probes_see_more: false,
            probe_every: Some(2 * SECOND),
            events: Vec::new(),
            verdicts: Vec::new(),
            labels: Vec::new(),
            first_reason: String::new(),
            next_probe: 0,
            dice: Xoshiro256PlusPlus::seed_from_u64(seed),
        }
    }

    fn seconds(&self) -> f64 {
        (self.now.0 - 1_700_000_000_000) as f64 / 1000.0
    }

    /// Runs for that many seconds; behaviour by seconds since the deployment. Looks come early when
    /// something failed, as the proxy's do.
    pub(super) fn run(&mut self, seconds: f64, behaviour: impl Fn(f64) -> Pair<Behaviour>) {
        let end = self.now.0 + (seconds * 1000.0) as u64;
        while self.now.0 < end {
            let at = behaviour(self.seconds());
            let failing = at.canary.failing > 0.1 && !self.withdrawn;
            let span = if failing || self.withdrawn { 100 } else { SECOND };
            self.tick(span, &at);
        }
    }

    pub(super) fn tick(&mut self, span_ms: u64, behaviour: &Pair<Behaviour>) {
        self.now.0 += span_ms;
        let tick = ServiceTick {
            span_ms,
            live: self.live(span_ms, behaviour),
            probes: self.probes(span_ms, behaviour),
            ..ServiceTick::default()
        };
        let exposed = if self.withdrawn || self.rolled_back { 0.0 } else { self.weight };
        let exposure = Exposure { weight: exposed, withdrawn: self.withdrawn || self.rolled_back };
        self.evaluator.observe(self.now, &tick, exposure);
        if let Some(episode) = self.evaluator.take_labelled(self.now) {
            self.labels.push(episode);
        }
        if self.rolled_back {
            return;
        }
        let model = self.with_model.then(predictor);
        let evaluation = self.evaluator.evaluate(self.now, model);
        self.obey(&evaluation);
        self.verdicts.push((self.seconds(), evaluation));
    }

    fn obey(&mut self, evaluation: &Evaluation) {
        let changes = match evaluation.verdict {
            Verdict::Withdraw => {
                self.withdrawn = true;
                self.evaluator.mark_withdrawn(self.now);
                true
            }
            Verdict::Rollback => {
                self.rolled_back = true;
                self.evaluator.mark_withdrawn(self.now);
                true
            }
            Verdict::Continue if evaluation.cleared => {
                self.withdrawn = false;
                self.evaluator.users_returned(self.now);
                self.evaluator.stage_began(self.now);
                true
            }
            Verdict::Hold => self.events.last().is_none_or(|(_, last)| *last != Verdict::Hold),
            _ => false,
        };
        if changes {
            if self.first_reason.is_empty() {
                self.first_reason = evaluation.reasons[0].text.clone();
            }
            self.events.push((self.seconds(), evaluation.verdict));
        }
    }

    fn live(&mut self, span_ms: u64, behaviour: &Pair<Behaviour>) -> Vec<LiveSample> {
        let total = self.requests_per_second * span_ms as f64 / 1000.0;
        let weight = if self.withdrawn || self.rolled_back { 0.0 } else { self.weight };
        let live = |behaviour: &Behaviour, sees: bool| match sees {
            true => *behaviour,
            false => Behaviour { failing: 0.003, slower: 1.0, tail: 0.0, tail_slower: 1.0 },
        };
        let stable = if self.stable_is_mute { 0.0 } else { total * (1.0 - weight) };
        let sees = !self.probes_see_more;
        let samples = Pair {
            stable: self.sample(stable, live(&behaviour.stable, sees)),
            canary: self.sample(total * weight, live(&behaviour.canary, sees)),
        };
        if samples == Pair::default() {
            return Vec::new();
        }
        vec![LiveSample { route: Arc::from("shop"), samples }]
    }

    fn sample(&mut self, expected: f64, behaviour: Behaviour) -> Sample {
        let mut sample = Sample::default();
        if expected > 0.0 {
            let count = Poisson::new(expected).unwrap().sample(&mut self.dice) as u64;
            for _ in 0..count {
                let (outcome, micros) = self.request(&behaviour);
                sample.record(outcome, micros, 500);
            }
        }
        sample
    }

    fn request(&mut self, behaviour: &Behaviour) -> (Outcome, u64) {
        let mut chance = || Uniform::new(0.0, 1.0).unwrap().sample(&mut self.dice);
        let fails = chance() < behaviour.failing;
        let tail = if chance() < behaviour.tail { behaviour.tail_slower } else { 1.0 };
        let usual: f64 = LogNormal::new(9.9, 0.4).unwrap().sample(&mut self.dice);
        let outcome = if fails { Outcome::ServerError } else { Outcome::Ok };
        (outcome, (usual * behaviour.slower * tail) as u64)
    }

    fn probes(&mut self, span_ms: u64, behaviour: &Pair<Behaviour>) -> Vec<ProbeRound> {
        let suspected = self.withdrawn || self.rolled_back || self.evaluator.open.is_some();
        let mut rounds = Vec::new();
        let Some(every) = self.probe_every else { return rounds };
        let every = if suspected { 200 } else { every };
        let end = self.now.0;
        self.next_probe = self.next_probe.clamp(end - span_ms, end - span_ms + every);
        while self.next_probe < end {
            self.next_probe += every;
            let mut result = |behaviour: &Behaviour| {
                let (outcome, micros) = self.request(behaviour);
                ProbeResult { outcome, micros }
            };
            let results =
                Pair { stable: result(&behaviour.stable), canary: result(&behaviour.canary) };
            rounds.push(ProbeRound {
                probe: Arc::from("login"),
                results,
                steps: Vec::new(),
                plain: false,
            });
        }
        rounds
    }

    pub(super) fn was(&self, verdict: Verdict) -> bool {
        self.events.iter().any(|(_, was)| *was == verdict)
    }

    /// Seconds from `fault` to the first withdrawal; infinite without one.
    pub(super) fn withdrawn_after(&self, fault: f64) -> f64 {
        self.first(fault, Verdict::Withdraw)
    }

    /// Seconds from `fault` to the rollback; infinite without one.
    pub(super) fn rolled_back_after(&self, fault: f64) -> f64 {
        self.first(fault, Verdict::Rollback)
    }

    fn first(&self, fault: f64, verdict: Verdict) -> f64 {
        let found = self.events.iter().find(|(at, was)| *at >= fault && *was == verdict);
        found.map_or(f64::INFINITY, |(at, _)| at - fault)
    }
}
