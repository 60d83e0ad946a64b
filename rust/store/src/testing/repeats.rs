//! What every store must do with jobs that come again.

use crate::testing::conformance::Open;
use crate::testing::drive::{all, dead, get, insert, page, put, put_yielded, repeats};
use crate::testing::jobs::{begin, bury, bury_followed, followed, job, next, place, repeat};
use crate::{Answer, ClockKind, Error, Job, Op, Query, Reason, Standing, ask};

/// The occurrence of a repeat that goes on as it is told.
fn after(job: &Job<'static>, to: crate::Place) -> Job<'static> {
    let mut after = job.clone();
    crate::testing::model::follow(&mut after, &next(job, to));
    after
}

pub(crate) fn a_repeat_goes_on_with_the_end_of_each_occurrence(open: Open<'_>) {
    let store = open();
    let first = repeat(1, 10);
    insert(&*store, [first.clone()]);
    assert_eq!(get(&*store, &first.id), Some(first.clone()));
    let to = place(70, 2);
    put(&*store, &[begin(1), followed(1, next(&first, to))]);
    let second = after(&first, to);
    assert_eq!(get(&*store, &first.id), Some(second.clone()));
    assert_eq!(second.progress.run, 2);
    let to = place(130, 3);
    put(&*store, &[begin(2)]);
    let died = bury_followed(2, Reason::Failed, 99, next(&second, to));
    put(&*store, &[died]);
    let third = after(&second, to);
    assert_eq!(get(&*store, &first.id), Some(third.clone()));
    let dead = dead(&*store);
    assert_eq!((dead.len(), &dead[0].job, dead[0].died), (1, &second, 99));
    let (id, to, clock) = (first.id.to_string(), place(5, 9), ClockKind::Wall);
    let taken = Err(Error::Duplicate(id.clone()));
    let revive = || Query::Revive {
        id: id.clone(),
        to,
        clock,
    };
    assert_eq!(ask(&*store, revive()), taken, "it goes on");
    put(&*store, &[begin(3), bury(3, Reason::Failed, 100)]);
    assert_eq!(get(&*store, &first.id), None, "it is over");
    let Ok(Answer::Job(Some(revived))) = ask(&*store, revive()) else {
        panic!("it is not revived");
    };
    assert_eq!((revived.place, revived.progress.run), (to, 4));
    assert_eq!(revived.repeat, None, "it comes once");
}

pub(crate) fn a_repeat_is_edited_and_stands_where_it_is_told(open: Open<'_>) {
    let store = open();
    insert(&*store, [repeat(1, 10), repeat(2, 20), job(3, 30)]);
    for seq in [1, 2] {
        // The second time it is in the tables of a store that has some, and begun.
        let edited = || {
            let mut edited = repeat(seq, 10 * seq as i64);
            (edited.target, edited.data) = ("other".into(), b"other data".as_slice().into());
            edited.options.retry_limit = None;
            edited
        };
        let mut expected = edited();
        if let Some(repeat) = &mut expected.repeat {
            repeat.definition.schedule = "every 5".into();
            repeat.definition.terms.count = Some(3);
        }
        let op = Op::Edit(expected.clone());
        put(
            &*store,
            if seq == 1 {
                vec![op]
            } else {
                vec![begin(2), op]
            }
            .as_slice(),
        );
        assert_eq!(get(&*store, &expected.id), Some(expected.clone()));
        let standing = Standing {
            missed: 4,
            paused: true,
            triggered: Some(9),
            ..Standing::new(33)
        };
        let (job_due, moved) = (44, Box::new(standing));
        let stand = Op::Stand {
            seq,
            job_due,
            standing: moved,
        };
        put(&*store, &[stand]);
        expected.job_due = 44;
        if let Some(repeat) = &mut expected.repeat {
            repeat.standing = standing;
        }
        assert_eq!(get(&*store, &expected.id), Some(expected.clone()));
    }
    // What is to be over is no repeat any more.
    let once = Job {
        repeat: None,
        ..repeat(2, 20)
    };
    put(&*store, &[Op::Edit(once.clone())]);
    let found = get(&*store, &once.id).unwrap();
    assert_eq!((found.repeat, found.job_due), (None, 44));
    assert_eq!(get(&*store, &job(3, 30).id), Some(job(3, 30)));
}

pub(crate) fn repeats_come_with_pages_once(open: Open<'_>) {
    let store = open();
    let jobs: Vec<_> = (1..=60)
        .map(|seq| match seq % 3 {
            0 => repeat(seq, 100 - seq as i64),
            _ => job(seq, 100 - seq as i64),
        })
        .collect();
    put_yielded(&*store, &jobs);
    if store.found().grant.is_some() {
        let found = repeats(&*store, None, 100);
        assert_eq!((found.jobs, found.more), (vec![], false));
        assert_eq!(page(&*store, None, i64::MAX, 100).jobs.len(), 60);
        return;
    }
    put(&*store, &[begin(9)]);
    let (mut seqs, mut after) = (Vec::new(), None);
    loop {
        let found = repeats(&*store, after, 7);
        seqs.extend(found.jobs.iter().map(|job| job.place.seq));
        after = found.last.map(|last| last.seq);
        assert!(found.jobs.len() <= 7);
        if !found.more {
            break;
        }
    }
    let expected: Vec<u64> = (1..=20).map(|at| 3 * at).filter(|seq| *seq != 9).collect();
    assert_eq!(seqs, expected);
    let paged = page(&*store, None, i64::MAX, 100).jobs;
    assert_eq!(paged.len(), 40);
    assert!(paged.iter().all(|job| job.repeat.is_none()));
    assert_eq!(all(&*store).len(), 59);
}
