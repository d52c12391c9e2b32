//! What was decided beside what would have been.

use crate::control::journal::Entry;
use crate::explain;
use serde::Serialize;
use serde_json::Value;
use serinus_models::Timestamp;
use serinus_rollout::{Made, Record, RecordKind, Replay, Written};
use std::collections::BTreeMap;

/// Beyond this, decisions are compared one by one from the front only.
const MOST_COMPARED: usize = 2_000;

/// A decision of the journal and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Verified {
    /// The decision.
    #[serde(flatten)]
    pub(crate) decision: Brief,
    /// Whether it came out as it was.
    pub(crate) outcome: Outcome,
}

/// How a decision came out, judged again as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// To the last digit.
    Same,
    /// These parts of the record are others: where, in the journal, now.
    Differs(Vec<String>),
    /// It did not come out.
    Missing,
    /// What was seen before it is not in the journal, or not any more.
    NotKnown,
}

impl Outcome {
    pub(crate) const fn is_other(&self) -> bool {
        matches!(self, Outcome::Differs(_) | Outcome::Missing)
    }
}

/// A decision in short.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Brief {
    /// Its number, where it is in the journal.
    pub(crate) id: Option<u64>,
    /// When, ms since the Unix epoch.
    pub(crate) at: Timestamp,
    /// What.
    pub(crate) kind: RecordKind,
    /// In words.
    pub(crate) headline: String,
    /// Percent of users on the canary after it, where it says that.
    pub(crate) weight: Option<f64>,
    /// Why.
    pub(crate) why: String,
}

impl Brief {
    fn new(id: Option<u64>, record: &Record) -> Brief {
        Brief {
            id,
            at: record.at,
            kind: record.kind,
            headline: explain::headline(record),
            weight: record.state.as_ref().map(|state| state.weight.percent()),
            why: record.text.clone(),
        }
    }
}

/// A decision that changed settings make another one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Difference {
    /// As it was made; none where only the changed settings make it.
    pub(crate) then: Option<Brief>,
    /// As it would have been made; none where it would not.
    pub(crate) now: Option<Brief>,
    /// What the other side said at that time.
    pub(crate) instead: Option<String>,
    /// Whether it rests on what users would have sent had they been elsewhere.
    pub(crate) conditional: bool,
}

/// What each side said at the moment at which the other decided something.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// By time of a decision as it was: the changed side.
    of_changed: BTreeMap<Timestamp, String>,
    /// By time of a decision under changed settings: the side as it was.
    of_then: BTreeMap<Timestamp, String>,
    seen: (usize, usize),
}

impl Notes {
    pub(super) fn take(&mut self, then: &Replay<'_>, changed: &Replay<'_>) {
        for made in &then.made()[self.seen.0.min(then.made().len())..] {
            self.of_changed.entry(made.record.at).or_insert_with(|| said(changed));
        }
        for made in &changed.made()[self.seen.1.min(changed.made().len())..] {
            self.of_then.entry(made.record.at).or_insert_with(|| said(then));
        }
        self.seen = (then.made().len(), changed.made().len());
    }
}

fn said(side: &Replay<'_>) -> String {
    let Some(status) = side.status() else { return "nothing is known".to_owned() };
    let reasons: Vec<&str> = status.reasons.iter().map(|reason| reason.text.as_str()).collect();
    let why = if reasons.is_empty() { String::new() } else { format!(": {}", reasons.join("; ")) };
    format!(
        "{}, {} of users on it, verdict {}{why}",
        status.phase.as_str(),
        status.weight,
        status.verdict.as_str()
    )
}

/// Where a side stands, in words.
pub(super) fn stands(side: &Replay<'_>) -> Option<String> {
    let status = side.status()?;
    let withdrawn = if status.withdrawn { ", users withdrawn" } else { "" };
    Some(format!("{} at {} of users{withdrawn}", status.phase.as_str(), status.weight))
}

/// The journal's decisions beside those made again; and those made that the journal has not.
pub(super) fn verify(
    entries: &[Entry],
    made: &[&Made],
    is_known: impl Fn(Timestamp) -> bool,
) -> (Vec<Verified>, Vec<Brief>) {
    // Of two that are the same, as with a crash in between, the one that is known to be on the disk.
    let mut left: Vec<&&Made> = made.iter().collect();
    left.sort_by_key(|made| made.written != Written::Durable);
    let verdict = |entry: &Entry, left: &mut Vec<&&Made>| {
        if !is_known(entry.record.at) {
            return Outcome::NotKnown;
        }
        let wanted = comparable(&entry.record);
        if let Some(place) = left.iter().position(|made| comparable(&made.record) == wanted) {
            left.remove(place);
            return Outcome::Same;
        }
        let key = |record: &Record| (record.at, record.kind);
        match left.iter().position(|made| key(&made.record) == key(&entry.record)) {
            Some(place) => {
                let made = left.remove(place);
                let mut paths = Vec::new();
                differing(String::new(), &wanted, &comparable(&made.record), &mut paths);
                Outcome::Differs(paths)
            }
            None => Outcome::Missing,
        }
    };
    let verified: Vec<Verified> = entries
        .iter()
        .map(|entry| Verified {
            decision: Brief::new(Some(entry.id), &entry.record),
            outcome: verdict(entry, &mut left),
        })
        .collect();
    let one_too_many = left.into_iter().filter(|made| made.written == Written::Durable);
    (verified, one_too_many.map(|made| Brief::new(None, &made.record)).collect())
}

