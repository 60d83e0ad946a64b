//! How a process ends, and records that cannot be applied: what is there when it is opened again.

mod kit;

use duewheel_sqlite::{Durability, LocalStore};
use duewheel_store::{ClockKind, Error, Event, Op, Query, Reason, Store, ask};
use kit::*;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// The files as a kill would leave them, in a directory of their own. The journal first: what is
/// taken to the tables meanwhile is in both copies then.
fn killed(path: &Path, name: &str) -> PathBuf {
    let into = path.with_file_name(name);
    for suffix in ["-ops", "", "-wal"] {
        let side = |path: &Path| PathBuf::from(format!("{}{suffix}", path.display()));
        if side(path).exists() {
            std::fs::copy(side(path), side(&into)).unwrap();
        }
    }
    into
}

#[test]
fn what_was_left_by_a_process_that_ends_in_order_is_no_interruption() {
    for durability in [Durability::Commit, Durability::Relaxed] {
        let dir = Dir::new();
        let mut path = dir.file("jobs.db");
        for life in 1..=5 {
            let store = open(&path, durability);
            if life == 1 {
                insert(&store, [job(1, 5), once(2, 5), job(3, 5)]);
                put(&store, &[begin(1), begin(2)]);
            } else {
                put(&store, &[begin(1)]);
            }
            put(&store, &[Op::Leave]);
            // Who was about to start when it was said, and one that ends by itself.
            put(&store, &[begin(3)]);
            if life == 5 {
                put(&store, &[done(3)]);
            }
            path = killed(&path, &format!("life-{life}.db"));
        }
        let store = open(&path, durability);
        let jobs = all(&store);
        assert_eq!(jobs.len(), 1);
        assert_eq!((jobs[0].progress.run, jobs[0].interruptions), (6, 0));
        assert_eq!(jobs[0].progress.first_start, Some(77));
        let dead = dead(&store);
        assert_eq!(dead.len(), 1);
        assert_eq!(
            (dead[0].job.place.seq, dead[0].reason),
            (2, Reason::Interrupted)
        );
        // It was said of those lives, not of the next.
        put(&store, &[begin(1)]);
        let store = open(&killed(&path, "vanished.db"), durability);
        let found = get(&store, &job(1, 0).id).unwrap();
        assert_eq!((found.progress.run, found.interruptions), (7, 1));
    }
}

#[test]
fn a_record_that_cannot_be_applied_is_told_of_and_shuts_no_file() {
    let dir = Dir::new();
    let path = dir.file("jobs.db");
    let heard = Arc::new(Mutex::new(Vec::new()));
    let told = heard.clone();
    let events = Box::new(move |event| told.lock().unwrap().push(event));
    let store = LocalStore::open(&path, settings(Durability::Commit), events).unwrap();
    // The store believes who hands over a batch: this is what no engine does.
    let twice = || {
        let mut twice = job(2, 5);
        twice.id = job(1, 5).id;
        twice
    };
    store
        .submit(&[Op::Insert(job(1, 5)), Op::Insert(twice())])
        .unwrap();
    put(&store, &[Op::Insert(job(3, 5))]);
    let copy = killed(&path, "killed.db");
    assert_eq!(seqs(&store), [1, 3]);
    let unapplied = match &heard.lock().unwrap()[..] {
        [Event::Unapplied(number, why)] => (*number, why.clone()),
        other => panic!("{other:?}"),
    };
    assert!(matches!(unapplied, (1, Error::Unreadable(_))));
    // It goes on, and one query that cannot be answered harms no other.
    let place = place(9, 3);
    let id = job(1, 5).id.into_owned();
    let clock = ClockKind::Wall;
    let taken = ask(
        &store,
        Query::Move {
            id,
            to: place,
            clock,
        },
    );
    assert!(matches!(taken, Err(Error::Unreadable(_))), "{taken:?}");
    insert(&store, [job(4, 5)]);
    assert_eq!(seqs(&store), [1, 3, 4]);
    store.close().unwrap();

    // The kill may have come before or after the record was taken to the tables.
    let store = open(&copy, Durability::Commit);
    assert_eq!((seqs(&store), store.found().jobs), (vec![1, 3], 2));
    let found = &store.found().unapplied;
    assert!(found.is_empty() || *found == [unapplied], "{found:?}");
    store.close().unwrap();
    for path in [path, copy] {
        let file = rusqlite::Connection::open(path).unwrap();
        let kept: (i64, Option<Vec<u8>>) = file
            .query_row("SELECT record, batch FROM unapplied", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .unwrap();
        assert_eq!(kept.0, 1);
        assert!(kept.1.is_some_and(|batch| batch.len() > 400));
    }
}
