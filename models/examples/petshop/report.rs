//! The tables.

use crate::dataset::View;
use crate::label::Fate;
use crate::metrics::ROW_SECONDS;
use crate::record::{Draw, Found, IncidentRecord, MENDED_AFTER, Null, NullRecord};
use crate::scoring::{Draws, Score, Share, median};
use crate::trial::{AGES, Watch};
use serde::Serialize;

/// The last row of a recording begins here: what is said later is no forecast of it.
const LAST_ROW: u64 = 4 * ROW_SECONDS;

/// How a group of incidents was found.
#[derive(Debug, Serialize)]
pub(crate) struct Group {
    pub(crate) view: View,
    pub(crate) watch: Watch,
    pub(crate) group: String,
    pub(crate) incidents: usize,
    pub(crate) found: Option<Share>,
    pub(crate) found_in_one_look: Option<Share>,
    pub(crate) rolled_back: Option<Share>,
    /// Alarms in rows before the fault, per draw.
    pub(crate) early: f64,
    /// Medians over found ones: canary requests and seconds from the fault to the alarm, and seconds
    /// from the alarm to the rollback.
    pub(crate) canary_requests: Option<u64>,
    pub(crate) delay: Option<u64>,
    pub(crate) rolled_back_after: Option<u64>,
}

/// What the forecasts of a kind of label were worth.
#[derive(Debug, Serialize)]
pub(crate) struct Scores {
    pub(crate) view: View,
    pub(crate) watch: Watch,
    pub(crate) label: String,
    pub(crate) scores: Vec<Score>,
}

fn share_of(record: &IncidentRecord, is: impl Fn(&Draw) -> bool) -> f64 {
    record.draws.iter().filter(|draw| is(draw)).count() as f64 / record.draws.len().max(1) as f64
}

fn group(view: View, watch: Watch, group: &str, records: &[&IncidentRecord]) -> Group {
    let shares = |is: fn(&Draw) -> bool| -> Vec<f64> {
        records.iter().map(|record| share_of(record, is)).collect()
    };
    let draws = || records.iter().flat_map(|record| &record.draws);
    let found = || draws().filter_map(|draw| draw.found.as_ref());
    let early: usize = draws().map(|draw| draw.early).sum();
    Group {
        view,
        watch,
        group: group.to_owned(),
        incidents: records.len(),
        found: Share::of(&shares(|draw| draw.found.is_some())),
        found_in_one_look: Share::of(&shares(|draw| draw.found_in_one_look)),
        rolled_back: Share::of(&shares(|draw| draw.rolled_back)),
        early: early as f64 / draws().count().max(1) as f64,
        canary_requests: median(found().map(|found| found.alarm.canary_requests).collect()),
        delay: median(found().map(|found| found.delay).collect()),
        rolled_back_after: median(
            found().filter_map(|found| found.alarm.rolled_back_after).collect(),
        ),
    }
}

/// Groups by what there is to find, where it was put in, how much traffic there was and how it ended.
pub(crate) fn groups(records: &[IncidentRecord], view: View, watch: Watch) -> Vec<Group> {
    let here = |record: &&IncidentRecord| record.view == view && record.watch == watch;
    let here: Vec<&IncidentRecord> = records.iter().filter(here).collect();
    let shows = |record: &&&IncidentRecord| record.fate_at_the_end != Fate::Slight;
    let shown: Vec<&IncidentRecord> = here.iter().filter(shows).copied().collect();
    let mut groups = vec![group(view, watch, "all that show", &shown)];
    let mut by = |name: &dyn Fn(&IncidentRecord) -> String| {
        let mut names: Vec<String> = shown.iter().map(|record| name(record)).collect();
        names.sort();
        names.dedup();
        for wanted in names {
            let of = |record: &&&IncidentRecord| name(record) == wanted;
            let of: Vec<_> = shown.iter().filter(of).copied().collect();
            groups.push(group(view, watch, &wanted, &of));
        }
    };
    by(&|record| word(&record.metric));
    by(&|record| record.traffic.clone());
    by(&|record| format!("{} at {}", word(&record.metric), short(&record.cause)));
    by(&|record| format!("{} at the end", word(&record.fate_at_the_end)));
    let slight: Vec<_> = here.iter().filter(|record| !shows(record)).copied().collect();
    groups.push(group(view, watch, "within the margin", &slight));
    groups
}

