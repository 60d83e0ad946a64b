//! Files of earlier versions: each is kept here as the statements that made it.

mod kit;

use duewheel_sqlite::Durability;
use duewheel_sqlite::testing::{Image, SimDisk, Survivors, image};
use duewheel_store::{Answer, Job, Query, Store, StoredOutcome};
use kit::files::{self, DB, OPS, WAL, at_every_step, draws, killed, refused};
use kit::{Dir, all, dead, insert, job, open, seqs};

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
    assert_eq!(version, 5);
}

/// Files of the first version, as its process left them when it was killed: the database says so,
/// and the journal has batches that the tables lack.
fn version_1(dir: &Dir, crashed: bool) -> Image {
    let path = dir.file("version-1.db");
    let _ = std::fs::remove_file(&path);
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.execute_batch(VERSION_1).unwrap();
    let mut files = Image::new();
    if crashed {
        let later = killed(Image::new(), 1..=6);
        let mut journal = later[OPS].clone();
        let salt = u32::from_le_bytes(journal[16..20].try_into().unwrap());
        journal[..24].fill(0);
        journal[..16].copy_from_slice(b"duewheel ops 1\n\0");
        files.insert(OPS.into(), journal);
        connection
            .execute_batch(&format!(
                "UPDATE meta SET value = {salt} WHERE name = 'salt';
                 UPDATE meta SET value = 1 WHERE name = 'open';
                 UPDATE meta SET value = 0 WHERE name = 'applied';"
            ))
            .unwrap();
    }
    drop(connection);
    files.insert(DB.into(), std::fs::read(&path).unwrap());
    files
}

#[test]
fn a_kill_at_any_step_of_a_migration_leaves_what_opens() {
    let dir = Dir::new();
    for (crashed, jobs) in [(false, 2), (true, 8)] {
        let start = version_1(&dir, crashed);
        let disk = SimDisk::new(start.clone());
        let store = files::open(&disk).unwrap();
        assert_eq!(store.found().jobs, jobs);
        store.close().unwrap();
        at_every_step(&disk, &start, 0, |files, what| {
            let disk = SimDisk::new(files.clone());
            let store = files::open(&disk).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(store.found().jobs, jobs, "{what}");
            assert_eq!(seqs(&store).len() as u64, jobs, "{what}");
        });
        if crashed {
            let mut files = start.clone();
            files.remove(OPS);
            refused(&files, &[OPS], "its journal is missing");
        }
    }
}

/// Connected to a database on a disk of a test, whose log stays as it is.
fn raw(disk: &SimDisk) -> rusqlite::Connection {
    let connection = rusqlite::Connection::open_with_flags_and_vfs(
        disk.path(DB),
        rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE | rusqlite::OpenFlags::SQLITE_OPEN_CREATE,
        "duewheel-sim",
    )
    .unwrap();
    let kept = rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
    connection.set_db_config(kept, true).unwrap();
    connection
        .execute_batch("PRAGMA locking_mode = EXCLUSIVE; PRAGMA wal_autocheckpoint = 0;")
        .unwrap();
    connection
}

