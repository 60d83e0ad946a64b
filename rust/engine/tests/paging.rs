//! Jobs that are paged out and come in: what they are then, how they are found, and which calls meet them on the way.

use duewheel_engine::clock::{Clock, ManualClock};
use duewheel_engine::engine::{
    Cancelled, Coming, Due, Engine, Moved, Pending, Pumped, StoreInbox, Window,
};
use duewheel_engine::handover::queue::{Lane, Turn};
use duewheel_engine::jobs::record::{Id, Released};
use duewheel_engine::testing::{Empty, made};
use duewheel_model::job::Progress;
use duewheel_model::outcome::Outcome;
use duewheel_model::time::SECOND;
use duewheel_sqlite::{LocalStore, Settings};
use duewheel_store::testing::FullDisk;
use duewheel_store::{Answer, Query, Store, ask};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

fn file(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("duewheel-{}-{name}.db", std::process::id()))
}

fn keep(engine: &Arc<Engine<Empty>>, due: Due, released: &mut Released<Empty>) -> String {
    let (id, _) = engine.schedule(due, Empty, released).unwrap();
    Id::Generated(id).with_str(str::to_owned)
}

/// Move a job of the store's to where it is near.
fn moved(
    engine: &Arc<Engine<Empty>>,
    id: &str,
    due: i64,
    released: &mut Released<Empty>,
) -> Coming<Empty> {
    let moved = engine.reschedule(id, due, released);
    match made(engine, moved, released) {
        Ok(Moved::Near(job)) => job,
        other => panic!("{other:?}"),
    }
}

/// With so many seconds of the future in memory.
fn open(path: &Path, clock: &Arc<ManualClock>, horizon: i64) -> Arc<Engine<Empty>> {
    open_for(path, clock, horizon, 10_000)
}

fn open_for(
    path: &Path,
    clock: &Arc<ManualClock>,
    horizon: i64,
    resident: usize,
) -> Arc<Engine<Empty>> {
    let inbox = StoreInbox::new().unwrap();
    let store = LocalStore::open(path, Settings::default(), inbox.events()).unwrap();
    open_on(Arc::new(store), &inbox, clock, horizon, resident)
}

fn open_on(
    store: Arc<dyn Store>,
    inbox: &Arc<StoreInbox>,
    clock: &Arc<ManualClock>,
    horizon: i64,
    resident: usize,
) -> Arc<Engine<Empty>> {
    let mut engine = Engine::new(Box::new(clock.clone())).unwrap();
    let window = Window {
        horizon: horizon * SECOND,
        resident,
    };
    engine.put_behind(store, inbox.clone(), window);
    Arc::new(engine)
}

/// Take in all that is paged out.
fn load(engine: &Arc<Engine<Empty>>, released: &mut Released<Empty>) {
    while let Some(question) = engine.page_wanted() {
        take_in(engine, question, released);
    }
    engine.check().unwrap();
}

fn take_in(engine: &Arc<Engine<Empty>>, question: Query, released: &mut Released<Empty>) {
    let Ok(Answer::Page(page)) = ask(&*engine.store().unwrap(), question) else {
        panic!("no page");
    };
    let last = page.last.filter(|_| page.more);
    let jobs = page.jobs.into_iter().map(|job| (job, Empty)).collect();
    engine.load(page.epoch, last, jobs, released);
}

/// What is known of a job: its due, its first due, run and attempt.
fn look(engine: &Arc<Engine<Empty>>, id: &str) -> Option<(i64, i64, u32, u32)> {
    let seen = engine.view(id, |view| {
        assert!(view.id.with_str(|seen| seen == id));
        (
            view.due,
            view.job_due,
            view.progress.run,
            view.progress.attempt,
        )
    });
    seen.unwrap()
}

