//! What Serinus promises, held against what was found, and where another policy is better.

use super::benchmark::Family;
use super::ledger::Outcome;
use super::policy::Policy;
use super::statistics::{Share, Sorted};
use super::totals::Totals;
use serinus_models::world::Truth;
use std::fmt::Write;
use std::time::Duration;

/// Detection at 100 canary requests per second: the most that the mean delay may be, times the bound.
const YARDSTICKS: [(&str, f64); 4] =
    [("yardstick_0_4", 1.6), ("yardstick_1", 1.6), ("yardstick_2", 2.0), ("yardstick_5", 2.0)];
/// The same for faults that come later.
const LATE: f64 = 3.0;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A promise and what was found.
struct Target {
    promise: String,
    found: String,
    kept: bool,
}

/// Promises and findings as Markdown; nothing of a benchmark without Serinus' defaults.
pub(super) fn findings(families: &[Family], totals: &[Totals]) -> Option<String> {
    let ours = of(totals, Policy::Ours)?;
    let mut text = "| promised | found | kept |\n|---|---|---|\n".to_owned();
    for target in targets(families, totals, ours) {
        let kept = if target.kept { "yes" } else { "**no**" };
        let _ = writeln!(text, "| {} | {} | {kept} |", target.promise, target.found);
    }
    text += "\n## Where another policy is better\n\n";
    let others = totals.iter().filter(|other| other.policy != Policy::Ours);
    let mut on_both = Vec::new();
    for other in others {
        let better = better(other, ours);
        if !better.is_empty() {
            let _ = writeln!(text, "- `{}`: {}.", other.policy.as_str(), better.join("; "));
        }
        let less_harm = other.harm() < ours.harm();
        let fewer = |share: fn(&Totals) -> Share| share(other).rate() < share(ours).rate();
        if less_harm && (fewer(|of| of.false_rollbacks) || fewer(|of| of.transients_rolled_back)) {
            on_both.push(other.policy.as_str());
        }
    }
    text += &match on_both.as_slice() {
        [] => "\nNone is better than `ours` on both axes of a panel of the frontier.\n".to_owned(),
        some => format!(
            "\nBetter than `ours` on both axes of a panel of the frontier: {}.\n",
            some.join(", ")
        ),
    };
    Some(text)
}

fn of(totals: &[Totals], policy: Policy) -> Option<&Totals> {
    totals.iter().find(|of| of.policy == policy)
}

fn targets(families: &[Family], totals: &[Totals], ours: &Totals) -> Vec<Target> {
    let mut targets = Vec::new();
    let mut share = |promise: &str, share: Share, most: f64| {
        if share.trials > 0 {
            let found = in_words(share);
            targets.push(Target { promise: promise.to_owned(), found, kept: share.rate() <= most });
        }
    };
    let is_null = |of: &&Outcome| of.truth == Truth::Null;
    let null = |day: bool, policy, hit: fn(&Outcome) -> bool| {
        let chosen = families.iter().filter(|family| (family.scenario.lasts() >= DAY) == day);
        let outcomes = chosen.flat_map(|family| outcomes(family, policy)).filter(is_null);
        Share::of(outcomes.map(hit))
    };
    share(
        "healthy for 24 hours: at most 0.1% rolled back",
        null(true, Policy::Ours, |of| of.rolled_back),
        0.001,
    );
    share(
        "shared outages and traffic spikes: at most 1% rolled back",
        null(false, Policy::Ours, |of| of.rolled_back),
        0.01,
    );
    let mut alarms = null(true, Policy::AlwaysAtAlarm, |of| of.rolled_back);
    let short = null(false, Policy::AlwaysAtAlarm, |of| of.rolled_back);
    alarms = Share { hits: alarms.hits + short.hits, trials: alarms.trials + short.trials };
    share("nothing wrong with the canary: at most 0.1% raise an alarm", alarms, 0.001);
    share("faults that pass: at most 8% rolled back", ours.transients_rolled_back, 0.08);
    let severe = families.iter().filter(|family| !family.is_yardstick());
    let beyond_reach = severe.flat_map(|family| outcomes(family, Policy::Ours));
    let beyond_reach = beyond_reach.filter(|of| of.beyond_reach).count();
    let promise = format!(
        "lasting and severe: at most 2% missed at 30 min (of those missed {beyond_reach} had fewer canary requests than any test of error rates needs)"
    );
    share(&promise, ours.missed, 0.02);
    targets.extend(harm_targets(totals, ours));
    targets.extend(families.iter().filter_map(detection));
    if let Some(errors) = ours.idempotent_errors.as_ref().and_then(|errors| errors.quantile(0.5)) {
        targets.push(Target {
            promise: "errors of retriable requests that users see per bad release, median: 0"
                .into(),
            found: format!("{errors:.0}"),
            kept: errors == 0.0,
        });
    }
    targets
}

