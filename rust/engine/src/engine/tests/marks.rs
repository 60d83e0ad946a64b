//! Tests: what is marked ahead, and each way in which a marked job leaves its lane without a start.

use super::super::*;
use crate::clock::ManualClock;
use crate::handover::queue::Turn;
use crate::jobs::ids::{self, Halves, IdList};
use crate::jobs::record::{Comes, Parts, Started};
use crate::testing::Random;
use duewheel_model::outcome::Outcome;
use duewheel_model::retry::RetryOptions;
use duewheel_model::time::SECOND;
use duewheel_store::testing::model::Model;
use duewheel_store::{Answered, Error, Found, Query, Settled, Store, Ticket};
use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

const WORKERS: usize = 4;
const AHEAD: usize = 2 * WORKERS;

/// A job of a target, at most once or not.
#[derive(Clone, Copy, Debug)]
struct Job(u32, bool);

impl Payload for Job {
    type Failure = String;

    fn target(self) -> u32 {
        self.0
    }

    fn parts<R>(self, look: impl FnOnce(Parts<'_>) -> R) -> R {
        look(Parts {
            target: "t",
            data: b"",
            carried: None,
            options: RetryOptions {
                retry_limit: Some(0),
                age_limit: None,
                min_backoff: SECOND,
                max_backoff: SECOND,
                at_most_once: self.1,
            },
        })
    }
}

/// A store on paper: what it should hold, and the batches of marks that it took.
#[derive(Default)]
struct Paper {
    model: Mutex<Model>,
    marked: Mutex<Vec<usize>>,
    found: Found,
    is_full: AtomicBool,
    is_poisoned: AtomicBool,
}

impl Paper {
    fn begun(&self) -> HashSet<u64> {
        self.model.lock().begun.iter().copied().collect()
    }

    fn poison(&self) -> Result<(), Error> {
        match self.is_poisoned.load(Ordering::SeqCst) {
            true => Err(Error::Poisoned("on paper".into())),
            false => Ok(()),
        }
    }
}

impl Store for Paper {
    fn submit(&self, batch: &[Op<'_>]) -> Result<Ticket, Error> {
        self.poison()?;
        if self.is_full.load(Ordering::SeqCst) {
            return Err(Error::Full);
        }
        let mut model = self.model.lock();
        for op in batch {
            match op {
                Op::Begin { seq, .. } => {
                    assert!(model.jobs.contains_key(seq), "{op:?}: there is no such job");
                    assert!(!model.begun.contains(seq), "{op:?} twice");
                }
                Op::Delete(seq) | Op::Move { seq, .. } => {
                    assert!(!model.begun.contains(seq), "{op:?}: it is begun");
                }
                Op::Release(seq) => assert!(model.begun.contains(seq), "{op:?}: it is not begun"),
                _ => {}
            }
            model.apply(op);
        }
        if matches!(batch.first(), Some(Op::Begin { .. })) {
            self.marked.lock().push(batch.len());
        }
        Ok(Ticket(1))
    }

    fn wait(&self, _: Ticket, _: Option<Instant>) -> Result<bool, Error> {
        self.poison().map(|()| true)
    }

    fn when(&self, _: Ticket, then: Settled) {
        then(self.poison());
    }

    fn ask(&self, _: Query, then: Answered) {
        then(Err(Error::Closed));
    }

    fn found(&self) -> &Found {
        &self.found
    }

    fn close(&self) -> Result<(), Error> {
        Ok(())
    }
}

struct Ids(Vec<Halves>);

impl IdList for Ids {
    fn count(&self) -> usize {
        self.0.len()
    }

    fn generated(&self, at: usize) -> Option<Halves> {
        Some(self.0[at])
    }

