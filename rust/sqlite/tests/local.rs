//! The local store: what is there when it is opened again, and what it refuses.

mod kit;

use duewheel_sqlite::{Durability, Error, LocalStore, Settings, no_events};
use duewheel_store::{Answer, ClockKind, Error as StoreError, Op, Query, Reason, Store, ask};
use kit::*;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// What a kill leaves: the files as they are now, under another name. The journal first: what is
/// taken to the tables meanwhile is in both copies then, and in none otherwise.
fn crash(path: &Path, into: &Path) {
    for suffix in ["-ops", "", "-wal"] {
        let mut from = path.as_os_str().to_owned();
        from.push(suffix);
        let mut to = into.as_os_str().to_owned();
        to.push(suffix);
        if Path::new(&from).exists() {
            std::fs::copy(from, to).unwrap();
        }
    }
}

#[test]
fn the_sqlite_that_is_built_in_is_new_enough() {
    assert!(duewheel_sqlite::sqlite_version().0 >= duewheel_sqlite::SQLITE_AT_LEAST);
}

#[test]
fn what_was_put_is_there_after_close_and_after_a_crash() {
    for durability in [Durability::Commit, Durability::Relaxed] {
        let dir = Dir::new();
        let (path, copy) = (dir.file("jobs.db"), dir.file("copy.db"));
        let store = open(&path, durability);
        let jobs: Vec<_> = (1..=100).map(|seq| job(seq, 1000 - seq as i64)).collect();
        insert(&store, jobs.clone());
        put(&store, &[Op::Delete(7), begin(8), begin(9)]);
        put(&store, &[done(8), again(9, place(5, 101), 2, 2)]);
        crash(&path, &copy);
        store.close().unwrap();
        assert!(!dir.file("jobs.db-ops").exists() && !dir.file("jobs.db-wal").exists());
        let mut expected: Vec<_> = jobs
            .into_iter()
            .filter(|job| ![7, 8].contains(&job.place.seq))
            .collect();
        for job in &mut expected {
            if job.place.seq == 9 {
                job.place = place(5, 101);
                (
                    job.progress.attempt,
                    job.progress.run,
                    job.progress.first_start,
                ) = (2, 2, Some(77));
            }
        }
        expected.sort_by_key(|job| job.place);
        for path in [&path, &copy] {
            let store = open(path, durability);
            assert_eq!(all(&store), expected);
            assert_eq!((store.found().seq, store.found().jobs), (101, 98));
        }
    }
}

#[test]
fn pages_go_on_within_one_due() {
    let dir = Dir::new();
    let store = open(&dir.file("jobs.db"), Durability::Relaxed);
    insert(&store, (1..=50).map(|seq| job(seq, 10)));
    insert(&store, (51..=60).map(|seq| job(seq, 20)));
    let first = page(&store, None, 20, 30);
    assert_eq!((first.jobs.len(), first.more), (30, true));
    let rest = page(&store, Some(first.jobs[29].place), 20, 30);
    assert_eq!((rest.jobs.len(), rest.more), (20, false));
    assert_eq!(rest.jobs[0].place, place(10, 31));
    let over = page(&store, Some(rest.jobs[19].place), 21, 10);
    assert_eq!((over.jobs.len(), over.more), (10, false));
    assert_eq!(page(&store, Some(place(20, 60)), 21, 10).jobs, []);
    assert_eq!(page(&store, Some(place(20, 3)), 20, 10).jobs, []);
}

#[test]
fn a_job_that_cannot_be_read_keeps_no_other_waiting() {
    let dir = Dir::new();
    let path = dir.file("jobs.db");
    let sealed = || Settings {
        keys: Some(ring(1)),
        ..Settings::default()
    };
    let store = LocalStore::open(&path, sealed(), no_events()).unwrap();
    insert(&store, (1..=4).map(|seq| job(seq, 10)));
    store.close().unwrap();
    let connection = rusqlite::Connection::open(&path).unwrap();
    let spoil = "UPDATE job SET data = zeroblob(100) WHERE seq IN (2, 3)";
    connection.execute_batch(spoil).unwrap();
    drop(connection);
    let store = LocalStore::open(&path, sealed(), no_events()).unwrap();
    let (mut read, mut spoilt, mut after) = (Vec::new(), Vec::new(), None);
    loop {
        let page = page(&store, after, 100, 1);
        read.extend(page.jobs.iter().map(|job| job.place.seq));
        spoilt.extend(page.unreadable.iter().map(|job| job.place.seq));
        after = page.last;
        if !page.more {
            break;
        }
    }
    assert_eq!((read, spoilt), (vec![1, 4], vec![2, 3]));
    // They can be given up like others.
    put(&store, &[bury(2, Reason::Failed, 1), Op::Delete(3)]);
    assert_eq!(seqs(&store), [1, 4]);
}

