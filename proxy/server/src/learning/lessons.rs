//! Lessons from the journal: labelled episodes, and what persons said of them.

use crate::control::journal::{Entry, Reader};
use anyhow::{Context, bail};
use serde_json::{Value, json};
use serinus_models::learn::{Lesson, MOST_LESSONS, NotLearned};
use serinus_models::{Episode, Label, Timestamp};
use serinus_rollout::{Record, RecordKind};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Rows of the journal that are read at most: corrections count, too.
const MOST_ROWS: usize = 2 * MOST_LESSONS;

/// Everything that can be learned from, in the order of the labels.
#[derive(Debug, Default)]
pub(crate) struct Lessons {
    pub(crate) learned: Vec<Lesson>,
    /// Episodes that teach nothing, by reason.
    pub(crate) left_out: BTreeMap<String, u64>,
}

impl Lessons {
    /// Of a journal.
    ///
    /// # Errors
    /// It cannot be read. An episode that cannot be understood is left out.
    pub(crate) fn read(reader: &Reader) -> anyhow::Result<Lessons> {
        let mut corrections = HashMap::new();
        let mut episodes = Vec::new();
        reader.episodes(MOST_ROWS, |row| {
            match row.body["corrects"].as_u64() {
                // The latest word on an episode counts; rows come the latest first.
                Some(of) => {
                    let label = serde_json::from_value::<Label>(row.body["label"].clone());
                    corrections.entry(of).or_insert(label.ok());
                }
                None => episodes.push(row),
            }
        })?;
        let mut lessons = Lessons::default();
        for row in episodes.into_iter().rev() {
            let deployed = row.body["deployed"].as_u64();
            let lesson = serde_json::from_value::<Episode>(row.body)
                .map_err(|error| format!("it cannot be understood: {error}"))
                .and_then(|episode| {
                    let deployed = deployed.map_or(episode.alarm_at, Timestamp);
                    let corrected = corrections.get(&row.id).copied().flatten();
                    let whose = (row.id, Arc::from(row.service), deployed);
                    Lesson::of(&episode, whose, row.at, corrected)
                        .map_err(|why: NotLearned| why.to_string())
                });
            match lesson {
                Ok(lesson) => lessons.learned.push(lesson),
                Err(why) => *lessons.left_out.entry(why).or_default() += 1,
            }
        }
        lessons.learned.sort_by_key(|lesson| (lesson.labelled_at, lesson.id));
        let surplus = lessons.learned.len().saturating_sub(MOST_LESSONS);
        lessons.learned.drain(..surplus);
        Ok(lessons)
    }
}

/// The episode that a number of `serinus history` speaks of: its own, or the one that was open then.
///
/// # Errors
/// In words: there is no such record, or no episode that is labelled.
pub(crate) fn episode_of(reader: &Reader, id: u64) -> anyhow::Result<Entry> {
    let entry = reader
        .get(id)?
        .with_context(|| format!("there is no decision {id}: 'serinus history' lists them"))?;
    let record = &entry.record;
    if record.kind == RecordKind::EpisodeLabelled {
        return match record.details["corrects"].as_u64() {
            Some(of) => episode_of(reader, of),
            None => Ok(entry),
        };
    }
    let Some(service) = &record.service else {
        bail!("decision {id} ({}) is about no release", record.kind.as_str());
    };
    let later = reader.records_of(service, record.at)?;
    let alarm = |entry: &Entry| entry.record.details["alarm_at"].as_u64();
    let is_it = |entry: &&Entry| {
        entry.record.kind == RecordKind::EpisodeLabelled
            && alarm(entry).is_some_and(|alarm| alarm <= record.at.0)
    };
    let found = later.iter().find(is_it).cloned();
    found.with_context(|| {
        format!(
            "no labelled episode was open at decision {id}: an episode is labelled some five minutes after its alarm, and 'serinus history' shows it as episode_labelled"
        )
    })
}

/// What a person says of an episode.
#[derive(Debug, Clone)]
pub(crate) struct Correction {
    pub(crate) episode: u64,
    pub(crate) service: Arc<str>,
    pub(crate) label: Label,
    pub(crate) why: String,
    /// What was observed.
    pub(crate) observed: String,
}

/// A correction of the episode that decision `id` speaks of.
///
/// # Errors
/// See [`episode_of`].
pub(crate) fn correction(
    reader: &Reader,
    id: u64,
    label: Label,
    why: &str,
) -> anyhow::Result<Correction> {
    let Entry { id: episode, record } = episode_of(reader, id)?;
    Ok(Correction {
        episode,
        service: record.service.unwrap_or_else(|| "".into()),
        label,
        why: why.to_owned(),
        observed: record.details["label"].as_str().unwrap_or("unclear").to_owned(),
    })
}

impl Correction {
    /// As it is written down.
    pub(crate) fn record(self, at: Timestamp, config_hash: String) -> Record {
        let Correction { episode, service, label, why, observed } = self;
        let text = format!(
            "a person says that episode {episode} was {} (observed: {observed}): {why}",
            label.as_str()
        );
        Record {
            at,
            kind: RecordKind::EpisodeLabelled,
            service: Some(service),
            text,
            state: None,
            evaluation: None,
            details: details(episode, label, &why, &observed),
            config_hash,
        }
    }
}

fn details(episode: u64, label: Label, why: &str, observed: &str) -> Value {
    json!({ "corrects": episode, "label": label, "why": why, "observed": observed, "by": "operator" })
}
