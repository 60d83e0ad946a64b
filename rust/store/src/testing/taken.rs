//! What every store that nodes share must do with a job whose id a call takes, and with targets that are paused.

use super::nodes::{Nodes, claimed, claimed_until};
use crate::testing::drive::{claim_limited, dead, get, put, put_yielded};
use crate::testing::jobs::{again, begin, bury, carried, done, job, once, place, repeat};
use crate::{Answer, ClockKind, Error, Event, Job, Op, Query, Reason, Store, ask};

pub(super) type Promise = (&'static str, fn(&Nodes));

pub(super) const PROMISES: &[Promise] = &[
    ("what a call makes of an id is there", a_free_id_is_taken),
    (
        "what waits is updated or replaced in its place",
        what_waits_is_changed,
    ),
    (
        "what another node holds is changed once it is given back",
        what_another_holds,
    ),
    ("one at most once is changed at once", one_at_most_once),
    (
        "what runs is followed by one, whoever has said so",
        what_runs_is_followed,
    ),
    ("what is to be retried is changed then", what_is_retried),
    (
        "what was marked and did not start is changed",
        what_did_not_start,
    ),
    (
        "what runs in a node that ends is followed, once",
        what_runs_in_a_node_that_ends,
    ),
    ("a repeat is not changed by its id", a_repeat_is_not_changed),
    ("nobody claims what is paused", paused),
];

/// A job under the id of another, with all that may differ.
fn other(seq: u64, due: i64, id: u64) -> Job<'static> {
    Job {
        id: job(id, 0).id,
        target: "edited".into(),
        data: b"edited".as_slice().into(),
        clock: ClockKind::Wall,
        carried: carried(seq),
        ..job(seq, due)
    }
}

fn ask_to_put(
    store: &dyn Store,
    job: &Job<'static>,
    (replaces, runs): (bool, bool),
) -> Result<Answer, Error> {
    let put = Query::Put {
        job: Box::new(job.clone()),
        replaces,
        runs,
    };
    ask(store, put)
}

fn update(store: &dyn Store, job: &Job<'static>) -> Result<Answer, Error> {
    ask_to_put(store, job, (false, false))
}

fn replace(store: &dyn Store, job: &Job<'static>) -> Result<Answer, Error> {
    ask_to_put(store, job, (true, false))
}

const CHANGED: Result<Answer, Error> = Ok(Answer::Changed(true));

