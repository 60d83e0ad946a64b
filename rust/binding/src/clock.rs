//! The clock that a scheduler is given.

use duewheel_core::time::{Clock, ManualClock, SystemClock};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use std::sync::Arc;

/// The readings of a manual clock, which the engines that it drives share.
///
/// **Time**: nanoseconds.
#[pyclass(frozen, module = "duewheel._core")]
pub(crate) struct ManualTime {
    clock: Arc<ManualClock>,
}

#[pymethods]
impl ManualTime {
    #[new]
    fn new(wall_ns: i64, boot_ns: i64) -> Self {
        ManualTime {
            clock: Arc::new(ManualClock::new(wall_ns, boot_ns)),
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
}

/// The clock of the argument `clock`, and whether it is a manual one.
pub(crate) fn read(clock: Option<&Bound<'_, PyAny>>) -> PyResult<(Box<dyn Clock>, bool)> {
    let Some(clock) = clock else {
        return Ok((Box::new(SystemClock), false));
    };
    let time = clock.getattr("_time").ok();
    let time = time.and_then(|time| time.cast_into::<ManualTime>().ok());
    let Some(time) = time else {
        return Err(PyTypeError::new_err(format!(
            "clock must be None or a duewheel.testing.ManualClock, not {clock:?}"
        )));
    };
    Ok((Box::new(time.get().clock.clone()), true))
}
