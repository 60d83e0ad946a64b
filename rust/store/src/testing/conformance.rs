//! What every store must do, whatever is behind it: one suite, for any crate to run over its stores.

use crate::testing::carrying;
use crate::testing::drive::{cancel_of, dead, get, insert, page, pending, put, put_yielded, take};
use crate::testing::jobs::{again, begin, bury, done, job, place};
use crate::testing::model::{Model, Random};
use crate::testing::repeats;
use crate::{Answer, ClockKind, Error, Job, Op, Query, Reason, Store, WhichDead, ask};
use std::collections::BTreeMap;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Opens a store that has no jobs.
pub type Open<'a> = &'a dyn Fn() -> Box<dyn Store>;

type Promise = (&'static str, fn(Open<'_>));

const PROMISES: &[Promise] = &[
    (
        "pages come in order and miss nothing",
        pages_come_in_order_and_miss_nothing,
    ),
    (
        "what happens to a job is told of it",
        what_happens_to_a_job_is_told_of_it,
    ),
    (
        "only what has not begun is cancelled or moved by id",
        only_what_has_not_begun_is_cancelled_or_moved_by_id,
    ),
    (
        "ids are unique among what is pending or runs",
        ids_are_unique_among_what_is_pending_or_runs,
    ),
    (
        "the dead come newest first and are purged by time",
        the_dead_come_newest_first_and_are_purged_by_time,
    ),
    (
        "tickets settle in order and call back",
        tickets_settle_in_order_and_call_back,
    ),
    (
        "after close everything is refused",
        after_close_everything_is_refused,
    ),
    (
        "a repeat goes on with the end of each occurrence",
        repeats::a_repeat_goes_on_with_the_end_of_each_occurrence,
    ),
    (
        "a repeat is edited and stands where it is told",
        repeats::a_repeat_is_edited_and_stands_where_it_is_told,
    ),
    (
        "repeats come with pages once",
        repeats::repeats_come_with_pages_once,
    ),
    (
        "what a job carries stays with it",
        carrying::what_a_job_carries_stays_with_it,
    ),
    (
        "what a repeat carries is edited with it",
        carrying::what_a_repeat_carries_is_edited_with_it,
    ),
    (
        "pages and insertions by query bring what is carried",
        carrying::pages_and_insertions_by_query_bring_what_is_carried,
    ),
    (
        "any course of batches leaves what the model says",
        any_course_of_batches_leaves_what_the_model_says,
    ),
];

/// Hold a store to all that the boundary promises of any.
///
/// # Panics
///
/// When it breaks a promise; the last that was printed.
pub fn exercise(open: Open<'_>) {
    for (promise, exercise) in PROMISES {
        println!("{promise}");
        exercise(open);
    }
}

