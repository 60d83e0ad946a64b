//! Asking what runs to end: an async handler is cancelled, one on a thread sees it in its event.

use crate::run::running;
use crate::shared::Shared;
use crate::values::event::Event;
use pyo3::prelude::*;

/// Ask the execution of this job to end; whether it was running.
pub(crate) fn interrupt(py: Python<'_>, shared: &Shared, id: &str) -> PyResult<bool> {
    let mut any = false;
    for (event, ..) in running::found(py, shared) {
        let Ok(of) = event.bind(py).cast::<Event>() else {
            continue;
        };
        if !of.get().job_ref().id.with_str(|running| running == id) {
            continue;
        }
        of.get().interrupt();
        any = true;
        let tasks = shared.whereabouts.tasks();
        if let Some(task) = tasks.and_then(|(tasks, _)| tasks.of_event(py, &event)) {
            cancel_soon(&task.into_bound(py))?;
        }
    }
    Ok(any)
}

/// Cancel a task, from whatever thread.
fn cancel_soon(task: &Bound<'_, PyAny>) -> PyResult<()> {
    let asyncio_loop = task.call_method0("get_loop")?;
    asyncio_loop.call_method1("call_soon_threadsafe", (task.getattr("cancel")?,))?;
    Ok(())
}

/// Whether the execution with this event was asked to end by [`interrupt`].
pub(crate) fn is_interrupted(py: Python<'_>, event: &Py<PyAny>) -> bool {
    let event = event.bind(py).cast::<Event>();
    event.is_ok_and(|event| event.get().is_interrupted())
}
