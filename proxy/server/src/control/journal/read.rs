//! Reading the journal, beside a proxy that writes it or without one.

use super::store::{FILE_NAME, SCHEMA_VERSION};
use rusqlite::{Connection, OpenFlags, Row, params};
use serde::{Deserialize, Serialize};
use serinus_models::Timestamp;
use serinus_rollout::{Answers, Heard, Record, ServiceState};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A record with its number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// Its number: the ID of `serinus explain` and of the API.
    pub(crate) id: u64,
    /// The record.
    #[serde(flatten)]
    pub(crate) record: Record,
}

/// Which records to read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selection {
    /// Of this service only.
    pub(crate) service: Option<String>,
    /// Later than this number: the earliest of them. Without it, the latest records.
    pub(crate) after: Option<u64>,
    /// At most so many.
    pub(crate) limit: usize,
}

/// A labelled episode, or a correction of one.
#[derive(Debug, Clone)]
pub(crate) struct EpisodeRow {
    /// The number of its record.
    pub(crate) id: u64,
    /// When it was labelled.
    pub(crate) at: Timestamp,
    pub(crate) service: String,
    pub(crate) body: serde_json::Value,
}

/// Numbers of the first and the last thing that was heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeardRange {
    first: u64,
    last: u64,
}

impl HeardRange {
    /// The share of it that is done at a number, 0 to 1.
    pub(crate) fn share(self, number: u64) -> f64 {
        (number.saturating_sub(self.first) as f64 / (self.last - self.first).max(1) as f64).min(1.0)
    }
}

/// Why the journal cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("there is no journal at {}: has `serinus run` been started with this state directory?", path.display())]
    Missing { path: PathBuf },
    #[error("the journal {} cannot be read: {source}", path.display())]
    Database { path: PathBuf, source: rusqlite::Error },
    #[error("{} was written by {} version of serinus, which kept what it decided but not what a replay needs: {}", path.display(), if *found < SCHEMA_VERSION { "an earlier" } else { "a later" }, if *found < SCHEMA_VERSION { "what is decided after the next start of this version can be judged again" } else { "replay with that version" })]
    Version { path: PathBuf, found: i64 },
    #[error("record {id} in {} cannot be understood: {source}", path.display())]
    Record { path: PathBuf, id: u64, source: serde_json::Error },
}

/// The journal, read only.
#[derive(Debug)]
pub(crate) struct Reader {
    connection: Connection,
    path: PathBuf,
}

impl Reader {
    /// Opens the journal in `directory`.
    pub(crate) fn open(directory: &Path) -> Result<Reader, ReadError> {
        Self::open_file(&directory.join(FILE_NAME))
    }

