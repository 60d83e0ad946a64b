//! The coroutine that the task of an async handler drives: it reports how the handler ended.

use crate::interpreter::call;
use crate::run::event_loop::EventLoop;
use crate::run::inside;
use crate::values::payload::Handle;
use duewheel_engine::jobs::record::Started;
use duewheel_engine::sync::Mutex;
use pyo3::PyTraverseError;
use pyo3::exceptions::PyStopIteration;
use pyo3::exceptions::asyncio::CancelledError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// A handler that is under way.
pub(crate) struct Running {
    pub(crate) coroutine: Py<PyAny>,
    /// What its first step waits for, which its task has not been told yet.
    pub(crate) first: Option<Py<PyAny>>,
    pub(crate) context: Py<PyAny>,
    pub(crate) started: Started<Handle>,
    pub(crate) event: Py<PyAny>,
    /// Its number among the tasks of the loop.
    pub(crate) number: u64,
}

/// Drive one async handler, from its second step on.
///
/// The first step is taken before there is need of a task: most handlers end in it. So a task is
/// made with a driver that has nothing to drive, and gets the handler that turns out to wait.
#[pyclass(frozen, module = "duewheel._core")]
pub(crate) struct Driver {
    events: Py<EventLoop>,
    running: Mutex<Option<Box<Running>>>,
}

impl Driver {
    pub(crate) fn new(events: Py<EventLoop>) -> Self {
        Driver {
            events,
            running: Mutex::new(None),
        }
    }

    /// Go on with this handler from now on.
    pub(crate) fn adopt(&self, running: Running) {
        *self.running.lock() = Some(Box::new(running));
    }

    /// What is to be gone on with: coroutine and context; nothing, when it is over.
    fn present<'py>(&self, py: Python<'py>) -> Option<(Py<PyAny>, Bound<'py, PyAny>)> {
        let running = self.running.lock();
        let running = running.as_ref()?;
        let context = running.context.bind(py).clone();
        Some((running.coroutine.clone_ref(py), context))
    }

    /// The handler, which is not gone on with any more.
    pub(crate) fn give_up(&self) -> Option<Running> {
        self.running.lock().take().map(|running| *running)
    }

    fn first(&self) -> Option<Py<PyAny>> {
        self.running.lock().as_mut()?.first.take()
    }

    fn step(
        &self,
        py: Python<'_>,
        step: impl FnOnce(&Py<PyAny>) -> PyResult<Option<Py<PyAny>>>,
    ) -> PyResult<Option<Py<PyAny>>> {
        let Some((coroutine, context)) = self.present(py) else {
            return Ok(None);
        };
        let events = self.events.get();
        let stepped = inside::within(events.shared().identity(), || {
            call::within(py, &context, || step(&coroutine))
        });
        let ended = match stepped {
            Ok(Some(waits_for)) => return Ok(Some(waits_for)),
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        let running = self.running.lock().take();
        if let Some(running) = running {
            // The task is cancelled when its handler was; any other failure is reported here.
            let cancelled = ended.as_ref().err();
            let cancelled = cancelled.filter(|error| error.is_instance_of::<CancelledError>(py));
            let cancelled = cancelled.map(|error| error.clone_ref(py));
            events.finish(py, *running, ended);
            if let Some(cancelled) = cancelled {
                return Err(cancelled);
            }
        }
        Ok(None)
    }
}

/// Cancel what a handler waits for in its first step, which its task could not: it did not know of it.
///
/// By the message of its cancellation a handler tells who wants it to end.
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
impl Driver {
    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        match self.first() {
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

    /// Go on with the handler.
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
        if let Some(first) = self.first()
            && cancel_waited(kind.bind(py), first.bind(py))?
        {
            return Ok(first);
        }
        let thrown = self.step(py, |coroutine| {
            let throw = coroutine.bind(py).getattr("throw")?.unbind();
            match call::call(py, &throw, &kind) {
                Ok(waits_for) => Ok(Some(waits_for)),
                Err(error) if error.is_instance_of::<PyStopIteration>(py) => Ok(None),
                Err(error) => Err(error),
            }
        })?;
        thrown.ok_or_else(|| PyStopIteration::new_err(()))
    }

    /// End the handler where it waits.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        match self.present(py) {
            Some((coroutine, _)) => coroutine.call_method0(py, "close").map(drop),
            None => Ok(()),
        }
    }

    /// What the handler's own coroutine says of itself: its code, its frame, what it waits for.
    fn __getattr__(&self, py: Python<'_>, name: &str) -> PyResult<Py<PyAny>> {
        match self.present(py) {
            Some((coroutine, _)) => coroutine.getattr(py, name),
            None => Err(pyo3::exceptions::PyAttributeError::new_err(name.to_owned())),
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.events)?;
        if let Some(running) = self.running.try_lock()
            && let Some(running) = &*running
        {
            visit.call(&running.coroutine)?;
            visit.call(&running.context)?;
            visit.call(&running.event)?;
            if let Some(first) = &running.first {
                visit.call(first)?;
            }
        }
        Ok(())
    }
}
