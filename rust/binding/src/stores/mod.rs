//! The stores that can be put behind the engine.

mod keys;
pub(crate) mod local;
pub(crate) mod page;
pub(crate) mod postgres;

use crate::interpreter::names::names;
use crate::shared::Backing;
use crate::values::payload::Handle;
use duewheel_engine::engine::Engine;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyString;

/// Put what is described behind the engine: a path and a `LocalStorage` stand for a file, a URL and a
/// `PostgresStorage` for a database. `serves`: other processes will call.
pub(crate) fn open(
    py: Python<'_>,
    storage: &Bound<'_, PyAny>,
    engine: &mut Engine<Handle>,
    serves: bool,
) -> PyResult<Backing> {
    let (file, database) = (
        names(py)?.local_storage.bind(py),
        names(py)?.postgres_storage.bind(py),
    );
    if storage.is_instance(database)? {
        return postgres::open(py, storage, engine);
    }
    if storage.is_instance(file)? {
        return local::open(py, storage, engine, serves);
    }
    if let Ok(text) = storage.cast::<PyString>()
        && is_database(text.to_str()?)
    {
        return postgres::open(py, &database.call1((storage,))?, engine);
    }
    if storage.is_instance_of::<PyString>() || storage.hasattr("__fspath__")? {
        return local::open(py, &file.call1((storage,))?, engine, serves);
    }
    Err(PyTypeError::new_err(format!(
        "storage must be None, a path, a postgresql:// URL, a LocalStorage or a PostgresStorage, not {storage:?}"
    )))
}

fn is_database(text: &str) -> bool {
    ["postgresql://", "postgres://"]
        .iter()
        .any(|scheme| text.starts_with(scheme))
}
