//! From Python's times, targets and data to integers and handles, with errors that name the value.

use crate::call;
use duewheel_core::time::{SECOND, TimeError, ceil_ns};
use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
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

fn overflow(value: &Bound<'_, PyAny>, what: &str) -> PyErr {
    PyOverflowError::new_err(format!(
        "{what} is out of range: {value:?}; 64 bits of nanoseconds end after 292 years"
    ))
}

fn from_float(value: &Bound<'_, PyAny>, seconds: f64, what: &str) -> PyResult<i64> {
    ceil_ns(seconds).map_err(|error| match error {
        TimeError::NotFinite => {
            PyValueError::new_err(format!("{what} must be finite, not {value:?}"))
        }
        TimeError::Overflow => overflow(value, what),
    })
}

fn from_int(value: &Bound<'_, PyAny>, int: &Bound<'_, PyAny>, what: &str) -> PyResult<i64> {
    let seconds: i64 = int.extract().map_err(|_| overflow(value, what))?;
    seconds
        .checked_mul(SECOND)
        .ok_or_else(|| overflow(value, what))
}

/// The exact nanoseconds of a `timedelta`.
fn from_delta(delta: &Bound<'_, PyDelta>, what: &str) -> PyResult<i64> {
    let seconds = i64::from(delta.get_days()) * 86_400 + i64::from(delta.get_seconds());
    let rest = i64::from(delta.get_microseconds()) * 1_000;
    let ns = seconds
        .checked_mul(SECOND)
        .and_then(|ns| ns.checked_add(rest));
    ns.ok_or_else(|| overflow(delta.as_any(), what))
}

/// Nanoseconds of a number of seconds; `None`: it is no number.
#[inline]
fn from_number(value: &Bound<'_, PyAny>, what: &str) -> PyResult<Option<i64>> {
    if let Ok(float) = value.cast::<PyFloat>() {
        return from_float(value, float.value(), what).map(Some);
    }
    if value.is_instance_of::<PyBool>() {
        return Ok(None);
    }
    if value.is_instance_of::<PyInt>() {
        return from_int(value, value, what).map(Some);
    }
    if !is_numpy(value)? {
        return Ok(None);
    }
    // NumPy's integers have `__index__`, its other numbers `__float__`; its bool and its dates
    // are no numbers of seconds.
    let kind: String = value.getattr("dtype")?.getattr("kind")?.extract()?;
    match kind.as_str() {
        "i" | "u" if value.getattr("ndim")?.extract::<usize>()? == 0 => {
            from_int(value, &value.call_method0("item")?, what).map(Some)
        }
        "f" if value.getattr("ndim")?.extract::<usize>()? == 0 => {
            from_float(value, value.call_method0("__float__")?.extract()?, what).map(Some)
        }
        _ => Ok(None),
    }
}

/// Whether a value is of NumPy's types, found without importing it.
fn is_numpy(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    let module = value.get_type().getattr("__module__")?;
    Ok(module
        .cast::<PyString>()
        .is_ok_and(|name| name.to_str().is_ok_and(|n| n == "numpy"))
        && value.hasattr("dtype")?)
}

/// NumPy's dates and spans, exactly: `kind` is `"M"` or `"m"`.
fn from_numpy_date(value: &Bound<'_, PyAny>, kind: &str, what: &str) -> PyResult<Option<i64>> {
    if !is_numpy(value)?
        || value
            .getattr("dtype")?
            .getattr("kind")?
            .extract::<String>()?
            != kind
    {
        return Ok(None);
    }
    let module = call::import(value.py(), "duewheel._numpy")?;
    module
        .call_method1("scalar_ns", (value, what))?
        .extract()
        .map(Some)
}

/// Unix nanoseconds of what `at` takes.
#[inline]
pub(crate) fn wall_time(value: &Bound<'_, PyAny>, what: &str) -> PyResult<i64> {
    if let Ok(date) = value.cast::<PyDateTime>() {
        return from_datetime(date, what);
    }
    if let Some(ns) = from_number(value, what)? {
        return Ok(ns);
    }
    if let Some(ns) = from_numpy_date(value, "M", what)? {
        return Ok(ns);
    }
    Err(PyTypeError::new_err(format!(
        "{what} must be an aware datetime or unix seconds, not {value:?}"
    )))
}

