//! The local store: opening its file, and what it does beside what any store does.

use crate::errors::{error, file_failed, store_failed};
use crate::shared::{Backing, Shared, receive};
use crate::stores::keys::Keys;
use crate::values::payload::Handle;
use duewheel_engine::engine::{DeadBounds, Engine, StoreInbox, Window};
use duewheel_engine::sync::Mutex;
use duewheel_sqlite::{Durability, Ended, LocalStore, LogLimits, Settings};
use duewheel_store::{Answer, Query, ask};
use pyo3::prelude::*;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

/// A `LocalStorage`, by its attributes.
#[derive(FromPyObject)]
struct LocalStorage {
    #[pyo3(attribute("_path"))]
    path: PathBuf,
    #[pyo3(attribute("_durability"))]
    durability: String,
    #[pyo3(attribute("_keys"))]
    keys: Option<Keys>,
    #[pyo3(attribute("_max_data"))]
    max_data: usize,
    #[pyo3(attribute("_horizon_ns"))]
    horizon_ns: i64,
    #[pyo3(attribute("_resident"))]
    resident: usize,
    #[pyo3(attribute("_max_interruptions"))]
    max_interruptions: u32,
    #[pyo3(attribute("_dead_for_ns"))]
    dead_for: Option<i64>,
    #[pyo3(attribute("_dead_max"))]
    dead_max: Option<u64>,
}

/// How long the logs of a file become that processes share: whoever follows its owner reads them, syncs them and takes them
/// to the tables before it serves. The batches are some 30 ms for each MiB.
const TO_INHERIT: LogLimits = LogLimits {
    checkpoint_pages: 1 << 10,
    journal_bytes: 16 << 20,
    backlog_bytes: 4 << 20,
};

/// Put the file behind the engine.
pub(crate) fn open(
    py: Python<'_>,
    storage: &Bound<'_, PyAny>,
    engine: &mut Engine<Handle>,
    serves: bool,
) -> PyResult<Backing> {
    let LocalStorage {
        path,
        durability,
        keys,
        max_data,
        horizon_ns: horizon,
        resident,
        max_interruptions,
        dead_for: age,
        dead_max: most,
    } = storage.extract()?;
    let relaxed = durability == "relaxed";
    let keys = Keys::keyring(keys);
    let limits = if serves {
        TO_INHERIT
    } else {
        LogLimits::default()
    };
    let settings = Settings {
        limits,
        durability: if relaxed {
            Durability::Relaxed
        } else {
            Durability::Commit
        },
        keys: keys.map_err(|failure| store_failed(py, &failure, Some(&path)))?,
        max_interruptions,
        ..Settings::default()
    };
    let inbox = StoreInbox::new()?;
    let events = inbox.events();
    let opened = py.detach(|| LocalStore::open(&path, settings, events));
    let store = opened.map_err(|failure| file_failed(py, &failure, Some(&path)))?;
    let failed = |failure| store_failed(py, &failure, Some(&path));
    let paused = py.detach(|| names(&store, Query::PausedTargets));
    let paused = paused.map_err(failed)?;
    let owed = py.detach(|| names(&store, Query::OwedTargets));
    let owed = owed.map_err(failed)?.into_iter().collect();
    let window = Window { horizon, resident };
    let store = Arc::new(store);
    engine.put_behind(store.clone(), inbox, window);
    engine.bound_dead(DeadBounds { age, most });
    Ok(Backing {
        max_data,
        settles_later: !relaxed,
        writes: true,
        file: Some(store),
        database: None,
        schema: None,
        paused,
        owed: Mutex::new(owed),
    })
}

/// The names of some targets.
fn names(store: &LocalStore, query: Query) -> Result<Vec<String>, duewheel_store::Error> {
    match ask(store, query)? {
        Answer::Ids(names) => Ok(names),
        _ => Ok(Vec::new()),
    }
}

impl Shared {
    /// Wait for what is begun with the file and may take long: signals are seen, and `look` is
    /// called now and then.
    pub(crate) fn maintain(
        &self,
        py: Python<'_>,
        begin: impl FnOnce(&LocalStore, Ended) + Send,
        look: impl FnMut() -> PyResult<()>,
    ) -> PyResult<()> {
        let Some(file) = &self.backing.file else {
            let message = if self.engine.is_shared() {
                "the jobs are in a database: pg_dump backs it up"
            } else {
                "this scheduler keeps its jobs in memory: give it a storage"
            };
            return Err(error(py, |names| &names.state_error, message));
        };
        let start =
            |send: SyncSender<_>| begin(file, Box::new(move |ended| drop(send.send(ended))));
        receive(py, start, look)?.map_err(|failure| file_failed(py, &failure, None))
    }
}
