//! `Stats`, `TargetStats` and `Lateness`: numbers, frozen.

use crate::share::shapes;
use crate::values::counters::{counters, named, numbers, with_numbers};
use duewheel_engine::engine::{self, TargetCounts};
use duewheel_engine::handover::lateness::Summary;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyTuple};

/// How late jobs started, or how long they took, in seconds: quantiles within 1 %, `max` exact.
#[pyclass(frozen, eq, module = "duewheel")]
#[derive(Clone, PartialEq)]
pub(crate) struct Lateness {
    /// Starts counted.
    #[pyo3(get)]
    count: u64,
    /// All of them together, in seconds, exact.
    #[pyo3(get)]
    sum: f64,
    /// The mean, in seconds, exact.
    #[pyo3(get)]
    mean: f64,
    /// The median, in seconds.
    #[pyo3(get)]
    p50: f64,
    /// The 90th percentile, in seconds.
    #[pyo3(get)]
    p90: f64,
    /// The 99th percentile, in seconds.
    #[pyo3(get)]
    p99: f64,
    /// The 99.9th percentile, in seconds.
    #[pyo3(get)]
    p999: f64,
    /// The largest, in seconds, exact.
    #[pyo3(get)]
    max: f64,
    found: Summary,
}

impl From<Summary> for Lateness {
    fn from(found: Summary) -> Self {
        let [p50, p90, p99, p999] = found.quantiles.map(|ns| ns / 1e9);
        Lateness {
            count: found.count,
            sum: found.sum as f64 / 1e9,
            mean: found.mean / 1e9,
            p50,
            p90,
            p99,
            p999,
            max: found.max as f64 / 1e9,
            found,
        }
    }
}

/// What a scheduler holds now, and has done since it was made.
///
/// `pending`, `parked` and `running` are of now, all else counts from the construction: a file that
/// is opened again begins at 0, whatever `Scheduler.dead` has in it.
/// `scheduled + revived = pending + running + succeeded + dead + cancelled + dropped`; what is
/// `parked` is pending too. In a file what was pending at its opening is `scheduled`.
#[pyclass(frozen, eq, get_all, module = "duewheel")]
#[derive(Clone, PartialEq)]
pub(crate) struct Stats {
    /// Jobs that wait, are parked, or are handed over and not started.
    pending: u64,
    /// Jobs that wait for a handler of their target.
    parked: u64,
    /// Jobs whose handler runs.
    running: u64,
    /// Jobs taken in.
    scheduled: u64,
    /// Executions started.
    started: u64,
    /// Jobs whose handler returned.
    succeeded: u64,
    /// Failures that were followed by another attempt.
    retried: u64,
    /// Executions that asked for another time.
    snoozed: u64,
    /// Jobs that ended as dead.
    dead: u64,
    /// Jobs withdrawn.
    cancelled: u64,
    /// Dead jobs made due again.
    revived: u64,
    /// Jobs forgotten by closing.
    dropped: u64,
    /// Times of repeats that were passed over or merged into a later one.
    missed: u64,
    /// Handlers on threads that run now and are past their timeout.
    stuck: u64,
    /// Start minus due, of every start.
    lateness: Lateness,
}

impl From<engine::Stats> for Stats {
    fn from(stats: engine::Stats) -> Self {
        let lateness = stats.lateness.into();
        counters!(with_numbers!(
            counters!(numbers!(stats)),
            Stats { lateness }
        ))
    }
}

/// What a scheduler holds of one target now, and has done of it since it was made: as `Stats`, and how long it took.
///
/// In a file what was pending at its opening is `scheduled`, as in `Stats`.
#[pyclass(frozen, eq, get_all, module = "duewheel")]
#[derive(Clone, PartialEq)]
pub(crate) struct TargetStats {
    /// Jobs that wait, are parked, or are handed over and not started.
    pending: u64,
    /// Jobs that wait for a handler of the target.
    parked: u64,
    /// Jobs whose handler runs.
    running: u64,
    /// Jobs taken in.
    scheduled: u64,
    /// Executions started.
    started: u64,
    /// Jobs whose handler returned.
    succeeded: u64,
    /// Failures that were followed by another attempt.
    retried: u64,
    /// Executions that asked for another time.
    snoozed: u64,
    /// Jobs that ended as dead.
    dead: u64,
    /// Of the dead, those that their handler discarded. Not in `asdict`.
    discarded: u64,
    /// Of the dead, those that were interrupted. Not in `asdict`.
    interrupted: u64,
    /// Jobs withdrawn.
    cancelled: u64,
    /// Dead jobs made due again.
    revived: u64,
    /// Jobs forgotten by closing.
    dropped: u64,
    /// Times of repeats that were passed over or merged into a later one.
    missed: u64,
    /// Handlers on threads that run now and are past their timeout.
    stuck: u64,
    /// Start minus due, of every start.
    lateness: Lateness,
    /// From the call of the handler to its end, of every execution that has ended.
    runtime: Lateness,
}

impl TargetStats {
    /// What the engine tells of a target, and how many workers are stuck in its handler.
    pub(crate) fn new(target: TargetCounts, stuck: u64) -> Self {
        let counts = target.counts;
        TargetStats {
            pending: target.pending,
            parked: target.parked,
            running: target.running,
            scheduled: counts.scheduled,
            started: target.started,
            succeeded: counts.succeeded,
            retried: counts.retried,
            snoozed: counts.snoozed,
            dead: counts.dead,
            discarded: counts.discarded,
            interrupted: counts.interrupted,
            cancelled: counts.cancelled,
            revived: counts.revived,
            dropped: counts.dropped,
            missed: counts.missed,
            stuck,
            lateness: target.starts.lateness.summary().into(),
            runtime: target.starts.runtime.summary().into(),
        }
    }
}

