//! Reports to the logger of Python, by the functions of `duewheel._log`.

use crate::interpreter::call::{self, Arguments};
use crate::interpreter::names::{Name, names};
use crate::values::failure::carry_traceback;
use duewheel_store::Error;
use pyo3::prelude::*;

/// Call a function of `duewheel._log`; an error of the logger is reported, and does not reach the caller.
fn report<'py>(py: Python<'py>, function: Name, arguments: impl Arguments<'py>) {
    let logged = names(py).and_then(|names| call::python(py, function(names), arguments));
    if let Err(error) = logged {
        error.write_unraisable(py, None);
    }
}

/// Report an attempt that has failed, where the logger takes its level.
pub(crate) fn failed(py: Python<'_>, event: &Py<PyAny>, error: &PyErr, dead: bool) {
    let level = if dead { 40 } else { 30 };
    let wanted =
        names(py).and_then(|names| call::python(py, &names.is_logged, (level,))?.is_truthy());
    if wanted.unwrap_or(true) {
        carry_traceback(py, error);
        report(
            py,
            |names| &names.log_failed,
            (event, error.value(py), dead),
        );
    }
}

/// Warn of a due so long past that it may have been meant as a delay.
pub(crate) fn ancient(py: Python<'_>, due: i64) {
    report(py, |names| &names.log_ancient, (due,));
}

/// Report that a store takes nothing any more.
pub(crate) fn store_failed(py: Python<'_>, failure: &Error) {
    report(py, |names| &names.log_store_failed, (failure.to_string(),));
}

/// Report a target that has jobs and no handler.
pub(crate) fn parked(py: Python<'_>, target: &str) {
    report(py, |names| &names.log_parked, (target,));
}

/// Report how many times of a repeat were passed over or merged.
pub(crate) fn missed(py: Python<'_>, id: &str, count: u64) {
    report(py, |names| &names.log_missed, (id, count));
}

/// Report repeats that are declared no longer.
pub(crate) fn undeclared(py: Python<'_>, ids: Vec<String>) {
    report(py, |names| &names.log_undeclared, (ids,));
}

/// Report repeats that are held back, since a zone is unknown.
pub(crate) fn held(py: Python<'_>, ids: Vec<String>, why: &str) {
    report(py, |names| &names.log_held, (ids, why));
}

/// Report a repeat that another node declares otherwise.
pub(crate) fn contested(py: Python<'_>, id: &str, node: &str) {
    report(py, |names| &names.log_contested, (id, node));
}

/// Report how far the store's clock is ahead of this machine's, in nanoseconds.
pub(crate) fn clock_apart(py: Python<'_>, ahead: i64) {
    report(py, |names| &names.log_clock_apart, (ahead,));
}

/// Report a stored job that cannot be read.
pub(crate) fn unreadable(py: Python<'_>, row: u64, why: &str) {
    report(py, |names| &names.log_unreadable, (row, why));
}

/// Report a stored dead job that cannot be read.
pub(crate) fn unreadable_dead(py: Python<'_>, number: u64, why: &str) {
    report(py, |names| &names.log_unreadable_dead, (number, why));
}

/// Report a record of the journal that the store cannot apply.
pub(crate) fn unapplied(py: Python<'_>, record: u64, why: &str) {
    report(py, |names| &names.log_unapplied, (record, why));
}

/// Report how many pending jobs closing has dropped.
pub(crate) fn dropped(py: Python<'_>, count: u64) {
    report(py, |names| &names.log_dropped, (count,));
}
