//! Jobs as rows of the database.

use crate::Error;
use crate::database::schema::{columns_3, columns_4};
use crate::journal::codec;
use duewheel_store::{
    Carried, ClockKind, DeadJob, DeadPage, Job, Keyring, Place, Progress, Recurring, RetryOptions,
    Unreadable, open_payload, standing,
};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, Rows, ToSql, params};
use std::borrow::Cow;
use std::sync::Arc;

/// Write a job; its data are written as they are, under `key` if they are sealed.
///
/// For a job that comes once and carries nothing no column is named that version 3 lacks, for one that carries nothing none
/// that version 4 lacks: so their journals can be replayed.
pub(crate) fn insert(
    connection: &Connection,
    job: &Job<'_>,
    key: Option<u32>,
) -> Result<(), Error> {
    let options = &job.options;
    let (seq, clock) = (job.place.seq as i64, job.clock as i64);
    let once: [&dyn ToSql; 18] = [
        &seq,
        &job.place.due,
        &clock,
        &&*job.id,
        &&*job.target,
        &&*job.data,
        &key,
        &job.job_due,
        &job.created,
        &job.progress.attempt,
        &job.progress.run,
        &job.interruptions,
        &job.progress.first_start,
        &options.retry_limit,
        &options.age_limit,
        &options.min_backoff,
        &options.max_backoff,
        &options.at_most_once,
    ];
    if job.repeat.is_none() && job.carried.is_none() {
        connection
            .prepare_cached(concat!(
                "INSERT INTO job (",
                columns_3!(),
                ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, \
                 ?17, ?18)"
            ))?
            .execute(&once[..])?;
        return Ok(());
    }
    insert_rare(connection, job, &once)
}

/// Write a job that comes again, or carries something; `once`: the columns that all have.
fn insert_rare(connection: &Connection, job: &Job<'_>, once: &[&dyn ToSql]) -> Result<(), Error> {
    let repeat = job.repeat.as_deref();
    let definition = repeat.map(|repeat| repeat.definition.to_string());
    let standing = repeat.map(|repeat| standing::encode(&repeat.standing));
    let carried = job.carried.as_deref().map(Carried::encode);
    let comes_again: [&dyn ToSql; 3] = [&definition, &standing, &carried];
    let all = [once, &comes_again].concat();
    let (statement, count) = match carried {
        Some(_) => (
            concat!(
                "INSERT INTO job (",
                columns_4!(),
                ", carried) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, \
                 ?17, ?18, ?19, ?20, ?21)"
            ),
            21,
        ),
        None => (
            concat!(
                "INSERT INTO job (",
                columns_4!(),
                ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, \
                 ?17, ?18, ?19, ?20)"
            ),
            20,
        ),
    };
    connection
        .prepare_cached(statement)?
        .execute(&all[..count])?;
    Ok(())
}

/// The longest id or target, in bytes.
const LONGEST_NAME: usize = 255;

/// The columns of a row, each read as what it must be.
///
/// A file may have been changed by hand or by a failing disk: a row that says what no job can is
/// a [`duewheel_store::Error::Unreadable`] that names the column, never a panic or another job.
struct Columns<'a> {
    row: &'a Row<'a>,
    from: usize,
}

impl<'a> Columns<'a> {
    fn wrong(&self, name: &str, must: &str, found: ValueRef<'_>) -> Error {
        let found = match found {
            ValueRef::Null => "NULL".to_owned(),
            ValueRef::Integer(number) => number.to_string(),
            ValueRef::Real(number) => number.to_string(),
            ValueRef::Text(bytes) => format!("a text of {} bytes", bytes.len()),
            ValueRef::Blob(bytes) => format!("a blob of {} bytes", bytes.len()),
        };
        Error::unreadable(format!("{name} must be {must}, not {found}"))
    }

    fn optional(&self, at: usize, name: &str, least: i64, most: i64) -> Result<Option<i64>, Error> {
        match self.row.get_ref(self.from + at)? {
            ValueRef::Null => Ok(None),
            ValueRef::Integer(number) if (least..=most).contains(&number) => Ok(Some(number)),
            found => Err(self.wrong(name, &format!("an integer from {least} to {most}"), found)),
        }
    }

    fn integer(&self, at: usize, name: &str, least: i64, most: i64) -> Result<i64, Error> {
        let found = self.optional(at, name, least, most)?;
        found.ok_or_else(|| self.wrong(name, "an integer", ValueRef::Null))
    }

    fn time(&self, at: usize, name: &str) -> Result<i64, Error> {
        self.integer(at, name, i64::MIN, i64::MAX)
    }

    fn small(&self, at: usize, name: &str, least: u32) -> Result<u32, Error> {
        let number = self.integer(at, name, least.into(), u32::MAX.into())?;
        Ok(number as u32)
    }

    fn flag(&self, at: usize, name: &str) -> Result<bool, Error> {
        Ok(self.integer(at, name, 0, 1)? == 1)
    }

