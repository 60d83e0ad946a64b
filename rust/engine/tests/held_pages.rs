//! What a target holds over a file: a few of its jobs in memory, the rest on disk, and all of them in their order.

use duewheel_engine::clock::{Clock, ManualClock};
use duewheel_engine::controls::{Controls, Rate};
use duewheel_engine::engine::{Cancelled, Due, Engine, StoreInbox, Window};
use duewheel_engine::handover::queue::{Lane, Turn};
use duewheel_engine::jobs::record::{Id, Parts, Payload, Released, Started};
use duewheel_engine::testing::{Random, made};
use duewheel_model::outcome::{Cause, Outcome};
use duewheel_model::retry::RetryOptions;
use duewheel_model::time::SECOND;
use duewheel_sqlite::{LocalStore, Settings};
use duewheel_store::{Answer, Query, ask};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const NAMES: [&str; 3] = ["held", "free", "other"];
const HELD: u32 = 0;
const FREE: u32 = 1;
const OTHER: u32 = 2;

/// A payload of one of these targets.
#[derive(Clone, Copy, Debug)]
struct Of(u32);

impl Payload for Of {
    type Failure = String;

    fn target(self) -> u32 {
        self.0
    }

    fn parts<R>(self, look: impl FnOnce(Parts<'_>) -> R) -> R {
        look(Parts {
            target: NAMES[self.0 as usize],
            data: b"",
            carried: None,
            options: RetryOptions {
                retry_limit: None,
                age_limit: None,
                min_backoff: SECOND,
                max_backoff: SECOND,
                at_most_once: false,
            },
        })
    }
}

fn limit(concurrency: usize) -> Controls {
    Controls {
        concurrency: Some(concurrency),
        ..Controls::default()
    }
}

/// An engine over a file, driven by hand; it counts the pages that it asks for.
struct Bench {
    path: PathBuf,
    clock: Arc<ManualClock>,
    engine: Arc<Engine<Of>>,
    released: Released<Of>,
    pages: usize,
    most: u64,
}

impl Bench {
    fn new(name: &str, resident: usize) -> Self {
        let name = format!("duewheel-{}-{name}.db", std::process::id());
        let path = std::env::temp_dir().join(name);
        let clock = Arc::new(ManualClock::new(1_000 * SECOND, 7 * SECOND));
        let engine = open(&path, &clock, resident);
        Bench {
            path,
            clock,
            engine,
            released: Released::default(),
            pages: 0,
            most: 0,
        }
    }

    fn control(&self, target: u32, controls: Option<Controls>) {
        let lane = controls.map(|_| Lane::Workers);
        let name = NAMES[target as usize];
        let controls = controls.unwrap_or_default();
        self.engine.set_controlled(target, name, lane, controls);
    }

    fn schedule(&mut self, due: Due, target: u32) -> String {
        let made = self.engine.schedule(due, Of(target), &mut self.released);
        Id::Generated(made.unwrap().0).with_str(str::to_owned)
    }

    fn now(&self) -> i64 {
        self.clock.wall()
    }

    fn take_in(&mut self, question: Query) {
        let Ok(Answer::Page(page)) = ask(&*self.engine.store().unwrap(), question) else {
            panic!("no page");
        };
        self.pages += 1;
        let last = page.last.filter(|_| page.more);
        let payload = |name: &str| Of(NAMES.iter().position(|of| *of == name).unwrap() as u32);
        let jobs = page.jobs.into_iter();
        let jobs = jobs.map(|job| (payload(&job.target), job));
        let jobs = jobs.map(|(payload, job)| (job, payload)).collect();
        self.engine.load(page.epoch, last, jobs, &mut self.released);
    }

