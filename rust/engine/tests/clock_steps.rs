//! The engine on a wall clock that is stepped, in both directions, while jobs wait on both clocks.
//!
//! The clocks here behave as the machine's do (they are told to the engine with a jitter, which a
//! manual clock has none of), so the engine reads their offset as seldom as it does in earnest.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use duewheel_engine::clock::{Clock, ManualClock, SystemClock};
use duewheel_engine::due::queue::ClockKind;
use duewheel_engine::engine::{Due, Engine, Pumped};
use duewheel_engine::handover::queue::{Lane, Turn};
use duewheel_engine::jobs::record::{Done, Payload, Released, Started};
use duewheel_engine::timer;
use duewheel_model::outcome::Outcome;
use duewheel_model::time::SECOND;
use proptest::prelude::*;

const MILLISECOND: i64 = 1_000_000;
const HOUR: i64 = 3_600 * SECOND;

/// A job by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Numbered(u32);

impl Payload for Numbered {
    type Failure = ();
    fn target(self) -> u32 {
        0
    }
}

// In steps: what is due when, on clocks that the test moves.

#[derive(Debug, Default)]
struct Stepped {
    boot: AtomicI64,
    wall: AtomicI64,
}

#[derive(Clone, Debug)]
struct Shared(Arc<Stepped>);

impl Clock for Shared {
    fn boot(&self) -> i64 {
        self.0.boot.load(SeqCst)
    }

    fn wall(&self) -> i64 {
        self.0.wall.load(SeqCst)
    }

    fn jitter(&self) -> i64 {
        SystemClock.jitter()
    }
}

struct Waiting {
    number: u32,
    kind: ClockKind,
    due: i64,
}

/// An engine whose timer and worker the test is, and what must yet start.
struct Driven {
    engine: Engine<Numbered>,
    clock: Shared,
    waiting: Vec<Waiting>,
    scheduled: u32,
    /// When, on the boot clock, the wall clock was last stepped.
    stepped: i64,
}

impl Driven {
    fn new() -> Self {
        let clock = Shared(Arc::default());
        clock.0.boot.store(77 * SECOND, SeqCst);
        clock.0.wall.store(1_760_000_000 * SECOND, SeqCst);
        let engine = Engine::new(Box::new(clock.clone())).unwrap();
        engine.set_registered(0, "", Some(Lane::Workers));
        engine.start().unwrap();
        Self {
            engine,
            clock,
            waiting: Vec::new(),
            scheduled: 0,
            stepped: 0,
        }
    }

    fn now(&self, kind: ClockKind) -> i64 {
        match kind {
            ClockKind::Wall => self.clock.wall(),
            ClockKind::Boot => self.clock.boot(),
        }
    }

    fn schedule(&mut self, kind: ClockKind, early_wake: i64) {
        let due = self.now(kind) + early_wake;
        let number = self.scheduled;
        self.scheduled += 1;
        let given = match kind {
            ClockKind::Wall => Due::At(due),
            ClockKind::Boot => Due::In(early_wake),
        };
        self.engine
            .schedule(given, Numbered(number), &mut Released::default())
            .unwrap();
        self.waiting.push(Waiting { number, kind, due });
    }

    fn advance(&self, span: i64) {
        self.clock.0.boot.fetch_add(span, SeqCst);
        self.clock.0.wall.fetch_add(span, SeqCst);
    }

    fn step(&mut self, span: i64) {
        self.clock.0.wall.fetch_add(span, SeqCst);
        self.stepped = self.clock.boot();
    }

    /// Runs what is due, as the timer would on waking and a worker after it.
    fn run(&mut self) {
        loop {
            let pumped = self.engine.pump();
            let mut done = None;
            loop {
                match self.engine.ready().turn(done.take(), self.engine.clock()) {
                    Turn::Run(started) => {
                        self.started(&started);
                        done = Some(ended(&started));
                    }
                    Turn::Settle => self
                        .engine
                        .settle_and_refill(Lane::Workers, &mut Released::default()),
                    Turn::Mark | Turn::Rest => break,
                }
            }
            match pumped {
                Pumped::More => {}
                Pumped::Closed => panic!("nobody closed it"),
                Pumped::Sleep(until) => {
                    for (kind, until) in
                        [(ClockKind::Wall, until.wall), (ClockKind::Boot, until.boot)]
                    {
                        let dues = self
                            .waiting
                            .iter()
                            .filter(|job| job.kind == kind)
                            .map(|job| job.due);
                        let first = dues.min();
                        assert_eq!(
                            until, first,
                            "the timer sleeps for another time of the {kind:?} clock"
                        );
                        assert!(
                            first.is_none_or(|due| due > self.now(kind)),
                            "what is due was left"
                        );
                    }
                    break;
                }
            }
        }
        self.engine.check().unwrap();
    }

