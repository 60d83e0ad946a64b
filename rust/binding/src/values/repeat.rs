//! `Repeat`: a job that comes again, as `Scheduler.repeats` lists it.

use crate::schedules::value::show_schedule;
use crate::share::shapes::RepeatShape;
use crate::share::wire::{self, Retry};
use crate::values::job::Job;
use crate::values::options::{Fields, JobOptions, Spec};
use crate::values::payload::Handle;
use duewheel_engine::engine::{RepeatView, StoredView};
use duewheel_engine::jobs::record::Id;
use duewheel_engine::jobs::repeats::{NEVER, Plan};
use duewheel_model::repeat::Standing;
use duewheel_model::time::SECOND;
use duewheel_store::StoredRepeat;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};
use std::sync::Arc;

/// A job that comes again, as it stood when it was asked for.
///
/// **Time**: `next`, `previous`, `start` and `end` are unix nanoseconds, `spread` and `window` float seconds.
#[pyclass(frozen, module = "duewheel")]
pub(crate) struct Repeat {
    job: Job,
    due: i64,
    plan: Arc<Plan>,
    standing: Standing,
    runs: bool,
    is_wanted: bool,
    unknown: Option<Arc<str>>,
}

impl Repeat {
    /// Taken down under the engine's lock, where no object may be made: its attributes are made on access.
    pub(crate) fn take(py: Python<'_>, view: &RepeatView<'_, Handle>) -> Self {
        Repeat {
            job: Job::of(py, view.job.id, view.job.job_due, view.job.payload),
            due: view.job.due,
            plan: view.plan.clone(),
            standing: view.standing,
            runs: view.runs,
            is_wanted: view.is_wanted,
            unknown: view.unknown.clone(),
        }
    }

    /// As a store that nodes share has it.
    pub(crate) fn stored(job: Job, view: StoredView, stored: &StoredRepeat) -> Self {
        Repeat {
            job,
            due: view.due,
            plan: view.plan,
            standing: view.standing,
            runs: stored.begun,
            is_wanted: stored.is_wanted,
            unknown: view.unknown,
        }
    }
}

fn seconds(ns: i64) -> f64 {
    ns as f64 / SECOND as f64
}

