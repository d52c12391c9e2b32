//! A recorded series in front of the evaluator that serves traffic: the node plays the canary.

use crate::metrics::{ROW_SECONDS, Row};
use crate::traffic::{Seconds, dealt, probed, recorded, resampled};
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::Serialize;
use serinus_models::{
    EvaluationSettings, Evaluator, Exposure, Label, LiveSample, Pair, Predictor, ProbeRound,
    Sample, ServiceTick, Timestamp, Verdict,
};
use std::sync::Arc;
use std::time::Duration;

/// Seconds after an alarm at which the forecast is kept.
pub(crate) const AGES: [u64; 4] = [0, 60, 180, 300];
/// Half of the users: the recorded requests are the canary's, and stable has about as many.
const WEIGHT: f64 = 0.5;
/// Seconds between probe rounds, and rounds a second once something is suspected.
const PROBE_EVERY: u64 = 2;
const RAISED_PROBES: u64 = 5;

/// What plays stable.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Control<'a> {
    /// The same node as it was in its first row, its requests drawn anew for as long as it takes.
    FirstRow,
    /// Another recording of it, row by row.
    Recording(&'a [Row]),
    /// Half of the same requests.
    Split,
}

/// How the release is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Watch {
    /// No probes, and users stay (`on_anomaly = "hold"`): nothing but the recording is seen.
    Recording,
    /// As Serinus is set by default: users leave at the alarm, and probes, drawn from the same rows, go on.
    Probes,
}

/// What is played.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Play<'a> {
    pub(crate) node: &'a str,
    pub(crate) rows: &'a [Row],
    pub(crate) control: Control<'a>,
    pub(crate) watch: Watch,
    /// When the fault begins, in seconds of the recording; canary requests are counted from there.
    pub(crate) fault_at: u64,
    /// CONSTRUCTED: so many seconds after the first alarm the canary is again as in its first row.
    pub(crate) mended_after: Option<u64>,
    pub(crate) seed: u64,
}

/// One alarm and what came of it. Times in seconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Alarm {
    /// Since the recording began.
    pub(crate) at: u64,
    /// What fired.
    pub(crate) event: String,
    /// Canary requests since the fault began.
    pub(crate) canary_requests: u64,
    /// The forecast at [`AGES`]; after the anomaly cleared the last one before. `None`: not recorded so far.
    pub(crate) forecasts: [Option<f64>; AGES.len()],
    /// Users would have been withdrawn, or were.
    pub(crate) withdrawn: bool,
    /// Seconds from the alarm to the verdict `rollback`.
    pub(crate) rolled_back_after: Option<u64>,
    /// Seconds from the alarm until the anomaly had cleared.
    pub(crate) cleared_after: Option<u64>,
    /// The label that Serinus itself gave.
    pub(crate) label: Option<Label>,
}

/// Plays a recording to its end, a tick per second, looked at each second.
pub(crate) fn play(
    play: &Play,
    settings: EvaluationSettings,
    predictor: Option<&Predictor>,
) -> Vec<Alarm> {
    let Some(first) = play.rows.first() else { return vec![] };
    let start = Timestamp(first.begins * 1000);
    let mut watched = Watched {
        evaluator: Evaluator::new(settings, start),
        predictor,
        may_withdraw: play.watch == Watch::Probes,
        withdrawn: false,
        rolled_back: false,
        open: false,
        forecast: None,
        alarms: vec![],
    };
    let mut dice = Xoshiro256PlusPlus::seed_from_u64(play.seed);
    // Dice of its own: up to the alarm a mended release is the very same.
    let mut mending = Xoshiro256PlusPlus::seed_from_u64(!play.seed);
    let (route, probe): (Arc<str>, Arc<str>) = (Arc::from(play.node), Arc::from("recorded"));
    let mut canary_requests = 0;
    for (at, row) in play.rows.iter().enumerate() {
        let stable_row = match play.control {
            Control::FirstRow => first,
            Control::Recording(rows) => rows.get(at).unwrap_or(first),
            Control::Split => row,
        };
        let mut live = live(play.control, row, stable_row, &mut dice);
        let mut mended =
            play.mended_after.map(|_| resampled(first, row.requests.unwrap_or(0), &mut mending));
        for second in 0..ROW_SECONDS as usize {
            let now = at as u64 * ROW_SECONDS + second as u64 + 1;
            let is_mended = watched
                .alarms
                .first()
                .zip(play.mended_after)
                .is_some_and(|(alarm, after)| now > alarm.at + after);
            let canary = match &mut mended {
                Some(mended) if is_mended => mended,
                _ => &mut live.canary,
            };
            let mut samples = Pair {
                stable: std::mem::take(&mut live.stable[second]),
                canary: std::mem::take(&mut canary[second]),
            };
            if watched.withdrawn {
                samples.canary = Sample::default();
            }
            if now > play.fault_at {
                canary_requests += samples.canary.outcomes.total();
            }
            let canary_row = if is_mended { first } else { row };
            let rounds = (0..watched.rounds(play.watch, now)).filter_map(|_| {
                let (stable, canary) =
                    (probed(stable_row, &mut dice), probed(canary_row, &mut dice));
                let results = Pair { stable: stable?, canary: canary? };
                Some(ProbeRound {
                    probe: Arc::clone(&probe),
                    results,
                    steps: Vec::new(),
                    plain: false,
                })
            });
            let tick = ServiceTick {
                span_ms: 1000,
                probes: rounds.collect(),
                live: match is_seen(&samples.stable) || is_seen(&samples.canary) {
                    true => vec![LiveSample { route: Arc::clone(&route), samples }],
                    false => vec![],
                },
                ..ServiceTick::default()
            };
            watched.look(start, now, &tick, canary_requests);
        }
    }
    watched.alarms
}

