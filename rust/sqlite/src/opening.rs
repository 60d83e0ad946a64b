//! Opening the files of a claimed store: they are checked, brought up to date, and begin a new life.

use crate::Error;
use crate::database::recovery::{
    Recovered, Recovery, Unapplied, catch_up, check_keys, close_version_1, close_version_3,
};
use crate::database::schema;
use crate::disk::{Disk, JournalFile};
use crate::ownership::claim::Claim;
use crate::ownership::identity::Identity;
use crate::ownership::life::{Life, OpenLog, salt};
use duewheel_store::Keyring;
use rusqlite::{Connection, OpenFlags};
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// What an opening needs to know.
pub(crate) struct Opening<'a> {
    pub(crate) disk: &'a dyn Disk,
    pub(crate) claim: &'a Claim,
    pub(crate) keys: Option<&'a Keyring>,
    pub(crate) max_interruptions: u32,
}

/// The files of a store in use.
pub(crate) struct Opened {
    pub(crate) connection: Connection,
    pub(crate) wal: Arc<OpenLog>,
    /// The journal's.
    pub(crate) file: Box<dyn JournalFile>,
    pub(crate) recovered: Recovered,
}

/// A database that is open, in the newest schema.
struct Database {
    connection: Connection,
    wal: Arc<OpenLog>,
    life: Life,
    unapplied: Unapplied,
}

impl Opening<'_> {
    /// Open them all. Each step leaves files that [`crate::ownership::identity`] knows.
    pub(crate) fn run(self) -> Result<Opened, Error> {
        let mut file = self.beside("-ops", false)?;
        // SQLite would not say which of its files it cannot open.
        for suffix in ["-wal", "-journal"] {
            self.beside(suffix, false)?;
        }
        let bytes = file.as_ref().map(|file| file.read_all()).transpose()?;
        let bytes = bytes.as_deref();
        let Database {
            connection,
            wal,
            life,
            unapplied,
        } = self.open_database(&mut file, bytes)?;
        let file = file.map_or_else(|| self.make_journal(), Ok)?;
        let recovery = Recovery {
            connection: &connection,
            log: &wal,
            keys: self.keys,
            life,
            max_interruptions: self.max_interruptions,
            now: now(),
            salt: salt()?,
            unapplied,
        };
        let recovered = recovery.run(&*file, bytes.unwrap_or_default())?;
        Ok(Opened {
            connection,
            wal,
            file,
            recovered,
        })
    }

    /// Open the database, in the newest schema and ahead of no other file, and its log. Of a store of an earlier
    /// version the journal is removed.
    fn open_database(
        &self,
        file: &mut Option<Box<dyn JournalFile>>,
        bytes: Option<&[u8]>,
    ) -> Result<Database, Error> {
        let path = self.claim.path();
        let (journal, wal) = (self.claim.beside("-ops"), self.claim.beside("-wal"));
        let old = (&*journal, bytes);
        let identity = Identity::look(path, old, &wal, self.disk);
        let identity = identity.map_err(|error| error.denied(path))?;
        identity.check()?;
        let connection = connect(path, self.disk).map_err(|error| error.denied(path))?;
        let version = self.version_of(&connection, &identity)?;
        let mut unapplied = Vec::new();
        if version < schema::VERSION {
            // A step may change all of the file's first page, and a loss of power leave half of that: then the
            // file alone says nothing, and only a store without a journal is known by its log.
            if version > 0 {
                unapplied = self.close_old(&connection, version, file, bytes)?;
                if let Some(file) = file.take() {
                    self.disk.remove(&[(&journal, &*file)])?;
                }
            }
            schema::migrate(&connection, version)?;
        }
        let life = Life::get(&connection)?;
        let wal = Arc::new(self.open_log(&wal)?);
        if version < schema::VERSION || identity.lags(life) {
            // Before there is a journal that follows this life.
            catch_up(&connection, &wal)?;
        }
        Ok(Database {
            connection,
            wal,
            life,
            unapplied,
        })
    }

    /// Close what a process with an earlier version left behind, as that version would.
    fn close_old(
        &self,
        connection: &Connection,
        version: u32,
        file: &mut Option<Box<dyn JournalFile>>,
        bytes: Option<&[u8]>,
    ) -> Result<Unapplied, Error> {
        let bytes = bytes.unwrap_or_default();
        if version == 1 {
            return close_version_1(connection, bytes);
        }
        let log = self.open_log(&self.claim.beside("-wal"))?;
        let journal = match file.take() {
            Some(file) => file,
            None => self.make_journal()?,
        };
        let journal = &**file.insert(journal);
        close_version_3(connection, &log, (journal, bytes), (version, salt()?))
    }

    fn open_log(&self, path: &Path) -> Result<OpenLog, Error> {
        let file = self.beside("-wal", false)?;
        Ok(OpenLog {
            file: file.ok_or_else(|| Error::io(format!("{} is gone", path.display())))?,
            path: path.to_owned(),
        })
    }

    /// The version of the schema, once nothing speaks against opening the file.
    fn version_of(&self, connection: &Connection, identity: &Identity<'_>) -> Result<u32, Error> {
        let version = schema::prepare(connection, |version| {
            identity.check_applied(version, connection)?;
            if version > 0 {
                check_keys(connection, self.keys)?;
            }
            Ok(())
        });
        if version.is_err() {
            identity.leave_no_log(connection)?;
        }
        version.map_err(|error| error.denied(self.claim.path()))
    }

    /// Make the journal: it must be there before the tables say that it is.
    fn make_journal(&self) -> Result<Box<dyn JournalFile>, Error> {
        let file = self.beside("-ops", true)?;
        self.disk.sync_directory(&self.claim.beside("-ops"))?;
        file.ok_or_else(|| Error::io("the journal was not made"))
    }

    /// Open a file beside the database, which gets its owner and mode.
    fn beside(&self, suffix: &str, create: bool) -> Result<Option<Box<dyn JournalFile>>, Error> {
        let path = self.claim.beside(suffix);
        let file = self.disk.open(&path, create);
        let file = file.map_err(|error| Error::from(error).of(&path))?;
        if let Some(file) = &file {
            file.resemble(self.claim);
        }
        Ok(file)
    }
}

/// After an opening that came to nothing: remove the database if it was made for it and has no
/// byte.
pub(crate) fn tidy(claim: &Claim, disk: &dyn Disk) {
    if claim.has_made()
        && let Ok(Some(file)) = disk.open(claim.path(), false)
        && matches!(file.head(0), Ok((0, _)))
    {
        let _ = disk.remove(&[(claim.path(), &*file)]);
    }
}

fn connect(path: &Path, disk: &dyn Disk) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = match disk.vfs() {
        Some(vfs) => Connection::open_with_flags_and_vfs(path, flags, vfs)?,
        None => Connection::open_with_flags(path, flags)?,
    };
    connection.set_prepared_statement_cache_capacity(64);
    if connection.is_readonly("main")? {
        return Err(Error::ReadOnly(path.to_owned()));
    }
    Ok(connection)
}

/// The wall clock.
fn now() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_nanos() as i64,
        Err(before) => -(before.duration().as_nanos() as i64),
    }
}