#[test]
fn jobs_are_what_they_were_and_are_found_by_their_ids() {
    let path = file("reopened");
    let released = &mut Released::default();
    let clock = Arc::new(ManualClock::new(50 * SECOND, 7 * SECOND));
    let engine = open(&path, &clock, 3_600);
    let mut all: Vec<String> = Vec::new();
    for number in 0..1_500_i64 {
        let due = match number % 2 {
            0 => Due::At((100 + number) * SECOND),
            _ => Due::In((100 + number) * SECOND),
        };
        all.push(keep(&engine, due, released));
    }
    for (number, id) in (0_i64..).zip([
        "given",
        // UUIDs of another version and of other variants: a record has no room for all their bits.
        "01890000-0000-4fff-8000-000000000001",
        "01890000-0000-7fff-ffff-000000000001",
        "01890000-0000-7000-0000-000000000000",
    ]) {
        let due = Due::At((110 + number) * SECOND);
        let made = engine.schedule_as(id, due, Empty, released);
        assert!(matches!(made, Ok(Pending::Made((), _))));
        all.push(id.to_owned());
    }
    // One with a past, under an id such as is made here.
    let past = "01890000-0000-7fff-8000-000000000001";
    let (first, due) = (90 * SECOND, 120 * SECOND);
    let progress = Progress {
        attempt: 2,
        run: 3,
        first_start: None,
    };
    let made = engine.restore(past, first, due, progress, Empty, released);
    assert!(matches!(made, Ok(Pending::Made((), _))));
    all.push(past.to_owned());
    // One that was moved: its first due is another.
    assert!(matches!(
        engine.reschedule(&all[10], 500 * SECOND, released),
        Ok(Pending::Made(Moved::Yes, _))
    ));
    let before: Vec<_> = all.iter().map(|id| look(&engine, id)).collect();
    assert!(before.iter().all(Option::is_some));
    engine.check().unwrap();
    engine.close(released);

    for _ in 0..2 {
        let engine = open(&path, &clock, 3_600);
        load(&engine, released);
        assert_eq!(engine.paged_out(), 0);
        for (id, before) in all.iter().zip(&before) {
            assert_eq!(look(&engine, id), *before, "{id}");
        }
        assert_eq!(look(&engine, "01890000-0000-7000-8000-000000000009"), None);
        engine.close(released);
    }

    let engine = open(&path, &clock, 3_600);
    load(&engine, released);
    for (number, id) in all.iter().enumerate() {
        match number % 3 {
            0 => assert!(matches!(
                engine.cancel(id, released),
                Ok(Pending::Made(Cancelled::Here(_), _))
            )),
            1 => {
                let moved = engine.reschedule(id, 700 * SECOND, released);
                assert!(matches!(moved, Ok(Pending::Made(Moved::Yes, _))));
            }
            _ => {}
        }
        // New ones take the places of those that have left.
        if number % 6 == 0 {
            engine.schedule(Due::In(SECOND), Empty, released).unwrap();
        }
    }
    engine.check().unwrap();
    for (number, (id, before)) in all.iter().zip(&before).enumerate() {
        let now = look(&engine, id);
        match number % 3 {
            0 => assert_eq!(now, None),
            1 => assert_eq!(now.map(|now| now.0), Some(700 * SECOND)),
            _ => assert_eq!(now, *before),
        }
    }
    engine.close(released);
    std::fs::remove_file(&path).unwrap();
}

/// Asked for all the same, the store would move or cancel what may have started by then: it ran
/// again, or ran although its cancel was told to have come in time.
#[test]
fn a_job_that_has_come_in_is_not_asked_for() {
    let path = file("came");
    let clock = Arc::new(ManualClock::new(0, 0));
    let released = &mut Released::default();
    let engine = open(&path, &clock, 2);
    let id = &keep(&engine, Due::In(10 * SECOND), released);
    let moved = engine.reschedule(id, 11 * SECOND, released);
    let moved = made(&engine, moved, released);
    assert!(matches!(moved, Ok(Moved::Yes)), "in the store: {moved:?}");

    clock.set(10 * SECOND, 10 * SECOND);
    load(&engine, released);
    assert!(engine.holds(id));

    assert!(matches!(
        engine.reschedule(id, 10 * SECOND, released),
        Ok(Pending::Made(Moved::Yes, _))
    ));
    assert!(matches!(
        engine.cancel(id, released),
        Ok(Pending::Made(Cancelled::Here(_), _))
    ));
    assert_eq!(engine.paged_out(), 0);
    engine.close(released);
    std::fs::remove_file(path).unwrap();
}