    fn started(&mut self, started: &Started<Numbered>) {
        let execution = &started.execution;
        let at = self
            .waiting
            .iter()
            .position(|job| job.number == execution.payload.0);
        let job = self
            .waiting
            .remove(at.expect("a job that has not started yet"));
        assert_eq!((execution.clock, execution.due), (job.kind, job.due));
        assert!(self.now(job.kind) >= job.due, "{execution:?} is early");
        // First by due on the wall clock as it stands now, then by number.
        let place = |job: &Waiting| match job.kind {
            ClockKind::Wall => (job.due, job.number),
            ClockKind::Boot => (job.due + self.clock.wall() - self.clock.boot(), job.number),
        };
        let early_wake = self
            .waiting
            .iter()
            .filter(|job| self.now(job.kind) >= job.due);
        assert!(
            early_wake.map(place).all(|other| place(&job) < other),
            "{execution:?} is out of order"
        );
        if self.clock.boot() - self.stepped > MILLISECOND {
            // What it is told: its due on the wall clock, and how late it is by its own.
            let near = |told: i64, is: i64| (told - is).abs() <= self.clock.jitter();
            assert!(near(started.wall_due, place(&job).0), "{started:?}");
            assert!(
                near(started.lateness, self.now(job.kind) - job.due),
                "{started:?}"
            );
        }
    }
}

fn ended(started: &Started<Numbered>) -> Done<()> {
    started.ended(Outcome::Done)
}

#[derive(Clone, Debug)]
enum Op {
    Schedule(ClockKind, i64),
    Advance(i64),
    Step(i64),
    Run,
}

fn ops() -> impl Strategy<Value = Op> {
    // As many small spans as large ones, of a nanosecond to a day.
    let spans = || (0_u32..47).prop_flat_map(|bits| 0..=1_i64 << bits);
    let kinds = prop_oneof![Just(ClockKind::Wall), Just(ClockKind::Boot)];
    prop_oneof![
        6 => (kinds, spans()).prop_map(|(kind, early_wake)| Op::Schedule(kind, early_wake)),
        3 => spans().prop_map(Op::Advance),
        1 => spans().prop_map(Op::Step),
        1 => spans().prop_map(|span| Op::Step(-span)),
        3 => Just(Op::Run),
    ]
}

proptest! {
    #[test]
    fn every_job_runs_once_by_its_own_clock_and_the_timer_sleeps_for_the_next(
        ops in prop::collection::vec(ops(), 1..100),
    ) {
        let mut driven = Driven::new();
        for op in ops {
            match op {
                Op::Schedule(kind, early_wake) => driven.schedule(kind, early_wake),
                Op::Advance(span) => driven.advance(span),
                Op::Step(span) => driven.step(span),
                Op::Run => driven.run(),
            }
        }
        driven.advance(1 << 56);
        driven.step(1 << 56);
        driven.run();
        prop_assert!(driven.waiting.is_empty());
        let stats = driven.engine.stats(&mut Released::default());
        prop_assert_eq!((stats.started, stats.succeeded), (driven.scheduled.into(), driven.scheduled.into()));
    }
}

