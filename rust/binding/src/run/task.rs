//! The coroutine of the task of an async handler, which reports how the handler ended.

use crate::interpreter::call::{self, Step};
use crate::run::event_loop::EventLoop;
use crate::run::inside;
use crate::run::tasks::RunningCell;
use pyo3::PyTraverseError;
use pyo3::exceptions::PyStopIteration;
use pyo3::exceptions::asyncio::CancelledError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// The coroutine of a task, which runs one async handler from its second step on.
///
/// The first step is taken before there is need of a task: most handlers end in it. So a task is made with a
/// coroutine that has no handler, and gets the one that turns out to wait.
#[pyclass(frozen, module = "duewheel._core")]
pub(crate) struct TaskCoroutine {
    event_loop: Py<EventLoop>,
    pub(crate) running: RunningCell,
}

impl TaskCoroutine {
    pub(crate) fn new(event_loop: Py<EventLoop>) -> Self {
        TaskCoroutine {
            event_loop,
            running: RunningCell::default(),
        }
    }

    fn step(
        &self,
        py: Python<'_>,
        step: impl FnOnce(&Py<PyAny>) -> PyResult<Step>,
    ) -> PyResult<Option<Py<PyAny>>> {
        let Some((coroutine, context, event)) = self.running.parts(py) else {
            return Ok(None);
        };
        let event_loop = self.event_loop.get();
        let stepped = inside::within(event_loop.shared.identity(), &event, || {
            call::within(py, &context, || step(&coroutine))
        });
        let ended = match stepped {
            Ok(Step::Waits(waits_for)) => return Ok(Some(waits_for)),
            Ok(Step::Returned(value)) => Ok(value),
            Err(error) => Err(error),
        };
        if let Some(running) = self.running.take() {
            // The task is cancelled when its handler was; any other failure is reported here.
            let cancelled = ended.as_ref().err();
            let cancelled = cancelled.filter(|error| error.is_instance_of::<CancelledError>(py));
            let cancelled = cancelled.map(|error| error.clone_ref(py));
            event_loop.finish(py, running, ended);
            if let Some(cancelled) = cancelled {
                return Err(cancelled);
            }
        }
        Ok(None)
    }
}

/// Cancel what a handler waits for in its first step, which its task could not: it did not know of it.
///
/// The message is passed on: by it a handler knows which cancellation it is.
fn cancel_waited(thrown: &Bound<'_, PyAny>, waited: &Bound<'_, PyAny>) -> PyResult<bool> {
    if !thrown.is_instance_of::<CancelledError>() || !waited.hasattr("cancel")? {
        return Ok(false);
    }
    let keywords = PyDict::new(thrown.py());
    if let Ok(message) = thrown.getattr("args")?.get_item(0) {
        keywords.set_item("msg", message)?;
    }
    waited
        .call_method("cancel", (), Some(&keywords))?
        .is_truthy()
}

#[pymethods]
impl TaskCoroutine {
    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        match self.running.take_first() {
            Some(first) => Ok(Some(first)),
            None => self.step(py, |coroutine| call::resume(py, coroutine)),
        }
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __await__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    /// Resume the handler.
    fn send(&self, py: Python<'_>, _value: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        // A task sends nothing but None.
        self.__next__(py)?
            .ok_or_else(|| PyStopIteration::new_err(()))
    }

    /// Raise an exception where the handler waits.
    #[pyo3(signature = (kind, value=None, traceback=None))]
    fn throw(
        &self,
        py: Python<'_>,
        kind: Py<PyAny>,
        value: Option<Py<PyAny>>,
        traceback: Option<Py<PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let _ = (value, traceback); // a task gives the exception alone
        if let Some(first) = self.running.take_first()
            && cancel_waited(kind.bind(py), first.bind(py))?
        {
            return Ok(first);
        }
        let thrown = self.step(py, |coroutine| {
            let throw = coroutine.bind(py).getattr("throw")?.unbind();
            match call::call(py, &throw, &kind) {
                Ok(waits_for) => Ok(Step::Waits(waits_for)),
                Err(error) if error.is_instance_of::<PyStopIteration>(py) => {
                    let value = error.value(py).getattr("value")?;
                    Ok(Step::Returned(value.unbind()))
                }
                Err(error) => Err(error),
            }
        })?;
        thrown.ok_or_else(|| PyStopIteration::new_err(()))
    }

    /// End the handler where it waits.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        match self.running.coroutine(py) {
            Some(coroutine) => coroutine.call_method0(py, "close").map(drop),
            None => Ok(()),
        }
    }

    /// What the handler's own coroutine says of itself: its code, its frame, what it waits for.
    fn __getattr__(&self, py: Python<'_>, name: &str) -> PyResult<Py<PyAny>> {
        match self.running.coroutine(py) {
            Some(coroutine) => coroutine.getattr(py, name),
            None => Err(pyo3::exceptions::PyAttributeError::new_err(name.to_owned())),
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.event_loop)?;
        self.running.traverse(&visit)
    }
}
