//! How long the journal keeps what, so that it does not grow without bound.

use rusqlite::{Connection, OptionalExtension, params};
use std::time::Duration;

const DAY_MS: u64 = 24 * 3_600 * 1_000;

/// What controllers heard, which a replay needs: about 2 KB for each look at a release on trial.
pub(crate) const HEARD_KEPT_DAYS: u64 = 7;
/// Decisions and labelled episodes: last year's season can still be looked up.
pub(crate) const RECORDS_KEPT_DAYS: u64 = 400;
/// And no more than so many decisions, whatever their age.
const MOST_RECORDS: u64 = 100_000;

/// Time between two rounds.
pub(super) const EVERY: Duration = Duration::from_secs(3_600);
/// Rows removed, and pages given back, in one step: some milliseconds.
const STEP: u64 = 2_000;

/// Where nothing of what was heard is missing, a replay may take one thing for the consequence of the
/// other: what was removed leaves this mark.
const MARK: &str = "INSERT OR IGNORE INTO heard (id, at, kind, service, body)
     SELECT id + 1, at, 'lost', NULL, '{\"lost\":0}' FROM heard WHERE id = ?";

/// Takes one step; says whether there is nothing left to do. `newest` is the time of the latest row.
pub(super) fn step(connection: &mut Connection) -> rusqlite::Result<bool> {
    let newest: u64 = connection.query_row(
        "SELECT max(coalesce((SELECT max(at) FROM heard), 0), coalesce((SELECT max(at) FROM records), 0))",
        [],
        |row| row.get(0),
    )?;
    let transaction = connection.transaction()?;
    let heard = forget_heard(&transaction, newest.saturating_sub(HEARD_KEPT_DAYS * DAY_MS))?;
    let records = forget_records(&transaction, newest.saturating_sub(RECORDS_KEPT_DAYS * DAY_MS))?;
    transaction.commit()?;
    let pages = give_back(connection)?;
    Ok(heard < STEP && records < STEP && pages < STEP)
}

/// Removes what was heard before `until`, but for the last configuration: a replay that begins
/// with a new release after it needs it.
fn forget_heard(connection: &Connection, until: u64) -> rusqlite::Result<u64> {
    let first_kept = "SELECT id FROM heard WHERE at >= ? ORDER BY at, id LIMIT 1";
    let Some(first_kept) = first(connection, first_kept, until)? else { return Ok(0) };
    let scheme = "SELECT id FROM heard
         WHERE service IS NULL AND id < ? AND kind IN ('began', 'configured', 'model') ORDER BY id DESC LIMIT 1";
    let scheme = first(connection, scheme, first_kept)?;
    // Without one there is none to be kept; numbers begin at 1.
    let kept = scheme.unwrap_or(0);
    let gone = connection.execute(
        "DELETE FROM heard WHERE id IN (
             SELECT id FROM heard WHERE id < ?1 AND id <> ?2 AND NOT (id = ?2 + 1 AND kind = 'lost')
             ORDER BY id LIMIT ?3)",
        params![first_kept, kept, STEP],
    )?;
    if kept + 1 < first_kept {
        connection.execute(MARK, [kept])?;
    }
    Ok(gone as u64)
}

/// Removes old decisions with their episodes, but never the last word on where a rollout stands.
fn forget_records(connection: &Connection, until: u64) -> rusqlite::Result<u64> {
    let last_words =
        "SELECT max(id) FROM records WHERE stateful AND service IS NOT NULL GROUP BY service";
    let old = format!(
        "SELECT id FROM records
         WHERE (at < ?1 OR id <= (SELECT max(id) FROM records) - ?2) AND id NOT IN ({last_words})
         ORDER BY id LIMIT ?3"
    );
    let arguments = params![until, MOST_RECORDS, STEP];
    connection.execute(&format!("DELETE FROM episodes WHERE id IN ({old})"), arguments)?;
    Ok(connection.execute(&format!("DELETE FROM records WHERE id IN ({old})"), arguments)? as u64)
}

/// Gives unused pages back to the file system; says how many.
fn give_back(connection: &Connection) -> rusqlite::Result<u64> {
    let mut statement = connection.prepare(&format!("PRAGMA incremental_vacuum({STEP})"))?;
    let mut rows = statement.query([])?;
    let mut pages = 0;
    while rows.next()?.is_some() {
        pages += 1;
    }
    Ok(pages)
}

fn first(connection: &Connection, query: &str, argument: u64) -> rusqlite::Result<Option<u64>> {
    connection.query_row(query, [argument], |row| row.get(0)).optional()
}
