//! The tables, their versions, and the settings of the connection. `docs/store.md` explains them.

use crate::Error;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OptionalExtension};

/// "duew", in SQLite's header: whose file it is.
pub(crate) const APPLICATION: i32 = 0x6475_6577;

/// What leads from each version to the next, the first from an empty file.
const MIGRATIONS: &[&str] = &[VERSION_1, VERSION_2, VERSION_3, VERSION_4, VERSION_5];

/// The newest schema that is known.
pub(crate) const VERSION: u32 = MIGRATIONS.len() as u32;

/// The columns of a job in version 3, and still those that every job has.
macro_rules! columns_3 {
    () => {
        "seq, due, clock, id, target, data, key, job_due, created, attempt, run, interruptions, \
         first_start, retry_limit, age_limit, min_backoff, max_backoff, once"
    };
}
pub(crate) use columns_3;

/// The columns of a job in version 4, and those of what comes again.
macro_rules! columns_4 {
    () => {
        concat!($crate::database::schema::columns_3!(), ", repeat, standing")
    };
}
pub(crate) use columns_4;

/// The columns of a job, in the order in which they are bound and read everywhere.
macro_rules! columns {
    () => {
        concat!($crate::database::schema::columns_4!(), ", carried, follow")
    };
}
pub(crate) use columns;

/// That a row is of a job that has not begun, and so is pending.
macro_rules! unbegun {
    () => {
        " AND NOT EXISTS (SELECT 1 FROM started WHERE started.seq = job.seq)"
    };
}
pub(crate) use unbegun;

/// That a row is of a job of the target that is bound as the fourth, if one is.
macro_rules! of_target {
    () => {
        " AND (?4 IS NULL OR target = ?4)"
    };
}
pub(crate) use of_target;

/// That a row is of a job that comes once.
macro_rules! once {
    () => {
        " AND repeat IS NULL"
    };
}
pub(crate) use once;

const VERSION_1: &str = "
CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO meta VALUES ('applied', 0), ('salt', 0), ('open', 0), ('seq', 0), ('jobs', 0);

CREATE TABLE job (
    seq INTEGER PRIMARY KEY,
    due INTEGER NOT NULL,
    clock INTEGER NOT NULL,
    id TEXT NOT NULL,
    target TEXT NOT NULL,
    data BLOB NOT NULL,
    key INTEGER,
    job_due INTEGER NOT NULL,
    created INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    run INTEGER NOT NULL,
    interruptions INTEGER NOT NULL,
    first_start INTEGER,
    retry_limit INTEGER,
    age_limit INTEGER,
    min_backoff INTEGER NOT NULL,
    max_backoff INTEGER NOT NULL,
    once INTEGER NOT NULL
) STRICT;
CREATE INDEX job_due ON job (due);
CREATE UNIQUE INDEX job_id ON job (id);

CREATE TABLE started (
    seq INTEGER PRIMARY KEY,
    at INTEGER NOT NULL
) STRICT;

CREATE TABLE dead (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    seq INTEGER NOT NULL,
    due INTEGER NOT NULL,
    clock INTEGER NOT NULL,
    id TEXT NOT NULL,
    target TEXT NOT NULL,
    data BLOB NOT NULL,
    key INTEGER,
    job_due INTEGER NOT NULL,
    created INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    run INTEGER NOT NULL,
    interruptions INTEGER NOT NULL,
    first_start INTEGER,
    retry_limit INTEGER,
    age_limit INTEGER,
    min_backoff INTEGER NOT NULL,
    max_backoff INTEGER NOT NULL,
    once INTEGER NOT NULL,
    reason INTEGER NOT NULL,
    error TEXT NOT NULL,
    died INTEGER NOT NULL
) STRICT;
CREATE INDEX dead_id ON dead (id);
CREATE INDEX dead_died ON dead (died);

CREATE TABLE keys (
    key INTEGER PRIMARY KEY,
    proof BLOB NOT NULL
) STRICT;
";

/// What says whether the database is in use has a table, and so a page, of its own: see [`crate::ownership::life`].
const VERSION_2: &str = "
CREATE TABLE life (
    state BLOB NOT NULL
) STRICT;
INSERT INTO life VALUES (zeroblob(16));
DELETE FROM meta WHERE name IN ('open', 'salt');
";

/// Whether the last process ended in order.
const VERSION_3: &str = "
INSERT INTO meta VALUES ('left', 0);
";