#[test]
fn interrupted_jobs_run_again_as_often_as_is_allowed() {
    let dir = Dir::new();
    let mut path = dir.file("jobs-0.db");
    let store = open(&path, Durability::Relaxed);
    insert(&store, [job(1, 10), job(2, 20), once(3, 30), once(4, 40)]);
    put(&store, &[begin(3), begin(4), Op::Release(4)]);
    let mut store = store;
    for death in 1..=3 {
        put(&store, &[begin(1)]);
        if death == 2 {
            std::thread::sleep(std::time::Duration::from_millis(250)); // through the tables, too
        }
        let next = dir.file(&format!("jobs-{death}.db"));
        crash(&path, &next);
        path = next;
        store = open(&path, Durability::Relaxed);
        let dead = dead(&store);
        assert_eq!(store.found().jobs, if death < 3 { 3 } else { 2 });
        assert_eq!(dead[dead.len() - 1].job.place.seq, 3);
        if death < 3 {
            let job = &all(&store)[0];
            assert_eq!((job.progress.run, job.progress.attempt), (death + 1, 1));
            assert_eq!(
                (job.interruptions, job.progress.first_start),
                (death, Some(77))
            );
            assert_eq!(dead.len(), 1);
        } else {
            assert_eq!(dead[0].job.place.seq, 1);
            assert_eq!(dead[0].reason, Reason::Interrupted);
            assert_eq!(
                (dead[0].job.progress.run, dead[0].job.interruptions),
                (3, 3)
            );
        }
    }
    assert_eq!(seqs(&store), [2, 4]);
}

#[test]
fn a_clean_close_is_no_interruption() {
    let dir = Dir::new();
    let path = dir.file("jobs.db");
    let store = open(&path, Durability::Commit);
    insert(&store, [job(1, 10)]);
    put(&store, &[begin(1)]);
    put(&store, &[again(1, place(50, 2), 2, 2)]);
    store.close().unwrap();
    let store = open(&path, Durability::Commit);
    let job = &all(&store)[0];
    assert_eq!(
        (job.progress.run, job.progress.attempt, job.interruptions),
        (2, 2, 0)
    );
}

#[test]
fn given_ids_are_taken_until_their_jobs_are_over() {
    let dir = Dir::new();
    let path = dir.file("jobs.db");
    let store = open(&path, Durability::Commit);
    let named = |seq, id: &'static str| {
        let mut job = job(seq, 10);
        job.id = id.into();
        job
    };
    let insert = |store: &LocalStore, jobs| ask(store, Query::Insert(jobs));
    assert_eq!(insert(&store, vec![named(1, "a")]), Ok(Answer::Done));
    let taken = Err(StoreError::Duplicate("a".into()));
    assert_eq!(insert(&store, vec![named(2, "b"), named(3, "a")]), taken);
    assert_eq!(insert(&store, vec![named(2, "b")]), Ok(Answer::Done));
    assert!(insert(&store, vec![named(4, "c"), named(5, "c")]).is_err());
    put(&store, &[begin(1)]);
    assert_eq!(insert(&store, vec![named(3, "a")]), taken);
    store.close().unwrap();
    let store = open(&path, Durability::Commit);
    assert_eq!(insert(&store, vec![named(3, "a")]), taken);
    put(&store, &[begin(1), done(1)]);
    assert_eq!(insert(&store, vec![named(3, "a")]), Ok(Answer::Done));
    assert_eq!(get(&store, "a").unwrap().place.seq, 3);
    assert_eq!(seqs(&store), [2, 3]);
}

#[test]
fn it_is_locked_by_the_process_that_has_it() {
    let dir = Dir::new();
    let path = dir.file("jobs.db");
    let store = open(&path, Durability::Commit);
    assert_eq!(refused(&path, Settings::default()), Error::OpenHere);
    // The refusal has not given up the lock.
    let other = std::process::Command::new("sqlite3")
        .arg(&path)
        .arg("SELECT count(*) FROM job")
        .output();
    if let Ok(other) = other {
        let said = String::from_utf8_lossy(&other.stderr).into_owned();
        assert!(said.contains("locked"), "{said}");
    }
    store.close().unwrap();
    open(&path, Durability::Commit).close().unwrap();
}