/// A version that had a log and a journal: the statements that made its tables, and its journal as its process left it
/// when it was killed, its head and its records.
struct Earlier {
    tables: String,
    journal: &'static str,
    /// How many jobs it has, and how many more its journal has.
    jobs: (usize, usize),
    has: fn(&[Job<'static>], crashed: bool, what: &str),
}

fn version_3() -> Earlier {
    Earlier {
        tables: include_str!("version_3.sql").to_owned(),
        journal: include_str!("version_3.ops"),
        jobs: (3, 3),
        has: |_, _, _| {},
    }
}

/// One that has no note of an ordered end.
fn version_2() -> Earlier {
    let older = "DELETE FROM meta WHERE name = 'left'; PRAGMA user_version = 2;";
    let Earlier { tables, .. } = version_3();
    Earlier {
        tables: tables + older,
        ..version_3()
    }
}

/// Of one that is killed the journal has an occurrence of `hourly` that was asked for, ran, and is followed by the next.
fn version_4() -> Earlier {
    Earlier {
        tables: include_str!("version_4.sql").to_owned(),
        journal: include_str!("version_4.ops"),
        jobs: (9, 1),
        has: |jobs, crashed, what| {
            let repeats = jobs.iter().filter_map(|job| {
                let repeat = job.repeat.as_ref()?;
                let standing = &repeat.standing;
                Some((
                    &*job.id,
                    job.place.seq,
                    job.progress.run,
                    standing.occurrence,
                    standing.paused,
                ))
            });
            let mut repeats: Vec<_> = repeats.collect();
            repeats.sort_unstable();
            let hourly = if crashed {
                ("hourly", 12, 2, 2, false)
            } else {
                ("hourly", 8, 1, 1, false)
            };
            let expected = [
                ("daily", 9, 1, 1, false),
                hourly,
                ("journalled", 15, 1, 1, false),
                ("paused", 10, 1, 1, true),
            ];
            assert_eq!(repeats, expected, "{what}");
            let named = |id: &str| jobs.iter().find(|job| job.id == id).unwrap();
            let retry = &named("retry").progress;
            let start = Some(1_796_049_521_785_276_530);
            assert_eq!(
                (retry.attempt, retry.run, retry.first_start),
                (2, 2, start),
                "{what}"
            );
            assert_eq!(named("parked").target, "nowhere", "{what}");
        },
    }
}

fn journal(digits: &str) -> Vec<u8> {
    let digits: Vec<u8> = digits
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    let bytes: Vec<u8> = digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect();
    let (head, records) = bytes.split_at(24);
    let mut journal = head.to_vec();
    journal.resize(4096, 0);
    journal.extend_from_slice(records);
    journal.resize(1 << 18, 0);
    journal
}

/// Files of an earlier version, closed; or killed, with a journal that the tables lack and a log that the file lacks.
fn files_of(version: &Earlier, crashed: bool) -> Image {
    let disk = SimDisk::new(Image::new());
    let connection = raw(&disk);
    connection
        .execute_batch("PRAGMA journal_mode = WAL")
        .unwrap();
    connection
        .execute_batch(&format!("BEGIN; {} COMMIT;", version.tables))
        .unwrap();
    let journal = journal(version.journal);
    let salt: Vec<u8> = journal[16..20].iter().rev().copied().collect();
    let log = disk.files()[WAL].clone();
    let field = |at: usize| u32::from_be_bytes(log[at..at + 4].try_into().unwrap());
    let (generation, salt_of_log) = (field(12), field(16));
    let life = [
        &u32::from(crashed).to_be_bytes()[..],
        &salt,
        &salt_of_log.wrapping_sub(generation).to_be_bytes(),
        &generation.to_be_bytes(),
    ];
    connection
        .execute("UPDATE life SET state = ?1", [life.concat()])
        .unwrap();
    let checkpoint = "PRAGMA wal_checkpoint(PASSIVE)";
    connection.query_row(checkpoint, [], |_| Ok(())).unwrap();
    if crashed {
        let later = "UPDATE job SET target = 'later' WHERE id = 'late'";
        connection.execute(later, []).unwrap();
    }
    drop(connection);
    let mut files = disk.files();
    if crashed {
        files.insert(OPS.into(), journal);
    } else {
        files.remove(WAL);
    }
    assert_eq!(files.len(), if crashed { 3 } else { 1 });
    files
}

/// All that was in the files of an earlier version is there, the job that ran interrupted once.
fn has_all(version: &Earlier, files: &Image, crashed: bool, what: &str) {
    let disk = SimDisk::new(files.clone());
    let store = files::open(&disk).unwrap_or_else(|error| panic!("{what}: {error}"));
    let jobs = all(&store);
    let (kept, more) = version.jobs;
    let expected = if crashed { kept + more } else { kept };
    assert_eq!(jobs.len(), expected, "{what}");
    assert_eq!(store.found().jobs, expected as u64, "{what}");
    assert_eq!(store.found().unapplied, [], "{what}");
    let named = |id: &str| jobs.iter().find(|job| job.id == id).unwrap();
    assert_eq!(named("runs").interruptions, 1, "{what}");
    assert_eq!(named("runs").progress.run, 2, "{what}");
    let target = if crashed { "later" } else { "mail" };
    assert_eq!(named("late").target, target, "{what}");
    let journalled = jobs
        .iter()
        .filter(|job| *job.data == *b"journal" && job.id.len() == 36);
    assert_eq!(journalled.count(), expected - kept, "{what}");
    (version.has)(&jobs, crashed, what);
    let dead = dead(&store);
    assert_eq!((dead.len(), &*dead[0].job.id), (1, "gone"), "{what}");
    // And it has what the schema is for.
    let repeats = jobs.iter().filter(|job| job.repeat.is_some()).count();
    let carries = Job {
        carried: kit::carried(100),
        ..kit::repeat(100, 5)
    };
    kit::insert(&store, [carries.clone()]);
    let found = kit::repeats(&store, None, 9).jobs;
    assert_eq!(
        (found.len(), found.last()),
        (repeats + 1, Some(&carries)),
        "{what}"
    );
    let unknown = Query::Outcome {
        id: "gone".into(),
        now: 0,
    };
    let unknown = duewheel_store::ask(&store, unknown);
    assert_eq!(
        unknown,
        Ok(Answer::Outcome(StoredOutcome::Unknown)),
        "{what}"
    );
}

#[test]
fn a_kill_at_any_step_of_a_migration_from_version_2_3_or_4_leaves_what_opens() {
    let versions = [version_2(), version_3(), version_4()];
    for (version, crashed) in versions.iter().flat_map(|one| [(one, false), (one, true)]) {
        let start = files_of(version, crashed);
        has_all(version, &start, crashed, "as it was");
        let disk = SimDisk::new(start.clone());
        let store = files::open(&disk).unwrap();
        let opened = disk.changes().len();
        store.close().unwrap();
        at_every_step(&disk, &start, 0, |files, what| {
            has_all(version, files, crashed, what);
        });
        // What a killed migration left is migrated by an opening that is killed, too.
        let changes = disk.changes();
        for at in (0..opened).step_by(if draws().is_some() { 3 } else { 9 }) {
            let files = image(&start, &changes[..at], Survivors::All);
            let disk = SimDisk::new(files.clone());
            drop(files::open(&disk).unwrap());
            at_every_step(&disk, &files, 0, |files, what| {
                has_all(version, files, crashed, what);
            });
        }
        if crashed {
            let mut files = start.clone();
            files.remove(OPS);
            refused(&files, &[OPS], "its journal is missing");
        }
    }
}