/// All of them were in memory, however many they were.
#[test]
fn parked_jobs_over_a_part_of_the_room_are_paged_out() {
    const JOBS: u64 = 1_000;
    let path = file("aside");
    let clock = Arc::new(ManualClock::new(0, 0));
    let released = &mut Released::default();
    let engine = open_for(&path, &clock, 3_600, 320);
    engine.start().unwrap();
    let park = |engine: &Arc<Engine<Empty>>| while engine.manual_expire() {};
    let parked = |engine: &Arc<Engine<Empty>>| {
        engine.check().unwrap();
        engine.stats(&mut Released::default()).parked
    };
    let mut all: Vec<String> = Vec::new();
    for _ in 0..JOBS {
        all.push(keep(&engine, Due::In(0), released));
        park(&engine);
        assert!(all.len() as u64 - engine.paged_out() <= 11);
    }
    assert_eq!(parked(&engine), JOBS);
    assert!(
        engine.wait_idle(Duration::ZERO),
        "parked jobs are not waited for"
    );

    for right in [true, false] {
        let cancelled = engine.cancel(&all[500], released);
        let cancelled = made(&engine, cancelled, released).unwrap();
        assert_eq!(matches!(cancelled, Cancelled::Stored), right);
    }
    moved(&engine, &all[501], SECOND, released).take_in(Empty, released);
    assert_eq!(parked(&engine), JOBS - 2);
    assert!(!engine.wait_idle(Duration::ZERO), "one is not parked");
    engine.close(released);

    // Opened again they come with pages, and go.
    let engine = open_for(&path, &clock, 3_600, 320);
    engine.start().unwrap();
    let turn_pages = |engine: &Arc<Engine<Empty>>, released: &mut Released<Empty>| loop {
        let before = (engine.paged_out(), parked(engine));
        load(engine, released);
        park(engine);
        assert!(JOBS - 1 - engine.paged_out() <= 340);
        if before == (engine.paged_out(), parked(engine)) {
            return;
        }
    };
    turn_pages(&engine, released);
    assert_eq!(parked(&engine), JOBS - 2);
    assert!(engine.paged_out() > JOBS - 2 - 340);

    // A handler has them all back, and one that leaves leaves those that have not come yet.
    // The page that is under way meanwhile goes on behind them.
    clock.set(2_000 * SECOND, 2_000 * SECOND);
    let page = engine.page_wanted().unwrap();
    engine.set_registered(0, "t", Some(Lane::Workers));
    assert_eq!(parked(&engine), 0);
    take_in(&engine, page, released);
    load(&engine, released);
    let here = JOBS - 1 - engine.paged_out();
    assert!(
        (320..=340).contains(&here),
        "{here} came, for which there is room"
    );
    engine.set_registered(0, "t", None);
    assert_eq!(parked(&engine) + here, JOBS - 1);
    turn_pages(&engine, released);
    assert_eq!(parked(&engine), JOBS - 1);
    engine.close(released);
    std::fs::remove_file(path).unwrap();
}

/// Pages that begin again have it as it was before, and it would run twice.
#[test]
fn what_has_ended_while_the_disk_was_full_does_not_come_in_again() {
    let path = file("ended");
    let clock = Arc::new(ManualClock::new(0, 0));
    let released = &mut Released::default();
    let inbox = StoreInbox::new().unwrap();
    let store = LocalStore::open(&path, Settings::default(), inbox.events()).unwrap();
    let store = Arc::new(FullDisk::new(store, |_| true));
    let engine = open_on(store.clone(), &inbox, &clock, 3_600, 31);
    engine.start().unwrap();
    engine.set_registered(0, "t", Some(Lane::Workers));
    let ended = &keep(&engine, Due::In(0), released);
    while engine.manual_expire() {}
    let Turn::Run(started) = engine.ready().turn(None, engine.clock()) else {
        panic!("it is due");
    };
    engine.begin(&started).unwrap();
    engine.set_registered(0, "t", None);
    let parked = &keep(&engine, Due::In(0), released);
    while engine.manual_expire() {}
    keep(&engine, Due::In(SECOND), released);
    assert!(!engine.holds(parked), "it is parked on disk");

    store.fill(true);
    engine
        .ready()
        .end(started.ended(Outcome::Done), engine.clock());
    engine.settle_and_refill(Lane::Workers, released);
    assert!(!engine.holds(ended));
    engine.set_registered(0, "t", Some(Lane::Workers));
    load(&engine, released);
    assert!(engine.holds(parked));
    assert!(!engine.holds(ended));

    store.fill(false);
    engine.settle_and_refill(Lane::Workers, released);
    let stats = engine.stats(released);
    assert_eq!((stats.pending, stats.succeeded), (2, 1));
    engine.close(released);
    std::fs::remove_file(path).unwrap();
}

