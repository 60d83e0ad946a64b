//! Encrypting all payloads under the default key, some rows at a time.

use crate::Error;
use crate::database::checkpoints::Checkpoints;
use crate::database::outcomes;
use crate::database::rows;
use crate::database::schema::columns;
use duewheel_store::{Job, Keyring};
use rusqlite::Connection;
use rusqlite::types::ValueRef;

/// Rows that are encrypted in one step.
const STEP: i64 = 256;

const TABLES: [(&str, &str); 2] = [
    (
        "job",
        concat!(
            "SELECT seq, ",
            columns!(),
            " FROM job WHERE seq > ?1 ORDER BY seq LIMIT ?2"
        ),
    ),
    (
        "dead",
        concat!(
            "SELECT number, ",
            columns!(),
            " FROM dead WHERE number > ?1 ORDER BY number LIMIT ?2"
        ),
    ),
];

/// How far a rotation has come.
pub(crate) struct Rotation {
    /// Which table is next, and the row after which it goes on.
    table: usize,
    after: i64,
    done: u64,
    /// Rows that could not be read, and what is wrong with the first.
    passed: (u64, Option<Error>),
}

impl Rotation {
    pub(crate) fn new() -> Self {
        Rotation {
            table: 0,
            after: i64::MIN,
            done: 0,
            passed: (0, None),
        }
    }

    /// How many rows it has passed by.
    pub(crate) fn done(&self) -> u64 {
        self.done
    }

    /// One step, in a transaction of its own; `true`: it was the last.
    pub(crate) fn step(
        &mut self,
        connection: &Connection,
        keys: &Keyring,
        checkpoints: &mut Checkpoints,
    ) -> Result<bool, Error> {
        let transaction = connection.unchecked_transaction()?;
        let Some((name, select)) = TABLES.get(self.table) else {
            if self.reseal_outcomes(connection, keys)? {
                checkpoints.note(connection)?;
                transaction.commit()?;
                checkpoints.noted();
                return Ok(false);
            }
            self.refuse_passed()?;
            // No row has another key now, and none will.
            connection.execute("DELETE FROM keys WHERE key <> ?1", [keys.default_key()])?;
            checkpoints.note(connection)?;
            transaction.commit()?;
            checkpoints.noted();
            return Ok(true);
        };
        let (seen, rows) = self.read(connection, select, keys)?;
        for (row, job) in &rows {
            rows::reseal(connection, name, *row, keys, job)?;
        }
        checkpoints.note(connection)?;
        transaction.commit()?;
        checkpoints.noted();
        self.done += seen;
        if seen == 0 {
            self.table += 1;
            self.after = i64::MIN;
        }
        Ok(false)
    }

    /// Results that are kept come last; whether there were some.
    fn reseal_outcomes(&mut self, connection: &Connection, keys: &Keyring) -> Result<bool, Error> {
        let (seen, last, passed) = outcomes::reseal(connection, keys, self.after, STEP)?;
        self.after = last;
        self.passed.0 += passed.len() as u64;
        if let Some(why) = passed.into_iter().next() {
            self.passed.1.get_or_insert(why);
        }
        Ok(seen > 0)
    }

    fn refuse_passed(&self) -> Result<(), Error> {
        let (count, Some(why)) = &self.passed else {
            return Ok(());
        };
        Err(Error::unreadable(format!(
            "{count} rows cannot be read, and keep their keys; all others have the new one. The \
             first: {why}"
        )))
    }

    /// The next rows of a table: how many there are, and those under another key.
    fn read(
        &mut self,
        connection: &Connection,
        select: &str,
        keys: &Keyring,
    ) -> Result<(u64, Vec<(u64, Job<'static>)>), Error> {
        let mut statement = connection.prepare_cached(select)?;
        let mut found = statement.query((self.after, STEP))?;
        let (mut seen, mut rows) = (0, Vec::new());
        while let Some(row) = found.next()? {
            seen += 1;
            self.after = row.get(0)?;
            if row.get_ref(7)? == ValueRef::Integer(keys.default_key().into()) {
                continue;
            }
            match rows::job(row, 1, Some(keys)) {
                Ok(job) => rows.push((self.after as u64, job)),
                Err(why) => {
                    self.passed.0 += 1;
                    self.passed.1.get_or_insert(why);
                }
            }
        }
        Ok((seen, rows))
    }
}
