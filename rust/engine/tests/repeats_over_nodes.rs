//! Repeats of two engines over one store, which takes back what it likes and loses answers, while both call them: the course
//! follows from a seed alone.

use duewheel_engine::clock::{Clock, ManualClock};
use duewheel_engine::engine::{Engine, NewRepeat, Pumped, Refused, StoreInbox, Taken, Window};
use duewheel_engine::handover::queue::{Lane, Turn};
use duewheel_engine::jobs::record::{Done, Parts, Payload, Released, Started};
use duewheel_engine::jobs::repeats::Plan;
use duewheel_engine::testing::{Random, made};
use duewheel_model::outcome::{Cause, Outcome, Reason};
use duewheel_model::repeat::Terms;
use duewheel_model::time::SECOND;
use duewheel_schedule::Schedule;
use duewheel_store::testing::{SharedJobs, SharedStore, Weather};
use duewheel_store::{Error, RetryOptions, Ticket};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

const IDS: [&str; 4] = ["a", "b", "c", "d"];
const IN_DOUBT: Refused = Refused::Store(Error::InDoubt);

/// What tells this copy from others, and what it carries.
#[derive(Clone, Copy, Debug)]
struct Data {
    copy: u32,
    byte: u8,
    once: bool,
}

impl Payload for Data {
    type Failure = String;

    fn target(self) -> u32 {
        0
    }

    fn parts<R>(self, look: impl FnOnce(Parts<'_>) -> R) -> R {
        look(Parts {
            target: "t",
            data: &[self.byte, u8::from(self.once)],
            carried: None,
            options: RetryOptions {
                retry_limit: Some(1),
                age_limit: None,
                min_backoff: SECOND / 10,
                max_backoff: SECOND / 10,
                at_most_once: self.once,
            },
        })
    }

    fn for_dead(self, _failure: &mut String) -> Option<Self> {
        None // the repeat goes on with it
    }

    fn text(failure: &String) -> String {
        failure.clone()
    }
}

struct Node {
    engine: Arc<Engine<Data>>,
    store: Arc<SharedStore>,
    marked: Vec<(Started<Data>, Option<Ticket>)>,
    running: Vec<Started<Data>>,
}

impl Node {
    fn new(jobs: &SharedJobs, weather: Weather, clock: &Arc<ManualClock>) -> Self {
        let inbox = StoreInbox::new().unwrap();
        let store = Arc::new(SharedStore::by_hand(jobs, weather, inbox.events()));
        let mut engine = Engine::new(Box::new(clock.clone())).unwrap();
        let window = Window {
            horizon: 2 * SECOND,
            resident: 12,
        };
        engine.put_behind(store.clone(), inbox, window);
        engine.set_registered(0, "t", Some(Lane::Workers));
        engine.start().unwrap();
        Node {
            engine: Arc::new(engine),
            store,
            marked: Vec::new(),
            running: Vec::new(),
        }
    }

    fn end(&self, done: Done<String>, released: &mut Released<Data>) {
        let turn = self.engine.ready().turn(Some(done), self.engine.clock());
        assert!(matches!(turn, Turn::Settle));
        self.engine.settle_and_refill(Lane::Workers, released);
    }
}

/// What has run of a repeat.
#[derive(Clone, Copy, Default)]
struct Ran {
    number: u64,
    run: u32,
    starts: u32,
}

#[derive(Default)]
struct Books {
    ran: HashMap<String, Ran>,
    copies: u32,
    alive: HashSet<u32>,
    lost: u32,
}

impl Books {
    fn data(&mut self, byte: u8, once: bool) -> Data {
        let copy = self.copies;
        self.copies += 1;
        self.alive.insert(copy);
        Data { copy, byte, once }
    }

    fn free(&mut self, released: &mut Released<Data>) {
        released.failures.clear();
        for data in released.payloads.drain(..) {
            assert!(
                self.alive.remove(&data.copy),
                "{data:?} was given back twice"
            );
        }
    }

