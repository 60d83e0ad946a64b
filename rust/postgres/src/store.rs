//! The store of one node over a database.

use crate::connection::Process;
use crate::connection::conninfo::ConnInfo;
use crate::connection::tls;
use crate::node::Node;
use crate::node::outcomes::taken_result;
use crate::node::post::Post;
use crate::rotation::{Ended, OnProgress, Rotation};
use crate::settings::Settings;
use crate::tables::rows::sealed;
use crate::tables::sql::Sql;
use duewheel_store::{Answered, Error, Events, Found, Op, Query, Settled, Store, Ticket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;
use tokio::runtime::Runtime;
use tokio_postgres::Config;
use tokio_postgres_rustls::MakeRustlsConnect;

/// One node of a database that many share.
pub struct PostgresStore {
    post: Arc<Post>,
    settings: Arc<Settings>,
    found: Found,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// How the server is reached, for what has a connection of its own.
    reach: (Config, MakeRustlsConnect),
    /// Rotations under way, which end when the store is closed.
    rotations: Mutex<Vec<JoinHandle<()>>>,
    ends: Arc<AtomicBool>,
    process: u32,
}

impl PostgresStore {
    /// Connect, make the tables where there are none, and take a lease.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when the server cannot be reached within the timeout, [`Error::Version`] when the tables
    /// are not there and cannot be made, or are of another version, [`Error::WrongKey`], and [`Error::Io`] for what is
    /// wrong with the connection string or refused by the server.
    pub fn open(settings: Settings, events: Events) -> Result<Self, Error> {
        let info = ConnInfo::read(&settings.url, &Process)?;
        let tls = tls::connector(&info)?;
        let sql = Arc::new(Sql::new(&settings.schema));
        let post = Arc::new(Post::new(settings.timeout));
        let settings = Arc::new(settings);
        let reach = (info.config, tls);
        let node = Node::new((post.clone(), settings.clone(), sql), reach.clone(), events);
        let (send, receive) = sync_channel(1);
        let runtime = runtime()?;
        let guard = post.clone();
        let thread = std::thread::Builder::new().name("duewheel-postgres".to_owned());
        let thread = thread.spawn(move || {
            // A panic here would leave everybody waiting.
            let guard = FailOnPanic(guard);
            runtime.block_on(node.run(send));
            drop(guard);
        });
        let thread = thread.map_err(|error| Error::Io(error.to_string()))?;
        let found = receive.recv().unwrap_or(Err(Error::Closed));
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                // It has said why, and ends.
                let _ = thread.join();
                return Err(error);
            }
        };
        Ok(PostgresStore {
            post,
            settings,
            found,
            thread: Mutex::new(Some(thread)),
            reach,
            rotations: Mutex::default(),
            ends: Arc::default(),
            process: std::process::id(),
        })
    }

    /// Encrypt all payloads under the default key, on a connection of its own; `then` is told how it ended.
    ///
    /// Ends with [`Error::WrongKey`] without keys, [`Error::Unreadable`] when some payloads cannot be read,
    /// [`Error::Unavailable`], [`Error::Closed`], and [`Error::Io`] while other nodes encrypt under another key.
    pub fn rotate(&self, progress: OnProgress, then: Ended) {
        let ends = self.ends.clone();
        let rotation = Rotation::new(self.settings.clone(), self.reach.clone(), progress, ends);
        let runtime = match runtime() {
            Ok(runtime) => runtime,
            Err(error) => return then(Err(error)),
        };
        let thread = std::thread::Builder::new().name("duewheel-rotate".to_owned());
        // If it cannot be started, `then` is dropped: whoever waits is told so.
        if let Ok(thread) = thread.spawn(move || then(runtime.block_on(rotation.run()))) {
            let mut rotations = self
                .rotations
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            rotations.retain(|rotation| !rotation.is_finished());
            rotations.push(thread);
        }
    }
}

fn runtime() -> Result<Runtime, Error> {
    let built = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build();
    built.map_err(|error| Error::Io(error.to_string()))
}

struct FailOnPanic(Arc<Post>);

impl Drop for FailOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail(&Error::Poisoned(
                "the thread of the connection has panicked".into(),
            ));
        }
    }
}

impl Store for PostgresStore {
    fn submit(&self, batch: &[Op<'_>]) -> Result<Ticket, Error> {
        let mut ops = Vec::with_capacity(batch.len());
        let mut inserts = false;
        for op in batch {
            let (mut op, keys) = (op.clone().into_owned(), self.settings.keys.as_ref());
            let data = match &mut op {
                Op::Insert(job) | Op::Edit(job) => {
                    inserts = true;
                    sealed(job, keys)?
                }
                Op::Keep { kept, .. } => taken_result(kept, keys)?,
                _ => (Vec::new(), None),
            };
            ops.push((op, data));
        }
        self.post.submit(ops, inserts)
    }

    fn wait(&self, ticket: Ticket, deadline: Option<Instant>) -> Result<bool, Error> {
        self.post.wait(ticket, deadline)
    }

    fn when(&self, ticket: Ticket, then: Settled) {
        self.post.when(ticket, then);
    }

    fn ask(&self, query: Query, then: Answered) {
        self.post.ask(query, then);
    }

    fn found(&self) -> &Found {
        &self.found
    }

    fn close(&self) -> Result<(), Error> {
        if self.process != std::process::id() {
            return Ok(());
        }
        self.ends.store(true, Ordering::Release);
        let rotations = std::mem::take(
            &mut *self
                .rotations
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
        for rotation in rotations {
            // What it has failed with was told.
            let _ = rotation.join();
        }
        self.post.close();
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        match thread.map(JoinHandle::join) {
            Some(Err(_)) => Err(Error::Poisoned(
                "the thread of the connection has panicked".into(),
            )),
            Some(Ok(())) => self.post.ended(),
            None => Ok(()),
        }
    }
}

impl Drop for PostgresStore {
    fn drop(&mut self) {
        // Whoever wants to know how it ended calls `close`.
        let _ = self.close();
    }
}
