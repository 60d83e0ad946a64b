//! Files of earlier versions: each is kept here as the statements that made it.

mod kit;

use duewheel_sqlite::Durability;
use duewheel_store::Store;
use kit::{Dir, all, dead, insert, job, open};

/// Version 1, as it was made by the first release; never to be changed.
const VERSION_1: &str = include_str!("version_1.sql");

#[test]
fn a_file_of_version_1_is_brought_up_to_date() {
    let dir = Dir::new();
    let path = dir.file("old.db");
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.execute_batch(VERSION_1).unwrap();
    drop(connection);
    let store = open(&path, Durability::Commit);
    let jobs = all(&store);
    assert_eq!(jobs.len(), 2);
    assert_eq!(
        (&*jobs[0].id, jobs[0].place.due, jobs[0].place.seq),
        ("early", 5, 8)
    );
    assert_eq!(
        (&*jobs[0].target, &*jobs[0].data),
        ("email.welcome", &b"ada"[..])
    );
    assert_eq!(
        (
            jobs[0].progress.attempt,
            jobs[0].progress.run,
            jobs[0].options.retry_limit
        ),
        (2, 3, Some(5))
    );
    assert!(jobs[1].options.at_most_once);
    assert_eq!((store.found().seq, store.found().jobs), (9, 2));
    assert_eq!(dead(&store)[0].error, "Traceback");
    insert(&store, [job(10, 1)]);
    store.close().unwrap();
    let connection = rusqlite::Connection::open(&path).unwrap();
    let version: u32 = connection
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .unwrap();
    assert_eq!(version, 4);
}
