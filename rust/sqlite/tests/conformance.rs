//! The local store does what every store must.

mod kit;

use duewheel_sqlite::{Durability, LocalStore, Settings, no_events};
use duewheel_store::testing::conformance::exercise;
use duewheel_store::testing::outcomes::keeps_outcomes;
use kit::{Dir, ring, settings};
use std::sync::atomic::{AtomicU64, Ordering};

/// Over new files that are opened with these settings.
fn over_files(settings: impl Fn() -> Settings) {
    let dir = Dir::new();
    let count = AtomicU64::new(0);
    exercise(&|| {
        let count = count.fetch_add(1, Ordering::Relaxed);
        let path = dir.file(&format!("jobs-{count}.db"));
        Box::new(LocalStore::open(&path, settings(), no_events()).unwrap())
    });
}

#[test]
fn it_does_what_every_store_must_when_it_waits_for_the_disk() {
    over_files(|| settings(Durability::Commit));
}

#[test]
fn it_does_what_every_store_must_when_it_does_not() {
    over_files(|| settings(Durability::Relaxed));
}

#[test]
fn it_does_what_every_store_must_with_keys() {
    over_files(with_keys);
}

fn with_keys() -> Settings {
    Settings {
        keys: Some(ring(1)),
        ..Settings::default()
    }
}

#[test]
fn it_keeps_outcomes() {
    let ways = [|| settings(Durability::Relaxed), with_keys];
    for settings in ways {
        let (dir, count) = (Dir::new(), AtomicU64::new(0));
        keeps_outcomes(&|| {
            let count = count.fetch_add(1, Ordering::Relaxed);
            let path = dir.file(&format!("jobs-{count}.db"));
            Box::new(LocalStore::open(&path, settings(), no_events()).unwrap())
        });
    }
}
