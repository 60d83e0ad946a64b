//! What a store must do with how jobs have ended that is to be kept; not in [`exercise`](super::conformance::exercise), for
//! not every store keeps it.

use crate::testing::conformance::Open;
use crate::testing::drive::{get, insert, put, put_yielded};
use crate::testing::jobs::{begin, bury, done, job, place};
use crate::{
    Answer, Carried, ClockKind, Error, Job, Kept, Op, Over, Query, Reason, Store, StoredOutcome,
    ask,
};
use std::sync::Arc;

const KEEP: i64 = 1_000;
const ENDED: i64 = 50_000;

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
    let carried = Carried {
        keep: Some(KEEP),
        ..Carried::default()
    };
    Job {
        carried: Some(Arc::new(carried)),
        ..job(seq, 10)
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

fn keep(seq: u64, over: Over) -> Op<'static> {
    let kept = Box::new(kept(seq, over));
    Op::Keep { seq, kept }
}

fn outcome(store: &dyn Store, seq: u64, now: i64) -> StoredOutcome {
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
