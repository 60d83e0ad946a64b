//! The store keeps what the boundary promises of any.

mod server;

use duewheel_store::testing::conformance::exercise;
use duewheel_store::testing::drive::{cancel_of, claim, dead, get, insert, put, put_yielded};
use duewheel_store::testing::jobs::{again, begin, bury, done, job, once, place};
use duewheel_store::testing::nodes;
use duewheel_store::testing::outcomes::{ENDED, KEEP, keep, keeping_as, keeps_outcomes, outcome};
use duewheel_store::{
    Answer, ClockKind, Event, Job, Kept, Op, Over, Query, Reason, StoredOutcome, ask,
};
use server::{join, new_schema, no_events, url};
use std::sync::{Arc, Mutex};

#[test]
fn it_does_what_every_store_must() {
    if url().is_none() {
        eprintln!("left out: there is no server; say DUEWHEEL_TEST_PG=postgresql://…");
        return;
    }
    exercise(&|| Box::new(join(&new_schema(), no_events())));
}

#[test]
fn it_keeps_outcomes() {
    if url().is_none() {
        eprintln!("left out: there is no server; say DUEWHEEL_TEST_PG=postgresql://…");
        return;
    }
    keeps_outcomes(&|| Box::new(join(&new_schema(), no_events())));
}

#[test]
fn it_does_what_every_store_must_that_nodes_share() {
    if url().is_none() {
        eprintln!("left out: there is no server; say DUEWHEEL_TEST_PG=postgresql://…");
        return;
    }
    nodes::exercise(&|| {
        let schema = new_schema();
        Box::new(move |events| Box::new(join(&schema, events)))
    });
}

#[test]
fn a_mark_of_what_another_node_holds_is_said_to_be_lost_before_it_is_settled() {
    if url().is_none() {
        eprintln!("left out: there is no server; say DUEWHEEL_TEST_PG=postgresql://…");
        return;
    }
    let schema = new_schema();
    let said = Arc::new(Mutex::new(Vec::new()));
    let hears = said.clone();
    let one = join(
        &schema,
        Box::new(move |event| hears.lock().unwrap().push(event)),
    );
    let other = join(&schema, no_events());
    put_yielded(&one, &[once(1, 10)]);
    assert_eq!(claim(&other, &["email.welcome"], 100, 10).jobs.len(), 1);
    put(&one, &[begin(1)]);
    assert_eq!(*said.lock().unwrap(), [Event::Revoked(vec![1])]);
}

#[test]
fn what_another_node_has_by_now_stays_as_it_is() {
    if url().is_none() {
        eprintln!("left out: there is no server; say DUEWHEEL_TEST_PG=postgresql://…");
        return;
    }
    let schema = new_schema();
    let (one, other) = (join(&schema, no_events()), join(&schema, no_events()));
    let to = place(20, 100);
    let clock = ClockKind::Boot;
    let ends = [
        |seq| Op::Delete(seq),
        |seq| Op::Yield(seq),
        |seq| Op::Release(seq),
        done,
        |seq| again(seq, place(20, 100), 2, 2),
        |seq| bury(seq, Reason::Failed, 20),
    ];
    let moves = |seq| Op::Move { seq, to, clock };
    let all = ends.iter().map(|end| end as &dyn Fn(u64) -> Op<'static>);
    for (seq, op) in (1..).zip(all.chain([&moves as &dyn Fn(u64) -> Op<'static>])) {
        put_yielded(&other, &[once(seq, 10)]);
        assert_eq!(claim(&one, &["email.welcome"], 100, 10).jobs.len(), 1);
        let cancel = cancel_of(once(seq, 10).id.into_owned());
        assert!(ask(&other, cancel).unwrap().has_changed());
        let has = job(seq, 50);
        insert(&other, [has.clone()]);
        put(&one, &[op(seq)]);
        let found = get(&other, &has.id);
        assert_eq!(found.as_ref(), Some(&has), "{:?}", op(seq));
        assert_eq!(dead(&other), []);
        assert_eq!(claim(&one, &["email.welcome"], 100, 10).jobs, []);
    }
}

#[test]
fn what_another_node_may_start_is_not_moved() {
    if url().is_none() {
        eprintln!("left out: there is no server; say DUEWHEEL_TEST_PG=postgresql://…");
        return;
    }
    let schema = new_schema();
    let (one, other) = (join(&schema, no_events()), join(&schema, no_events()));
    let held = job(1, 10);
    put_yielded(&one, std::slice::from_ref(&held));
    assert_eq!(claim(&other, &["email.welcome"], 100, 10).jobs.len(), 1);
    let (to, clock) = (place(50, 9), ClockKind::Boot);
    let id = held.id.clone().into_owned();
    assert_eq!(ask(&one, Query::Move { id, to, clock }), Ok(Answer::Held));
    assert_eq!(get(&one, &held.id), Some(held));
}

#[test]
fn a_node_that_has_lost_a_job_keeps_nothing_of_its_end() {
    if url().is_none() {
        eprintln!("left out: there is no server; say DUEWHEEL_TEST_PG=postgresql://…");
        return;
    }
    let schema = new_schema();
    let (one, other) = (join(&schema, no_events()), join(&schema, no_events()));
    put_yielded(&one, &[keeping_as(once(1, 10))]);
    assert_eq!(claim(&other, &["email.welcome"], 100, 10).jobs.len(), 1);
    let (id, at) = (job(1, 0).id.into_owned(), ENDED);
    let cancel = Query::Cancel { id: id.clone(), at };
    assert!(ask(&one, cancel).unwrap().has_changed());
    // Another job has its id, which is not that node's.
    let anew = Job {
        id: id.clone().into(),
        created: ENDED + KEEP,
        ..keeping_as(job(2, 50))
    };
    assert_eq!(ask(&one, Query::Insert(vec![anew])), Ok(Answer::Done));
    put(&other, &[begin(1), keep(1, Over::Succeeded), done(1)]);
    assert_eq!(outcome(&other, 1, ENDED), StoredOutcome::Pending(true));
    put(&one, &[begin(2), done(2)]);
    let cancelled = Kept::cancelled(&id, &job(1, 0).target, ENDED, KEEP);
    let found = StoredOutcome::Kept(Box::new(cancelled));
    assert_eq!(outcome(&other, 1, ENDED), found);
}
