//! Copies of a store that is in use.

mod kit;

use duewheel_sqlite::{Durability, Error};
use duewheel_store::{Error as StoreError, Store};
use kit::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

#[test]
fn a_backup_is_made_while_it_is_in_use() {
    let dir = Dir::new();
    let (path, copy) = (dir.file("jobs.db"), dir.file("backup.db"));
    let store = Arc::new(open(&path, Durability::Relaxed));
    insert(&*store, (1..=5000).map(|seq| job(seq, seq as i64)));
    let writer = store.clone();
    let thread = std::thread::spawn(move || {
        for seq in 5001..=8000 {
            insert(&*writer, [job(seq, seq as i64)]);
        }
    });
    assert_eq!(kit::back_up(&store, &copy), Ok(()));
    let exists = kit::back_up(&store, &copy);
    assert!(matches!(exists, Err(Error::Store(StoreError::Io(_)))));
    thread.join().unwrap();
    let backup = open(&copy, Durability::Commit);
    let jobs = seqs(&backup);
    assert!(jobs.len() >= 5000, "{}", jobs.len());
    assert_eq!(jobs, (1..=jobs.len() as u64).collect::<Vec<_>>());
    assert_eq!(backup.found().jobs, jobs.len() as u64);
}

#[test]
fn a_backup_ends_beside_a_load_without_a_pause() {
    // Each batch adds more pages to the tables than a step of the copy has at least.
    const MOST: u64 = 100_000;
    let dir = Dir::new();
    let (path, copy) = (dir.file("jobs.db"), dir.file("backup.db"));
    let store = Arc::new(open(&path, Durability::Relaxed));
    let (writer, ended) = (store.clone(), Arc::new(AtomicBool::new(false)));
    let (send, begun) = std::sync::mpsc::channel();
    let over = ended.clone();
    let thread = std::thread::spawn(move || {
        let mut seq = 0;
        while !over.load(Ordering::Relaxed) && seq < MOST {
            insert(
                &*writer,
                (seq + 1..=seq + 100).map(|seq| {
                    let mut job = job(seq, seq as i64);
                    job.data = vec![7; 10_000].into();
                    job
                }),
            );
            seq += 100;
            // Nobody listens after the first thousand.
            let _ = if seq == 1000 { send.send(()) } else { Ok(()) };
        }
        seq
    });
    begun.recv().unwrap();
    let copied = kit::back_up(&store, &copy);
    ended.store(true, Ordering::Relaxed);
    let inserted = thread.join().unwrap();
    assert_eq!(copied, Ok(()));
    assert!(inserted < MOST, "it ended only when the load did");
    store.close().unwrap();
    let backup = open(&copy, Durability::Commit);
    let copied = seqs(&backup);
    assert!(copied.len() >= 1000, "{}", copied.len());
    assert_eq!(copied, (1..=copied.len() as u64).collect::<Vec<_>>());
}

#[test]
fn a_backup_that_cannot_be_says_what_to_do() {
    let dir = Dir::new();
    let path = dir.file("jobs.db");
    let store = open(&path, Durability::Commit);
    let nowhere = dir.file("none").join("copy.db");
    let cases = [
        (path, "exists already"),
        (dir.file(""), "exists already"),
        (nowhere, "make it first"),
    ];
    for (place, remedy) in cases {
        let said = kit::back_up(&store, &place).unwrap_err().to_string();
        let named = said.matches(&*place.display().to_string()).count();
        assert!(named == 1 && said.contains(remedy), "{said}");
    }
    insert(&store, [job(1, 1)]);
}
