//! The journal's file: SQLite in WAL mode, every commit on the disk before it is answered.

use super::retention;
use rusqlite::{Connection, ErrorCode, OpenFlags, params};
use serinus_models::Timestamp;
use serinus_rollout::{Heard, Record, RecordKind, ServiceState};
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Name of the journal in the state directory.
pub(crate) const FILE_NAME: &str = "journal.sqlite";

/// Version of the tables. A file of a later version is refused, not guessed at.
pub(super) const SCHEMA_VERSION: i64 = 2;

const TABLES: &str = "
    CREATE TABLE records (
        id       INTEGER PRIMARY KEY,
        at       INTEGER NOT NULL, -- ms since the Unix epoch
        kind     TEXT NOT NULL,
        service  TEXT,
        stateful INTEGER NOT NULL, -- whether the body says where the rollout stands since then
        body     TEXT NOT NULL     -- the whole record, JSON
    ) STRICT;
    CREATE INDEX records_by_service ON records (service, stateful, id);
    CREATE TABLE episodes (
        id      INTEGER PRIMARY KEY REFERENCES records (id),
        at      INTEGER NOT NULL,
        service TEXT NOT NULL,
        label   TEXT NOT NULL,
        body    TEXT NOT NULL      -- features, evidence and label, JSON
    ) STRICT;
";

/// What controllers heard: since version 2.
const HEARD: &str = "
    CREATE TABLE heard (           -- all that the controllers were told, in their order
        id      INTEGER PRIMARY KEY,
        at      INTEGER NOT NULL,
        kind    TEXT NOT NULL,
        service TEXT,              -- NULL: concerns all
        body    TEXT NOT NULL      -- JSON
    ) STRICT;
    CREATE INDEX heard_by_service ON heard (service, id);
    CREATE INDEX heard_by_time ON heard (at);
    CREATE INDEX records_by_time ON records (at);
";

/// Why the journal cannot be used, and what a person can do about it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error("the state directory {} cannot be used ({source}): create it, or make it writable for the user that runs serinus", path.display())]
    Directory { path: PathBuf, source: io::Error },
    #[error("another serinus process uses {}: stop it, or give this one another state_dir", path.display())]
    InUse { path: PathBuf },
    #[error("{} was written by a later version of serinus (schema {found}, this one knows {SCHEMA_VERSION}): run that version, or use another state_dir", path.display())]
    Newer { path: PathBuf, found: i64 },
    #[error("{} is damaged ({what}): move it away, and a new one is begun within seconds", path.display())]
    Damaged { path: PathBuf, what: String },
    #[error("{} was removed or replaced while in use", path.display())]
    Replaced { path: PathBuf },
    #[error("{} cannot be written: the disk is full; free some space", path.display())]
    Full { path: PathBuf },
    #[error("{} cannot be read or written ({source}): check the disk and the permissions", path.display())]
    Database { path: PathBuf, source: rusqlite::Error },
}

/// What an opened journal says of the time before.
#[derive(Debug, Clone, Default)]
pub(crate) struct Restored {
    /// The last record with a state, of every service.
    pub(crate) last: Vec<(Arc<str>, u64, Record)>,
    /// The highest number in use; 0 in a new journal.
    pub(crate) last_id: u64,
}

impl Restored {
    /// Where every rollout stood.
    pub(crate) fn states(&self) -> Vec<(Arc<str>, ServiceState)> {
        let state = |(name, _, record): &(Arc<str>, u64, Record)| {
            Some((name.clone(), record.state.clone()?))
        };
        self.last.iter().filter_map(state).collect()
    }
}

/// A record as it is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StoredRow<'a> {
    /// The number it should get.
    pub(crate) id: u64,
    pub(crate) record: &'a Record,
    /// Whether its state is where the rollout stands now.
    pub(crate) is_last_word: bool,
}

/// An open journal. Only one process at a time has one.
#[derive(Debug)]
pub(crate) struct Store {
    connection: Connection,
    path: PathBuf,
    /// Device and inode: a file that was moved away must not go on swallowing records.
    identity: (u64, u64),
    last_id: u64,
    _lock: File,
}

impl Store {
    /// Opens or begins the journal in `directory`.
    pub(crate) fn open(directory: &Path) -> Result<Store, StoreError> {
        let unusable = |source| StoreError::Directory { path: directory.to_owned(), source };
        fs::create_dir_all(directory).map_err(unusable)?;
        let lock = lock(directory).map_err(unusable)?;
        let Some(lock) = lock else {
            return Err(StoreError::InUse { path: directory.to_owned() });
        };
        let path = directory.join(FILE_NAME);
        let connection = connect(&path).map_err(|error| describe(&path, error))?;
        let found = prepare(&connection).map_err(|error| describe(&path, error))?;
        if found != SCHEMA_VERSION {
            return Err(StoreError::Newer { path, found });
        }
        let last_id = last_id(&connection).map_err(|error| describe(&path, error))?;
        let identity = identity(&path).map_err(unusable)?;
        Ok(Store { connection, path, identity, last_id, _lock: lock })
    }

    /// Where every rollout stood when the last record was written.
    pub(crate) fn restored(&self) -> Result<Restored, StoreError> {
        let rows = self.last_states().map_err(|error| describe(&self.path, error))?;
        let mut last = Vec::with_capacity(rows.len());
        for (service, id, body) in rows {
            let record = serde_json::from_str(&body).map_err(|error| StoreError::Damaged {
                path: self.path.clone(),
                what: format!("record {id}: {error}"),
            })?;
            last.push((service.into(), id, record));
        }
        Ok(Restored { last, last_id: self.last_id })
    }

