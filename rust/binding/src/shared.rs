//! What a scheduler's Python object and its threads share.

use crate::clock::Raised;
use crate::errors::{error, refused, store_failed};
use crate::interpreter::process;
use crate::log;
use crate::run::continuations::Continuations;
use crate::run::hooks::Hooks;
use crate::run::inside::{Identity, is_inside};
use crate::run::registry::Registry;
use crate::run::threads::Threads;
use crate::run::whereabouts::Whereabouts;
use crate::values::failure::Failure;
use crate::values::payload::{Handle, release};
use crate::values::specs::Specs;
use duewheel_engine::engine::{Engine, Refused, Stats};
use duewheel_engine::jobs::record::Released;
use duewheel_engine::sync::Mutex;
use duewheel_postgres::PostgresStore;
use duewheel_sqlite::LocalStore;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

/// How long a wait lasts before it looks for signals.
pub(crate) const SLICE: Duration = Duration::from_millis(100);

/// What is behind the engine, as far as the calls have to know it.
pub(crate) struct Backing {
    /// The largest data of a job that it takes, in bytes.
    pub(crate) max_data: usize,
    /// Whether a batch is settled later than it is submitted.
    pub(crate) settles_later: bool,
    /// Whether it writes what it is given: what may take long gives up the interpreter meanwhile.
    pub(crate) writes: bool,
    /// The file of its jobs, for what is done with a file alone.
    pub(crate) file: Option<Arc<LocalStore>>,
    /// The database, for what is done with one alone.
    pub(crate) database: Option<Arc<PostgresStore>>,
    /// The schema of its tables, where it is a database.
    pub(crate) schema: Option<String>,
    /// The targets that were paused when it was opened.
    pub(crate) paused: Vec<String>,
    /// The targets whose deaths were found when it was opened, until a handler says what they leave behind.
    pub(crate) owed: Mutex<HashSet<String>>,
}

impl Backing {
    /// Memory alone.
    pub(crate) fn memory() -> Backing {
        Backing {
            max_data: usize::MAX,
            settles_later: false,
            writes: false,
            file: None,
            database: None,
            schema: None,
            paused: Vec::new(),
            owed: Mutex::default(),
        }
    }

    /// What an execution failed with: its text at once, if that is written.
    pub(crate) fn failure(&self, py: Python<'_>, error: &PyErr) -> Failure {
        let failure = Failure::capture(py, error);
        if self.writes {
            return failure.rendered(py);
        }
        failure
    }

    /// Call the engine, without the interpreter if that may write.
    pub(crate) fn call<R: Send>(&self, py: Python<'_>, call: impl FnOnce() -> R + Send) -> R {
        if self.writes { py.detach(call) } else { call() }
    }
}

/// What the Python object and the threads share; the threads hold no reference to the object.
pub(crate) struct Shared {
    pub(crate) engine: Arc<Engine<Handle>>,
    pub(crate) registry: Registry,
    pub(crate) hooks: Hooks,
    /// Whether all jobs are in memory, and no plugin is called where they are scheduled.
    pub(crate) is_plain: bool,
    pub(crate) specs: Specs,
    pub(crate) backing: Backing,
    pub(crate) seed: u64,
    pub(crate) context: Mutex<Option<Py<PyAny>>>,
    pub(crate) threads: Threads,
    pub(crate) whereabouts: Whereabouts,
    /// What sync handlers have returned that the event loop is to await.
    pub(crate) continuations: Continuations,
    pub(crate) workers: usize,
    /// How many async handlers run at once.
    pub(crate) tasks: usize,
    pub(crate) manual: bool,
    /// Collects what handlers raise, for the caller that advances a manual clock.
    pub(crate) raised: Option<Raised>,
    pub(crate) forks: usize,
}

impl Shared {
    pub(crate) fn identity(&self) -> Identity {
        Identity::of(self)
    }

    pub(crate) fn is_forked(&self) -> bool {
        self.forks != process::forks()
    }

    #[inline]
    pub(crate) fn check_fork(&self, py: Python<'_>) -> PyResult<()> {
        if self.is_forked() {
            return Err(error(
                py,
                |names| &names.forked_error,
                "this scheduler belongs to the parent process: make one after the fork",
            ));
        }
        Ok(())
    }

