//! `DeadEvent`: a job that ended as dead, taken down under the lock and shown later.

use crate::values::event::{Event, moment};
use crate::values::failure::Failure;
use crate::values::job::Job;
use crate::values::payload::Handle;
use duewheel_engine::jobs::record::Dead;
use duewheel_model::outcome::Reason;
use duewheel_store as store;
use pyo3::IntoPyObjectExt;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::hash::{DefaultHasher, Hash, Hasher};

/// A job that ended as dead, as `Scheduler.dead` lists it.
///
/// `DeadEvent(event, reason, error, died)` makes one by hand.
///
/// **Time**: `died` is unix nanoseconds.
/// **Raises** `TypeError` for wrong types, `ValueError` for a reason that there is not.
#[pyclass(frozen, module = "duewheel")]
pub(crate) struct DeadEvent {
    event: Py<Event>,
    reason: Reason,
    failure: Failure,
    died: i64,
}

/// What [`DeadEvent`] is made of, taken under the engine's lock where no object may be made.
pub(crate) struct DeadParts {
    event: Event,
    reason: Reason,
    failure: Failure,
    died: i64,
}

impl DeadParts {
    pub(crate) fn take(py: Python<'_>, dead: &Dead<Handle>) -> Self {
        let job = Job::of(py, &dead.id, dead.job_due, dead.payload);
        DeadParts {
            event: Event::at_rest(job, dead.due, dead.progress).of_repeat(dead.occurrence),
            reason: dead.reason,
            failure: dead.failure.clone_ref(py),
            died: dead.died,
        }
    }

    pub(crate) fn build(self, py: Python<'_>) -> PyResult<DeadEvent> {
        Ok(DeadEvent {
            event: Py::new(py, self.event)?,
            reason: self.reason,
            failure: self.failure,
            died: self.died,
        })
    }
}

impl DeadEvent {
    /// One whose last execution is this event, if it is one.
    pub(crate) fn of_event(
        py: Python<'_>,
        event: &Py<PyAny>,
        reason: Reason,
        failure: &Failure,
        died: i64,
    ) -> Option<DeadEvent> {
        let event = event.bind(py).cast::<Event>().ok()?.clone().unbind();
        Some(DeadEvent {
            event,
            reason,
            failure: failure.clone_ref(py),
            died,
        })
    }

    /// One that is read from a store.
    pub(crate) fn stored(
        py: Python<'_>,
        event: Event,
        dead: &store::DeadJob,
    ) -> PyResult<DeadEvent> {
        Ok(DeadEvent {
            event: Py::new(py, event)?,
            reason: dead.reason,
            failure: Failure::text(py, &dead.error),
            died: dead.died,
        })
    }
}

pub(crate) fn word(reason: Reason) -> &'static str {
    match reason {
        Reason::Failed => "failed",
        Reason::Discarded => "discarded",
        Reason::Interrupted => "interrupted",
    }
}

/// The reason that this word stands for.
pub(crate) fn reason_of(given: &str) -> PyResult<Reason> {
    let reasons = [Reason::Failed, Reason::Discarded, Reason::Interrupted];
    let reason = reasons.into_iter().find(|known| word(*known) == given);
    reason.ok_or_else(|| {
        PyValueError::new_err(format!(
            "reason must be 'failed', 'discarded' or 'interrupted', not {given:?}"
        ))
    })
}

#[pymethods]
impl DeadEvent {
    #[new]
    fn new(
        event: Py<Event>,
        reason: &str,
        error: &str,
        died: i64,
        py: Python<'_>,
    ) -> PyResult<Self> {
        let reason = reason_of(reason)?;
        Ok(DeadEvent {
            event,
            reason,
            failure: Failure::text(py, error),
            died,
        })
    }

    /// Its last execution.
    #[getter]
    fn event(&self, py: Python<'_>) -> Py<Event> {
        self.event.clone_ref(py)
    }

    /// Why: `"failed"`, `"discarded"` or `"interrupted"`.
    #[getter]
    fn reason(&self) -> &'static str {
        word(self.reason)
    }

    /// The traceback's text, or the reason given to `Discard`.
    #[getter]
    fn error<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.failure.render(py)
    }

    /// When it died, in unix nanoseconds.
    #[getter]
    fn died(&self) -> i64 {
        self.died
    }

    /// When it died, as an aware `datetime` in UTC, rounded down to microseconds.
    #[getter]
    fn died_at<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        moment(py, self.died)
    }

    fn __eq__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let py = other.py();
        let Ok(other) = other.cast::<DeadEvent>() else {
            return Ok(py.NotImplemented());
        };
        let (mine, others) = (slf.get(), other.get());
        let same = mine.reason == others.reason
            && mine.died == others.died
            && mine.event.bind(py).eq(&others.event)?
            && slf.getattr("error")?.eq(other.getattr("error")?)?;
        same.into_py_any(py)
    }

    fn __hash__(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.event.get().job_ref().hash_id(&mut hasher);
        self.died.hash(&mut hasher);
        hasher.finish()
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let dead = slf.get();
        let error: String = slf.getattr("error")?.extract()?;
        let last = error
            .trim_end()
            .lines()
            .last()
            .unwrap_or_default()
            .to_owned();
        let event = slf.getattr("event")?;
        Ok(format!(
            "DeadEvent({event:?}, reason={:?}, died={}, error={last:?})",
            word(dead.reason),
            dead.died
        ))
    }
}
