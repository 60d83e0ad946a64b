//! A disk that fails: nothing is acknowledged that is not on it, and what it refuses once is
//! either tried again (no space) or never trusted again (a failed sync).

mod kit;

use duewheel_sqlite::testing::{Faults, Image, SimDisk, Survivors, image};
use duewheel_sqlite::{LocalStore, no_events};
use duewheel_store::{Answer, Error, Event, Op, Query, Store, ask};
use kit::model::{Model, Random};
use kit::{all, begin, done, job, on_disk};
use std::sync::{Arc, Mutex};

fn open(disk: &SimDisk) -> Result<LocalStore, duewheel_sqlite::Error> {
    LocalStore::open(&disk.path("jobs.db"), on_disk(disk), no_events())
}

/// The state of the files must be one of these.
fn expect(files: Image, states: &[Model], what: &str) {
    let store = open(&SimDisk::new(files)).unwrap_or_else(|error| panic!("{what}: {error}"));
    let jobs = all(&store);
    let known = states.iter().any(|state| {
        let mut state = state.clone();
        state.die(3);
        state.pending() == jobs
    });
    assert!(known, "{what}: {} jobs are no known state", jobs.len());
}

fn failing(faults: Faults, what: &str) -> bool {
    let disk = SimDisk::new(Image::new());
    let heard = Arc::new(Mutex::new(Vec::new()));
    let events = heard.clone();
    let events = Box::new(move |event| events.lock().unwrap().push(event));
    let store = LocalStore::open(&disk.path("jobs.db"), on_disk(&disk), events).unwrap();
    let (mut model, mut random) = (Model::changing(), Random::new(7));
    let mut states = vec![model.clone()];
    let (mut acknowledged, mut refused) = (0, None);
    disk.fail(faults);
    for number in 1..=60 {
        let before = model.clone();
        let batch = model.batch(&mut random);
        let ticket = match store.submit(&batch) {
            Ok(ticket) => ticket,
            Err(error) => {
                // A batch that is refused has not happened.
                model = before;
                refused = Some(error);
                continue;
            }
        };
        assert_eq!(refused, None, "{what}: a batch was taken after a refusal");
        states.push(model.clone());
        let settled = match number % 3 {
            0 => store.wait(ticket, None).map(|_| ()),
            1 => {
                let (send, receive) = std::sync::mpsc::channel();
                store.when(ticket, Box::new(move |result| send.send(result).unwrap()));
                receive.recv().unwrap()
            }
            _ => ask(&store, Query::Get("nobody".into())).map(|answer| {
                assert_eq!(answer, Answer::Job(None));
            }),
        };
        match settled {
            Ok(()) => {
                assert_eq!(refused, None, "{what}: settled after a refusal");
                acknowledged = states.len() - 1;
            }
            Err(error) => refused = Some(error),
        }
    }
    let closed = store.close();
    let changes = disk.changes();
    disk.fail(Faults::default());
    if let Some(error) = &refused {
        assert!(matches!(error, Error::Poisoned(_)), "{what}: {error:?}");
        assert!(closed.is_err(), "{what}: closed as if nothing had been");
        let heard = heard.lock().unwrap();
        assert!(
            heard
                .iter()
                .any(|event| matches!(event, Event::Poisoned(_))),
            "{what}"
        );
    } else if closed.is_ok() {
        acknowledged = states.len() - 1;
    }
    let states = &states[acknowledged..];
    expect(disk.files(), states, what);
    // A sync that failed has written nothing.
    expect(
        image(&Image::new(), &changes, Survivors::Synced),
        states,
        what,
    );
    refused.is_some() || closed.is_err()
}

#[test]
fn after_a_failed_sync_nothing_is_accepted_until_it_is_opened_again() {
    for syncs in 0..200 {
        let faults = Faults {
            syncs: Some(syncs),
            ..Faults::default()
        };
        if !failing(faults, &format!("after {syncs} syncs")) {
            assert!(syncs > 20, "only {syncs} syncs were made to fail");
            return;
        }
    }
}

