//! An event loop of asyncio, and what is called of it.

use crate::interpreter::call::{self, Arguments};
use pyo3::PyTraverseError;
use pyo3::ffi;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;

pub(crate) struct AsyncioLoop {
    asyncio_loop: Py<PyAny>,
    /// Makes the task of a coroutine.
    make_task: Py<PyAny>,
    enter_task: Py<PyAny>,
    leave_task: Py<PyAny>,
    current_task: Py<PyAny>,
    as_coroutine: Py<PyAny>,
}

impl AsyncioLoop {
    pub(crate) fn new(
        py: Python<'_>,
        asyncio_loop: Py<PyAny>,
        make_task: Py<PyAny>,
    ) -> PyResult<Self> {
        let tasks = call::import(py, "asyncio.tasks")?;
        let as_coroutine = call::import(py, "duewheel._loop")?.getattr("as_coroutine")?;
        Ok(AsyncioLoop {
            asyncio_loop,
            make_task,
            enter_task: tasks.getattr("_enter_task")?.unbind(),
            leave_task: tasks.getattr("_leave_task")?.unbind(),
            current_task: tasks.getattr("current_task")?.unbind(),
            as_coroutine: as_coroutine.unbind(),
        })
    }

    pub(crate) fn get(&self, py: Python<'_>) -> Py<PyAny> {
        self.asyncio_loop.clone_ref(py)
    }

    /// Whether it runs on the calling thread.
    pub(crate) fn runs_here(&self, py: Python<'_>) -> PyResult<bool> {
        let running = call::import(py, "asyncio")?.call_method0("_get_running_loop")?;
        Ok(running.is(&self.asyncio_loop))
    }

    pub(crate) fn make_future(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.asyncio_loop.call_method0(py, "create_future")
    }

    pub(crate) fn make_task<'py>(
        &self,
        py: Python<'py>,
        coroutine: &Bound<'py, PyAny>,
    ) -> PyResult<Py<PyAny>> {
        call::python(py, &self.make_task, (coroutine,)).map(Bound::unbind)
    }

    /// A task is the current one from now on.
    pub(crate) fn enter(&self, py: Python<'_>, task: &Py<PyAny>) -> PyResult<()> {
        call::python(py, &self.enter_task, (&self.asyncio_loop, task)).map(drop)
    }

    /// The current task is none from now on.
    pub(crate) fn leave(&self, py: Python<'_>, task: &Py<PyAny>) -> PyResult<()> {
        call::python(py, &self.leave_task, (&self.asyncio_loop, task)).map(drop)
    }

    pub(crate) fn current_task(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let task = self.current_task.call1(py, (&self.asyncio_loop,))?;
        Ok((!task.is_none(py)).then_some(task))
    }

    /// What a handler has returned, as a coroutine.
    pub(crate) fn coroutine(&self, py: Python<'_>, returned: Py<PyAny>) -> PyResult<Py<PyAny>> {
        // SAFETY: the pointer is a live reference.
        if unsafe { ffi::PyCoro_CheckExact(returned.as_ptr()) } != 0 {
            return Ok(returned);
        }
        call::python(py, &self.as_coroutine, (returned,)).map(Bound::unbind)
    }

    /// Call a method of the loop.
    pub(crate) fn call<'py>(
        &self,
        py: Python<'py>,
        name: &str,
        arguments: impl Arguments<'py>,
    ) -> PyResult<()> {
        let method = self.asyncio_loop.getattr(py, name)?;
        call::python(py, &method, arguments).map(drop)
    }

    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        let objects = [
            &self.asyncio_loop,
            &self.make_task,
            &self.enter_task,
            &self.leave_task,
            &self.current_task,
            &self.as_coroutine,
        ];
        for object in objects {
            visit.call(object)?;
        }
        Ok(())
    }
}
