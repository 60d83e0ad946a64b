//! A server of PostgreSQL for these tests, or the one that `DUEWHEEL_TEST_PG` names.

#![allow(dead_code)]

use duewheel_postgres::{PostgresStore, Settings};
use duewheel_store::{Event, Events};
use std::sync::atomic::{AtomicU32, Ordering};

static SCHEMAS: AtomicU32 = AtomicU32::new(0);

/// The connection string of the server, if there is one.
pub(crate) fn url() -> Option<String> {
    std::env::var("DUEWHEEL_TEST_PG")
        .ok()
        .filter(|url| !url.is_empty())
}

/// Ignores all events.
pub(crate) fn no_events() -> Events {
    Box::new(|_: Event| {})
}

/// A schema that no other test uses.
pub(crate) fn new_schema() -> String {
    let number = SCHEMAS.fetch_add(1, Ordering::Relaxed);
    format!("duewheel_test_{}_{number}", std::process::id())
}

/// How a node over a schema is opened.
pub(crate) fn settings(schema: &str) -> Settings {
    Settings {
        url: url().expect("there is a server"),
        schema: schema.to_owned(),
        ..Settings::default()
    }
}

/// A node over a schema.
pub(crate) fn join(schema: &str, events: Events) -> PostgresStore {
    join_as(settings(schema), events)
}

/// A node that is opened so.
pub(crate) fn join_as(settings: Settings, events: Events) -> PostgresStore {
    PostgresStore::open(settings, events).unwrap()
}
