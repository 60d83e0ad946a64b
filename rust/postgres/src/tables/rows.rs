//! Jobs as rows: columns for the server, and jobs of what it answers.

use crate::tables::names::id_of;
use crate::tables::statement::Params;
use duewheel_store::{
    Carried, ClockKind, DeadJob, Error, Job, Keyring, Place, Progress, Reason, Recurring,
    RetryOptions, Unreadable, open_payload, standing,
};
use std::borrow::Cow;
use std::sync::Arc;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

/// The columns of a job, of `j`, and its target's name, of `t`.
pub(crate) const COLUMNS: &str = "j.due, j.seq, j.id, j.created, j.job_due, j.first_start, j.age_limit, j.min_backoff, \
     j.max_backoff, j.attempt, j.run, j.interruptions, j.retry_limit, j.flags, j.key, j.name, j.repeat, j.standing, \
     j.data, t.name, j.carried";

/// How many they are.
pub(crate) const WIDTH: usize = 21;

const BOOT: i16 = 1;
const ONCE: i16 = 2;

/// A job to be written.
pub(crate) struct NewRow {
    pub(crate) id: Uuid,
    /// Its id as it was given, where the other does not say it.
    pub(crate) name: Option<String>,
    pub(crate) job: Job<'static>,
    /// Its payload as it is stored, and the key that it is sealed under.
    pub(crate) data: Vec<u8>,
    pub(crate) key: Option<u32>,
    /// The number of its target.
    pub(crate) target: i32,
    /// Whether this node holds it.
    pub(crate) is_held: bool,
}

/// Refuse what no text of the server's can be; `what` it is called.
///
/// # Errors
///
/// [`Error::Invalid`].
pub fn check_text(what: &str, text: &str) -> Result<(), Error> {
    if text.contains('\0') {
        return Err(Error::Invalid(format!(
            "{what} must have no NUL, which PostgreSQL keeps in no text: {text:?}"
        )));
    }
    Ok(())
}

/// A payload as it is stored, and the key that it is sealed under.
pub(crate) fn sealed(
    job: &Job<'_>,
    keys: Option<&Keyring>,
) -> Result<(Vec<u8>, Option<u32>), Error> {
    check_text("id", &job.id)?;
    check_text("target", &job.target)?;
    match keys {
        Some(keys) => Ok((keys.seal_job(job)?, Some(keys.default_key()))),
        None => Ok((job.data.to_vec(), None)),
    }
}

pub(crate) fn flags(clock: ClockKind, once: bool) -> i16 {
    let boot = if clock == ClockKind::Boot { BOOT } else { 0 };
    boot | if once { ONCE } else { 0 }
}

fn optional(number: Option<u32>) -> Option<i64> {
    number.map(i64::from)
}

fn standing_of(row: &NewRow) -> Option<Vec<u8>> {
    let repeat = row.job.repeat.as_deref();
    repeat.map(|repeat| standing::encode(&repeat.standing).to_vec())
}

fn carried_of(row: &NewRow) -> Option<Vec<u8>> {
    row.job.carried.as_deref().map(Carried::encode)
}

fn definition_of(row: &NewRow) -> Option<String> {
    let repeat = row.job.repeat.as_deref();
    repeat.map(|repeat| repeat.definition.to_string())
}

