//! Tests: what makes something due earlier wakes the timer that sleeps past it, and nothing else.

use super::super::*;
use crate::clock::{ManualClock, SystemClock};
use crate::handover::queue::Turn;
use crate::jobs::record::Started;
use crate::sleep::Seat;
use crate::testing::For;
use duewheel_model::job::Progress;
use duewheel_model::outcome::{Cause, Outcome, Reason};
use duewheel_model::time::SECOND;

const HOUR: i64 = 3_600 * SECOND;

fn released() -> Released<For> {
    Released::default()
}

/// An engine whose timer sleeps for a job an hour away on either clock.
fn asleep(registered: bool) -> Engine<For> {
    let engine = Engine::new(Box::new(ManualClock::new(SECOND, SECOND))).unwrap();
    engine.set_registered(0, "", registered.then_some(Lane::Workers));
    engine.start().unwrap();
    assert!(woken(&engine), "by the start");
    for (id, due) in [("wall", Due::At(SECOND + HOUR)), ("boot", Due::In(HOUR))] {
        engine
            .schedule_as(id, due, For(0), &mut released())
            .map(drop)
            .unwrap();
    }
    pump(&engine);
    engine
}

/// Does as the timer does on waking; it sleeps then.
fn pump(engine: &Engine<For>) {
    while engine.pump() == Pumped::More {}
}

/// Whether the sleep of the timer is ended before `span` is over.
fn woken_within(engine: &Engine<For>, span: i64) -> bool {
    let due = SystemClock.boot() + span;
    let until = Until {
        wall: None,
        boot: Some(due),
    };
    engine.sleeper().arm(until);
    engine.sleeper().sleep(Seat::Timer);
    SystemClock.boot() < due
}

fn woken(engine: &Engine<For>) -> bool {
    woken_within(engine, 10 * SECOND) // at once, or not at all
}

/// Runs the next job that is due, and gives back that it ended so.
fn run(engine: &Engine<For>, outcome: impl FnOnce(&Started<For>) -> Outcome<()>) {
    pump(engine);
    let Turn::Run(started) = engine.ready().turn(None, engine.clock()) else {
        panic!("a job is due");
    };
    let done = started.ended(outcome(&started));
    let turn = engine.ready().turn(Some(done), engine.clock());
    assert!(matches!(turn, Turn::Settle));
    pump(engine);
}

#[test]
fn a_call_that_makes_something_due_earlier_wakes_the_timer() {
    type Call = fn(&Engine<For>);
    let calls: [(&str, Call); 10] = [
        ("schedule at", |engine| {
            engine
                .schedule(Due::At(0), For(0), &mut Released::default())
                .unwrap();
        }),
        ("schedule in", |engine| {
            engine
                .schedule(Due::In(5), For(0), &mut Released::default())
                .unwrap();
        }),
        ("schedule_many", |engine| {
            let delays = [2 * HOUR, 5, 3 * HOUR];
            engine
                .schedule_many(Due::In, &delays, || For(0), &mut released())
                .unwrap();
        }),
        ("schedule_as", |engine| {
            engine
                .schedule_as("a", Due::In(5), For(0), &mut released())
                .map(drop)
                .unwrap();
        }),
        ("restore", |engine| {
            engine
                .restore("a", 0, 5, Progress::NEW, For(0), &mut released())
                .map(drop)
                .unwrap();
        }),
        ("reschedule", |engine| {
            assert!(matches!(
                engine.reschedule("boot", 5, &mut released()),
                Ok(Pending::Made(Moved::Yes, AT_ONCE))
            ));
        }),
        ("revive", |engine| {
            engine
                .schedule_as("a", Due::In(0), For(0), &mut released())
                .map(drop)
                .unwrap();
            assert!(woken(engine));
            let (reason, failure) = (Reason::Failed, ());
            run(engine, |_| Outcome::Dead { reason, failure });
            assert!(matches!(
                engine.revive("a", &mut released()),
                Ok(Pending::Made(Moved::Yes, AT_ONCE))
            ));
        }),
        ("a question that settles a retry", |engine| {
            engine
                .schedule(Due::In(0), For(0), &mut Released::default())
                .unwrap();
            assert!(woken(engine));
            run(engine, |started| {
                Outcome::again(5, Cause::Retry, started.progress())
            });
            assert_eq!(engine.stats(&mut released()).retried, 1);
        }),
        ("start", |engine| {
            engine.stop();
            engine.start().unwrap();
        }),
        ("close", |engine| {
            engine.close(&mut released());
        }),
    ];
    for (name, call) in calls {
        let engine = asleep(true);
        call(&engine);
        assert!(woken(&engine), "{name}: the timer sleeps on");
        engine.check().unwrap();
    }
}

#[test]
fn a_handler_that_comes_wakes_the_timer_for_what_was_parked() {
    let engine = asleep(false);
    engine
        .schedule(Due::In(0), For(0), &mut Released::default())
        .unwrap();
    assert!(woken(&engine));
    pump(&engine);
    assert_eq!(engine.stats(&mut released()).parked, 1);
    engine.set_registered(0, "", Some(Lane::Workers));
    assert!(woken(&engine));
    run(&engine, |_| Outcome::Done);
    engine.check().unwrap();
}

#[test]
fn what_makes_nothing_due_earlier_lets_the_timer_sleep() {
    let engine = asleep(true);
    engine
        .schedule(Due::In(HOUR), For(0), &mut Released::default())
        .unwrap();
    engine
        .schedule(Due::At(2 * HOUR), For(0), &mut Released::default())
        .unwrap();
    engine
        .schedule_many(Due::In, &[HOUR], || For(0), &mut released())
        .unwrap();
    assert!(matches!(
        engine.reschedule("wall", 3 * HOUR, &mut released()),
        Ok(Pending::Made(Moved::Yes, AT_ONCE))
    ));
    assert!(matches!(
        engine.cancel("boot", &mut released()),
        Ok(Pending::Made(Cancelled::Here(_), AT_ONCE))
    ));
    assert_eq!(engine.pending(&mut released()), Ok(4));
    assert!(engine.next(None, None).unwrap().is_some());
    assert!(!woken_within(&engine, SECOND / 20));
}