fn pages_come_in_order_and_miss_nothing(open: Open<'_>) {
    let store = open();
    let mut random = Random::new(1);
    let mut jobs: Vec<_> = (1..=200)
        .map(|seq| job(seq, random.below(20) as i64 * 10))
        .collect();
    put_yielded(&*store, &jobs);
    jobs.sort_by_key(|job| job.place);
    let (mut read, mut after) = (Vec::new(), None);
    for until in [0, 50, 51, 100, i64::MAX] {
        loop {
            let limit = 1 + random.below(30) as usize;
            let page = page(&*store, after, until, limit);
            assert!(page.jobs.len() <= limit);
            assert!(page.jobs.iter().all(|job| job.place.due < until));
            assert_eq!(page.more, {
                let end = read.len() + page.jobs.len();
                end < jobs.len() && jobs[end].place.due < until
            });
            read.extend(page.jobs);
            after = read.last().map(|job: &Job<'_>| job.place).or(after);
            if !page.more {
                break;
            }
        }
    }
    assert_eq!(read, jobs);
}

fn what_happens_to_a_job_is_told_of_it(open: Open<'_>) {
    let store = open();
    insert(&*store, (1..=6).map(|seq| job(seq, 10)));
    let id = |seq| job(seq, 0).id.into_owned();
    put(&*store, &[Op::Delete(1)]);
    assert_eq!(get(&*store, &id(1)), None);
    let (to, clock) = (place(99, 7), ClockKind::Wall);
    put(&*store, &[Op::Move { seq: 2, to, clock }]);
    let moved = get(&*store, &id(2)).unwrap();
    assert_eq!((moved.place, moved.clock), (to, clock));
    assert_eq!((moved.job_due, moved.progress.run), (10, 1));
    put(&*store, &[begin(3), begin(4), begin(5), begin(6)]);
    let failed = bury(5, Reason::Failed, 1234);
    put(&*store, &[done(3), again(4, place(50, 8), 2, 2), failed]);
    put(&*store, &[Op::Release(6)]);
    assert_eq!(get(&*store, &id(3)), None);
    let again = get(&*store, &id(4)).unwrap();
    assert_eq!((again.place, again.progress.attempt), (place(50, 8), 2));
    assert_eq!(
        (again.progress.run, again.progress.first_start),
        (2, Some(77))
    );
    assert_eq!(get(&*store, &id(5)), None);
    let dead = dead(&*store);
    assert_eq!((dead.len(), &*dead[0].job.id), (1, &*id(5)));
    assert_eq!((dead[0].reason, dead[0].died), (Reason::Failed, 1234));
    assert_eq!(
        (&*dead[0].error, dead[0].job.progress.attempt),
        ("Traceback …", 1)
    );
    assert_eq!(get(&*store, &id(6)), Some(job(6, 10)));
}

fn only_what_has_not_begun_is_cancelled_or_moved_by_id(open: Open<'_>) {
    let store = open();
    put_yielded(
        &*store,
        &(1..=3).map(|seq| job(seq, 10)).collect::<Vec<_>>(),
    );
    take(&*store, 100, 10);
    put(&*store, &[begin(3)]);
    let id = |seq| job(seq, 0).id.into_owned();
    assert_eq!(pending(&*store, &id(2)), (Some(job(2, 10)), 2));
    assert_eq!(pending(&*store, &id(3)), (None, 2));
    let unfinished = |target: &str| ask(&*store, Query::Unfinished(vec![target.to_owned()]));
    assert_eq!(unfinished("email.welcome"), Ok(Answer::Count(3)));
    assert_eq!(unfinished("another"), Ok(Answer::Count(0)));
    let targets = vec![("email.welcome".to_owned(), 3)];
    assert_eq!(ask(&*store, Query::Targets), Ok(Answer::Targets(targets)));
    let target_of = |id: &str| ask(&*store, Query::TargetOf(id.into()));
    let one = job(1, 0);
    let found = Some((one.target.to_string(), one.place.seq));
    assert_eq!(target_of(&one.id), Ok(Answer::TargetOf(found)));
    assert_eq!(target_of("unknown"), Ok(Answer::TargetOf(None)));
    let changed = |query| ask(&*store, query).is_ok_and(|answer| answer.has_changed());
    assert!(changed(cancel_of(id(1))));
    assert!(!changed(cancel_of(id(1))));
    assert!(!changed(cancel_of(id(3))));
    let to = |id, seq| Query::Move {
        id,
        to: place(5, seq),
        clock: ClockKind::Wall,
    };
    assert!(changed(to(id(2), 4)));
    assert!(!changed(to(id(3), 5)));
    assert!(!changed(to(id(9), 6)));
    assert_eq!(get(&*store, &id(2)).unwrap().place, place(5, 4));
    assert_eq!(get(&*store, &id(1)), None);
    assert!(get(&*store, &id(3)).is_some());
}

fn ids_are_unique_among_what_is_pending_or_runs(open: Open<'_>) {
    let store = open();
    let insert = |jobs: Vec<Job<'static>>| ask(&*store, Query::Insert(jobs));
    let named = |seq: u64, id: &'static str| {
        let mut job = job(seq, 10);
        job.id = id.into();
        job
    };
    assert_eq!(insert(vec![named(1, "a"), named(2, "b")]), Ok(Answer::Done));
    let taken = |id: &str| Err(Error::Duplicate(id.into()));
    assert_eq!(insert(vec![named(3, "c"), named(4, "b")]), taken("b"));
    assert_eq!(insert(vec![named(3, "c"), named(4, "c")]), taken("c"));
    assert_eq!(get(&*store, "c"), None, "all of them or none");
    put(&*store, &[begin(2)]);
    assert_eq!(insert(vec![named(5, "b")]), taken("b"));
    put(&*store, &[bury(2, Reason::Failed, 1)]);
    assert_eq!(insert(vec![named(5, "b")]), Ok(Answer::Done));
    let (id, to, clock) = ("b".to_owned(), place(1, 6), ClockKind::Boot);
    let revive = ask(&*store, Query::Revive { id, to, clock });
    assert_eq!(revive, taken("b"));
}

