//! What was running when the process ended: pending again with the next run, or dead.

use crate::Error;
use crate::database::apply::TableCounts;
use crate::database::outcomes;
use crate::database::owed;
use crate::database::rows;
use crate::database::savepoint;
use crate::database::schema;
use duewheel_store::{Carried, Kept, Over, Reason, standing};
use rusqlite::types::{Value, ValueRef};
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
///
/// The rule is that of `duewheel_model::outcome::after`, in SQL: so it is one statement a
/// job, whatever is wrong with the rest of its row.
///
/// An occurrence of a repeat comes again like any job, as the same occurrence. Where a job would be dead
/// the occurrence is, and its repeat goes on: attempt 1 and never interrupted, of a new age, with the next
/// run, at the place that it had; its standing is spent, so whoever takes it up looks for the time that
/// comes. What was asked to be over is no repeat any more, and nothing of it goes on.
///
/// What was changed while it ran comes as it was changed, once, whether it would come again or be dead: attempt 1, of a new
/// age, at the time that it was given.
///
/// What a death here leaves behind is owed: no handler of this life says yet whether it leaves anything.
pub(crate) fn interrupt(
    connection: &Connection,
    known: &mut TableCounts,
    max_interruptions: u32,
    now: i64,
) -> Result<(), Error> {
    let counts = i64::from(schema::get(connection, "left")? == 0);
    let mut pending_again = connection.prepare(
        "UPDATE job SET run = min(run + 1, 4294967295),
         interruptions = CASE WHEN follow IS NULL THEN interruptions + ?4 ELSE 0 END,
         first_start = CASE WHEN follow IS NULL THEN coalesce(first_start, ?2) END,
         attempt = CASE WHEN follow IS NULL THEN attempt ELSE 1 END,
         due = coalesce(follow, due), follow = NULL
         WHERE seq = ?1 AND once = 0 AND (?4 = 0 OR interruptions + 1 < ?3)",
    )?;
    let mut counted = connection.prepare(
        "UPDATE job SET interruptions = min(interruptions + ?2, 4294967295)
         WHERE seq = ?1 RETURNING once <> 0, repeat IS NOT NULL, standing, follow IS NOT NULL",
    )?;
    let mut goes_on = connection.prepare(
        "UPDATE job SET attempt = 1, run = min(run + 1, 4294967295), interruptions = 0,
         first_start = NULL, standing = ?2, due = coalesce(follow, due), follow = NULL WHERE seq = ?1",
    )?;
    for (seq, at) in started(connection)? {
        let died = savepoint::within(connection, || {
            let at = at.unwrap_or(now);
            let again = params![seq as i64, at, max_interruptions, counts];
            if pending_again.execute(again)? > 0 {
                return Ok(false);
            }
            let job: Option<(Option<bool>, bool, Value, bool)> = counted
                .query_row(params![seq as i64, counts], |row| row.try_into())
                .optional()?;
            let Some((once, repeats, mut standing, is_followed)) = job else {
                return Ok(false); // it is gone: a mark without a job is nothing
            };
            let death = rows::Death {
                reason: Reason::Interrupted,
                error: words(once, counts),
                at: now,
            };
            bury(connection, seq, &death)?;
            if repeats || is_followed {
                if let Value::Blob(bytes) = &mut standing {
                    standing::spend(bytes);
                }
                goes_on.execute(params![seq as i64, standing])?;
                return Ok(false);
            }
            keep(connection, seq, &death)?;
            rows::delete(connection, seq)
        })?;
        // A row that cannot be changed cannot be read either: it stays, and is reported with its page.
        known.jobs -= i64::from(died.unwrap_or_default());
    }
    connection.execute("DELETE FROM started", [])?;
    known.started.clear();
    schema::set(connection, "left", 0)?;
    Ok(())
}

/// Copy it to the dead, of whom it owes what it leaves behind.
fn bury(connection: &Connection, seq: u64, death: &rows::Death<'_>) -> Result<(), Error> {
    rows::bury(connection, rows::BURY, seq, death)?;
    owed::note(connection)
}

/// Keep how a job has ended, if that is asked for: nothing was returned, so nothing is sealed.
fn keep(connection: &Connection, seq: u64, death: &rows::Death<'_>) -> Result<(), Error> {
    let found: Option<(String, String, Vec<u8>)> = connection
        .prepare_cached(
            "SELECT id, target, carried FROM job WHERE seq = ?1 AND carried IS NOT NULL",
        )?
        .query_row([seq as i64], |row| row.try_into())
        .optional()?;
    let Some((id, target, carried)) = found else {
        return Ok(());
    };
    let Some(keep) = Carried::decode(&carried).and_then(|carried| carried.keep) else {
        return Ok(());
    };
    let kept = Kept {
        over: Over::Dead(death.reason),
        error: death.error.to_owned(),
        ..Kept::cancelled(&id, &target, death.at, keep)
    };
    outcomes::keep(connection, &kept, None)
}