#[pymethods]
impl Repeat {
    /// Its id.
    #[getter]
    fn id<'py>(&self, py: Python<'py>) -> Bound<'py, PyString> {
        self.job.id_in(py)
    }

    /// The name under which its handler is registered.
    #[getter]
    fn target(&self, py: Python<'_>) -> Py<PyString> {
        self.job.target_in(py)
    }

    /// When it comes.
    #[getter]
    fn schedule(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        show_schedule(py, self.plan.schedule().clone())
    }

    /// What its handler gets.
    #[getter]
    fn data<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.job.data_in(py)
    }

    /// How each occurrence is retried, resolved: no field is `UNSET`.
    #[getter]
    fn options(&self, py: Python<'_>) -> Py<JobOptions> {
        self.job.options_in(py)
    }

    /// When the occurrence that comes is due, spread included; while one runs, when that was due.
    #[getter]
    fn next(&self) -> Option<i64> {
        (self.due != NEVER).then_some(self.due)
    }

    /// The first due of the last occurrence that succeeded.
    #[getter]
    fn previous(&self) -> Option<i64> {
        self.standing.previous
    }

    /// The number of the occurrence that comes or runs, from 1.
    #[getter]
    fn occurrence(&self) -> u64 {
        self.standing.occurrence
    }

    /// How many of its times were passed over or merged into a later one.
    #[getter]
    fn missed(&self) -> u64 {
        self.standing.missed
    }

    /// Whether it is paused.
    #[getter]
    fn paused(&self) -> bool {
        self.standing.paused
    }

    /// Whether it was declared by `repeated`, so that it runs only in a life of the program that declares it.
    #[getter]
    fn declared(&self) -> bool {
        self.standing.declared
    }

    /// Whether its occurrence runs now.
    #[getter]
    fn running(&self) -> bool {
        self.runs
    }

    /// The first of its times is not before this.
    #[getter]
    fn start(&self) -> Option<i64> {
        self.plan.terms().start
    }

    /// The last of its times is before this.
    #[getter]
    fn end(&self) -> Option<i64> {
        self.plan.terms().end
    }

    /// How many occurrences there are in all.
    #[getter]
    fn count(&self) -> Option<u64> {
        self.plan.terms().count
    }

    /// The largest offset of its dues from its times, in seconds.
    #[getter]
    fn spread(&self) -> f64 {
        seconds(self.plan.terms().spread)
    }

    /// What becomes of times that were missed: `"one"`, `"all"` or `"none"`.
    #[getter]
    fn catch_up(&self) -> &'static str {
        self.plan.terms().catch_up.word()
    }

    /// How late an occurrence may start, in seconds.
    #[getter]
    fn window(&self) -> Option<f64> {
        self.plan.terms().window.map(seconds)
    }

    /// Whether it pauses when an occurrence ends as dead.
    #[getter]
    fn pause_on_dead(&self) -> bool {
        self.plan.terms().pause_on_dead
    }

    /// Return the next `n` dues, spread included, in unix nanoseconds; fewer where it ends.
    ///
    /// What is missed meanwhile, and what is triggered, nobody knows ahead.
    #[pyo3(signature = (n=5))]
    fn upcoming(&self, py: Python<'_>, n: usize) -> Vec<i64> {
        py.detach(|| self.plan.upcoming(&self.standing, self.due, n))
    }

    /// Show it in a notebook, as a table.
    fn _repr_html_<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let html = slf.py().import("duewheel._html")?;
        html.call_method1("of_repeat", (slf,))
    }

    /// Why it does not start when it is due, if it does not.
    #[getter]
    fn _held(&self) -> Option<String> {
        match &self.unknown {
            Some(why) => Some(why.to_string()),
            None if !self.is_wanted => {
                Some("it was declared, and this program does not declare it".to_owned())
            }
            None if self.standing.paused && self.standing.triggered.is_none() => {
                Some("it is paused".to_owned())
            }
            None => None,
        }
    }

    /// The text that tells of it in another process.
    fn _tell(&self, py: Python<'_>) -> PyResult<String> {
        let mut data = String::new();
        if let Ok(bytes) = self.job.data_in(py).cast::<PyBytes>() {
            wire::text_of(bytes.as_bytes(), &mut data);
        }
        let spec = self.job.spec.get();
        let shape = RepeatShape {
            id: self.job.id.with_str(str::to_owned),
            target: spec.text.to_string(),
            job_due: self.job.due,
            data,
            retry: Retry::from(&spec.limits),
            due: self.due,
            definition: self.plan.definition().to_string(),
            standing: self.standing.into(),
            runs: self.runs,
            is_wanted: self.is_wanted,
            unknown: self.unknown.as_ref().map(ToString::to_string),
        };
        serde_json::to_string(&shape).map_err(|error| PyValueError::new_err(error.to_string()))
    }

    /// The repeat of such a text.
    #[staticmethod]
    fn _told(py: Python<'_>, text: &str) -> PyResult<Self> {
        let told = || {
            let shape: RepeatShape = serde_json::from_str(text).ok()?;
            let plan = Plan::read(&shape.definition.parse().ok()?).ok()?;
            let data = wire::bytes_of(&shape.data)?;
            Some((plan, data, shape.retry.options()?, shape))
        };
        let Some((plan, data, limits, shape)) = told() else {
            return Err(PyValueError::new_err(format!("this is no repeat: {text}")));
        };
        let job = Job {
            id: Id::Given(shape.id.into()),
            due: shape.job_due,
            data: Some(PyBytes::new(py, &data).into_any().unbind()),
            spec: Spec::alone(py, &shape.target, &Fields::of(&limits))?,
            carried: None,
        };
        Ok(Repeat {
            job,
            due: shape.due,
            plan,
            standing: shape.standing.into(),
            runs: shape.runs,
            is_wanted: shape.is_wanted,
            unknown: shape.unknown.map(Arc::from),
        })
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let repeat = slf.get();
        Ok(format!(
            "Repeat(id={:?}, target={:?}, schedule={:?}, next={}, occurrence={}{})",
            slf.getattr("id")?,
            slf.getattr("target")?,
            slf.getattr("schedule")?,
            repeat.due,
            repeat.standing.occurrence,
            if repeat.standing.paused {
                ", paused"
            } else {
                ""
            },
        ))
    }
}
