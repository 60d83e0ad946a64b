//! Jobs, and what happens to them.

use crate::{
    Carried, ClockKind, Definition, Ending, Job, Next, Op, Place, Progress, Reason, Recurring,
    RetryOptions, Standing,
};
use duewheel_model::repeat::Terms;
use std::sync::Arc;

/// The options of all jobs here.
pub const OPTIONS: RetryOptions = RetryOptions {
    retry_limit: Some(5),
    age_limit: None,
    min_backoff: 1_000_000_000,
    max_backoff: 3_600_000_000_000,
    at_most_once: false,
};

/// A job that was scheduled now, its id made from its sequence.
pub fn job(seq: u64, due: i64) -> Job<'static> {
    Job {
        id: format!("01890000-0000-7000-8000-{seq:012x}").into(),
        target: "email.welcome".into(),
        data: vec![seq as u8; 100].into(),
        place: Place { due, seq },
        clock: ClockKind::Boot,
        job_due: due,
        created: 5,
        progress: Progress::NEW,
        interruptions: 0,
        options: OPTIONS,
        repeat: None,
        carried: None,
        follow: None,
    }
}

/// What few jobs carry.
pub fn carried(seq: u64) -> Option<Arc<Carried>> {
    let headers = [
        ("request".into(), seq.to_string()),
        ("ä".into(), String::new()),
    ];
    let headers = headers.into();
    Some(Arc::new(Carried {
        headers,
        ..Carried::default()
    }))
}

/// One that is started at most once.
pub fn once(seq: u64, due: i64) -> Job<'static> {
    let mut job = job(seq, due);
    job.options.at_most_once = true;
    job
}

/// A place.
pub fn place(due: i64, seq: u64) -> Place {
    Place { due, seq }
}

/// It starts.
pub fn begin(seq: u64) -> Op<'static> {
    Op::Begin { seq, at: 77 }
}

/// Its handler has returned.
pub fn done(seq: u64) -> Op<'static> {
    let outcome = Ending::Done;
    Op::Finish { seq, outcome }
}

/// It is due again.
pub fn again(seq: u64, to: Place, attempt: u32, run: u32) -> Op<'static> {
    let outcome = Ending::Again {
        to,
        clock: ClockKind::Boot,
        progress: Progress {
            attempt,
            run,
            first_start: Some(77),
        },
    };
    Op::Finish { seq, outcome }
}

/// It ends as dead.
pub fn bury(seq: u64, reason: Reason, died: i64) -> Op<'static> {
    let outcome = Ending::Dead {
        reason,
        error: "Traceback …".into(),
        died,
        next: None,
    };
    Op::Finish { seq, outcome }
}

/// A job that comes every minute.
pub fn repeat(seq: u64, due: i64) -> Job<'static> {
    let standing = Standing {
        time: due,
        ..Standing::new(5)
    };
    let terms = Terms {
        spread: 7,
        window: Some(90),
        ..Terms::default()
    };
    Job {
        repeat: Some(Box::new(Recurring {
            definition: Definition {
                schedule: "cron * * * * * in UTC".into(),
                terms,
            },
            standing,
        })),
        ..job(seq, due)
    }
}

/// The occurrence that follows this one, with a number that is one more.
///
/// # Panics
///
/// When it is of no repeat.
pub fn next(job: &Job<'_>, to: Place) -> Box<Next> {
    let standing = job.repeat.as_ref().map(|repeat| Standing {
        time: to.due,
        last: repeat.standing.time,
        occurrence: repeat.standing.occurrence + 1,
        previous: Some(job.job_due),
        ..repeat.standing
    });
    Box::new(Next {
        to,
        clock: ClockKind::Wall,
        job_due: to.due,
        run: job.progress.run + 1,
        // Of one that was changed while it ran there is none.
        standing: standing.unwrap_or(Standing::new(to.due)),
    })
}

/// Its handler has returned, and this follows.
pub fn followed(seq: u64, next: Box<Next>) -> Op<'static> {
    let outcome = Ending::Next(next);
    Op::Finish { seq, outcome }
}

/// It ends as dead, and this follows.
pub fn bury_followed(seq: u64, reason: Reason, died: i64, next: Box<Next>) -> Op<'static> {
    let outcome = Ending::Dead {
        reason,
        error: "Traceback …".into(),
        died,
        next: Some(next),
    };
    Op::Finish { seq, outcome }
}
