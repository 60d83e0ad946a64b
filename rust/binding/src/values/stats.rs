//! `Stats` and `Lateness`: numbers, frozen.

use duewheel_engine::engine;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// How late jobs started, in seconds: start minus due, quantiles within 1 %, `max` exact.
#[pyclass(frozen, eq, get_all, module = "duewheel")]
#[derive(Clone, PartialEq)]
pub(crate) struct Lateness {
    /// Starts counted.
    count: u64,
    /// The mean, in seconds, exact.
    mean: f64,
    /// The median, in seconds.
    p50: f64,
    /// The 90th percentile, in seconds.
    p90: f64,
    /// The 99th percentile, in seconds.
    p99: f64,
    /// The 99.9th percentile, in seconds.
    p999: f64,
    /// The largest, in seconds, exact.
    max: f64,
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
    /// Start minus due, of every start.
    lateness: Lateness,
}

impl From<engine::Stats> for Stats {
    fn from(stats: engine::Stats) -> Self {
        let late = stats.lateness;
        let [p50, p90, p99, p999] = late.quantiles.map(|ns| ns / 1e9);
        let (mean, max) = (late.mean / 1e9, late.max as f64 / 1e9);
        Stats {
            pending: stats.pending,
            parked: stats.parked,
            running: stats.running,
            scheduled: stats.scheduled,
            started: stats.started,
            succeeded: stats.succeeded,
            retried: stats.retried,
            snoozed: stats.snoozed,
            dead: stats.dead,
            cancelled: stats.cancelled,
            revived: stats.revived,
            dropped: stats.dropped,
            missed: stats.missed,
            lateness: Lateness {
                count: late.count,
                mean,
                p50,
                p90,
                p99,
                p999,
                max,
            },
        }
    }
}

#[pymethods]
impl Lateness {
    /// Return the numbers as a dictionary, in the order of the `repr`.
    fn asdict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let numbers = PyDict::new(py);
        numbers.set_item("count", self.count)?;
        let quantiles = [
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
            "Lateness(count={}, mean={:?}, p50={:?}, p90={:?}, p99={:?}, p999={:?}, max={:?})",
            self.count, self.mean, self.p50, self.p90, self.p99, self.p999, self.max
        )
    }
}

impl Stats {
    /// The counts, in the order of the `repr`.
    fn counts(&self) -> [(&'static str, u64); 13] {
        [
            ("pending", self.pending),
            ("parked", self.parked),
            ("running", self.running),
            ("scheduled", self.scheduled),
            ("started", self.started),
            ("succeeded", self.succeeded),
            ("retried", self.retried),
            ("snoozed", self.snoozed),
            ("dead", self.dead),
            ("cancelled", self.cancelled),
            ("revived", self.revived),
            ("dropped", self.dropped),
            ("missed", self.missed),
        ]
    }
}

#[pymethods]
impl Stats {
    /// Return the numbers as a dictionary, in the order of the `repr`; `lateness` is one, too.
    fn asdict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let numbers = PyDict::new(py);
        for (name, count) in self.counts() {
            numbers.set_item(name, count)?;
        }
        numbers.set_item("lateness", self.lateness.asdict(py)?)?;
        Ok(numbers)
    }

    /// What a scheduler that does nothing has done.
    #[staticmethod]
    fn _zeros() -> Self {
        engine::Stats::default().into()
    }

    fn __repr__(&self) -> String {
        let counts = self.counts().map(|(name, count)| format!("{name}={count}"));
        let lateness = self.lateness.__repr__();
        format!("Stats({}, lateness={lateness})", counts.join(", "))
    }
}