/// What is written of new jobs, for `epoch` where this node holds them.
pub(crate) fn insertion(rows: &[&NewRow], epoch: i64) -> Params {
    let of = |get: fn(&Job<'_>) -> i64| rows.iter().map(move |row| get(&row.job));
    let maybe = |get: fn(&Job<'_>) -> Option<i64>| rows.iter().map(move |row| get(&row.job));
    let flags = rows
        .iter()
        .map(|row| flags(row.job.clock, row.job.options.at_most_once));
    let names = rows.iter().map(|row| row.name.clone());
    Params::default()
        .longs(of(|job| job.place.due))
        .longs(of(|job| job.place.seq as i64))
        .ids(rows.iter().map(|row| row.id))
        .longs(of(|job| job.created))
        .longs(of(|job| job.job_due))
        .maybe_longs(maybe(|job| job.progress.first_start))
        .maybe_longs(maybe(|job| job.options.age_limit))
        .longs(of(|job| job.options.min_backoff))
        .longs(of(|job| job.options.max_backoff))
        .maybe_longs(rows.iter().map(|row| {
            // A repeat that no node has is of owner 0.
            let nobody = row.job.repeat.is_some().then_some(0);
            row.is_held.then_some(epoch).or(nobody)
        }))
        .with(
            rows.iter().map(|row| row.target).collect::<Vec<_>>(),
            Type::INT4_ARRAY,
        )
        .longs(of(|job| job.progress.attempt.into()))
        .longs(of(|job| job.progress.run.into()))
        .longs(of(|job| job.interruptions.into()))
        .maybe_longs(maybe(|job| optional(job.options.retry_limit)))
        .with(flags.collect::<Vec<_>>(), Type::INT2_ARRAY)
        .maybe_longs(rows.iter().map(|row| optional(row.key)))
        .with(names.collect::<Vec<_>>(), Type::TEXT_ARRAY)
        .with(
            rows.iter()
                .map(|row| definition_of(row))
                .collect::<Vec<_>>(),
            Type::TEXT_ARRAY,
        )
        .with(
            rows.iter().map(|row| standing_of(row)).collect::<Vec<_>>(),
            Type::BYTEA_ARRAY,
        )
        .with(
            rows.iter().map(|row| row.data.clone()).collect::<Vec<_>>(),
            Type::BYTEA_ARRAY,
        )
        .with(
            rows.iter().map(|row| carried_of(row)).collect::<Vec<_>>(),
            Type::BYTEA_ARRAY,
        )
}

/// What is written where a repeat is edited: target, payload, options, definition and what it carries.
pub(crate) fn edition(id: Uuid, row: &NewRow) -> Params {
    let options = &row.job.options;
    Params::default()
        .with(id, Type::UUID)
        .with(row.target, Type::INT4)
        .with(row.data.clone(), Type::BYTEA)
        .with(optional(row.key), Type::INT8)
        .with(optional(options.retry_limit), Type::INT8)
        .with(options.age_limit, Type::INT8)
        .with(options.min_backoff, Type::INT8)
        .with(options.max_backoff, Type::INT8)
        .with(if options.at_most_once { ONCE } else { 0 }, Type::INT2)
        .with(definition_of(row), Type::TEXT)
        .with(standing_of(row), Type::BYTEA)
        .with(carried_of(row), Type::BYTEA)
}

/// What is written where a job takes the place of what has its id, or follows it.
pub(crate) fn overwriting(row: &NewRow, epoch: i64, (replaces, runs): (bool, bool)) -> Params {
    let (job, options) = (&row.job, &row.job.options);
    Params::default()
        .with(epoch, Type::INT8)
        .with(row.id, Type::UUID)
        .with(row.target, Type::INT4)
        .with(row.data.clone(), Type::BYTEA)
        .with(optional(row.key), Type::INT8)
        .with(optional(options.retry_limit), Type::INT8)
        .with(options.age_limit, Type::INT8)
        .with(options.min_backoff, Type::INT8)
        .with(options.max_backoff, Type::INT8)
        .with(flags(job.clock, options.at_most_once), Type::INT2)
        .with(carried_of(row), Type::BYTEA)
        .with(row.name.clone(), Type::TEXT)
        .with(job.place.due, Type::INT8)
        .with(job.place.seq as i64, Type::INT8)
        .with(job.created, Type::INT8)
        .with(replaces, Type::BOOL)
        .with(runs, Type::BOOL)
}

/// Reads the columns of a row, each as what it must be: other clients can write what no job can be.
struct Reader<'a> {
    row: &'a Row,
    from: usize,
}

impl Reader<'_> {
    fn wrong(name: &str, must: &str, found: impl std::fmt::Display) -> Error {
        Error::Unreadable(format!("{name} must be {must}, not {found}"))
    }

    fn get<'r, T: tokio_postgres::types::FromSql<'r>>(&'r self, at: usize) -> Result<T, Error> {
        let found = self.row.try_get(self.from + at);
        found.map_err(|error| Error::Unreadable(error.to_string()))
    }

    fn small(&self, at: usize, name: &str, least: u32) -> Result<u32, Error> {
        let found: i64 = self.get(at)?;
        let number = u32::try_from(found).ok().filter(|number| *number >= least);
        number.ok_or_else(|| {
            Self::wrong(
                name,
                &format!("an integer from {least} to {}", u32::MAX),
                found,
            )
        })
    }

    fn maybe_small(&self, at: usize, name: &str) -> Result<Option<u32>, Error> {
        match self.get::<Option<i64>>(at)? {
            None => Ok(None),
            Some(_) => self.small(at, name, 0).map(Some),
        }
    }

    fn length(&self, at: usize, name: &str) -> Result<i64, Error> {
        let found: i64 = self.get(at)?;
        if found < 0 {
            return Err(Self::wrong(name, "0 or more", found));
        }
        Ok(found)
    }

    fn options(&self, flags: i16) -> Result<RetryOptions, Error> {
        let age_limit: Option<i64> = self.get(6)?;
        let options = RetryOptions {
            retry_limit: self.maybe_small(12, "retry_limit")?,
            age_limit: age_limit.map(|_| self.length(6, "age_limit")).transpose()?,
            min_backoff: self.length(7, "min_backoff")?,
            max_backoff: self.length(8, "max_backoff")?,
            at_most_once: flags & ONCE != 0,
        };
        if options.min_backoff > options.max_backoff {
            let must = format!("at most max_backoff, {}", options.max_backoff);
            return Err(Self::wrong("min_backoff", &must, options.min_backoff));
        }
        let is_limited = options.retry_limit.is_some() || options.at_most_once;
        if options.age_limit.is_some() && options.min_backoff == 0 && !is_limited {
            return Err(Error::Unreadable(
                "age_limit alone needs a min_backoff above 0".into(),
            ));
        }
        Ok(options)
    }

    fn repeat(&self) -> Result<Option<Box<Recurring>>, Error> {
        let (text, bytes): (Option<&str>, Option<&[u8]>) = (self.get(16)?, self.get(17)?);
        let Some(text) = text else {
            return Ok(None);
        };
        let definition = text.parse();
        let definition =
            definition.map_err(|_| Self::wrong("repeat", "the definition of a repeat", text))?;
        let standing = bytes
            .and_then(standing::decode)
            .filter(|standing| standing.occurrence > 0);
        let standing = standing
            .ok_or_else(|| Self::wrong("standing", "how far a repeat has come", "these bytes"))?;
        Ok(Some(Box::new(Recurring {
            definition,
            standing,
        })))
    }

    fn carried(&self) -> Result<Option<Arc<Carried>>, Error> {
        let Some(bytes) = self.get::<Option<&[u8]>>(20)? else {
            return Ok(None);
        };
        let carried = Carried::decode(bytes).ok_or_else(|| {
            Self::wrong(
                "carried",
                "what a job carries beside its data",
                "these bytes",
            )
        })?;
        Ok(Some(Arc::new(carried)))
    }

    fn place(&self) -> Result<Place, Error> {
        let (due, seq): (i64, i64) = (self.get(0)?, self.get(1)?);
        Ok(Place {
            due,
            seq: seq.max(0) as u64,
        })
    }

    fn id(&self) -> Result<String, Error> {
        Ok(id_of(self.get(2)?, self.get(15)?))
    }

    fn job(&self, keys: Option<&Keyring>) -> Result<Job<'static>, Error> {
        let (id, target): (String, &str) = (self.id()?, self.get(19)?);
        if !(1..=255).contains(&id.len()) || !(1..=255).contains(&target.len()) {
            return Err(Error::Unreadable(
                "id and target must be texts of 1 to 255 bytes".into(),
            ));
        }
        let flags: i16 = self.get(13)?;
        let data: &[u8] = self.get(18)?;
        let key = self.maybe_small(14, "key")?;
        Ok(Job {
            place: self.place()?,
            clock: if flags & BOOT != 0 {
                ClockKind::Boot
            } else {
                ClockKind::Wall
            },
            target: Cow::Owned(target.to_owned()),
            data: Cow::Owned(open_payload(keys, key, (&id, target), data)?),
            id: Cow::Owned(id),
            created: self.get(3)?,
            job_due: self.get(4)?,
            progress: Progress {
                attempt: self.small(9, "attempt", 1)?,
                run: self.small(10, "run", 1)?,
                first_start: self.get(5)?,
            },
            interruptions: self.small(11, "interruptions", 0)?,
            options: self.options(flags)?,
            repeat: self.repeat()?,
            carried: self.carried()?,
            follow: None,
        })
    }
}

