//! The course of a release around a decision, look by look, for its pictures.

use super::library::Shelf;
use crate::chart::{Moment, done_in};
use crate::control::journal::{Entry, Reader};
use anyhow::Context;
use serinus_models::Timestamp;
use serinus_rollout::{Heard, Replay};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// What is shown before the first and after the last thing that the decision hangs together with.
const BEFORE: Duration = Duration::from_secs(90);
const AFTER: Duration = Duration::from_secs(60);
/// A label is observed so long after its alarm: what led to it is part of the story.
const LABELLED_WITHIN: Duration = Duration::from_secs(330);
/// More would be too small to read.
const LONGEST: Duration = Duration::from_secs(3_600);

/// A decision with what was before and after it.
#[derive(Debug)]
pub(crate) struct Course {
    /// Looks; none where what was heard is not kept any more.
    pub(crate) moments: Vec<Moment>,
    /// Decisions on the release within the time.
    pub(crate) entries: Vec<Entry>,
    /// From when to when.
    pub(crate) span: (Timestamp, Timestamp),
    /// Why there is nothing to draw.
    pub(crate) missing: Option<String>,
}

/// The course around decision `id` of the journal in `file`.
///
/// # Errors
/// The journal cannot be read or has no such decision.
pub(crate) fn course(file: &Path, id: u64) -> anyhow::Result<(Entry, Course)> {
    let reader = Reader::open_file(file)?;
    let entry = reader
        .get(id)?
        .with_context(|| format!("there is no decision {id}: 'serinus history' lists them"))?;
    let Some(service) = entry.record.service.clone() else {
        let why = "it was not decided on any release".to_owned();
        let span = (entry.record.at, entry.record.at);
        let course = Course { moments: vec![], entries: vec![], span, missing: Some(why) };
        return Ok((entry, course));
    };
    let release = reader.release_of(&entry)?.unwrap_or(entry.record.at);
    let entries = reader.records_of(&service, release)?;
    let span = span(&entry, &entries, release);
    let within = |other: &Entry| span.0 <= other.record.at && other.record.at <= span.1;
    let entries: Vec<Entry> = entries.into_iter().filter(within).collect();
    let looks = moments(&reader, file, &service, release, span);
    // Where the journal ends the picture ends, too.
    let last = looks.as_ref().ok().and_then(|looks| looks.last()).map(|last| last.at);
    let end = last.map_or(span.1, |last| span.1.min(last + Duration::from_secs(1)));
    let span = (span.0, end.max(entry.record.at));
    let (moments, missing) = match looks {
        Ok(moments) if moments.is_empty() => {
            (moments, Some("the journal has no looks of that time any more".to_owned()))
        }
        Ok(moments) => (moments, None),
        Err(error) => (Vec::new(), Some(format!("{error:#}"))),
    };
    Ok((entry, Course { moments, entries, span, missing }))
}

/// From before the alarm that led to it to after what followed from it.
fn span(entry: &Entry, entries: &[Entry], release: Timestamp) -> (Timestamp, Timestamp) {
    let at = entry.record.at;
    let close = |other: &&Entry| {
        other.record.at.since(at).max(at.since(other.record.at)) <= LABELLED_WITHIN
    };
    let near = entries.iter().filter(close).map(|other| other.record.at);
    let first = near.clone().min().unwrap_or(at).min(at);
    let last = near.max().unwrap_or(at).max(at);
    let from = Timestamp(first.0.saturating_sub(BEFORE.as_millis() as u64)).max(release);
    let longest = Timestamp(at.0.saturating_sub(LONGEST.as_millis() as u64));
    (from.max(longest), last + AFTER)
}

fn moments(
    reader: &Reader,
    file: &Path,
    service: &Arc<str>,
    release: Timestamp,
    (from, to): (Timestamp, Timestamp),
) -> anyhow::Result<Vec<Moment>> {
    reader.check_heard()?;
    let shelf = Shelf::new(reader, file, service.clone());
    let answers = reader.answers(service)?;
    let range = reader.heard_range(service, Some(release), Some(to))?;
    let mut replay = Replay::new(service.clone(), &shelf, &answers);
    let mut moments = Vec::new();
    let mut judging = true;
    reader.heard(service, range, |_, at, heard| {
        // What was seen can be drawn even where nobody can judge it again.
        if judging && let Err(missing) = replay.hear(at, &heard, false) {
            tracing::debug!(%missing, "drawn without what was judged");
            judging = false;
        }
        if let Heard::Observed { tick, .. } = &heard
            && from <= at
            && at <= to
        {
            let done = done_in(tick);
            moments.push(match replay.status().filter(|_| judging) {
                Some(status) => Moment::of(at, done, &status),
                None => Moment::unjudged(at, done),
            });
        }
        Ok(())
    })?;
    Ok(moments)
}