    fn text(&self, at: usize) -> Cow<'_, str> {
        text(self.0[at]).into()
    }
}

fn text(id: Halves) -> String {
    let mut buffer = [0; 36];
    ids::format(id, &mut buffer);
    std::str::from_utf8(&buffer).unwrap().to_owned()
}

/// An engine over a store on paper, driven by one thread that does as the timer and the workers do.
struct Bench {
    clock: Arc<ManualClock>,
    store: Arc<Paper>,
    engine: Engine<Job>,
    ids: Vec<Halves>,
}

impl Bench {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::new(1_000 * SECOND, 1_000 * SECOND));
        let store = Arc::new(Paper::default());
        let mut engine = Engine::new(Box::new(clock.clone())).unwrap();
        let window = Window {
            horizon: 3_600 * SECOND,
            resident: 1_000,
        };
        engine.put_behind(store.clone(), StoreInbox::new().unwrap(), window);
        engine.mark_ahead(AHEAD);
        engine.set_registered(0, "t", Some(Lane::Workers));
        engine.start().unwrap();
        Bench {
            clock,
            store,
            engine,
            ids: Vec::new(),
        }
    }

    /// Make jobs that are due now.
    fn make(&mut self, jobs: impl IntoIterator<Item = Job>) {
        for job in jobs {
            let due = Due::At(1_000 * SECOND);
            let made = self.engine.schedule(due, job, &mut Released::default());
            self.ids.push(made.unwrap().0);
        }
        while self.engine.pump() == Pumped::More {}
    }

    /// So many at-most-once jobs that are due, the first of them marked.
    fn marked(count: usize) -> Self {
        let mut bench = Bench::new();
        bench.make(vec![Job(0, true); count]);
        bench.mark();
        bench
    }

    fn turn(&self) -> Turn<Job> {
        self.engine.ready().turn(None, self.engine.clock())
    }

    fn mark(&self) {
        assert!(matches!(self.turn(), Turn::Mark));
        self.engine.mark(Lane::Workers);
    }

    fn run(&self) -> Started<Job> {
        let Turn::Run(started) = self.turn() else {
            panic!("a job is due");
        };
        assert_eq!(self.engine.begin(&started).unwrap(), None);
        started
    }

    fn end(&self, done: Done<String>) {
        self.engine.ready().end(done, self.engine.clock());
        let released = &mut Released::default();
        self.engine.settle_and_refill(Lane::Workers, released);
    }

    /// The sequences that are marked in the queue.
    fn in_queue(&self) -> HashSet<u64> {
        let lane = self.engine.ready().lock();
        let marked = lane.queue.iter().filter(|execution| execution.marked);
        marked.map(|execution| execution.sequence).collect()
    }

    /// Hold that nothing is begun in the store but what is marked here, or runs.
    fn check(&self, running: &[Started<Job>]) {
        self.engine.check().unwrap();
        let running = running.iter().map(|started| started.execution.sequence);
        let mut begun = self.in_queue();
        assert!(begun.len() <= AHEAD);
        begun.extend(running);
        assert_eq!(self.store.begun(), begun);
    }

    fn cancel(&self, at: usize) -> bool {
        let id = text(self.ids[at]);
        let cancelled = self.engine.cancel(&id, &mut Released::default()).unwrap();
        !matches!(cancelled, Pending::Made(Cancelled::No, _))
    }
}

#[test]
fn what_waits_is_marked_with_one_batch() {
    let bench = Bench::marked(20);
    assert_eq!(*bench.store.marked.lock(), [AHEAD]);
    for _ in 0..AHEAD {
        let started = bench.run();
        bench.end(started.ended(Outcome::Done));
        bench.check(&[]);
    }
    bench.mark();
    assert_eq!(*bench.store.marked.lock(), [AHEAD, AHEAD]);
    assert_eq!(bench.in_queue().len(), AHEAD);
}

#[test]
fn nothing_at_most_once_starts_before_its_mark_is_settled() {
    let mut bench = Bench::new();
    bench.make([Job(0, true)]);
    assert!(matches!(bench.turn(), Turn::Mark));
    assert!(matches!(bench.turn(), Turn::Rest), "another marks");
    let ticket = bench.engine.note_marks(Lane::Workers).unwrap();
    bench.make([Job(0, false), Job(0, true)]);
    assert!(matches!(bench.turn(), Turn::Rest), "it is not on disk");
    bench.engine.wait_marked(ticket);
    bench.engine.ready().end_marking();
    assert!(bench.run().execution.marked);
    assert!(!bench.run().execution.marked, "at least once");
    assert!(matches!(bench.turn(), Turn::Mark));
}

