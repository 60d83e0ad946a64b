//! Copying a database that is in use into a new file.

use crate::Error;
use crate::disk::{Disk, RealDisk};
use crate::ownership::files::{self, beside};
use crate::ownership::life::{Life, salt};
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};
use std::fs::Metadata;
use std::path::{Path, PathBuf};

/// Pages copied at least between two turns.
const STEP: i32 = 256;

/// Refuse a place for a copy where something is, or where nothing can be.
pub(crate) fn check_place(path: &Path) -> Result<(), Error> {
    let shown = path.display();
    // What lies beside it would be taken for its own.
    for taken in ["", "-ops", "-wal", "-journal"].map(|with| beside(path, with)) {
        if taken.symlink_metadata().is_ok() {
            let taken = taken.display();
            let why = format!("{taken} exists already: give the path of a new file");
            return Err(Error::io(why));
        }
    }
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    if directory.is_some_and(|directory| !directory.is_dir()) {
        let why = format!("{shown} cannot be made: its directory is not there, make it first");
        return Err(Error::io(why));
    }
    Ok(())
}

/// A copy that is being made under another name; what of it is there goes with it.
pub(crate) struct Copying<'a> {
    path: &'a Path,
    part: PathBuf,
    target: Option<Connection>,
}

impl<'a> Copying<'a> {
    /// Make an empty one, with the owner and the mode of the database.
    pub(crate) fn begin(path: &'a Path, database: Option<Metadata>) -> Result<Self, Error> {
        let part = beside(path, ".part");
        let mut copying = Copying {
            path,
            part,
            target: None,
        };
        // What an earlier attempt left behind.
        copying.remove_parts();
        // As open as the database from its first byte on.
        let file = files::make(&copying.part, files::PRIVATE)?;
        if let Some(like) = database {
            let _ = files::resemble(&file, &like);
        }
        drop(file);
        // Nobody else knows of it: no locks are needed, which a child forked now would keep.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let part = &copying.part;
        let target = match RealDisk.vfs() {
            Some(vfs) => Connection::open_with_flags_and_vfs(part, flags, vfs)?,
            None => Connection::open_with_flags(part, flags)?,
        };
        target.execute_batch("PRAGMA locking_mode = EXCLUSIVE; PRAGMA synchronous = FULL;")?;
        copying.target = Some(target);
        Ok(copying)
    }

    /// Copy page by page, with turns of the thread of the tables between.
    pub(crate) fn fill(
        &mut self,
        source: &Connection,
        mut turn: impl FnMut() -> Result<(), Error>,
    ) -> Result<(), Error> {
        let Some(target) = &mut self.target else {
            return Ok(());
        };
        let backup = Backup::new(source, target)?;
        let mut pages = pages_of(source)?;
        let mut step = STEP;
        while backup.step(step)? != StepResult::Done {
            turn()?;
            // Faster than the database grows, or under a load without a pause it never ends.
            let before = std::mem::replace(&mut pages, pages_of(source)?);
            step = (2 * (pages - before)).max(STEP);
        }
        Ok(())
    }

    /// Give it its name. It stands alone: no file belongs to it, also none of the store that it was
    /// made of.
    pub(crate) fn finish(mut self) -> Result<(), Error> {
        if let Some(target) = self.target.take() {
            let life = Life {
                salt: salt()?,
                ..Life::default()
            };
            life.set(&target)?;
            target.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(()))?;
            target.close().map_err(|(_, error)| error)?;
        }
        std::fs::rename(&self.part, self.path)?;
        RealDisk.sync_directory(self.path)?;
        Ok(())
    }

    /// That there is nothing is no error.
    fn remove_parts(&self) {
        for with in ["", "-journal", "-wal"] {
            let _ = std::fs::remove_file(beside(&self.part, with));
        }
    }
}

impl Drop for Copying<'_> {
    fn drop(&mut self) {
        drop(self.target.take());
        self.remove_parts();
    }
}

/// How many pages a database has.
fn pages_of(connection: &Connection) -> Result<i32, Error> {
    let pages = connection.query_row("PRAGMA page_count", [], |row| row.get(0))?;
    Ok(pages)
}
