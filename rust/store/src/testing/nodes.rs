//! What every store that nodes share must do with jobs that come again, and with limits over all nodes.

use super::outcomes;
use super::taken::{self, Promise};
use crate::testing::drive::{cancel_of, claim, claim_limited, dead, put, put_yielded};
use crate::testing::jobs::{again, begin, bury_followed, done, followed, job, next, place, repeat};
use crate::{Answer, Event, Events, Job, Op, Query, Reason, Standing, Store, StoredRepeat, ask};
use std::sync::{Arc, Mutex};

/// Lets a node join the others.
pub type Join = Box<dyn Fn(Events) -> Box<dyn Store>>;

const PROMISES: &[Promise] = &[
    (
        "each occurrence is one node's",
        each_occurrence_is_one_nodes,
    ),
    (
        "what is amended while it waits starts nowhere as it was",
        amended_while_it_waits,
    ),
    (
        "what is amended while it runs counts once it has ended",
        amended_while_it_runs,
    ),
    (
        "a repeat that is cancelled while it runs ends with that",
        cancelled_while_it_runs,
    ),
    ("what is held back is claimed by nobody", held_back),
    ("a declared repeat is claimed by who declares it", declared),
    (
        "who waits for what is unfinished waits for no repeat without an end",
        unfinished,
    ),
    (
        "of a limited target all nodes together hold so many",
        limited,
    ),
    (
        "what a node no longer holds of a limited target leaves its place",
        limited_and_left,
    ),
];

/// Two nodes, and what the second has heard to be taken back.
pub(super) struct Nodes {
    pub(super) one: Box<dyn Store>,
    pub(super) other: Box<dyn Store>,
    pub(super) heard: Arc<Mutex<Vec<Event>>>,
    /// Which targets it was told to be paused.
    pub(super) told: Arc<Mutex<Vec<Event>>>,
}

/// Hold a store that nodes share to all that the boundary promises of repeats, limits, pauses, ids that are taken and ends that
/// are kept.
///
/// # Panics
///
/// When it breaks a promise; the last that was printed.
pub fn exercise(open: &dyn Fn() -> Join) {
    for (promise, exercise) in PROMISES
        .iter()
        .chain(taken::PROMISES)
        .chain(outcomes::PROMISES)
    {
        println!("{promise}");
        let join = open();
        let (heard, told) = (
            Arc::new(Mutex::new(Vec::new())),
            Arc::new(Mutex::new(Vec::new())),
        );
        let (hears, is_told) = (heard.clone(), told.clone());
        let note = move |event| match event {
            Event::Revoked(_) => hears.lock().unwrap().push(event),
            Event::Paused(_) => is_told.lock().unwrap().push(event),
            _ => {}
        };
        exercise(&Nodes {
            one: join(Box::new(|_| {})),
            other: join(Box::new(note)),
            heard,
            told,
        });
    }
}

impl Nodes {
    /// A repeat that the second node has claimed.
    fn held(&self) -> Job<'static> {
        let new = repeat(1, 10);
        put_yielded(&*self.one, &[new]);
        let mut claimed = claimed(&*self.other);
        assert_eq!(claimed.len(), 1);
        claimed.remove(0)
    }

    /// One that runs there.
    fn running(&self) -> Job<'static> {
        let held = self.held();
        put(&*self.other, &[begin(1)]);
        held
    }

    fn amend(&self, was: &StoredRepeat, to: &Job<'static>) -> bool {
        let (was, to) = (Box::new(was.clone()), Some(Box::new(to.clone())));
        ask(&*self.one, Query::Amend { was, to }) == Ok(Answer::Changed(true))
    }

    fn cancel(&self) -> bool {
        let cancel = cancel_of(repeat(1, 0).id.into_owned());
        ask(&*self.one, cancel).is_ok_and(|answer| answer.has_changed())
    }
}

pub(super) fn claimed(store: &dyn Store) -> Vec<Job<'static>> {
    claimed_until(store, 1_000)
}

pub(super) fn claimed_until(store: &dyn Store, until: i64) -> Vec<Job<'static>> {
    claim(store, &["email.welcome", "edited"], until, 10).jobs
}

fn found(store: &dyn Store) -> Option<StoredRepeat> {
    match ask(store, Query::Repeat(repeat(1, 0).id.into_owned())) {
        Ok(Answer::Repeat(found)) => found.map(|found| *found),
        other => panic!("{other:?}"),
    }
}

fn stands(store: &dyn Store) -> StoredRepeat {
    found(store).expect("it is there")
}

fn standing(job: &Job<'_>) -> Standing {
    job.repeat.as_ref().expect("it repeats").standing
}

