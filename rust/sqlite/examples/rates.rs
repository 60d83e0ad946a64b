//! Measures the store against its goals: `cargo run --release --example rates [directory]`.
//!
//! The peer rows are SQLite itself through the same library, with the same settings and schema
//! (a clone of the store's), so that what differs is the store's doing.

use duewheel_sqlite::{Durability, LocalStore, Settings, no_events};
use duewheel_store::testing::jobs;
use duewheel_store::{Ending, Job, Op, Place, Query, Store, ask};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

fn job(seq: u64) -> Job<'static> {
    let due = 1_800_000_000_000_000_000 + (seq.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 14) as i64;
    Job {
        created: due,
        ..jobs::job(seq, due)
    }
}

fn open(path: &Path, durability: Durability) -> LocalStore {
    let settings = Settings {
        durability,
        ..Settings::default()
    };
    LocalStore::open(path, settings, no_events()).expect("the store opens")
}

fn fresh(directory: &Path, name: &str) -> PathBuf {
    let path = directory.join(format!("rates-{name}.db"));
    for suffix in ["", "-wal", "-ops"] {
        let mut name = path.clone().into_os_string();
        name.push(suffix);
        let _ = std::fs::remove_file(name);
    }
    path
}

/// Since when: by the clock, and in CPU time of this thread where the system tells it.
#[derive(Clone, Copy)]
struct Mark(Instant, f64);

impl Mark {
    fn now() -> Self {
        let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        let cpu = told.split(' ').next().and_then(|ns| ns.parse().ok());
        Mark(Instant::now(), cpu.unwrap_or(0.0))
    }
}

fn report(what: &str, count: u64, since: Mark) -> f64 {
    let rate = count as f64 / since.0.elapsed().as_secs_f64();
    let cpu = (Mark::now().1 - since.1) / 1e3 / count as f64;
    println!(
        "{what:<54} {rate:>11.0}/s {:>9.2} µs {cpu:>7.2} µs of CPU in the caller",
        1e6 / rate
    );
    rate
}

/// One thread that schedules one job after another.
fn singles(directory: &Path, durability: Durability, count: u64) {
    let path = fresh(directory, "singles");
    let store = open(&path, durability);
    let jobs: Vec<_> = (1..=count).map(job).collect();
    let began = Mark::now();
    for job in jobs {
        let ticket = store.submit(&[Op::Insert(job)]).expect("taken");
        store.wait(ticket, None).expect("settled");
    }
    report(
        &format!("{durability:?}: one thread, one by one"),
        count,
        began,
    );
    store.close().expect("closed");
    report("    and all in the tables", count, began);
}

fn threads(directory: &Path, durability: Durability, threads: u64, each: u64) -> f64 {
    let store = open(&fresh(directory, "threads"), durability);
    let seq = AtomicU64::new(0);
    let began = Mark::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                for _ in 0..each {
                    let seq = seq.fetch_add(1, Ordering::Relaxed) + 1;
                    let ticket = store.submit(&[Op::Insert(job(seq))]).expect("taken");
                    store.wait(ticket, None).expect("settled");
                }
            });
        }
    });
    report(
        &format!("{durability:?}: {threads} threads, one by one"),
        threads * each,
        began,
    )
}

fn many(directory: &Path, batches: u64) -> f64 {
    let store = open(&fresh(directory, "many"), Durability::Commit);
    let batches: Vec<Vec<Op<'_>>> = (0..batches)
        .map(|batch| (batch * 10_000 + 1..=(batch + 1) * 10_000).map(|seq| Op::Insert(job(seq))))
        .map(Iterator::collect)
        .collect();
    let began = Mark::now();
    for batch in &batches {
        let ticket = store.submit(batch).expect("taken");
        store.wait(ticket, None).expect("settled");
    }
    let count = batches.len() as u64 * 10_000;
    let rate = report("Commit: batches of 10,000, until settled", count, began);
    store.close().expect("closed");
    report("    and all in the tables", count, began);
    rate
}

/// Schedule, start and finish, as an engine would.
fn whole(directory: &Path, durability: Durability, count: u64) {
    let store = open(&fresh(directory, "whole"), durability);
    let jobs: Vec<_> = (1..=count).map(job).collect();
    let began = Mark::now();
    for job in jobs {
        let seq = job.place.seq;
        let ticket = store.submit(&[Op::Insert(job)]).expect("taken");
        if durability == Durability::Relaxed || seq % 16 == 0 {
            store.wait(ticket, None).expect("settled");
        }
    }
    let mut ended = None;
    for seq in 1..=count {
        let mut turn = Vec::with_capacity(2);
        if let Some(seq) = ended {
            let outcome = Ending::Done;
            turn.push(Op::Finish { seq, outcome });
        }
        turn.push(Op::Begin { seq, at: 1 });
        store.submit(&turn).expect("taken");
        ended = Some(seq);
    }
    report(
        &format!("{durability:?}: scheduled, started, finished"),
        count,
        began,
    );
    store.close().expect("closed");
    report("    and all in the tables", count, began);
}

