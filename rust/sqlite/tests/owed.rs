//! What deaths that are found when a file is opened leave behind: owed until it is told what, never lost and never doubled.

mod kit;

use duewheel_sqlite::testing::{Image, SimDisk};
use duewheel_sqlite::{Durability, LocalStore, Settings, no_events};
use duewheel_store::{Answer, ClockKind, DeadPage, Job, Op, Query, Store, ask};
use kit::files::{self, DB, at_every_step};
use kit::*;

const TARGET: &str = "email.welcome";

fn owed_after(store: &dyn Store, target: &str, after: u64, limit: usize) -> DeadPage {
    let target = target.to_owned();
    let query = Query::Owed {
        target,
        after,
        limit,
    };
    match ask(store, query) {
        Ok(Answer::Dead(page)) => page,
        other => panic!("{other:?}"),
    }
}

/// The sequences of what died and owes something, and the numbers of their deaths, in order.
fn owed(store: &dyn Store) -> (Vec<u64>, Vec<u64>) {
    let page = owed_after(store, TARGET, 0, 1_000);
    let deads = page.jobs.iter();
    deads.map(|dead| (dead.job.place.seq, dead.number)).unzip()
}

fn targets(store: &dyn Store) -> Vec<String> {
    match ask(store, Query::OwedTargets) {
        Ok(Answer::Ids(targets)) => targets,
        other => panic!("{other:?}"),
    }
}

fn trim(before: Option<i64>, most: Option<u64>) -> Query {
    Query::TrimDead { before, most }
}

fn heir(seq: u64) -> Job<'static> {
    Job {
        target: "undertaker".into(),
        ..job(seq, 50)
    }
}

/// Files of a process that was killed while these ran: two that start once, a repeat that does, and one that comes again.
fn killed() -> Image {
    let disk = SimDisk::new(Image::new());
    let store = files::open(&disk).unwrap();
    let mut recurring = repeat(3, 10);
    recurring.options.at_most_once = true;
    let mut other = once(5, 10);
    other.target = "other".into();
    let jobs = [once(1, 10), once(2, 10), recurring, job(4, 10), other];
    insert(&store, jobs);
    put(&store, &[1, 2, 3, 4, 5].map(begin));
    disk.files()
}

#[test]
fn what_died_before_the_file_was_opened_owes_until_it_is_told_what() {
    let disk = SimDisk::new(killed());
    let store = files::open(&disk).unwrap();
    let mut found = targets(&store);
    found.sort();
    assert_eq!(found, [TARGET, "other"]);
    let (seqs, numbers) = owed(&store);
    assert_eq!(seqs, [1, 2, 3]);
    let first = owed_after(&store, TARGET, 0, 2);
    assert_eq!((first.jobs.len(), first.last), (2, Some(numbers[1])));
    let rest = owed_after(&store, TARGET, numbers[1], 2);
    assert_eq!((rest.jobs.len(), rest.last), (1, None));
    assert_eq!(*rest.jobs[0].job.data, *job(3, 10).data);
    // Of one an heir, of one nothing; and another life later the rest is as it was.
    put(&store, &[Op::Inherited(numbers[0]), Op::Insert(heir(6))]);
    put(&store, &[Op::Inherited(numbers[2])]);
    let store = files::open(&SimDisk::new(disk.files())).unwrap();
    assert_eq!(owed(&store).0, [2]);
    let heirs = all(&store);
    let heirs = heirs.iter().filter(|job| job.target == "undertaker");
    assert_eq!(heirs.count(), 1);
    put(&store, &[Op::Inherited(numbers[1])]);
    assert_eq!(targets(&store), ["other"]);
    assert_eq!(dead(&store).len(), 4, "they stay listed");
}

#[test]
fn what_dies_while_it_is_open_owes_nothing() {
    let disk = SimDisk::new(Image::new());
    let store = files::open(&disk).unwrap();
    insert(&store, [job(1, 10)]);
    put(&store, &[begin(1)]);
    put(&store, &[bury(1, duewheel_store::Reason::Interrupted, 5)]);
    assert_eq!((dead(&store).len(), targets(&store)), (1, Vec::new()));
}

