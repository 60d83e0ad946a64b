//! What an engine hands over: batches of facts about jobs that it holds.

use duewheel_model::job::{ClockKind, Job, Place, Progress};
use duewheel_model::kept::Kept;
use duewheel_model::outcome::Reason;
use duewheel_model::repeat::Standing;
use std::borrow::Cow;

/// How a started job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending<'a> {
    /// Its handler returned: it is over.
    Done,
    /// It is due again, after a failure or a snooze.
    Again {
        /// Its new place.
        to: Place,
        /// The clock of the new due.
        clock: ClockKind,
        /// The attempt and the run that come; its times are on the wall clock.
        progress: Progress,
    },
    /// It ends as dead.
    Dead {
        /// Why.
        reason: Reason,
        /// What is kept of its failure.
        error: Cow<'a, str>,
        /// When, on the wall clock.
        died: i64,
        /// The occurrence that follows, of a repeat that goes on.
        next: Option<Box<Next>>,
    },
    /// Its handler returned, and the next occurrence of it follows.
    Next(Box<Next>),
}

/// The occurrence of a repeat that follows: attempt 1, of a new age, never interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Next {
    /// Its place.
    pub to: Place,
    /// The clock of its due.
    pub clock: ClockKind,
    /// The time that it is first due, on the wall clock.
    pub job_due: i64,
    /// The run that comes.
    pub run: u32,
    /// How far the repeat has come; its times are on the wall clock.
    pub standing: Standing,
}

/// A fact about a job that the engine holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op<'a> {
    /// It is pending from now on. Its id is new for certain; otherwise [`Query::Insert`](crate::Query::Insert).
    Insert(Job<'a>),
    /// It was cancelled before it started.
    Delete(u64),
    /// It was moved before it started.
    Move {
        /// Which.
        seq: u64,
        /// Where to.
        to: Place,
        /// The clock of the new due.
        clock: ClockKind,
    },
    /// A repeat, pending or begun, has another target, payload, options or definition from now on, those of this
    /// job; `place.seq` says which. Place, progress and interruptions stay as they are.
    Edit(Job<'a>),
    /// A repeat, pending or begun, has come this far.
    Stand {
        /// Which.
        seq: u64,
        /// The time that it is first due, on the wall clock.
        job_due: i64,
        /// How far it has come; its times are on the wall clock.
        standing: Box<Standing>,
    },
    /// It starts, or (at most once) will not be started again if the process dies now.
    ///
    /// An at-least-once job may start as soon as `submit` has returned: the note is where it
    /// survives the process. An at-most-once job may start when the ticket is settled.
    Begin {
        /// Which.
        seq: u64,
        /// When, on the wall clock.
        at: i64,
    },
    /// It was begun and then not started: it is pending as before.
    Release(u64),
    /// It is pending and no longer in memory here: it comes with a page again, to whoever asks.
    ///
    /// An engine that has inserted or moved a job holds it, as if it had come with a page; what
    /// it does not keep in memory it yields in the same batch.
    Yield(u64),
    /// It was begun and has ended.
    Finish {
        /// Which.
        seq: u64,
        /// How.
        outcome: Ending<'a>,
    },
    /// How it ends is kept: in the batch of its end or its cancellation, before that.
    Keep {
        /// Which.
        seq: u64,
        /// What is kept. Of the same id it takes the place of what was kept before.
        kept: Box<Kept>,
    },
    /// The death of this [number](crate::DeadJob::number) leaves nothing behind any more that has not been left: it was owed,
    /// [`Query::Owed`](crate::Query::Owed), and what there was to leave is inserted next, in the batch of this.
    Inherited(u64),
    /// This process ends in order. What it has begun, now or later, and leaves unfinished is no
    /// interruption: at least once, it comes again with the next run.
    Leave,
}

impl Op<'_> {
    /// The same, borrowing nothing.
    pub fn into_owned(self) -> Op<'static> {
        match self {
            Op::Insert(job) => Op::Insert(job.into_owned()),
            Op::Edit(job) => Op::Edit(job.into_owned()),
            Op::Delete(seq) => Op::Delete(seq),
            Op::Move { seq, to, clock } => Op::Move { seq, to, clock },
            Op::Stand {
                seq,
                job_due,
                standing,
            } => Op::Stand {
                seq,
                job_due,
                standing,
            },
            Op::Begin { seq, at } => Op::Begin { seq, at },
            Op::Release(seq) => Op::Release(seq),
            Op::Yield(seq) => Op::Yield(seq),
            Op::Finish { seq, outcome } => Op::Finish {
                seq,
                outcome: outcome.into_owned(),
            },
            Op::Keep { seq, kept } => Op::Keep { seq, kept },
            Op::Inherited(number) => Op::Inherited(number),
            Op::Leave => Op::Leave,
        }
    }
}

impl Ending<'_> {
    fn into_owned(self) -> Ending<'static> {
        match self {
            Ending::Done => Ending::Done,
            Ending::Again {
                to,
                clock,
                progress,
            } => Ending::Again {
                to,
                clock,
                progress,
            },
            Ending::Dead {
                reason,
                error,
                died,
                next,
            } => Ending::Dead {
                reason,
                error: Cow::Owned(error.into_owned()),
                died,
                next,
            },
            Ending::Next(next) => Ending::Next(next),
        }
    }
}

/// How far a batch is in the order of all batches of its store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);
