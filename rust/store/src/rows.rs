//! Jobs as rows of the database.

use crate::Error;
use crate::boundary::{Clock, DeadJob, Job, Options, Outcome, Place};
use crate::codec;
use crate::keyring::Keyring;
use crate::schema::columns;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::borrow::Cow;

/// Write a job; its data are written as they are, under `key` if they are sealed.
pub(crate) fn insert(
    connection: &Connection,
    job: &Job<'_>,
    key: Option<u32>,
) -> Result<(), Error> {
    let options = &job.options;
    connection
        .prepare_cached(concat!(
            "INSERT INTO job (",
            columns!(),
            ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, \
             ?17, ?18)"
        ))?
        .execute(params![
            job.place.seq as i64,
            job.place.due,
            job.clock as i64,
            &*job.id,
            &*job.target,
            &*job.data,
            key,
            job.job_due,
            job.created,
            job.attempt,
            job.run,
            job.interruptions,
            job.first_start,
            options.retry_limit,
            options.age_limit,
            options.min_backoff,
            options.max_backoff,
            options.at_most_once,
        ])?;
    Ok(())
}

/// Read a job from the columns that begin at `from`, and open its data.
pub(crate) fn job(
    row: &Row<'_>,
    from: usize,
    keys: Option<&Keyring>,
) -> Result<Job<'static>, Error> {
    let id: String = row.get(from + 3)?;
    let target: String = row.get(from + 4)?;
    let data = match row.get_ref(from + 5)? {
        ValueRef::Blob(data) => data,
        _ => return Err(Error::Corrupt(format!("the data of {id:?} are no blob"))),
    };
    let key: Option<u32> = row.get(from + 6)?;
    let data = match (key, keys) {
        (None, _) => data.to_vec(),
        (Some(key), Some(keys)) => keys.open(key, &id, &target, data)?,
        (Some(key), None) => return Err(Error::WrongKey(format!("the store needs the key {key}"))),
    };
    Ok(Job {
        place: Place {
            seq: row.get::<_, i64>(from)? as u64,
            due: row.get(from + 1)?,
        },
        clock: match row.get::<_, i64>(from + 2)? {
            0 => Clock::Wall,
            _ => Clock::Boot,
        },
        id: Cow::Owned(id),
        target: Cow::Owned(target),
        data: Cow::Owned(data),
        job_due: row.get(from + 7)?,
        created: row.get(from + 8)?,
        attempt: row.get(from + 9)?,
        run: row.get(from + 10)?,
        interruptions: row.get(from + 11)?,
        first_start: row.get(from + 12)?,
        options: Options {
            retry_limit: row.get(from + 13)?,
            age_limit: row.get(from + 14)?,
            min_backoff: row.get(from + 15)?,
            max_backoff: row.get(from + 16)?,
            at_most_once: row.get(from + 17)?,
        },
    })
}

/// Read a dead job: its number, the columns of the job, reason, error, time of death.
pub(crate) fn dead(row: &Row<'_>, keys: Option<&Keyring>) -> Result<DeadJob, Error> {
    Ok(DeadJob {
        number: row.get::<_, i64>(0)? as u64,
        job: job(row, 1, keys)?,
        reason: codec::reason(row.get(19)?)
            .ok_or_else(|| Error::Corrupt("a death has no known reason".into()))?,
        error: row.get(20)?,
        died: row.get(21)?,
    })
}

/// Forget a job; whether it was there.
pub(crate) fn delete(connection: &Connection, seq: u64) -> Result<bool, Error> {
    let deleted = connection
        .prepare_cached("DELETE FROM job WHERE seq = ?1")?
        .execute([seq as i64])?;
    Ok(deleted > 0)
}

/// Give a job a new place.
pub(crate) fn shift(
    connection: &Connection,
    seq: u64,
    to: Place,
    clock: Clock,
) -> Result<bool, Error> {
    let moved = connection
        .prepare_cached("UPDATE job SET seq = ?2, due = ?3, clock = ?4 WHERE seq = ?1")?
        .execute(params![seq as i64, to.seq as i64, to.due, clock as i64])?;
    Ok(moved > 0)
}

/// Give a job a new place, attempt and run.
pub(crate) fn again(connection: &Connection, seq: u64, outcome: &Outcome<'_>) -> Result<(), Error> {
    if let Outcome::Again {
        to,
        clock,
        attempt,
        run,
        first_start,
    } = outcome
    {
        connection
            .prepare_cached(
                "UPDATE job SET seq = ?2, due = ?3, clock = ?4, attempt = ?5, run = ?6, \
                 first_start = ?7 WHERE seq = ?1",
            )?
            .execute(params![
                seq as i64,
                to.seq as i64,
                to.due,
                *clock as i64,
                attempt,
                run,
                first_start
            ])?;
    }
    Ok(())
}

/// Move a job to the dead; whether it was there.
pub(crate) fn bury(
    connection: &Connection,
    seq: u64,
    reason: crate::Reason,
    error: &str,
    died: i64,
) -> Result<bool, Error> {
    connection
        .prepare_cached(concat!(
            "INSERT INTO dead (",
            columns!(),
            ", reason, error, died) SELECT ",
            columns!(),
            ", ?2, ?3, ?4 FROM job WHERE seq = ?1"
        ))?
        .execute(params![seq as i64, reason as i64, error, died])?;
    delete(connection, seq)
}

/// The sequence of the pending job of this id.
pub(crate) fn find(connection: &Connection, id: &str) -> Result<Option<u64>, Error> {
    let seq: Option<i64> = connection
        .prepare_cached("SELECT seq FROM job WHERE id = ?1")?
        .query_row([id], |row| row.get(0))
        .optional()?;
    Ok(seq.map(|seq| seq as u64))
}

/// Whether a job has been begun.
pub(crate) fn is_started(connection: &Connection, seq: u64) -> Result<bool, Error> {
    Ok(connection
        .prepare_cached("SELECT 1 FROM started WHERE seq = ?1")?
        .exists([seq as i64])?)
}

/// Seal the data of a row under the default key.
pub(crate) fn reseal(
    connection: &Connection,
    table: &str,
    row: u64,
    keys: &Keyring,
    job: &Job<'_>,
) -> Result<(), Error> {
    let sealed = keys.seal(&job.id, &job.target, &job.data)?;
    connection
        .prepare_cached(&format!(
            "UPDATE {table} SET data = ?2, key = ?3 WHERE rowid = ?1"
        ))?
        .execute(params![row as i64, sealed, keys.default_key()])?;
    Ok(())
}
