//! Two engines over one store that both claim from, which takes back what it likes: single jobs,
//! whole leases, in any order of messages. By hand the course follows from a seed alone; once
//! the messages travel on threads.

use duewheel_engine::clock::{Clock, ManualClock};
use duewheel_engine::engine::{Cancelled, Due, Engine, Moved, Pumped, Refused, StoreInbox, Window};
use duewheel_engine::handover::queue::{Lane, Turn};
use duewheel_engine::jobs::record::{Done, Parts, Payload, Released, Started};
use duewheel_engine::testing::{Random, made};
use duewheel_model::outcome::{Cause, Outcome, Reason};
use duewheel_model::time::SECOND;
use duewheel_store::testing::{SharedJobs, SharedStore, Weather};
use duewheel_store::{Answer, DeadJob, Error, Job, Query, RetryOptions, Ticket, WhichDead, ask};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

const WORKERS: usize = 3;
const IN_DOUBT: Refused = Refused::Store(Error::InDoubt);

#[derive(Clone, Copy, Debug)]
struct Data {
    number: u32,
    once: bool,
    /// What tells this copy from others of the same job.
    copy: u32,
}

impl Payload for Data {
    type Failure = String;

    fn target(self) -> u32 {
        0
    }

    fn parts<R>(self, look: impl FnOnce(Parts<'_>) -> R) -> R {
        look(Parts {
            target: "t",
            data: &self.number.to_le_bytes(),
            carried: None,
            options: RetryOptions {
                retry_limit: None,
                age_limit: None,
                min_backoff: SECOND,
                max_backoff: SECOND,
                at_most_once: self.once,
            },
        })
    }

    fn text(failure: &String) -> String {
        failure.clone()
    }
}

enum Work {
    /// Its mark is not settled yet.
    Marked(Started<Data>, Ticket),
    Running(Started<Data>),
}

struct Node {
    engine: Arc<Engine<Data>>,
    store: Arc<SharedStore>,
    workers: Vec<Work>,
}

impl Node {
    /// So many messages arrive.
    fn travel(&self, messages: u64) {
        for _ in 0..messages {
            self.store.step();
        }
    }

    fn new(jobs: &SharedJobs, weather: Weather, by_hand: bool, clock: &Arc<ManualClock>) -> Self {
        let inbox = StoreInbox::new().unwrap();
        let store = Arc::new(if by_hand {
            SharedStore::by_hand(jobs, weather, inbox.events())
        } else {
            SharedStore::join(jobs, weather, inbox.events())
        });
        let mut engine = Engine::new(Box::new(clock.clone())).unwrap();
        let window = Window {
            horizon: 2 * SECOND,
            resident: 12,
        };
        engine.put_behind(store.clone(), inbox, window);
        engine.set_registered(0, "t", Some(Lane::Workers));
        engine.start().unwrap();
        let workers = Vec::new();
        Node {
            engine: Arc::new(engine),
            store,
            workers,
        }
    }
}

/// What was promised, and what has happened.
#[derive(Default)]
struct Books {
    /// Whether a job is at most once, by its number.
    jobs: Vec<bool>,
    ids: Vec<String>,
    starts: HashMap<u32, u32>,
    cancelled: HashSet<u32>,
    /// Which may be stored, or cancelled, or not: nobody was told.
    in_doubt: HashSet<u32>,
    copies: u32,
    /// Copies that the engines have.
    alive: HashSet<u32>,
    /// How often an execution was not begun, for its job had been taken back.
    fenced: u32,
}

impl Books {
    fn data(&mut self, number: u32) -> Data {
        let copy = self.copies;
        self.copies += 1;
        self.alive.insert(copy);
        let once = self.jobs[number as usize];
        Data { number, once, copy }
    }