const YEAR: i64 = 365 * 86_400 * SECOND;

/// What the timer sleeps for, in seconds from now on each clock.
fn sleeps(engine: &Arc<Engine<Empty>>, clock: &ManualClock) -> (Option<i64>, Option<i64>) {
    let until = loop {
        match engine.pump() {
            Pumped::Sleep(until) => break until,
            Pumped::More => {}
            Pumped::Closed => panic!("nobody closed it"),
        }
    };
    let wall = until.wall.map(|due| (due - clock.wall()) / SECOND);
    (wall, until.boot.map(|due| (due - clock.boot()) / SECOND))
}

#[test]
fn a_due_of_the_boot_clock_that_is_away_comes_in_by_it_when_the_wall_clock_was_set_back() {
    let path = file("set-back");
    let (mut wall, mut boot) = (1_760_000_000 * SECOND, 77 * SECOND);
    let clock = Arc::new(ManualClock::new(wall, boot));
    let engine = open(&path, &clock, 10);
    let released = &mut Released::default();
    engine.set_registered(0, "t", Some(Lane::Workers));
    engine.start().unwrap();
    let by_boot = keep(&engine, Due::In(100 * SECOND), released);
    let by_wall = keep(&engine, Due::At(wall + 200 * SECOND), released);
    assert_eq!(engine.paged_out(), 2);
    assert_eq!(sleeps(&engine, &clock), (Some(95), Some(95)));

    wall -= YEAR;
    clock.set(wall, boot);
    assert_eq!(sleeps(&engine, &clock).1, Some(95));
    (wall, boot) = (wall + 89 * SECOND, boot + 89 * SECOND);
    clock.set(wall, boot);
    assert!(engine.page_wanted().is_none());

    (wall, boot) = (wall + 7 * SECOND, boot + 7 * SECOND);
    clock.set(wall, boot);
    load(&engine, released);
    let due = look(&engine, &by_boot).unwrap().0;
    assert_eq!(due, wall + 4 * SECOND, "as the wall clock stands now");
    // Nothing on the boot clock is paged out any more: what is, follows the wall clock.
    assert_eq!((look(&engine, &by_wall), engine.paged_out()), (None, 1));
    let year = YEAR / SECOND;
    assert_eq!(sleeps(&engine, &clock), (Some(year + 5), Some(4)));
    (wall, boot) = (wall + 4 * SECOND, boot + 4 * SECOND);
    clock.set(wall, boot);
    sleeps(&engine, &clock);
    let Turn::Run(started) = engine.ready().turn(None, engine.clock()) else {
        panic!("it was due")
    };
    assert_eq!((started.at, started.lateness), (boot, 0));
    std::fs::remove_file(path).unwrap();
}

#[test]
fn a_page_before_the_next_in_memory_is_seen_by_both_clocks() {
    let path = file("set-back-manually");
    let (wall, boot) = (1_760_000_000 * SECOND, 77 * SECOND);
    let clock = Arc::new(ManualClock::new(wall, boot));
    let engine = open(&path, &clock, 10);
    let released = &mut Released::default();
    let paged_out = keep(&engine, Due::In(100 * SECOND), released);
    // In memory, and by the wall clock as it stood first.
    keep(&engine, Due::At(wall + 5 * SECOND), released);
    assert!(engine.page_before_next().is_none());
    clock.set(wall - YEAR, boot);
    keep(&engine, Due::In(SECOND), released);
    assert!(engine.page_before_next().is_none());
    clock.set(wall - YEAR + 2 * SECOND, boot + 2 * SECOND);
    engine.start().unwrap();
    engine.set_registered(0, "t", Some(Lane::Workers));
    assert!(engine.manual_expire());
    let question = engine
        .page_before_next()
        .expect("it is due before the next");
    take_in(&engine, question, released);
    assert_eq!(
        look(&engine, &paged_out).unwrap().0,
        wall - YEAR + 100 * SECOND
    );
    std::fs::remove_file(path).unwrap();
}

