//! What is found at open: keys are checked, the journal is replayed, and what was running when
//! the process died is interrupted.

use crate::database::apply::{BatchApplier, TableCounts};
use crate::database::interruptions::{interrupt, started};
use crate::database::outcomes;
use crate::database::owed;
use crate::database::schema;
use crate::disk::JournalFile;
use crate::journal::file::{self as journal, Journal};
use crate::ownership::life::{self, Life, OpenLog};
use crate::{Error, StoreError};
use duewheel_store::{Found, Keyring, check_key};
use rusqlite::Connection;

/// Refuse a keyring that lacks a key or has another one under its number.
pub(crate) fn check_keys(connection: &Connection, keys: Option<&Keyring>) -> Result<(), Error> {
    let mut statement = connection.prepare("SELECT key, proof FROM keys")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (key, proof): (u32, Vec<u8>) = (row.get(0)?, row.get(1)?);
        check_key(keys, key, &proof)?;
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

/// Records of the journal that could not be applied, by number, and why.
pub(crate) type Unapplied = Vec<(u64, StoreError)>;

/// Bring the tables of a schema up to date with a journal of this salt; what of it could not be applied.
fn replay(
    connection: &Connection,
    version: u32,
    (journal, salt): (&[u8], u32),
    also: impl FnOnce() -> Result<(), Error>,
) -> Result<Unapplied, Error> {
    let applied = applied(connection)?;
    let (records, last) = journal::replay(journal, salt, applied)?;
    let transaction = connection.unchecked_transaction()?;
    let run = BatchApplier::new(connection, known(connection)?, applied);
    let mut run = run.of_version(version);
    for batch in journal::batches(records) {
        run.batch(batch)?;
    }
    let (known, unapplied) = run.end_at(last)?;
    schema::set(connection, "jobs", known.jobs)?;
    also()?;
    transaction.commit()?;
    Ok(unapplied)
}

/// The number of the last batch in the tables.
pub(crate) fn applied(connection: &Connection) -> Result<u64, Error> {
    Ok(schema::get(connection, "applied")? as u64)
}

fn known(connection: &Connection) -> Result<TableCounts, Error> {
    Ok(TableCounts {
        jobs: schema::get(connection, "jobs")?,
        seq: schema::get(connection, "seq")? as u64,
        started: started(connection)?.into_keys().collect(),
    })
}

/// Close what a process with the first version left behind, as that version would: then it is one
/// file that says all.
pub(crate) fn close_version_1(connection: &Connection, journal: &[u8]) -> Result<Unapplied, Error> {
    if schema::get(connection, "open")? == 0 {
        return Ok(Vec::new());
    }
    let salt = schema::get(connection, "salt")? as u32;
    let unapplied = replay(connection, 1, (journal, salt), || {
        schema::set(connection, "open", 0)
    })?;
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    Ok(unapplied)
}

/// End the last life of a store of the second or third version, as that version would, in its log and in its file.
/// Then the file says that no journal belongs to it, and names the log that is there: so that may have the next
/// schema, once the journal is gone.
///
/// Where it was closed, a new log is there: until the file names it, a journal that is begun says whose it is.
pub(crate) fn close_version_3(
    connection: &Connection,
    place: &OpenLog,
    (file, journal): (&dyn JournalFile, &[u8]),
    (version, salt): (u32, u32),
) -> Result<Unapplied, Error> {
    let life = Life::get(connection)?;
    let mut unapplied = Vec::new();
    if life.has(journal) {
        unapplied = replay(connection, version, (journal, life.salt), || Ok(()))?;
    }
    if life.open {
        Life {
            open: false,
            ..life
        }
        .set(connection)?;
    } else {
        Journal::begin(file, salt, life.salt, applied(connection)?)?;
    }
    catch_up(connection, place)?;
    Ok(unapplied)
}

/// Make the database file say by itself of which life it is, as its log does.
pub(crate) fn catch_up(connection: &Connection, place: &OpenLog) -> Result<(), Error> {
    let mut life = Life::get(connection)?;
    life.log = place.look()?.or_none();
    life.set(connection)?;
    life::confirm(connection, place, &mut life)?;
    schema::checkpoint(connection)
}

/// What recovery needs to know.
pub(crate) struct Recovery<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) log: &'a OpenLog,
    pub(crate) keys: Option<&'a Keyring>,
    /// The life that the tables are of.
    pub(crate) life: Life,
    pub(crate) max_interruptions: u32,
    /// The wall clock.
    pub(crate) now: i64,
    /// The salt of the life that begins.
    pub(crate) salt: u32,
    /// What an earlier version had written and could not be applied.
    pub(crate) unapplied: Unapplied,
}

/// What recovery has found.
pub(crate) struct Recovered {
    pub(crate) known: TableCounts,
    pub(crate) found: Found,
    pub(crate) journal: Journal,
    pub(crate) life: Life,
}

impl Recovery<'_> {
    /// Bring the tables up to date, and begin a new life.
    ///
    /// Each step leaves files that [`crate::ownership::identity`] knows: the tables have all of the old journal
    /// before it is begun anew, the new one says what it follows before the tables name it, and
    /// the database file says that a life is under way before that has a record.
    pub(crate) fn run(self, file: &dyn JournalFile, journal: &[u8]) -> Result<Recovered, Error> {
        let connection = self.connection;
        let place = self.log;
        let mut unapplied = self.unapplied;
        if self.life.has(journal) {
            let journal = (journal, self.life.salt);
            unapplied.extend(replay(connection, schema::VERSION, journal, || Ok(()))?);
        }
        let last = applied(connection)?;
        let journal = Journal::begin(file, self.salt, self.life.salt, last)?;
        let mut life = Life {
            open: true,
            salt: self.salt,
            log: place.look()?.or_none(),
        };
        let transaction = connection.unchecked_transaction()?;
        let mut known = known(connection)?;
        interrupt(connection, &mut known, self.max_interruptions, self.now)?;
        owed::forget(connection)?;
        if let Some(keys) = self.keys {
            note_keys(connection, keys)?;
        }
        schema::set(connection, "jobs", known.jobs)?;
        life.set(connection)?;
        transaction.commit()?;
        life::confirm(connection, place, &mut life)?;
        schema::checkpoint(connection)?;
        let found = Found {
            seq: known.seq,
            jobs: known.jobs.max(0) as u64,
            keeps: outcomes::are_there(connection)?,
            unapplied,
            grant: None,
        };
        Ok(Recovered {
            known,
            found,
            journal,
            life,
        })
    }
}
