//! What the thread of the tables does beside its work, a step at a time: copying the store, and
//! encrypting it anew.

use crate::database::rows;
use crate::database::schema::columns;
use crate::database::writer::Writer;
use crate::disk::{Disk, RealDisk};
use crate::ownership::claim;
use crate::ownership::life::Life;
use crate::request::{Ended, OnProgress};
use crate::store::salt;
use crate::{Error, StoreError};
use rusqlite::backup::{Backup, StepResult};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use std::path::{Path, PathBuf};

/// Pages copied at least, or rows encrypted, between two turns.
const STEP: usize = 256;

/// Work in many steps, and who waits for its end.
pub(crate) struct Maintenance {
    work: Work,
    then: Ended,
}

enum Work {
    Backup(PathBuf),
    Rotate {
        progress: OnProgress,
        /// Which table is next, and the row after which it goes on.
        table: usize,
        after: i64,
        done: u64,
        /// Rows that could not be read, and what is wrong with the first.
        passed: (u64, Option<Error>),
    },
}

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

impl Maintenance {
    pub(crate) fn backup(path: PathBuf, then: Ended) -> Self {
        let work = Work::Backup(path);
        Maintenance { work, then }
    }

    pub(crate) fn rotate(progress: OnProgress, then: Ended) -> Self {
        let work = Work::Rotate {
            progress,
            table: 0,
            after: i64::MIN,
            done: 0,
            passed: (0, None),
        };
        Maintenance { work, then }
    }

    pub(crate) fn end(self, result: Result<(), Error>) {
        (self.then)(result);
    }
}

/// Refuse a place for a copy where something is, or where nothing can be.
fn free_place(path: &Path) -> Result<(), Error> {
    let shown = path.display();
    // What lies beside it would be taken for its own.
    for taken in ["", "-ops", "-wal", "-journal"].map(|with| ending(path, with)) {
        if taken.symlink_metadata().is_ok() {
            let taken = taken.display();
            let why = format!("{taken} exists already: give the path of a new file");
            return Err(Error::Store(StoreError::Io(why)));
        }
    }
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    if directory.is_some_and(|directory| !directory.is_dir()) {
        let why = format!("{shown} cannot be made: its directory is not there, make it first");
        return Err(Error::Store(StoreError::Io(why)));
    }
    Ok(())
}

fn ending(path: &Path, with: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(with);
    PathBuf::from(name)
}

impl Writer {
    /// Go on with the errand that came first. Without space it waits like everything.
    pub(crate) fn errand(&mut self) {
        if self.log.poisoned().is_some() {
            return;
        }
        let Some(mut errand) = self.maintenance.pop_front() else {
            return;
        };
        let step = match &mut errand.work {
            Work::Backup(path) => {
                let path = std::mem::take(path);
                self.back_up(&path).map(|()| true)
            }
            Work::Rotate {
                progress,
                table,
                after,
                done,
                passed,
            } => {
                let step = self.rotate(progress, table, after, done, passed);
                if let Err(Error::Store(error @ StoreError::Io(_))) = &step {
                    self.log.poison(&mut self.log.lock(), error);
                }
                step
            }
        };
        match step {
            Ok(false) => self.maintenance.push_front(errand),
            Ok(true) => errand.end(Ok(())),
            Err(error) => errand.end(Err(error)),
        }
    }

    /// Copy the database page by page, and take turns between. What is written meanwhile through
    /// this connection is in the copy as well.
    fn back_up(&mut self, path: &Path) -> Result<(), Error> {
        free_place(path)?;
        let part = ending(path, ".part");
        // What an earlier attempt left behind. That there is nothing is no error.
        let remove_parts = || {
            for with in ["", "-journal", "-wal"] {
                let _ = std::fs::remove_file(ending(&part, with));
            }
        };
        remove_parts();
        let copied = self.copy(&part).and_then(|()| {
            std::fs::rename(&part, path)?;
            RealDisk.sync_directory(path)?;
            Ok(())
        });
        if copied.is_err() {
            remove_parts();
        }
        copied.map_err(|error| match error {
            Error::ReadOnly(_) => Error::ReadOnly(path.to_owned()),
            Error::Store(StoreError::Io(why)) => Error::io(format!("{}: {why}", path.display())),
            other => other,
        })
    }