/// A write fails once for want of something, and the disk is not to be trusted.
#[test]
fn a_failed_write_acknowledges_nothing() {
    for writes in 0..80 {
        let disk = SimDisk::new(Image::new());
        let store = open(&disk).unwrap();
        disk.fail(Faults {
            writes: Some(writes),
            ..Faults::default()
        });
        let mut kept = Vec::new();
        for seq in 1..=40 {
            let taken = store.submit(&[Op::Insert(job(seq, 1))]);
            if taken.and_then(|ticket| store.wait(ticket, None)).is_ok() {
                kept.push(seq);
            }
            if seq % 8 == 0 {
                // Nobody waits for the answer: while writes fail, none comes.
                store.ask(Query::Get("nobody".into()), Box::new(|_| {}));
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
            if seq == 30 {
                disk.fail(Faults::default());
            }
        }
        drop(store);
        let store = open(&SimDisk::new(disk.files())).unwrap();
        let found = kit::seqs(&store);
        assert!(
            kept.iter().all(|seq| found.contains(seq)),
            "after {writes} writes: {kept:?} were acknowledged, {found:?} are there"
        );
    }
}

#[test]
fn a_full_disk_refuses_new_jobs_takes_ends_and_recovers() {
    for more in [0, 1, 3, 10, 40, 100, 200, 270, 400, 600].map(|kib| kib * 1024) {
        let disk = SimDisk::new(Image::new());
        let store = open(&disk).unwrap();
        kit::insert(&store, (1..=50).map(|seq| job(seq, 1)));
        kit::to_tables(&store);
        let used: usize = disk.files().values().map(Vec::len).sum();
        disk.fail(Faults {
            space: Some(used as u64 + more),
            ..Faults::default()
        });
        let mut kept: Vec<u64> = (1..=50).collect();
        let mut full = 0;
        for seq in 51..=3000 {
            let mut large = job(seq, 1);
            large.data = vec![seq as u8; 1000].into();
            match store.submit(&[Op::Insert(large)]) {
                Ok(ticket) => {
                    assert_eq!(store.wait(ticket, None), Ok(true));
                    kept.push(seq);
                }
                Err(error) => {
                    assert_eq!(error, Error::Full);
                    full += 1;
                }
            }
        }
        assert!(full > 0, "{more} more bytes were never full");
        for seq in 1..=40 {
            let ticket = store.submit(&[begin(seq), done(seq)]).unwrap();
            assert_eq!(store.wait(ticket, None), Ok(true));
            kept.retain(|kept| *kept != seq);
        }
        let named = |seq| ask(&store, Query::Insert(vec![job(seq, 1)]));
        let refused = named(5000);
        assert!(matches!(refused, Err(Error::Full) | Ok(_)), "{refused:?}");
        if refused.is_ok() {
            kept.push(5000);
        }
        // What survives a kill in this state.
        let store_after_kill = open(&SimDisk::new(disk.files())).unwrap();
        let mut found = kit::seqs(&store_after_kill);
        found.sort_unstable();
        assert_eq!(found, kept, "killed with {more} more bytes");
        drop(store_after_kill);
        // A query waits for space.
        let (send, receive) = std::sync::mpsc::channel();
        store.ask(
            Query::Get(job(2999, 1).id.into_owned()),
            Box::new(move |answer| send.send(answer).unwrap()),
        );
        disk.fail(Faults::default());
        let answer = receive.recv_timeout(std::time::Duration::from_secs(10));
        assert!(
            matches!(answer, Ok(Ok(Answer::Job(found))) if found.is_some() == kept.contains(&2999))
        );
        kit::insert(&store, [job(6000, 1)]);
        kept.push(6000);
        store.close().unwrap();
        let mut found = kit::seqs(&open(&disk).unwrap());
        found.sort_unstable();
        assert_eq!(found, kept, "with {more} more bytes");
    }
}

#[test]
fn a_full_disk_at_open_is_an_error_and_no_more() {
    let disk = SimDisk::new(Image::new());
    let store = open(&disk).unwrap();
    kit::insert(&store, (1..=20).map(|seq| job(seq, 1)));
    let files = disk.files();
    drop(store);
    for more in (0..400).step_by(7).map(|kib| kib * 1024) {
        let disk = SimDisk::new(files.clone());
        let used: usize = files.values().map(Vec::len).sum();
        disk.fail(Faults {
            space: Some(used as u64 + more),
            ..Faults::default()
        });
        match open(&disk) {
            Ok(store) => assert_eq!(kit::seqs(&store).len(), 20),
            Err(error) => assert_eq!(error, Error::Full.into(), "with {more} more bytes"),
        }
        disk.fail(Faults::default());
        assert_eq!(kit::seqs(&open(&disk).unwrap()).len(), 20);
    }
}
