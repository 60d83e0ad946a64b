//! What a store must do with how jobs have ended that is to be kept; not in [`exercise`](super::conformance::exercise), for
//! not every store keeps it.

use super::nodes::{Nodes, claimed};
use super::taken::Promise;
use crate::testing::conformance::Open;
use crate::testing::drive::{get, insert, put, put_yielded};
use crate::testing::jobs::{begin, bury, done, job, once, place};
use crate::{
    Answer, Carried, ClockKind, Error, Job, Kept, Op, Over, Query, Reason, Store, StoredOutcome,
    ask,
};
use std::sync::Arc;

/// For how long these ends are kept.
pub const KEEP: i64 = 1_000;
/// When these jobs end. Far ahead: a store that nodes share forgets by its own clock.
pub const ENDED: i64 = 4_000_000_000_000_000_000;

pub(super) const PROMISES: &[Promise] = &[
    (
        "an end that is kept is there for all",
        an_end_is_there_for_all,
    ),
    ("what follows is what ends", what_follows_is_what_ends),
    (
        "what is interrupted for good is kept",
        what_is_interrupted_is_kept,
    ),
];

/// Hold a store that keeps outcomes to what it promises of them.
///
/// # Panics
///
/// When it breaks a promise.
pub fn keeps_outcomes(open: Open<'_>) {
    the_end_of_a_job_is_kept_with_it(open);
    what_is_cancelled_in_the_store_is_kept_by_it(open);
    an_id_is_taken_until_what_is_kept_is_kept_no_longer(open);
    a_death_that_is_revived_is_kept_no_longer(open);
}

/// A job whose end is kept.
fn keeping(seq: u64) -> Job<'static> {
    keeping_as(job(seq, 10))
}

/// The same of any job, with all else that a job may carry.
pub fn keeping_as(job: Job<'static>) -> Job<'static> {
    let carried = Carried {
        headers: [("request".into(), "7".into()), ("ä".into(), String::new())].into(),
        key: Some("user-7".into()),
        keep: Some(KEEP),
    };
    Job {
        carried: Some(Arc::new(carried)),
        ..job
    }
}

fn kept(seq: u64, over: Over) -> Kept {
    let job = keeping(seq);
    let cancelled = Kept::cancelled(&job.id, &job.target, ENDED, KEEP);
    Kept {
        over,
        result: format!("result {seq}").into(),
        error: "Traceback …".into(),
        ..cancelled
    }
}

/// What is kept of the end of such a job.
pub fn keep(seq: u64, over: Over) -> Op<'static> {
    let kept = Box::new(kept(seq, over));
    Op::Keep { seq, kept }
}

/// How the job of this sequence has ended, as far as that is kept now.
///
/// # Panics
///
/// When the store does not say it.
pub fn outcome(store: &dyn Store, seq: u64, now: i64) -> StoredOutcome {
    let id = job(seq, 0).id.into_owned();
    match ask(store, Query::Outcome { id, now }) {
        Ok(Answer::Outcome(found)) => found,
        other => panic!("{other:?}"),
    }
}

fn the_end_of_a_job_is_kept_with_it(open: Open<'_>) {
    let store = open();
    insert(&*store, [keeping(1), keeping(2), keeping(3), job(4, 10)]);
    assert_eq!(outcome(&*store, 1, ENDED), StoredOutcome::Pending(true));
    assert_eq!(outcome(&*store, 4, ENDED), StoredOutcome::Pending(false));
    assert_eq!(outcome(&*store, 9, ENDED), StoredOutcome::Unknown);
    put(&*store, &[begin(1), begin(2)]);
    let failed = Over::Dead(Reason::Failed);
    put(&*store, &[keep(1, Over::Succeeded), done(1)]);
    put(&*store, &[keep(2, failed), bury(2, Reason::Failed, ENDED)]);
    put(&*store, &[keep(3, Over::Cancelled), Op::Delete(3)]);
    for (seq, over) in [(1, Over::Succeeded), (2, failed), (3, Over::Cancelled)] {
        let found = StoredOutcome::Kept(Box::new(kept(seq, over)));
        assert_eq!(outcome(&*store, seq, ENDED), found);
        assert_eq!(outcome(&*store, seq, ENDED + KEEP - 1), found);
        assert_eq!(
            outcome(&*store, seq, ENDED + KEEP),
            StoredOutcome::Unknown,
            "it is kept no longer"
        );
        assert_eq!(get(&*store, &job(seq, 0).id), None);
    }
}

fn what_is_cancelled_in_the_store_is_kept_by_it(open: Open<'_>) {
    let store = open();
    put_yielded(&*store, &[keeping(1), job(2, 10)]);
    for seq in [1, 2] {
        let id = job(seq, 0).id.into_owned();
        let cancelled = ask(&*store, Query::Cancel { id, at: ENDED });
        assert!(cancelled.is_ok_and(|answer| answer.has_changed()));
    }
    let job = keeping(1);
    let cancelled = Kept::cancelled(&job.id, &job.target, ENDED, KEEP);
    let found = StoredOutcome::Kept(Box::new(cancelled));
    assert_eq!(outcome(&*store, 1, ENDED), found);
    assert_eq!(outcome(&*store, 2, ENDED), StoredOutcome::Unknown);
}