    fn start(&mut self, started: &Started<Data>) {
        let id = started.execution.id.with_str(str::to_owned);
        let Some(occurrence) = &started.occurrence else {
            return; // it was cancelled, and comes once more
        };
        let (number, run) = (occurrence.number, started.execution.progress.run);
        let ran = self.ran.entry(id.clone()).or_default();
        // At most once, one that was marked as its node was lost is dead without a start.
        let follows = match started.execution.payload.once {
            true => number > ran.number,
            false => number == ran.number || number == ran.number + 1,
        };
        assert!(follows, "{id}: {number} after {}", ran.number);
        assert!(run > ran.run, "{id}: run {run} after {}", ran.run);
        (ran.number, ran.run) = (number, run);
        ran.starts += 1;
    }
}

struct World {
    nodes: [Node; 2],
    clock: Arc<ManualClock>,
    random: Random,
    books: Books,
}

impl World {
    fn step(&mut self) {
        let random = &mut self.random;
        let (node, books) = (&mut self.nodes[random.below(2) as usize], &mut self.books);
        let mut released = Released::default();
        match random.below(14) {
            0..4 => drop(node.store.step()),
            4..6 => while node.engine.pump() == Pumped::More {},
            6..8 => {
                for page in node.engine.pages() {
                    for _ in 0..random.below(4) {
                        node.store.step();
                    }
                    let last = page.last.filter(|_| page.more);
                    let jobs = page.jobs.into_iter();
                    let jobs = jobs.map(|job| {
                        let data = books.data(job.data[0], job.data[1] == 1);
                        (job, data)
                    });
                    let jobs = jobs.collect();
                    let unreadable = node.engine.load(page.epoch, last, jobs, &mut released);
                    assert_eq!(unreadable, []);
                }
            }
            8..10 => match node.engine.ready().turn(None, node.engine.clock()) {
                Turn::Run(mut started) => {
                    let taken = node.engine.take_up(&mut started, |find| find());
                    let begun = match taken {
                        Ok(Taken { runs: true, .. }) => node.engine.begin(&started),
                        Ok(_) | Err(Refused::Lost) => Err(Refused::Lost),
                        Err(other) => panic!("{other:?}"),
                    };
                    match begun {
                        Ok(ticket) => node.marked.push((started, ticket)),
                        Err(Refused::Lost) => node.end(started.unhandled(), &mut released),
                        Err(other) => panic!("{other:?}"),
                    }
                }
                Turn::Settle => node.engine.settle_and_refill(Lane::Workers, &mut released),
                Turn::Mark | Turn::Rest => {}
            },
            10 if !node.marked.is_empty() => {
                let (started, ticket) = node.marked.swap_remove(0);
                let waited = ticket.map_or(Ok(true), |ticket| {
                    node.engine.wait_begun(&started, ticket, Duration::ZERO)
                });
                match waited {
                    Ok(false) => node.marked.push((started, ticket)),
                    Ok(true) => {
                        books.start(&started);
                        node.running.push(started);
                    }
                    Err(Refused::Lost) => {
                        books.lost += 1;
                        node.end(started.unhandled(), &mut released);
                    }
                    Err(other) => panic!("{other:?}"),
                }
            }
            11 | 12 if !node.running.is_empty() => {
                let at = random.below(node.running.len() as u64) as usize;
                let started = node.running.swap_remove(at);
                let outcome = match random.below(10) {
                    0 if !started.execution.payload.once => {
                        let later = self.clock.boot() + SECOND / 10;
                        Outcome::again(later, Cause::Retry, started.progress())
                    }
                    1 => Outcome::Dead {
                        reason: Reason::Failed,
                        failure: "because".to_owned(),
                    },
                    _ => Outcome::Done,
                };
                node.end(started.ended(outcome), &mut released);
            }
            _ => {
                let (wall, boot) = (self.clock.wall(), self.clock.boot());
                let passed = random.below(SECOND as u64 / 2) as i64;
                self.clock.set(wall + passed, boot + passed);
            }
        }
        self.books.free(&mut released);
        for node in &self.nodes {
            node.engine.check().unwrap();
        }
    }

