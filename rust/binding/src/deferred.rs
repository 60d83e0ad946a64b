//! Calls made by a coroutine: nothing in them may keep its event loop waiting.

use crate::convert;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use std::cell::Cell;

/// How this thread's present call treats what takes time.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// It waits for it.
    Ordinary,
    /// It leaves the wait for the store to the caller, who is told this ticket.
    Deferred(u64),
    /// It had to wait for something else, and did nothing.
    WouldWait,
    /// It waits, and gives up the interpreter as often as it can.
    Gentle,
}

thread_local! {
    static MANNER: Cell<Manner> = const { Cell::new(Manner::Ordinary) };
}

/// Leave the wait for a ticket to the caller; `false`: this call is to wait itself.
pub(crate) fn leaves(ticket: u64) -> bool {
    let deferred = matches!(MANNER.get(), Manner::Deferred(_));
    if deferred {
        MANNER.set(Manner::Deferred(ticket));
    }
    deferred
}

/// Refuse to wait for the answer of a store, where that may not be. Called before anything is done.
pub(crate) fn may_wait() -> PyResult<()> {
    if matches!(MANNER.get(), Manner::Deferred(_)) {
        MANNER.set(Manner::WouldWait);
        return Err(PyRuntimeError::new_err("this call would wait"));
    }
    Ok(())
}

/// Whether the interpreter is to be given up often.
pub(crate) fn is_gentle() -> bool {
    MANNER.get() == Manner::Gentle
}

fn within(
    manner: Manner,
    function: &Bound<'_, PyAny>,
    arguments: &Bound<'_, PyTuple>,
    keywords: Option<&Bound<'_, PyDict>>,
) -> (PyResult<Py<PyAny>>, Manner) {
    let outside = MANNER.replace(manner);
    let result = function.call(arguments, keywords);
    let became = MANNER.replace(outside);
    (result.map(Bound::unbind), became)
}

/// Make a call that does not wait.
///
/// Returns its result and the ticket to wait for (0: none), or `None` when it would have had to wait
/// for more: then it has done nothing.
#[pyfunction]
#[pyo3(signature = (function, /, *arguments, **keywords))]
pub(crate) fn deferred(
    function: &Bound<'_, PyAny>,
    arguments: &Bound<'_, PyTuple>,
    keywords: Option<&Bound<'_, PyDict>>,
) -> PyResult<Option<(Py<PyAny>, u64)>> {
    match within(Manner::Deferred(0), function, arguments, keywords) {
        (_, Manner::WouldWait) => Ok(None),
        (result, Manner::Deferred(ticket)) => Ok(Some((result?, ticket))),
        (result, _) => Ok(Some((result?, 0))),
    }
}

/// Make a call that takes long, giving up the interpreter on the way.
#[pyfunction]
#[pyo3(signature = (function, /, *arguments, **keywords))]
pub(crate) fn gently(
    function: &Bound<'_, PyAny>,
    arguments: &Bound<'_, PyTuple>,
    keywords: Option<&Bound<'_, PyDict>>,
) -> PyResult<Py<PyAny>> {
    within(Manner::Gentle, function, arguments, keywords).0
}

/// Check a timeout; its seconds.
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
