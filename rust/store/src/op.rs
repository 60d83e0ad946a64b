//! What an engine hands over: batches of facts about jobs that it holds.

use duewheel_model::job::{ClockKind, Job, Place, Progress};
use duewheel_model::outcome::Reason;
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
    },
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
    /// This process ends in order. What it has begun, now or later, and leaves unfinished is no
    /// interruption: at least once, it comes again with the next run.
    Leave,
}

/// How far a batch is in the order of all batches of its store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);