/// What a death by interruption says.
fn words(once: Option<bool>, counts: i64) -> &'static str {
    match (once, counts) {
        (Some(false), _) => "its process died while it ran, as often as is allowed",
        (_, 0) => "its process ended before it did; it is started at most once",
        _ => "its process died after the job was marked as started; it is started at most once",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use duewheel_model::outcome::{Ended, Outcome, after};
    use duewheel_store::testing::jobs::repeat;
    use duewheel_store::{ClockKind, Job, Place, Progress, RetryOptions};

    const STARTED: i64 = 700;

    fn job(seq: u64, run: u32, first_start: Option<i64>, at_most_once: bool) -> Job<'static> {
        Job {
            id: seq.to_string().into(),
            target: "target".into(),
            data: vec![].into(),
            place: Place { due: 500, seq },
            clock: ClockKind::Boot,
            job_due: 400,
            created: 300,
            progress: Progress {
                attempt: 3,
                run,
                first_start,
            },
            interruptions: 0,
            options: RetryOptions {
                retry_limit: Some(2),
                age_limit: Some(1),
                min_backoff: 5,
                max_backoff: 50,
                at_most_once,
            },
            repeat: None,
            carried: None,
            follow: None,
        }
    }

    /// A job for each combination of what the rule looks at.
    fn every_job() -> Vec<Job<'static>> {
        let mut jobs = Vec::new();
        for interruptions in [0, 1, 2, u32::MAX - 1, u32::MAX] {
            for run in [1, 2, u32::MAX] {
                for first_start in [None, Some(-600)] {
                    for at_most_once in [false, true] {
                        let seq = jobs.len() as u64 + 1;
                        let mut job = job(seq, run, first_start, at_most_once);
                        job.interruptions = interruptions;
                        jobs.push(job.clone());
                        (job.place.seq, job.id) = (seq + 1, (seq + 1).to_string().into());
                        job.repeat = repeat(seq, 500).repeat;
                        jobs.push(job);
                    }
                }
            }
        }
        jobs
    }

    /// What the function says of them, and how often they were interrupted then.
    fn by_the_function(job: &mut Job<'static>, left: bool, limit: u32) -> Option<Reason> {
        job.interruptions = job.interruptions.saturating_add(u32::from(!left));
        let interruptions = job.interruptions;
        let ended = match left {
            true => Ended::Closed,
            false => Ended::Interrupted {
                interruptions,
                limit,
            },
        };
        let progress = job.progress.begun(STARTED);
        match after(&job.options, progress, ended, job.place.due, || 0) {
            Outcome::Again { due, progress, .. } => {
                assert_eq!(due, job.place.due);
                job.progress = progress;
                None
            }
            Outcome::Dead { reason, .. } => Some(reason),
            Outcome::Done => panic!("it has not returned"),
        }
    }

    /// The tables of a process that has started all of these and died, or `left` in order.
    fn tables(jobs: &[Job<'static>], left: bool) -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        schema::migrate(&connection, 0).unwrap();
        schema::set(&connection, "left", i64::from(left)).unwrap();
        for job in jobs {
            rows::insert(&connection, job, None).unwrap();
            connection
                .execute(
                    "INSERT INTO started (seq, at) VALUES (?1, ?2)",
                    params![job.place.seq as i64, STARTED],
                )
                .unwrap();
        }
        connection
    }

    /// What goes on of a repeat whose occurrence is dead, in the words of [`interrupt`].
    fn going_on(mut job: Job<'static>) -> Option<Job<'static>> {
        job.repeat.as_mut()?.standing.spent = true;
        let run = job.progress.run.saturating_add(1);
        job.progress = Progress {
            run,
            ..Progress::NEW
        };
        job.interruptions = 0;
        Some(job)
    }

    /// What died under this sequence, and what is pending.
    fn found(
        connection: &Connection,
        seq: u64,
    ) -> (Option<(Reason, Job<'static>)>, Option<Job<'static>>) {
        const PENDING: &str = concat!("SELECT ", schema::columns!(), " FROM job WHERE seq = ?1");
        const DEAD: &str = concat!(
            "SELECT number, ",
            schema::columns!(),
            ", reason, error, died FROM dead WHERE seq = ?1"
        );
        let seq = [seq as i64];
        let dead = connection.query_row(DEAD, seq, |row| Ok(rows::dead(row, None)));
        let dead = dead.optional().unwrap().map(Result::unwrap);
        let job = connection.query_row(PENDING, seq, |row| Ok(rows::job(row, 0, None)));
        let job = job.optional().unwrap().map(Result::unwrap);
        (dead.map(|dead| (dead.reason, dead.job)), job)
    }

    #[test]
    fn the_statement_and_the_function_agree_about_every_interruption() {
        for (left, limit) in [false, true]
            .into_iter()
            .flat_map(|left| [1, 3, u32::MAX].map(|limit| (left, limit)))
        {
            let mut jobs = every_job();
            let connection = tables(&jobs, left);
            let all = jobs.len() as i64;
            let mut known = TableCounts {
                jobs: all,
                ..TableCounts::default()
            };
            connection.execute_batch("BEGIN").unwrap();
            interrupt(&connection, &mut known, limit, 900).unwrap();
            connection.execute_batch("COMMIT").unwrap();
            let mut dead = 0;
            for job in &mut jobs {
                let reason = by_the_function(job, left, limit);
                let (died, pending) = match reason {
                    None => (None, Some(job.clone())),
                    Some(reason) => (Some((reason, job.clone())), going_on(job.clone())),
                };
                dead += i64::from(pending.is_none());
                assert_eq!(found(&connection, job.place.seq), (died, pending));
            }
            assert!(dead > 0);
            assert_eq!(known.jobs, all - dead);
        }
    }
}
