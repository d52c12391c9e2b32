//! The kinds of releases that the world knows, each with random parameters.

use super::Truth;
use super::dice::Dice;
use super::fault::{Course, Effect, Fault, Reach};
use crate::outcome::Outcome;

/// A kind of release: what is wrong with it and how that goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// Fails all or nearly all requests from the deployment on: the commonest bad release.
    DeadOnArrival,
    /// 0.3 to 100% errors from some moment on.
    ErrorStep,
    /// Errors and latency that grow with memory over two to eight minutes.
    SlowLeak,
    /// Latency that grows and falls back with every collection.
    GcSawtooth,
    /// All requests slower by a constant factor.
    SlowStep,
    /// The slowest few percent become much slower.
    TailOnly,
    /// A tenth of the requests five times slower.
    Bimodal,
    /// One route of several fails.
    OneRoute,
    /// Answers 200 with a wrong body, sometimes faster than stable: only probes can see it.
    CorruptBody,
    /// Falls over, starts, falls over.
    CrashLoop,
    /// Bad and good by turns, for good: periods of 60 to 150 s.
    Flapping,
    /// Connections that end inside the answer, for good.
    ResetsLasting,
    /// Requests without an answer, for good.
    HangsLasting,
    /// Some of the canary's endpoints fail, for good.
    ZoneLost,
    /// Fails only under load: gone as soon as users have left.
    LoadDependent,
    /// Errors of any share for half a second to four seconds.
    Blip,
    /// Slow, and partly unready, for the first seconds or minutes.
    ColdStart,
    /// Slow where the cache is cold, until it is warm.
    ColdCache,
    /// The process, or one of several, restarts once: one to twenty seconds.
    SingleRestart,
    /// Connections that end inside the answer, for 10 to 60 s.
    ResetsPassing,
    /// Requests without an answer, for 5 to 40 s.
    HangsPassing,
    /// Some of the canary's endpoints fail, for 10 to 90 s.
    ZoneBack,
    /// Another tenant takes CPU for 10 to 45 s: slow, and a few errors.
    NoisyNeighbour,
    /// A dependency of both variants fails for 30 to 400 s.
    SharedOutage,
    /// Twice to five times the traffic for a while; both variants slow down.
    TrafficSpike,
    /// Traffic and latency follow the time of day.
    Diurnal,
    /// Nothing is wrong.
    Healthy,
}

impl Family {
    /// All kinds.
    pub const ALL: [Family; 27] = [
        Family::DeadOnArrival,
        Family::ErrorStep,
        Family::SlowLeak,
        Family::GcSawtooth,
        Family::SlowStep,
        Family::TailOnly,
        Family::Bimodal,
        Family::OneRoute,
        Family::CorruptBody,
        Family::CrashLoop,
        Family::Flapping,
        Family::ResetsLasting,
        Family::HangsLasting,
        Family::ZoneLost,
        Family::LoadDependent,
        Family::Blip,
        Family::ColdStart,
        Family::ColdCache,
        Family::SingleRestart,
        Family::ResetsPassing,
        Family::HangsPassing,
        Family::ZoneBack,
        Family::NoisyNeighbour,
        Family::SharedOutage,
        Family::TrafficSpike,
        Family::Diurnal,
        Family::Healthy,
    ];

