//! The local store: one SQLite file, a journal beside it while it is open, and two threads.

use crate::database::checkpoints::Checkpoints;
use crate::database::recovery::Recovered;
use crate::database::writer::{LogLimits, Writer, WriterParts};
use crate::disk::{Disk, RealDisk};
use crate::journal::codec;
use crate::journal::group_commit::{Durability, GroupCommit};
use crate::opening::{Opened, Opening, tidy};
use crate::ownership::claim::Claim;
use crate::ownership::life::OpenLog;
use crate::request::{Ended, OnProgress, Request};
use crate::{Error, StoreError};
use duewheel_store::{
    Answered, Event, Events, Found, Keyring, Op, Query, SealedBatch, Settled, Store, Ticket,
};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

/// How a local store is opened.
pub struct Settings {
    /// When a batch is settled.
    pub durability: Durability,
    /// What payloads are encrypted under; `None`: they are not.
    pub keys: Option<Keyring>,
    /// How many deaths of its process a job survives, plus one.
    pub max_interruptions: u32,
    /// How long the logs may become.
    pub limits: LogLimits,
    /// Where the files are.
    pub disk: Arc<dyn Disk>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            durability: Durability::Commit,
            keys: None,
            max_interruptions: 3,
            limits: LogLimits::default(),
            disk: Arc::new(RealDisk),
        }
    }
}

/// A store in one file, owned by one process at a time.
pub struct LocalStore {
    log: Arc<GroupCommit>,
    keys: Option<Arc<Keyring>>,
    found: Found,
    threads: Mutex<Option<Threads>>,
    /// A fork has no threads to wait for, and nothing to settle.
    process: u32,
}

struct Threads {
    tables: JoinHandle<Result<(), StoreError>>,
    syncer: Option<JoinHandle<()>>,
}

/// What belongs to an open file beside its connection.
struct Files {
    disk: Arc<dyn Disk>,
    claim: Arc<Claim>,
    wal: Arc<OpenLog>,
}

impl Files {
    /// Release them; after a clean end, the logs are no longer needed.
    fn release(self, clean: bool, log: &GroupCommit) -> Result<(), Error> {
        let file = log.take_file();
        if clean && let Some(file) = file {
            let wal = (&*self.wal.path, &*self.wal.file);
            let journal = self.claim.beside("-ops");
            self.disk.remove(&[wal, (&journal, &*file)])?;
        }
        Ok(())
    }
}

impl LocalStore {
    /// Open or make the store at `path`, bring it up to date, and start its threads.
    ///
    /// # Errors
    ///
    /// One of each kind, before any thread runs; [`duewheel_store::Error::WrongKey`] before anything is written.
    pub fn open(path: &Path, settings: Settings, events: Events) -> Result<Self, Error> {
        let disk = settings.disk.clone();
        let claim = Arc::new(disk.claim(path)?);
        let opened = Self::open_claimed(claim.clone(), settings, events);
        if opened.is_err() {
            tidy(&claim, &*disk);
        }
        opened
    }

    /// Copy the store into a new file while it is in use.
    pub fn backup(&self, path: &Path, then: Ended) {
        // As it is meant here: the process may change its directory.
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        self.log.ask(Request::Backup(path, then));
    }

    /// Encrypt every payload under the default key.
    pub fn rotate(&self, progress: OnProgress, then: Ended) {
        self.log.ask(Request::Rotate(progress, then));
    }

    fn open_claimed(claim: Arc<Claim>, settings: Settings, events: Events) -> Result<Self, Error> {
        let disk = settings.disk;
        let keys = settings.keys.map(Arc::new);
        let opening = Opening {
            disk: &*disk,
            claim: &claim,
            keys: keys.as_deref(),
            max_interruptions: settings.max_interruptions,
        };
        let Opened {
            connection,
            wal,
            file,
            recovered,
        } = opening.run()?;
        let Recovered {
            known,
            found,
            journal,
            life,
        } = recovered;
        let applied = journal.number;
        let log = Arc::new(GroupCommit::new(
            journal,
            file,
            settings.durability,
            settings.limits.backlog_bytes,
        ));
        let writer = WriterParts {
            connection,
            checkpoints: Checkpoints::new(wal.clone(), life),
            claim: claim.clone(),
            keys: keys.clone(),
            known,
            applied,
            log: log.clone(),
            events: Arc::new(events),
            limits: settings.limits,
        };
        let files = Files { disk, claim, wal };
        let threads = start(writer, files, settings.durability)?;
        Ok(LocalStore {
            log,
            keys,
            found,
            threads: Mutex::new(Some(threads)),
            process: std::process::id(),
        })
    }
}

fn start(parts: WriterParts, files: Files, durability: Durability) -> Result<Threads, Error> {
    let log = parts.log.clone();
    let syncer = match durability {
        Durability::Relaxed => None,
        Durability::Commit => {
            let log = log.clone();
            let name = "duewheel-sync".to_owned();
            let thread = std::thread::Builder::new().name(name);
            Some(thread.spawn(move || log.sync_for_others())?)
        }
    };
    let thread = std::thread::Builder::new().name("duewheel-store".to_owned());
    let tables = thread.spawn(move || {
        // A panic here would leave everybody waiting.
        let log = parts.log.clone();
        let guard = PoisonOnPanic(log.clone());
        let ended = Writer::new(parts).run();
        drop(guard);
        files.release(ended.is_ok(), &log)?;
        ended
    });
    match tables {
        Ok(tables) => Ok(Threads { tables, syncer }),
        Err(error) => {
            log.close();
            Err(error.into())
        }
    }
}

struct PoisonOnPanic(Arc<GroupCommit>);

impl Drop for PoisonOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let error = StoreError::Poisoned("the thread of the tables has panicked".into());
            self.0.poison(&mut self.0.lock(), &error);
        }
    }
}

impl Store for LocalStore {
    fn submit(&self, batch: &[Op<'_>]) -> Result<Ticket, StoreError> {
        let batch = SealedBatch::new(batch, self.keys.as_deref())?;
        let number = self.log.append(batch.inserts(), |out| {
            for (op, data, key) in batch.ops() {
                codec::encode(op, data, key, out);
            }
        })?;
        Ok(Ticket(number))
    }

    fn wait(&self, ticket: Ticket, deadline: Option<Instant>) -> Result<bool, StoreError> {
        self.log.wait(ticket.0, deadline)
    }

    fn when(&self, ticket: Ticket, then: Settled) {
        self.log.when(ticket.0, then);
    }

    fn ask(&self, query: Query, then: Answered) {
        self.log.ask(Request::Query(query, then));
    }

    fn found(&self) -> &Found {
        &self.found
    }

    fn close(&self) -> Result<(), StoreError> {
        if self.process != std::process::id() {
            return Ok(());
        }
        self.log.close();
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Threads { tables, syncer }) = threads.take() else {
            return Ok(());
        };
        let ended = tables.join().unwrap_or_else(|_| {
            let error = self.log.poisoned();
            Err(error.unwrap_or(StoreError::Closed))
        });
        if let Some(syncer) = syncer
            && syncer.join().is_err()
        {
            return Err(StoreError::Closed);
        }
        ended
    }
}

impl Drop for LocalStore {
    fn drop(&mut self) {
        // Whoever wants to know how it ended calls `close`.
        let _ = self.close();
    }
}

/// Ignores all events.
pub fn no_events() -> Events {
    Box::new(|_: Event| {})
}
