//! `Event`: one execution of a job, its attributes made on access.

use crate::interpreter::call;
use crate::values::convert;
use crate::values::job::{Job, id_string, made_with, nanoseconds};
use crate::values::payload::Handle;
use duewheel_engine::jobs::record::{Occurrence, Started, View};
use duewheel_model::job::Progress;
use duewheel_model::time::SECOND;
use pyo3::IntoPyObjectExt;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// One execution of a job: what a handler is called with, and what is pending.
///
/// `Event(job, run=1, attempt=1, due=job.due)` makes one by hand, for `Storage.create` or a test of
/// a handler.
///
/// **Time**: `due` is unix nanoseconds; that of an execution on the boot clock is the wall time
/// that it maps to now.
/// **Raises** `TypeError` for wrong types, `ValueError` for a run or an attempt below 1,
/// `OverflowError` for a due that 64 bits do not hold.
#[pyclass(frozen, module = "duewheel")]
pub(crate) struct Event {
    job: Job,
    pub(crate) due: i64,
    lateness: i64,
    /// Only its counts are shown: how old a job is, its scheduler knows.
    pub(crate) progress: Progress,
    /// Which one it is, of a repeat.
    occurrence: Option<Box<Occurrence>>,
    /// It was asked to end.
    expired: AtomicBool,
    /// Whether that was by a call, after which what it raises ends the job.
    interrupted: AtomicBool,
}

