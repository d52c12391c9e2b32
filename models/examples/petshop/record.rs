//! Everything that is played, and what is kept of it.

use crate::dataset::{Dataset, Incident, Metric, View};
use crate::label::{Excess, Fate};
use crate::metrics::{ROW_SECONDS, Row};
use crate::one_look::one_look;
use crate::read_error::ReadError;
use crate::trial::{AGES, Alarm, Control, Play, Watch, play};
use serde::Serialize;
use serinus_models::{EvaluationSettings, Predictor};
use std::collections::BTreeSet;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// From when to when after an alarm Serinus looks for its label.
const LABEL_WINDOW: (u64, u64) = (60, 300);
/// Seconds after the alarm at which a fault is mended where a passing one is constructed.
pub(crate) const MENDED_AFTER: [u64; 3] = [5, 30, 90];
/// Rows of a day.
const DAY: usize = 288;
/// Rows of an incident's recording; a calm one is cut into such windows where it is held against its first row.
const WINDOW: usize = 5;

/// How everything is judged.
pub(crate) struct Judge {
    pub(crate) settings: EvaluationSettings,
    pub(crate) predictor: Predictor,
    pub(crate) draws: u64,
    pub(crate) seed: u64,
}

/// One incident at one node, watched in one way.
#[derive(Debug, Serialize)]
pub(crate) struct IncidentRecord {
    pub(crate) incident: String,
    pub(crate) traffic: String,
    pub(crate) metric: Metric,
    pub(crate) cause: String,
    pub(crate) view: View,
    pub(crate) node: String,
    pub(crate) watch: Watch,
    /// By the series: what was left of the excess in the last row.
    pub(crate) fate_at_the_end: Fate,
    pub(crate) draws: Vec<Draw>,
}

/// One draw of an incident.
#[derive(Debug, Serialize)]
pub(crate) struct Draw {
    /// Alarms in rows that end before the fault begins.
    pub(crate) early: usize,
    /// The first alarm from the row on in which the fault begins.
    pub(crate) found: Option<Found>,
    /// Whether there was a verdict `rollback`.
    pub(crate) rolled_back: bool,
    /// Whether one test of all counts, once it is over, finds the fault.
    pub(crate) found_in_one_look: bool,
}

/// An alarm that found a fault.
#[derive(Debug, Serialize)]
pub(crate) struct Found {
    #[serde(flatten)]
    pub(crate) alarm: Alarm,
    /// Seconds since the fault began; 0 where spreading its first row evenly put the alarm before it.
    pub(crate) delay: u64,
    /// By the series: what was left of the excess 60 to 300 s after the alarm.
    pub(crate) fate_in_label_window: Fate,
    /// CONSTRUCTED: the same release, where the fault ends [`MENDED_AFTER`] the alarm.
    pub(crate) mended: Vec<Mended>,
}

/// CONSTRUCTED: a recorded fault that was made to end.
#[derive(Debug, Serialize)]
pub(crate) struct Mended {
    /// Seconds after the alarm.
    pub(crate) after: u64,
    pub(crate) forecasts: [Option<f64>; AGES.len()],
    pub(crate) rolled_back: bool,
}

/// Plays one incident as often as it is drawn.
pub(crate) fn incident(
    incident: &Incident,
    view: View,
    watch: Watch,
    judge: &Judge,
) -> IncidentRecord {
    let scene = incident.scene(view);
    let excess = Excess::of(&scene.rows, incident.metric);
    let fault_at = incident.injected - scene.rows.first().map_or(0, |row| row.begins);
    let first_bad_row = fault_at / ROW_SECONDS * ROW_SECONDS;
    let draws = (0..judge.draws).map(|draw| {
        let name = format!("{}/{view:?}/{watch:?}/{draw}", incident.name);
        let mut setup = Play {
            node: &scene.node,
            rows: &scene.rows,
            control: Control::FirstRow,
            watch,
            fault_at,
            mended_after: None,
            seed: xxh3_64_with_seed(name.as_bytes(), judge.seed),
        };
        let alarms = play(&setup, judge.settings, Some(&judge.predictor));
        let early = alarms.iter().filter(|alarm| alarm.at <= first_bad_row).count();
        let rolled_back = alarms.iter().any(|alarm| alarm.rolled_back_after.is_some());
        // Mending goes by the first alarm of all, so with an early one there is nothing to compare.
        let mendings = if early == 0 && !alarms.is_empty() { &MENDED_AFTER[..] } else { &[] };
        let mended = mendings.iter().map(|&after| {
            setup.mended_after = Some(after);
            let alarms = play(&setup, judge.settings, Some(&judge.predictor));
            Mended {
                after,
                forecasts: alarms.first().map_or([None; AGES.len()], |alarm| alarm.forecasts),
                rolled_back: alarms.iter().any(|alarm| alarm.rolled_back_after.is_some()),
            }
        });
        let mended: Vec<Mended> = mended.collect();
        let found = alarms.into_iter().nth(early).map(|alarm| Found {
            delay: alarm.at.saturating_sub(fault_at),
            fate_in_label_window: excess
                .between(alarm.at + LABEL_WINDOW.0, alarm.at + LABEL_WINDOW.1),
            mended,
            alarm,
        });
        let alpha = 1.0 / judge.settings.alarm_at();
        let margin = judge.settings.margin;
        let found_in_one_look = one_look(&scene.rows, fault_at, margin, alpha, setup.seed);
        Draw { early, found, rolled_back, found_in_one_look }
    });
    IncidentRecord {
        incident: incident.name.clone(),
        traffic: incident.traffic.clone(),
        metric: incident.metric,
        cause: incident.cause.node.clone(),
        view,
        node: scene.node.clone(),
        watch,
        fate_at_the_end: excess.at_the_end(),
        draws: draws.collect(),
    }
}