#[test]
fn what_is_no_store_is_refused() {
    let dir = Dir::new();
    assert_eq!(
        refused(&dir.file(""), Settings::default()),
        Error::NotAFile(dir.file(""))
    );
    let text = dir.file("text");
    std::fs::write(&text, "Dear diary, ".repeat(1000)).unwrap();
    assert!(matches!(
        refused(&text, Settings::default()),
        Error::Store(StoreError::Corrupt(_))
    ));
    let other = dir.file("other.db");
    let connection = rusqlite::Connection::open(&other).unwrap();
    connection.execute_batch("CREATE TABLE t (x)").unwrap();
    drop(connection);
    assert!(matches!(
        refused(&other, Settings::default()),
        Error::Store(StoreError::Corrupt(_))
    ));
    let locked = dir.file("locked.db");
    open(&locked, Durability::Commit).close().unwrap();
    let mut permissions = std::fs::metadata(&locked).unwrap().permissions();
    permissions.set_readonly(true);
    std::fs::set_permissions(&locked, permissions).unwrap();
    assert_eq!(
        refused(&locked, Settings::default()),
        Error::ReadOnly(locked)
    );
    let nowhere = refused(&dir.file("no/such/jobs.db"), Settings::default());
    assert!(
        matches!(nowhere, Error::Store(StoreError::Io(_))),
        "{nowhere:?}"
    );
    let newer = dir.file("newer.db");
    open(&newer, Durability::Commit).close().unwrap();
    let connection = rusqlite::Connection::open(&newer).unwrap();
    connection.execute_batch("PRAGMA user_version = 9").unwrap();
    drop(connection);
    assert_eq!(
        refused(&newer, Settings::default()),
        Error::Newer { found: 9, known: 5 }
    );
}

#[test]
fn the_sqlite3_command_line_can_read_it() {
    let dir = Dir::new();
    let path = dir.file("jobs.db");
    let store = open(&path, Durability::Commit);
    insert(&store, [job(1, 10), job(2, 5)]);
    store.close().unwrap();
    let query = "SELECT id, target, due FROM job ORDER BY due, seq";
    let Ok(out) = std::process::Command::new("sqlite3")
        .arg(&path)
        .arg(query)
        .output()
    else {
        return; // it is not installed here
    };
    let lines = String::from_utf8_lossy(&out.stdout).into_owned();
    assert_eq!(
        lines.lines().next(),
        Some("01890000-0000-7000-8000-000000000002|email.welcome|5")
    );
}

#[test]
fn the_dead_are_listed_revived_and_purged() {
    let dir = Dir::new();
    let path = dir.file("jobs.db");
    let store = open(&path, Durability::Commit);
    insert(&store, (1..=4).map(|seq| job(seq, 10)));
    for seq in 1..=3 {
        put(
            &store,
            &[begin(seq), bury(seq, Reason::Failed, seq as i64 * 100)],
        );
    }
    let numbers: Vec<u64> = dead(&store).iter().map(|dead| dead.job.place.seq).collect();
    assert_eq!(numbers, [3, 2, 1]);
    let revive = |id: &str, seq| {
        let id = id.to_owned();
        let (to, clock) = (place(1, seq), ClockKind::Boot);
        ask(&store, Query::Revive { id, to, clock })
    };
    let id = dead(&store)[1].job.id.to_string();
    let Ok(Answer::Job(Some(revived))) = revive(&id, 9) else {
        panic!("it was not revived");
    };
    assert_eq!((revived.progress.attempt, revived.progress.run), (1, 2));
    assert_eq!((revived.place, &*revived.id), (place(1, 9), &*id));
    assert_eq!(revive("nobody", 10), Ok(Answer::Job(None)));
    assert_eq!(seqs(&store), [9, 4]);
    let purge = |before| Query::Purge { before, ids: None };
    assert_eq!(ask(&store, purge(Some(300))), Ok(Answer::Count(1)));
    assert_eq!(dead(&store).len(), 1);
    put(&store, &[begin(9), bury(9, Reason::Discarded, 400)]);
    let again = job(2, 3);
    ask(&store, Query::Insert(vec![again])).unwrap();
    assert_eq!(revive(&id, 11), Err(StoreError::Duplicate(id.clone())));
    assert_eq!(ask(&store, purge(None)), Ok(Answer::Count(2)));
    store.close().unwrap();
    assert_eq!(seqs(&open(&path, Durability::Commit)), [2, 4]);
}