/// Unix nanoseconds as an aware `datetime` in UTC, rounded down to microseconds.
pub(crate) fn moment(py: Python<'_>, ns: i64) -> PyResult<Bound<'_, PyAny>> {
    // In whole microseconds: a float would lose some of them.
    let datetime = call::import(py, "datetime")?;
    let utc = datetime.getattr("timezone")?.getattr("utc")?;
    let keywords = PyDict::new(py);
    keywords.set_item("microseconds", ns.div_euclid(1_000))?;
    let since = datetime.getattr("timedelta")?.call((), Some(&keywords))?;
    let epoch = datetime
        .getattr("datetime")?
        .call1((1970, 1, 1, 0, 0, 0, 0, utc))?;
    epoch.add(since)
}

impl Event {
    #[inline]
    pub(crate) fn started(py: Python<'_>, started: &Started<Handle>) -> Self {
        let execution = &started.execution;
        Event {
            job: Job::of(py, &execution.id, execution.job_due, execution.payload),
            due: started.wall_due,
            lateness: started.lateness,
            progress: execution.progress,
            occurrence: started.occurrence.clone(),
            expired: AtomicBool::new(false),
            interrupted: AtomicBool::new(false),
        }
    }

    pub(crate) fn pending(py: Python<'_>, view: &View<'_, Handle>) -> Self {
        let job = Job::of(py, view.id, view.job_due, view.payload);
        Event::at_rest(job, view.due, view.progress).of_repeat(view.occurrence)
    }

    /// The same, of a repeat, if this is an occurrence of one.
    pub(crate) fn of_repeat(self, occurrence: Occurrence) -> Self {
        let occurrence = (occurrence.number > 0).then(|| Box::new(occurrence));
        Event { occurrence, ..self }
    }

    /// An execution that does not run.
    pub(crate) fn at_rest(job: Job, due: i64, progress: Progress) -> Self {
        Event {
            job,
            due,
            lateness: 0,
            progress,
            occurrence: None,
            expired: AtomicBool::new(false),
            interrupted: AtomicBool::new(false),
        }
    }

    pub(crate) fn into_job(self) -> Job {
        self.job
    }

    /// When its handler was called, in unix nanoseconds.
    pub(crate) fn started_at(&self) -> i64 {
        self.due.saturating_add(self.lateness)
    }

    /// Ask it to end.
    pub(crate) fn expire(&self) {
        self.expired.store(true, Relaxed);
    }

    /// The number of its target.
    pub(crate) fn target_number(&self) -> u32 {
        self.job.spec.get().target
    }

    /// Whether it is asked to end.
    pub(crate) fn is_interrupted(&self) -> bool {
        self.interrupted.load(Relaxed)
    }

    /// Ask it to end; what it raises from then on ends its job.
    pub(crate) fn interrupt(&self) {
        self.interrupted.store(true, Relaxed);
        self.expired.store(true, Relaxed);
    }

    pub(crate) fn is_expired(&self) -> bool {
        self.expired.load(Relaxed)
    }

    pub(crate) fn job_ref(&self) -> &Job {
        &self.job
    }
}

#[pymethods]
impl Event {
    /// Whether how its job ends is kept.
    #[getter]
    fn _keeps(&self) -> bool {
        let carried = self.job_ref().carried.as_deref();
        carried.is_some_and(|carried| carried.keep.is_some())
    }

    #[new]
    #[pyo3(signature = (job, run=None, attempt=None, due=None, *, occurrence=0, previous=None))]
    fn new(
        job: &Bound<'_, PyAny>,
        run: Option<&Bound<'_, PyAny>>,
        attempt: Option<&Bound<'_, PyAny>>,
        due: Option<&Bound<'_, PyAny>>,
        occurrence: u64,
        previous: Option<i64>,
    ) -> PyResult<Self> {
        let job = job
            .cast::<Job>()
            .map_err(|_| PyTypeError::new_err(format!("job must be a Job, not {job:?}")))?;
        let event = Event {
            due: due.map_or(Ok(job.get().due), |due| nanoseconds(due, "due"))?,
            lateness: 0,
            progress: Progress {
                run: run.map_or(Ok(1), |run| convert::counter(run, "run"))?,
                attempt: attempt.map_or(Ok(1), |attempt| convert::counter(attempt, "attempt"))?,
                first_start: None,
            },
            job: job.get().clone_ref(job.py()),
            occurrence: None,
            expired: AtomicBool::new(false),
            interrupted: AtomicBool::new(false),
        };
        let number = occurrence;
        Ok(event.of_repeat(Occurrence { number, previous }))
    }

    /// The job's id, a slash and the run.
    #[getter]
    fn id(&self) -> String {
        self.job
            .id
            .with_str(|id| format!("{id}/{}", self.progress.run))
    }

    /// Starts of the job so far, this one included: from 1.
    #[getter]
    fn run(&self) -> u32 {
        self.progress.run
    }

    /// Failures so far, plus one; a snooze is no failure.
    #[getter]
    fn attempt(&self) -> u32 {
        self.progress.attempt
    }

    /// Which occurrence of a repeat it is, from 1; 0: it is of no repeat.
    #[getter]
    fn occurrence(&self) -> u64 {
        self.occurrence
            .as_ref()
            .map_or(0, |occurrence| occurrence.number)
    }

    /// `job.due` of the last occurrence of the repeat that succeeded, in unix nanoseconds; `None`: there is none.
    #[getter]
    fn previous(&self) -> Option<i64> {
        self.occurrence.as_ref()?.previous
    }

    /// When this execution is due, in unix nanoseconds.
    #[getter]
    fn due(&self) -> i64 {
        self.due
    }

    /// The job that is executed.
    #[getter]
    fn job(&self, py: Python<'_>) -> Job {
        self.job.clone_ref(py)
    }

    /// The job's id.
    #[getter]
    fn job_id<'py>(&self, py: Python<'py>) -> Bound<'py, PyString> {
        id_string(py, &self.job.id)
    }

    /// The job's target.
    #[getter]
    fn target(&self, py: Python<'_>) -> Py<PyString> {
        self.job.target(py)
    }

    /// The job's data: bytes, or the object that `timer` was given.
    #[getter]
    fn data<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.job.data_in(py)
    }

    /// The due as an aware `datetime` in UTC, rounded down to microseconds.
    #[getter]
    fn due_at<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        moment(py, self.due)
    }

    /// Seconds from its due to its start, as of the start; 0.0 while pending. Not compared.
    #[getter]
    fn lateness(&self) -> f64 {
        self.lateness as f64 / SECOND as f64
    }

    /// Whether it is asked to end: what runs on a thread for long looks at it now and then. Not compared.
    #[getter]
    fn expired(&self) -> bool {
        self.is_expired()
    }

    /// Ask it to end: for the reference.
    fn _interrupt(&self) {
        self.interrupt();
    }

    /// The same event, started so many nanoseconds after its due: for the reference.
    fn _late(&self, py: Python<'_>, lateness: i64) -> Self {
        Event {
            job: self.job.clone_ref(py),
            lateness,
            due: self.due,
            progress: self.progress,
            occurrence: self.occurrence.clone(),
            expired: AtomicBool::new(self.is_expired()),
            interrupted: AtomicBool::new(self.is_interrupted()),
        }
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let py = other.py();
        let Ok(other) = other.cast::<Event>() else {
            return Ok(py.NotImplemented());
        };
        let other = other.get();
        let same = self.progress.run == other.progress.run
            && self.progress.attempt == other.progress.attempt
            && self.due == other.due
            && self.occurrence == other.occurrence
            && self.job.same(&other.job, py)?;
        same.into_py_any(py)
    }

    fn __hash__(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.job.hash_id(&mut hasher);
        (self.progress.run, self.progress.attempt, self.due).hash(&mut hasher);
        hasher.finish()
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let event = slf.get();
        Ok(format!(
            "Event(id={:?}, target={:?}, due={}, run={}, attempt={}, data={:?})",
            slf.getattr("id")?,
            slf.getattr("target")?,
            event.due,
            event.progress.run,
            event.progress.attempt,
            slf.getattr("data")?
        ))
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyTuple>> {
        let event = slf.get();
        let arguments = (
            slf.getattr("job")?,
            event.progress.run,
            event.progress.attempt,
            event.due,
        );
        if let Some(occurrence) = &event.occurrence {
            let number = occurrence.number.into_bound_py_any(slf.py())?;
            let previous = occurrence.previous.into_bound_py_any(slf.py())?;
            let keywords = [("occurrence", number), ("previous", previous)];
            let made = made_with(&slf.get_type(), &keywords)?;
            return (made, arguments).into_pyobject(slf.py());
        }
        (slf.get_type(), arguments).into_pyobject(slf.py())
    }
}