    fn text(&self, at: usize, name: &str) -> Result<&'a str, Error> {
        let found = self.row.get_ref(self.from + at)?;
        let text = match found {
            ValueRef::Text(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        };
        text.ok_or_else(|| self.wrong(name, "a text in UTF-8", found))
    }

    fn name(&self, at: usize, name: &str) -> Result<&'a str, Error> {
        let text = self.text(at, name)?;
        if text.is_empty() || text.len() > LONGEST_NAME {
            let must = format!("a text of 1 to {LONGEST_NAME} bytes");
            return Err(self.wrong(name, &must, ValueRef::Text(text.as_bytes())));
        }
        Ok(text)
    }

    fn options(&self) -> Result<RetryOptions, Error> {
        let small = |number: Option<i64>| number.map(|number| number as u32);
        let options = RetryOptions {
            retry_limit: small(self.optional(13, "retry_limit", 0, u32::MAX.into())?),
            age_limit: self.optional(14, "age_limit", 0, i64::MAX)?,
            min_backoff: self.integer(15, "min_backoff", 0, i64::MAX)?,
            max_backoff: self.integer(16, "max_backoff", 0, i64::MAX)?,
            at_most_once: self.flag(17, "once")?,
        };
        if options.min_backoff > options.max_backoff {
            return Err(Error::unreadable(format!(
                "min_backoff must not be above max_backoff: {} > {}",
                options.min_backoff, options.max_backoff
            )));
        }
        let limited = options.retry_limit.is_some() || options.at_most_once;
        if options.age_limit.is_some() && options.min_backoff == 0 && !limited {
            let why = "age_limit alone needs a min_backoff above 0";
            return Err(Error::unreadable(why));
        }
        Ok(options)
    }

    fn repeat(&self) -> Result<Option<Box<Recurring>>, Error> {
        let (text, bytes) = (
            self.row.get_ref(self.from + 18)?,
            self.row.get_ref(self.from + 19)?,
        );
        if (text, bytes) == (ValueRef::Null, ValueRef::Null) {
            return Ok(None);
        }
        let definition = self.text(18, "repeat")?.parse();
        let definition =
            definition.map_err(|_| self.wrong("repeat", "the definition of a repeat", text))?;
        let standing = match bytes {
            ValueRef::Blob(bytes) => standing::decode(bytes),
            _ => None,
        };
        let standing = standing.filter(|standing| standing.occurrence > 0);
        let standing =
            standing.ok_or_else(|| self.wrong("standing", "how far a repeat has come", bytes))?;
        Ok(Some(Box::new(Recurring {
            definition,
            standing,
        })))
    }

    fn carried(&self) -> Result<Option<Arc<Carried>>, Error> {
        let found = self.row.get_ref(self.from + 20)?;
        let carried = match found {
            ValueRef::Null => return Ok(None),
            ValueRef::Blob(bytes) => Carried::decode(bytes),
            _ => None,
        };
        let carried = carried
            .ok_or_else(|| self.wrong("carried", "what a job carries beside its data", found))?;
        Ok(Some(Arc::new(carried)))
    }

    fn data(&self, keys: Option<&Keyring>, id: &str, target: &str) -> Result<Vec<u8>, Error> {
        let data = match self.row.get_ref(self.from + 5)? {
            ValueRef::Blob(data) => data,
            found => return Err(self.wrong("data", "a blob", found)),
        };
        let key = self.optional(6, "key", 0, u32::MAX.into())?;
        let key = key.map(|key| key as u32);
        Ok(open_payload(keys, key, (id, target), data)?)
    }
}

/// Read a job from the columns that begin at `from`, and open its data.
pub(crate) fn job(
    row: &Row<'_>,
    from: usize,
    keys: Option<&Keyring>,
) -> Result<Job<'static>, Error> {
    let columns = Columns { row, from };
    let (id, target) = (columns.name(3, "id")?, columns.name(4, "target")?);
    Ok(Job {
        place: Place {
            seq: columns.integer(0, "seq", 1, i64::MAX)? as u64,
            due: columns.time(1, "due")?,
        },
        clock: if columns.flag(2, "clock")? {
            ClockKind::Boot
        } else {
            ClockKind::Wall
        },
        id: Cow::Owned(id.to_owned()),
        target: Cow::Owned(target.to_owned()),
        data: Cow::Owned(columns.data(keys, id, target)?),
        job_due: columns.time(7, "job_due")?,
        created: columns.time(8, "created")?,
        progress: Progress {
            attempt: columns.small(9, "attempt", 1)?,
            run: columns.small(10, "run", 1)?,
            first_start: columns.optional(12, "first_start", i64::MIN, i64::MAX)?,
        },
        interruptions: columns.small(11, "interruptions", 0)?,
        options: columns.options()?,
        repeat: columns.repeat()?,
        carried: columns.carried()?,
        follow: columns.optional(21, "follow", i64::MIN, i64::MAX)?,
    })
}