#[test]
fn the_clocks_are_read_together_though_the_timer_waits_for_the_lock() {
    let driven = Driven::new();
    let (engine, released) = (&driven.engine, &mut Released::default());
    let far = Due::In(HOUR);
    engine
        .schedule_as("far", far, Numbered(9), released)
        .map(drop)
        .unwrap();
    engine
        .schedule(
            Due::At(driven.clock.wall() + 2 * MILLISECOND),
            Numbered(1),
            &mut Released::default(),
        )
        .unwrap();
    engine
        .schedule(Due::In(MILLISECOND), Numbered(0), &mut Released::default())
        .unwrap();
    driven.advance(5 * MILLISECOND);
    std::thread::scope(|threads| {
        let held = driven.engine.view("far", |_| {
            threads.spawn(|| driven.engine.pump());
            // Time for it to come to the lock: did it not, there is less to see, and no failure.
            std::thread::sleep(Duration::from_millis(50));
            driven.advance(SECOND);
        });
        assert_eq!(held, Ok(Some(())));
    });
    let mut order = Vec::new();
    while let Turn::Run(started) = driven.engine.ready().turn(None, &driven.clock) {
        order.push(started.execution.payload.0);
    }
    assert_eq!(order, [0, 1]);
}

#[test]
fn a_step_may_be_as_long_as_the_clock_is_wide() {
    let mut driven = Driven::new();
    driven.schedule(ClockKind::Wall, HOUR);
    driven.schedule(ClockKind::Boot, HOUR);
    for wall in [i64::MAX, i64::MIN, i64::MAX - 1, 0, i64::MIN + 1] {
        driven.clock.0.wall.store(wall, SeqCst);
        driven.clock.0.boot.fetch_add(SECOND, SeqCst);
        driven.stepped = driven.clock.boot();
        let stats = driven.engine.stats(&mut Released::default());
        assert_eq!((stats.pending, stats.started), (2, 0));
        driven.engine.pump();
        driven.engine.stop();
        driven.engine.start().unwrap();
    }
    let (pending, at) = (driven.engine.between(None, None, None), driven.clock.boot());
    assert_eq!(pending.unwrap().len(), 2);
    assert!(matches!(
        driven
            .engine
            .schedule(Due::In(1), Numbered(3), &mut Released::default()),
        Ok(_) | Err(_)
    ));
    let manual = ManualClock::new(i64::MIN, at);
    let engine = Engine::<Numbered>::new(Box::new(Arc::new(manual))).unwrap();
    engine.start().unwrap();
    engine.pump();
}

// In earnest: the timer's thread asleep, a worker's thread, and a wall clock that is set.

#[derive(Debug)]
struct Set(Arc<AtomicI64>);

impl Clock for Set {
    fn boot(&self) -> i64 {
        SystemClock.boot()
    }

    fn wall(&self) -> i64 {
        SystemClock.wall() + self.0.load(SeqCst)
    }

    fn jitter(&self) -> i64 {
        SystemClock.jitter()
    }
}