#[pymethods]
impl Lateness {
    /// Return how many are at most as large as each bound: a cumulative histogram.
    ///
    /// **Time**: bounds are seconds, infinity included; a value counts for a bound that is within 0.4 % of it.
    /// **Raises** `TypeError` for what is no number, `ValueError` for NaN. **Cost**: O(bounds + different values).
    ///
    /// >>> from duewheel import Scheduler
    /// >>> Scheduler().stats().lateness.buckets([0.001, 0.01, float("inf")])
    /// (0, 0, 0)
    fn buckets<'py>(&self, bounds: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyTuple>> {
        let mut counts = Vec::new();
        for bound in bounds.try_iter()? {
            let bound = bound?;
            let seconds = bound.extract::<f64>();
            let seconds = seconds.ok().filter(|_| !bound.is_instance_of::<PyBool>());
            let seconds = seconds.ok_or_else(|| {
                PyTypeError::new_err(format!(
                    "a bound must be a number of seconds, not {bound:?}"
                ))
            })?;
            if seconds.is_nan() {
                return Err(PyValueError::new_err("a bound must be a number, not nan"));
            }
            counts.push(self.found.up_to(seconds * 1e9));
        }
        PyTuple::new(bounds.py(), counts)
    }

    /// Return the numbers as a dictionary, in the order of the `repr`.
    fn asdict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let numbers = PyDict::new(py);
        numbers.set_item("count", self.count)?;
        let quantiles = [
            ("sum", self.sum),
            ("mean", self.mean),
            ("p50", self.p50),
            ("p90", self.p90),
            ("p99", self.p99),
            ("p999", self.p999),
            ("max", self.max),
        ];
        for (name, seconds) in quantiles {
            numbers.set_item(name, seconds)?;
        }
        Ok(numbers)
    }

    fn __repr__(&self) -> String {
        format!(
            "Lateness(count={}, sum={:?}, mean={:?}, p50={:?}, p90={:?}, p99={:?}, p999={:?}, max={:?})",
            self.count, self.sum, self.mean, self.p50, self.p90, self.p99, self.p999, self.max
        )
    }
}

#[pymethods]
impl TargetStats {
    /// Return the numbers as a dictionary, in the order of the `repr`; `lateness` and `runtime` are such, too.
    fn asdict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let numbers = PyDict::new(py);
        for (name, count) in counters!(named!(self)) {
            numbers.set_item(name, count)?;
        }
        numbers.set_item("lateness", self.lateness.asdict(py)?)?;
        numbers.set_item("runtime", self.runtime.asdict(py)?)?;
        Ok(numbers)
    }

    /// The text that tells of them in another process.
    fn _tell(&self) -> String {
        let took = [&self.lateness.found, &self.runtime.found];
        let of_dead = [self.discarded, self.interrupted];
        shapes::target_text(counters!(numbers!(self)), of_dead, took)
    }

    /// What such a text tells.
    #[staticmethod]
    fn _told(text: &str) -> PyResult<Self> {
        let Some((counts, of_dead, took)) = shapes::target_of(text) else {
            let message = format!("this tells nothing of a target: {text}");
            return Err(PyValueError::new_err(message));
        };
        let ([discarded, interrupted], [lateness, runtime]) = (of_dead, took.map(Lateness::from));
        Ok(counters!(with_numbers!(
            counts,
            TargetStats {
                discarded,
                interrupted,
                lateness,
                runtime
            }
        )))
    }

    fn __repr__(&self) -> String {
        let counts = counters!(named!(self)).map(|(name, count)| format!("{name}={count}"));
        let (lateness, runtime) = (self.lateness.__repr__(), self.runtime.__repr__());
        format!(
            "TargetStats({}, lateness={lateness}, runtime={runtime})",
            counts.join(", ")
        )
    }
}

#[pymethods]
impl Stats {
    /// Return the numbers as a dictionary, in the order of the `repr`; `lateness` is one, too.
    fn asdict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let numbers = PyDict::new(py);
        for (name, count) in counters!(named!(self)) {
            numbers.set_item(name, count)?;
        }
        numbers.set_item("lateness", self.lateness.asdict(py)?)?;
        Ok(numbers)
    }

    /// Show them in a notebook, as tables.
    fn _repr_html_<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let html = slf.py().import("duewheel._html")?;
        html.call_method1("of_stats", (slf,))
    }

    /// The statistics that a text says, which the owner of a file has written.
    #[staticmethod]
    fn _told(text: &str) -> PyResult<Self> {
        let told = shapes::stats_of(text).map(Self::from);
        told.ok_or_else(|| PyValueError::new_err(format!("these are no statistics: {text}")))
    }

    /// What a scheduler that does nothing has done.
    #[staticmethod]
    fn _zeros() -> Self {
        engine::Stats::default().into()
    }

    fn __repr__(&self) -> String {
        let counts = counters!(named!(self)).map(|(name, count)| format!("{name}={count}"));
        let lateness = self.lateness.__repr__();
        format!("Stats({}, lateness={lateness})", counts.join(", "))
    }
}
