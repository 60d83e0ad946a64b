//! `Outcome`: how a job has ended, as it is kept.

use crate::values::dead::{reason_of, word};
use crate::values::event::moment;
use duewheel_store::{Kept, Over};
use pyo3::IntoPyObjectExt;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};
use std::hash::{DefaultHasher, Hash, Hasher};

/// How a job has ended, as `Scheduler.outcome` returns it.
///
/// `Outcome(state, result=b"", reason=None, error=None, ended=0)` makes one by hand.
///
/// **Time**: `ended` is unix nanoseconds.
/// **Raises** `TypeError` for wrong types, `ValueError` for a state or a reason that there is not.
#[pyclass(frozen, module = "duewheel")]
pub(crate) struct Outcome {
    over: Over,
    result: Py<PyBytes>,
    error: String,
    ended: i64,
    /// Until when it is kept, where that is known.
    until: Option<i64>,
}

impl Outcome {
    pub(crate) fn of(py: Python<'_>, kept: &Kept) -> Self {
        Outcome {
            over: kept.over,
            result: PyBytes::new(py, &kept.result).unbind(),
            error: kept.error.clone(),
            ended: kept.ended,
            until: Some(kept.until),
        }
    }
}

#[pymethods]
impl Outcome {
    #[new]
    #[pyo3(signature = (state, result=None, reason=None, error=None, ended=0))]
    fn new(
        py: Python<'_>,
        state: &str,
        result: Option<Py<PyBytes>>,
        reason: Option<&str>,
        error: Option<String>,
        ended: i64,
    ) -> PyResult<Self> {
        let over = match (state, reason) {
            ("succeeded", None) => Over::Succeeded,
            ("cancelled", None) => Over::Cancelled,
            ("dead", Some(reason)) => Over::Dead(reason_of(reason)?),
            ("dead", None) => {
                return Err(PyValueError::new_err(
                    "a dead job has a reason, which is not given",
                ));
            }
            ("succeeded" | "cancelled", Some(reason)) => {
                return Err(PyValueError::new_err(format!(
                    "only a dead job has a reason: {state:?}, {reason:?}"
                )));
            }
            _ => {
                return Err(PyValueError::new_err(format!(
                    "state must be 'succeeded', 'dead' or 'cancelled', not {state:?}"
                )));
            }
        };
        Ok(Outcome {
            over,
            result: result.unwrap_or_else(|| PyBytes::new(py, b"").unbind()),
            error: error.unwrap_or_default(),
            ended,
            until: None,
        })
    }

    /// How: `"succeeded"`, `"dead"` or `"cancelled"`.
    #[getter]
    fn state(&self) -> &'static str {
        match self.over {
            Over::Succeeded => "succeeded",
            Over::Cancelled => "cancelled",
            Over::Dead(_) => "dead",
        }
    }

    /// What its handler returned; `b""` for `None`, and where it has not succeeded.
    #[getter]
    fn result(&self, py: Python<'_>) -> Py<PyBytes> {
        self.result.clone_ref(py)
    }

    /// Why it is dead: `"failed"`, `"discarded"` or `"interrupted"`; else `None`.
    #[getter]
    fn reason(&self) -> Option<&'static str> {
        match self.over {
            Over::Dead(reason) => Some(word(reason)),
            _ => None,
        }
    }

    /// The traceback's text of a dead one, or the reason given to `Discard`; else `None`.
    #[getter]
    fn error(&self) -> Option<&str> {
        matches!(self.over, Over::Dead(_)).then_some(&*self.error)
    }

    /// When it ended, in unix nanoseconds.
    #[getter]
    fn ended(&self) -> i64 {
        self.ended
    }

    /// When it ended, as an aware `datetime` in UTC, rounded down to microseconds.
    #[getter]
    fn ended_at<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        moment(py, self.ended)
    }

    /// Until when it is kept, in unix nanoseconds; `None` of one that was made by hand.
    #[getter]
    fn _until(&self) -> Option<i64> {
        self.until
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let py = other.py();
        let Ok(other) = other.cast::<Outcome>() else {
            return Ok(py.NotImplemented());
        };
        let other = other.get();
        let same = self.over == other.over
            && self.ended == other.ended
            && self.error() == other.error()
            && self.result.as_bytes(py) == other.result.as_bytes(py);
        same.into_py_any(py)
    }

    fn __hash__(&self, py: Python<'_>) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.over.number().hash(&mut hasher);
        self.ended.hash(&mut hasher);
        self.result.as_bytes(py).hash(&mut hasher);
        hasher.finish()
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyTuple>> {
        let (py, outcome) = (slf.py(), slf.get());
        let arguments = (
            outcome.state(),
            outcome.result(py),
            outcome.reason(),
            outcome.error(),
            outcome.ended,
        );
        PyTuple::new(
            py,
            [
                slf.get_type().into_any(),
                arguments.into_pyobject(py)?.into_any(),
            ],
        )
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let result = self.result.bind(py);
        let (state, ended) = (self.state(), self.ended);
        match self.over {
            Over::Dead(reason) => {
                let last = self.error.trim_end().lines().last().unwrap_or_default();
                let reason = word(reason);
                format!("Outcome('dead', reason='{reason}', error={last:?}, ended={ended})")
            }
            _ => format!("Outcome('{state}', result={result:?}, ended={ended})"),
        }
    }
}
