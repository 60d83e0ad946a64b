//! What the dead owe: a job that was buried when the file was opened died before any handler could say what its death leaves
//! behind. A row of `meta` says so of each, until a handler is registered for its target.

use crate::Error;
use crate::database::rows;
use crate::database::schema::columns;
use duewheel_store::{DeadPage, Keyring};
use rusqlite::{Connection, params};

/// That nothing is owed of a row of `dead`.
macro_rules! not_owed {
    () => {
        " AND number NOT IN (SELECT value FROM meta WHERE name GLOB 'heir:*')"
    };
}
pub(crate) use not_owed;

/// Note it of the death that was written last.
pub(crate) fn note(connection: &Connection) -> Result<(), Error> {
    let number = connection.last_insert_rowid();
    connection
        .prepare_cached("INSERT OR REPLACE INTO meta VALUES ('heir:' || ?1, ?1)")?
        .execute([number])?;
    Ok(())
}

/// It is owed no more.
pub(crate) fn inherited(connection: &Connection, number: u64) -> Result<(), Error> {
    connection
        .prepare_cached("DELETE FROM meta WHERE name = 'heir:' || ?1")?
        .execute([number as i64])?;
    Ok(())
}

/// Forget what is noted of deaths that are forgotten or undone; no other death ever has their numbers.
pub(crate) fn forget(connection: &Connection) -> Result<(), Error> {
    connection.execute(
        "DELETE FROM meta WHERE name GLOB 'heir:*' AND value NOT IN (SELECT number FROM dead)",
        [],
    )?;
    Ok(())
}

/// The targets of which something is owed.
pub(crate) fn targets(connection: &Connection) -> Result<Vec<String>, Error> {
    let mut statement = connection.prepare(
        "SELECT DISTINCT target FROM dead \
         WHERE number IN (SELECT value FROM meta WHERE name GLOB 'heir:*')",
    )?;
    let mut rows = statement.query([])?;
    let mut targets = Vec::new();
    while let Some(row) = rows.next()? {
        // What is no text is no target's, and has no handler.
        targets.extend(row.get_ref(0)?.as_str().map(str::to_owned));
    }
    Ok(targets)
}

/// The next of them of this target, oldest first.
pub(crate) fn page(
    connection: &Connection,
    keys: Option<&Keyring>,
    target: &str,
    (after, limit): (u64, usize),
) -> Result<DeadPage, Error> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT number, ",
        columns!(),
        ", reason, error, died FROM dead WHERE number IN \
         (SELECT value FROM meta WHERE name GLOB 'heir:*' AND value > ?1) AND target = ?2 \
         ORDER BY number LIMIT ?3"
    ))?;
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    let rows = statement.query(params![after, target, limit as i64])?;
    rows::dead_page(rows, keys, limit)
}