/// The record as JSON, without the thresholds that were put beside it for people.
fn comparable(record: &Record) -> Value {
    let mut value = serde_json::to_value(record).unwrap_or_default();
    if let Some(fields) = value.as_object_mut() {
        let details = fields.get_mut("details").and_then(Value::as_object_mut);
        if let Some(details) = details {
            details.remove("thresholds");
            if details.is_empty() {
                fields.remove("details");
            }
        }
    }
    value
}

fn differing(path: String, then: &Value, now: &Value, found: &mut Vec<String>) {
    const MOST: usize = 6;
    match (then, now) {
        (Value::Object(one), Value::Object(other)) => {
            for key in one.keys().chain(other.keys().filter(|key| !one.contains_key(*key))) {
                let below = |side: &serde_json::Map<String, Value>| {
                    side.get(key).cloned().unwrap_or(Value::Null)
                };
                differing(format!("{path}/{key}"), &below(one), &below(other), found);
            }
        }
        _ if then != now && found.len() < MOST => found.push(format!("{path}: {then}, now {now}")),
        _ => {}
    }
}

/// What makes two decisions the same one, whatever the words.
fn essence(record: &Record) -> Value {
    let state = record.state.as_ref();
    serde_json::json!([
        record.kind,
        state.map(|state| (state.phase, state.stage, state.weight, state.canary_version.clone())),
        record.details["reason"],
        record.details["label"],
        record.details["observed_only"],
    ])
}

/// The decisions that differ, in the order of time.
pub(super) fn differences(
    then: &[&Made],
    now: &[&Made],
    number: impl Fn(&Made) -> Option<u64>,
    notes: &Notes,
    diverged_at: Option<Timestamp>,
) -> Vec<Difference> {
    let same = |one: &Made, other: &Made| {
        one.record.at == other.record.at && essence(&one.record) == essence(&other.record)
    };
    let front = then.iter().zip(now).take_while(|(one, other)| same(one, other)).count();
    let (then, now) = (&then[front..], &now[front..]);
    let pairs = aligned(then, now);
    let is_conditional = |at: Timestamp| diverged_at.is_some_and(|diverged| at > diverged);
    let mut found: Vec<Difference> = Vec::new();
    for pair in pairs {
        let difference = match pair {
            (Some(one), Some(other)) if same(one, other) => continue,
            (one, other) => Difference {
                then: one.map(|made| Brief::new(number(made), &made.record)),
                now: other.map(|made| Brief::new(None, &made.record)),
                instead: match (one, other) {
                    (Some(made), None) => notes.of_changed.get(&made.record.at).cloned(),
                    (None, Some(made)) => notes.of_then.get(&made.record.at).cloned(),
                    _ => None,
                },
                conditional: [one, other]
                    .into_iter()
                    .flatten()
                    .any(|made| is_conditional(made.record.at)),
            },
        };
        found.push(difference);
    }
    found
}

type Pairing<'a> = (Option<&'a Made>, Option<&'a Made>);

/// The longest common run of decisions that are the same but for their time (an edit script by
/// dynamic programming), with what lies between.
fn aligned<'a>(then: &[&'a Made], now: &[&'a Made]) -> Vec<Pairing<'a>> {
    let (then_long, now_long) = (then.len().min(MOST_COMPARED), now.len().min(MOST_COMPARED));
    let essences =
        |side: &[&Made]| side.iter().map(|made| essence(&made.record)).collect::<Vec<_>>();
    let (one, other) = (essences(&then[..then_long]), essences(&now[..now_long]));
    let mut longest = vec![vec![0u32; now_long + 1]; then_long + 1];
    for i in (0..then_long).rev() {
        for j in (0..now_long).rev() {
            longest[i][j] = if one[i] == other[j] {
                longest[i + 1][j + 1] + 1
            } else {
                longest[i + 1][j].max(longest[i][j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut pairs = Vec::new();
    while i < then_long && j < now_long {
        if one[i] == other[j] {
            pairs.push((Some(then[i]), Some(now[j])));
            (i, j) = (i + 1, j + 1);
        } else if longest[i + 1][j] > longest[i][j + 1]
            || longest[i + 1][j] == longest[i][j + 1] && then[i].record.at <= now[j].record.at
        {
            pairs.push((Some(then[i]), None));
            i += 1;
        } else {
            pairs.push((None, Some(now[j])));
            j += 1;
        }
    }
    pairs.extend(then[i..].iter().map(|made| (Some(*made), None)));
    pairs.extend(now[j..].iter().map(|made| (None, Some(*made))));
    pairs
}
