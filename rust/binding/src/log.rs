//! Reports to the logger of Python, by the functions of `duewheel._log`.

use crate::interpreter::call::{self, Arguments};
use crate::values::failure::carry_traceback;
use duewheel_store::Error;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

/// Call a function of `duewheel._log`; an error of the logger is reported, and does not reach the caller.
fn report<'py>(py: Python<'py>, what: &str, arguments: impl Arguments<'py>) {
    let logged = call::import(py, "duewheel._log")
        .and_then(|module| module.getattr(what))
        .and_then(|report| call::python(py, report.as_unbound(), arguments));
    if let Err(error) = logged {
        error.write_unraisable(py, None);
    }
}

/// Report an attempt that has failed, where the logger takes its level.
pub(crate) fn failed(py: Python<'_>, event: &Py<PyAny>, error: &PyErr, dead: bool) {
    static ENABLED: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    // Asked for every failure: the bound method is kept.
    let enabled = ENABLED.get_or_try_init(py, || {
        let logger = call::import(py, "duewheel._log")?.getattr("logger")?;
        Ok::<_, PyErr>(logger.getattr("isEnabledFor")?.unbind())
    });
    let level = if dead { 40 } else { 30 };
    let wanted = enabled.and_then(|enabled| call::python(py, enabled, (level,))?.is_truthy());
    if wanted.unwrap_or(true) {
        carry_traceback(py, error);
        report(py, "failed", (event, error.value(py), dead));
    }
}

/// Warn of a due so long past that it may have been meant as a delay.
pub(crate) fn ancient(py: Python<'_>, due: i64) {
    report(py, "ancient", (due,));
}

/// Report that a store takes nothing any more.
pub(crate) fn store_failed(py: Python<'_>, failure: &Error) {
    report(py, "store_failed", (failure.to_string(),));
}

/// Report a target that has jobs and no handler.
pub(crate) fn parked(py: Python<'_>, target: &str) {
    report(py, "parked", (target,));
}

/// Report a stored job that cannot be read.
pub(crate) fn unreadable(py: Python<'_>, row: u64, why: &str) {
    report(py, "unreadable", (row, why));
}

/// Report a stored dead job that cannot be read.
pub(crate) fn unreadable_dead(py: Python<'_>, number: u64, why: &str) {
    report(py, "unreadable_dead", (number, why));
}

/// Report a record of the journal that the store cannot apply.
pub(crate) fn unapplied(py: Python<'_>, record: u64, why: &str) {
    report(py, "unapplied", (record, why));
}

/// Report how many pending jobs closing has dropped.
pub(crate) fn dropped(py: Python<'_>, count: u64) {
    report(py, "dropped", (count,));
}