/// What both variants answered in a row, second by second.
fn live(
    control: Control,
    row: &Row,
    stable_row: &Row,
    dice: &mut Xoshiro256PlusPlus,
) -> Pair<Seconds> {
    match control {
        Control::Split => dealt(row, dice),
        Control::FirstRow => Pair {
            stable: resampled(stable_row, stable_row.requests.unwrap_or(0), dice),
            canary: recorded(row, dice),
        },
        Control::Recording(_) => {
            Pair { stable: recorded(stable_row, dice), canary: recorded(row, dice) }
        }
    }
}

fn is_seen(sample: &Sample) -> bool {
    sample.outcomes.total() > 0 || !sample.latency.0.is_empty()
}

/// The release under trial.
struct Watched<'a> {
    evaluator: Evaluator,
    predictor: Option<&'a Predictor>,
    may_withdraw: bool,
    withdrawn: bool,
    /// For good: what comes after is looked at, but nobody returns.
    rolled_back: bool,
    open: bool,
    forecast: Option<f64>,
    alarms: Vec<Alarm>,
}

impl Watched<'_> {
    /// Probe rounds in the second that ends at `now`.
    fn rounds(&self, watch: Watch, now: u64) -> u64 {
        match watch {
            Watch::Recording => 0,
            Watch::Probes if self.open || self.withdrawn => RAISED_PROBES,
            Watch::Probes => u64::from(now.is_multiple_of(PROBE_EVERY)),
        }
    }

    /// `elapsed` seconds after `start`.
    fn look(&mut self, start: Timestamp, elapsed: u64, tick: &ServiceTick, canary_requests: u64) {
        let now = start + Duration::from_secs(elapsed);
        let exposure = Exposure { weight: WEIGHT, withdrawn: self.withdrawn };
        self.evaluator.observe(now, tick, exposure);
        if self.evaluator.features(now).is_some() {
            self.judge(now, elapsed, canary_requests);
        }
        for alarm in &mut self.alarms {
            for (forecast, age) in alarm.forecasts.iter_mut().zip(AGES) {
                if forecast.is_none() && elapsed >= alarm.at + age {
                    *forecast = self.forecast;
                }
            }
        }
        while let Some(episode) = self.evaluator.take_labelled(now) {
            let at = episode.alarm_at.since(start).as_secs();
            if let Some(alarm) = self.alarms.iter_mut().find(|alarm| alarm.at == at) {
                alarm.label = Some(episode.label);
            }
        }
    }

    fn judge(&mut self, now: Timestamp, elapsed: u64, canary_requests: u64) {
        let evaluation = self.evaluator.evaluate(now, self.predictor);
        // Four decimals: that is what is kept.
        let forecast = evaluation.failure_probability.map(|p| libm::round(p * 1e4) / 1e4);
        self.forecast = forecast.or(self.forecast);
        if !self.open {
            self.open = true;
            let strongest = evaluation.evidence.first();
            self.alarms.push(Alarm {
                at: elapsed,
                event: strongest.map_or_else(String::new, |evidence| name_of(&evidence.event)),
                canary_requests,
                forecasts: [None; AGES.len()],
                withdrawn: false,
                rolled_back_after: None,
                cleared_after: None,
                label: None,
            });
        }
        let Some(alarm) = self.alarms.last_mut() else { return };
        if matches!(evaluation.verdict, Verdict::Withdraw | Verdict::Rollback) {
            alarm.withdrawn = true;
            if self.may_withdraw && !self.withdrawn {
                self.withdrawn = true;
                self.evaluator.mark_withdrawn(now);
            }
        }
        if evaluation.verdict == Verdict::Rollback && !self.rolled_back {
            self.rolled_back = true;
            alarm.rolled_back_after = Some(elapsed - alarm.at);
        }
        if evaluation.cleared && !self.rolled_back {
            alarm.cleared_after = Some(elapsed - alarm.at);
            self.evaluator.users_returned(now);
            self.open = false;
            self.withdrawn = false;
        }
    }
}

/// The event's name in records.
fn name_of(event: &serinus_models::Event) -> String {
    match serde_json::to_value(event) {
        Ok(serde_json::Value::String(name)) => name,
        _ => String::new(),
    }
}
