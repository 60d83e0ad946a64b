//! What a coroutine may wait for, of the state of a scheduler.

use duewheel_engine::engine::Engine;
use duewheel_engine::jobs::record::Payload;
use pyo3::prelude::*;
use std::time::Duration;

/// What a coroutine may wait for: nothing runs, nothing is pending or runs, nothing starts any more.
#[pyclass(frozen, module = "duewheel._core")]
#[derive(Clone, Copy)]
pub(crate) enum Condition {
    /// No handler runs.
    #[pyo3(name = "FINISHED")]
    Finished,
    /// Nothing is pending, parked jobs aside, and no handler runs.
    #[pyo3(name = "IDLE")]
    Idle,
    /// The scheduler was drained or closed.
    #[pyo3(name = "STOPPED")]
    Stopped,
}

impl Condition {
    pub(crate) fn holds<P: Payload>(self, engine: &Engine<P>) -> bool {
        let now = Duration::ZERO;
        match self {
            Condition::Finished => engine.wait_finished(now),
            Condition::Idle => engine.wait_idle(now),
            Condition::Stopped => engine.wait_stopped(now),
        }
    }
}
