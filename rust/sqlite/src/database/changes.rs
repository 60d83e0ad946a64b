//! Rows of jobs that are changed in place.

use crate::Error;
use duewheel_store::{Carried, ClockKind, Ending, Job, Next, Place, Standing, standing};
use rusqlite::{Connection, params};

/// Give a job the target, data, options and repeat of this one.
pub(crate) fn edit(connection: &Connection, job: &Job<'_>, key: Option<u32>) -> Result<(), Error> {
    let options = &job.options;
    let repeat = job.repeat.as_deref();
    connection
        .prepare_cached(
            "UPDATE job SET target = ?2, data = ?3, key = ?4, retry_limit = ?5, age_limit = ?6, \
             min_backoff = ?7, max_backoff = ?8, once = ?9, repeat = ?10, standing = ?11 \
             WHERE seq = ?1",
        )?
        .execute(params![
            job.place.seq as i64,
            &*job.target,
            &*job.data,
            key,
            options.retry_limit,
            options.age_limit,
            options.min_backoff,
            options.max_backoff,
            options.at_most_once,
            repeat.map(|repeat| repeat.definition.to_string()),
            repeat.map(|repeat| standing::encode(&repeat.standing)),
        ])?;
    Ok(())
}

/// Let a job carry what this one does, and come again when that does.
pub(crate) fn carry(connection: &Connection, job: &Job<'_>) -> Result<(), Error> {
    let carried = job.carried.as_deref().map(Carried::encode);
    connection
        .prepare_cached(
            "UPDATE job SET carried = ?2, follow = ?3, job_due = coalesce(?4, job_due) WHERE seq = ?1",
        )?
        .execute(params![
            job.place.seq as i64,
            carried,
            job.follow,
            job.follow.map(|_| job.job_due)
        ])?;
    Ok(())
}

/// Note how far a repeat has come.
pub(crate) fn stand(
    connection: &Connection,
    seq: u64,
    job_due: i64,
    standing: &Standing,
) -> Result<(), Error> {
    connection
        .prepare_cached(
            "UPDATE job SET job_due = ?2, standing = ?3 WHERE seq = ?1 AND repeat IS NOT NULL",
        )?
        .execute(params![seq as i64, job_due, standing::encode(standing)])?;
    Ok(())
}

/// A statement, and the same for the tables of version 4 and before, which do not know what follows.
macro_rules! following {
    ($version:expr, $set:literal, $rest:literal) => {
        match $version {
            ..=4 => concat!("UPDATE job SET ", $set, $rest),
            _ => concat!("UPDATE job SET follow = NULL, ", $set, $rest),
        }
    };
}

/// Let the next occurrence of a repeat follow, or what a job is that was changed while it ran.
pub(crate) fn next(
    connection: &Connection,
    version: u32,
    seq: u64,
    next: &Next,
) -> Result<(), Error> {
    connection
        .prepare_cached(following!(
            version,
            "seq = ?2, due = ?3, clock = ?4, job_due = ?5, attempt = 1, run = ?6, interruptions = 0, first_start = NULL, ",
            "standing = CASE WHEN repeat IS NULL THEN NULL ELSE ?7 END WHERE seq = ?1"
        ))?
        .execute(params![
            seq as i64,
            next.to.seq as i64,
            next.to.due,
            next.clock as i64,
            next.job_due,
            next.run,
            standing::encode(&next.standing),
        ])?;
    Ok(())
}

/// Give a job a new place.
pub(crate) fn shift(
    connection: &Connection,
    seq: u64,
    to: Place,
    clock: ClockKind,
) -> Result<bool, Error> {
    let moved = connection
        .prepare_cached("UPDATE job SET seq = ?2, due = ?3, clock = ?4 WHERE seq = ?1")?
        .execute(params![seq as i64, to.seq as i64, to.due, clock as i64])?;
    Ok(moved > 0)
}

/// Give a job a new place, attempt and run.
pub(crate) fn again(
    connection: &Connection,
    version: u32,
    seq: u64,
    outcome: &Ending<'_>,
) -> Result<(), Error> {
    if let Ending::Again {
        to,
        clock,
        progress,
    } = outcome
    {
        connection
            .prepare_cached(following!(
                version,
                "seq = ?2, due = ?3, clock = ?4, attempt = ?5, run = ?6, ",
                "first_start = ?7 WHERE seq = ?1"
            ))?
            .execute(params![
                seq as i64,
                to.seq as i64,
                to.due,
                *clock as i64,
                progress.attempt,
                progress.run,
                progress.first_start
            ])?;
    }
    Ok(())
}