    /// Opens a journal by its file.
    pub(crate) fn open_file(path: &Path) -> Result<Reader, ReadError> {
        let path = path.to_owned();
        if !path.exists() {
            return Err(ReadError::Missing { path });
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let opened = Connection::open_with_flags(&path, flags).and_then(|connection| {
            connection.busy_timeout(Duration::from_secs(2)).map(|()| connection)
        });
        match opened {
            Ok(connection) => Ok(Reader { connection, path }),
            Err(source) => Err(ReadError::Database { path, source }),
        }
    }

    /// The records selected, in the order in which they were written.
    pub(crate) fn list(&self, selection: &Selection) -> Result<Vec<Entry>, ReadError> {
        let order = if selection.after.is_some() { "ASC" } else { "DESC" };
        let query = format!(
            "SELECT id, body FROM records
             WHERE id > ?1 AND (?2 IS NULL OR service = ?2) ORDER BY id {order} LIMIT ?3"
        );
        let arguments = params![
            selection.after.unwrap_or(0),
            selection.service,
            i64::try_from(selection.limit).unwrap_or(i64::MAX)
        ];
        let rows: Vec<(u64, String)> = self
            .connection
            .prepare(&query)
            .and_then(|mut statement| statement.query_map(arguments, columns)?.collect())
            .map_err(|source| self.failed(source))?;
        let mut entries: Vec<Entry> =
            rows.into_iter().map(|row| self.entry(row)).collect::<Result<_, _>>()?;
        entries.sort_by_key(|entry| entry.id);
        Ok(entries)
    }

    /// Labelled episodes and what was said of them later, the latest first, at most so many.
    pub(crate) fn episodes(
        &self,
        most: usize,
        mut each: impl FnMut(EpisodeRow),
    ) -> Result<(), ReadError> {
        let query = "SELECT id, at, service, body FROM episodes ORDER BY id DESC LIMIT ?";
        let failed = |source| self.failed(source);
        let mut statement = self.connection.prepare(query).map_err(failed)?;
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let mut rows = statement.query([most]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let columns = || Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
            let (id, at, service, body): (u64, u64, String, String) = columns().map_err(failed)?;
            // What cannot be understood is nothing, for whoever reads it to leave out.
            let body = serde_json::from_str(&body).unwrap_or_default();
            each(EpisodeRow { id, at: Timestamp(at), service, body });
        }
        Ok(())
    }

    /// The record of that number.
    pub(crate) fn get(&self, id: u64) -> Result<Option<Entry>, ReadError> {
        let found: Vec<(u64, String)> = self
            .connection
            .prepare("SELECT id, body FROM records WHERE id = ?")
            .and_then(|mut statement| statement.query_map([id], columns)?.collect())
            .map_err(|source| self.failed(source))?;
        found.into_iter().next().map(|row| self.entry(row)).transpose()
    }

    /// That the journal has what a replay needs.
    pub(crate) fn check_heard(&self) -> Result<(), ReadError> {
        let found = self.connection.query_row("PRAGMA user_version", [], |row| row.get(0));
        match found.map_err(|source| self.failed(source))? {
            SCHEMA_VERSION => Ok(()),
            found => Err(ReadError::Version { path: self.path.clone(), found }),
        }
    }

    /// Services that were looked at, by name.
    pub(crate) fn judged_services(&self) -> Result<Vec<Arc<str>>, ReadError> {
        self.connection
            .prepare(
                "SELECT DISTINCT service FROM heard WHERE service IS NOT NULL ORDER BY service",
            )
            .and_then(|mut statement| {
                statement.query_map([], |row| row.get::<_, String>(0).map(Arc::from))?.collect()
            })
            .map_err(|source| self.failed(source))
    }

    /// How the disk answered for a service's records.
    pub(crate) fn answers(&self, service: &str) -> Result<Answers, ReadError> {
        let query =
            "SELECT id, at, body FROM heard WHERE service = ? AND kind = 'answered' ORDER BY id";
        let mut answers = Answers::default();
        let mut statement = self.connection.prepare(query).map_err(|source| self.failed(source))?;
        let mut rows = statement.query([service]).map_err(|source| self.failed(source))?;
        while let Some(row) = rows.next().map_err(|source| self.failed(source))? {
            if let (_, at, Heard::Answered(answer)) = self.heard_of(row)? {
                answers.add(at, &answer);
            }
        }
        Ok(answers)
    }

    /// When the release began that a decision is about; none where no record says it.
    pub(crate) fn release_of(&self, entry: &Entry) -> Result<Option<Timestamp>, ReadError> {
        let began = |record: &Record| record.state.as_ref().map(|state| state.rollout_started);
        if let Some(began) = began(&entry.record) {
            return Ok(Some(began));
        }
        let Some(service) = &entry.record.service else { return Ok(None) };
        let state = self.state_before(service, entry.record.at)?;
        Ok(state.map(|state| state.rollout_started))
    }

    /// What a replay of a service must hear: all of it, or from the last start before a release
    /// that began at `release` up to the time `until`.
    pub(crate) fn heard_range(
        &self,
        service: &str,
        release: Option<Timestamp>,
        until: Option<Timestamp>,
    ) -> Result<HeardRange, ReadError> {
        let first = "SELECT coalesce(max(id), 0) FROM heard WHERE service IS NULL AND kind = 'began' AND at <= ?";
        let last = "SELECT coalesce(max(id), 0) FROM heard WHERE (service = ?1 OR service IS NULL) AND at <= ?2";
        let release = release.map_or(0, |at| at.0);
        let until = until.map_or(i64::MAX as u64, |at| at.0);
        let first = self.connection.query_row(first, [release], |row| row.get(0));
        let last = self.connection.query_row(last, params![service, until], |row| row.get(0));
        let failed = |source| self.failed(source);
        Ok(HeardRange { first: first.map_err(failed)?, last: last.map_err(failed)? })
    }

    /// Reads what was heard of a service and of all, in its order, with its number.
    pub(crate) fn heard(
        &self,
        service: &str,
        range: HeardRange,
        mut each: impl FnMut(u64, Timestamp, Heard) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let query = "SELECT id, at, body FROM heard WHERE service = ?1 AND id BETWEEN ?2 AND ?3
             UNION ALL SELECT id, at, body FROM heard WHERE service IS NULL AND id BETWEEN ?2 AND ?3
             ORDER BY id";
        let mut statement = self.connection.prepare(query).map_err(|source| self.failed(source))?;
        let mut rows = statement
            .query(params![service, range.first, range.last])
            .map_err(|source| self.failed(source))?;
        while let Some(row) = rows.next().map_err(|source| self.failed(source))? {
            let (id, at, heard) = self.heard_of(row)?;
            each(id, at, heard)?;
        }
        Ok(())
    }

    fn heard_of(&self, row: &Row<'_>) -> Result<(u64, Timestamp, Heard), ReadError> {
        let columns = || Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        let (id, at, body): (u64, u64, String) = columns().map_err(|source| self.failed(source))?;
        match serde_json::from_str(&body) {
            Ok(heard) => Ok((id, Timestamp(at), heard)),
            Err(source) => Err(ReadError::Record { path: self.path.clone(), id, source }),
        }
    }

    /// A service's records from `from` on.
    pub(crate) fn records_of(
        &self,
        service: &str,
        from: Timestamp,
    ) -> Result<Vec<Entry>, ReadError> {
        let query = "SELECT id, body FROM records WHERE service = ? AND at >= ? ORDER BY id";
        let rows: Vec<(u64, String)> = self
            .connection
            .prepare(query)
            .and_then(|mut statement| {
                statement.query_map(params![service, from.0], columns)?.collect()
            })
            .map_err(|source| self.failed(source))?;
        rows.into_iter().map(|row| self.entry(row)).collect()
    }

    /// Where a service's rollout stood before `at`.
    pub(crate) fn state_before(
        &self,
        service: &str,
        at: Timestamp,
    ) -> Result<Option<ServiceState>, ReadError> {
        let query = "SELECT id, body FROM records WHERE service = ? AND stateful AND at < ?
             ORDER BY id DESC LIMIT 1";
        let found: Vec<(u64, String)> = self
            .connection
            .prepare(query)
            .and_then(|mut statement| {
                statement.query_map(params![service, at.0], columns)?.collect()
            })
            .map_err(|source| self.failed(source))?;
        let entry = found.into_iter().next().map(|row| self.entry(row)).transpose()?;
        Ok(entry.and_then(|entry| entry.record.state))
    }

    fn entry(&self, (id, body): (u64, String)) -> Result<Entry, ReadError> {
        match serde_json::from_str(&body) {
            Ok(record) => Ok(Entry { id, record }),
            Err(source) => Err(ReadError::Record { path: self.path.clone(), id, source }),
        }
    }

    fn failed(&self, source: rusqlite::Error) -> ReadError {
        ReadError::Database { path: self.path.clone(), source }
    }
}

fn columns(row: &Row<'_>) -> rusqlite::Result<(u64, String)> {
    Ok((row.get(0)?, row.get(1)?))
}