/// What comes again, and how far it has come. All of it is in the file while the store is closed, as if
/// it had never been in use: see [`crate::opening`].
const VERSION_4: &str = "
ALTER TABLE job ADD COLUMN repeat TEXT;
ALTER TABLE job ADD COLUMN standing BLOB;
ALTER TABLE dead ADD COLUMN repeat TEXT;
ALTER TABLE dead ADD COLUMN standing BLOB;
CREATE INDEX job_repeat ON job (seq) WHERE repeat IS NOT NULL;
UPDATE life SET state = zeroblob(16);
";

/// What few jobs carry beside their data: see [`duewheel_store::Carried`]; and when one that was changed while it ran comes
/// again. None of the dead does. And how jobs have ended, as long as that is kept.
const VERSION_5: &str = "
ALTER TABLE job ADD COLUMN carried BLOB;
ALTER TABLE job ADD COLUMN follow INTEGER;
ALTER TABLE dead ADD COLUMN carried BLOB;
ALTER TABLE dead ADD COLUMN follow INTEGER;
CREATE TABLE outcome (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    target TEXT NOT NULL,
    state INTEGER NOT NULL,
    result BLOB NOT NULL,
    key INTEGER,
    error TEXT NOT NULL,
    ended INTEGER NOT NULL,
    until INTEGER NOT NULL
) STRICT;
CREATE INDEX outcome_until ON outcome (until);
UPDATE life SET state = zeroblob(16);
";

/// Prepare a connection that was just opened: lock the file for this process, for as long as it
/// is open; the version of its schema, 0 when it is empty.
///
/// `check` sees the file and the version of its schema before anything is written.
pub(crate) fn prepare(
    connection: &Connection,
    check: impl FnOnce(u32) -> Result<(), Error>,
) -> Result<u32, Error> {
    // Until it is closed in order, its files stay as they are: as a kill would leave them.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.busy_timeout(std::time::Duration::ZERO)?;
    // Exclusive before the first access: then the index of the WAL is in memory, nothing is
    // mapped, and nobody else can open the file.
    connection.execute_batch(
        "PRAGMA locking_mode = EXCLUSIVE;
         PRAGMA mmap_size = 0;
         PRAGMA temp_store = MEMORY;
         PRAGMA trusted_schema = OFF;
         PRAGMA cell_size_check = ON;
         PRAGMA cache_size = -32768;
         PRAGMA fullfsync = ON;
         PRAGMA checkpoint_fullfsync = ON;",
    )?;
    let found = identify(connection)?;
    check(found)?;
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if !mode.eq_ignore_ascii_case("wal") {
        return Err(Error::io(format!(
            "SQLite keeps no write-ahead log here, but {mode:?}"
        )));
    }
    connection.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;
         PRAGMA journal_size_limit = 67108864;",
    )?;
    // The lock of a reader would do until the first write: take the writer's now.
    connection.execute_batch("BEGIN IMMEDIATE; COMMIT;")?;
    Ok(found)
}

/// The version of the file's schema; 0 when it is empty. Writes nothing.
fn identify(connection: &Connection) -> Result<u32, Error> {
    let pragma = |name: &str| {
        connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0))
    };
    let (application, version) = (pragma("application_id")?, pragma("user_version")?);
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    match (application, version) {
        (0, 0) if tables == 0 => Ok(0),
        (application, _) if application != i64::from(APPLICATION) => {
            Err(Error::corrupt("it is a database of another application"))
        }
        (_, version @ 1..) if version <= i64::from(VERSION) => Ok(version as u32),
        (_, version @ 1..) => Err(Error::Newer {
            found: u32::try_from(version).unwrap_or(u32::MAX),
            known: VERSION,
        }),
        _ => Err(Error::corrupt("its schema has no version")),
    }
}

/// One transaction from any version to the newest, in SQLite's log.
///
/// A step that changes the schema itself, and so the file's first page beyond its first sector, must
/// not be taken while a journal is there: see [`crate::ownership::life`].
pub(crate) fn migrate(connection: &Connection, from: u32) -> Result<(), Error> {
    let transaction = connection.unchecked_transaction()?;
    for step in &MIGRATIONS[from as usize..] {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()?;
    Ok(())
}

/// Take SQLite's log to the database file, and sync it.
pub(crate) fn checkpoint(connection: &Connection) -> Result<(), Error> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
    Ok(())
}

/// A number in `meta`.
pub(crate) fn get(connection: &Connection, name: &str) -> Result<i64, Error> {
    connection
        .prepare_cached("SELECT value FROM meta WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()?
        .ok_or_else(|| Error::corrupt(format!("the number {name:?} is missing")))
}

/// Set a number in `meta`.
pub(crate) fn set(connection: &Connection, name: &str, value: i64) -> Result<(), Error> {
    connection
        .prepare_cached("UPDATE meta SET value = ?2 WHERE name = ?1")?
        .execute((name, value))?;
    Ok(())
}
