//! Jobs, stores and directories for the tests of the store.
#![allow(dead_code, unreachable_pub, missing_docs)]

pub mod model;

use duewheel_sqlite::{Durability, Error, LocalStore, Settings, no_events};
use duewheel_store::{
    Answer, ClockKind, DeadJob, Ending, Job, Keyring, Op, Page, Place, Progress, Query, Reason,
    RetryOptions, Store, Ticket, ask,
};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;

pub const OPTIONS: RetryOptions = RetryOptions {
    retry_limit: Some(5),
    age_limit: None,
    min_backoff: 1_000_000_000,
    max_backoff: 3_600_000_000_000,
    at_most_once: false,
};

/// A job that was scheduled now, its id told by its sequence.
pub fn job(seq: u64, due: i64) -> Job<'static> {
    Job {
        id: format!("01890000-0000-7000-8000-{seq:012x}").into(),
        target: "email.welcome".into(),
        data: vec![seq as u8; 100].into(),
        place: Place { due, seq },
        clock: ClockKind::Boot,
        job_due: due,
        created: 5,
        progress: Progress::NEW,
        interruptions: 0,
        options: OPTIONS,
    }
}

pub fn once(seq: u64, due: i64) -> Job<'static> {
    let mut job = job(seq, due);
    job.options.at_most_once = true;
    job
}

pub fn place(due: i64, seq: u64) -> Place {
    Place { due, seq }
}

pub fn begin(seq: u64) -> Op<'static> {
    Op::Begin { seq, at: 77 }
}

pub fn done(seq: u64) -> Op<'static> {
    let outcome = Ending::Done;
    Op::Finish { seq, outcome }
}

pub fn again(seq: u64, to: Place, attempt: u32, run: u32) -> Op<'static> {
    let outcome = Ending::Again {
        to,
        clock: ClockKind::Boot,
        progress: Progress {
            attempt,
            run,
            first_start: Some(77),
        },
    };
    Op::Finish { seq, outcome }
}

pub fn bury(seq: u64, reason: Reason, died: i64) -> Op<'static> {
    let outcome = Ending::Dead {
        reason,
        error: "Traceback …".into(),
        died,
    };
    Op::Finish { seq, outcome }
}

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

pub fn open(path: &Path, durability: Durability) -> LocalStore {
    LocalStore::open(path, settings(durability), no_events()).unwrap()
}

/// Submit and wait.
pub fn put(store: &dyn Store, batch: &[Op<'_>]) -> Ticket {
    let ticket = store.submit(batch).unwrap();
    assert_eq!(store.wait(ticket, None), Ok(true));
    ticket
}

pub fn insert(store: &dyn Store, jobs: impl IntoIterator<Item = Job<'static>>) -> Ticket {
    let batch: Vec<Op<'_>> = jobs.into_iter().map(Op::Insert).collect();
    put(store, &batch)
}

pub fn page(store: &dyn Store, after: Option<Place>, until: i64, limit: usize) -> Page {
    let query = Query::Page {
        after,
        until,
        limit,
    };
    match ask(store, query) {
        Ok(Answer::Page(page)) => page,
        other => panic!("{other:?}"),
    }
}

/// All pending jobs, in order.
pub fn all(store: &dyn Store) -> Vec<Job<'static>> {
    let (mut jobs, mut after) = (Vec::new(), None);
    loop {
        let mut page = page(store, after, i64::MAX, 1000);
        assert_eq!(page.unreadable, []);
        jobs.append(&mut page.jobs);
        after = page.last;
        if !page.more {
            return jobs;
        }
    }
}

pub fn seqs(store: &dyn Store) -> Vec<u64> {
    all(store).iter().map(|job| job.place.seq).collect()
}

pub fn get(store: &dyn Store, id: &str) -> Option<Job<'static>> {
    match ask(store, Query::Get(id.into())) {
        Ok(Answer::Job(job)) => job,
        other => panic!("{other:?}"),
    }
}

pub fn dead(store: &dyn Store) -> Vec<DeadJob> {
    let query = Query::Dead {
        before: None,
        limit: usize::MAX >> 1,
    };
    match ask(store, query) {
        Ok(Answer::Dead(dead)) => dead.jobs,
        other => panic!("{other:?}"),
    }
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
