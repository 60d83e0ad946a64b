//! Outcomes that a full disk has refused: what speaks of the same jobs later must not overtake them.

use duewheel_engine::clock::ManualClock;
use duewheel_engine::engine::{Cancelled, Due, Engine, Pending, Refused, StoreInbox, Window};
use duewheel_engine::handover::queue::{Lane, Turn};
use duewheel_engine::jobs::record::{Released, Started};
use duewheel_engine::testing::Empty;
use duewheel_model::outcome::{Cause, Outcome};
use duewheel_model::time::SECOND;
use duewheel_sqlite::{LocalStore, Settings};
use duewheel_store::testing::FullDisk;
use duewheel_store::{Error, Op, Store};
use std::path::{Path, PathBuf};
use std::sync::Arc;

struct Bench {
    path: PathBuf,
    store: Arc<FullDisk>,
    engine: Engine<Empty>,
}

impl Bench {
    fn new(name: &str) -> Self {
        let file = format!("duewheel-{}-outbox-{name}.db", std::process::id());
        let path = std::env::temp_dir().join(file);
        let inbox = StoreInbox::new().unwrap();
        let store = LocalStore::open(&path, Settings::default(), inbox.events()).unwrap();
        // There is room for what is small, and not for ends of jobs.
        let ends = |batch: &[Op<'_>]| batch.iter().any(|op| matches!(op, Op::Finish { .. }));
        let store = Arc::new(FullDisk::new(store, ends));
        let clock = Arc::new(ManualClock::new(0, 0));
        let mut engine = Engine::new(Box::new(clock)).unwrap();
        let window = Window {
            horizon: 3_600 * SECOND,
            resident: 100,
        };
        engine.put_behind(store.clone(), inbox, window);
        engine.start().unwrap();
        engine.set_registered(0, "t", Some(Lane::Workers));
        Bench {
            path,
            store,
            engine,
        }
    }

    /// A job that has run, and whose end the disk has no room for.
    fn ended(&self, outcome: impl FnOnce(&Started<Empty>) -> Outcome<String>) {
        let (engine, released) = (&self.engine, &mut Released::default());
        let made = engine.schedule_as("a", Due::In(0), Empty, released);
        assert!(matches!(made, Ok(Pending::Made((), _))));
        while engine.manual_expire() {}
        let Turn::Run(started) = engine.ready().turn(None, engine.clock()) else {
            panic!("it is due");
        };
        engine.begin(&started).unwrap();
        self.store.fill(true);
        engine
            .ready()
            .end(started.ended(outcome(&started)), engine.clock());
        engine.settle_and_refill(Lane::Workers, released);
    }

    /// Close it; what a store that is opened now has.
    fn reopened(self) -> u64 {
        self.store.fill(false);
        self.engine
            .settle_and_refill(Lane::Workers, &mut Released::default());
        self.engine.close(&mut Released::default());
        drop(self.engine);
        self.store.close().unwrap();
        let jobs = jobs(&self.path);
        std::fs::remove_file(self.path).unwrap();
        jobs
    }
}

fn jobs(path: &Path) -> u64 {
    let store = LocalStore::open(path, Settings::default(), Box::new(|_| {})).unwrap();
    assert_eq!(store.found().unapplied, []);
    let jobs = store.found().jobs;
    store.close().unwrap();
    jobs
}

/// It met the index of ids, where the one that is over still stood, and poisoned the store.
#[test]
fn an_id_whose_end_is_not_written_yet_is_not_taken_again() {
    let bench = Bench::new("id");
    bench.ended(|_| Outcome::Done);
    let (engine, released) = (&bench.engine, &mut Released::default());
    let again = |released: &mut _| engine.schedule_as("a", Due::In(SECOND), Empty, released);
    assert!(matches!(again(released), Err(Refused::Store(Error::Full))));
    bench.store.fill(false);
    assert!(matches!(again(released), Ok(Pending::Made((), _))));
    engine.check().unwrap();
    assert_eq!(bench.reopened(), 1);
}

/// The delete was written first, and the retry made it pending again.
#[test]
fn a_retry_that_is_not_written_yet_is_not_cancelled() {
    let bench = Bench::new("retry");
    bench.ended(|started| Outcome::again(SECOND, Cause::Retry, started.progress()));
    let engine = &bench.engine;
    let cancel = || engine.cancel("a", &mut Released::default());
    assert!(matches!(cancel(), Err(Refused::Store(Error::Full))));
    bench.store.fill(false);
    assert!(matches!(cancel(), Ok(Pending::Made(Cancelled::Here(_), _))));
    engine.check().unwrap();
    assert_eq!(bench.reopened(), 0);
}
