//! The thread that owns the database: it takes batches from the journal to the tables, answers
//! queries, and runs maintenance beside that.

use crate::database::apply::{BatchApplier, TableCounts};
use crate::database::backup::{Copying, check_place};
use crate::database::checkpoints::Checkpoints;
use crate::database::queries::{Queries, changes};
use crate::database::rotation::Rotation;
use crate::database::savepoint;
use crate::journal::file as journal;
use crate::journal::group_commit::{GroupCommit, Woken};
use crate::ownership::claim::Claim;
use crate::request::{Ended, OnProgress, Request};
use crate::{Error, StoreError};
use duewheel_store::{Answer, Answered, Event, Events, Keyring, Query};
use rusqlite::Connection;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

type Answers = Result<Answer, StoreError>;

/// How many queries one transaction answers at most.
const REQUESTS: usize = 256;
/// What is kept of the memory of a large batch.
const KEPT: usize = 4 << 20;

/// How long the logs may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogLimits {
    /// Pages in SQLite's log at which they are taken to the database file.
    pub checkpoint_pages: u32,
    /// Bytes in the journal at which it is begun anew even if that holds up who appends.
    pub journal_bytes: u64,
    /// Bytes of batches on their way to the tables, over which waits last until there are fewer.
    pub backlog_bytes: usize,
}

impl Default for LogLimits {
    fn default() -> Self {
        LogLimits {
            checkpoint_pages: 4096,
            journal_bytes: 64 << 20,
            backlog_bytes: 32 << 20,
        }
    }
}

/// What is done beside the batches, in many turns.
enum Work {
    Backup(PathBuf),
    Rotate(Rotation, OnProgress),
}

/// What a writer is made of, on its thread: there alone it shares the connection.
pub(crate) struct WriterParts {
    pub(crate) connection: Connection,
    pub(crate) checkpoints: Checkpoints,
    pub(crate) claim: Arc<Claim>,
    pub(crate) keys: Option<Arc<Keyring>>,
    pub(crate) known: TableCounts,
    pub(crate) log: Arc<GroupCommit>,
    pub(crate) events: Arc<Events>,
    pub(crate) limits: LogLimits,
    /// The number of the last record that is in the tables.
    pub(crate) applied: u64,
}

pub(crate) struct Writer {
    /// Shared with a copy that reads from it while batches are written.
    connection: Rc<Connection>,
    checkpoints: Checkpoints,
    claim: Arc<Claim>,
    keys: Option<Arc<Keyring>>,
    known: TableCounts,
    log: Arc<GroupCommit>,
    events: Arc<Events>,
    limits: LogLimits,
    /// Batches on their way to the tables, and the number of the last of them.
    batch: Vec<u8>,
    upto: u64,
    /// The number of the last record that is in the tables.
    applied: u64,
    /// What takes many turns, and who waits for its end.
    maintenance: VecDeque<(Work, Ended)>,
    retry: bool,
}

impl Writer {
    pub(crate) fn new(parts: WriterParts) -> Self {
        let WriterParts {
            connection,
            checkpoints,
            claim,
            keys,
            known,
            log,
            events,
            limits,
            applied,
        } = parts;
        Writer {
            connection: Rc::new(connection),
            checkpoints,
            claim,
            keys,
            known,
            log,
            events,
            limits,
            batch: Vec::new(),
            upto: applied,
            applied,
            maintenance: VecDeque::new(),
            retry: false,
        }
    }

    /// Its life, until the store is closed or poisoned.
    pub(crate) fn run(mut self) -> Result<(), StoreError> {
        let ended = loop {
            match self
                .log
                .await_work(!self.maintenance.is_empty() && !self.retry, self.retry)
            {
                Woken::ToWork => {
                    self.turn();
                    self.maintain();
                }
                Woken::ToClose => break self.close().map_err(StoreError::from),
                Woken::Poisoned => break Err(self.log.poisoned().unwrap_or(StoreError::Closed)),
            }
        };
        let refusal = match &ended {
            Err(error) => error.clone(),
            Ok(()) => StoreError::Closed,
        };
        if let Some(poison) = self.log.poisoned() {
            (self.events)(Event::Poisoned(poison));
        }
        self.refuse_all(&refusal);
        ended
    }

    fn refuse_all(&mut self, refusal: &StoreError) {
        let left: Vec<_> = self.log.lock().requests.drain(..).collect();
        for request in left {
            request.refuse(refusal.clone());
        }
        for (_, then) in self.maintenance.drain(..) {
            then(Err(refusal.clone().into()));
        }
    }