    fn copy(&mut self, part: &Path) -> Result<(), Error> {
        // As open as the database from its first byte on.
        let file = claim::make(part, claim::PRIVATE)?;
        if let Some(like) = self.claim.of_database() {
            let _ = claim::resemble(&file, &like);
        }
        drop(file);
        // Nobody else knows of it: no locks are needed, which a child forked now would keep.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut target = match RealDisk.vfs() {
            Some(vfs) => Connection::open_with_flags_and_vfs(part, flags, vfs)?,
            None => Connection::open_with_flags(part, flags)?,
        };
        target.execute_batch("PRAGMA locking_mode = EXCLUSIVE; PRAGMA synchronous = FULL;")?;
        let source = self.connection.clone();
        let backup = Backup::new(&source, &mut target)?;
        self.is_whole()?;
        let mut pages = self.pages()?;
        let mut step = STEP as i32;
        loop {
            match backup.step(step)? {
                StepResult::Done => break,
                _ => self.turn(),
            }
            // Faster than the database grows, or under a load without a pause it never ends.
            let before = std::mem::replace(&mut pages, self.pages()?);
            step = (2 * (pages - before)).max(STEP as i32);
            if let Some(error) = self.log.poisoned() {
                return Err(error.into());
            }
        }
        drop(backup);
        self.is_whole()?;
        // The copy stands alone: no file belongs to it, also none of the store that it was made of.
        let life = Life {
            salt: salt()?,
            ..Life::default()
        };
        life.set(&target)?;
        target.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(()))?;
        target.close().map_err(|(_, error)| error)?;
        Ok(())
    }

    /// How many pages the database has.
    fn pages(&self) -> Result<i32, Error> {
        let pages = self
            .connection
            .query_row("PRAGMA page_count", [], |row| row.get(0))?;
        Ok(pages)
    }

    /// One step of a rotation; `true`: it was the last.
    fn rotate(
        &mut self,
        progress: &OnProgress,
        table: &mut usize,
        after: &mut i64,
        done: &mut u64,
        passed: &mut (u64, Option<Error>),
    ) -> Result<bool, Error> {
        let Some(keys) = self.keys.clone() else {
            return Err(StoreError::WrongKey("there is no keyring to rotate to".into()).into());
        };
        let connection = self.connection.clone();
        let transaction = connection.unchecked_transaction()?;
        let Some((name, select)) = TABLES.get(*table) else {
            if let (count, Some(why)) = passed {
                return Err(Error::unreadable(format!(
                    "{count} rows cannot be read, and keep their keys; all others have the new \
                     one. The first: {why}"
                )));
            }
            // No row has another key now, and none will.
            connection.execute("DELETE FROM keys WHERE key <> ?1", [keys.default_key()])?;
            self.checkpoints.note(&connection)?;
            transaction.commit()?;
            self.checkpoints.noted();
            return Ok(true);
        };
        let mut rows = Vec::new();
        let mut statement = connection.prepare_cached(select)?;
        let mut found = statement.query((*after, STEP as i64))?;
        let mut seen = 0;
        while let Some(row) = found.next()? {
            seen += 1;
            *after = row.get(0)?;
            if row.get_ref(7)? == ValueRef::Integer(keys.default_key().into()) {
                continue;
            }
            match rows::job(row, 1, Some(&keys)) {
                Ok(job) => rows.push((*after as u64, job)),
                Err(why) => {
                    passed.0 += 1;
                    passed.1.get_or_insert(why);
                }
            }
        }
        drop(found);
        for (row, job) in &rows {
            rows::reseal(&connection, name, *row, &keys, job)?;
        }
        drop(statement);
        self.checkpoints.note(&connection)?;
        transaction.commit()?;
        self.checkpoints.noted();
        self.checkpoint();
        *done += seen;
        if seen == 0 {
            *table += 1;
            *after = i64::MIN;
        }
        let dead: i64 = connection.query_row("SELECT count(*) FROM dead", [], |row| row.get(0))?;
        let all = (self.known.jobs + dead).max(0) as u64;
        progress((*done).min(all), all);
        Ok(false)
    }
}
