//! Files that were removed, replaced or copied alone are refused, by name; what a kill or a loss of
//! power leaves at any step opens with all that was acknowledged.
//!
//! `DUEWHEEL_STEPS` is how many draws of what survives are opened at each step (20 in the full form,
//! which also kills what opens the files of a killed opening, and so on).

mod kit;

use duewheel_sqlite::testing::{Image, SimDisk, Survivors, image};
use duewheel_sqlite::{Durability, Error, LocalStore, Settings, no_events};
use duewheel_store::{Error as StoreError, Store};
use kit::files::*;
use kit::{Dir, job, on_disk, seqs};
use std::path::Path;

#[test]
fn after_a_kill_a_file_that_is_missing_or_empty_is_named() {
    for (first, last) in [(1, 50), (2, 51), (8, 300)] {
        let before = closed(Image::new(), 1..=first - 1);
        let files = killed(before, first..=last);
        opens(&files, last, "whole");
        let without = |names: &[&str]| {
            let mut files = files.clone();
            files.retain(|name, _| !names.contains(&name.as_str()));
            files
        };
        refused(&without(&[OPS]), &[OPS], "no journal");
        refused(&without(&[WAL]), &[WAL], "no log");
        let both = refused(&without(&[OPS, WAL]), &[DB, OPS, WAL], "neither");
        assert!(both.contains("backup(path)"), "{both}");
        refused(&without(&[DB]), &[OPS, WAL], "no database");
        refused(&without(&[DB, OPS]), &[WAL], "only the log");
        refused(&without(&[DB, WAL]), &[OPS], "only the journal");
        for name in [DB, OPS, WAL] {
            let mut files = files.clone();
            files.insert(name.into(), Vec::new());
            let own = [name];
            let named = if name == DB { &[OPS, WAL][..] } else { &own };
            refused(&files, named, name);
        }
        for name in [OPS, WAL] {
            let mut files = files.clone();
            let length = files[name].len();
            files.insert(name.into(), vec![0; length]);
            refused(&files, &[name], name);
        }
    }
}

#[test]
fn what_is_of_another_life_or_store_is_refused() {
    let first = closed(Image::new(), 1..=10);
    let other = killed(Image::new(), 1..=10);
    let second = killed(first.clone(), 11..=40);
    let third = killed(second.clone(), 41..=80);
    let last = closed(third.clone(), 81..=90);
    let all = [OPS, WAL];
    for (database, beside, what) in [
        (&first, &second, "a copy from before, over what a kill left"),
        (&first, &third, "an older copy"),
        (&first, &other, "the files of another store"),
        (&last, &second, "old files beside what was closed since"),
        (&last, &third, "the files it was opened with"),
        (&last, &other, "those of another store"),
        (&second, &other, "of another store"),
        (&second, &third, "of the life after"),
        (&third, &second, "of the life before"),
    ] {
        refused(&mixed(&[(database, &[DB]), (beside, &all)]), &[OPS], what);
        let log = if database.len() == 1 { &[WAL] } else { &[OPS] };
        let alone = mixed(&[(database, &[DB]), (beside, &[WAL])]);
        refused(&alone, log, &format!("{what}: the log alone"));
        let alone = mixed(&[(database, &[DB]), (beside, &[OPS])]);
        refused(&alone, &[if database.len() == 1 { OPS } else { WAL }], what);
        if database.len() > 1 {
            let replaced = mixed(&[(database, &[DB, WAL]), (beside, &[OPS])]);
            refused(&replaced, &[OPS], &format!("{what}: the journal replaced"));
            // SQLite's log goes on from one life to the next after a kill.
            if what == "of another store" {
                let replaced = mixed(&[(database, &[DB, OPS]), (beside, &[WAL])]);
                refused(&replaced, &[WAL], &format!("{what}: the log replaced"));
            }
        }
    }
    opens(&last, 90, "closed, alone");
}

