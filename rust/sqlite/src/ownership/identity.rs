//! Whether the files beside a database are its own.
//!
//! Asked before SQLite sees any of them, for it applies whatever log it finds. A kill or a loss of
//! power leaves only what `docs/store.md` lists; all else was made by hand: a file was removed,
//! replaced, or copied alone, and going on would lose jobs without a word.

use crate::Error;
use crate::database::schema;
use crate::disk::Disk;
use crate::journal::file::Head;
use crate::ownership::life::{Alone, FIRST, Life, Log};
use rusqlite::Connection;
use rusqlite::config::DbConfig;
use std::path::Path;

/// What each of the three files says of itself.
pub(crate) struct Identity<'a> {
    database: &'a Path,
    journal: &'a Path,
    log: &'a Path,
    alone: Alone,
    /// `None`: it is not there.
    head: Option<Head>,
    found: Log,
}

impl<'a> Identity<'a> {
    /// Look at all of them.
    pub(crate) fn look(
        database: &'a Path,
        (journal, bytes): (&'a Path, Option<&[u8]>),
        log: &'a Path,
        disk: &dyn Disk,
    ) -> Result<Self, Error> {
        Ok(Identity {
            database,
            journal,
            log,
            alone: Alone::look(database, disk)?,
            head: bytes.map(Head::of),
            found: Log::look(log, disk)?,
        })
    }

    /// Refuse files that no kill could have left like this.
    pub(crate) fn check(&self) -> Result<(), Error> {
        match self.alone {
            Alone::Absent | Alone::Empty => self.nothing_beside(),
            Alone::Scrap => Err(Error::corrupt(
                "it is too short to be a database: put the file back, or remove it to begin a new \
                 one",
            )),
            // SQLite says what it is; and no kill leaves a journal beside it.
            Alone::Unknown => match self.head {
                Some(Head::Named { .. }) => Err(self.foreign(self.journal)),
                _ => Ok(()),
            },
            Alone::Known(life) => {
                let missing = self.missing_of(life);
                if !missing.is_empty() {
                    return Err(missing_error(&missing, self.database));
                }
                self.journal_of(life)?;
                self.log_of(life)
            }
        }
    }

    /// Check what SQLite reads, the log applied, in a schema of this version.
    pub(crate) fn check_applied(&self, version: u32, connection: &Connection) -> Result<(), Error> {
        if (1..FIRST).contains(&version) {
            // All that it says is whether there must be a journal.
            if self.head.is_none() && schema::get(connection, "open")? != 0 {
                return Err(missing_error(&[self.journal], self.database));
            }
            return Ok(());
        }
        let life = match version {
            0 => Life::default(),
            _ => Life::get(connection)?,
        };
        match self.alone {
            Alone::Known(_) => self.journal_of(life),
            // Made just now, or by a process that died before the file could be read alone.
            _ if life.salt != 0 => Err(self.foreign(self.log)),
            _ if self.head.is_some() => Err(self.foreign(self.journal)),
            _ => Ok(()),
        }
    }

    /// Whether the database file alone does not yet say of which life it is.
    pub(crate) fn lags(&self, life: Life) -> bool {
        !matches!(self.alone, Alone::Known(alone) if alone.salt == life.salt)
    }

    /// Let SQLite remove its log when it closes the connection, if there was none: one that was not
    /// written to is of no use to anybody.
    pub(crate) fn leave_no_log(&self, connection: &Connection) -> Result<(), Error> {
        if self.found == Log::Missing {
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
        }
        Ok(())
    }

    fn nothing_beside(&self) -> Result<(), Error> {
        let mut beside = Vec::new();
        if self.head.is_some() {
            beside.push(self.journal);
        }
        if self.found != Log::Missing {
            beside.push(self.log);
        }
        if beside.is_empty() {
            return Ok(());
        }
        Err(Error::corrupt(format!(
            "the database is gone, and what belongs to it is still there: {}. Put the database \
             back, or, to begin a new one, remove what is left of it",
            listed(&beside)
        )))
    }

    fn missing_of(&self, life: Life) -> Vec<&'a Path> {
        let mut missing = Vec::new();
        if life.open && matches!(self.head, None | Some(Head::Blank)) {
            missing.push(self.journal);
        }
        if life.open && self.found == Log::Missing {
            missing.push(self.log);
        }
        missing
    }

    fn journal_of(&self, life: Life) -> Result<(), Error> {
        match self.head {
            None if life.open => Err(missing_error(&[self.journal], self.database)),
            None => Ok(()),
            Some(Head::Blank) if !life.open => Ok(()),
            Some(Head::Named { salt, .. }) if salt == life.salt => Ok(()),
            // It was begun after that life, and not taken into use.
            Some(Head::Named {
                before,
                used: false,
                ..
            }) if before == life.salt => Ok(()),
            _ => Err(self.foreign(self.journal)),
        }
    }

    fn log_of(&self, life: Life) -> Result<(), Error> {
        let found = match self.found {
            Log::Missing => return Ok(()),
            Log::Foreign => return Err(self.foreign(self.log)),
            Log::There(found) => found,
        };
        let begun = matches!(self.head, Some(Head::Named { before, salt, .. })
            if before == life.salt && salt != life.salt);
        // Made with the database, or by the opening that made the journal.
        let new = !life.open && (begun || life.salt == 0);
        if new || life.log.goes_on_in(found) {
            return Ok(());
        }
        Err(self.foreign(self.log))
    }

    /// The error for a file that is of another life of the database, or of another database.
    fn foreign(&self, which: &Path) -> Error {
        let remedy = match self.alone {
            Alone::Known(Life { open: false, .. }) => {
                "The database was closed in order or is a backup, and needs no other file: to use it \
                 as it is, move away"
            }
            _ => "Put back the files that were together; or restore a backup, and move away",
        };
        let beside: &[&Path] = match (self.head, self.found) {
            (None, _) => &[self.log],
            (_, Log::Missing) => &[self.journal],
            _ => &[self.journal, self.log],
        };
        Error::corrupt(format!(
            "{} does not belong to it: one of the files was replaced, or copied without the others. \
             {remedy} {}",
            which.display(),
            listed(beside)
        ))
    }
}

fn listed(paths: &[&Path]) -> String {
    let shown: Vec<_> = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    shown.join(" and ")
}

/// The error for files that the database cannot do without.
fn missing_error(missing: &[&Path], database: &Path) -> Error {
    let (is, them) = match missing.len() {
        1 => ("is", "it"),
        _ => ("are", "them"),
    };
    Error::corrupt(format!(
        "{} {is} missing or empty, and had jobs: {} was in use when its process died, or when it was \
         copied. Put {them} back beside it. A file that is in use is copied by backup(path); by \
         hand, close it first, or after a crash take all its files together",
        listed(missing),
        database.display(),
    ))
}