#[test]
fn a_job_that_changes_while_it_is_on_its_way_is_not_taken_in_as_it_was() {
    let path = file("on-its-way");
    let clock = Arc::new(ManualClock::new(1_000 * SECOND, 0));
    let engine = open(&path, &clock, 10);
    let released = &mut Released::default();
    let soon = |seconds: i64| (1_000 + seconds) * SECOND;
    let id = keep(&engine, Due::In(100 * SECOND), released);
    released.payloads.clear();
    let first = moved(&engine, &id, soon(5), released);
    let second = moved(&engine, &id, soon(6), released);
    first.take_in(Empty, released);
    assert_eq!((released.payloads.len(), engine.paged_out()), (1, 1));
    second.take_in(Empty, released);
    assert_eq!((released.payloads.len(), engine.paged_out()), (1, 0));
    assert_eq!(look(&engine, &id).unwrap().0, soon(6));
    engine.check().unwrap();

    let id = keep(&engine, Due::In(100 * SECOND), released);
    released.payloads.clear();
    let job = moved(&engine, &id, soon(5), released);
    let cancelled = engine.cancel(&id, released);
    let cancelled = made(&engine, cancelled, released);
    assert!(matches!(cancelled, Ok(Cancelled::Stored)));
    job.take_in(Empty, released);
    assert_eq!((released.payloads.len(), look(&engine, &id)), (1, None));
    engine.check().unwrap();

    // Without an object for it, it comes with a page.
    let id = keep(&engine, Due::In(100 * SECOND), released);
    drop(moved(&engine, &id, soon(5), released));
    assert_eq!(look(&engine, &id), None);
    load(&engine, released);
    assert_eq!(look(&engine, &id).unwrap().0, soon(5));
    std::fs::remove_file(path).unwrap();
}

#[test]
fn who_asks_may_give_up_and_ask_again() {
    let path = file("given-up");
    let clock = Arc::new(ManualClock::new(1_000 * SECOND, 0));
    let engine = open(&path, &clock, 10);
    let released = &mut Released::default();
    let id = keep(&engine, Due::In(100 * SECOND), released);
    clock.set(1_095 * SECOND, 95 * SECOND);
    assert!(engine.page_wanted().is_some());
    assert!(engine.page_wanted().is_none(), "one is under way");
    engine.load_no_page();
    load(&engine, released);
    assert!(look(&engine, &id).is_some());
    let asked = engine.query(Query::Get(id)).unwrap();
    let answer = made(&engine, Ok(asked), released);
    assert!(matches!(answer, Ok(Answer::Job(Some(_)))));
    std::fs::remove_file(path).unwrap();
}

#[test]
fn who_follows_has_what_is_due_soon_before_it_runs() {
    let (path, released) = (file("follows"), &mut Released::default());
    let clock = Arc::new(ManualClock::new(1_000 * SECOND, 0));
    let engine = open(&path, &clock, 100);
    let ids = [995, 1_004, 1_030, 1_500].map(|at| keep(&engine, Due::At(at * SECOND), released));
    engine.close(released);
    let engine = open(&path, &clock, 100);
    let until = engine.due_soon();
    while let Some(question) = engine.page_before(until) {
        take_in(&engine, question, released);
        clock.set(1_001 * SECOND, SECOND); // time goes on, and what is soon does not
    }
    assert!(engine.holds(&ids[0]) && engine.holds(&ids[1]) && engine.paged_out() == 2);
    load(&engine, released); // what the timer asks for next
    assert_eq!(engine.paged_out(), 1);
    std::fs::remove_file(path).unwrap();
}