/// The report of a row whose columns begin at `from` and that cannot be read.
pub(crate) fn unreadable(row: &Row<'_>, from: usize, place: Place, why: Error) -> Unreadable {
    let id = Columns { row, from }.text(3, "id").ok();
    Unreadable {
        place,
        id: id.map(str::to_owned),
        why: why.into(),
    }
}

/// The dead of these rows, `limit` of them at most: whether there may be more says its last number.
pub(crate) fn dead_page(
    mut rows: Rows<'_>,
    keys: Option<&Keyring>,
    limit: usize,
) -> Result<DeadPage, Error> {
    let (mut page, mut last) = (DeadPage::default(), None);
    while let Some(row) = rows.next()? {
        let number = row.get::<_, i64>(0)?.max(0) as u64;
        last = Some(number);
        match dead(row, keys) {
            Ok(dead) => page.jobs.push(dead),
            Err(why) => {
                let place = Place {
                    due: 0,
                    seq: number,
                };
                page.unreadable.push(unreadable(row, 1, place, why));
            }
        }
    }
    if page.jobs.len() + page.unreadable.len() == limit {
        page.last = last;
    }
    Ok(page)
}

/// Read a dead job: its number, the columns of the job, reason, error, time of death.
pub(crate) fn dead(row: &Row<'_>, keys: Option<&Keyring>) -> Result<DeadJob, Error> {
    let columns = Columns { row, from: 0 };
    Ok(DeadJob {
        number: columns.integer(0, "number", 0, i64::MAX)? as u64,
        job: job(row, 1, keys)?,
        reason: codec::reason(columns.integer(23, "reason", 0, 2)?)
            .ok_or_else(|| Error::unreadable("a death has no known reason"))?,
        error: columns.text(24, "error")?.to_owned(),
        died: columns.time(25, "died")?,
    })
}

/// Forget a job; whether it was there.
pub(crate) fn delete(connection: &Connection, seq: u64) -> Result<bool, Error> {
    let deleted = connection
        .prepare_cached("DELETE FROM job WHERE seq = ?1")?
        .execute([seq as i64])?;
    Ok(deleted > 0)
}

/// What copies a job to the dead.
pub(crate) const BURY: &str = concat!(
    "INSERT INTO dead (",
    columns_4!(),
    ", carried, reason, error, died) SELECT ",
    columns_4!(),
    ", carried, ?2, ?3, ?4 FROM job WHERE seq = ?1"
);

/// The same in the tables of version 4.
pub(crate) const BURY_4: &str = concat!(
    "INSERT INTO dead (",
    columns_4!(),
    ", reason, error, died) SELECT ",
    columns_4!(),
    ", ?2, ?3, ?4 FROM job WHERE seq = ?1"
);

/// The same in the tables of version 3 and before.
pub(crate) const BURY_3: &str = concat!(
    "INSERT INTO dead (",
    columns_3!(),
    ", reason, error, died) SELECT ",
    columns_3!(),
    ", ?2, ?3, ?4 FROM job WHERE seq = ?1"
);

/// How a job died.
pub(crate) struct Death<'a> {
    pub(crate) reason: duewheel_store::Reason,
    pub(crate) error: &'a str,
    pub(crate) at: i64,
}

/// Copy a job to the dead, by one of the statements for it.
pub(crate) fn bury(
    connection: &Connection,
    statement: &str,
    seq: u64,
    death: &Death<'_>,
) -> Result<(), Error> {
    connection.prepare_cached(statement)?.execute(params![
        seq as i64,
        death.reason as i64,
        death.error,
        death.at
    ])?;
    Ok(())
}

/// The sequence of the pending job of this id.
pub(crate) fn find(connection: &Connection, id: &str) -> Result<Option<u64>, Error> {
    let seq: Option<i64> = connection
        .prepare_cached("SELECT seq FROM job WHERE id = ?1")?
        .query_row([id], |row| row.get(0))
        .optional()?;
    Ok(seq.map(|seq| seq as u64))
}

/// What the job of this id carries, pending or begun, if it is there and that can be read.
pub(crate) fn carried_of(
    connection: &Connection,
    id: &str,
) -> Result<Option<Option<Carried>>, Error> {
    Ok(connection
        .prepare_cached("SELECT carried FROM job WHERE id = ?1")?
        .query_row([id], |row| {
            let bytes = row.get_ref(0)?.as_blob_or_null();
            Ok(bytes.ok().flatten().and_then(Carried::decode))
        })
        .optional()?)
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
    let sealed = keys.seal_job(job)?;
    connection
        .prepare_cached(&format!(
            "UPDATE {table} SET data = ?2, key = ?3 WHERE rowid = ?1"
        ))?
        .execute(params![row as i64, sealed, keys.default_key()])?;
    Ok(())
}