#[test]
fn what_is_not_in_memory_is_cancelled_and_moved_by_id() {
    let dir = Dir::new();
    let store = open(&dir.file("jobs.db"), Durability::Commit);
    insert(&store, [job(1, 10), job(2, 20), job(3, 30)]);
    let ids: Vec<String> = all(&store).iter().map(|job| job.id.to_string()).collect();
    put(&store, &[begin(3)]);
    assert_eq!(
        seqs(&store),
        [1, 2],
        "a page has what is pending, and 3 runs"
    );
    let cancel = |id: &str| ask(&store, cancel_of(id));
    assert_eq!(cancel(&ids[0]), Ok(Answer::Changed(true)));
    assert_eq!(cancel(&ids[0]), Ok(Answer::Changed(false)));
    assert_eq!(cancel(&ids[2]), Ok(Answer::Changed(false)), "it runs");
    let (to, clock) = (place(99, 4), ClockKind::Wall);
    let id = ids[1].clone();
    assert_eq!(
        ask(&store, Query::Move { id, to, clock }),
        Ok(Answer::Changed(true))
    );
    assert_eq!(seqs(&store), [4]);
    assert_eq!(all(&store)[0].job_due, 20);
    put(&store, &[Op::Release(3)]);
    assert_eq!(seqs(&store), [3, 4], "it was given back");
}

/// Queries of another thread keep the thread of the tables awake, between any two of its steps.
#[test]
fn an_answer_knows_all_that_was_submitted_before_it_was_asked() {
    let dir = Dir::new();
    let store = open(&dir.file("jobs.db"), Durability::Relaxed);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                kit::to_tables(&store);
            }
        });
        let seen: Vec<u64> = (1..=3_000)
            .filter(|&seq| {
                let job = job(seq, 10);
                let id = job.id.to_string();
                insert(&store, [job]);
                put(&store, &[Op::Delete(seq)]);
                ask(&store, Query::Get(id)) != Ok(Answer::Job(None))
            })
            .collect();
        over.store(true, Ordering::Relaxed);
        assert_eq!(seen, []);
    });
}

#[test]
fn payloads_are_sealed_and_keys_are_rotated() {
    let dir = Dir::new();
    let path = dir.file("jobs.db");
    let with = |keys| Settings {
        keys,
        ..Settings::default()
    };
    let store = LocalStore::open(&path, with(Some(ring(1))), no_events()).unwrap();
    let mut secret = job(1, 10);
    secret.data = b"a secret that nobody reads".to_vec().into();
    insert(&store, [secret.clone(), job(2, 20)]);
    put(&store, &[begin(2), bury(2, Reason::Failed, 1)]);
    crash(&path, &dir.file("copy.db"));
    store.close().unwrap();
    for name in ["jobs.db", "copy.db", "copy.db-ops", "copy.db-wal"] {
        let bytes = std::fs::read(dir.file(name)).unwrap_or_default();
        assert!(
            !bytes.windows(8).any(|bytes| bytes == b"a secret"),
            "{name}"
        );
    }
    assert!(matches!(
        refused(&path, with(None)),
        Error::Store(StoreError::WrongKey(_))
    ));
    let other = duewheel_store::Keyring::new([(1, [9; 32])], 1).unwrap();
    assert!(matches!(
        refused(&path, with(Some(other))),
        Error::Store(StoreError::WrongKey(_))
    ));
    let missing = duewheel_store::Keyring::new([(2, [2; 32])], 2).unwrap();
    assert!(matches!(
        refused(&path, with(Some(missing))),
        Error::Store(StoreError::WrongKey(_))
    ));

    let store = LocalStore::open(&path, with(Some(ring(2))), no_events()).unwrap();
    assert_eq!(all(&store), [secret.clone()]);
    insert(&store, (10..1000).map(|seq| job(seq, 50)));
    assert!(kit::rotate(&store).contains(&(992, 992)));
    store.close().unwrap();
    let only = || duewheel_store::Keyring::new([(2, [2; 32])], 2).unwrap();
    let store = LocalStore::open(&path, with(Some(only())), no_events()).unwrap();
    assert_eq!(all(&store)[0], secret);
    assert_eq!(dead(&store)[0].job.data, job(2, 20).data);
}