/// The same with another definition, standing so.
fn edited(job: &Job<'static>, change: impl FnOnce(&mut Standing)) -> Job<'static> {
    let mut edited = job.clone();
    (edited.target, edited.data) = ("edited".into(), b"edited".as_slice().into());
    edited.clock = crate::ClockKind::Wall;
    if let Some(repeat) = &mut edited.repeat {
        repeat.definition.terms.count = Some(9);
        change(&mut repeat.standing);
    }
    edited
}

fn each_occurrence_is_one_nodes(nodes: &Nodes) {
    let first = nodes.held();
    assert_eq!(first, repeat(1, 10));
    assert_eq!(claimed(&*nodes.one), []);
    let to = place(20, 2);
    let end = [begin(1), followed(1, next(&first, to)), Op::Yield(2)];
    put(&*nodes.other, &end);
    let second = claimed(&*nodes.one).remove(0);
    assert_eq!((second.place, second.progress.run), (to, 2));
    assert_eq!(standing(&second), next(&first, to).standing);
    assert_eq!(claimed(&*nodes.other), []);
    let stood = stands(&*nodes.other);
    assert_eq!((&stood.job, stood.begun), (&second, false));
    put(&*nodes.one, &[begin(2)]);
    assert!(stands(&*nodes.other).begun);
    let ids = ask(&*nodes.other, Query::RepeatIds);
    assert_eq!(ids, Ok(Answer::Ids(vec![first.id.to_string()])));
}

fn amended_while_it_waits(nodes: &Nodes) {
    let held = nodes.held();
    let was = stands(&*nodes.one);
    assert_eq!((&was.job, was.begun), (&held, false));
    let mut to = edited(&held, |standing| standing.time = 15);
    (to.place, to.job_due) = (place(15, 7), 15);
    assert!(nodes.amend(&was, &to));
    assert!(!nodes.amend(&was, &to), "it stands otherwise by now");
    assert_eq!(stands(&*nodes.one).job, to);
    put(&*nodes.other, &[begin(1)]);
    let revoked = [Event::Revoked(vec![1])];
    assert_eq!(
        *nodes.heard.lock().unwrap(),
        revoked,
        "said before it is settled"
    );
    assert!(!stands(&*nodes.one).begun);
    assert_eq!(claimed(&*nodes.other), [to.clone()]);
    // What it holds is changed once more, and comes to it again before it has heard of that.
    let again = Job {
        place: place(16, 8),
        ..to
    };
    nodes.heard.lock().unwrap().clear();
    assert!(nodes.amend(&stands(&*nodes.one), &again));
    assert_eq!(claimed(&*nodes.other), [again]);
    assert_eq!(*nodes.heard.lock().unwrap(), [Event::Revoked(vec![7])]);
    let was = Box::new(stands(&*nodes.one));
    let over = ask(&*nodes.one, Query::Amend { was, to: None });
    assert_eq!(
        (over, found(&*nodes.one)),
        (Ok(Answer::Changed(true)), None)
    );
}

fn amended_while_it_runs(nodes: &Nodes) {
    let running = nodes.running();
    let was = stands(&*nodes.one);
    assert!(was.begun);
    let wanted = |standing: &mut Standing| standing.wanted = Some(12);
    let to = edited(&running, wanted);
    assert!(nodes.amend(&was, &to));
    let stood = stands(&*nodes.one);
    assert_eq!((&stood.job, stood.begun), (&to, true));
    assert_eq!(claimed(&*nodes.one), []);
    // A retry goes on as it is now.
    let retried = place(20, 2);
    put(&*nodes.other, &[again(1, retried, 2, 2), Op::Yield(2)]);
    let claimed_again = claimed(&*nodes.other).remove(0);
    assert_eq!(standing(&claimed_again), standing(&to));
    assert_eq!(
        (&*claimed_again.data, claimed_again.progress.attempt),
        (b"edited".as_slice(), 2)
    );
    // Then what its end brings was found by what it was before.
    put(&*nodes.other, &[begin(2)]);
    let paused = edited(&claimed_again, |standing| standing.declared = false);
    assert!(nodes.amend(&stands(&*nodes.one), &paused));
    let brings = next(&running, place(99, 3));
    put(&*nodes.other, &[followed(2, brings.clone()), Op::Yield(3)]);
    let spent = stands(&*nodes.one);
    assert_eq!(
        standing(&spent.job),
        standing(&to).spent_with(Some(&brings.standing))
    );
    assert_eq!(
        (
            spent.begun,
            spent.job.progress.run,
            spent.job.progress.attempt
        ),
        (false, 3, 1)
    );
    let soon = spent.job.place.due + 1;
    assert_eq!(claimed_until(&*nodes.one, soon).len(), 1);
}

fn cancelled_while_it_runs(nodes: &Nodes) {
    let running = nodes.running();
    assert!(nodes.cancel());
    assert!(!nodes.cancel(), "it ends already");
    assert_eq!(stands(&*nodes.one).job.repeat, None);
    let end = bury_followed(1, Reason::Failed, 99, next(&running, place(20, 2)));
    put(&*nodes.other, &[end, Op::Yield(2)]);
    assert_eq!(found(&*nodes.one), None);
    assert_eq!(dead(&*nodes.one).len(), 1);
    // One that fails is not retried.
    nodes.running();
    assert!(nodes.cancel());
    put(&*nodes.other, &[again(1, place(20, 3), 2, 2), Op::Yield(3)]);
    assert_eq!(found(&*nodes.one), None);
    // One that waits on another node starts nowhere.
    nodes.held();
    assert!(nodes.cancel());
    nodes.heard.lock().unwrap().clear();
    put(&*nodes.other, &[begin(1)]);
    assert_eq!(*nodes.heard.lock().unwrap(), [Event::Revoked(vec![1])]);
}

fn held_back(nodes: &Nodes) {
    let held = nodes.held();
    let mut seq = 1;
    let mut amend = |change: fn(&mut Standing)| {
        seq += 1;
        let mut to = edited(&held, change);
        to.place.seq = seq;
        assert!(nodes.amend(&stands(&*nodes.one), &to));
        claimed(&*nodes.one).len()
    };
    assert_eq!(amend(|standing| standing.paused = true), 0);
    let asked_for = |standing: &mut Standing| {
        (standing.paused, standing.triggered) = (true, Some(3));
    };
    assert_eq!(amend(asked_for), 1);
    assert_eq!(amend(|standing| standing.paused = true), 0);
    assert_eq!(
        amend(|standing| (standing.paused, standing.spent) = (true, true)),
        1
    );
}

fn declared(nodes: &Nodes) {
    let mut new = repeat(1, 10);
    if let Some(repeat) = &mut new.repeat {
        repeat.standing.declared = true;
    }
    put_yielded(&*nodes.one, &[new.clone()]);
    assert_eq!(claimed(&*nodes.one), []);
    assert!(!stands(&*nodes.one).is_wanted);
    let (id, said) = (new.id.to_string(), String::new());
    let declare = Query::Declare { id, said };
    assert_eq!(ask(&*nodes.other, declare), Ok(Answer::Done));
    assert!(stands(&*nodes.one).is_wanted);
    assert_eq!(claimed(&*nodes.one), []);
    assert_eq!(claimed(&*nodes.other), [new]);
    nodes.other.close().unwrap();
    assert_eq!(claimed(&*nodes.one), []);
    assert!(!stands(&*nodes.one).is_wanted);
}

fn unfinished(nodes: &Nodes) {
    let count = || {
        let targets = ["email.welcome", "edited"].map(str::to_owned).to_vec();
        ask(&*nodes.one, Query::Unfinished(targets))
    };
    let held = nodes.held();
    assert_eq!(count(), Ok(Answer::Count(0)));
    put(&*nodes.other, &[begin(1)]);
    assert_eq!(count(), Ok(Answer::Count(1)), "what runs is waited for");
    put(&*nodes.other, &[Op::Release(1)]);
    assert_eq!(count(), Ok(Answer::Count(0)));
    let mut to = edited(&held, |_| {});
    to.place.seq = 2;
    assert!(nodes.amend(&stands(&*nodes.one), &to));
    assert_eq!(count(), Ok(Answer::Count(1)), "it has an end");
    put_yielded(&*nodes.one, &[job(3, 10)]);
    assert_eq!(count(), Ok(Answer::Count(2)));
}

/// The sequences of what a node claims of the target that is limited to two.
fn claimed_of_two(store: &dyn Store, until: i64) -> Vec<u64> {
    let page = claim_limited(store, "email.welcome", 2, until);
    page.jobs.iter().map(|job| job.place.seq).collect()
}

fn limited(nodes: &Nodes) {
    put_yielded(&*nodes.one, &[1, 2, 3, 4, 5].map(|n| job(n, 10 + n as i64)));
    assert_eq!(
        claimed_of_two(&*nodes.one, 11),
        [] as [u64; 0],
        "due then, not before"
    );
    assert_eq!(claimed_of_two(&*nodes.one, 12).len(), 1);
    assert_eq!(claimed_of_two(&*nodes.other, 100).len(), 1);
    assert_eq!(claimed_of_two(&*nodes.one, 100), [] as [u64; 0]);
    assert_eq!(claimed_of_two(&*nodes.other, 100), [] as [u64; 0]);
    put(&*nodes.one, &[begin(1)]);
    assert_eq!(
        claimed_of_two(&*nodes.other, 100),
        [] as [u64; 0],
        "what runs has a place"
    );
    put(&*nodes.one, &[done(1)]);
    assert_eq!(claimed_of_two(&*nodes.other, 100), [3]);
    assert_eq!(claimed_of_two(&*nodes.one, 100), [] as [u64; 0]);
    assert_eq!(
        claim(&*nodes.one, &["email.welcome"], 100, 9).jobs.len(),
        2,
        "by who has no limit"
    );
}

fn limited_and_left(nodes: &Nodes) {
    put_yielded(&*nodes.one, &[job(1, 10), job(2, 11), job(3, 12)]);
    assert_eq!(claimed_of_two(&*nodes.one, 100), [1, 2]);
    // A retry, and what is only let go of.
    put(&*nodes.one, &[begin(1)]);
    put(
        &*nodes.one,
        &[again(1, place(50, 60), 2, 2), Op::Yield(60), Op::Yield(2)],
    );
    assert_eq!(claimed_of_two(&*nodes.other, 30), [2, 3]);
    assert_eq!(claimed_of_two(&*nodes.one, 100), [] as [u64; 0]);
    // A node that ends in order.
    nodes.other.close().unwrap();
    assert_eq!(claimed_of_two(&*nodes.one, 30), [2, 3]);
}