fn the_dead_come_newest_first_and_are_purged_by_time(open: Open<'_>) {
    let store = open();
    insert(&*store, (1..=9).map(|seq| job(seq, 10)));
    for seq in 1..=9 {
        let died = bury(seq, Reason::Discarded, seq as i64);
        put(&*store, &[begin(seq), died]);
    }
    let seen = |which: WhichDead| {
        let (mut seen, mut before) = (Vec::new(), None);
        loop {
            let query = Query::Dead {
                which: which.clone(),
                before,
                limit: 2,
            };
            let Ok(Answer::Dead(dead)) = ask(&*store, query) else {
                panic!("no page of the dead");
            };
            seen.extend(dead.jobs.iter().map(|dead| dead.job.place.seq));
            before = dead.last;
            if before.is_none() {
                return seen;
            }
        }
    };
    assert_eq!(seen(WhichDead::default()), [9, 8, 7, 6, 5, 4, 3, 2, 1]);
    let target = Some(job(1, 10).target.into_owned());
    let other = Some("another".to_owned());
    let before = |target, died_before| {
        seen(WhichDead {
            id: None,
            target,
            died_before,
        })
    };
    let of = |seq, died_before| {
        seen(WhichDead {
            id: Some(job(seq, 10).id.into_owned()),
            target: None,
            died_before,
        })
    };
    assert_eq!((of(3, None), of(3, Some(4))), (vec![3], vec![3]));
    assert!(of(3, Some(3)).is_empty() && of(10, None).is_empty());
    assert_eq!(before(target, Some(4)), [3, 2, 1]);
    assert_eq!(before(None, Some(2)), [1]);
    assert!(before(other, None).is_empty());
    let purge = |before, ids: Option<&[u64]>| {
        let of = |seqs: &[u64]| {
            seqs.iter()
                .map(|&seq| job(seq, 0).id.into_owned())
                .collect()
        };
        let ids = ids.map(of);
        ask(&*store, Query::Purge { before, ids })
    };
    assert_eq!(purge(Some(4), None), Ok(Answer::Count(3)));
    assert_eq!(purge(None, Some(&[1, 8, 77])), Ok(Answer::Count(1)));
    assert_eq!(purge(Some(8), Some(&[7, 9])), Ok(Answer::Count(1)));
    assert_eq!(purge(None, Some(&[])), Ok(Answer::Count(0)));
    assert_eq!(seen(WhichDead::default()), [9, 6, 5, 4]);
    let id = job(5, 0).id.into_owned();
    let (to, clock) = (place(3, 10), ClockKind::Boot);
    let revived = ask(&*store, Query::Revive { id, to, clock });
    let Ok(Answer::Job(Some(revived))) = revived else {
        panic!("{revived:?}");
    };
    assert_eq!((revived.progress.run, revived.progress.attempt), (2, 1));
    assert_eq!((revived.place, revived.progress.first_start), (to, None));
    assert_eq!(purge(None, None), Ok(Answer::Count(3)));
    assert_eq!(dead(&*store), []);
    assert_eq!(get(&*store, &revived.id), Some(revived));
}

fn tickets_settle_in_order_and_call_back(open: Open<'_>) {
    let store = open();
    let (send, receive) = mpsc::channel();
    let mut last = None;
    for seq in 1..=50 {
        let ticket = store.submit(&[Op::Insert(job(seq, 1))]).unwrap();
        assert!(last.is_none_or(|last| last < ticket));
        last = Some(ticket);
        let send = send.clone();
        store.when(ticket, Box::new(move |result| send.send(result).unwrap()));
    }
    for _ in 1..=50 {
        assert_eq!(receive.recv_timeout(Duration::from_secs(10)), Ok(Ok(())));
    }
    let soon = Instant::now() + Duration::from_secs(10);
    assert_eq!(store.wait(last.unwrap(), Some(soon)), Ok(true));
}

fn after_close_everything_is_refused(open: Open<'_>) {
    let store = open();
    insert(&*store, [job(1, 1)]);
    store.close().unwrap();
    store.close().unwrap();
    assert_eq!(store.submit(&[Op::Delete(1)]), Err(Error::Closed));
    assert_eq!(ask(&*store, Query::Get("a".into())), Err(Error::Closed));
}

/// The store has the jobs of the model, and no other that there ever was.
fn check(store: &dyn Store, model: &Model) {
    let jobs: BTreeMap<&str, &Job<'_>> = model.jobs.values().map(|job| (&*job.id, job)).collect();
    for seq in 1..=model.seq {
        let id = job(seq, 0).id;
        assert_eq!(get(store, &id).as_ref(), jobs.get(&*id).copied(), "{id}");
    }
}

fn any_course_of_batches_leaves_what_the_model_says(open: Open<'_>) {
    for seed in 1..=6 {
        let store = open();
        let (mut model, mut random) = (Model::default(), Random::new(seed));
        for _ in 0..150 {
            let batch = model.batch(&mut random);
            let ticket = store.submit(&batch).unwrap();
            match random.below(20) {
                0 => assert_eq!(store.wait(ticket, None), Ok(true)),
                1 => check(&*store, &model),
                _ => {}
            }
        }
        check(&*store, &model);
        let died: Vec<_> = dead(&*store)
            .into_iter()
            .rev()
            .map(|dead| (dead.job, dead.reason))
            .collect();
        assert_eq!(died, model.dead);
    }
}
