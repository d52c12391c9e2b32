//! Reading the journal, beside a proxy that writes it or without one.

use super::store::FILE_NAME;
use rusqlite::{Connection, OpenFlags, Row, params};
use serde::{Deserialize, Serialize};
use serinus_rollout::Record;
use std::path::{Path, PathBuf};
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

/// Why the journal cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("there is no journal at {}: has `serinus run` been started with this state directory?", path.display())]
    Missing { path: PathBuf },
    #[error("the journal {} cannot be read: {source}", path.display())]
    Database { path: PathBuf, source: rusqlite::Error },
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
        let path = directory.join(FILE_NAME);
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

    /// The record of that number.
    pub(crate) fn get(&self, id: u64) -> Result<Option<Entry>, ReadError> {
        let found: Vec<(u64, String)> = self
            .connection
            .prepare("SELECT id, body FROM records WHERE id = ?")
            .and_then(|mut statement| statement.query_map([id], columns)?.collect())
            .map_err(|source| self.failed(source))?;
        found.into_iter().next().map(|row| self.entry(row)).transpose()
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