    /// Take what waits to the tables, and answer what is asked, in one transaction.
    fn turn(&mut self) {
        let (upto, requests) = self.log.take(&mut self.batch, REQUESTS);
        self.upto = upto;
        let mut asked = Vec::with_capacity(requests.len());
        for request in requests {
            match request {
                Request::Query(query, then) => asked.push((query, then)),
                Request::Backup(path, then) => {
                    self.maintenance.push_back((Work::Backup(path), then));
                }
                Request::Rotate(progress, then) => {
                    let work = Work::Rotate(Rotation::new(), progress);
                    self.maintenance.push_back((work, then));
                }
            }
        }
        self.transact(asked);
    }

    fn transact(&mut self, asked: Vec<(Query, Answered)>) {
        if self.batch.is_empty() && asked.is_empty() {
            return;
        }
        match self.write(&asked) {
            Ok(answers) => {
                self.written();
                for ((_, then), answer) in asked.into_iter().zip(answers) {
                    then(answer);
                }
            }
            Err(error) => self.failed(error.into(), asked),
        }
        self.checkpoint();
    }

    /// One transaction: it leaves the tables, and what is known of them, as they were if it fails.
    fn write(&mut self, asked: &[(Query, Answered)]) -> Result<Vec<Answers>, Error> {
        let writes = !self.batch.is_empty() || asked.iter().any(|(query, _)| changes(query));
        let before = writes.then(|| self.known.clone());
        let written = self.transaction(asked, writes);
        if written.is_err() {
            if !self.connection.is_autocommit() {
                // An error says why it cannot be: then SQLite has rolled back by itself.
                let _ = self.connection.execute_batch("ROLLBACK");
            }
            if let Some(before) = before {
                self.known = before;
            }
        }
        written
    }

    fn transaction(
        &mut self,
        asked: &[(Query, Answered)],
        writes: bool,
    ) -> Result<Vec<Answers>, Error> {
        let connection = &*self.connection;
        if writes {
            connection.execute_batch("BEGIN IMMEDIATE")?;
        }
        let mut run = BatchApplier::new(connection, std::mem::take(&mut self.known), self.applied);
        let answered = (|| {
            for batch in journal::batches(&self.batch) {
                run.batch(batch)?;
            }
            run.flush()?;
            let queries = Queries {
                connection,
                keys: self.keys.as_deref(),
            };
            let mut answers = Vec::with_capacity(asked.len());
            for (query, _) in asked {
                if !changes(query) {
                    match queries.answer(&mut run.known, query) {
                        Err(error) if error.is_full() => return Err(error),
                        // What only reads harms no other, whatever it has found.
                        answer => answers.push(answer.map_err(StoreError::from)),
                    }
                    continue;
                }
                let (jobs, seq) = (run.known.jobs, run.known.seq);
                let step = || queries.answer(&mut run.known, query);
                let answer = savepoint::within(connection, step)?;
                if answer.is_err() {
                    (run.known.jobs, run.known.seq) = (jobs, seq);
                }
                answers.push(answer.map_err(StoreError::from));
            }
            Ok(answers)
        })();
        if writes && answered.is_ok() {
            let unapplied;
            (self.known, unapplied) = run.end_at(self.upto)?;
            self.checkpoints.note(connection)?;
            connection.execute_batch("COMMIT")?;
            self.checkpoints.noted();
            self.applied = self.upto;
            for (record, why) in unapplied {
                (self.events)(Event::Unapplied(record, why));
            }
        } else {
            self.known = run.known;
        }
        answered
    }

    /// The batches are in the tables: the journal may forget them.
    fn written(&mut self) {
        self.retry = false;
        self.batch.clear();
        self.batch.shrink_to(KEPT);
        let log = self.log.clone();
        let mut state = log.drained(self.upto);
        if !state.journal.pending.is_empty() && state.journal.length() > self.limits.journal_bytes {
            // Under a load without a pause there is never a moment at which all is in the
            // tables: make one, with the lock held.
            std::mem::swap(&mut state.journal.pending, &mut self.batch);
            state.draining = self.batch.len();
            self.upto = state.journal.number;
            if self.write(&[]).is_ok() {
                self.batch.clear();
                state.draining = 0;
                log.settle(&mut state, self.upto);
            }
        }
        if state.journal.pending.is_empty()
            && self.batch.is_empty()
            && let Err(error) = state.lap()
        {
            log.poison(&mut state, &error);
        }
        log.pass(state);
    }

