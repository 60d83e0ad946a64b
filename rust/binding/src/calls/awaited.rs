//! Calls made by a coroutine: they return where they would wait, and leave the wait to it.

use crate::calls::bulk::{self, Times};
use crate::calls::cancel_many;
use crate::calls::change;
use crate::calls::outcome;
use crate::calls::pending::Pending;
use crate::calls::query;
use crate::calls::repeat::{self, Change};
use crate::calls::schedule::{self, Given, warn_if_ancient};
use crate::calls::waiting::PendingCall;
use crate::shared::Shared;
use crate::values::carried::Rare;
use crate::values::convert;
use crate::values::ids::Ids;
use crate::values::payload::release_gently;
use duewheel_engine::engine::{Due, OnConflict};
use duewheel_store::Carried;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::sync::Arc;

/// The calls of a scheduler that coroutines make.
///
/// Each returns its result and the ticket to wait for (0: none), or a pending call.
#[pyclass(frozen, module = "duewheel._core")]
pub(crate) struct AwaitedCalls {
    shared: Arc<Shared>,
}

impl AwaitedCalls {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        AwaitedCalls { shared }
    }

    fn leave<R: for<'py> IntoPyObject<'py> + 'static>(
        &self,
        py: Python<'_>,
        call: impl FnOnce(&Arc<Shared>) -> PyResult<Pending<R>>,
    ) -> PyResult<Py<PyAny>> {
        self.shared.check_fork(py)?;
        PendingCall::leave(py, &self.shared, call(&self.shared)?)
    }

    fn schedule(
        &self,
        due: Due,
        given: Given<'_, '_>,
        keywords: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Py<PyAny>> {
        let py = given.target.py();
        self.leave(py, |shared| {
            let call = match due {
                Due::At(_) => "Scheduler.at",
                Due::In(_) => "Scheduler.in_",
            };
            let rare = keywords.map(|keywords| Rare::read(keywords, call));
            let rare = rare.transpose()?.unwrap_or_default();
            let (given, fields) = given.with(rare);
            let made = schedule::schedule(shared, due, given, fields)?;
            warn_if_ancient(shared, py, due);
            Ok(made)
        })
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
    ) -> PyResult<Py<PyAny>> {
        let given = Given {
            target,
            data,
            id,
            options,
            carried: Carried::default(),
            on_conflict: OnConflict::Error,
        };
        let due = Due::At(convert::wall_time(when, "when")?);
        self.schedule(due, given, job_options)
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
    ) -> PyResult<Py<PyAny>> {
        let given = Given {
            target,
            data,
            id,
            options,
            carried: Carried::default(),
            on_conflict: OnConflict::Error,
        };
        let due = Due::In(convert::delay(delay, "delay")?);
        self.schedule(due, given, job_options)
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
    ) -> PyResult<Py<PyAny>> {
        let times = (Times::new(are_delays), times);
        self.leave(target.py(), |shared| {
            bulk::schedule(shared, times, target, datas, options, job_options, false)
        })
    }

    /// Do the same on a thread: it waits, and gives up the interpreter on the way.
    #[pyo3(signature = (are_delays, times, target, datas=None, *, options=None, **job_options))]
    fn many_in_thread(
        &self,
        are_delays: bool,
        times: &Bound<'_, PyAny>,
        target: &Bound<'_, PyAny>,
        datas: Option<&Bound<'_, PyAny>>,
        options: Option<&Bound<'_, PyAny>>,
        job_options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Ids> {
        let (py, shared) = (target.py(), &self.shared);
        shared.check_fork(py)?;
        let times = (Times::new(are_delays), times);
        let made = bulk::schedule(shared, times, target, datas, options, job_options, true)?;
        shared.finish(py, made)
    }

    /// As `Scheduler.cancel`.
    fn cancel(&self, id: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        self.leave(id.py(), |shared| change::cancel(shared, id))
    }

    /// As `Scheduler.cancel_many`.
    fn cancel_many(&self, ids: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        self.leave(ids.py(), |shared| cancel_many::cancel_many(shared, ids))
    }

    /// As `Scheduler.reschedule`.
    fn reschedule(&self, id: &Bound<'_, PyAny>, when: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let due = convert::wall_time(when, "when")?;
        self.leave(id.py(), |shared| change::reschedule(shared, id, due))
    }

    /// As `Scheduler.repeat`.
    #[pyo3(signature = (schedule, target, data, declared, **keywords))]
    fn repeat<'py>(
        &self,
        schedule: &Bound<'py, PyAny>,
        target: &Bound<'py, PyAny>,
        #[pyo3(from_py_with = convert::as_given)] data: Option<Bound<'py, PyAny>>,
        declared: bool,
        keywords: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Py<PyAny>> {
        let given = repeat::Given {
            schedule,
            target,
            data,
            keywords,
            declared,
        };
        self.leave(target.py(), |shared| repeat::repeat(shared, &given))
    }

    /// As `Scheduler.pause`.
    fn pause(&self, id: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        self.leave(id.py(), |shared| repeat::change(shared, id, Change::Pause))
    }

    /// As `Scheduler.resume`.
    fn resume(&self, id: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        self.leave(id.py(), |shared| repeat::change(shared, id, Change::Resume))
    }

    /// As `Scheduler.trigger`.
    fn trigger(&self, id: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        self.leave(id.py(), |shared| {
            repeat::change(shared, id, Change::Trigger)
        })
    }

    /// As `Scheduler.get_repeat`.
    fn get_repeat(&self, id: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        self.leave(id.py(), |shared| repeat::get(shared, id))
    }

    /// As `Scheduler.get`.
    fn get(&self, id: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        self.leave(id.py(), |shared| query::get(shared, id))
    }

    /// Return how many jobs of the targets that have handlers here are in a store that nodes share.
    fn unfinished(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.leave(py, |shared| query::unfinished(shared, py))
    }

    /// As `len(Scheduler)`.
    fn count(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.leave(py, |shared| query::count(shared, py))
    }

    /// As `Scheduler.next`.
    #[pyo3(signature = (start=None, end=None))]
    fn next(
        &self,
        py: Python<'_>,
        start: Option<&Bound<'_, PyAny>>,
        end: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let bounds = (convert::bound(start, "start")?, convert::bound(end, "end")?);
        self.leave(py, |shared| query::first(shared, py, bounds))
    }

    /// As `Scheduler.outcome`, without a wait: `None` where it is not over.
    fn outcome(&self, id: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        self.leave(id.py(), |shared| outcome::look(shared, id))
    }

    /// Refuse to wait for the outcome of a job that could never end; the error of one that has not ended in time.
    fn outcome_late(&self, id: &Bound<'_, PyAny>, is_late: bool) -> PyResult<()> {
        let (py, id) = (id.py(), convert::name(id, "id")?);
        if is_late {
            return Err(outcome::not_over(py, id));
        }
        outcome::refuse_endless(&self.shared, py, id, false)
    }

    /// Return how many seconds to wait at most after so many calls of `outcome`. `None`: its end is told.
    fn outcome_pause(&self, looks: u32) -> Option<f64> {
        let pause = self.shared.engine.pause_after(looks)?;
        Some(pause.as_secs_f64())
    }

    /// As `Scheduler.revive`.
    fn revive(&self, id: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        self.leave(id.py(), |shared| change::revive(shared, id))
    }

    /// As `Scheduler.purge`.
    #[pyo3(signature = (before=None, *, ids=None))]
    fn purge(
        &self,
        py: Python<'_>,
        before: Option<&Bound<'_, PyAny>>,
        ids: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        self.leave(py, |shared| change::purge(shared, py, before, ids))
    }

    /// As `Scheduler._restore`.
    fn restore(&self, event: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        self.leave(event.py(), |shared| schedule::restore(shared, event))
    }

    /// As `Scheduler.close`, on a thread, giving up the interpreter on the way.
    fn close_in_thread(&self, py: Python<'_>) -> PyResult<()> {
        self.shared.check_fork(py)?;
        self.shared.close(py, release_gently);
        Ok(())
    }
}

/// Check a timeout; return its seconds.
#[pyfunction]
pub(crate) fn timeout_s(timeout: Option<&Bound<'_, PyAny>>) -> PyResult<Option<f64>> {
    Ok(convert::timeout(timeout)?.map(|timeout| timeout.as_secs_f64()))
}

/// Check the bounds of a query, and the target that it is about.
#[pyfunction]
#[pyo3(signature = (start, end, target=None))]
pub(crate) fn check_bounds(
    start: Option<&Bound<'_, PyAny>>,
    end: Option<&Bound<'_, PyAny>>,
    target: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    convert::bound(start, "start")?;
    convert::bound(end, "end")?;
    if let Some(target) = target {
        convert::name(target, "target")?;
    }
    Ok(())
}