/// An engine with its threads; numbers of jobs come out as they start.
struct Threaded {
    engine: Arc<Engine<Numbered>>,
    early_wake: Arc<AtomicI64>,
    dues: Arc<Mutex<HashMap<u32, Due>>>,
    starts: mpsc::Receiver<u32>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Threaded {
    fn new() -> Self {
        let early_wake = Arc::new(AtomicI64::new(0));
        let engine = Arc::new(Engine::new(Box::new(Set(early_wake.clone()))).unwrap());
        engine.set_registered(0, "", Some(Lane::Workers));
        let dues = Arc::default();
        let (started, starts) = mpsc::channel();
        let worker = {
            let (engine, dues) = (engine.clone(), Arc::clone(&dues));
            std::thread::spawn(move || work(&engine, &dues, &started))
        };
        let timer = timer::spawn(engine.clone()).unwrap();
        engine.start().unwrap();
        Self {
            engine,
            early_wake,
            dues,
            starts,
            threads: vec![worker, timer],
        }
    }

    /// Schedules a job `ahead` of the present reading of a clock; the due is kept as that clock shows it.
    fn schedule(&self, number: u32, kind: ClockKind, early_wake: i64) {
        let clock = self.engine.clock();
        let (residency, given) = match kind {
            ClockKind::Wall => {
                let due = clock.wall() + early_wake;
                (Due::At(due), Due::At(due))
            }
            ClockKind::Boot => (Due::In(clock.boot() + early_wake), Due::In(early_wake)),
        };
        self.dues.lock().unwrap().insert(number, residency);
        self.engine
            .schedule(given, Numbered(number), &mut Released::default())
            .unwrap();
    }

    fn set_wall(&self, delta: i64) {
        self.early_wake.fetch_add(delta, SeqCst);
        self.engine.wake_timer(); // as the kernel does, when it is the machine's clock
    }

    fn next(&self) -> u32 {
        let next = self.starts.recv_timeout(Duration::from_secs(30));
        next.expect("a job that is due starts")
    }

    /// Closes it; how many jobs had not started.
    fn end(self) -> u64 {
        let dropped = self.engine.close(&mut Released::default());
        for thread in self.threads {
            thread.join().unwrap();
        }
        assert_eq!(
            self.starts.try_recv(),
            Err(mpsc::TryRecvError::Disconnected)
        );
        dropped
    }
}

fn work(engine: &Engine<Numbered>, dues: &Mutex<HashMap<u32, Due>>, starts: &mpsc::Sender<u32>) {
    while timer::wait_for_work(engine) {
        engine.ready().arrived();
        let mut done = None;
        loop {
            let started = match engine.ready().turn(done.take(), engine.clock()) {
                Turn::Run(started) => started,
                Turn::Settle => {
                    engine.settle_and_refill(Lane::Workers, &mut Released::default());
                    continue;
                }
                Turn::Mark | Turn::Rest => break,
            };
            let number = started.execution.payload.0;
            let due = dues.lock().unwrap().remove(&number);
            let clock = engine.clock();
            match due.expect("a job that has not started yet") {
                Due::At(due) => assert!(clock.wall() >= due, "{number} is early"),
                Due::In(due) => assert!(clock.boot() >= due, "{number} is early"),
            }
            starts.send(number).unwrap();
            done = Some(ended(&started));
        }
    }
}

#[test]
fn a_sleeping_timer_follows_a_wall_clock_that_is_set_forward() {
    let threaded = Threaded::new();
    threaded.schedule(1, ClockKind::Wall, HOUR / 2);
    threaded.schedule(2, ClockKind::Boot, HOUR / 2);
    threaded.schedule(3, ClockKind::Wall, HOUR / 3);
    threaded.schedule(4, ClockKind::Wall, 2 * HOUR);
    threaded.schedule(5, ClockKind::Boot, MILLISECOND);
    assert_eq!(threaded.next(), 5);
    threaded.set_wall(HOUR);
    assert_eq!([threaded.next(), threaded.next()], [3, 1]);
    threaded.schedule(6, ClockKind::Boot, 20 * MILLISECOND);
    threaded.schedule(7, ClockKind::Wall, 10 * MILLISECOND);
    threaded.set_wall(SECOND);
    assert_eq!([threaded.next(), threaded.next()], [7, 6]);
    assert_eq!(threaded.end(), 2);
}

#[test]
fn a_sleeping_timer_follows_a_wall_clock_that_is_set_back() {
    let threaded = Threaded::new();
    threaded.schedule(0, ClockKind::Wall, 0);
    assert_eq!(threaded.next(), 0);
    threaded.schedule(1, ClockKind::Wall, SECOND);
    threaded.set_wall(-HOUR);
    threaded.schedule(2, ClockKind::Wall, 50 * MILLISECOND);
    threaded.schedule(3, ClockKind::Boot, SECOND + SECOND / 4);
    // The first does not start twice, the next not yet, though it would have but for the step.
    assert_eq!([threaded.next(), threaded.next()], [2, 3]);
    threaded.set_wall(HOUR);
    assert_eq!(threaded.next(), 1);
    assert_eq!(threaded.end(), 0);
}

#[test]
fn what_was_handed_over_waits_again_when_the_wall_clock_is_set_back() {
    let mut driven = Driven::new();
    driven.schedule(ClockKind::Wall, 0);
    assert_ne!(driven.engine.pump(), Pumped::Closed); // handed over, and no worker has time
    driven.advance(2 * MILLISECOND);
    driven.step(-HOUR);
    driven.run(); // the timer is woken by the step: a start now is an hour early
    assert_eq!(driven.waiting.len(), 1);
    driven.advance(HOUR);
    driven.run();
    assert!(driven.waiting.is_empty());
}
