//! Judging a journal again: the controller that serves traffic is led over what the journal says it
//! was told, as it was, and beside it under changed settings.

mod compare;
mod course;
mod library;
mod report;

use crate::control::journal::{Entry, Reader};
use crate::wall_time;
use anyhow::{Context, anyhow, bail};
use library::Shelf;
use serde::Serialize;
use serinus_models::Timestamp;
use serinus_rollout::{Heard, Made, Replay, Written};
use std::path::Path;
use std::sync::Arc;

pub(crate) use compare::{Brief, Difference, Verified};
pub(crate) use course::{Course, course};
pub(crate) use report::report;

/// What is asked of a journal.
#[derive(Debug, Default)]
pub(crate) struct Question {
    /// Decisions of this service only.
    pub(crate) service: Option<String>,
    /// The release of this decision only, up to it.
    pub(crate) decision: Option<u64>,
    /// Settings to judge by, `KEY=VALUE`.
    pub(crate) changes: Vec<String>,
}

/// What came of one service.
#[derive(Debug, Serialize)]
pub(crate) struct Judged {
    /// The service.
    pub(crate) service: Arc<str>,
    /// Looks at it that were judged again.
    pub(crate) looks: u64,
    /// The first and the last thing that was heard, ms since the Unix epoch.
    pub(crate) span: (Timestamp, Timestamp),
    /// Models that took part.
    pub(crate) models: Vec<String>,
    /// The decisions of the journal, and whether they came out as they were.
    pub(crate) verified: Vec<Verified>,
    /// Decisions that the journal does not have, though nothing was changed.
    pub(crate) not_in_journal: Vec<Brief>,
    /// What the changed settings would have done.
    pub(crate) what_if: Option<WhatIf>,
}

/// What changed settings would have done.
#[derive(Debug, Serialize)]
pub(crate) struct WhatIf {
    /// The settings, with what was in force: key, before, after.
    pub(crate) changes: Vec<String>,
    /// Decisions that would differ.
    pub(crate) differences: Vec<Difference>,
    /// From when on users would have been elsewhere than they were: what they would have sent is
    /// not in the journal.
    pub(crate) diverged_at: Option<Timestamp>,
    /// Where the rollout stood in the end, and where it would have stood.
    pub(crate) ended: (Option<String>, Option<String>),
}

impl Judged {
    /// Whether every decision came out exactly as it was made.
    pub(crate) fn is_reproduced(&self) -> bool {
        let differs = |verified: &Verified| verified.outcome.is_other();
        self.not_in_journal.is_empty() && !self.verified.iter().any(differs)
    }
}

/// Judges the journal in `file` again; `progress` is told the share that is done, 0 to 1.
///
/// # Errors
/// The journal cannot be read, was written by another version, a model is missing, or a change of
/// settings is none.
pub(crate) fn judge(
    file: &Path,
    question: &Question,
    mut progress: impl FnMut(f64),
) -> anyhow::Result<Vec<Judged>> {
    let reader = Reader::open_file(file)?;
    reader.check_heard()?;
    let decision =
        match question.decision {
            None => None,
            Some(id) => Some(reader.get(id)?.with_context(|| {
                format!("there is no decision {id}: 'serinus history' lists them")
            })?),
        };
    let services = match &decision {
        Some(Entry { id, record }) => match &record.service {
            Some(service) => vec![service.clone()],
            None => bail!(
                "record {id} ({}) was not decided on any release: there is nothing to judge again",
                record.kind.as_str()
            ),
        },
        None => reader.judged_services()?,
    };
    if let Some(name) = &question.service
        && !services.iter().any(|service| **service == **name)
    {
        let known: Vec<&str> = services.iter().map(|service| &**service).collect();
        bail!("the journal has no looks at a service '{name}'; it has: {}", known.join(", "));
    }
    let wanted =
        |service: &&Arc<str>| question.service.as_deref().is_none_or(|name| name == &***service);
    let wanted: Vec<&Arc<str>> = services.iter().filter(wanted).collect();
    let count = wanted.len() as f64;
    let mut judged = Vec::new();
    for (done, service) in wanted.into_iter().enumerate() {
        let shelf = Shelf::new(&reader, file, service.clone());
        let told = |share: f64| progress((done as f64 + share) / count);
        judged.push(judge_service(&shelf, decision.as_ref(), &question.changes, told)?);
    }
    Ok(judged)
}

