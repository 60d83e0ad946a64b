//! `Stats` and `Lateness`: numbers, frozen.

use duewheel_core::engine;
use pyo3::prelude::*;

/// How late jobs started, in seconds.
#[pyclass(frozen, eq, get_all, module = "duewheel")]
#[derive(Clone, PartialEq)]
pub(crate) struct Lateness {
    count: u64,
    mean: f64,
    p50: f64,
    p90: f64,
    p99: f64,
    p999: f64,
    max: f64,
}

/// What a scheduler holds now and has done since it was made.
#[pyclass(frozen, eq, get_all, module = "duewheel")]
#[derive(Clone, PartialEq)]
pub(crate) struct Stats {
    pending: u64,
    parked: u64,
    running: u64,
    scheduled: u64,
    started: u64,
    succeeded: u64,
    retried: u64,
    snoozed: u64,
    dead: u64,
    cancelled: u64,
    revived: u64,
    dropped: u64,
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
    fn __repr__(&self) -> String {
        format!(
            "Lateness(count={}, mean={:?}, p50={:?}, p90={:?}, p99={:?}, p999={:?}, max={:?})",
            self.count, self.mean, self.p50, self.p90, self.p99, self.p999, self.max
        )
    }
}

#[pymethods]
impl Stats {
    fn __repr__(&self) -> String {
        format!(
            "Stats(pending={}, parked={}, running={}, scheduled={}, started={}, succeeded={}, \
             retried={}, snoozed={}, dead={}, cancelled={}, revived={}, dropped={}, lateness={})",
            self.pending,
            self.parked,
            self.running,
            self.scheduled,
            self.started,
            self.succeeded,
            self.retried,
            self.snoozed,
            self.dead,
            self.cancelled,
            self.revived,
            self.dropped,
            self.lateness.__repr__()
        )
    }
}
