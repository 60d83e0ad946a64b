//! Making the threads of a scheduler: its timer, which is no thread of Python, and its workers, which are.
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
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::SeqCst};

/// Make the threads that are missing; after an error the next call makes the rest.
pub(crate) fn spawn_missing(py: Python<'_>, shared: &Arc<Shared>) -> PyResult<()> {
    if shared.manual || process::is_ending() {
        return Ok(());
    }
    let threads = &shared.threads;
    if threads.add_timer() {
        timer::spawn(shared.engine.clone()).map_err(|error| {
            threads.remove_timer();
            PyRuntimeError::new_err(format!("the system gives no more threads: {error}"))
        })?;
    }
    // Several threads may start it at once: a worker is counted before it is made.
    // At most so many: a tracer may end each of them at once.
    let wanted = threads.wanted(shared.workers);
    for _ in 0..wanted {
        let Some(present) = threads.add_worker(wanted) else {
            break;
        };
        let stage = AtomicU8::new(MADE);
        let worker = Worker {
            shared: shared.clone(),
            stage,
        };
        let worker = Py::new(py, worker)?;
        let name = format!("duewheel-worker-{present}");
        let start = names(py)?.start_thread.bind(py);
        start.call1((&worker, name)).inspect_err(|_| {
            // What was raised may refer to it for long, and it may have started all the same.
            worker.get().end(MADE);
        })?;
    }
    Ok(())
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
        stage.compare_exchange(from, to, SeqCst, SeqCst).is_ok()
    }

    /// Count it no longer, if it is at this stage.
    fn end(&self, from: u8) -> bool {
        let ended = self.advance(from, OVER);
        if ended {
            self.shared.threads.remove_worker();
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
        process::count_leaving();
        match worked {
            // It is counted out already.
            Ok(true) => _ = self.advance(RUNS, OVER),
            _ => _ = self.end(RUNS),
        }
        worked.map(drop)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // A tracer may have ended its thread before it was called.
        self.end(MADE);
    }
}