fn harm_targets(totals: &[Totals], ours: &Totals) -> Vec<Target> {
    let mut targets = Vec::new();
    let ratio = |one: &Totals, other: &Totals| {
        let mean = one.harm()? / other.harm()?;
        let median = one.harmed.quantile(0.5)? / other.harmed.quantile(0.5)?;
        Some((mean, median))
    };
    if let Some((mean, median)) =
        of(totals, Policy::AlwaysAtAlarm).and_then(|alarm| ratio(ours, alarm))
    {
        targets.push(Target {
            promise: "harmed per bad release: at most 1.1 times those of always-at-alarm".into(),
            found: format!("{mean:.2} times by the mean, {median:.2} by the median"),
            kept: mean <= 1.1 && median <= 1.1,
        });
    }
    for rival in [Policy::Kayenta, Policy::Flagger, Policy::ArgoQuick, Policy::ArgoPatient] {
        if let Some((mean, median)) = of(totals, rival).and_then(|rival| ratio(rival, ours)) {
            targets.push(Target {
                promise: format!("at least 100 times fewer harmed than {}", rival.as_str()),
                found: format!("{mean:.0} times by the mean, {median:.0} by the median"),
                kept: mean >= 100.0 && median >= 100.0,
            });
        }
    }
    targets
}

/// The delay on a yardstick against its promise.
fn detection(family: &Family) -> Option<Target> {
    let name = family.scenario.name();
    let (step, most) = YARDSTICKS.into_iter().find(|(step, _)| name.starts_with(step))?;
    let most = match name.strip_prefix(step)? {
        "" => most,
        "_late" => LATE,
        _ => return None,
    };
    let mean = |number: fn(&Outcome) -> Option<f64>| {
        Sorted::of(outcomes(family, Policy::Ours).filter_map(number)).mean()
    };
    let (delay, bound) = (mean(|of| of.delay.map(|delay| delay as f64))?, mean(|of| of.bound)?);
    Some(Target {
        promise: format!("{name}: mean requests to the alarm at most {most} times the bound"),
        found: format!("{delay:.0} of {bound:.0}: {:.2} times", delay / bound),
        kept: delay <= most * bound,
    })
}

fn outcomes<'a>(family: &'a Family, policy: Policy) -> impl Iterator<Item = &'a Outcome> {
    family.outcomes.iter().filter(move |(of, _)| *of == policy).flat_map(|(_, outcomes)| outcomes)
}

/// What `other` does better, by its point estimates.
fn better(other: &Totals, ours: &Totals) -> Vec<String> {
    let mut better = Vec::new();
    let number = |harmed: &Sorted, q| harmed.quantile(q);
    for (name, theirs, mine) in [
        ("harmed, mean", other.harm(), ours.harm()),
        ("harmed, median", number(&other.harmed, 0.5), number(&ours.harmed, 0.5)),
        ("harmed, 95th percentile", number(&other.harmed, 0.95), number(&ours.harmed, 0.95)),
    ] {
        if let (Some(theirs), Some(mine)) = (theirs, mine)
            && theirs < mine
        {
            better.push(format!("{name} {theirs:.1} against {mine:.1}"));
        }
    }
    for (name, share) in [
        ("healthy rolled back", (|of| of.false_rollbacks) as fn(&Totals) -> Share),
        ("transients rolled back", |of| of.transients_rolled_back),
        ("missed at 30 min", |of| of.missed),
    ] {
        let (theirs, mine) = (share(other), share(ours));
        if theirs.rate() < mine.rate() {
            better.push(format!("{name} {} against {}", in_words(theirs), in_words(mine)));
        }
    }
    better
}

fn in_words(share: Share) -> String {
    let (low, high) = share.interval();
    format!(
        "{} of {} ({:.1}%; {:.1} to {:.1})",
        share.hits,
        share.trials,
        share.rate() * 100.0,
        low * 100.0,
        high * 100.0
    )
}