fn from_datetime(date: &Bound<'_, PyDateTime>, what: &str) -> PyResult<i64> {
    let py = date.py();
    let naive = match date.get_tzinfo() {
        None => true,
        Some(_) => date.call_method0("utcoffset")?.is_none(),
    };
    if naive {
        return Err(PyValueError::new_err(format!(
            "{what} must be an aware datetime, and {:?} is naive: give it a tzinfo",
            date.as_any()
        )));
    }
    static EPOCH: PyOnceLock<Py<PyDateTime>> = PyOnceLock::new();
    let epoch = EPOCH.get_or_try_init(py, || {
        let utc = PyTzInfo::utc(py)?;
        PyDateTime::new(py, 1970, 1, 1, 0, 0, 0, 0, Some(&utc)).map(Bound::unbind)
    })?;
    let since = date.as_any().sub(epoch.bind(py))?;
    from_delta(since.cast::<PyDelta>()?, what).map_err(|_| overflow(date.as_any(), what))
}

/// Nanoseconds of a delay: never negative.
#[inline]
pub(crate) fn delay(value: &Bound<'_, PyAny>, what: &str) -> PyResult<i64> {
    let ns = if let Some(ns) = from_number(value, what)? {
        ns
    } else if let Ok(delta) = value.cast::<PyDelta>() {
        from_delta(delta, what)?
    } else if let Some(ns) = from_numpy_date(value, "m", what)? {
        ns
    } else {
        return Err(PyTypeError::new_err(format!(
            "{what} must be seconds or a timedelta, not {value:?}"
        )));
    };
    // The ceiling of a tiny negative number is zero: ask the number itself.
    let negative = ns < 0
        || match value.cast::<PyFloat>() {
            Ok(float) => float.value() < 0.0,
            Err(_) => ns == 0 && is_numpy(value)? && value.lt(value.call_method0("__abs__")?)?,
        };
    if negative {
        return Err(PyValueError::new_err(format!(
            "{what} must not be negative: {value:?}"
        )));
    }
    Ok(ns)
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

/// A target or an id: 1 to 255 bytes of UTF-8.
#[inline]
pub(crate) fn name<'a>(value: &'a Bound<'_, PyAny>, what: &str) -> PyResult<&'a str> {
    let text = value
        .cast::<PyString>()
        .map_err(|_| PyTypeError::new_err(format!("{what} must be a str, not {value:?}")))?;
    let text = text.to_str().map_err(|_| {
        PyValueError::new_err(format!(
            "{what} must be valid Unicode, without lone surrogates: {value:?}"
        ))
    })?;
    if text.is_empty() || text.len() > LONGEST_NAME {
        return Err(PyValueError::new_err(format!(
            "{what} must have 1 to {LONGEST_NAME} bytes of UTF-8, not {}: {value:?}",
            text.len()
        )));
    }
    Ok(text)
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

/// The bytes of a job; `None` stands for `b""`, which costs nothing to keep.
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
            return Err(PyTypeError::new_err(format!(
                "data must be bytes-like, not {value:?}"
            )));
        }
        PyMemoryView::from(value)?
            .call_method0("tobytes")?
            .cast_into::<PyBytes>()?
    };
    Ok((!bytes.as_bytes().is_empty()).then(|| bytes.unbind()))
}

/// The nanoseconds of an array of NumPy's dates or spans; `None`: it is none.
pub(crate) fn numpy_dates(
    values: &Bound<'_, PyAny>,
    kind: &str,
    what: &str,
) -> PyResult<Option<Vec<i64>>> {
    if !is_numpy(values)?
        || values
            .getattr("dtype")?
            .getattr("kind")?
            .extract::<String>()?
            != kind
    {
        return Ok(None);
    }
    let module = call::import(values.py(), "duewheel._numpy")?;
    let ns = module.call_method1("array_ns", (values, what))?;
    pyo3::buffer::PyBuffer::<i64>::get(&ns)?
        .to_vec(values.py())
        .map(Some)
}