    fn last_states(&self) -> rusqlite::Result<Vec<(String, u64, String)>> {
        let mut statement = self.connection.prepare(
            "SELECT service, id, body FROM records WHERE id IN
                 (SELECT max(id) FROM records WHERE stateful AND service IS NOT NULL GROUP BY service)
             ORDER BY id",
        )?;
        statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect()
    }

    /// Writes what was heard and records in one transaction. When this returns they are on the disk, all of them,
    /// under the numbers given, or the next free ones where those are taken.
    pub(crate) fn append<'a>(
        &mut self,
        heard: impl IntoIterator<Item = &'a (Timestamp, Heard)>,
        rows: impl IntoIterator<Item = StoredRow<'a>>,
    ) -> Result<(), StoreError> {
        let in_place = identity(&self.path).is_ok_and(|now| now == self.identity);
        if !in_place {
            return Err(StoreError::Replaced { path: self.path.clone() });
        }
        self.write(heard, rows).map_err(|error| describe(&self.path, error))
    }

    /// Whether it knows what any controller heard.
    pub(crate) fn has_heard(&self) -> Result<bool, StoreError> {
        let query = "SELECT EXISTS (SELECT 1 FROM heard)";
        let found = self.connection.query_row(query, [], |row| row.get(0));
        found.map_err(|error| describe(&self.path, error))
    }

    /// Takes a step of removing what is kept no longer; says whether there is nothing left to do.
    pub(crate) fn tidy(&mut self) -> Result<bool, StoreError> {
        retention::step(&mut self.connection).map_err(|error| describe(&self.path, error))
    }

    fn write<'a>(
        &mut self,
        heard: impl IntoIterator<Item = &'a (Timestamp, Heard)>,
        rows: impl IntoIterator<Item = StoredRow<'a>>,
    ) -> rusqlite::Result<()> {
        let mut last_id = self.last_id;
        let transaction = self.connection.transaction()?;
        {
            let insert = "INSERT INTO heard (at, kind, service, body) VALUES (?, ?, ?, ?)";
            let mut insert = transaction.prepare(insert)?;
            for (at, heard) in heard {
                let service = heard.service().map(|service| &**service);
                insert.execute(params![at.0, heard.kind(), service, json(heard)?])?;
            }
        }
        for StoredRow { id, record, is_last_word } in rows {
            let id = if is_free(&transaction, id, last_id)? { id } else { last_id + 1 };
            last_id = last_id.max(id);
            let service = record.service.as_deref();
            let body = json(record)?;
            transaction
                .prepare("INSERT INTO records (id, at, kind, service, stateful, body) VALUES (?, ?, ?, ?, ?, ?)")?
                .execute(params![id, record.at.0, record.kind.as_str(), service, is_last_word, body])?;
            if record.kind == RecordKind::EpisodeLabelled {
                let label = record.details["label"].as_str().unwrap_or("unclear");
                transaction
                    .prepare("INSERT INTO episodes (id, at, service, label, body) VALUES (?, ?, ?, ?, ?)")?
                    .execute(params![id, record.at.0, service.unwrap_or(""), label, json(&record.details)?])?;
            }
        }
        transaction.commit()?;
        self.last_id = last_id;
        Ok(())
    }
}

fn lock(directory: &Path) -> io::Result<Option<File>> {
    let file = File::options().create(true).append(true).open(directory.join("lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        // Some network file systems know no locks: better unguarded than not at all.
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
            Ok(Some(file))
        }
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_secs(2))?;
    // Before anything else is written: pages of what was removed are given back bit by bit.
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // FULL, not NORMAL: a decision that exposes users is on the disk before it is carried out.
    connection.pragma_update(None, "synchronous", "FULL")?;
    let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if verdict != "ok" {
        return Err(rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT),
            Some(verdict),
        ));
    }
    Ok(connection)
}

fn is_free(connection: &Connection, id: u64, last_id: u64) -> rusqlite::Result<bool> {
    let is_taken = "SELECT EXISTS (SELECT 1 FROM records WHERE id = ?)";
    Ok(id > last_id || !connection.query_row(is_taken, [id], |row| row.get(0))?)
}

/// Makes the tables of a new file and those that an earlier version had not; answers the version.
fn prepare(connection: &Connection) -> rusqlite::Result<i64> {
    let version = || connection.query_row("PRAGMA user_version", [], |row| row.get(0));
    let make = |tables: &str| {
        connection.execute_batch(&format!(
            "BEGIN IMMEDIATE; {tables} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
        ))
    };
    match version()? {
        0 => make(&format!("{TABLES} {HEARD}"))?,
        1 => {
            // Its looks cannot be replayed: what else was heard had not been kept.
            make(&format!("DROP TABLE looks; {HEARD}"))?;
            connection.execute_batch("VACUUM")?;
        }
        _ => {}
    }
    version()
}

fn last_id(connection: &Connection) -> rusqlite::Result<u64> {
    connection.query_row("SELECT coalesce(max(id), 0) FROM records", [], |row| row.get(0))
}

fn json<T: serde::Serialize>(value: &T) -> rusqlite::Result<String> {
    serde_json::to_string(value)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

fn describe(path: &Path, error: rusqlite::Error) -> StoreError {
    let path = path.to_owned();
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full { path },
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            StoreError::Damaged { path, what: error.to_string() }
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::InUse { path },
        _ => StoreError::Database { path, source: error },
    }
}
