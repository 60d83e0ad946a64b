//! The one table of errors: what the engine refuses and what a store fails with, as Python sees it.

use crate::interpreter::names::{Name, names};
use duewheel_engine::engine::Refused;
use duewheel_model::time::SECOND;
use duewheel_schedule::Error as ScheduleError;
use duewheel_sqlite::Error as FileError;
use duewheel_store::Error;
use pyo3::exceptions::{PyOverflowError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyString;
use std::path::Path;

/// The exception for what the engine has refused; `id` is the job's that it was asked about, or empty.
pub(crate) fn refused(py: Python<'_>, refused: Refused, id: &str) -> PyErr {
    match refused {
        Refused::Closed => error(py, |names| &names.closed_error, CLOSED),
        Refused::Duplicate => {
            let message = taken(&quoted(py, id));
            error(py, |names| &names.duplicate_job_error, message)
        }
        Refused::Never => PyValueError::new_err(NEVER),
        Refused::Schedule(why) => PyValueError::new_err(why),
        Refused::Lost => error(py, |names| &names.storage_error, LOST),
        Refused::Store(failure) => store_failed(py, &failure, None),
        Refused::Overflow(delay) => PyOverflowError::new_err(out_of_range(delay)),
    }
}

/// The exception for what the files of a store have failed with; `path` is theirs, where they are being opened.
pub(crate) fn file_failed(py: Python<'_>, failure: &FileError, path: Option<&Path>) -> PyErr {
    let message = with_path(&failure.to_string(), path);
    match failure {
        FileError::Store(failure) => store_failed(py, failure, path),
        FileError::Locked { .. } | FileError::OpenHere => {
            error(py, |names| &names.storage_locked_error, message)
        }
        FileError::Newer { .. } => error(py, |names| &names.storage_version_error, message),
        // It names its path itself.
        FileError::ReadOnly(_) | FileError::NotAFile(_) => {
            error(py, |names| &names.storage_error, failure.to_string())
        }
    }
}

/// The exception for what a store has failed with; `path` is the file's, where one is being opened.
pub(crate) fn store_failed(py: Python<'_>, failure: &Error, path: Option<&Path>) -> PyErr {
    let class: Name = match kind(failure) {
        "ValueError" => return PyValueError::new_err(failure.to_string()),
        "StorageCorruptError" => |names| &names.storage_corrupt_error,
        "PayloadTooLargeError" => |names| &names.payload_too_large_error,
        "WrongKeyError" => |names| &names.wrong_key_error,
        "StorageFullError" => |names| &names.storage_full_error,
        "ClosedError" => |names| &names.closed_error,
        "DuplicateJobError" => |names| &names.duplicate_job_error,
        "StorageUnavailableError" => |names| &names.storage_unavailable_error,
        "StorageVersionError" => |names| &names.storage_version_error,
        _ => |names| &names.storage_error,
    };
    error(py, class, with_path(&failure.to_string(), path))
}

/// The name of the exception for what a store has failed with.
fn kind(failure: &Error) -> &'static str {
    match failure {
        Error::Invalid(_) => "ValueError",
        Error::Corrupt(_) | Error::Unreadable(_) => "StorageCorruptError",
        Error::TooLarge(_) => "PayloadTooLargeError",
        Error::WrongKey(_) => "WrongKeyError",
        Error::Full => "StorageFullError",
        Error::Closed => "ClosedError",
        Error::Duplicate(_) => "DuplicateJobError",
        Error::Unavailable(_) => "StorageUnavailableError",
        Error::Version(_) => "StorageVersionError",
        Error::Poisoned(_) | Error::InDoubt | Error::Io(_) => "StorageError",
    }
}

/// The name of the exception for what the engine has refused, and its message: for callers in other processes.
#[cfg(unix)]
pub(crate) fn kind_and_message(refused: &Refused, id: &str) -> (&'static str, String) {
    match refused {
        Refused::Closed => ("ClosedError", CLOSED.to_owned()),
        Refused::Duplicate => ("DuplicateJobError", taken(&format!("'{id}'"))),
        Refused::Never => ("ValueError", NEVER.to_owned()),
        Refused::Schedule(why) => ("ValueError", why.clone()),
        Refused::Lost => ("StorageError", LOST.to_owned()),
        Refused::Store(failure) => (kind(failure), failure.to_string()),
        Refused::Overflow(delay) => ("OverflowError", out_of_range(*delay)),
    }
}

const CLOSED: &str = "the scheduler is closed";
const NEVER: &str =
    "the schedule has no time that is left: none is after now, from start on and before end";
const LOST: &str = "the job is no longer this node's: another may have it";

fn taken(id: &str) -> String {
    format!(
        "a job with the id {id} is pending or running, or its outcome is kept: choose another, or cancel what is pending"
    )
}

fn out_of_range(delay: i64) -> String {
    let delay = delay as f64 / SECOND as f64;
    format!("delay is out of range: {delay:?} s; 64 bits of unix nanoseconds end in the year 2262")
}

fn with_path(message: &str, path: Option<&Path>) -> String {
    match path {
        Some(path) => format!("{}: {message}", path.display()),
        None => message.to_owned(),
    }
}

/// The exception for what is no schedule, or has no answer.
pub(crate) fn schedule_failed(failure: &ScheduleError) -> PyErr {
    PyValueError::new_err(failure.to_string())
}

/// An exception of `duewheel.errors`.
pub(crate) fn error(py: Python<'_>, class: Name, message: impl AsRef<str>) -> PyErr {
    match names(py).and_then(|names| class(names).bind(py).call1((message.as_ref(),))) {
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