/// What plays stable beside a recording in which nothing was injected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Null {
    /// Half of the same requests: one healthy deployment of 49 hours.
    Split,
    /// The same node 24 hours earlier: one healthy deployment of 25 hours.
    DayBefore,
    /// The window's first row, as in the incidents: healthy deployments of 25 minutes.
    FirstRow,
}

/// One node of a calm recording.
#[derive(Debug, Serialize)]
pub(crate) struct NullRecord {
    pub(crate) null: Null,
    pub(crate) traffic: String,
    pub(crate) node: String,
    pub(crate) watch: Watch,
    pub(crate) deployments: usize,
    pub(crate) hours: f64,
    /// With the draw and, for windows, the row at which the window began.
    pub(crate) alarms: Vec<NullAlarm>,
}

/// A false alarm.
#[derive(Debug, Serialize)]
pub(crate) struct NullAlarm {
    pub(crate) draw: u64,
    pub(crate) first_row: usize,
    #[serde(flatten)]
    pub(crate) alarm: Alarm,
}

/// The nodes that take part in incidents.
pub(crate) fn nodes(dataset: &Dataset) -> BTreeSet<&str> {
    let scenes = dataset.incidents.iter().flat_map(|incident| [&incident.front, &incident.cause]);
    scenes.map(|scene| scene.node.as_str()).collect()
}

/// Plays the calm recordings of every node that takes part in incidents.
///
/// # Errors
/// [`ReadError`] if such a node has a column but not all.
pub(crate) fn nulls(
    dataset: &Dataset,
    null: Null,
    watch: Watch,
    judge: &Judge,
) -> Result<Vec<NullRecord>, ReadError> {
    let mut records = vec![];
    for calm in &dataset.calm {
        for node in nodes(dataset).into_iter().filter(|node| calm.metrics.knows(node)) {
            let rows = calm.metrics.series(node)?;
            let mut alarms = vec![];
            let (mut deployments, mut row_count) = (0, 0);
            for draw in 0..judge.draws {
                let mut next = windows(&rows, null);
                while let Some((first_row, rows, control)) = next.pop() {
                    let name =
                        format!("{}/{node}/{null:?}/{watch:?}/{first_row}/{draw}", calm.traffic);
                    let setup = Play {
                        node,
                        rows,
                        control,
                        watch,
                        fault_at: u64::MAX,
                        mended_after: None,
                        seed: xxh3_64_with_seed(name.as_bytes(), judge.seed),
                    };
                    let found = play(&setup, judge.settings, Some(&judge.predictor));
                    let ended =
                        found.last().and_then(|alarm| Some(alarm.at + alarm.rolled_back_after?));
                    alarms.extend(found.into_iter().map(|alarm| NullAlarm {
                        draw,
                        first_row,
                        alarm,
                    }));
                    deployments += 1;
                    row_count += rows.len();
                    // What a rollback leaves of a long recording is the next deployment.
                    let rest = ended.map_or(rows.len(), |at| (at / ROW_SECONDS) as usize + 1);
                    if null != Null::FirstRow && rest < rows.len() {
                        row_count -= rows.len() - rest;
                        let control = match control {
                            Control::Recording(rows) => Control::Recording(&rows[rest..]),
                            other => other,
                        };
                        next.push((first_row + rest, &rows[rest..], control));
                    }
                }
            }
            records.push(NullRecord {
                null,
                traffic: calm.traffic.clone(),
                node: node.to_owned(),
                watch,
                deployments,
                hours: (row_count as u64 * ROW_SECONDS) as f64 / 3600.0,
                alarms,
            });
        }
    }
    Ok(records)
}

type Window<'a> = (usize, &'a [Row], Control<'a>);

/// The deployments that a calm recording makes.
fn windows(rows: &[Row], null: Null) -> Vec<Window<'_>> {
    match null {
        Null::Split => vec![(0, rows, Control::Split)],
        Null::DayBefore if rows.len() > DAY => {
            let (before, after) = (&rows[..rows.len() - DAY], &rows[DAY..]);
            vec![(DAY, after, Control::Recording(before))]
        }
        Null::DayBefore => vec![],
        Null::FirstRow => {
            let windows = rows.chunks_exact(WINDOW).enumerate();
            windows.map(|(at, rows)| (at * WINDOW, rows, Control::FirstRow)).collect()
        }
    }
}
