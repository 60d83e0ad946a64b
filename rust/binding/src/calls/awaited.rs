//! Calls made by a coroutine: nothing in them may keep its event loop waiting.
//!
//! How a call treats what takes time is handed down to what it calls, and is never ambient: it may run
//! Python, which calls other schedulers, or the same one, and those calls are calls of their own.

use crate::calls::bulk::{self, Times};
use crate::calls::scheduler::SchedulerCore;
use crate::shared::Shared;
use crate::values::convert;
use crate::values::event::Event;
use crate::values::ids::Ids;
use crate::values::options::Fields;
use crate::values::payload::{Fresh, release_gently};
use duewheel_engine::engine::Due;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use std::cell::Cell;
use std::sync::Arc;

/// How one call treats what takes time.
#[derive(Clone, Copy)]
pub(crate) enum Manner<'a> {
    /// It waits for it.
    Waits,
    /// It leaves the wait for the store to its caller, and does nothing where it had to wait for more.
    Leaves(&'a Left),
    /// It waits, and gives up the interpreter as often as it can.
    Gentle,
}

/// What a call has left to its caller.
#[derive(Default)]
pub(crate) struct Left {
    /// The batch to wait for; 0: none.
    ticket: Cell<u64>,
    /// It had to wait for something else, and did nothing.
    undone: Cell<bool>,
}

impl Manner<'_> {
    /// Leave the wait for a ticket to the caller; `false`: this call is to wait itself.
    pub(crate) fn leaves(self, ticket: u64) -> bool {
        if let Manner::Leaves(left) = self {
            left.ticket.set(ticket);
            return true;
        }
        false
    }

    /// Refuse to wait for the answer of a store, where that may not be. Called before anything is done.
    pub(crate) fn may_wait(self) -> PyResult<()> {
        if let Manner::Leaves(left) = self {
            left.undone.set(true);
            return Err(PyRuntimeError::new_err("this call would wait"));
        }
        Ok(())
    }

    /// Whether the interpreter is to be given up often.
    pub(crate) fn is_gentle(self) -> bool {
        matches!(self, Manner::Gentle)
    }
}

/// What a call has returned, and the ticket to wait for (0: none); `None`: it would have had to wait
/// for more, and has done nothing.
type Deferred<T> = Option<(T, u64)>;

fn defer<T>(call: impl FnOnce(Manner<'_>) -> PyResult<T>) -> PyResult<Deferred<T>> {
    let left = Left::default();
    let result = call(Manner::Leaves(&left));
    if left.undone.get() {
        return Ok(None);
    }
    Ok(Some((result?, left.ticket.get())))
}

/// What a call is given beside a time and a target.
struct More<'a, 'py> {
    data: Option<Bound<'py, PyAny>>,
    id: Option<&'a Bound<'py, PyAny>>,
    options: Option<&'a Bound<'py, PyAny>>,
    job_options: Option<&'a Bound<'py, PyDict>>,
}

/// The calls of a scheduler for coroutines: they return a ticket, or `None`, where they would wait.
///
/// The calls for single jobs are for schedulers with a store: in memory they do not wait.
#[pyclass(frozen, module = "duewheel._core")]
pub(crate) struct AwaitedCalls {
    shared: Arc<Shared>,
}

impl AwaitedCalls {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        AwaitedCalls { shared }
    }

    fn shared(&self, py: Python<'_>) -> PyResult<&Arc<Shared>> {
        self.shared.check_fork(py)?;
        Ok(&self.shared)
    }

    fn keep<'py>(
        &self,
        due: Due,
        target: &Bound<'py, PyAny>,
        more: &More<'_, 'py>,
        manner: Manner<'_>,
    ) -> PyResult<Bound<'py, PyString>> {
        let py = target.py();
        let shared = self.shared(py)?;
        let specs = &shared.specs;
        let spec = if more.options.is_none() && more.job_options.is_none() {
            specs.plain(target)?
        } else {
            let call = match due {
                Due::At(_) => "Scheduler.at",
                Due::In(_) => "Scheduler.in_",
            };
            let read = |keywords| Fields::read(keywords, call);
            let given = more.job_options.map(read).transpose()?;
            specs.special(target, more.options, &given.unwrap_or_default())?
        };
        let data = more.data.as_ref().map_or(Ok(None), convert::data)?;
        shared.check_data(py, data.as_ref())?;
        let id = more.id.map(|id| convert::name(id, "id")).transpose()?;
        let id = shared.keep(due, Fresh::new(py, data, spec), id, manner)?;
        SchedulerCore::warn_if_ancient(shared, py, due);
        Ok(id)
    }
}

