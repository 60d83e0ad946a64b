//! The one table of errors: what the engine refuses and what a store fails with, as Python sees it.

use crate::interpreter::call;
use duewheel_engine::engine::Refused;
use duewheel_model::time::SECOND;
use duewheel_store::Error;
use pyo3::exceptions::PyOverflowError;
use pyo3::prelude::*;
use pyo3::types::PyString;
use std::path::Path;

/// The exception for what the engine has refused; `id` is the job's that it was asked about, or empty.
pub(crate) fn refused(py: Python<'_>, refused: Refused, id: &str) -> PyErr {
    let (class, message) = match refused {
        Refused::Closed => ("ClosedError", "the scheduler is closed".to_owned()),
        Refused::Duplicate => (
            "DuplicateJobError",
            format!(
                "a job with the id {} is pending or running: cancel it, or choose another",
                quoted(py, id)
            ),
        ),
        Refused::Lost => (
            "StorageError",
            "the job is no longer this node's: another may have it".to_owned(),
        ),
        Refused::Store(failure) => return store_failed(py, &failure, None),
        Refused::Overflow(delay) => {
            let delay = delay as f64 / SECOND as f64;
            return PyOverflowError::new_err(format!(
                "delay is out of range: {delay:?} s; 64 bits of unix nanoseconds end in the year 2262"
            ));
        }
    };
    error(py, class, message)
}

/// The exception for what a store has failed with; `path` is the file's, where one is being opened.
pub(crate) fn store_failed(py: Python<'_>, failure: &Error, path: Option<&Path>) -> PyErr {
    let class = match failure {
        Error::Locked { .. } | Error::OpenHere => "StorageLockedError",
        Error::Corrupt(_) | Error::Unreadable(_) => "StorageCorruptError",
        Error::TooLarge(_) => "PayloadTooLargeError",
        Error::Newer { .. } => "StorageVersionError",
        Error::WrongKey(_) => "WrongKeyError",
        Error::Full => "StorageFullError",
        Error::Closed => "ClosedError",
        Error::Duplicate(_) => "DuplicateJobError",
        Error::ReadOnly(_) | Error::NotAFile(_) | Error::Poisoned(_) | Error::Io(_) => {
            "StorageError"
        }
    };
    let message = match path {
        // It names its path itself.
        _ if matches!(failure, Error::ReadOnly(_) | Error::NotAFile(_)) => failure.to_string(),
        Some(path) => format!("{}: {failure}", path.display()),
        None => failure.to_string(),
    };
    error(py, class, message)
}

/// An exception of `duewheel.errors`.
pub(crate) fn error(py: Python<'_>, class: &str, message: String) -> PyErr {
    match call::import(py, "duewheel.errors")
        .and_then(|errors| errors.getattr(class)?.call1((message,)))
    {
        Ok(value) => PyErr::from_value(value),
        Err(error) => error,
    }
}

/// A text as Python would show it.
pub(crate) fn quoted(py: Python<'_>, text: &str) -> String {
    PyString::new(py, text)
        .repr()
        .map_or_else(|_| text.to_owned(), |shown| shown.to_string())
}
