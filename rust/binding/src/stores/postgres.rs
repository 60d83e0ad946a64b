//! A database that nodes share: opening it.

use crate::errors::store_failed;
use crate::shared::{Backing, Shared, receive};
use crate::stores::keys::Keys;
use crate::values::payload::Handle;
use duewheel_engine::engine::{Engine, StoreInbox, Window};
use duewheel_engine::sync::Mutex;
use duewheel_postgres::{OnProgress, PostgresStore, Settings};
use pyo3::prelude::*;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

/// A `PostgresStorage`, by its attributes.
#[derive(FromPyObject)]
struct PostgresStorage {
    #[pyo3(attribute("_url"))]
    url: String,
    #[pyo3(attribute("_schema"))]
    schema: String,
    #[pyo3(attribute("_name"))]
    name: Option<String>,
    #[pyo3(attribute("_keys"))]
    keys: Option<Keys>,
    #[pyo3(attribute("_max_data"))]
    max_data: usize,
    #[pyo3(attribute("_window_ns"))]
    window_ns: i64,
    #[pyo3(attribute("_resident"))]
    resident: usize,
    #[pyo3(attribute("_lease_ns"))]
    lease_ns: u64,
    #[pyo3(attribute("_poll_ns"))]
    poll_ns: u64,
    #[pyo3(attribute("_timeout_ns"))]
    timeout_ns: u64,
    #[pyo3(attribute("_max_interruptions"))]
    max_interruptions: u32,
    #[pyo3(attribute("_notify"))]
    notify: bool,
    #[pyo3(attribute("_migrate"))]
    migrate: bool,
}

/// Return the statements that make the tables of a database, in this schema.
#[pyfunction]
pub(crate) fn postgres_sql(schema: &str) -> String {
    duewheel_postgres::sql(schema)
}

/// Put the database behind the engine, as a node of its own.
pub(super) fn open(
    py: Python<'_>,
    storage: &Bound<'_, PyAny>,
    engine: &mut Engine<Handle>,
) -> PyResult<Backing> {
    let storage: PostgresStorage = storage.extract()?;
    let schema = storage.schema;
    let settings = Settings {
        url: storage.url,
        schema: schema.clone(),
        name: storage.name,
        keys: Keys::keyring(storage.keys).map_err(|failure| store_failed(py, &failure, None))?,
        lease: Duration::from_nanos(storage.lease_ns),
        window: Duration::from_nanos(storage.window_ns.unsigned_abs()),
        poll: Duration::from_nanos(storage.poll_ns),
        timeout: Duration::from_nanos(storage.timeout_ns),
        max_interruptions: storage.max_interruptions,
        notify: storage.notify,
        migrate: storage.migrate,
        ..Settings::default()
    };
    let inbox = StoreInbox::new()?;
    let events = inbox.events();
    let opened = py.detach(|| PostgresStore::open(settings, events));
    let store = opened.map_err(|failure| store_failed(py, &failure, None))?;
    let store = Arc::new(store);
    let window = Window {
        horizon: storage.window_ns,
        resident: storage.resident,
    };
    engine.put_behind(store.clone(), inbox, window);
    Ok(Backing {
        max_data: storage.max_data,
        settles_later: true,
        writes: true,
        file: None,
        database: Some(store),
        schema: Some(schema),
        paused: Vec::new(),
        owed: Mutex::default(),
    })
}

impl Shared {
    /// Encrypt all payloads, of a file or a database: signals are seen, and `look` is called now and then.
    pub(crate) fn rotate(
        &self,
        py: Python<'_>,
        progress: OnProgress,
        look: impl FnMut() -> PyResult<()>,
    ) -> PyResult<()> {
        let Some(database) = &self.backing.database else {
            return self.maintain(py, |file, then| file.rotate(progress, then), look);
        };
        let start = |send: SyncSender<_>| {
            database.rotate(progress, Box::new(move |ended| drop(send.send(ended))));
        };
        receive(py, start, look)?.map_err(|failure| store_failed(py, &failure, None))
    }
}