#[test]
fn what_runs_counts_among_those_that_may_be_marked() {
    let bench = Bench::marked(30);
    let running: Vec<_> = (0..AHEAD).map(|_| bench.run()).collect();
    for started in &running[WORKERS - 1..] {
        bench.end(started.ended(Outcome::Done));
    }
    bench.mark();
    assert_eq!(*bench.store.marked.lock(), [AHEAD, WORKERS + 1]);
    bench.check(&running[..WORKERS - 1]);
}

#[test]
fn where_the_event_loop_has_handlers_each_lane_marks_half() {
    let mut bench = Bench::new();
    bench.engine.set_registered(1, "u", Some(Lane::Loop));
    bench.make(vec![Job(0, true); 20]);
    bench.mark();
    assert_eq!(*bench.store.marked.lock(), [AHEAD / 2]);
    assert_eq!(bench.engine.most_ahead(AHEAD), AHEAD / 2);
    bench.check(&[]);
}

#[test]
fn with_the_first_handler_of_the_event_loop_half_of_the_marks_are_taken_back() {
    let bench = Bench::marked(20);
    bench.engine.set_registered(1, "u", Some(Lane::Loop));
    assert_eq!(bench.in_queue().len(), AHEAD / 2);
    bench.check(&[]);
    (0..AHEAD / 2).for_each(|_| bench.end(bench.run().ended(Outcome::Done)));
    bench.mark();
    assert_eq!(bench.in_queue().len(), AHEAD / 2);
}

/// What comes again is marked in its turn: together with what is marked behind it, it would be too many.
#[test]
fn nothing_is_marked_beyond_what_is_marked_in_its_turn() {
    let mut bench = Bench::new();
    bench.make(vec![Job(0, true); 5]);
    bench.engine.ready().lock().queue[2].comes = Comes::Again;
    bench.mark();
    assert_eq!(bench.in_queue().len(), 2);
}

