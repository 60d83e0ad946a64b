//! Stores and directories for the tests of the store.
#![allow(dead_code, unused_imports, unreachable_pub, missing_docs)]

pub mod files;

use duewheel_sqlite::testing::SimDisk;
use duewheel_sqlite::{Durability, Error, LocalStore, LogLimits, Settings, no_events};
pub use duewheel_store::testing::{drive::*, jobs::*, model};
use duewheel_store::{Keyring, Store};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;

/// A directory that goes with the test.
pub struct Dir(PathBuf);

impl Dir {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("duewheel-store-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Dir(path)
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub fn ring(default: u32) -> Keyring {
    Keyring::new([(1, [1; 32]), (2, [2; 32])], default).unwrap()
}

pub fn settings(durability: Durability) -> Settings {
    Settings {
        durability,
        ..Settings::default()
    }
}

/// On a disk of a test, whose logs are short.
pub fn on_disk(disk: &SimDisk) -> Settings {
    Settings {
        disk: Arc::new(disk.clone()),
        limits: LogLimits {
            checkpoint_pages: 8,
            ..LogLimits::default()
        },
        ..Settings::default()
    }
}

pub fn open(path: &Path, durability: Durability) -> LocalStore {
    LocalStore::open(path, settings(durability), no_events()).unwrap()
}

/// A query takes everything to the tables, and the journal to a new lap.
pub fn to_tables(store: &dyn Store) {
    assert_eq!(get(store, "nobody"), None);
}

/// Copy the store, and wait.
pub fn back_up(store: &LocalStore, path: &Path) -> Result<(), Error> {
    let (send, receive) = mpsc::sync_channel(1);
    store.backup(path, Box::new(move |ended| send.send(ended).unwrap()));
    receive.recv().unwrap()
}

/// Encrypt all under the default key, and wait; the progress that was told.
pub fn rotate(store: &LocalStore) -> Vec<(u64, u64)> {
    let (send, receive) = mpsc::sync_channel(1);
    let (progress, heard) = mpsc::channel();
    store.rotate(
        Box::new(move |done, all| progress.send((done, all)).unwrap()),
        Box::new(move |ended| send.send(ended).unwrap()),
    );
    assert_eq!(receive.recv().unwrap(), Ok(()));
    heard.try_iter().collect()
}

pub fn refused(path: &Path, settings: Settings) -> Error {
    match LocalStore::open(path, settings, no_events()) {
        Ok(_) => panic!("it was opened"),
        Err(error) => error,
    }
}