    fn repeat(&mut self, id: &str, released: &mut Released<Data>) {
        let random = &mut self.random;
        let schedule = match random.below(3) {
            0 => Schedule::every(SECOND, None, false),
            1 => Schedule::every(3 * SECOND / 2, Some(0), false),
            _ => Schedule::every(SECOND / 2, None, true),
        };
        let once = id == "d";
        let payload = self.books.data(random.below(2) as u8, once);
        let new = NewRepeat {
            id: Some(id.into()),
            plan: Plan::new(schedule.unwrap(), Terms::default()),
            declared: id == "c",
            payload,
            seed: 7,
        };
        let engine = &self.nodes[random.below(2) as usize].engine;
        match made(engine, engine.repeat(new, released), released) {
            Ok(None) => {}
            // It was cancelled while it ran, and its end is on its way; a new life begins thereafter.
            Err(Refused::Duplicate | IN_DOUBT) => {}
            other => panic!("{other:?}"),
        }
    }

    /// Call one of the repeats.
    fn call(&mut self) {
        let id = IDS[self.random.below(4) as usize];
        let mut released = Released::default();
        let engine = self.nodes[self.random.below(2) as usize].engine.clone();
        match self.random.below(6) {
            0 | 1 => self.repeat(id, &mut released),
            2 => drop(made(
                &engine,
                engine.pause(id, &mut released),
                &mut released,
            )),
            3 => drop(made(
                &engine,
                engine.resume(id, &mut released),
                &mut released,
            )),
            4 => drop(made(
                &engine,
                engine.trigger(id, &mut released),
                &mut released,
            )),
            _ => {
                let due = self.clock.wall() + self.random.below(SECOND as u64) as i64;
                let moved = engine.reschedule(id, due, &mut released);
                drop(made(&engine, moved, &mut released));
            }
        }
        self.books.free(&mut released);
    }
}

fn run(seed: u64) -> (u32, u32) {
    // So many interruptions that none of them buries an occurrence.
    let jobs = SharedJobs::new(1_000_000);
    let clock = Arc::new(ManualClock::new(1_000 * SECOND, 5 * SECOND));
    let mut random = Random::new(seed);
    let mut node = || {
        let weather = Weather {
            delay: Duration::ZERO,
            drops: random.below(60),
            doubts: random.below(30),
            lost_leases: random.below(30),
            revocations: random.below(60),
            seed: random.below(u64::MAX),
        };
        Node::new(&jobs, weather, &clock)
    };
    let nodes = [node(), node()];
    let mut world = World {
        nodes,
        clock,
        random,
        books: Books::default(),
    };
    let mut released = Released::default();
    IDS.iter().for_each(|id| world.repeat(id, &mut released));
    for _ in 0..120 {
        world.call();
        (0..world.random.below(60)).for_each(|_| world.step());
    }
    let engine = world.nodes[0].engine.clone();
    for id in IDS {
        while made(&engine, engine.cancel(id, &mut released), &mut released).is_err() {}
    }
    world.books.free(&mut released);
    let mut steps = 0;
    while jobs.stored() > 0 {
        (0..20).for_each(|_| world.step());
        steps += 20;
        assert!(steps < 200_000, "seed {seed}: some never end");
    }
    for node in &world.nodes {
        node.engine.close(&mut released);
        for started in node
            .running
            .iter()
            .chain(node.marked.iter().map(|(started, _)| started))
        {
            node.engine
                .ready()
                .end(started.unhandled(), node.engine.clock());
        }
        node.engine.settle_and_refill(Lane::Workers, &mut released);
    }
    world.books.free(&mut released);
    assert_eq!(world.books.alive, HashSet::new(), "seed {seed}");
    let starts = world.books.ran.values().map(|ran| ran.starts).sum();
    (starts, world.books.lost)
}

#[test]
fn numbers_come_in_order_and_no_run_comes_twice_whatever_is_called_meanwhile() {
    let (mut starts, mut lost) = (0, 0);
    for seed in 1..=30 {
        let (started, fenced) = run(seed);
        (starts, lost) = (starts + started, lost + fenced);
    }
    assert!(starts > 500, "too little runs to prove anything: {starts}");
    assert!(
        lost > 20,
        "the weather is too good to prove anything: {lost}"
    );
}
