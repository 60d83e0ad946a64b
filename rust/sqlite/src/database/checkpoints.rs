//! When SQLite's log is taken to the database file.

use crate::Error;
use crate::database::schema;
use crate::ownership::life::{self, Life, OpenLog, Wal};
use rusqlite::Connection;
use std::sync::Arc;

/// What is known of SQLite's log, so that the database file says what it has of it.
///
/// A checkpoint takes all of the log to the file, and the next transaction begins the log anew,
/// as the next generation. That transaction notes which it is: so the file names the generation
/// that it has, and only that one or the next make it whole.
pub(crate) struct Checkpoints {
    place: Arc<OpenLog>,
    life: Life,
    /// The log to be noted by the next transaction.
    next: Option<Wal>,
}

impl Checkpoints {
    /// After the checkpoint that opening ends with.
    pub(crate) fn new(place: Arc<OpenLog>, life: Life) -> Self {
        let next = Some(life.log.next());
        Checkpoints { place, life, next }
    }

    /// Note within a transaction what it begins.
    pub(crate) fn note(&self, connection: &Connection) -> Result<(), Error> {
        match self.next {
            Some(log) => Life { log, ..self.life }.set(connection),
            None => Ok(()),
        }
    }

    /// That transaction is committed.
    pub(crate) fn noted(&mut self) {
        if let Some(log) = self.next.take() {
            self.life.log = log;
        }
    }

    /// Take SQLite's log to the database file.
    pub(crate) fn run(&mut self, connection: &Connection) -> Result<(), Error> {
        let head = self.place.head()?;
        if self.next == Some(head) || (self.next.is_none() && self.life.log != head) {
            // Maintenance began the log anew, or nobody did.
            Life {
                log: head,
                ..self.life
            }
            .set(connection)?;
        }
        schema::checkpoint(connection)?;
        self.life.log = head;
        self.next = Some(head.next());
        Ok(())
    }

    /// Take everything to the database file, say there that nothing else belongs to it, and leave
    /// SQLite's log empty.
    pub(crate) fn end(&mut self, connection: &Connection) -> Result<(), Error> {
        self.life.open = false;
        self.life.log = self.next.unwrap_or(self.life.log);
        self.life.set(connection)?;
        life::confirm(connection, &self.place, &mut self.life)?;
        let left: i64 =
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
        if left != 0 {
            return Err(Error::io("SQLite's log could not be emptied"));
        }
        Ok(())
    }
}
