//! What every store must do, whatever is behind it: one suite, run over each of them.

mod kit;

use duewheel_sqlite::{Durability, LocalStore, Settings, no_events};
use duewheel_store::testing::{SharedJobs, SharedStore, Weather};
use duewheel_store::{Answer, ClockKind, Error, Event, Job, Op, Query, Reason, Store, ask};
use kit::model::{Model, Random};
use kit::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

type Open<'a> = &'a dyn Fn() -> Box<dyn Store>;

const STORM: Weather = Weather {
    delay: Duration::from_micros(300),
    drops: 20,
    lost_leases: 0,
    doubts: 0,
    revocations: 0,
    seed: 5,
};

/// Run a test over every store.
fn each(test: fn(Open<'_>)) {
    let dir = Dir::new();
    let count = AtomicU64::new(0);
    let fresh = || {
        let count = count.fetch_add(1, Ordering::Relaxed);
        dir.file(&format!("jobs-{count}.db"))
    };
    test(&|| Box::new(open(&fresh(), Durability::Commit)));
    test(&|| Box::new(open(&fresh(), Durability::Relaxed)));
    test(&|| {
        let settings = Settings {
            keys: Some(ring(1)),
            ..Settings::default()
        };
        Box::new(LocalStore::open(&fresh(), settings, no_events()).unwrap())
    });
    for weather in [Weather::default(), STORM] {
        test(&|| Box::new(SharedStore::join(&SharedJobs::new(3), weather, no_events())));
    }
}

/// Take jobs in and let go of them, so that they come with a page.
fn put_away(store: &dyn Store, jobs: &[Job<'static>]) {
    let inserts = jobs.iter().cloned().map(Op::Insert);
    let yields = jobs.iter().map(|job| Op::Yield(job.place.seq));
    put(store, &inserts.chain(yields).collect::<Vec<_>>());
}

#[test]
fn pages_come_in_order_and_miss_nothing() {
    each(|open| {
        let store = open();
        let mut random = Random::new(1);
        let mut jobs: Vec<_> = (1..=200)
            .map(|seq| job(seq, random.below(20) as i64 * 10))
            .collect();
        put_away(&*store, &jobs);
        jobs.sort_by_key(|job| job.place);
        let (mut read, mut after) = (Vec::new(), None);
        for until in [0, 50, 51, 100, i64::MAX] {
            loop {
                let limit = 1 + random.below(30) as usize;
                let page = page(&*store, after, until, limit);
                assert!(page.jobs.len() <= limit);
                assert!(page.jobs.iter().all(|job| job.place.due < until));
                assert_eq!(page.more, {
                    let end = read.len() + page.jobs.len();
                    end < jobs.len() && jobs[end].place.due < until
                });
                read.extend(page.jobs);
                after = read.last().map(|job: &Job<'_>| job.place).or(after);
                if !page.more {
                    break;
                }
            }
        }
        assert_eq!(read, jobs);
    });
}

#[test]
fn what_happens_to_a_job_is_told_of_it() {
    each(|open| {
        let store = open();
        insert(&*store, (1..=6).map(|seq| job(seq, 10)));
        let id = |seq| job(seq, 0).id.into_owned();
        put(&*store, &[Op::Delete(1)]);
        assert_eq!(get(&*store, &id(1)), None);
        let (to, clock) = (place(99, 7), ClockKind::Wall);
        put(&*store, &[Op::Move { seq: 2, to, clock }]);
        let moved = get(&*store, &id(2)).unwrap();
        assert_eq!((moved.place, moved.clock), (to, clock));
        assert_eq!((moved.job_due, moved.progress.run), (10, 1));
        put(&*store, &[begin(3), begin(4), begin(5), begin(6)]);
        let failed = bury(5, Reason::Failed, 1234);
        put(&*store, &[done(3), again(4, place(50, 8), 2, 2), failed]);
        put(&*store, &[Op::Release(6)]);
        assert_eq!(get(&*store, &id(3)), None);
        let again = get(&*store, &id(4)).unwrap();
        assert_eq!((again.place, again.progress.attempt), (place(50, 8), 2));
        assert_eq!(
            (again.progress.run, again.progress.first_start),
            (2, Some(77))
        );
        assert_eq!(get(&*store, &id(5)), None);
        let dead = dead(&*store);
        assert_eq!((dead.len(), &*dead[0].job.id), (1, &*id(5)));
        assert_eq!((dead[0].reason, dead[0].died), (Reason::Failed, 1234));
        assert_eq!(
            (&*dead[0].error, dead[0].job.progress.attempt),
            ("Traceback …", 1)
        );
        assert_eq!(get(&*store, &id(6)), Some(job(6, 10)));
    });
}

#[test]
fn only_what_has_not_begun_is_cancelled_or_moved_by_id() {
    each(|open| {
        let store = open();
        put_away(
            &*store,
            &(1..=3).map(|seq| job(seq, 10)).collect::<Vec<_>>(),
        );
        page(&*store, None, 100, 10);
        put(&*store, &[begin(3)]);
        let id = |seq| job(seq, 0).id.into_owned();
        let changed = |query| ask(&*store, query) == Ok(Answer::Changed(true));
        assert!(changed(Query::Cancel(id(1))));
        assert!(!changed(Query::Cancel(id(1))));
        assert!(!changed(Query::Cancel(id(3))));
        let to = |id, seq| Query::Move {
            id,
            to: place(5, seq),
            clock: ClockKind::Wall,
        };
        assert!(changed(to(id(2), 4)));
        assert!(!changed(to(id(3), 5)));
        assert!(!changed(to(id(9), 6)));
        assert_eq!(get(&*store, &id(2)).unwrap().place, place(5, 4));
        assert_eq!(get(&*store, &id(1)), None);
        assert!(get(&*store, &id(3)).is_some());
    });
}

#[test]
fn ids_are_unique_among_what_is_pending_or_runs() {
    each(|open| {
        let store = open();
        let insert = |jobs: Vec<Job<'static>>| ask(&*store, Query::Insert(jobs));
        let named = |seq: u64, id: &'static str| {
            let mut job = job(seq, 10);
            job.id = id.into();
            job
        };
        assert_eq!(insert(vec![named(1, "a"), named(2, "b")]), Ok(Answer::Done));
        let taken = |id: &str| Err(Error::Duplicate(id.into()));
        assert_eq!(insert(vec![named(3, "c"), named(4, "b")]), taken("b"));
        assert_eq!(insert(vec![named(3, "c"), named(4, "c")]), taken("c"));
        assert_eq!(get(&*store, "c"), None, "all of them or none");
        put(&*store, &[begin(2)]);
        assert_eq!(insert(vec![named(5, "b")]), taken("b"));
        put(&*store, &[bury(2, Reason::Failed, 1)]);
        assert_eq!(insert(vec![named(5, "b")]), Ok(Answer::Done));
        let (id, to, clock) = ("b".to_owned(), place(1, 6), ClockKind::Boot);
        let revive = ask(&*store, Query::Revive { id, to, clock });
        assert_eq!(revive, taken("b"));
    });
}

#[test]
fn the_dead_come_newest_first_and_are_purged_by_time() {
    each(|open| {
        let store = open();
        insert(&*store, (1..=9).map(|seq| job(seq, 10)));
        for seq in 1..=9 {
            let died = bury(seq, Reason::Discarded, seq as i64);
            put(&*store, &[begin(seq), died]);
        }
        let (mut seen, mut before) = (Vec::new(), None);
        while let Ok(Answer::Dead(dead)) = ask(&*store, Query::Dead { before, limit: 2 }) {
            seen.extend(dead.jobs.iter().map(|dead| dead.job.place.seq));
            before = dead.last;
            if before.is_none() {
                break;
            }
        }
        assert_eq!(seen, [9, 8, 7, 6, 5, 4, 3, 2, 1]);
        let purged = ask(&*store, Query::Purge(Some(4)));
        assert_eq!(purged, Ok(Answer::Count(3)));
        let id = job(5, 0).id.into_owned();
        let (to, clock) = (place(3, 10), ClockKind::Boot);
        let revived = ask(&*store, Query::Revive { id, to, clock });
        let Ok(Answer::Job(Some(revived))) = revived else {
            panic!("{revived:?}");
        };
        assert_eq!((revived.progress.run, revived.progress.attempt), (2, 1));
        assert_eq!((revived.place, revived.progress.first_start), (to, None));
        assert_eq!(ask(&*store, Query::Purge(None)), Ok(Answer::Count(5)));
        assert_eq!(dead(&*store), []);
        assert_eq!(get(&*store, &revived.id), Some(revived));
    });
}

#[test]
fn tickets_settle_in_order_and_call_back() {
    each(|open| {
        let store = open();
        let (send, receive) = mpsc::channel();
        let mut last = None;
        for seq in 1..=50 {
            let ticket = store.submit(&[Op::Insert(job(seq, 1))]).unwrap();
            assert!(last.is_none_or(|last| last < ticket));
            last = Some(ticket);
            let send = send.clone();
            store.when(ticket, Box::new(move |result| send.send(result).unwrap()));
        }
        for _ in 1..=50 {
            assert_eq!(receive.recv_timeout(Duration::from_secs(10)), Ok(Ok(())));
        }
        let soon = Instant::now() + Duration::from_secs(10);
        assert_eq!(store.wait(last.unwrap(), Some(soon)), Ok(true));
    });
}

#[test]
fn after_close_everything_is_refused() {
    each(|open| {
        let store = open();
        insert(&*store, [job(1, 1)]);
        store.close().unwrap();
        store.close().unwrap();
        assert_eq!(store.submit(&[Op::Delete(1)]), Err(Error::Closed));
        assert_eq!(ask(&*store, Query::Get("a".into())), Err(Error::Closed));
    });
}

/// The store has the jobs of the model, and no other that there ever was.
fn check(store: &dyn Store, model: &Model) {
    let jobs: BTreeMap<&str, &Job<'_>> = model.jobs.values().map(|job| (&*job.id, job)).collect();
    for seq in 1..=model.seq {
        let id = job(seq, 0).id;
        assert_eq!(get(store, &id).as_ref(), jobs.get(&*id).copied(), "{id}");
    }
}

#[test]
fn any_course_of_batches_leaves_what_the_model_says() {
    each(|open| {
        for seed in 1..=6 {
            let store = open();
            let (mut model, mut random) = (Model::default(), Random::new(seed));
            for _ in 0..150 {
                let batch = model.batch(&mut random);
                let ticket = store.submit(&batch).unwrap();
                match random.below(20) {
                    0 => assert_eq!(store.wait(ticket, None), Ok(true)),
                    1 => check(&*store, &model),
                    _ => {}
                }
            }
            check(&*store, &model);
            let died: Vec<_> = dead(&*store)
                .into_iter()
                .rev()
                .map(|dead| (dead.job.id.into_owned(), dead.reason))
                .collect();
            assert_eq!(died, model.dead);
        }
    });
}

/// What a node remembers, as an engine would.
#[derive(Default)]
struct Held {
    jobs: BTreeMap<u64, Job<'static>>,
    /// The newest epoch that was lost.
    lost: u64,
}

/// One node that claims, starts and ends jobs, and obeys what the store tells it.
fn run_node(jobs: &SharedJobs, weather: Weather, starts: &Mutex<Vec<(String, bool)>>, seed: u64) {
    let held = Arc::new(Mutex::new(Held::default()));
    let memory = held.clone();
    let events = Box::new(move |event| {
        let mut held = memory.lock().unwrap();
        match event {
            Event::LeaseLost(epoch) => {
                held.jobs.clear();
                held.lost = epoch;
            }
            Event::Revoked(seqs) => held.jobs.retain(|seq, _| !seqs.contains(seq)),
            Event::Poisoned(_) | Event::Unapplied(..) | Event::Available(_) => {}
        }
    });
    let store = SharedStore::join(jobs, weather, events);
    let mut random = Random::new(seed);
    let mut idle = 0;
    while idle < 40 {
        let page = page(&store, None, i64::MAX, 1 + random.below(8) as usize);
        idle = if page.jobs.is_empty() { idle + 1 } else { 0 };
        let mut mine = held.lock().unwrap();
        if page.epoch > mine.lost {
            let places = page.jobs.into_iter().map(|job| (job.place.seq, job));
            mine.jobs.extend(places);
        }
        let batch: Vec<u64> = mine.jobs.keys().copied().collect();
        drop(mine);
        for seq in batch {
            let ticket = store.submit(&[begin(seq)]).unwrap();
            store.wait(ticket, None).unwrap();
            // Between the mark and the start the lease may be lost: then it is forgotten here.
            let Some(job) = held.lock().unwrap().jobs.remove(&seq) else {
                continue;
            };
            starts
                .lock()
                .unwrap()
                .push((job.id.to_string(), job.options.at_most_once));
            if random.below(10) == 0 && !job.options.at_most_once {
                let to = place(job.place.due, seq + 100_000);
                let attempt = again(seq, to, job.progress.attempt + 1, job.progress.run + 1);
                store.submit(&[attempt, Op::Yield(to.seq)]).unwrap();
            } else {
                store.submit(&[done(seq)]).unwrap();
            }
        }
    }
    store.close().unwrap();
}

#[test]
fn two_nodes_share_jobs_and_lose_none() {
    for seed in 1..=4 {
        let shared = SharedJobs::new(1000);
        let jobs: Vec<_> = (1..=200)
            .map(|seq| {
                if seq % 3 == 0 {
                    once(seq, 10)
                } else {
                    job(seq, 10)
                }
            })
            .collect();
        let first = SharedStore::join(&shared, Weather::default(), no_events());
        put_away(&first, &jobs);
        let starts = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for node in 0..2 {
                let weather = Weather {
                    delay: Duration::from_micros(100),
                    drops: 10,
                    doubts: 0,
                    lost_leases: 10,
                    revocations: 20,
                    seed: seed * 10 + node,
                };
                let (shared, starts) = (&shared, &starts);
                scope.spawn(move || run_node(shared, weather, starts, seed * 100 + node));
            }
        });
        assert_eq!(shared.stored(), 0, "some jobs were never run");
        let starts = starts.into_inner().unwrap();
        let started: BTreeSet<&String> = starts.iter().map(|(id, _)| id).collect();
        let died: BTreeSet<String> = dead(&first)
            .into_iter()
            .map(|dead| dead.job.id.into_owned())
            .collect();
        for job in &jobs {
            let id = job.id.to_string();
            let ran = starts.iter().filter(|(other, _)| *other == id).count();
            if job.options.at_most_once {
                assert!(ran <= 1, "{id} was started {ran} times");
                assert!(ran == 1 || died.contains(&id), "{id} vanished");
            } else {
                assert!(started.contains(&id), "{id} never ran");
            }
        }
    }
}