/// The one job that comes to a node; how it was made follows from `as_was`.
fn comes(store: &dyn Store, as_was: impl FnOnce(Job<'static>) -> Job<'static>) {
    let mut found = claimed(store);
    assert_eq!(found.len(), 1);
    let found = found.remove(0);
    // What follows has a sequence that its node does not know beforehand.
    assert_eq!(as_was(found.clone()), found);
}

fn a_free_id_is_taken(nodes: &Nodes) {
    for (seq, replaces) in [(1, false), (2, true)] {
        let new = other(seq, 10, seq);
        let put = ask_to_put(&*nodes.one, &new, (replaces, false));
        assert_eq!(put, Ok(Answer::Changed(false)));
        assert_eq!(claimed(&*nodes.other), [new]);
    }
}

fn what_waits_is_changed(nodes: &Nodes) {
    put_yielded(&*nodes.one, &[job(1, 10)]);
    assert_eq!(claimed(&*nodes.one).len(), 1);
    put(
        &*nodes.one,
        &[begin(1), again(1, place(20, 2), 2, 2), Op::Yield(2)],
    );
    // Of nobody, and of the node that says so.
    for (seq, holds) in [(3, false), (4, true)] {
        if holds {
            assert_eq!(claimed(&*nodes.one).len(), 1);
        }
        let to = other(seq, 90, 1);
        assert_eq!(update(&*nodes.one, &to), CHANGED);
        let was = get(&*nodes.other, &to.id).expect("it is there");
        let clock = ClockKind::Boot;
        assert_eq!(
            (was.place, was.clock, was.job_due),
            (place(20, 2), clock, 10)
        );
        assert_eq!((was.progress.attempt, was.progress.run), (2, 2));
        let (place, progress) = (was.place, was.progress);
        let as_updated = Job {
            place,
            clock,
            progress,
            job_due: 10,
            created: was.created,
            ..to
        };
        assert_eq!(was, as_updated);
    }
    assert_eq!(claimed(&*nodes.one).len(), 1);
    let to = other(5, 15, 1);
    assert_eq!(replace(&*nodes.one, &to), CHANGED);
    comes(&*nodes.other, |mut found| {
        assert_eq!(found.progress.run, 2);
        found = Job {
            created: found.created,
            progress: found.progress,
            ..to.clone()
        };
        (found.progress.attempt, found.progress.first_start) = (1, None);
        found
    });
}

fn what_another_holds(nodes: &Nodes) {
    put_yielded(&*nodes.one, &[job(1, 10)]);
    assert_eq!(claimed(&*nodes.other).len(), 1);
    let to = other(2, 15, 1);
    assert_eq!(update(&*nodes.one, &to), Ok(Answer::Held));
    assert_eq!(replace(&*nodes.one, &to), Ok(Answer::Held));
    assert_eq!(get(&*nodes.one, &to.id), Some(job(1, 10)));
    put(&*nodes.other, &[Op::Yield(1)]);
    assert_eq!(replace(&*nodes.one, &to), CHANGED);
    assert_eq!(claimed(&*nodes.other), [to]);
}

fn one_at_most_once(nodes: &Nodes) {
    put_yielded(&*nodes.one, &[once(1, 10)]);
    assert_eq!(claimed(&*nodes.other).len(), 1);
    assert_eq!(update(&*nodes.one, &other(2, 15, 1)), CHANGED);
    put(&*nodes.other, &[begin(1)]);
    assert_eq!(*nodes.heard.lock().unwrap(), [Event::Revoked(vec![1])]);
    assert_eq!(claimed(&*nodes.one)[0].place.due, 10);
}

/// A job that runs on the second node.
fn running(nodes: &Nodes, seq: u64) {
    put_yielded(&*nodes.one, &[job(seq, 10)]);
    assert_eq!(claimed(&*nodes.other).len(), 1);
    put(&*nodes.other, &[begin(seq)]);
}

/// What follows job `id`, begun anew.
fn follows(nodes: &Nodes, id: u64, (due, run): (i64, u32), to: &Job<'static>) {
    comes(&*nodes.one, |found| {
        let mut as_said = Job {
            created: found.created,
            ..to.clone()
        };
        (as_said.id, as_said.job_due) = (job(id, 0).id, due);
        as_said.place = place(due, found.place.seq);
        if due != to.place.due {
            as_said.clock = ClockKind::Boot; // where it was, as it was
        }
        (as_said.progress.run, as_said.progress.attempt) = (run, 1);
        as_said
    });
    assert_eq!(claimed(&*nodes.other), []);
}

fn what_runs_is_followed(nodes: &Nodes) {
    // By the node that runs it, and has not said so yet: then it has begun.
    put_yielded(&*nodes.one, &[job(1, 10)]);
    assert_eq!(claimed(&*nodes.other).len(), 1);
    let to = other(2, 15, 1);
    assert_eq!(ask_to_put(&*nodes.other, &to, (false, true)), CHANGED);
    assert_eq!(claimed(&*nodes.one), []);
    put(&*nodes.other, &[begin(1)]);
    assert_eq!(claimed(&*nodes.one), []);
    put(&*nodes.other, &[done(1)]);
    follows(nodes, 1, (10, 2), &to);
    // The last that is said, at the due that was.
    running(nodes, 5);
    let at_99 = other(6, 99, 5);
    assert_eq!(replace(&*nodes.one, &at_99), CHANGED);
    assert_eq!(update(&*nodes.one, &other(7, 15, 5)), CHANGED);
    put(&*nodes.other, &[bury(5, Reason::Failed, 77)]);
    assert_eq!(dead(&*nodes.one).len(), 1);
    let as_said = Job {
        carried: carried(7),
        ..at_99
    };
    follows(nodes, 5, (99, 2), &as_said);
    // What follows ends as any other.
    let seq = get(&*nodes.one, &as_said.id)
        .expect("it is there")
        .place
        .seq;
    put(&*nodes.one, &[begin(seq), done(seq)]);
    assert_eq!(get(&*nodes.one, &as_said.id), None);
}

fn what_is_retried(nodes: &Nodes) {
    running(nodes, 1);
    assert_eq!(update(&*nodes.one, &other(2, 15, 1)), CHANGED);
    put(
        &*nodes.other,
        &[again(1, place(50, 60), 2, 2), Op::Yield(60)],
    );
    let retry = claimed(&*nodes.one).remove(0);
    assert_eq!((&*retry.target, retry.place.due), ("edited", 50));
    assert_eq!((retry.progress.attempt, retry.progress.run), (2, 2));
    put(&*nodes.one, &[Op::Delete(retry.place.seq)]);
    running(nodes, 5);
    let to = other(6, 15, 5);
    assert_eq!(replace(&*nodes.one, &to), CHANGED);
    put(
        &*nodes.other,
        &[again(5, place(50, 61), 2, 2), Op::Yield(61)],
    );
    follows(nodes, 5, (15, 2), &to);
}

fn what_did_not_start(nodes: &Nodes) {
    running(nodes, 1);
    assert_eq!(update(&*nodes.one, &other(2, 15, 1)), CHANGED);
    put(&*nodes.other, &[Op::Release(1), Op::Yield(1)]);
    let changed = claimed(&*nodes.one).remove(0);
    assert_eq!((&*changed.target, changed.place.due), ("edited", 10));
    assert_eq!((changed.progress.attempt, changed.progress.run), (1, 1));
}

fn what_runs_in_a_node_that_ends(nodes: &Nodes) {
    running(nodes, 1);
    assert_eq!(update(&*nodes.one, &other(3, 15, 1)), CHANGED);
    put(&*nodes.other, &[Op::Leave]);
    nodes.other.close().unwrap();
    let follows = claimed_until(&*nodes.one, 100).remove(0);
    assert_eq!((&*follows.target, follows.place.due), ("edited", 10));
    assert_eq!((follows.progress.attempt, follows.progress.run), (1, 2));
    assert_eq!(
        (follows.progress.first_start, follows.interruptions),
        (None, 0)
    );
    assert_eq!(dead(&*nodes.one), []);
}

fn a_repeat_is_not_changed(nodes: &Nodes) {
    put_yielded(&*nodes.one, &[repeat(1, 10)]);
    let to = other(2, 15, 1);
    assert!(matches!(update(&*nodes.one, &to), Err(Error::Duplicate(id)) if *id == *to.id));
    assert_eq!(claimed(&*nodes.other), [repeat(1, 10)]);
    assert!(replace(&*nodes.one, &to).is_err());
}

fn paused(nodes: &Nodes) {
    let set = |paused| {
        let target = "email.welcome".to_owned();
        ask(&*nodes.one, Query::SetPaused { target, paused })
    };
    let unfinished = || {
        ask(
            &*nodes.other,
            Query::Unfinished(vec!["email.welcome".into()]),
        )
    };
    let paused = || ask(&*nodes.other, Query::PausedTargets);
    running(nodes, 1);
    put_yielded(&*nodes.one, &[job(2, 20), other(3, 30, 3)]);
    assert_eq!(set(true), Ok(Answer::Changed(true)));
    assert_eq!(set(true), Ok(Answer::Changed(false)));
    assert_eq!(paused(), Ok(Answer::Ids(vec!["email.welcome".into()])));
    assert_eq!(
        unfinished(),
        Ok(Answer::Count(1)),
        "what runs is waited for"
    );
    let seqs = |jobs: Vec<Job<'_>>| jobs.iter().map(|job| job.place.seq).collect::<Vec<_>>();
    assert_eq!(seqs(claimed(&*nodes.other)), [3]);
    assert_eq!(
        claim_limited(&*nodes.other, "email.welcome", 9, 100).jobs,
        []
    );
    put(
        &*nodes.other,
        &[again(1, place(50, 60), 2, 2), Op::Yield(60)],
    );
    assert_eq!(claimed(&*nodes.one), []);
    assert_eq!(unfinished(), Ok(Answer::Count(0)));
    assert_eq!(set(false), Ok(Answer::Changed(true)));
    assert_eq!(set(false), Ok(Answer::Changed(false)));
    assert_eq!(paused(), Ok(Answer::Ids(Vec::new())));
    assert_eq!(seqs(claimed(&*nodes.other)), [2, 60]);
    let told = nodes.told.lock().unwrap();
    let names = vec!["email.welcome".to_owned()];
    assert_eq!(told.first(), Some(&Event::Paused(names)));
    assert_eq!(told.last(), Some(&Event::Paused(Vec::new())));
}