    /// What was refused at once is the caller's still; what the store refused is released.
    fn free_refused(&mut self, data: Data, released: &Released<Data>) {
        if !released.payloads.iter().any(|own| own.copy == data.copy) {
            assert!(self.alive.remove(&data.copy), "freed twice");
        }
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

    fn number(job: &Job<'_>) -> u32 {
        u32::from_le_bytes((&*job.data).try_into().unwrap())
    }
}

struct World {
    jobs: SharedJobs,
    nodes: [Node; 2],
    clock: Arc<ManualClock>,
    random: Random,
    books: Books,
    by_hand: bool,
}

impl World {
    fn step(&mut self) {
        let random = &mut self.random;
        let at = random.below(2) as usize;
        let (node, books) = (&mut self.nodes[at], &mut self.books);
        let mut released = Released::default();
        match random.below(14) {
            0..4 => {
                node.store.step();
                if !self.by_hand {
                    std::thread::sleep(Duration::from_micros(30));
                }
            }
            4..6 => while node.engine.pump() == Pumped::More {},
            6..8 => {
                for page in node.engine.pages() {
                    // It may be revoked while it is read.
                    node.travel(random.below(4));
                    let last = page.last.filter(|_| page.more);
                    let jobs = page.jobs.into_iter();
                    let jobs = jobs.map(|job| {
                        let data = books.data(Books::number(&job));
                        (job, data)
                    });
                    let jobs = jobs.collect();
                    node.engine.load(page.epoch, last, jobs, &mut released);
                }
            }
            8..10 if node.workers.len() < WORKERS => {
                let turn = node.engine.ready().turn(None, node.engine.clock());
                // It may be lost before it is begun.
                node.travel(random.below(4));
                match turn {
                    Turn::Run(started) => match node.engine.begin(&started) {
                        Ok(None) => {
                            books.start(&started, &node.store, self.by_hand);
                            node.workers.push(Work::Running(started));
                        }
                        Ok(Some(ticket)) => node.workers.push(Work::Marked(started, ticket)),
                        Err(Refused::Lost) => {
                            books.fenced += 1;
                            node.end(started.unhandled(), &mut released);
                        }
                        Err(other) => panic!("{other:?}"),
                    },
                    Turn::Settle => node.engine.settle_and_refill(Lane::Workers, &mut released),
                    Turn::Mark | Turn::Rest => {}
                }
            }
            10..13 if !node.workers.is_empty() => {
                let which = random.below(node.workers.len() as u64) as usize;
                match node.workers.swap_remove(which) {
                    Work::Marked(started, ticket) => {
                        match node.engine.wait_begun(&started, ticket, Duration::ZERO) {
                            Ok(false) => node.workers.push(Work::Marked(started, ticket)),
                            Ok(true) => {
                                books.start(&started, &node.store, self.by_hand);
                                node.workers.push(Work::Running(started));
                            }
                            Err(Refused::Lost) => {
                                books.fenced += 1;
                                node.end(started.unhandled(), &mut released);
                            }
                            Err(other) => panic!("{other:?}"),
                        }
                    }
                    Work::Running(started) => {
                        let later = self.clock.boot() + random.below(SECOND as u64) as i64;
                        let outcome = match random.below(10) {
                            0 | 1 if !started.execution.payload.once => {
                                Outcome::again(later, Cause::Retry, started.progress())
                            }
                            2 => Outcome::Dead {
                                reason: Reason::Failed,
                                failure: "because".to_owned(),
                            },
                            _ => Outcome::Done,
                        };
                        node.end(started.ended(outcome), &mut released);
                    }
                }
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

    /// Schedule, cancel or move something.
    fn call(&mut self) {
        let random = &mut self.random;
        let at = random.below(2) as usize;
        let (node, books) = (&self.nodes[at], &mut self.books);
        let mut released = Released::default();
        let known = books.jobs.len() as u64;
        let due = Due::In(random.below(3 * SECOND as u64) as i64);
        match random.below(if known == 0 { 2 } else { 5 }) {
            0 => {
                books.jobs.push(random.below(2) == 0);
                let data = books.data(known as u32);
                let (id, _) = node.engine.schedule(due, data, &mut released).unwrap();
                let id = duewheel_engine::jobs::record::Id::Generated(id);
                books.ids.push(id.with_str(str::to_owned));
            }
            1 => {
                books.jobs.push(random.below(2) == 0);
                let data = books.data(known as u32);
                let id = format!("job-{known}");
                let first = node.engine.schedule_as(&id, due, data, &mut released);
                match made(&node.engine, first, &mut released) {
                    Ok(_) => {
                        let again = books.data(known as u32);
                        let refused = node.engine.schedule_as(&id, due, again, &mut released);
                        let refused = made(&node.engine, refused, &mut released);
                        // Unless it has run already, on the other node.
                        match refused {
                            Err(Refused::Duplicate | IN_DOUBT) => {
                                books.free_refused(again, &released);
                            }
                            other => panic!("{other:?}"),
                        }
                    }
                    Err(IN_DOUBT) => {
                        books.free_refused(data, &released);
                        books.in_doubt.insert(known as u32);
                    }
                    Err(other) => panic!("{other:?}"),
                }
                books.ids.push(id);
            }
            2 => {
                let number = random.below(known) as usize;
                let id = &books.ids[number];
                let cancelled = node.engine.cancel(id, &mut released);
                let cancelled = match made(&node.engine, cancelled, &mut released) {
                    Err(IN_DOUBT) => {
                        books.in_doubt.insert(number as u32);
                        false
                    }
                    Ok(Cancelled::Here(_)) => panic!("the store alone can say"),
                    cancelled => matches!(cancelled.unwrap(), Cancelled::Stored),
                };
                if cancelled {
                    assert!(books.cancelled.insert(number as u32), "cancelled twice");
                }
            }
            3 => {
                let id = &books.ids[random.below(known) as usize];
                let due = self.clock.wall() + random.below(3 * SECOND as u64) as i64;
                let moved = node.engine.reschedule(id, due, &mut released);
                let moved = made(&node.engine, moved, &mut released);
                assert!(
                    matches!(moved, Ok(Moved::Yes | Moved::No) | Err(IN_DOUBT)),
                    "it comes with a page"
                );
            }
            _ => {
                let number = random.below(known) as u32;
                let id = &books.ids[number as usize];
                let revived = node.engine.revive(id, &mut released);
                match made(&node.engine, revived, &mut released) {
                    Ok(Moved::Near(job)) => {
                        let number = Books::number(job.job().unwrap());
                        // It may be started once more.
                        books.starts.remove(&number);
                        let data = books.data(number);
                        job.take_in(data, &mut released);
                    }
                    Ok(_) | Err(Refused::Duplicate) => {}
                    // It may be started once more.
                    Err(IN_DOUBT) => {
                        books.starts.entry(number).and_modify(|starts| *starts = 0);
                    }
                    Err(other) => panic!("{other:?}"),
                }
            }
        }
        books.free(&mut released);
    }

    fn is_over(&mut self) -> bool {
        let mut released = Released::default();
        let quiet = self.nodes.iter().all(|node| {
            let stats = node.engine.stats(&mut released);
            stats.pending == 0 && stats.running == 0
        });
        self.books.free(&mut released);
        quiet && self.jobs.stored() == 0
    }
}

impl Books {
    fn start(&mut self, started: &Started<Data>, store: &SharedStore, by_hand: bool) {
        let data = started.execution.payload;
        let starts = self.starts.entry(data.number).or_default();
        *starts += 1;
        assert!(!data.once || *starts == 1, "{data:?} was started twice");
        let owned = started.execution.id.with_str(|id| store.owns(id));
        assert!(owned || !by_hand, "{data:?} was started though lost");
        // At least once it may be started by who has not heard yet that it lost it.
        let cancelled = self.cancelled.contains(&data.number);
        assert!(
            !cancelled || !(data.once || by_hand),
            "{data:?} was started though cancelled"
        );
    }
}

impl Node {
    fn end(&self, done: Done<String>, released: &mut Released<Data>) {
        let turn = self.engine.ready().turn(Some(done), self.engine.clock());
        assert!(matches!(turn, Turn::Settle));
        self.engine.settle_and_refill(Lane::Workers, released);
    }
}

fn dead(store: &SharedStore) -> Vec<DeadJob> {
    loop {
        let query = Query::Dead {
            which: WhichDead::default(),
            before: None,
            limit: usize::MAX,
        };
        match ask(store, query) {
            Ok(Answer::Dead(dead)) => return dead.jobs,
            Err(Error::InDoubt) => {}
            other => panic!("{other:?}"),
        }
    }
}

fn run(seed: u64, by_hand: bool) -> u32 {
    let jobs = SharedJobs::new(4);
    let clock = Arc::new(ManualClock::new(1_000 * SECOND, 5 * SECOND));
    let mut random = Random::new(seed);
    let mut node = || {
        let weather = Weather {
            delay: Duration::from_micros(if by_hand { 0 } else { 60 }),
            drops: random.below(60),
            doubts: random.below(40),
            lost_leases: random.below(60),
            revocations: random.below(60),
            seed: random.below(u64::MAX),
        };
        Node::new(&jobs, weather, by_hand, &clock)
    };
    let nodes = [node(), node()];
    let books = Books::default();
    let mut world = World {
        jobs: jobs.clone(),
        nodes,
        clock,
        random,
        books,
        by_hand,
    };
    for _ in 0..60 {
        world.call();
        for _ in 0..world.random.below(30) {
            world.step();
        }
    }
    let mut steps = 0;
    while !world.is_over() {
        (0..20).for_each(|_| world.step());
        steps += 20;
        assert!(steps < 100_000, "seed {seed}: some jobs never end");
    }
    // Each has ended once: it succeeded, was cancelled, or died.
    let mut ended = jobs.over();
    let died = dead(&world.nodes[0].store);
    ended.extend(died.iter().map(|dead| dead.job.id.to_string()));
    ended.sort_unstable();
    let doubted = |number: usize| world.books.in_doubt.contains(&(number as u32));
    let all = world.books.ids.iter().enumerate();
    let all = all.filter(|(number, id)| !doubted(*number) || ended.contains(id));
    let mut all: Vec<String> = all.map(|(_, id)| id.clone()).collect();
    all.sort_unstable();
    assert_eq!(ended, all, "seed {seed}");
    for (number, id) in world.books.ids.iter().enumerate() {
        let number = number as u32;
        let ran = world.books.starts.contains_key(&number);
        let died = died.iter().any(|dead| dead.job.id == *id);
        let cancelled = world.books.cancelled.contains(&number);
        assert!(
            ran || died || cancelled || doubted(number as usize),
            "seed {seed}: {id} never ran"
        );
    }
    let mut released = Released::default();
    for node in &world.nodes {
        node.engine.close(&mut released);
        node.engine.check().unwrap();
    }
    world.books.free(&mut released);
    assert_eq!(world.books.alive, HashSet::new(), "seed {seed}");
    world.books.fenced
}

#[test]
fn two_nodes_over_one_store_start_nothing_twice_and_lose_nothing() {
    let fenced: u32 = (1..=40).map(|seed| run(seed, true)).sum();
    assert!(
        fenced > 40,
        "the weather is too good to prove anything: {fenced}"
    );
}

#[test]
fn the_same_while_messages_travel_on_threads() {
    (1..=5).for_each(|seed| {
        run(seed, false);
    });
}

#[test]
fn what_another_node_yields_comes_before_the_next_poll() {
    let jobs = SharedJobs::new(4).polled(Duration::from_secs(3_600));
    let clock = Arc::new(ManualClock::new(1_000 * SECOND, 5 * SECOND));
    let [one, other] = [(); 2].map(|()| Node::new(&jobs, Weather::default(), true, &clock));
    let mut released = Released::default();
    let mut take_in = |node: &Node| {
        while node.engine.pump() == Pumped::More {}
        node.travel(1);
        let pages = node.engine.pages();
        let found: usize = pages.iter().map(|page| page.jobs.len()).sum();
        if !pages.is_empty() {
            node.engine.load(0, None, Vec::new(), &mut released);
        }
        (pages.len(), found)
    };
    assert_eq!(take_in(&other), (1, 0), "the first is asked for at once");
    assert_eq!(take_in(&other), (0, 0), "the next in an hour");
    let data = Data {
        number: 0,
        once: false,
        copy: 0,
    };
    let mut scheduled = Released::default();
    let due = Due::In(SECOND);
    one.engine.schedule(due, data, &mut scheduled).unwrap();
    one.travel(9);
    assert_eq!(take_in(&other), (1, 1));
}

#[test]
fn a_job_whose_insertion_is_in_doubt_is_no_nodes() {
    let jobs = SharedJobs::new(4);
    let clock = Arc::new(ManualClock::new(1_000 * SECOND, 5 * SECOND));
    let weather = Weather {
        doubts: 100,
        seed: 7,
        ..Weather::default()
    };
    let node = Node::new(&jobs, weather, true, &clock);
    let mut released = Released::default();
    let ids: Vec<String> = (0..20).map(|number| format!("job-{number}")).collect();
    for (number, id) in (0..).zip(&ids) {
        let data = Data {
            number,
            once: false,
            copy: number,
        };
        let due = Due::In(SECOND);
        let scheduled = node.engine.schedule_as(id, due, data, &mut released);
        let scheduled = made(&node.engine, scheduled, &mut released);
        assert!(matches!(scheduled, Err(IN_DOUBT)), "{scheduled:?}");
    }
    node.travel(100);
    assert!((1..20).contains(&jobs.stored()), "{}", jobs.stored());
    assert!(!ids.iter().any(|id| node.store.owns(id)));
}
