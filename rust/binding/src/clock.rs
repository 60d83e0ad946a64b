//! The clock that a scheduler is given.

use duewheel_engine::clock::{Clock, ManualClock, SystemClock};
use duewheel_engine::sync::Mutex;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use std::sync::Arc;

/// Exceptions that handlers have raised, in their order.
pub(crate) type Raised = Arc<Mutex<Vec<Py<PyAny>>>>;

/// The readings of a manual clock, which the engines that it drives share.
///
/// **Time**: nanoseconds.
#[pyclass(frozen, module = "duewheel._core")]
pub(crate) struct ManualTime {
    clock: Arc<ManualClock>,
    raised: Option<Raised>,
}

#[pymethods]
impl ManualTime {
    #[new]
    #[pyo3(signature = (wall_ns, boot_ns, keeps_errors=false))]
    fn new(wall_ns: i64, boot_ns: i64, keeps_errors: bool) -> Self {
        ManualTime {
            clock: Arc::new(ManualClock::new(wall_ns, boot_ns)),
            raised: keeps_errors.then(Raised::default),
        }
    }

    /// Return the reading of the wall clock, in unix nanoseconds.
    fn wall(&self) -> i64 {
        self.clock.wall()
    }

    /// Return the reading of the boot clock, in nanoseconds.
    fn boot(&self) -> i64 {
        self.clock.boot()
    }

    /// Set both readings; nothing runs by this alone.
    fn set(&self, wall_ns: i64, boot_ns: i64) {
        self.clock.set(wall_ns, boot_ns);
    }

    /// Collect an exception that a handler has raised, if this clock collects them.
    fn keep_error(&self, error: Py<PyAny>) {
        if let Some(raised) = &self.raised {
            raised.lock().push(error);
        }
    }

    /// Return the collected exceptions in their order, and forget them.
    fn take_errors(&self) -> Vec<Py<PyAny>> {
        let raised = self.raised.as_ref();
        raised.map_or_else(Vec::new, |raised| std::mem::take(&mut *raised.lock()))
    }
}

/// A clock as a scheduler has it.
pub(crate) struct Read {
    pub(crate) clock: Box<dyn Clock>,
    pub(crate) manual: bool,
    /// Collects what handlers raise, for the caller that advances the clock.
    pub(crate) raised: Option<Raised>,
}

/// The clock of the argument `clock`.
pub(crate) fn read(clock: Option<&Bound<'_, PyAny>>) -> PyResult<Read> {
    let Some(clock) = clock else {
        return Ok(Read {
            clock: Box::new(SystemClock),
            manual: false,
            raised: None,
        });
    };
    let time = clock.getattr("_time").ok();
    let time = time.and_then(|time| time.cast_into::<ManualTime>().ok());
    let Some(time) = time else {
        return Err(PyTypeError::new_err(format!(
            "clock must be None or a duewheel.testing.ManualClock, not {clock:?}"
        )));
    };
    let time = time.get();
    Ok(Read {
        clock: Box::new(time.clock.clone()),
        manual: true,
        raised: time.raised.clone(),
    })
}
