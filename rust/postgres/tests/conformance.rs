//! The store keeps what the boundary promises of any.

mod server;

use duewheel_store::testing::conformance::exercise;
use server::{join, new_schema, no_events, url};

#[test]
fn it_does_what_every_store_must() {
    if url().is_none() {
        eprintln!("left out: there is no server; say DUEWHEEL_TEST_PG=postgresql://…");
        return;
    }
    exercise(&|| Box::new(join(&new_schema(), no_events())));
}
