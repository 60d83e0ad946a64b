//! The files of a store on a disk of a test: as they are while it is in use, killed, closed, and after each change.

use super::model::Random;
use super::{job, on_disk, seqs};
use duewheel_sqlite::testing::{Image, SimDisk, Survivors, image};
use duewheel_sqlite::{Error, LocalStore, no_events};
use duewheel_store::{Error as StoreError, Store};

pub const DB: &str = "jobs.db";
pub const OPS: &str = "jobs.db-ops";
pub const WAL: &str = "jobs.db-wal";

pub fn open(disk: &SimDisk) -> Result<LocalStore, Error> {
    LocalStore::open(&disk.path(DB), on_disk(disk), no_events())
}

/// The files of a store with these jobs that is in use, or that was killed.
pub fn live(from: Image, jobs: std::ops::RangeInclusive<u64>) -> (SimDisk, LocalStore) {
    let disk = SimDisk::new(from);
    let store = open(&disk).unwrap();
    for seq in jobs {
        super::insert(&store, [job(seq, 1)]);
        if seq % 7 == 0 {
            super::to_tables(&store);
        }
    }
    (disk, store)
}

pub fn killed(from: Image, jobs: std::ops::RangeInclusive<u64>) -> Image {
    let (disk, store) = live(from, jobs);
    let files = disk.files();
    drop(store);
    files
}

pub fn closed(from: Image, jobs: std::ops::RangeInclusive<u64>) -> Image {
    let (disk, store) = live(from, jobs);
    store.close().unwrap();
    drop(store);
    let files = disk.files();
    assert_eq!(files.keys().collect::<Vec<_>>(), [DB]);
    files
}

/// These files of one image, those of another.
pub fn mixed(parts: &[(&Image, &[&str])]) -> Image {
    let mut files = Image::new();
    for (image, names) in parts {
        for name in *names {
            files.insert((*name).to_owned(), image[*name].clone());
        }
    }
    files
}

/// It is refused with the names of these files, and left as it was.
pub fn refused(files: &Image, named: &[&str], what: &str) -> String {
    let disk = SimDisk::new(files.clone());
    let error = match open(&disk) {
        Ok(store) => panic!("{what}: it opened with {} jobs", seqs(&store).len()),
        Err(Error::Store(StoreError::Corrupt(error))) => error,
        Err(other) => panic!("{what}: {other:?}"),
    };
    for name in named {
        let path = disk.path(name).display().to_string();
        assert!(error.contains(&path), "{what}: {error}");
    }
    assert!(&disk.files() == files, "{what}: it was written to");
    error
}

pub fn opens(files: &Image, jobs: u64, what: &str) {
    let disk = SimDisk::new(files.clone());
    let store = open(&disk).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(seqs(&store), (1..=jobs).collect::<Vec<_>>(), "{what}");
}

pub fn draws() -> Option<u64> {
    std::env::var("DUEWHEEL_STEPS").ok()?.parse().ok()
}

/// Open an image of every step of what a disk did, and compare.
pub fn at_every_step(disk: &SimDisk, start: &Image, from: usize, check: impl Fn(&Image, &str)) {
    let draws = draws().unwrap_or(2);
    let changes = disk.changes();
    println!("{} images", (changes.len() + 1 - from) as u64 * (2 + draws));
    let mut random = Random::new(5);
    for at in from..=changes.len() {
        let what = |how: &str| format!("after {at} of {} changes, {how}", changes.len());
        let files = image(start, &changes[..at], Survivors::All);
        check(&files, &what("killed"));
        let files = image(start, &changes[..at], Survivors::Synced);
        check(&files, &what("what was synced"));
        for draw in 0..draws {
            let mut source = || random.draw();
            let files = image(start, &changes[..at], Survivors::Random(&mut source));
            check(&files, &what(&format!("draw {draw}")));
        }
    }
}