/// Forecasts against the label in the last row, the label of Serinus' own window, and constructed blips.
pub(crate) fn scores(records: &[IncidentRecord], view: View, watch: Watch) -> Vec<Scores> {
    let here = |record: &&IncidentRecord| record.view == view && record.watch == watch;
    let found_in = |record: &IncidentRecord, draws: &dyn Fn(&Found) -> Draws| -> Draws {
        record.draws.iter().filter_map(|draw| draw.found.as_ref()).flat_map(draws).collect()
    };
    let scored = |label: String, of: &dyn Fn(&IncidentRecord, &Found, usize) -> Draws| {
        let score = |at: usize| {
            let of_record = |record| found_in(record, &|found| of(record, found, at));
            let incidents: Vec<Draws> = records.iter().filter(here).map(of_record).collect();
            Score::of(AGES[at], &incidents)
        };
        Scores { view, watch, label, scores: (0..AGES.len()).map(score).collect() }
    };
    let mended_after = |after: u64| {
        move |_: &IncidentRecord, found: &Found, at: usize| {
            let mended = found.mended.iter().find(|mended| mended.after == after);
            match (mended, found.fate_in_label_window, found.alarm.forecasts[at]) {
                (Some(mended), Fate::Sustained, Some(lasts)) => mended.forecasts[at]
                    .map_or(vec![], |passes| vec![(lasts, true), (passes, false)]),
                _ => vec![],
            }
        }
    };
    let mut scores = vec![
        scored("the last row".to_owned(), &|record, found, at| {
            let forecast =
                found.alarm.forecasts[at].filter(|_| found.alarm.at + AGES[at] <= LAST_ROW);
            forecast.zip(lasted(record.fate_at_the_end)).into_iter().collect()
        }),
        scored("60-300 s after the alarm".to_owned(), &|_, found, at| {
            found.alarm.forecasts[at].zip(lasted(found.fate_in_label_window)).into_iter().collect()
        }),
    ];
    for after in MENDED_AFTER {
        scores.push(scored(
            format!("CONSTRUCTED: lasting, or mended {after} s after the alarm"),
            &mended_after(after),
        ));
    }
    scores
}

fn lasted(fate: Fate) -> Option<bool> {
    match fate {
        Fate::Sustained => Some(true),
        Fate::Transient => Some(false),
        Fate::Unclear | Fate::Slight | Fate::Unknown => None,
    }
}

pub(crate) fn print_groups(groups: &[Group]) {
    println!(
        "| incidents | n | found | one look at the end | rolled back | early alarms per run | canary requests to the alarm | seconds to the alarm | seconds from alarm to rollback |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for group in groups {
        println!(
            "| {} | {} | {} | {} | {} | {:.3} | {} | {} | {} |",
            group.group,
            group.incidents,
            percent(group.found),
            percent(group.found_in_one_look),
            percent(group.rolled_back),
            group.early,
            number(group.canary_requests),
            number(group.delay),
            number(group.rolled_back_after),
        );
    }
}

pub(crate) fn print_scores(scores: &[Scores]) {
    println!(
        "| label from | after the alarm | incidents | forecasts | lasting | AUC | Brier (base rate) | ECE |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for of_label in scores {
        for score in &of_label.scores {
            let auc = score.auc.zip(score.auc_interval).map_or_else(String::new, |(auc, at)| {
                format!("{auc:.2} ({:.2}-{:.2})", at.0, at.1)
            });
            let decimals =
                |value: Option<f64>| value.map_or_else(String::new, |v| format!("{v:.3}"));
            println!(
                "| {} | +{} s | {} | {} | {} | {} | {} ({}) | {} |",
                of_label.label,
                score.age,
                score.incidents,
                score.forecasts,
                score.sustained,
                auc,
                decimals(score.brier),
                decimals(score.brier_of_the_base_rate),
                decimals(score.calibration_error),
            );
        }
    }
}