    /// The name used in reports and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Family::DeadOnArrival => "dead_on_arrival",
            Family::ErrorStep => "error_step",
            Family::SlowLeak => "slow_leak",
            Family::GcSawtooth => "gc_sawtooth",
            Family::SlowStep => "slow_step",
            Family::TailOnly => "tail_only",
            Family::Bimodal => "bimodal",
            Family::OneRoute => "one_route",
            Family::CorruptBody => "corrupt_body",
            Family::CrashLoop => "crash_loop",
            Family::Flapping => "flapping",
            Family::ResetsLasting => "resets_lasting",
            Family::HangsLasting => "hangs_lasting",
            Family::ZoneLost => "zone_lost",
            Family::LoadDependent => "load_dependent",
            Family::Blip => "blip",
            Family::ColdStart => "cold_start",
            Family::ColdCache => "cold_cache",
            Family::SingleRestart => "single_restart",
            Family::ResetsPassing => "resets_passing",
            Family::HangsPassing => "hangs_passing",
            Family::ZoneBack => "zone_back",
            Family::NoisyNeighbour => "noisy_neighbour",
            Family::SharedOutage => "shared_outage",
            Family::TrafficSpike => "traffic_spike",
            Family::Diurnal => "diurnal",
            Family::Healthy => "healthy",
        }
    }

    /// Whether the canary has a fault of its own, and whether it lasts.
    pub const fn truth(self) -> Truth {
        match self {
            Family::SharedOutage | Family::TrafficSpike | Family::Diurnal | Family::Healthy => {
                Truth::Null
            }
            Family::Blip
            | Family::ColdStart
            | Family::ColdCache
            | Family::SingleRestart
            | Family::ResetsPassing
            | Family::HangsPassing
            | Family::ZoneBack
            | Family::NoisyNeighbour => Truth::Transient,
            _ => Truth::Sustained,
        }
    }

    /// What goes wrong, with drawn parameters, on a service of so many routes and so many canary
    /// requests per second at full weight.
    pub(super) fn faults(self, dice: &mut Dice, routes: usize, load: f64) -> Vec<Fault> {
        use Outcome::{ConnectError, Reset, ServerError, Timeout};
        let onset = if dice.chance(0.4) { 0.0 } else { dice.scale(3.0, 120.0) };
        // One of two to four endpoints, or all of a single one.
        let endpoint = 1.0 / dice.whole(2, 4) as f64;
        let instance = if dice.chance(0.6) { 1.0 } else { endpoint };
        match self {
            Family::DeadOnArrival => {
                let share = if dice.chance(0.8) { 1.0 } else { dice.between(0.7, 1.0) };
                let outcome = dice.pick(ServerError, &[ServerError, ServerError, ConnectError]);
                vec![Fault::lasting(0.0, Effect::failing(share, outcome))]
            }
            Family::ErrorStep => {
                // All or a half, where one thing is broken, as often as a few, where it depends.
                let some = dice.scale(0.003, 1.0);
                let share = dice.pick(some, &[some, 0.2, 0.5, 1.0, 1.0]);
                vec![Fault::lasting(onset, Effect::failing(share, ServerError))]
            }
            Family::SlowLeak => {
                let effect = Effect {
                    slow_share: 1.0,
                    slow_factor: dice.between(1.5, 5.0),
                    memory_per_minute: dice.between(0.1, 0.6),
                    cpu: dice.between(1.0, 2.0),
                    ..Effect::failing(dice.between(0.02, 0.6), dice.pick(ServerError, &[Timeout]))
                };
                let over = dice.between(120.0, 480.0);
                vec![Fault::lasting(0.0, effect).with(Course::Growing { over })]
            }
            Family::GcSawtooth => {
                let effect = Effect {
                    cpu: dice.between(1.2, 3.0),
                    ..Effect::slow(dice.between(0.3, 1.0), dice.between(3.0, 10.0))
                };
                let period = dice.between(10.0, 60.0);
                vec![Fault::lasting(0.0, effect).with(Course::Sawtooth { period })]
            }
            Family::SlowStep => {
                vec![Fault::lasting(onset, Effect::slow(1.0, dice.scale(1.4, 10.0)))]
            }
            Family::TailOnly => {
                vec![Fault::lasting(onset, Effect::slow(dice.between(0.01, 0.04), 15.0))]
            }
            Family::Bimodal => vec![Fault::lasting(onset, Effect::slow(0.1, 5.0))],
            Family::OneRoute => {
                let share = dice.scale(0.2, 1.0);
                let route = Some(dice.whole(0, routes - 1));
                vec![Fault { route, ..Fault::lasting(onset, Effect::failing(share, ServerError)) }]
            }
            Family::CorruptBody => {
                let (wrong, faster) = (dice.scale(0.3, 1.0), dice.pick(1.0, &[0.6]));
                let effect = Effect { wrong, ..Effect::slow(1.0, faster) };
                let route = if dice.chance(0.5) { Some(0) } else { None };
                vec![Fault { route, ..Fault::lasting(onset, effect) }]
            }
            Family::CrashLoop => {
                let on = dice.scale(1.0, 12.0);
                let period = on + dice.scale(1.0, 30.0);
                let effect = Effect { restarts: true, ..Effect::failing(instance, ConnectError) };
                vec![Fault::lasting(onset, effect).with(Course::Pulsing { period, on })]
            }
            Family::Flapping => {
                let period = dice.between(60.0, 150.0);
                let effect = Effect::failing(dice.scale(0.05, 0.8), ServerError);
                let on = period * dice.between(0.3, 0.7);
                vec![Fault::lasting(onset, effect).with(Course::Pulsing { period, on })]
            }
            Family::ResetsLasting => {
                vec![Fault::lasting(onset, Effect::failing(dice.scale(0.02, 1.0), Reset))]
            }
            Family::HangsLasting => {
                let effect = Effect { hangs: dice.scale(0.05, 1.0), ..Effect::NONE };
                vec![Fault::lasting(onset, effect)]
            }
            Family::ZoneLost => {
                let outcome = dice.pick(ServerError, &[ConnectError, Reset]);
                vec![Fault::lasting(onset, Effect::failing(endpoint, outcome))]
            }
            Family::LoadDependent => {
                let effect = Effect {
                    slow_share: 1.0,
                    slow_factor: dice.between(2.0, 8.0),
                    ..Effect::failing(dice.between(0.05, 0.5), dice.pick(ServerError, &[Timeout]))
                };
                let needs_load = Some(load * dice.between(0.2, 0.7));
                vec![Fault { needs_load, ..Fault::lasting(onset, effect) }]
            }
            Family::Blip => {
                let outcome =
                    dice.pick(ServerError, &[ServerError, ServerError, Reset, ConnectError]);
                let effect = Effect::failing(dice.between(0.1, 1.0), outcome);
                vec![Fault::passing(onset, dice.scale(0.5, 4.0), effect)]
            }
            Family::ColdStart => {
                let length = dice.scale(3.0, 90.0);
                // Some are only slow; most answer 503 or too late to a part of the requests.
                let unready = if dice.chance(0.6) { dice.between(0.02, 0.5) } else { 0.0 };
                let outcome = dice.pick(ServerError, &[Timeout]);
                let effect = Effect {
                    slow_share: 1.0,
                    slow_factor: dice.scale(2.0, 20.0),
                    cpu: dice.between(1.0, 3.0),
                    ..Effect::failing(unready, outcome)
                };
                let fault = Fault::passing(0.0, length, effect);
                let fading = Course::Fading { tau: length / 2.0 };
                let shrinking = Course::Shrinking { over: length };
                let course = dice.pick(Course::Constant, &[fading, shrinking]);
                let ends = if course == fading { 2.0 * length } else { length };
                vec![Fault { ends, ..fault }.with(course)]
            }
            Family::ColdCache => {
                let tau = dice.scale(5.0, 60.0);
                let effect = Effect::slow(dice.between(0.2, 0.8), dice.scale(2.0, 8.0));
                vec![Fault::passing(0.0, 4.0 * tau, effect).with(Course::Fading { tau })]
            }
            Family::SingleRestart => {
                let down = dice.scale(1.0, 20.0);
                let crash = Effect { restarts: true, ..Effect::failing(instance, ConnectError) };
                let resets = Effect::failing(0.5 * instance, Reset);
                let warming = Effect::slow(instance, dice.scale(1.5, 6.0));
                let tau = dice.scale(1.0, 15.0);
                vec![
                    Fault::passing(onset, 1.0, resets),
                    Fault::passing(onset, down, crash),
                    Fault::passing(onset + down, 4.0 * tau, warming).with(Course::Fading { tau }),
                ]
            }
            Family::ResetsPassing => {
                let effect = Effect::failing(dice.scale(0.02, 0.6), Reset);
                vec![Fault::passing(onset, dice.between(10.0, 60.0), effect)]
            }
            Family::HangsPassing => {
                let effect = Effect { hangs: dice.scale(0.05, 0.6), ..Effect::NONE };
                vec![Fault::passing(onset, dice.between(5.0, 40.0), effect)]
            }
            Family::ZoneBack => {
                let outcome = dice.pick(ServerError, &[ConnectError, Reset]);
                let effect = Effect::failing(endpoint, outcome);
                vec![Fault::passing(onset, dice.scale(10.0, 90.0), effect)]
            }
            Family::NoisyNeighbour => {
                let errors = if dice.chance(0.5) { dice.scale(0.01, 0.3) } else { 0.0 };
                let effect = Effect {
                    slow_share: dice.between(0.3, 1.0),
                    slow_factor: dice.scale(1.5, 6.0),
                    cpu: dice.between(1.3, 4.0),
                    ..Effect::failing(errors, dice.pick(Timeout, &[ServerError]))
                };
                vec![Fault::passing(onset, dice.between(10.0, 45.0), effect)]
            }
            Family::SharedOutage => {
                let effect = Effect {
                    slow_share: 1.0,
                    slow_factor: dice.scale(1.0, 5.0),
                    ..Effect::failing(dice.scale(0.02, 1.0), dice.pick(ServerError, &[Timeout]))
                };
                let fault = Fault::passing(onset, dice.between(30.0, 400.0), effect);
                vec![Fault { reach: Reach::Both, ..fault }]
            }
            Family::TrafficSpike => {
                let fault = Fault::passing(onset, 120.0, Effect::slow(1.0, dice.between(1.2, 3.0)));
                vec![Fault { reach: Reach::Both, ..fault }]
            }
            Family::Diurnal => {
                let fault = Fault::lasting(0.0, Effect::slow(1.0, 1.5));
                let course = Course::Growing { over: 3600.0 };
                vec![Fault { reach: Reach::Both, ..fault }.with(course)]
            }
            Family::Healthy => vec![],
        }
    }
}
