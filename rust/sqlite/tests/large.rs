//! Many stored jobs: opening and paging cost what a page costs, in time and in memory.
//!
//! `DUEWHEEL_STORED` is how many (100,000,000 in the full form, which needs 30 GB of disk), and
//! `DUEWHEEL_STORED_FILE` a file that is kept: filled further if it is there already.

mod kit;

use duewheel_sqlite::Durability;
use duewheel_store::{Op, Store};
use kit::{Dir, job, open, page};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Resident memory of this process, where the system tells it.
fn resident_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1024)
}

/// A million of one due, then rising ones, one in a hundred of them anywhere.
fn due(seq: u64) -> i64 {
    match seq {
        ..=1_000_000 => 7,
        _ if seq.is_multiple_of(100) => 8 + (seq.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20) as i64,
        _ => 8 + (seq << 16) as i64,
    }
}

#[test]
#[ignore = "takes minutes"]
fn opening_costs_what_a_page_costs() {
    let told = std::env::var("DUEWHEEL_STORED").ok();
    let stored: u64 = told.and_then(|told| told.parse().ok()).unwrap_or(2_000_000);
    let dir = Dir::new();
    let kept = std::env::var_os("DUEWHEEL_STORED_FILE").map(PathBuf::from);
    let path = kept.unwrap_or_else(|| dir.file("jobs.db"));
    let store = open(&path, Durability::Relaxed);
    let before = store.found().seq;
    let began = Instant::now();
    for from in (before..stored).step_by(10_000) {
        let jobs = (from + 1..=stored.min(from + 10_000)).map(|seq| Op::Insert(job(seq, due(seq))));
        let ticket = store.submit(&jobs.collect::<Vec<_>>()).unwrap();
        store.wait(ticket, None).unwrap();
    }
    store.close().unwrap();
    println!("stored {} in {:?}", stored - before, began.elapsed());
    let began = Instant::now();
    let store = open(&path, Durability::Relaxed);
    let opened = began.elapsed();
    let (mut slowest, mut after) = (Duration::ZERO, None);
    for _ in 0..50 {
        let began = Instant::now();
        after = page(&store, after, i64::MAX, 4096).last;
        slowest = slowest.max(began.elapsed());
    }
    let middle = Some(kit::place(8 + (1 << 36), 0));
    let began = Instant::now();
    assert_eq!(page(&store, middle, i64::MAX, 4096).jobs.len(), 4096);
    let scattered = began.elapsed();
    assert_eq!(store.found().jobs, stored);
    let resident = resident_mib();
    println!(
        "opened in {opened:?}, the slowest page took {slowest:?}, one of scattered rows \
         {scattered:?}; {resident:?} MiB are resident"
    );
    assert!(opened < Duration::from_secs(2));
    assert!(resident.is_none_or(|resident| resident < 300));
}