/// The job of a row whose columns begin at `from`, or what is wrong with it.
pub(crate) fn job(
    row: &Row,
    from: usize,
    keys: Option<&Keyring>,
) -> Result<Job<'static>, Unreadable> {
    let reader = Reader { row, from };
    reader.job(keys).map_err(|why| Unreadable {
        place: reader.place().unwrap_or(Place { due: 0, seq: 0 }),
        id: reader.id().ok(),
        why,
    })
}

/// A dead job of a row: its number, the columns of the job, reason, error and time.
pub(crate) fn dead(row: &Row, keys: Option<&Keyring>) -> Result<DeadJob, Unreadable> {
    let number: i64 = row.try_get(0).unwrap_or(0);
    let named = |unreadable: Unreadable| Unreadable {
        place: Place {
            due: 0,
            seq: number.max(0) as u64,
        },
        ..unreadable
    };
    let job = job(row, 1, keys).map_err(named)?;
    let from = 1 + WIDTH;
    let reader = Reader { row, from };
    let reason: i16 = reader.get(0).unwrap_or(0);
    Ok(DeadJob {
        number: number.max(0) as u64,
        job,
        reason: match reason {
            1 => Reason::Discarded,
            2 => Reason::Interrupted,
            _ => Reason::Failed,
        },
        error: reader.get(1).unwrap_or_default(),
        died: reader.get(2).unwrap_or(0),
    })
}