#[test]
fn files_of_one_life_copied_at_different_times_are_refused() {
    let (disk, store) = live(Image::new(), 1..=30);
    let early = disk.files();
    // Several checkpoints later.
    kit::insert(&store, (31..=400).map(|seq| job(seq, 1)));
    for seq in 401..=460 {
        kit::insert(&store, [job(seq, 1)]);
        kit::to_tables(&store);
    }
    let late = disk.files();
    opens(&late, 460, "whole");
    refused(
        &mixed(&[(&early, &[DB]), (&late, &[OPS, WAL])]),
        &[WAL],
        "an early database",
    );
    refused(
        &mixed(&[(&early, &[WAL]), (&late, &[DB, OPS])]),
        &[WAL],
        "an early log",
    );
    refused(&mixed(&[(&late, &[DB])]), &[DB, OPS, WAL], "a bare copy");
}

/// What a kill leaves, and then a kill while that is opened, and so on.
fn opening_at_every_step(start: &Image, jobs: u64, depth: u32) {
    let disk = SimDisk::new(start.clone());
    let store = open(&disk).unwrap();
    let opened = disk.changes().len();
    store.close().unwrap();
    at_every_step(&disk, start, 0, |files, what| opens(files, jobs, what));
    if depth > 0 {
        let changes = disk.changes();
        for at in (0..opened).step_by(if draws().is_some() { 3 } else { 5 }) {
            let files = image(start, &changes[..at], Survivors::All);
            opening_at_every_step(&files, jobs, depth - 1);
        }
    }
}

#[test]
fn a_kill_at_any_step_of_opening_and_closing_leaves_what_opens() {
    opening_at_every_step(&Image::new(), 0, 1);
    opening_at_every_step(&closed(Image::new(), 1..=20), 20, 1);
    let crashed = killed(closed(Image::new(), 1..=20), 21..=60);
    opening_at_every_step(&crashed, 60, if draws().is_some() { 2 } else { 1 });
}

#[test]
fn a_kill_at_any_step_of_a_rotation_leaves_every_payload_readable() {
    let with = |disk: &SimDisk, default| Settings {
        keys: Some(kit::ring(default)),
        ..on_disk(disk)
    };
    let disk = SimDisk::new(Image::new());
    let store = LocalStore::open(&disk.path(DB), with(&disk, 1), no_events()).unwrap();
    kit::insert(&store, (1..=600).map(|seq| job(seq, 1)));
    store.close().unwrap();
    drop(store);
    let start = disk.files();
    let disk = SimDisk::new(start.clone());
    let store = LocalStore::open(&disk.path(DB), with(&disk, 2), no_events()).unwrap();
    let opened = disk.changes().len();
    kit::rotate(&store);
    store.close().unwrap();
    at_every_step(&disk, &start, opened, |files, what| {
        let disk = SimDisk::new(files.clone());
        let store = LocalStore::open(&disk.path(DB), with(&disk, 2), no_events())
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        let jobs = kit::all(&store);
        assert_eq!(jobs.len(), 600, "{what}");
        assert!(
            jobs.iter()
                .all(|job| *job.data == *kit::job(job.place.seq, 1).data)
        );
    });
}

#[test]
fn what_is_too_short_to_be_a_database_is_refused() {
    for length in [1, 2, 100, 511] {
        let files = Image::from([(DB.to_owned(), vec![0; length])]);
        let error = refused(&files, &[], "scrap");
        assert!(error.contains("too short"), "{error}");
    }
    opens(
        &Image::from([(DB.to_owned(), Vec::new())]),
        0,
        "an empty file",
    );
}