/// SQLite alone, same schema and settings.
fn plain(directory: &Path, rows_each: u64, transactions: u64) -> f64 {
    let path = fresh(directory, "plain");
    open(&path, Durability::Commit).close().expect("closed");
    let connection = rusqlite::Connection::open(&path).expect("opened");
    connection
        .execute_batch("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")
        .expect("set");
    let mut insert = connection
        .prepare("INSERT INTO job VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18,NULL,NULL)")
        .expect("prepared");
    let jobs: Vec<_> = (1..=rows_each * transactions).map(job).collect();
    let began = Mark::now();
    for rows in jobs.chunks(rows_each as usize) {
        connection.execute_batch("BEGIN").expect("begun");
        for job in rows {
            insert
                .execute(rusqlite::params![
                    job.place.seq as i64,
                    job.place.due,
                    1,
                    job.id,
                    job.target,
                    job.data,
                    None::<u32>,
                    job.job_due,
                    job.created,
                    1,
                    1,
                    0,
                    None::<i64>,
                    5,
                    None::<i64>,
                    1_000_000_000i64,
                    3_600_000_000_000i64,
                    false
                ])
                .expect("inserted");
        }
        connection.execute_batch("COMMIT").expect("committed");
    }
    report(
        &format!("SQLite alone: {rows_each} rows a transaction"),
        rows_each * transactions,
        began,
    )
}

/// How late an at-most-once start is by its mark.
fn marks(directory: &Path) {
    let store = Arc::new(open(&fresh(directory, "marks"), Durability::Commit));
    let mut times: Vec<f64> = (1..=2000)
        .map(|seq| {
            store.submit(&[Op::Insert(job(seq))]).expect("taken");
            let (send, receive) = std::sync::mpsc::channel();
            let began = Mark::now();
            let ticket = store.submit(&[Op::Begin { seq, at: 1 }]).expect("taken");
            store.when(
                ticket,
                Box::new(move |_| send.send(began.0.elapsed()).expect("heard")),
            );
            receive.recv().expect("called").as_secs_f64() * 1e6
        })
        .collect();
    times.sort_by(f64::total_cmp);
    println!(
        "Commit: a mark until it is called back: p50 {:.0} µs, p99 {:.0} µs",
        times[1000], times[1980]
    );
}

fn pages(directory: &Path, count: u64) {
    let path = fresh(directory, "pages");
    let store = open(&path, Durability::Relaxed);
    for batch in 0..count / 10_000 {
        let jobs = (batch * 10_000 + 1..=(batch + 1) * 10_000).map(|seq| {
            let mut job = job(seq);
            job.place.due = 7; // one due for all
            Op::Insert(job)
        });
        let ticket = store.submit(&jobs.collect::<Vec<_>>()).expect("taken");
        store.wait(ticket, None).expect("settled");
    }
    store.close().expect("closed");
    let began = Mark::now();
    let store = open(&path, Durability::Relaxed);
    println!("open with {count} jobs of one due: {:?}", began.0.elapsed());
    let began = Mark::now();
    let query = Query::Page {
        target: None,
        after: Some(Place {
            due: 7,
            seq: count / 2,
        }),
        until: i64::MAX,
        limit: 4096,
    };
    ask(&store, query).expect("answered");
    println!("a page of 4,096 from its middle: {:?}", began.0.elapsed());
}

fn main() {
    let directory = std::env::args()
        .nth(1)
        .map_or_else(std::env::temp_dir, PathBuf::from);
    let one = plain(&directory, 1, 5_000);
    plain(&directory, 100, 1_000);
    let bulk = plain(&directory, 10_000, 10);
    let rate = many(&directory, 10);
    println!("    = {:.1} × SQLite alone (goal: 1)", rate / bulk);
    singles(&directory, Durability::Commit, 5_000);
    for count in [4, 16, 64] {
        let rate = threads(&directory, Durability::Commit, count, 100_000 / count);
        println!("    = {:.1} × one-row commits (goal at 16: 8)", rate / one);
    }
    singles(&directory, Durability::Relaxed, 500_000);
    threads(&directory, Durability::Relaxed, 4, 100_000);
    whole(&directory, Durability::Relaxed, 100_000);
    whole(&directory, Durability::Commit, 100_000);
    marks(&directory);
    pages(&directory, 1_000_000);
}
