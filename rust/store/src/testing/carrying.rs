//! What every store must do with what few jobs carry.

use crate::testing::conformance::Open;
use crate::testing::drive::{dead, get, insert, page, put, put_yielded};
use crate::testing::jobs::{again, begin, bury, carried, job, place, repeat};
use crate::{Answer, ClockKind, Job, Op, Query, Reason, ask};

/// A job that carries something.
fn carrying(seq: u64) -> Job<'static> {
    Job {
        carried: carried(seq),
        ..job(seq, 10)
    }
}

pub(crate) fn what_a_job_carries_stays_with_it(open: Open<'_>) {
    let store = open();
    insert(&*store, [carrying(1), job(2, 10)]);
    let id = carrying(1).id.into_owned();
    let kept = |id: &str| get(&*store, id).unwrap().carried;
    assert_eq!(get(&*store, &id), Some(carrying(1)));
    put(&*store, &[begin(1), again(1, place(50, 3), 2, 2)]);
    assert_eq!(kept(&id), carried(1));
    let (to, clock) = (place(60, 4), ClockKind::Wall);
    put(&*store, &[Op::Move { seq: 3, to, clock }]);
    assert_eq!(kept(&id), carried(1));
    put(&*store, &[begin(4), bury(4, Reason::Failed, 99)]);
    assert_eq!(dead(&*store)[0].job.carried, carried(1));
    let revive = Query::Revive {
        id: id.clone(),
        to: place(70, 5),
        clock,
    };
    let Ok(Answer::Job(Some(revived))) = ask(&*store, revive) else {
        panic!("it is not revived");
    };
    assert_eq!(revived.carried, carried(1));
    assert_eq!(kept(&id), carried(1));
}

pub(crate) fn what_a_repeat_carries_is_edited_with_it(open: Open<'_>) {
    let store = open();
    insert(&*store, [repeat(1, 10)]);
    for carries in [carried(1), carried(2), None] {
        let edited = Job {
            carried: carries,
            ..repeat(1, 10)
        };
        put(&*store, &[Op::Edit(edited.clone())]);
        assert_eq!(get(&*store, &edited.id), Some(edited));
    }
}

pub(crate) fn pages_and_insertions_by_query_bring_what_is_carried(open: Open<'_>) {
    let store = open();
    let asked = ask(&*store, Query::Insert(vec![carrying(1)]));
    assert_eq!(asked, Ok(Answer::Done));
    put_yielded(&*store, &[carrying(2), job(3, 10)]);
    put(&*store, &[Op::Yield(1)]);
    let jobs = page(&*store, None, 100, 10).jobs;
    let carries: Vec<_> = jobs.iter().map(|job| job.carried.clone()).collect();
    assert_eq!(carries, [carried(1), carried(2), None]);
}