#[test]
fn a_file_that_is_refused_stays_as_it_was() {
    let keyed = |disk: &SimDisk| Settings {
        keys: Some(kit::ring(1)),
        ..on_disk(disk)
    };
    let disk = SimDisk::new(Image::new());
    let store = LocalStore::open(&disk.path(DB), keyed(&disk), no_events()).unwrap();
    kit::insert(&store, (1..=20).map(|seq| job(seq, 1)));
    let crashed = disk.files();
    store.close().unwrap();
    drop(store);
    let closed = disk.files();
    let mut newer = closed.clone();
    newer.get_mut(DB).unwrap()[60..64].copy_from_slice(&9u32.to_be_bytes());
    for (files, what) in [
        (&crashed, "crashed"),
        (&closed, "closed"),
        (&newer, "newer"),
    ] {
        let disk = SimDisk::new(files.clone());
        match (open(&disk), what) {
            (Err(Error::Newer { found: 9, .. }), "newer") => {}
            (Err(Error::Store(StoreError::WrongKey(_))), "crashed" | "closed") => {}
            (other, _) => panic!("{what}: {:?}", other.err()),
        }
        assert!(&disk.files() == files, "{what}: it was changed");
    }
    let disk = SimDisk::new(crashed);
    let store = LocalStore::open(&disk.path(DB), keyed(&disk), no_events()).unwrap();
    assert_eq!(seqs(&store).len(), 20);
}

#[test]
fn a_backup_is_no_part_of_the_life_it_was_made_in() {
    let dir = Dir::new();
    let path = dir.file(DB);
    let store = kit::open(&path, Durability::Commit);
    kit::insert(&store, (1..=20).map(|seq| job(seq, 1)));
    let copy = dir.file("copy.db");
    assert_eq!(kit::back_up(&store, &copy), Ok(()));
    kit::insert(&store, (21..=40).map(|seq| job(seq, 1)));
    let beside = |name: &Path, ending: &str| {
        let mut name = name.as_os_str().to_owned();
        name.push(ending);
        std::path::PathBuf::from(name)
    };
    let at = dir.file("restored.db");
    for endings in [&["-ops", "-wal"][..], &["-ops"], &["-wal"]] {
        std::fs::copy(&copy, &at).unwrap();
        for ending in endings {
            std::fs::copy(beside(&path, ending), beside(&at, ending)).unwrap();
        }
        match kit::refused(&at, kit::settings(Durability::Commit)) {
            Error::Store(StoreError::Corrupt(why)) => {
                let named = beside(&at, endings[0]).display().to_string();
                assert!(why.contains(&named), "{why}");
                assert!(why.contains("move away"), "{why}");
            }
            other => panic!("{other:?}"),
        }
        for ending in endings {
            std::fs::remove_file(beside(&at, ending)).unwrap();
        }
        let restored = kit::open(&at, Durability::Commit);
        assert_eq!(seqs(&restored).len(), 20);
        restored.close().unwrap();
        // A place beside which something lies is no place for a copy.
        let taken = dir.file("taken.db");
        std::fs::write(beside(&taken, endings[0]), b"").unwrap();
        match kit::back_up(&store, &taken) {
            Err(Error::Store(StoreError::Io(why))) => assert!(why.contains(endings[0]), "{why}"),
            other => panic!("{other:?}"),
        }
        std::fs::remove_file(beside(&taken, endings[0])).unwrap();
    }
}

#[test]
fn all_files_together_open_elsewhere_after_a_crash() {
    let dir = Dir::new();
    let path = dir.file(DB);
    let store = kit::open(&path, Durability::Commit);
    kit::insert(&store, (1..=50).map(|seq| job(seq, 1)));
    let moved = dir.file("a place #1 with 50 % ?.db");
    for ending in ["", "-ops", "-wal"] {
        let (mut from, mut to) = (
            path.clone().into_os_string(),
            moved.clone().into_os_string(),
        );
        from.push(ending);
        to.push(ending);
        std::fs::copy(from, to).unwrap();
    }
    let found = kit::open(&moved, Durability::Commit);
    assert_eq!(seqs(&found).len(), 50);
    found.close().unwrap();
    assert_eq!(seqs(&kit::open(&moved, Durability::Commit)).len(), 50);
}