#[pymethods]
impl AwaitedCalls {
    /// As `Scheduler.at`.
    #[pyo3(signature = (when, target, data=None, *, id=None, options=None, **job_options))]
    fn at<'py>(
        &self,
        when: &Bound<'py, PyAny>,
        target: &Bound<'py, PyAny>,
        #[pyo3(from_py_with = convert::as_given)] data: Option<Bound<'py, PyAny>>,
        id: Option<&Bound<'py, PyAny>>,
        options: Option<&Bound<'py, PyAny>>,
        job_options: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Deferred<Bound<'py, PyString>>> {
        let more = More {
            data,
            id,
            options,
            job_options,
        };
        let due = Due::At(convert::wall_time(when, "when")?);
        defer(|manner| self.keep(due, target, &more, manner))
    }

    /// As `Scheduler.in_`.
    #[pyo3(signature = (delay, target, data=None, *, id=None, options=None, **job_options))]
    fn in_<'py>(
        &self,
        delay: &Bound<'py, PyAny>,
        target: &Bound<'py, PyAny>,
        #[pyo3(from_py_with = convert::as_given)] data: Option<Bound<'py, PyAny>>,
        id: Option<&Bound<'py, PyAny>>,
        options: Option<&Bound<'py, PyAny>>,
        job_options: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Deferred<Bound<'py, PyString>>> {
        let more = More {
            data,
            id,
            options,
            job_options,
        };
        let due = Due::In(convert::delay(delay, "delay")?);
        defer(|manner| self.keep(due, target, &more, manner))
    }

    /// As `Scheduler.at_many`, and `in_many` where they are delays.
    #[pyo3(signature = (are_delays, times, target, datas=None, *, options=None, **job_options))]
    fn many(
        &self,
        are_delays: bool,
        times: &Bound<'_, PyAny>,
        target: &Bound<'_, PyAny>,
        datas: Option<&Bound<'_, PyAny>>,
        options: Option<&Bound<'_, PyAny>>,
        job_options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Deferred<Ids>> {
        let (shared, times) = (self.shared(target.py())?, (Times::new(are_delays), times));
        defer(|manner| bulk::schedule(shared, times, target, datas, options, job_options, manner))
    }

    /// Do the same on a thread: it waits, and gives up the interpreter on the way.
    #[pyo3(signature = (are_delays, times, target, datas=None, *, options=None, **job_options))]
    fn many_gently(
        &self,
        are_delays: bool,
        times: &Bound<'_, PyAny>,
        target: &Bound<'_, PyAny>,
        datas: Option<&Bound<'_, PyAny>>,
        options: Option<&Bound<'_, PyAny>>,
        job_options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Ids> {
        let (shared, times) = (self.shared(target.py())?, (Times::new(are_delays), times));
        let manner = Manner::Gentle;
        bulk::schedule(shared, times, target, datas, options, job_options, manner)
    }

    /// As `Scheduler.cancel`.
    fn cancel(&self, id: &Bound<'_, PyAny>) -> PyResult<Deferred<bool>> {
        let (shared, text) = (self.shared(id.py())?, convert::name(id, "id")?);
        defer(|manner| shared.cancel_kept(id.py(), text, manner))
    }

    /// As `Scheduler.reschedule`.
    fn reschedule(
        &self,
        id: &Bound<'_, PyAny>,
        when: &Bound<'_, PyAny>,
    ) -> PyResult<Deferred<bool>> {
        let (shared, text) = (self.shared(id.py())?, convert::name(id, "id")?);
        let due = convert::wall_time(when, "when")?;
        defer(|manner| {
            let moved = shared.reschedule_kept(id.py(), text, due, manner)?;
            if moved {
                SchedulerCore::warn_if_ancient(shared, id.py(), Due::At(due));
            }
            Ok(moved)
        })
    }

    /// As `Scheduler.get`.
    fn get(&self, id: &Bound<'_, PyAny>) -> PyResult<Deferred<Option<Event>>> {
        let shared = self.shared(id.py())?;
        defer(|manner| SchedulerCore::look_up(shared, id, manner))
    }

    /// As `Scheduler.next`.
    #[pyo3(signature = (start=None, end=None))]
    fn next(
        &self,
        py: Python<'_>,
        start: Option<&Bound<'_, PyAny>>,
        end: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Deferred<Option<Event>>> {
        let shared = self.shared(py)?;
        defer(|manner| SchedulerCore::first(shared, py, start, end, manner))
    }

    /// As `Scheduler._restore`.
    fn restore(&self, event: &Bound<'_, PyAny>) -> PyResult<Deferred<()>> {
        let shared = self.shared(event.py())?;
        defer(|manner| SchedulerCore::restore(shared, event, manner))
    }

    /// As `Scheduler.close`, on a thread, giving up the interpreter on the way.
    fn close_gently(&self, py: Python<'_>) -> PyResult<()> {
        self.shared(py)?.close(py, release_gently);
        Ok(())
    }
}

/// Check a timeout; return its seconds.
#[pyfunction]
pub(crate) fn timeout_s(timeout: Option<&Bound<'_, PyAny>>) -> PyResult<Option<f64>> {
    Ok(convert::timeout(timeout)?.map(|timeout| timeout.as_secs_f64()))
}

/// Check the bounds of a query.
#[pyfunction]
pub(crate) fn check_bounds(
    start: Option<&Bound<'_, PyAny>>,
    end: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    convert::bound(start, "start")?;
    convert::bound(end, "end")?;
    Ok(())
}