    fn failed(&mut self, error: StoreError, asked: Vec<(Query, Answered)>) {
        let log = self.log.clone();
        let mut state = log.lock();
        let mut refused = Vec::new();
        if error == StoreError::Full {
            // What waits is safe in the journal. A page waits with it, for it is to hold it; any
            // other query is refused.
            self.retry = true;
            state.disk_full = true;
            for (query, then) in asked.into_iter().rev() {
                if matches!(query, Query::Page { .. } | Query::Repeats { .. }) {
                    state.requests.push_front(Request::Query(query, then));
                } else {
                    refused.push(then);
                }
            }
        } else {
            log.poison(&mut state, &error);
            refused.extend(asked.into_iter().map(|(_, then)| then));
        }
        drop(state);
        let error = log.poisoned().unwrap_or(error);
        for then in refused {
            then(Err(error.clone()));
        }
    }

    /// Refuse while what was acknowledged is not in the tables, for want of space.
    fn is_whole(&self) -> Result<(), Error> {
        if self.retry {
            Err(StoreError::Full.into())
        } else {
            Ok(())
        }
    }

    /// Take SQLite's own log to the database file when it has grown.
    fn checkpoint(&mut self) {
        let pages: Result<i64, _> =
            self.connection
                .query_row("PRAGMA wal_checkpoint(NOOP)", [], |row| row.get(1));
        let done = match pages {
            Ok(pages) if pages < i64::from(self.limits.checkpoint_pages) => return,
            Ok(_) => self.checkpoints.run(&self.connection),
            Err(error) => Err(error.into()),
        };
        if let Err(error) = done
            && !error.is_full()
        {
            self.log.poison(&mut self.log.lock(), &error.into());
        }
    }

    /// Go on with the maintenance that came first. Without space it waits like everything.
    fn maintain(&mut self) {
        if self.log.poisoned().is_some() {
            return;
        }
        let Some((mut work, then)) = self.maintenance.pop_front() else {
            return;
        };
        let step = match &mut work {
            Work::Backup(path) => self.back_up(path).map(|()| true),
            Work::Rotate(rotation, progress) => {
                let step = self.rotate(rotation, progress);
                if let Err(Error::Store(error @ StoreError::Io(_))) = &step {
                    self.log.poison(&mut self.log.lock(), error);
                }
                step
            }
        };
        match step {
            Ok(false) => self.maintenance.push_front((work, then)),
            Ok(true) => then(Ok(())),
            Err(error) => then(Err(error)),
        }
    }

    /// Copy the database page by page, and take turns between. What is written meanwhile through
    /// this connection is in the copy as well.
    fn back_up(&mut self, path: &Path) -> Result<(), Error> {
        check_place(path)?;
        self.copy(path).map_err(|error| match error {
            Error::ReadOnly(_) => Error::ReadOnly(path.to_owned()),
            other => other.of(path),
        })
    }

    fn copy(&mut self, path: &Path) -> Result<(), Error> {
        let source = self.connection.clone();
        let mut copying = Copying::begin(path, self.claim.of_database())?;
        self.is_whole()?;
        copying.fill(&source, || {
            self.turn();
            self.log
                .poisoned()
                .map_or(Ok(()), |error| Err(error.into()))
        })?;
        self.is_whole()?;
        copying.finish()
    }

    /// One step of a rotation; `true`: it was the last.
    fn rotate(
        &mut self,
        rotation: &mut Rotation,
        progress: &dyn Fn(u64, u64),
    ) -> Result<bool, Error> {
        let Some(keys) = self.keys.clone() else {
            return Err(StoreError::WrongKey("there is no keyring to rotate to".into()).into());
        };
        if rotation.step(&self.connection, &keys, &mut self.checkpoints)? {
            return Ok(true);
        }
        self.checkpoint();
        let dead: i64 = self
            .connection
            .query_row("SELECT count(*) FROM dead", [], |row| row.get(0))?;
        let all = (self.known.jobs + dead).max(0) as u64;
        progress(rotation.done().min(all), all);
        Ok(false)
    }

    /// Take everything to the tables and leave one file.
    fn close(&mut self) -> Result<(), Error> {
        loop {
            self.turn();
            if let Some(error) = self.log.poisoned() {
                return Err(error.into());
            }
            if self.retry && !self.batch.is_empty() {
                return Err(StoreError::Full.into()); // the journal stays, and is replayed at the next open
            }
            let state = self.log.lock();
            if state.requests.is_empty() && state.journal.pending.is_empty() {
                break;
            }
        }
        self.checkpoints.end(&self.connection)
    }
}