    /// What starts next, at its due.
    fn start(&mut self) -> Option<Started<Of>> {
        while let Some(question) = self.engine.page_wanted() {
            self.take_in(question);
        }
        while let Some(question) = self.engine.page_before_next() {
            self.take_in(question);
        }
        self.engine.check().unwrap();
        let here = self.engine.stats(&mut self.released).pending - self.engine.paged_out();
        self.most = self.most.max(here);
        let (at, _) = self.engine.manual_next()?;
        let by = at - self.clock.boot();
        self.clock.set(self.clock.wall() + by, at);
        self.engine.manual_expire();
        let Turn::Run(started) = self.engine.ready().turn(None, self.engine.clock()) else {
            return self.start(); // it was parked, or is held
        };
        self.engine.begin(&started).unwrap();
        self.engine.note_start(&started);
        Some(started)
    }

    fn end(&mut self, started: Started<Of>, outcome: Outcome<String>) {
        let done = started.ended(outcome);
        self.engine.ready().end(done, self.engine.clock());
        let released = &mut self.released;
        self.engine.settle_and_refill(Lane::Workers, released);
    }

    /// Run all of what may start: the ids, as they come.
    fn run(&mut self) -> Vec<String> {
        let mut ids = Vec::new();
        while let Some(started) = self.start() {
            ids.push(started.execution.id.with_str(str::to_owned));
            self.end(started, Outcome::Done);
        }
        ids
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.engine.close(&mut Released::default());
        let _ = std::fs::remove_file(&self.path);
    }
}

fn open(path: &Path, clock: &Arc<ManualClock>, resident: usize) -> Arc<Engine<Of>> {
    let inbox = StoreInbox::new().unwrap();
    let store = LocalStore::open(path, Settings::default(), inbox.events()).unwrap();
    let mut engine = Engine::new(Box::new(clock.clone())).unwrap();
    let window = Window {
        horizon: 3_600 * SECOND,
        resident,
    };
    engine.put_behind(Arc::new(store), inbox.clone(), window);
    engine.drive_by_hand();
    engine.start().unwrap();
    Arc::new(engine)
}

const JOBS: usize = 1_000;

/// All of them were in memory, and took the room of what others have to run.
#[test]
fn what_is_held_is_paged_out_and_comes_back_in_its_order() {
    let mut bench = Bench::new("held", 320);
    bench.control(HELD, Some(limit(1)));
    let mut random = Random::new(1);
    let mut all = Vec::new();
    for number in 0..JOBS {
        let ago = random.below(50) as i64 * SECOND;
        let due = match number % 2 {
            0 => Due::At(bench.now() - ago),
            _ => Due::In(-ago),
        };
        all.push((bench.now() - ago, number, bench.schedule(due, HELD)));
    }
    let first = bench.start().expect("one may start");
    assert!(bench.start().is_none(), "and no other");
    let here = JOBS as u64 - bench.engine.paged_out();
    assert!(here <= 40, "{here} are in memory");
    let stats = bench.engine.stats(&mut bench.released);
    assert_eq!((stats.pending, stats.parked), (JOBS as u64 - 1, 0));
    // Those that come meanwhile are behind, and one that is due before all takes its place.
    for number in JOBS..JOBS + 100 {
        all.push((bench.now(), number, bench.schedule(Due::In(0), HELD)));
    }
    let early = bench.now() - 60 * SECOND;
    let of_early = bench.schedule(Due::At(early), HELD);
    all.push((early, JOBS + 100, of_early));
    // What is on disk is cancelled, moved and found as ever.
    let (_, _, gone) = all.remove(JOBS - 3);
    let cancelled = bench.engine.cancel(&gone, &mut bench.released);
    let cancelled = made(&bench.engine, cancelled, &mut bench.released).unwrap();
    assert!(!matches!(cancelled, Cancelled::No));
    let moved = all.remove(JOBS / 2);
    let later = bench.now() + SECOND;
    let to = bench
        .engine
        .reschedule(&moved.2, later, &mut bench.released);
    made(&bench.engine, to, &mut bench.released).unwrap();
    all.push((later, JOBS + 101, moved.2));

    let id = first.execution.id.with_str(str::to_owned);
    bench.end(first, Outcome::Done);
    let mut order = vec![id];
    order.extend(bench.run());
    // The first was taken up before the early one came.
    let place = all.iter().position(|job| job.2 == order[0]).unwrap();
    all.remove(place);
    all.sort();
    let expected: Vec<_> = all.into_iter().map(|job| job.2).collect();
    assert_eq!(order[1..], expected);
    assert_eq!(bench.engine.stats(&mut bench.released).pending, 0);
}

/// How many pages a free target costs beside what another one holds, and how many jobs are in memory at most.
fn beside(held: usize) -> (usize, u64) {
    let mut bench = Bench::new(&format!("beside-{held}"), 3_200);
    bench.control(HELD, Some(limit(1)));
    bench.control(FREE, Some(Controls::default()));
    for _ in 0..=held {
        bench.schedule(Due::In(0), HELD);
    }
    let runs = bench.start().expect("one of them may start");
    assert!(bench.start().is_none());
    (bench.pages, bench.most) = (0, 0);
    for _ in 0..JOBS {
        bench.schedule(Due::In(SECOND), FREE);
    }
    let ran = bench.run();
    assert_eq!((ran.len(), runs.execution.payload.0), (JOBS, HELD));
    (bench.pages, bench.most)
}

#[test]
fn what_is_held_over_a_file_costs_other_targets_no_page() {
    let (without, beside) = (beside(0), beside(10_000));
    assert_eq!(beside.0, without.0);
    assert!(beside.1 <= without.1 + 220, "{beside:?} {without:?}");
}

#[test]
fn a_rate_starts_what_is_on_disk_when_it_may() {
    let mut bench = Bench::new("rate", 64);
    let rate = Rate {
        interval: SECOND,
        tolerance: SECOND,
    };
    let controls = Controls {
        rate: Some(rate),
        priority: 3 * SECOND,
        ..Controls::default()
    };
    bench.control(HELD, Some(controls));
    let ids: Vec<_> = (0..200).map(|_| bench.schedule(Due::In(0), HELD)).collect();
    let began = bench.now();
    let (mut order, mut most) = (Vec::new(), 0);
    while let Some(started) = bench.start() {
        let number = order.len() as i64;
        let at = began + (number - 1).max(0) * SECOND;
        assert_eq!(bench.now(), at, "start {number}");
        order.push(started.execution.id.with_str(str::to_owned));
        let pending = bench.engine.stats(&mut bench.released).pending;
        most = most.max(pending - bench.engine.paged_out());
        bench.end(started, Outcome::Done);
    }
    assert_eq!(order, ids);
    assert!(most <= 40, "{most} are in memory");
}

#[test]
fn what_is_on_disk_follows_the_controls_of_its_target() {
    let mut bench = Bench::new("controls", 320);
    bench.control(HELD, Some(limit(1)));
    bench.control(OTHER, Some(limit(1)));
    let ids: Vec<_> = (0..JOBS)
        .map(|number| bench.schedule(Due::In(0), [HELD, OTHER][number % 2]))
        .collect();
    let running: Vec<_> = (0..2).map(|_| bench.start().unwrap()).collect();
    assert!(bench.start().is_none());
    assert!(bench.engine.paged_out() > JOBS as u64 - 100);
    let parked = |bench: &mut Bench| bench.engine.stats(&mut bench.released).parked;

    // Without a handler it is parked, with one that has another limit it is held again.
    bench.control(HELD, None);
    assert!(bench.start().is_none());
    assert_eq!(parked(&mut bench), JOBS as u64 / 2 - 1);
    bench.control(HELD, Some(limit(2)));
    assert_eq!(parked(&mut bench), 0);
    let second = bench.start().expect("two of it may run");
    assert_eq!(second.execution.id.with_str(str::to_owned), ids[2]);
    assert!(bench.start().is_none());

    // Stopped, nothing comes in.
    bench.engine.stop();
    assert!(bench.engine.page_before_next().is_none());
    bench.engine.start().unwrap();

    // Without a limit all of it comes.
    bench.control(HELD, Some(Controls::default()));
    let ran = bench.run();
    let expected: Vec<_> = ids.iter().step_by(2).skip(2).cloned().collect();
    assert_eq!(ran, expected);
    for started in running {
        bench.end(started, Outcome::Done);
    }
    bench.end(second, Outcome::Done);
    let ran = bench.run();
    let expected: Vec<_> = ids.iter().skip(1).step_by(2).skip(1).cloned().collect();
    assert_eq!(ran, expected);
}

#[test]
fn what_is_held_on_disk_is_there_when_the_file_is_opened_again() {
    let mut bench = Bench::new("again", 320);
    for life in 0..3 {
        bench.control(HELD, Some(limit(1)));
        if life == 0 {
            for _ in 0..JOBS {
                bench.schedule(Due::In(0), HELD);
            }
        }
        for _ in 0..10 {
            let started = bench.start().unwrap();
            bench.end(started, Outcome::Done);
        }
        assert!(bench.most < JOBS as u64 || life == 0);
        bench.engine.close(&mut bench.released);
        bench.engine = open(&bench.path, &bench.clock, 320);
        bench.most = 0;
    }
    bench.control(HELD, Some(limit(1)));
    assert_eq!(bench.run().len(), JOBS - 30);
}

/// Targets, limits and moments at random: held against what is in memory whole.
#[test]
fn a_small_memory_starts_what_a_large_one_starts() {
    for seed in 0..3 {
        let runs = [40, 100_000].map(|resident| {
            let mut bench = Bench::new(&format!("random-{seed}-{resident}"), resident);
            let mut random = Random::new(seed);
            let mut starts = Vec::new();
            let mut running: Vec<Started<Of>> = Vec::new();
            let mut number = 0;
            for target in 0..3 {
                bench.control(target, Some(limit(1 + target as usize)));
            }
            for step in 0..1_000 {
                let target = random.below(3) as u32;
                let ahead = (random.below(40) as i64 - 20) * SECOND;
                match random.below(if step < 700 { 10 } else { 3 }) {
                    3.. => {
                        let due = match random.below(2) {
                            0 => Due::At(bench.now() + ahead),
                            _ => Due::In(ahead),
                        };
                        bench.schedule(due, target);
                        number += 1;
                    }
                    2 if random.below(20) == 0 => {
                        let rate = Rate {
                            interval: SECOND / 4,
                            tolerance: 0,
                        };
                        let controls = [
                            limit(1),
                            limit(4),
                            Controls {
                                rate: Some(rate),
                                ..Controls::default()
                            },
                        ];
                        let chosen = random.below(3) as usize;
                        bench.control(target, Some(controls[chosen]));
                    }
                    1 if !running.is_empty() => {
                        let at = random.below(running.len() as u64) as usize;
                        let started = running.remove(at);
                        let again = random.below(3) == 0;
                        let due = bench.clock.boot() + random.below(3) as i64 * SECOND;
                        let outcome = match again {
                            true => Outcome::again(due, Cause::Retry, started.progress()),
                            false => Outcome::Done,
                        };
                        bench.end(started, outcome);
                    }
                    _ => {
                        if let Some(started) = bench.start() {
                            let execution = &started.execution;
                            starts.push((bench.now(), execution.payload.0, execution.sequence));
                            running.push(started);
                        }
                    }
                }
            }
            while !running.is_empty() {
                bench.end(running.remove(0), Outcome::Done);
                while let Some(started) = bench.start() {
                    let execution = &started.execution;
                    starts.push((bench.now(), execution.payload.0, execution.sequence));
                    running.push(started);
                }
            }
            assert!(starts.len() >= number);
            (starts, bench.most)
        });
        assert_eq!(runs[0].0, runs[1].0, "seed {seed}");
        assert!(runs[0].1 < runs[1].1, "{} {}", runs[0].1, runs[1].1);
    }
}
