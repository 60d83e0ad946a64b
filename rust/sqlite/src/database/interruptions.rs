//! What was running when the process ended: pending again with the next run, or dead.

use crate::Error;
use crate::database::apply::TableCounts;
use crate::database::rows;
use crate::database::savepoint;
use crate::database::schema;
use duewheel_store::Reason;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::BTreeMap;

/// What is marked as started, and since when, where that can be read.
pub(crate) fn started(connection: &Connection) -> Result<BTreeMap<u64, Option<i64>>, Error> {
    let mut statement = connection.prepare("SELECT seq, at FROM started")?;
    let rows = statement.query_map([], |row| {
        let at = match row.get_ref(1)? {
            ValueRef::Integer(at) => Some(at),
            _ => None,
        };
        Ok((row.get::<_, i64>(0)? as u64, at))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Every job that is marked as started was running, or was about to. If its process did not end in
/// order, that is an interruption: it may be the job that killed it.
pub(crate) fn interrupt(
    connection: &Connection,
    known: &mut TableCounts,
    max_interruptions: u32,
    now: i64,
) -> Result<(), Error> {
    let counts = i64::from(schema::get(connection, "left")? == 0);
    let mut pending_again = connection.prepare(
        "UPDATE job SET run = min(run + 1, 4294967295), interruptions = interruptions + ?4,
         first_start = coalesce(first_start, ?2)
         WHERE seq = ?1 AND once = 0 AND (?4 = 0 OR interruptions + 1 < ?3)",
    )?;
    let mut counted = connection.prepare(
        "UPDATE job SET interruptions = min(interruptions + ?2, 4294967295)
         WHERE seq = ?1 RETURNING once <> 0",
    )?;
    for (seq, at) in started(connection)? {
        let died = savepoint::within(connection, || {
            let at = at.unwrap_or(now);
            let again = params![seq as i64, at, max_interruptions, counts];
            if pending_again.execute(again)? > 0 {
                return Ok(false);
            }
            let once: Option<Option<bool>> = counted
                .query_row(params![seq as i64, counts], |row| row.get(0))
                .optional()?;
            let Some(once) = once else {
                return Ok(false); // it is gone: a mark without a job is nothing
            };
            let error = match (once, counts) {
                (Some(false), _) => "its process died while it ran, as often as is allowed",
                (_, 0) => "its process ended before it did; it is started at most once",
                _ => {
                    "its process died after the job was marked as started; it is started at most once"
                }
            };
            rows::bury(connection, seq, Reason::Interrupted, error, now)
        })?;
        // A row that cannot be changed cannot be read either: it stays, and is told with its page.
        known.jobs -= i64::from(died.unwrap_or_default());
    }
    connection.execute("DELETE FROM started", [])?;
    known.started.clear();
    schema::set(connection, "left", 0)?;
    Ok(())
}
