//! From what is known of a release to the predictor's features.

use super::{FEATURE_COUNT, FeatureVector};
use crate::baseline::{BaselineProfile, Trend};
use crate::course::{Course, is_bad};
use crate::episode::Open;
use crate::kernel::Count;
use crate::outcome::{Outcome, OutcomeCounts};
use crate::sample::Pair;
use crate::time::Timestamp;
use crate::window::{Recent, Seen, excess};

/// Seconds that count as recent.
const RECENT: u64 = 10;
/// Log-odds and logarithms are kept within these.
const MOST_LN_E: f64 = 40.0;

/// The process is away, or does not come to an answer.
const UNANSWERED: [Outcome; 3] = [Outcome::ConnectError, Outcome::Reset, Outcome::Timeout];

/// All that features are made from.
pub(crate) struct View<'a> {
    pub(crate) now: Timestamp,
    pub(crate) deployed: Timestamp,
    pub(crate) recent: &'a Recent,
    pub(crate) course: &'a Course,
    pub(crate) open: &'a Open,
    pub(crate) baseline: &'a BaselineProfile,
    /// The canary's CPU seconds and network bytes per request, and its resident bytes.
    pub(crate) cpu: &'a Trend,
    pub(crate) network: &'a Trend,
    pub(crate) memory: &'a Trend,
    pub(crate) e_value: f64,
    pub(crate) routes_affected: Option<f64>,
}

/// One value per feature, in the order of [`super::FEATURES`].
pub(crate) fn extract(view: &View) -> FeatureVector {
    let second = view.now.0 / 1000;
    let lately = view.recent.sum(view.now, RECENT);
    let (failures, slow) = (lately.failures(), lately.slow());
    let last = view.recent.sum(view.now, 2);
    let before = view.recent.between(second.saturating_sub(4), second.saturating_sub(2));
    let jump = |now: Option<f64>, then: Option<f64>| Some(now? - then?);
    let minute = view.recent.sum(view.now, 60).outcomes.canary;
    let persistence = &view.open.persistence;
    let since_alarm = view.now.since(view.open.alarm_at).as_secs_f64();
    let age = view.now.since(view.deployed).as_secs_f64();
    let restarts = view.recent.sum(view.now, 120).restarts;

    let values: [Option<f64>; FEATURE_COUNT] = [
        log_odds(failures.canary),
        log_odds(slow.canary),
        excess(failures),
        excess(slow),
        jump(excess(last.failures()), excess(before.failures())),
        jump(excess(last.slow()), excess(before.slow())),
        slope(&view.course.errors),
        ahead(&view.course.errors),
        slope(&view.course.slow),
        ahead(&view.course.slow),
        Some(libm::log1p(f64::from(bad_run(view, second)))),
        bad_share(view.recent, second),
        Some(f64::from(view.course.onsets)),
        excess(lately.probe),
        excess(lately.probe_slow),
        ended_in(view.open.outcomes, &[Outcome::ServerError, Outcome::Assertion]),
        ended_in(view.open.outcomes, &UNANSWERED),
        view.open.probe_gap(),
        persistence.log_ratio().map(|ratio| ratio.clamp(-5.0, 5.0)),
        persistence.log_ratio().map(|_| libm::log1p(persistence.clean_run() as f64)),
        stable_drift(view, &lately),
        share_of(minute, &[Outcome::ConnectError, Outcome::Reset]),
        share_of(minute, &[Outcome::Timeout]),
        ratio(view.cpu, &view.baseline.cpu).map(libm::log),
        ratio(view.network, &view.baseline.network).map(libm::log),
        memory_slope(view.memory),
        Some(libm::log1p(f64::from(restarts))),
        Some(libm::log(age.max(1.0))),
        Some(libm::log1p(since_alarm)),
        Some(libm::log(view.e_value.max(1.0)).min(MOST_LN_E)),
        view.routes_affected,
    ];
    FeatureVector(values.map(|value| value.filter(|value| value.is_finite())).to_vec())
}

fn log_odds(count: Count) -> Option<f64> {
    let (hits, trials) = (count.hits as f64, count.trials as f64);
    (count.trials > 0).then(|| libm::log((hits + 0.5) / (trials - hits + 0.5)))
}

fn slope(trend: &Trend) -> Option<f64> {
    trend.usual().map(|_| (trend.slope * 10.0).clamp(-1.0, 1.0))
}

fn ahead(trend: &Trend) -> Option<f64> {
    trend.ahead(30.0).map(|value| value.clamp(-1.0, 1.0))
}

/// The seconds that are over, and the one that runs if it is bad so far.
fn bad_run(view: &View, second: u64) -> u32 {
    match view.recent.second(second).and_then(is_bad) {
        Some(true) => view.course.bad_run + 1,
        _ => view.course.bad_run,
    }
}

fn bad_share(recent: &Recent, second: u64) -> Option<f64> {
    let judged = (0..60).filter_map(|ago| recent.second(second.checked_sub(ago)?).and_then(is_bad));
    let (seen, bad) =
        judged.take(12).fold((0u32, 0u32), |(seen, bad), is| (seen + 1, bad + u32::from(is)));
    (seen > 0).then(|| f64::from(bad) / f64::from(seen))
}

fn stable_drift(view: &View, lately: &Seen) -> Option<f64> {
    let Pair { stable, .. } = lately.failures();
    Some(stable.rate()? - view.baseline.failures.mean()?)
}

fn share_of(outcomes: OutcomeCounts, classes: &[Outcome]) -> Option<f64> {
    let failures = outcomes.failures();
    let of = classes.iter().map(|class| outcomes.of(*class)).sum::<u64>();
    (failures > 0).then(|| of as f64 / failures as f64)
}

/// Share of these classes.
fn ended_in(outcomes: OutcomeCounts, classes: &[Outcome]) -> Option<f64> {
    let of = classes.iter().map(|class| outcomes.of(*class)).sum::<u64>();
    (outcomes.total() > 0).then(|| of as f64 / outcomes.total() as f64)
}

/// The canary's level, lately, against stable's usual.
pub(crate) fn ratio(canary: &Trend, stable: &Trend) -> Option<f64> {
    let (canary, stable) = (canary.usual().map(|_| canary.level)?, stable.usual()?);
    (canary > 0.0 && stable > 0.0).then(|| canary / stable)
}

fn memory_slope(memory: &Trend) -> Option<f64> {
    let mean = memory.usual()?;
    (mean > 0.0).then(|| (memory.slope * 60.0 / mean).clamp(-10.0, 10.0))
}
