//! The threads of a scheduler: its timer, which is no thread of Python, and its workers, which are.
//!
//! A worker is a thread of `threading`, so that tracers, profilers, debuggers and loggers know it, and
//! its stack is as large as that of others.

use crate::interpreter::names::names;
use crate::interpreter::process;
use crate::run::worker;
use crate::shared::Shared;
use duewheel_engine::timer;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicU8, AtomicUsize,
    Ordering::{self, SeqCst},
};

/// How many threads a scheduler has.
#[derive(Default)]
pub(crate) struct Threads {
    timer: AtomicBool,
    workers: AtomicUsize,
    /// Those that run an event loop of ours.
    pub(crate) loops: AtomicUsize,
}

impl Threads {
    /// Workers that have not ended, those that are being made included.
    pub(crate) fn workers(&self) -> usize {
        self.workers.load(SeqCst)
    }
}

/// Make the threads that are missing; after an error the next call makes the rest.
pub(crate) fn spawn_missing(py: Python<'_>, shared: &Arc<Shared>) -> PyResult<()> {
    if shared.manual || process::is_ending() {
        return Ok(());
    }
    let threads = &shared.threads;
    if !threads.timer.swap(true, SeqCst) {
        timer::spawn(shared.engine.clone()).map_err(|error| {
            threads.timer.store(false, SeqCst);
            PyRuntimeError::new_err(format!("the system gives no more threads: {error}"))
        })?;
    }
    // Each of those who start it at once makes some: a thread is counted before it is made.
    let one_more = |present| (present < shared.workers).then_some(present + 1);
    // At most so many: a tracer may end each of them at once.
    for _ in 0..shared.workers {
        let Ok(present) = threads.workers.fetch_update(SeqCst, SeqCst, one_more) else {
            break;
        };
        let stage = AtomicU8::new(MADE);
        let worker = Worker {
            shared: shared.clone(),
            stage,
        };
        let worker = Py::new(py, worker)?;
        let name = format!("duewheel-worker-{}", present + 1);
        let start = names(py)?.start_thread.bind(py);
        start.call1((&worker, name)).inspect_err(|_| {
            // What was raised may refer to it for long, and it may have started all the same.
            worker.get().end(MADE);
        })?;
    }
    Ok(())
}

/// Threads that have done their work, and have yet to come to the end of what Python does for them.
static LEAVING: AtomicUsize = AtomicUsize::new(0);

/// Dropped when its thread has ended, after the last step of Python.
struct Leaving;

impl Drop for Leaving {
    fn drop(&mut self) {
        let _ = LEAVING.fetch_update(SeqCst, SeqCst, |threads| threads.checked_sub(1));
    }
}

thread_local! {
    static LAST: Cell<Option<Leaving>> = const { Cell::new(None) };
}

/// The calling thread is about to end: the interpreter must not end under its last steps.
pub(crate) fn leaves() {
    LEAVING.fetch_add(1, SeqCst);
    LAST.set(Some(Leaving));
}

/// How many threads are about to end.
pub(crate) fn leaving() -> usize {
    LEAVING.load(SeqCst)
}

/// The threads of the parent are not here.
pub(crate) fn after_fork_in_child() {
    LEAVING.store(0, SeqCst);
}

const MADE: u8 = 0;
const RUNS: u8 = 1;
const OVER: u8 = 2;

/// What a worker's thread calls; it refers to no Python object of its scheduler.
#[pyclass(frozen, module = "duewheel._core")]
pub(crate) struct Worker {
    shared: Arc<Shared>,
    stage: AtomicU8,
}

impl Worker {
    fn advance(&self, from: u8, to: u8) -> bool {
        let stage = &self.stage;
        stage
            .compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
    }

    /// Count it no longer, if it is at this stage.
    fn end(&self, from: u8) -> bool {
        let ended = self.advance(from, OVER);
        if ended {
            self.shared.threads.workers.fetch_sub(1, SeqCst);
        }
        ended
    }
}

#[pymethods]
impl Worker {
    fn __call__(&self, py: Python<'_>) -> PyResult<()> {
        if !self.advance(MADE, RUNS) {
            return Ok(());
        }
        let worked = worker::work(py, &self.shared);
        self.shared.give_back_if_over(py);
        leaves();
        self.end(RUNS);
        worked
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // A tracer may have ended its thread before it was called.
        self.end(MADE);
    }
}
