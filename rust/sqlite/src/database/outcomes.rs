//! How jobs have ended, as long as that is kept.

use crate::Error;
use crate::database::rows;
use duewheel_store::{Kept, Keyring, Over, StoredOutcome, open_result};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, params};

/// How many outcomes that are kept no longer are forgotten with each that comes, and each job that asks whether its id is free:
/// what is forgotten keeps up with what comes, and no call takes long. Not at open: whose clock they were kept by is not known.
const FORGOTTEN_AT_ONCE: i64 = 8;

const COLUMNS: &str = "id, target, state, result, key, error, ended, until";

/// Keep one; its result is written as it is, under `key` if it is sealed.
pub(crate) fn keep(connection: &Connection, kept: &Kept, key: Option<u32>) -> Result<(), Error> {
    forget(connection, kept.ended)?;
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO outcome (id, target, state, result, key, error, ended, until) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            kept.id,
            kept.target,
            kept.over.number(),
            kept.result,
            key,
            kept.error,
            kept.ended,
            kept.until,
        ])?;
    Ok(())
}

/// The same, sealing its result.
pub(crate) fn seal_and_keep(
    connection: &Connection,
    mut kept: Kept,
    keys: Option<&Keyring>,
) -> Result<(), Error> {
    if let Some(keys) = keys {
        kept.result = keys.seal_kept(&kept)?;
    }
    keep(connection, &kept, keys.map(Keyring::default_key))
}

/// Forget some of what is kept no longer.
pub(crate) fn forget(connection: &Connection, now: i64) -> Result<(), Error> {
    connection
        .prepare_cached(
            "DELETE FROM outcome WHERE number IN \
             (SELECT number FROM outcome WHERE until <= ?1 ORDER BY until LIMIT ?2)",
        )?
        .execute(params![now, FORGOTTEN_AT_ONCE])?;
    Ok(())
}

/// Whether any is kept.
pub(crate) fn are_there(connection: &Connection) -> Result<bool, Error> {
    Ok(connection
        .prepare("SELECT 1 FROM outcome LIMIT 1")?
        .exists([])?)
}

/// Whether an id is taken by one at this time.
pub(crate) fn has(connection: &Connection, id: &str, now: i64) -> Result<bool, Error> {
    Ok(connection
        .prepare_cached("SELECT 1 FROM outcome WHERE id = ?1 AND until > ?2")?
        .exists(params![id, now])?)
}

/// Forget what is kept of a death.
pub(crate) fn forget_death(connection: &Connection, id: &str) -> Result<(), Error> {
    connection
        .prepare_cached("DELETE FROM outcome WHERE id = ?1 AND state >= ?2")?
        .execute(params![
            id,
            Over::Dead(duewheel_store::Reason::Failed).number()
        ])?;
    Ok(())
}

/// How the job of this id has ended, or stands.
pub(crate) fn get(
    connection: &Connection,
    keys: Option<&Keyring>,
    (id, now): (&str, i64),
) -> Result<StoredOutcome, Error> {
    let pending = rows::carried_of(connection, id)?;
    if let Some(carried) = pending {
        let keeps = carried.is_some_and(|carried| carried.keep.is_some());
        return Ok(StoredOutcome::Pending(keeps));
    }
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM outcome WHERE id = ?1 AND until > ?2"
    ))?;
    let found = statement
        .query_row(params![id, now], |row| Ok(read(row, 0, keys)))
        .optional()?;
    Ok(match found.transpose()? {
        Some((kept, _)) => StoredOutcome::Kept(Box::new(kept)),
        None => StoredOutcome::Unknown,
    })
}

/// Read one from the columns that begin at `from`, and the key that its result is sealed under.
fn read(row: &Row<'_>, from: usize, keys: Option<&Keyring>) -> Result<(Kept, Option<u32>), Error> {
    let wrong =
        |name: &str| Error::unreadable(format!("an outcome has no {name} that can be read"));
    let text = |at: usize, name: &str| match row.get_ref(from + at)? {
        ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(wrong(name)),
        },
        _ => Err(wrong(name)),
    };
    let key: Option<u32> = row.get(from + 4).map_err(|_| wrong("key"))?;
    let result: Vec<u8> = row.get(from + 3).map_err(|_| wrong("result"))?;
    let (id, target) = (text(0, "id")?, text(1, "target")?);
    let result = open_result(keys, key, (&id, &target), &result)?;
    let state: i64 = row.get(from + 2).map_err(|_| wrong("state"))?;
    let kept = Kept {
        over: Over::of_number(state).ok_or_else(|| wrong("state"))?,
        result,
        error: text(5, "error")?,
        ended: row.get(from + 6).map_err(|_| wrong("end"))?,
        until: row
            .get(from + 7)
            .map_err(|_| wrong("time until which it is kept"))?,
        id,
        target,
    };
    Ok((kept, key))
}

/// Seal the results of the next outcomes after this number under the default key: how many there were, the last of them, and
/// what is wrong with those that cannot be read.
pub(crate) fn reseal(
    connection: &Connection,
    keys: &Keyring,
    after: i64,
    most: i64,
) -> Result<(u64, i64, Vec<Error>), Error> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT number, {COLUMNS} FROM outcome WHERE number > ?1 ORDER BY number LIMIT ?2"
    ))?;
    let mut rows = statement.query(params![after, most])?;
    let (mut seen, mut last, mut passed, mut found) = (0, after, Vec::new(), Vec::new());
    while let Some(row) = rows.next()? {
        seen += 1;
        last = row.get(0)?;
        match read(row, 1, Some(keys)) {
            Ok((_, Some(key))) if key == keys.default_key() => {}
            Ok((kept, _)) => found.push((last, kept)),
            Err(why) => passed.push(why),
        }
    }
    for (number, kept) in found {
        connection
            .prepare_cached("UPDATE outcome SET result = ?2, key = ?3 WHERE number = ?1")?
            .execute(params![number, keys.seal_kept(&kept)?, keys.default_key()])?;
    }
    Ok((seen, last, passed))
}
