//! The store that nodes share: it keeps the boundary's promises, and those of a shared store as well.

use duewheel_store::testing::conformance::exercise;
use duewheel_store::testing::drive::{claim, dead, put_yielded};
use duewheel_store::testing::jobs::{again, begin, done, job, once, place};
use duewheel_store::testing::model::Random;
use duewheel_store::testing::nodes;
use duewheel_store::testing::outcomes::keeps_outcomes;
use duewheel_store::testing::{SharedJobs, SharedStore, Weather};
use duewheel_store::{Event, Events, Job, Op, Store};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const STORM: Weather = Weather {
    delay: Duration::from_micros(300),
    drops: 20,
    doubts: 0,
    lost_leases: 0,
    revocations: 0,
    seed: 5,
};

fn no_events() -> Events {
    Box::new(|_| {})
}

#[test]
fn it_does_what_every_store_must() {
    for weather in [Weather::default(), STORM] {
        exercise(&|| Box::new(SharedStore::join(&SharedJobs::new(3), weather, no_events())));
    }
}

#[test]
fn it_keeps_outcomes() {
    for weather in [Weather::default(), STORM] {
        keeps_outcomes(&|| Box::new(SharedStore::join(&SharedJobs::new(3), weather, no_events())));
    }
}

#[test]
fn it_does_what_every_store_must_that_nodes_share() {
    for weather in [Weather::default(), STORM] {
        nodes::exercise(&|| {
            let jobs = SharedJobs::new(3);
            Box::new(move |events| Box::new(SharedStore::join(&jobs, weather, events)))
        });
    }
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
            Event::Paused(_)
            | Event::Contested(..)
            | Event::ClockApart(_)
            | Event::Poisoned(_)
            | Event::Unapplied(..)
            | Event::Available(_)
            | Event::Wanted(_) => {}
        }
    });
    let store = SharedStore::join(jobs, weather, events);
    let mut random = Random::new(seed);
    let mut idle = 0;
    while idle < 40 {
        let page = claim(
            &store,
            &["email.welcome"],
            i64::MAX,
            1 + random.below(8) as usize,
        );
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
        put_yielded(&first, &jobs);
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