fn an_id_is_taken_until_what_is_kept_is_kept_no_longer(open: Open<'_>) {
    let store = open();
    insert(&*store, [keeping(1)]);
    put(&*store, &[begin(1), keep(1, Over::Succeeded), done(1)]);
    let again = |created| {
        let anew = Job {
            id: job(1, 0).id,
            created,
            ..job(2, 10)
        };
        ask(&*store, Query::Insert(vec![anew]))
    };
    let taken = Err(Error::Duplicate(job(1, 0).id.into_owned()));
    assert_eq!(again(ENDED + KEEP - 1), taken);
    assert_eq!(again(ENDED + KEEP), Ok(Answer::Done));
    assert_eq!(outcome(&*store, 1, ENDED), StoredOutcome::Pending(false));
}

fn a_death_that_is_revived_is_kept_no_longer(open: Open<'_>) {
    let store = open();
    insert(&*store, [keeping(1), keeping(2)]);
    let failed = Over::Dead(Reason::Failed);
    for (seq, over) in [(1, failed), (2, Over::Succeeded)] {
        let died = bury(seq, Reason::Failed, ENDED);
        put(&*store, &[begin(seq), keep(seq, over), died]);
    }
    let revive = |seq: u64, due: i64| {
        let id = job(seq, 0).id.into_owned();
        let (to, clock) = (place(due, seq + 10), ClockKind::Boot);
        ask(&*store, Query::Revive { id, to, clock })
    };
    assert!(matches!(revive(1, ENDED), Ok(Answer::Job(Some(_)))));
    assert_eq!(outcome(&*store, 1, ENDED), StoredOutcome::Pending(true));
    let taken = Err(Error::Duplicate(job(2, 0).id.into_owned()));
    assert_eq!(revive(2, ENDED), taken, "its id is that of another end");
    assert!(matches!(revive(2, ENDED + KEEP), Ok(Answer::Job(Some(_)))));
}

fn an_end_is_there_for_all(nodes: &Nodes) {
    put_yielded(&*nodes.one, &[keeping(1)]);
    assert_eq!(claimed(&*nodes.other), [keeping(1)]);
    let pending = StoredOutcome::Pending(true);
    assert_eq!(outcome(&*nodes.one, 1, ENDED), pending);
    put(&*nodes.other, &[begin(1)]);
    assert_eq!(outcome(&*nodes.one, 1, ENDED), pending, "it runs");
    put(&*nodes.other, &[keep(1, Over::Succeeded), done(1)]);
    let found = StoredOutcome::Kept(Box::new(kept(1, Over::Succeeded)));
    assert_eq!(outcome(&*nodes.one, 1, ENDED + KEEP - 1), found);
    let put_again = |created, replaces| {
        let anew = Job {
            id: job(1, 0).id,
            created,
            ..job(2, 10)
        };
        let job = Box::new(anew);
        let runs = false;
        ask(
            &*nodes.one,
            Query::Put {
                job,
                replaces,
                runs,
            },
        )
    };
    let taken = Err(Error::Duplicate(job(1, 0).id.into_owned()));
    for replaces in [false, true] {
        assert_eq!(put_again(ENDED + KEEP - 1, replaces), taken);
    }
    assert_eq!(get(&*nodes.one, &job(1, 0).id), None);
    assert_eq!(put_again(ENDED + KEEP, true), Ok(Answer::Changed(false)));
    let pending = StoredOutcome::Pending(false);
    assert_eq!(outcome(&*nodes.other, 1, ENDED), pending);
}

fn what_follows_is_what_ends(nodes: &Nodes) {
    for (seq, last) in [(1, keeping(21)), (2, job(22, 10))] {
        put_yielded(&*nodes.one, &[keeping(seq)]);
        assert_eq!(claimed(&*nodes.other).len(), 1);
        put(&*nodes.other, &[begin(seq)]);
        let keeps = last.carried.is_some();
        let last = Job {
            id: job(seq, 0).id,
            ..last
        };
        let put_over = Query::Put {
            job: Box::new(last),
            replaces: true,
            runs: false,
        };
        assert_eq!(ask(&*nodes.one, put_over), Ok(Answer::Changed(true)));
        let failed = Over::Dead(Reason::Failed);
        let ends = [keep(seq, failed), bury(seq, Reason::Failed, ENDED)];
        put(&*nodes.other, &ends);
        assert_eq!(
            outcome(&*nodes.one, seq, ENDED),
            StoredOutcome::Pending(keeps)
        );
        let followed = claimed(&*nodes.one).remove(0).place.seq;
        put(&*nodes.one, &[begin(followed), done(followed)]);
        assert_eq!(
            outcome(&*nodes.one, seq, ENDED),
            StoredOutcome::Unknown,
            "what ended before it is kept no more"
        );
    }
}

fn what_is_interrupted_is_kept(nodes: &Nodes) {
    let jobs = [1, 2].map(|seq| keeping_as(once(seq, 10)));
    put_yielded(&*nodes.one, &jobs);
    assert_eq!(claimed(&*nodes.other).len(), 2);
    put(&*nodes.other, &[begin(1)]);
    nodes.other.close().unwrap();
    match outcome(&*nodes.one, 1, 0) {
        StoredOutcome::Kept(kept) => {
            assert_eq!(kept.over, Over::Dead(Reason::Interrupted));
            assert!(kept.error.starts_with("its node was lost"));
            assert_eq!(kept.until, kept.ended + KEEP);
        }
        other => panic!("{other:?}"),
    }
    let pending = StoredOutcome::Pending(true);
    assert_eq!(outcome(&*nodes.one, 2, 0), pending, "it had not begun");
}
