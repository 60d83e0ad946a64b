//! What is found at open: keys are checked, the journal is replayed, and what was running when
//! the process died is interrupted.

use crate::Error;
use crate::apply::{Known, Run};
use crate::boundary::{Found, Reason};
use crate::journal;
use crate::keyring::Keyring;
use crate::rows;
use crate::schema;
use rusqlite::{Connection, params};

/// Refuse a keyring that lacks a key or has another one under its number.
pub(crate) fn check_keys(connection: &Connection, keys: Option<&Keyring>) -> Result<(), Error> {
    let mut statement = connection.prepare("SELECT key, proof FROM keys")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (key, proof): (u32, Vec<u8>) = (row.get(0)?, row.get(1)?);
        match keys {
            Some(keys) => keys.check(key, &proof)?,
            None => {
                return Err(Error::WrongKey(format!(
                    "the store is encrypted, and needs the key {key}"
                )));
            }
        }
    }
    Ok(())
}

/// Note the keys that may be written with from now on.
fn note_keys(connection: &Connection, keys: &Keyring) -> Result<(), Error> {
    let key = keys.default_key();
    let mut known = connection.prepare("SELECT 1 FROM keys WHERE key = ?1")?;
    if !known.exists([key])? {
        connection.execute("INSERT INTO keys VALUES (?1, ?2)", (key, keys.proof(key)?))?;
    }
    Ok(())
}

/// What recovery needs to know.
pub(crate) struct Recovery<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) keys: Option<&'a Keyring>,
    /// The bytes of the journal; none when there is none.
    pub(crate) journal: Vec<u8>,
    pub(crate) max_interruptions: u32,
    /// The wall clock.
    pub(crate) now: i64,
    /// The salt of the life that begins.
    pub(crate) salt: u32,
}

impl Recovery<'_> {
    /// Bring the tables up to date, in one transaction; the number of the last batch in them.
    pub(crate) fn run(self) -> Result<(Known, Found, u64), Error> {
        let get = |name| schema::get(self.connection, name);
        let (applied, salt, open) = (get("applied")? as u64, get("salt")?, get("open")?);
        let mut known = Known {
            jobs: get("jobs")?,
            seq: get("seq")? as u64,
            started: self.started()?.into_iter().map(|(seq, _)| seq).collect(),
        };
        // Where it was closed, all that a journal may hold is in the tables.
        let bytes = if open == 1 { self.journal } else { Vec::new() };
        let (records, last) = journal::replay(&bytes, salt as u32, applied)?;
        let transaction = self.connection.unchecked_transaction()?;
        let mut run = Run::new(self.connection, known);
        for batch in journal::batches(records) {
            run.batch(batch)?;
        }
        known = run.end_at(last)?;
        let (interrupted, died) = interrupt(
            self.connection,
            &mut known,
            self.max_interruptions,
            self.now,
        )?;
        if let Some(keys) = self.keys {
            note_keys(self.connection, keys)?;
        }
        schema::set(self.connection, "jobs", known.jobs)?;
        schema::set(self.connection, "salt", i64::from(self.salt))?;
        schema::set(self.connection, "open", 1)?;
        transaction.commit()?;
        let found = Found {
            seq: known.seq,
            jobs: known.jobs.max(0) as u64,
            interrupted,
            died,
            epoch: 0,
        };
        Ok((known, found, last))
    }

    fn started(&self) -> Result<Vec<(u64, i64)>, Error> {
        started(self.connection)
    }
}

fn started(connection: &Connection) -> Result<Vec<(u64, i64)>, Error> {
    let mut statement = connection.prepare("SELECT seq, at FROM started ORDER BY seq")?;
    let rows = statement.query_map([], |row| Ok((row.get::<_, i64>(0)? as u64, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Every job that is marked as started was running, or was about to: its process has died.
fn interrupt(
    connection: &Connection,
    known: &mut Known,
    max_interruptions: u32,
    now: i64,
) -> Result<(u64, u64), Error> {
    let (mut interrupted, mut died) = (0, 0);
    let mut pending_again = connection.prepare(
        "UPDATE job SET run = run + 1, interruptions = interruptions + 1,
         first_start = coalesce(first_start, ?2)
         WHERE seq = ?1 AND once = 0 AND interruptions + 1 < ?3",
    )?;
    let mut count = connection.prepare(
        "UPDATE job SET interruptions = interruptions + 1 WHERE seq = ?1 RETURNING once",
    )?;
    for (seq, at) in started(connection)? {
        if pending_again.execute(params![seq as i64, at, max_interruptions])? > 0 {
            interrupted += 1;
            continue;
        }
        let mut rows = count.query([seq as i64])?;
        let Some(row) = rows.next()? else {
            continue; // it is gone: a mark without a job is nothing
        };
        let error = if row.get(0)? {
            "its process died after the job was marked as started; it is started at most once"
        } else {
            "its process died while it ran, as often as is allowed"
        };
        drop(rows);
        if rows::bury(connection, seq, Reason::Interrupted, error, now)? {
            known.jobs -= 1;
            interrupted += 1;
            died += 1;
        }
    }
    connection.execute("DELETE FROM started", [])?;
    known.started.clear();
    Ok((interrupted, died))
}