pub(crate) fn print_mended(records: &[IncidentRecord]) {
    println!(
        "| node | watched by | alarms on lasting faults | rolled back | CONSTRUCTED: the same, mended after | rolled back |"
    );
    println!("|---|---|---|---|---|---|");
    for (view, watch) in VIEWS {
        let here = records.iter().filter(|record| record.view == view && record.watch == watch);
        let found = here.flat_map(|record| &record.draws).filter_map(|draw| draw.found.as_ref());
        let lasting = |found: &&Found| found.fate_in_label_window == Fate::Sustained;
        let found: Vec<&Found> = found.filter(lasting).collect();
        let share = |is: &dyn Fn(&Found) -> bool| {
            let hits = found.iter().filter(|found| is(found)).count();
            100.0 * hits as f64 / found.len().max(1) as f64
        };
        for after in MENDED_AFTER {
            println!(
                "| {} | {} | {} | {:.1}% | {after} s | {:.1}% |",
                word(&view),
                word(&watch),
                found.len(),
                share(&|found| found.alarm.rolled_back_after.is_some()),
                share(&|found| {
                    found.mended.iter().any(|mended| mended.after == after && mended.rolled_back)
                }),
            );
        }
    }
}

pub(crate) fn print_nulls(records: &[NullRecord]) {
    println!(
        "| stable is | watched by | traffic | deployments | hours | alarms | withdrawn | rolled back | where |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for null in [Null::Split, Null::DayBefore, Null::FirstRow] {
        for watch in [Watch::Recording, Watch::Probes] {
            let here = records.iter().filter(|record| record.null == null && record.watch == watch);
            let here: Vec<&NullRecord> = here.collect();
            let mut traffics: Vec<&str> = here.iter().map(|record| &*record.traffic).collect();
            traffics.dedup();
            for traffic in traffics {
                let of: Vec<_> =
                    here.iter().filter(|record| record.traffic == traffic).copied().collect();
                print_null(null, watch, traffic, &of);
            }
        }
    }
}

fn print_null(null: Null, watch: Watch, traffic: &str, records: &[&NullRecord]) {
    let alarms = || records.iter().flat_map(|record| &record.alarms).map(|found| &found.alarm);
    let mut places: Vec<String> = records
        .iter()
        .filter(|record| !record.alarms.is_empty())
        .map(|record| format!("{} {}", short(&record.node), record.alarms.len()))
        .collect();
    places.truncate(6);
    println!(
        "| {} | {} | {traffic} | {} | {:.0} | {} | {} | {} | {} |",
        word(&null),
        word(&watch),
        records.iter().map(|record| record.deployments).sum::<usize>(),
        records.iter().map(|record| record.hours).sum::<f64>(),
        alarms().count(),
        alarms().filter(|alarm| alarm.withdrawn).count(),
        alarms().filter(|alarm| alarm.rolled_back_after.is_some()).count(),
        places.join(", "),
    );
}

/// Every node and way of watching.
pub(crate) const VIEWS: [(View, Watch); 4] = [
    (View::Front, Watch::Recording),
    (View::Front, Watch::Probes),
    (View::Cause, Watch::Recording),
    (View::Cause, Watch::Probes),
];

/// A name as it is serialised, in words.
pub(crate) fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => name.replace('_', " "),
        _ => String::new(),
    }
}

/// A node's name without its kind.
fn short(node: &str) -> &str {
    node.split('_').next().unwrap_or(node)
}

fn percent(share: Option<Share>) -> String {
    share.map_or_else(String::new, |Share { share, low, high }| {
        format!("{:.1}% ({:.0}-{:.0})", 100.0 * share, 100.0 * low, 100.0 * high)
    })
}

fn number(number: Option<u64>) -> String {
    number.map_or_else(String::new, |number| number.to_string())
}