#[test]
fn bounds_spare_what_is_owed_and_who_forgets_or_revives_the_dead_forgets_it_too() {
    let disk = SimDisk::new(killed());
    let store = files::open(&disk).unwrap();
    let (_, numbers) = owed(&store);
    put(&store, &[Op::Inherited(numbers[1])]);
    for query in [trim(Some(i64::MAX), None), trim(None, Some(0))] {
        ask(&store, query).unwrap();
        assert_eq!((owed(&store).0, dead(&store).len()), (vec![1, 3], 3));
    }
    put(&store, &[Op::Inherited(numbers[2])]);
    assert_eq!(ask(&store, trim(None, Some(9))), Ok(Answer::Count(0)));
    assert_eq!(ask(&store, trim(None, Some(0))), Ok(Answer::Count(1)));
    let revive = Query::Revive {
        id: job(1, 0).id.into_owned(),
        to: place(20, 9),
        clock: ClockKind::Boot,
    };
    assert!(matches!(ask(&store, revive), Ok(Answer::Job(Some(_)))));
    assert_eq!(targets(&store), ["other"]);
    let purge = Query::Purge {
        before: None,
        ids: None,
    };
    assert_eq!(ask(&store, purge), Ok(Answer::Count(1)));
    assert_eq!(targets(&store), [""; 0]);
}

#[test]
fn the_notes_of_what_is_forgotten_go_with_the_next_opening() {
    let dir = Dir::new();
    let path = dir.file(DB);
    let notes = |path: &std::path::Path| -> i64 {
        let connection = rusqlite::Connection::open(path).unwrap();
        let count = "SELECT count(*) FROM meta WHERE name GLOB 'heir:*'";
        connection.query_row(count, [], |row| row.get(0)).unwrap()
    };
    let life = |ends: &[Op<'_>], asks: Option<Query>| {
        let store = open(&path, Durability::Relaxed);
        put(&store, ends);
        asks.map(|query| ask(&store, query).unwrap());
        store.close().unwrap();
        notes(&path)
    };
    let purge = Query::Purge {
        before: None,
        ids: None,
    };
    assert_eq!(life(&[Op::Insert(once(1, 10)), begin(1)], None), 0);
    assert_eq!(life(&[], Some(purge)), 1);
    assert_eq!(life(&[], None), 0);
}

#[test]
fn a_kill_at_any_step_leaves_the_debt_or_the_heir() {
    let start = killed();
    let disk = SimDisk::new(start.clone());
    let store = files::open(&disk).unwrap();
    let (seqs, numbers) = owed(&store);
    assert_eq!(seqs, [1, 2, 3]);
    for (at, number) in numbers.iter().enumerate() {
        let heir = heir(10 + seqs[at]);
        put(&store, &[Op::Inherited(*number), Op::Insert(heir)]);
        if at == 1 {
            to_tables(&store);
        }
    }
    store.close().unwrap();
    let heirs = |store: &LocalStore| -> Vec<u64> {
        let heirs = all(store);
        let heirs = heirs.iter().filter(|job| job.target == "undertaker");
        heirs.map(|heir| heir.place.seq - 10).collect()
    };
    at_every_step(&disk, &start, 0, |files, what| {
        let disk = SimDisk::new(files.clone());
        let store = files::open(&disk).unwrap_or_else(|error| panic!("{what}: {error}"));
        let (left, numbers) = owed(&store);
        let mut both = [heirs(&store), left.clone()].concat();
        both.sort_unstable();
        assert_eq!(both, [1, 2, 3], "{what}");
        // Whoever goes on from there leaves one of each.
        for (seq, number) in left.iter().zip(numbers) {
            put(&store, &[Op::Inherited(number), Op::Insert(heir(10 + seq))]);
        }
        assert_eq!(heirs(&store), [1, 2, 3], "{what}");
        assert_eq!(owed(&store).0, [0; 0], "{what}");
    });
}

#[test]
fn what_cannot_be_read_owes_on_and_is_named() {
    let dir = Dir::new();
    let path = dir.file(DB);
    let sealed = |keys| Settings {
        keys: Some(keys),
        ..Settings::default()
    };
    let store = LocalStore::open(&path, sealed(ring(1)), no_events()).unwrap();
    insert(&store, [once(1, 10), once(2, 10)]);
    put(&store, &[begin(1), begin(2), Op::Leave]);
    store.close().unwrap();
    let connection = rusqlite::Connection::open(&path).unwrap();
    let spoil = "UPDATE job SET data = zeroblob(100) WHERE seq = 1";
    connection.execute_batch(spoil).unwrap();
    drop(connection);
    let store = LocalStore::open(&path, sealed(ring(2)), no_events()).unwrap();
    let page = owed_after(&store, TARGET, 0, 10);
    assert_eq!((page.jobs.len(), page.unreadable.len()), (1, 1));
    assert_eq!(
        *page.jobs[0].job.data,
        *job(2, 10).data,
        "sealed under another key"
    );
    assert_eq!(page.unreadable[0].place.seq, page.jobs[0].number - 1);
}