/// Each way out of the queue without a start: from a queue of 10, of which 8 are marked, and with what is
/// marked then.
#[test]
fn a_mark_is_taken_back_where_its_job_does_not_start() {
    type Way = (&'static str, usize, fn(&mut Bench));
    let ways: [Way; 8] = [
        ("cancelled", 7, |bench| assert!(bench.cancel(3))),
        ("cancelled with others", 5, |bench| {
            let ids = Ids(bench.ids[2..5].to_vec());
            let cancelled = bench.engine.cancel_many(&ids, &mut Released::default());
            assert_eq!(cancelled.unwrap().count, 3);
        }),
        ("moved", 7, |bench| {
            let (id, due) = (text(bench.ids[0]), 2_000 * SECOND);
            let moved = bench.engine.reschedule(&id, due, &mut Released::default());
            assert!(moved.is_ok());
        }),
        ("drained", 0, |bench| bench.engine.stop()),
        ("closed", 0, |bench| {
            bench.engine.close(&mut Released::default());
        }),
        ("no longer due", 0, |bench| {
            bench.clock.set(900 * SECOND, 1_000 * SECOND);
            while bench.engine.pump() == Pumped::More {}
        }),
        ("without a handler", 7, |bench| {
            bench.engine.set_registered(0, "t", None);
            let started = bench.run();
            bench.engine.unbegin(&started);
            bench.end(started.unhandled());
        }),
        ("while its mark is on its way", 0, |bench| {
            (0..AHEAD).for_each(|_| bench.end(bench.run().ended(Outcome::Done)));
            assert!(matches!(bench.turn(), Turn::Mark));
            let ticket = bench.engine.note_marks(Lane::Workers).unwrap();
            bench.engine.stop();
            bench.engine.start().unwrap();
            while bench.engine.pump() == Pumped::More {}
            assert!(matches!(bench.turn(), Turn::Rest));
            bench.engine.wait_marked(ticket);
            bench.engine.ready().end_marking();
            assert!(matches!(bench.turn(), Turn::Mark));
        }),
    ];
    for (name, left, way) in ways {
        let mut bench = Bench::marked(AHEAD + 2);
        way(&mut bench);
        bench.check(&[]);
        assert_eq!(bench.in_queue().len(), left, "{name}");
    }
}

#[test]
fn on_a_full_disk_nothing_is_marked_and_it_is_tried_again() {
    let mut bench = Bench::new();
    bench.make(vec![Job(0, true); 3]);
    bench.store.is_full.store(true, Ordering::SeqCst);
    bench.mark();
    bench.check(&[]);
    bench.store.is_full.store(false, Ordering::SeqCst);
    bench.mark();
    assert_eq!(bench.in_queue().len(), 3);
    bench.check(&[]);
}

/// A mark that is taken back late would take back the next one of the same job: it would run, and again after a crash.
#[test]
fn what_a_full_disk_has_not_taken_back_is_not_marked_again_before() {
    let bench = Bench::marked(2);
    bench.store.is_full.store(true, Ordering::SeqCst);
    bench.engine.stop();
    bench.engine.start().unwrap();
    while bench.engine.pump() == Pumped::More {}
    bench.mark();
    assert_eq!(bench.in_queue().len(), 0);
    assert_eq!(bench.store.begun().len(), 2, "it is said later");
    bench.store.is_full.store(false, Ordering::SeqCst);
    bench.mark();
    let running = [bench.run(), bench.run()];
    bench.check(&running);
}

#[test]
fn with_a_store_that_has_failed_nothing_starts() {
    let bench = Bench::marked(AHEAD + 1);
    (0..AHEAD).for_each(|_| bench.end(bench.run().ended(Outcome::Done)));
    assert!(matches!(bench.turn(), Turn::Mark));
    let ticket = bench.engine.note_marks(Lane::Workers).unwrap();
    bench.store.is_poisoned.store(true, Ordering::SeqCst);
    bench.engine.wait_marked(ticket);
    bench.engine.ready().end_marking();
    assert!(matches!(bench.turn(), Turn::Rest));
    while bench.engine.pump() == Pumped::More {}
    assert!(!bench.engine.is_started());
    assert_eq!(bench.engine.pending(&mut Released::default()), Ok(1));
}

/// Random steps, after each of which the store has begun what is marked or runs, and nothing else.
#[test]
fn whatever_happens_the_store_knows_what_is_marked() {
    for seed in 0..200 {
        let mut random = Random::new(seed);
        let mut bench = Bench::new();
        let mut running: Vec<Started<Job>> = Vec::new();
        let mut on_its_way = None;
        for _ in 0..300 {
            match random.below(12) {
                0..2 => {
                    let jobs = (0..random.below(6)).map(|_| Job(0, random.below(3) > 0));
                    let jobs: Vec<_> = jobs.collect();
                    bench.make(jobs);
                }
                2 if !bench.ids.is_empty() => {
                    let at = random.below(bench.ids.len() as u64) as usize;
                    bench.cancel(at);
                }
                3 if !bench.ids.is_empty() => {
                    let at = random.below(bench.ids.len() as u64) as usize;
                    let (id, due) = (text(bench.ids[at]), 1_000 * SECOND);
                    let released = &mut Released::default();
                    assert!(bench.engine.reschedule(&id, due, released).is_ok());
                }
                4 if random.below(4) == 0 => bench.engine.stop(),
                5 => bench.engine.start().unwrap(),
                6 if on_its_way.is_some() => {
                    bench.engine.wait_marked(on_its_way.take().flatten());
                    bench.engine.ready().end_marking();
                }
                7..9 if !running.is_empty() => {
                    let at = random.below(running.len() as u64) as usize;
                    let ended = running.swap_remove(at).ended(Outcome::Done);
                    bench.end(ended);
                }
                _ if running.len() < WORKERS => match bench.turn() {
                    Turn::Run(started) if random.below(8) == 0 => {
                        if started.execution.marked {
                            bench.engine.unbegin(&started);
                        }
                        bench.end(started.unhandled());
                    }
                    Turn::Run(started) => {
                        assert_eq!(bench.engine.begin(&started).unwrap(), None);
                        assert_eq!(started.execution.marked, started.execution.payload.1);
                        running.push(started);
                    }
                    Turn::Mark => {
                        assert!(on_its_way.is_none(), "one marks at a time");
                        on_its_way = Some(bench.engine.note_marks(Lane::Workers).unwrap());
                    }
                    Turn::Settle => bench
                        .engine
                        .settle_and_refill(Lane::Workers, &mut Released::default()),
                    Turn::Rest => {}
                },
                _ => {}
            }
            while bench.engine.pump() == Pumped::More {}
            bench.check(&running);
        }
    }
}
