//! From Python's times, targets and data to integers and handles, with errors that name the value.

use crate::interpreter::call;
use crate::interpreter::names::{Name, names};
use duewheel_model::time::{SECOND, ceil_ns};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{
    PyBool, PyByteArray, PyBytes, PyDateTime, PyDelta, PyDeltaAccess, PyFloat, PyInt, PyMemoryView,
    PyString, PyTzInfo, PyTzInfoAccess,
};
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// The longest target or id, in bytes of UTF-8.
const LONGEST_NAME: usize = 255;

/// What a function of Python's makes of a value that is rare, or wrong.
#[cold]
fn in_python<'py>(
    function: Name,
    value: &Bound<'py, PyAny>,
    what: Option<&str>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = value.py();
    let function = function(names(py)?);
    match what {
        Some(what) => call::python(py, function, (value, what)),
        None => call::python(py, function, (value,)),
    }
}

/// The error that a function of Python's makes, or raises.
fn refusal(function: Name, value: &Bound<'_, PyAny>, what: Option<&str>) -> PyErr {
    in_python(function, value, what).map_or_else(|error| error, PyErr::from_value)
}

/// The error for a keyword that a call does not have.
#[cold]
pub(crate) fn unknown_keyword(name: &Bound<'_, PyAny>, call: &str) -> PyErr {
    refusal(|names| &names.unknown_keyword, name, Some(call))
}

/// The keywords that a call has.
pub(crate) fn keywords<'py>(py: Python<'py>, call: &str) -> PyResult<Bound<'py, PyAny>> {
    names(py)?.keywords.bind(py).get_item(call)
}

/// The exact nanoseconds of a `timedelta`, no subclass: its fields may say less than it counts.
#[inline]
fn from_delta(delta: &Bound<'_, PyDelta>) -> Option<i64> {
    let seconds = i64::from(delta.get_days()) * 86_400 + i64::from(delta.get_seconds());
    // The seconds are rounded down: to below the first nanosecond that fits, where the rest lifts them over it.
    let rest = i128::from(delta.get_microseconds()) * 1_000;
    i64::try_from(i128::from(seconds) * i128::from(SECOND) + rest).ok()
}

/// Nanoseconds of one of Python's own numbers of seconds, where they fit.
#[inline]
fn from_number(value: &Bound<'_, PyAny>) -> Option<i64> {
    if let Ok(float) = value.cast::<PyFloat>() {
        return ceil_ns(float.value()).ok();
    }
    if value.is_instance_of::<PyInt>() && !value.is_instance_of::<PyBool>() {
        return value.extract::<i64>().ok()?.checked_mul(SECOND);
    }
    None
}

/// Whether a value is of NumPy's types, found without importing it.
fn is_numpy(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    let module = value.get_type().getattr("__module__")?;
    Ok(module
        .cast::<PyString>()
        .is_ok_and(|name| name.to_str().is_ok_and(|n| n == "numpy"))
        && value.hasattr("dtype")?)
}

/// Unix nanoseconds of what `at` takes.
#[inline]
pub(crate) fn wall_time(value: &Bound<'_, PyAny>, what: &str) -> PyResult<i64> {
    let ns = match value.cast_exact::<PyDateTime>() {
        Ok(date) => from_datetime(date)?,
        Err(_) => from_number(value),
    };
    match ns {
        Some(ns) => Ok(ns),
        None => in_python(|names| &names.wall_ns, value, Some(what))?.extract(),
    }
}

/// Nanoseconds of a `datetime`, no subclass, that is aware, where they fit.
fn from_datetime(date: &Bound<'_, PyDateTime>) -> PyResult<Option<i64>> {
    let py = date.py();
    if date.get_tzinfo().is_none() {
        return Ok(None);
    }
    static EPOCH: PyOnceLock<Py<PyDateTime>> = PyOnceLock::new();
    let epoch = EPOCH.get_or_try_init(py, || {
        let utc = PyTzInfo::utc(py)?;
        PyDateTime::new(py, 1970, 1, 1, 0, 0, 0, 0, Some(&utc)).map(Bound::unbind)
    })?;
    // This asks for its offset from UTC; it is not asked before whether there is one.
    let since = match date.as_any().sub(epoch.bind(py)) {
        Err(error) if error.is_instance_of::<PyTypeError>(py) => return Ok(None),
        since => since?,
    };
    Ok(since.cast_exact::<PyDelta>().ok().and_then(from_delta))
}

/// Nanoseconds of a delay: never negative.
#[inline]
pub(crate) fn delay(value: &Bound<'_, PyAny>, what: &str) -> PyResult<i64> {
    if let Ok(float) = value.cast_exact::<PyFloat>()
        && float.value() >= 0.0
        && let Ok(ns) = ceil_ns(float.value())
    {
        return Ok(ns);
    }
    let delta = || value.cast_exact::<PyDelta>().ok().and_then(from_delta);
    let ns = from_number(value).or_else(delta);
    // The ceiling of a tiny negative number is zero: ask the number itself.
    let negative = |ns: i64| {
        ns < 0
            || value
                .cast::<PyFloat>()
                .is_ok_and(|float| float.value() < 0.0)
    };
    match ns {
        Some(ns) if !negative(ns) => Ok(ns),
        _ => in_python(|names| &names.delay_ns, value, Some(what))?.extract(),
    }
}

/// An argument that was given, `None` included, which is not the same as none.
#[allow(clippy::unnecessary_wraps)] // the signature is PyO3's
pub(crate) fn as_given<'py>(value: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    Ok(Some(value.clone()))
}