fn judge_service(
    shelf: &Shelf<'_>,
    decision: Option<&Entry>,
    changes: &[String],
    mut progress: impl FnMut(f64),
) -> anyhow::Result<Judged> {
    let service = shelf.service.clone();
    let reader = shelf.reader;
    let answers = reader.answers(&service)?;
    let release = decision.and_then(|entry| reader.release_of(entry).transpose()).transpose()?;
    let range = reader.heard_range(&service, release, decision.map(|entry| entry.record.at))?;
    let changed_shelf = shelf.with(changes);
    let mut as_it_was = Replay::new(service.clone(), shelf, &answers);
    let mut changed =
        (!changes.is_empty()).then(|| Replay::new(service.clone(), &changed_shelf, &answers));
    let mut notes = compare::Notes::default();
    let (mut looks, mut models, mut span) = (0, Vec::new(), None);
    let mut diverged_at = None;
    reader.heard(&service, range, |number, at, heard| {
        if number.is_multiple_of(256) {
            progress(range.share(number));
        }
        span = Some((span.map_or(at, |(from, _)| from), at));
        looks += u64::from(matches!(heard, Heard::Observed { .. }));
        if let Some(model) = heard.scheme().and_then(|scheme| scheme.model.clone())
            && !models.contains(&model)
        {
            models.push(model);
        }
        as_it_was.hear(at, &heard, false).map_err(|missing| shelf.explain(&missing))?;
        let Some(changed) = &mut changed else { return Ok(()) };
        changed
            .hear(at, &heard, diverged_at.is_some())
            .map_err(|missing| shelf.explain(&missing))?;
        if let Some(errors) = changed_shelf.take_errors() {
            return Err(anyhow!("{}", errors.to_string().trim_end()));
        }
        notes.take(&as_it_was, changed);
        if diverged_at.is_none() && as_it_was.weight() != changed.weight() {
            diverged_at = Some(at);
        }
        Ok(())
    })?;
    let from = release.or(span.map(|(from, _)| from)).unwrap_or_default();
    let mut entries = reader.records_of(&service, from)?;
    if let Some(decision) = decision {
        entries.retain(|entry| entry.id <= decision.id);
    }
    let is_asked = |made: &&Made| {
        made.record.at >= from && decision.is_none_or(|entry| made.record.at <= entry.record.at)
    };
    let made: Vec<&Made> = as_it_was.made().iter().filter(is_asked).collect();
    let (verified, mut not_in_journal) =
        compare::verify(&entries, &made, |at| as_it_was.is_known(at));
    // Of the very moment of the decision asked for, later ones are not asked for.
    not_in_journal.retain(|brief| decision.is_none_or(|entry| brief.at < entry.record.at));
    let what_if = changed.map(|changed| {
        let in_journal = |made: &Made| {
            let is_it = |entry: &Entry| {
                (entry.record.at, entry.record.kind) == (made.record.at, made.record.kind)
            };
            entries.iter().find(|entry| is_it(entry)).map(|entry| entry.id)
        };
        let happened = |made: &&Made| match made.written {
            Written::Durable => true,
            Written::Refused => !made.record.kind.exposes(),
            Written::Unanswered => !made.record.kind.exposes() || in_journal(made).is_some(),
        };
        let then: Vec<&Made> = made.iter().copied().filter(happened).collect();
        let now: Vec<&Made> = changed.made().iter().filter(is_asked).filter(happened).collect();
        WhatIf {
            changes: changed_shelf.told_changes(),
            differences: compare::differences(&then, &now, in_journal, &notes, diverged_at),
            diverged_at,
            ended: (compare::stands(&as_it_was), compare::stands(&changed)),
        }
    });
    progress(1.0);
    let span = span.unwrap_or((from, from));
    Ok(Judged { service, looks, span, models, verified, not_in_journal, what_if })
}

/// A moment as it is shown beside others of the same days.
fn moment(at: Timestamp) -> String {
    wall_time::rfc3339(at)
}
