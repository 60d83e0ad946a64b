//! Workers that step in for those whose handler is past its timeout; who finds that out is `duewheel._watch`.

use crate::run::worker_thread;
use crate::shared::Shared;
use crate::values::event::Event;
use pyo3::prelude::*;
use std::sync::Arc;

// It refers to no Python object of its scheduler.
/// What is told of handlers on threads that are past their timeout.
#[pyclass(frozen, module = "duewheel._core")]
pub(crate) struct Spares(pub(crate) Arc<Shared>);

#[pymethods]
impl Spares {
    /// Note that the handler of an event, on a worker, is past its timeout.
    fn expire(&self, event: &Bound<'_, Event>) {
        let event = event.get();
        event.expire();
        self.0.threads.add_stuck(event.target_number());
    }

    /// Have a worker step in, if that is to be.
    fn step_in(&self, py: Python<'_>) -> PyResult<()> {
        if self.0.is_forked() || self.0.engine.is_closed() {
            return Ok(());
        }
        worker_thread::spawn_missing(py, &self.0)
    }

    /// Note that it has returned after all: one worker is too many, from now on.
    fn returned(&self, event: &Bound<'_, Event>) {
        self.0.threads.remove_stuck(event.get().target_number());
        self.0.registry.touch();
    }
}
