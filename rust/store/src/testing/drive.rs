//! A store, driven by one caller that waits for all.

use crate::{Answer, DeadJob, Job, Limited, Op, Page, Place, Query, Store, Ticket, WhichDead, ask};

/// Submit and wait.
pub fn put(store: &dyn Store, batch: &[Op<'_>]) -> Ticket {
    let ticket = store.submit(batch).unwrap();
    assert_eq!(store.wait(ticket, None), Ok(true));
    ticket
}

/// Insert jobs, and wait.
pub fn insert(store: &dyn Store, jobs: impl IntoIterator<Item = Job<'static>>) -> Ticket {
    let batch: Vec<Op<'_>> = jobs.into_iter().map(Op::Insert).collect();
    put(store, &batch)
}

/// Ask for a page.
pub fn page(store: &dyn Store, after: Option<Place>, until: i64, limit: usize) -> Page {
    let query = Query::Page {
        target: None,
        after,
        until,
        limit,
    };
    match ask(store, query) {
        Ok(Answer::Page(page)) => page,
        other => panic!("{other:?}"),
    }
}

/// Claim jobs of these targets.
pub fn claim(store: &dyn Store, targets: &[&str], until: i64, limit: usize) -> Page {
    let targets = targets.iter().map(|&target| target.to_owned()).collect();
    claimed(store, targets, Limited::default(), until, limit)
}

/// Claim jobs of a target of which all nodes together hold so many at most.
pub fn claim_limited(store: &dyn Store, target: &str, most: usize, until: i64) -> Page {
    let limited = Limited {
        most: vec![(target.to_owned(), most)],
        until,
    };
    claimed(store, Vec::new(), limited, i64::MAX, 100)
}

fn claimed(
    store: &dyn Store,
    targets: Vec<String>,
    limited: Limited,
    until: i64,
    limit: usize,
) -> Page {
    let query = Query::Claim {
        targets,
        limited,
        until,
        limit,
    };
    match ask(store, query) {
        Ok(Answer::Page(page)) => page,
        other => panic!("{other:?}"),
    }
}

/// Have a node of a shared store hold what is due; a store of one process holds all that it has.
pub fn take(store: &dyn Store, until: i64, limit: usize) {
    if store.found().grant.is_some() {
        claim(store, &["email.welcome"], until, limit);
    }
}

/// Cancel the job of this id, at no time that matters.
pub fn cancel_of(id: impl Into<String>) -> Query {
    Query::Cancel {
        id: id.into(),
        at: 0,
    }
}

/// The job of this id, if it has not begun, and how many have not.
pub fn pending(store: &dyn Store, id: &str) -> (Option<Job<'static>>, u64) {
    match (
        ask(store, Query::Pending(id.into())),
        ask(store, Query::Count),
    ) {
        (Ok(Answer::Job(job)), Ok(Answer::Count(count))) => (job, count),
        other => panic!("{other:?}"),
    }
}

/// Ask for a page of repeats.
pub fn repeats(store: &dyn Store, after: Option<u64>, limit: usize) -> Page {
    match ask(store, Query::Repeats { after, limit }) {
        Ok(Answer::Page(page)) => page,
        other => panic!("{other:?}"),
    }
}

/// All pending jobs, in order, and those that come again among them.
pub fn all(store: &dyn Store) -> Vec<Job<'static>> {
    let (mut jobs, mut after) = (Vec::new(), None);
    loop {
        let mut page = page(store, after, i64::MAX, 1000);
        assert_eq!(page.unreadable, []);
        jobs.append(&mut page.jobs);
        after = page.last;
        if !page.more {
            break;
        }
    }
    let mut after = None;
    loop {
        let mut page = repeats(store, after, 100);
        assert_eq!(page.unreadable, []);
        jobs.append(&mut page.jobs);
        after = page.last.map(|last| last.seq);
        if !page.more {
            break;
        }
    }
    jobs.sort_by_key(|job| job.place);
    jobs
}

/// The sequences of all pending jobs, in order.
pub fn seqs(store: &dyn Store) -> Vec<u64> {
    all(store).iter().map(|job| job.place.seq).collect()
}

/// The job of this id.
pub fn get(store: &dyn Store, id: &str) -> Option<Job<'static>> {
    match ask(store, Query::Get(id.into())) {
        Ok(Answer::Job(job)) => job,
        other => panic!("{other:?}"),
    }
}

/// All the dead, newest first.
pub fn dead(store: &dyn Store) -> Vec<DeadJob> {
    let query = Query::Dead {
        which: WhichDead::default(),
        before: None,
        limit: usize::MAX >> 1,
    };
    match ask(store, query) {
        Ok(Answer::Dead(dead)) => dead.jobs,
        other => panic!("{other:?}"),
    }
}

/// Take jobs in and yield them, so that they come with a page.
pub fn put_yielded(store: &dyn Store, jobs: &[Job<'static>]) {
    let inserts = jobs.iter().cloned().map(Op::Insert);
    let yields = jobs.iter().map(|job| Op::Yield(job.place.seq));
    put(store, &inserts.chain(yields).collect::<Vec<_>>());
}