/// A timeout: a delay, or `None` for no end.
pub(crate) fn timeout(value: Option<&Bound<'_, PyAny>>) -> PyResult<Option<Duration>> {
    value
        .map(|value| Ok(Duration::from_nanos(delay(value, "timeout")? as u64)))
        .transpose()
}

/// A bound or another wall time that may be absent.
pub(crate) fn bound(value: Option<&Bound<'_, PyAny>>, what: &str) -> PyResult<Option<i64>> {
    value.map(|value| wall_time(value, what)).transpose()
}

/// The error for the target of a timer that is neither a name nor a callable.
#[cold]
pub(crate) fn no_target(value: &Bound<'_, PyAny>) -> PyErr {
    refusal(|names| &names.no_target, value, None)
}

/// Whether this may be a target or an id.
#[inline]
pub(crate) fn is_name(text: &str) -> bool {
    (1..=LONGEST_NAME).contains(&text.len())
}

/// A target or an id: 1 to 255 bytes of UTF-8.
#[inline]
pub(crate) fn name<'a>(value: &'a Bound<'_, PyAny>, what: &str) -> PyResult<&'a str> {
    let text = value.cast::<PyString>().ok();
    let text = text.and_then(|text| text.to_str().ok());
    match text.filter(|text| is_name(text)) {
        Some(text) => Ok(text),
        None => Err(refusal(|names| &names.check_name, value, Some(what))),
    }
}

/// A whole number as an `int`, NumPy's too; `None`: it is none.
pub(crate) fn whole<'py>(value: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    if value.is_instance_of::<PyBool>() {
        Ok(None)
    } else if value.is_instance_of::<PyInt>() {
        Ok(Some(value.clone()))
    } else if value.hasattr("__index__")? {
        // NumPy's truth values have it, and refuse.
        Ok(value.call_method0("__index__").ok())
    } else {
        Ok(None)
    }
}

/// How many workers.
pub(crate) fn count(value: &Bound<'_, PyAny>, what: &str) -> PyResult<usize> {
    let Some(index) = whole(value)? else {
        return Err(PyTypeError::new_err(format!(
            "{what} must be an int, not {value:?}"
        )));
    };
    match index.extract::<u32>() {
        Ok(count) if count >= 1 => Ok(count as usize),
        _ => Err(PyValueError::new_err(format!(
            "{what} must be 1 or more, and below 2**32, not {value:?}"
        ))),
    }
}

/// The seed of the jitter: a random one for `None`.
pub(crate) fn seed(value: Option<&Bound<'_, PyAny>>) -> PyResult<u64> {
    let Some(value) = value else {
        return Ok(RandomState::new().hash_one(0));
    };
    let Some(index) = whole(value)? else {
        return Err(PyTypeError::new_err(format!(
            "seed must be an int or None, not {value:?}"
        )));
    };
    index.extract().map_err(|_| {
        PyValueError::new_err(format!("seed must be from 0 to 2**64 - 1, not {value:?}"))
    })
}

/// The bytes of a job; `None` stands for `b""`, which takes no memory.
#[inline]
pub(crate) fn data(value: &Bound<'_, PyAny>) -> PyResult<Option<Py<PyBytes>>> {
    let bytes = if let Ok(bytes) = value.cast_exact::<PyBytes>() {
        bytes.clone()
    } else if let Ok(bytes) = value.cast::<PyByteArray>() {
        PyBytes::new(value.py(), &bytes.to_vec())
    } else {
        // SAFETY: checked for the buffer protocol only.
        let buffer = unsafe { ffi::PyObject_CheckBuffer(value.as_ptr()) } != 0;
        if !buffer {
            return Err(refusal(|names| &names.no_data, value, None));
        }
        PyMemoryView::from(value)?
            .call_method0("tobytes")?
            .cast_into::<PyBytes>()?
    };
    Ok((!bytes.as_bytes().is_empty()).then(|| bytes.unbind()))
}

/// What an array of NumPy's holds.
pub(crate) enum Array<'py> {
    /// Dates or spans, in nanoseconds.
    Times(Vec<i64>),
    /// A list of Python's own numbers.
    Numbers(Bound<'py, PyAny>),
}

/// The dates (`kind` is `"M"`), spans (`"m"`, not negative) or numbers of an array; `None`: it has none.
pub(crate) fn array<'py>(
    values: &Bound<'py, PyAny>,
    kind: &str,
    what: &str,
) -> PyResult<Option<Array<'py>>> {
    if !is_numpy(values)? {
        return Ok(None);
    }
    let found: String = values.getattr("dtype")?.getattr("kind")?.extract()?;
    if found == kind {
        let py = values.py();
        let numpy_array_ns = &names(py)?.numpy_array_ns;
        let ns = call::python(py, numpy_array_ns, (values, what, kind != "m"))?;
        let times = pyo3::buffer::PyBuffer::<i64>::get(&ns)?.to_vec(py)?;
        return Ok(Some(Array::Times(times)));
    }
    let numbers = matches!(found.as_str(), "i" | "u" | "f") && values.getattr("ndim")?.eq(1)?;
    numbers
        .then(|| values.call_method0("tolist").map(Array::Numbers))
        .transpose()
}

/// A number of runs or attempts, given as an int.
pub(crate) fn counter(value: &Bound<'_, PyAny>, what: &str) -> PyResult<u32> {
    if !value.is_instance_of::<PyInt>() || value.is_instance_of::<pyo3::types::PyBool>() {
        return Err(PyTypeError::new_err(format!(
            "{what} must be an int, not {value:?}"
        )));
    }
    match value.extract::<u32>() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err(PyValueError::new_err(format!(
            "{what} must be from 1 to 2**32 - 1, not {value:?}"
        ))),
    }
}