    /// What it has done and holds.
    pub(crate) fn stats(&self, released: &mut Released<Handle>) -> Stats {
        let stuck = self.threads.stuck().values().sum();
        let stats = self.engine.stats(released);
        Stats { stuck, ..stats }
    }

    pub(crate) fn context(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.context
            .lock()
            .as_ref()
            .map(|context| context.clone_ref(py))
    }

    /// Close the engine, and free by `release` what it gives back.
    pub(crate) fn close(
        &self,
        py: Python<'_>,
        release: impl FnOnce(Python<'_>, &mut Released<Handle>),
    ) {
        let mut released = Released::default();
        let dropped = py.detach(|| self.engine.close(&mut released));
        release(py, &mut released);
        if dropped > 0 {
            log::dropped(py, dropped);
        }
        self.give_back_if_over(py);
    }

    /// Forget handlers, hooks and context when it is closed and nothing runs: they may refer to the scheduler, which
    /// then waits for the garbage collector.
    pub(crate) fn give_back_if_over(&self, py: Python<'_>) {
        let engine = &self.engine;
        if self.is_forked() || !engine.is_closed() || !engine.wait_finished(Duration::ZERO) {
            return;
        }
        let _attached = py; // freeing a handler may run Python: under no lock
        let handlers = self.registry.clear();
        let hooks = self.hooks.take();
        let context = self.context.lock().take();
        drop(handlers);
        drop(hooks);
        drop(context);
    }

    /// Wait in slices, so that Ctrl-C is seen.
    pub(crate) fn wait(
        &self,
        py: Python<'_>,
        timeout: Option<Duration>,
        reached: impl Fn(Duration) -> bool + Send + Sync,
    ) -> PyResult<bool> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let slice = left.map_or(SLICE, |left| left.min(SLICE));
            if py.detach(|| reached(slice)) {
                return Ok(true);
            }
            py.check_signals()?;
            if let Some(failure) = self.engine.failure() {
                return Err(store_failed(py, &failure, None));
            }
            if left.is_some_and(|left| left <= slice) {
                return Ok(false);
            }
        }
    }

    /// Refuse data that the store does not take.
    #[inline]
    pub(crate) fn check_data(&self, py: Python<'_>, data: Option<&Py<PyBytes>>) -> PyResult<()> {
        self.check_size(py, data, "data")
    }

    /// Refuse what is larger than the data of a job may be.
    #[inline]
    pub(crate) fn check_size(
        &self,
        py: Python<'_>,
        data: Option<&Py<PyBytes>>,
        what: &str,
    ) -> PyResult<()> {
        let length = data.map_or(0, |data| data.as_bytes(py).len());
        if length > self.backing.max_data {
            let storage = match self.backing.schema {
                Some(_) => "PostgresStorage",
                None => "LocalStorage",
            };
            let message = format!(
                "{what} must have at most {} bytes ({storage}'s max_data), not {length}",
                self.backing.max_data
            );
            return Err(error(py, |names| &names.payload_too_large_error, message));
        }
        Ok(())
    }

    pub(crate) fn refuse_inside(&self, py: Python<'_>, call: &str) -> PyResult<()> {
        if is_inside(self.identity()) {
            return Err(error(
                py,
                |names| &names.state_error,
                format!("{call}() in a handler of the same scheduler would wait for itself"),
            ));
        }
        Ok(())
    }
}

/// Wait for what another thread sends once: signals are seen, and `look` is called now and then.
pub(crate) fn receive<T: Send>(
    py: Python<'_>,
    start: impl FnOnce(SyncSender<T>) + Send,
    mut look: impl FnMut() -> PyResult<()>,
) -> PyResult<T> {
    let (send, receive) = mpsc::sync_channel(1);
    py.detach(|| start(send));
    let receive = Mutex::new(receive);
    loop {
        let received = py.detach(|| receive.lock().recv_timeout(SLICE));
        look()?;
        match received {
            Ok(received) => return Ok(received),
            Err(RecvTimeoutError::Timeout) => py.check_signals()?,
            Err(RecvTimeoutError::Disconnected) => return Err(refused(py, Refused::Closed, "")),
        }
    }
}

/// Call the engine, and free what it gives back, once its lock is released.
#[inline(always)]
pub(crate) fn releasing<R>(py: Python<'_>, call: impl FnOnce(&mut Released<Handle>) -> R) -> R {
    let mut released = Released::default();
    let result = call(&mut released);
    release(py, &mut released);
    result
}
