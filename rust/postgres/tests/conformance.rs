//! The store keeps what the boundary promises of any.

mod server;

use duewheel_store::Event;
use duewheel_store::testing::conformance::exercise;
use duewheel_store::testing::drive::{claim, put, put_yielded};
use duewheel_store::testing::jobs::{begin, once};
use duewheel_store::testing::nodes;
use server::{join, new_schema, no_events, url};
use std::sync::{Arc, Mutex};

#[test]
fn it_does_what_every_store_must() {
    if url().is_none() {
        eprintln!("left out: there is no server; say DUEWHEEL_TEST_PG=postgresql://…");
        return;
    }
    exercise(&|| Box::new(join(&new_schema(), no_events())));
}

#[test]
fn it_does_what_every_store_must_that_nodes_share() {
    if url().is_none() {
        eprintln!("left out: there is no server; say DUEWHEEL_TEST_PG=postgresql://…");
        return;
    }
    nodes::exercise(&|| {
        let schema = new_schema();
        Box::new(move |events| Box::new(join(&schema, events)))
    });
}

#[test]
fn a_mark_of_what_another_node_holds_is_said_to_be_lost_before_it_is_settled() {
    if url().is_none() {
        eprintln!("left out: there is no server; say DUEWHEEL_TEST_PG=postgresql://…");
        return;
    }
    let schema = new_schema();
    let said = Arc::new(Mutex::new(Vec::new()));
    let hears = said.clone();
    let one = join(
        &schema,
        Box::new(move |event| hears.lock().unwrap().push(event)),
    );
    let other = join(&schema, no_events());
    put_yielded(&one, &[once(1, 10)]);
    assert_eq!(claim(&other, &["email.welcome"], 100, 10).jobs.len(), 1);
    put(&one, &[begin(1)]);
    assert_eq!(*said.lock().unwrap(), [Event::Revoked(vec![1])]);
}
