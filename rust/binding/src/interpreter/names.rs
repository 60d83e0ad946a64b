//! What the extension uses of duewheel's Python modules, by name.
//!
//! The package calls [`find_names`] when it is imported: a name that is missing is an error there. Every module
//! named here is imported by the package, so that programs that pack it find it.

use crate::interpreter::call;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

macro_rules! names {
    ($($module:literal { $($field:ident = $path:literal,)* })*) => {
        /// Objects of duewheel's modules.
        pub(crate) struct PythonNames {
            $($(pub(crate) $field: Py<PyAny>,)*)*
        }

        impl PythonNames {
            fn find(py: Python<'_>) -> PyResult<Self> {
                Ok(PythonNames {
                    $($($field: find(py, $module, $path)?,)*)*
                })
            }
        }
    };
}

names! {
    "duewheel._checks" {
        check_name = "check_name",
        headers = "headers",
        is_async = "is_async",
        keywords = "KEYWORDS",
        no_data = "no_data",
        no_target = "no_target",
        unknown_keyword = "unknown_keyword",
    }
    "duewheel._failure" {
        bounded = "bounded",
        capture = "capture",
        render = "render",
    }
    "duewheel._log" {
        is_logged = "logger.isEnabledFor",
        log_ancient = "ancient",
        log_clock_apart = "clock_apart",
        log_dropped = "dropped",
        log_failed = "failed",
        log_contested = "contested",
        log_held = "held",
        log_missed = "missed",
        log_parked = "parked",
        log_store_failed = "store_failed",
        log_unapplied = "unapplied",
        log_undeclared = "undeclared",
        log_unreadable = "unreadable",
        log_unreadable_dead = "unreadable_dead",
    }
    "duewheel._schedules" {
        is_period = "is_period",
        name_or_offset = "name_or_offset",
        zone_info = "zone_info",
    }
    "duewheel._threads" {
        start_thread = "start",
    }
    "duewheel._times" {
        delay_ns = "delay_ns",
        exactly = "exactly",
        numpy_array_ns = "numpy_array_ns",
        period_ns = "period_ns",
        wall_ns = "wall_ns",
    }
    "duewheel._keywords" {
        call_with_rare = "call",
    }
    "duewheel.errors" {
        closed_error = "ClosedError",
        discard = "Discard",
        duplicate_job_error = "DuplicateJobError",
        duplicate_target_error = "DuplicateTargetError",
        forked_error = "ForkedError",
        payload_too_large_error = "PayloadTooLargeError",
        snooze = "Snooze",
        state_error = "StateError",
        storage_corrupt_error = "StorageCorruptError",
        storage_error = "StorageError",
        storage_full_error = "StorageFullError",
        storage_locked_error = "StorageLockedError",
        storage_unavailable_error = "StorageUnavailableError",
        storage_version_error = "StorageVersionError",
        unreadable_data_error = "UnreadableDataError",
        wrong_key_error = "WrongKeyError",
    }
    "duewheel.options" {
        at_least_once = "Consistency.AT_LEAST_ONCE",
        at_most_once = "Consistency.AT_MOST_ONCE",
        rebuild_options = "_rebuild",
        unset = "UNSET",
    }
    "duewheel.storage" {
        local_storage = "LocalStorage",
    }
    "duewheel.postgres" {
        postgres_storage = "PostgresStorage",
    }
}

/// One of the names, as `|names| &names.wall_ns`.
pub(crate) type Name = fn(&PythonNames) -> &Py<PyAny>;

fn find(py: Python<'_>, module: &str, path: &str) -> PyResult<Py<PyAny>> {
    let mut object = call::import(py, module)?;
    for name in path.split('.') {
        object = object.getattr(name)?;
    }
    Ok(object.unbind())
}

/// The names, looked up once.
#[inline]
pub(crate) fn names(py: Python<'_>) -> PyResult<&'static PythonNames> {
    static NAMES: PyOnceLock<PythonNames> = PyOnceLock::new();
    NAMES.get_or_try_init(py, || PythonNames::find(py))
}

/// Look up what the extension uses of the package's modules; called once they are imported.
#[pyfunction]
pub(crate) fn find_names(py: Python<'_>) -> PyResult<()> {
    names(py).map(drop)
}
