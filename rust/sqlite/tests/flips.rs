//! Flipped bits in the closed file: a typed error or the right payload.
//!
//! `DUEWHEEL_FLIPS` is how many (5,000 in the full form).

mod kit;

use duewheel_sqlite::testing::{Image, SimDisk};
use duewheel_sqlite::{Error, LocalStore, Settings, no_events};
use duewheel_store::{Answer, Error as StoreError, Query, Store, WhichDead, ask};
use kit::model::Random;
use kit::{bury, job, ring};
use std::collections::BTreeMap;
use std::sync::Arc;

fn open(disk: &SimDisk) -> Result<LocalStore, Error> {
    let settings = Settings {
        disk: Arc::new(disk.clone()),
        keys: Some(ring(1)),
        ..Settings::default()
    };
    LocalStore::open(&disk.path("jobs.db"), settings, no_events())
}

#[test]
fn a_flipped_bit_is_an_error_or_harmless() {
    let told = std::env::var("DUEWHEEL_FLIPS").ok();
    let flips = told.and_then(|told| told.parse().ok()).unwrap_or(1000);
    let disk = SimDisk::new(Image::new());
    let store = open(&disk).unwrap();
    let one = |seq: u64| match seq % 4 {
        0 => kit::repeat(seq, 70 - seq as i64),
        _ => job(seq, 70 - seq as i64),
    };
    kit::insert(&store, (1..=60).map(one));
    for seq in 1..=10 {
        kit::put(
            &store,
            &[
                kit::begin(seq),
                bury(seq, duewheel_store::Reason::Failed, 1),
            ],
        );
    }
    store.close().unwrap();
    let payloads: BTreeMap<String, Vec<u8>> = (1..=60)
        .map(|seq| (job(seq, 0).id.into_owned(), job(seq, 0).data.into_owned()))
        .collect();
    let mut comes_again = 0;
    let files = disk.files();
    let mut random = Random::new(3);
    let (mut errors, mut read) = (0, 0);
    for flip in 0..flips {
        let mut files = files.clone();
        let bytes = files.get_mut("jobs.db").unwrap();
        let at = random.below(bytes.len() as u64) as usize;
        bytes[at] ^= 1 << random.below(8);
        let what = format!("flip {flip} at byte {at}");
        let disk = SimDisk::new(files);
        let store = match open(&disk) {
            Ok(store) => store,
            Err(error) => {
                assert!(
                    !matches!(
                        error,
                        Error::Locked { .. }
                            | Error::Store(StoreError::Full | StoreError::Poisoned(_))
                    ),
                    "{what}: {error:?}"
                );
                errors += 1;
                continue;
            }
        };
        let (after, until, limit) = (None, i64::MAX, 1000);
        let page = ask(
            &store,
            Query::Page {
                target: None,
                after,
                until,
                limit,
            },
        );
        let repeats = ask(&store, Query::Repeats { after: None, limit });
        let (which, before) = (WhichDead::default(), None);
        let dead = ask(
            &store,
            Query::Dead {
                which,
                before,
                limit,
            },
        );
        for answer in [page, repeats, dead] {
            let jobs = match answer {
                Ok(Answer::Page(page)) => {
                    errors += page.unreadable.len();
                    page.jobs
                }
                Ok(Answer::Dead(dead)) => {
                    errors += dead.unreadable.len();
                    dead.jobs.into_iter().map(|dead| dead.job).collect()
                }
                Ok(other) => panic!("{what}: {other:?}"),
                Err(_) => {
                    errors += 1;
                    continue;
                }
            };
            for job in jobs {
                assert_eq!(
                    payloads.get(&*job.id),
                    Some(&job.data.into_owned()),
                    "{what}"
                );
                read += 1;
                if let Some(repeat) = &job.repeat {
                    assert!(repeat.standing.occurrence > 0, "{what}: {repeat:?}");
                    comes_again += 1;
                }
            }
        }
    }
    println!("{flips} flips: {errors} errors, {read} payloads read, {comes_again} of repeats");
    assert!(errors > 0 && read > 0 && comes_again > 0);
}

#[test]
fn a_flipped_bit_in_the_journal_takes_no_more_than_the_last_batch() {
    let disk = SimDisk::new(Image::new());
    let store = open(&disk).unwrap();
    for seq in 1..=40 {
        kit::insert(&store, [job(seq, 1)]);
    }
    let files = disk.files();
    let used = files["jobs.db-ops"].iter().rposition(|&byte| byte != 0);
    let mut random = Random::new(9);
    let (mut errors, mut read) = (0, 0);
    for flip in 0..300 {
        let mut files = files.clone();
        let bytes = files.get_mut("jobs.db-ops").unwrap();
        let at = random.below(used.unwrap() as u64 + 1) as usize;
        bytes[at] ^= 1 << random.below(8);
        match open(&SimDisk::new(files)) {
            Ok(store) => {
                let found = kit::seqs(&store);
                assert!(found.len() >= 39, "flip {flip} at {at}: {found:?}");
                assert!(found.iter().copied().eq(1..=found.len() as u64));
                read += 1;
            }
            Err(error) => {
                assert!(
                    matches!(error, Error::Store(StoreError::Corrupt(_))),
                    "{error}"
                );
                errors += 1;
            }
        }
    }
    println!("300 flips in the journal: {errors} errors, {read} harmless");
    assert!(errors > 0 && read > 0);
}

#[test]
fn a_payload_whose_key_is_forgotten_is_not_given_out_sealed() {
    let dir = kit::Dir::new();
    let path = dir.file("jobs.db");
    let keyed = || Settings {
        keys: Some(ring(1)),
        ..Settings::default()
    };
    let store = LocalStore::open(&path, keyed(), no_events()).unwrap();
    kit::insert(&store, [job(1, 1), job(2, 2)]);
    store.close().unwrap();
    let connection = rusqlite::Connection::open(&path).unwrap();
    // As the flip of one bit in the row's head would.
    let forget = "UPDATE job SET key = NULL WHERE seq = 1";
    assert_eq!(connection.execute(forget, ()), Ok(1));
    drop(connection);
    let store = LocalStore::open(&path, keyed(), no_events()).unwrap();
    let (after, until, limit) = (None, i64::MAX, 10);
    let page = Query::Page {
        target: None,
        after,
        until,
        limit,
    };
    match ask(&store, page) {
        Ok(Answer::Page(page)) => {
            assert_eq!(page.unreadable.len(), 1);
            assert_eq!(page.jobs.len(), 1);
            assert_eq!(page.jobs[0].place.seq, 2);
        }
        other => panic!("{other:?}"),
    }
}
