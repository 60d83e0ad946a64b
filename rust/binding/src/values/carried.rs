//! What few jobs carry beside their data: read from keywords, and shown.

use crate::interpreter::call;
use crate::interpreter::names::names;
use crate::values::convert;
use crate::values::options::Fields;
use duewheel_engine::engine::OnConflict;
use duewheel_store::{Carried, Headers};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyMappingProxy, PyString};

/// The keywords of a call that schedules which few calls have: what the job carries, and the fields of its options.
#[derive(Default)]
pub(crate) struct Rare {
    pub(crate) carried: Carried,
    pub(crate) on_conflict: OnConflict,
    pub(crate) fields: Option<Fields>,
}

impl Rare {
    /// Read keyword arguments from a dictionary.
    pub(crate) fn read(keywords: &Bound<'_, PyDict>, call: &str) -> PyResult<Self> {
        let mut rare = Rare::default();
        let options = PyDict::new(keywords.py());
        for (name, value) in keywords {
            let text = name.cast::<PyString>()?.to_str()?;
            if text == "on_conflict" && takes_id(call) {
                rare.on_conflict = on_conflict(&value)?;
            } else if !rare.take(text, &value)? {
                options.set_item(name, value)?;
            }
        }
        if !options.is_empty() {
            rare.fields = Some(Fields::read(&options, call)?);
        }
        Ok(rare)
    }

    /// Take a keyword if it says what the job carries.
    pub(crate) fn take(&mut self, name: &str, value: &Bound<'_, PyAny>) -> PyResult<bool> {
        match name {
            "headers" => self.carried.headers = headers(value)?,
            "keep" if value.is_none() => self.carried.keep = None,
            "keep" => self.carried.keep = Some(keep(value)?),
            "key" if value.is_none() => self.carried.key = None,
            "key" => self.carried.key = Some(convert::name(value, "key")?.to_owned()),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// For how long an end is kept.
fn keep(given: &Bound<'_, PyAny>) -> PyResult<i64> {
    let keep = convert::delay(given, "keep")?;
    if keep == 0 {
        return Err(PyValueError::new_err(
            "keep must be above 0 seconds: leave it out to keep nothing",
        ));
    }
    Ok(keep)
}

/// Whether a call takes an id that may be another's.
fn takes_id(call: &str) -> bool {
    matches!(call, "Scheduler.at" | "Scheduler.in_")
}

fn on_conflict(given: &Bound<'_, PyAny>) -> PyResult<OnConflict> {
    let must = "on_conflict must be 'error', 'ignore', 'update' or 'replace'";
    let word = given
        .cast::<PyString>()
        .map_err(|_| PyTypeError::new_err(format!("{must}, not {given:?}")))?;
    match &*word.to_string_lossy() {
        "error" => Ok(OnConflict::Error),
        "ignore" => Ok(OnConflict::Ignore),
        "update" => Ok(OnConflict::Update),
        "replace" => Ok(OnConflict::Replace),
        _ => Err(PyValueError::new_err(format!("{must}, not {given:?}"))),
    }
}

/// Headers, checked by Python.
pub(crate) fn headers(given: &Bound<'_, PyAny>) -> PyResult<Headers> {
    let py = given.py();
    if given.is_none() {
        return Ok(Headers::new());
    }
    call::python(py, &names(py)?.headers, (given,))?.extract()
}

/// The headers of a job, read-only.
pub(crate) fn shown<'py>(
    py: Python<'py>,
    carried: Option<&Carried>,
) -> PyResult<Bound<'py, PyMappingProxy>> {
    let headers = PyDict::new(py);
    for (name, text) in carried.iter().flat_map(|carried| &carried.headers) {
        headers.set_item(name, text)?;
    }
    Ok(PyMappingProxy::new(py, headers.as_mapping()))
}
