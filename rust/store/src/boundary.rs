//! The boundary between the engine and a place to keep jobs.
//!
//! The engine hands over *operations* in batches ([`Store::submit`]). A batch is a fact, not a
//! question: the engine holds the jobs that it speaks of, so nothing has to be looked up and the
//! call returns at once with a [`Ticket`]. Tickets are numbers in the order of the batches, and
//! one number says how far the store has come: a batch is *settled* when all that its store
//! promises is true of it and of all before it. Settling can be waited for or called back on.
//!
//! What only the store can know is a [`Question`] ([`Store::ask`]), answered later on a thread of
//! the store: pages of the near future, jobs that are not in memory, the dead.
//!
//! What the engine did not ask for comes as an [`Event`]. A store that is shared by many nodes
//! hands a job to one of them with a page, under a lease with an epoch; it takes back single jobs
//! with [`Event::Revoked`] and all of them with [`Event::LeaseLost`]. An operation on a job that
//! is no longer the node's changes nothing. A store of one process sends neither event.

use crate::Error;
use duewheel_model::job::{ClockKind, Job, Place, Progress};
use duewheel_model::outcome::Reason;
use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Instant;

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
    /// It is pending from now on. Its id is new for certain; otherwise [`Question::Insert`].
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// What only the store can know or decide.
#[derive(Debug)]
pub enum Question {
    /// What is due next: jobs that have not begun, after `after` and due before `until`, at most
    /// `limit`, in order.
    ///
    /// A shared store claims them for this node; what is held already is not among them there,
    /// and what others have let go of is, wherever the page before ended.
    Page {
        /// The last place of the page before.
        after: Option<Place>,
        /// A time of the wall clock.
        until: i64,
        /// How many at most.
        limit: usize,
    },
    /// The job of this id, pending or begun.
    Get(String),
    /// Take these in, all or none, unless one of their ids is taken.
    Insert(Vec<Job<'static>>),
    /// Cancel a job that is not in memory.
    Cancel(String),
    /// Move a job that is not in memory.
    Move {
        /// Its id.
        id: String,
        /// Where to.
        to: Place,
        /// The clock of the new due.
        clock: ClockKind,
    },
    /// The dead, newest first.
    Dead {
        /// Those older than this [`DeadJob::number`].
        before: Option<u64>,
        /// How many at most.
        limit: usize,
    },
    /// Make the newest dead job of this id pending: attempt 1, a new age, `run` going on.
    Revive {
        /// Its id.
        id: String,
        /// Its new place.
        to: Place,
        /// The clock of the new due.
        clock: ClockKind,
    },
    /// Forget the dead that died before a time of the wall clock, or all.
    Purge(Option<i64>),
    /// How many jobs are stored, running ones included.
    Count,
    /// Copy the store into a new file while it is in use.
    Backup(PathBuf),
    /// Encrypt every payload under the default key.
    Rotate,
}

/// The answer to a [`Question`].
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// To `Page`.
    Page(Page),
    /// To `Get`, and to `Revive`: the job as it is pending now.
    Job(Option<Job<'static>>),
    /// To `Cancel` and `Move`: whether there was such a job, pending.
    Changed(bool),
    /// To `Dead`.
    Dead(DeadPage),
    /// To `Count` and `Purge`.
    Count(u64),
    /// To `Insert`, `Backup` and `Rotate`: it is done.
    Done,
}

/// A part of the near future.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// The jobs, in the order of their places.
    pub jobs: Vec<Job<'static>>,
    /// Jobs among them that cannot be read: they stay stored, and keep no other waiting.
    pub unreadable: Vec<Unreadable>,
    /// The last place in it, after which the next page goes on.
    pub last: Option<Place>,
    /// Whether more are due before the bound.
    pub more: bool,
    /// All batches up to this one are in it, and none after.
    ///
    /// Whoever submits while a page is on its way compares: a deletion after this ticket is to
    /// be applied to the page, an insertion after it is not in the page.
    pub upto: Ticket,
    /// The lease that they were claimed under; 0 in a store of one process.
    pub epoch: u64,
}

/// A stored job that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Where it is; of a dead one, `seq` is its number.
    pub place: Place,
    /// Its id, if that can be read.
    pub id: Option<String>,
    /// What is wrong with it.
    pub why: Error,
}

/// A part of the dead.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeadPage {
    /// Those that can be read, newest first.
    pub jobs: Vec<DeadJob>,
    /// Those among them that cannot.
    pub unreadable: Vec<Unreadable>,
    /// The number of the last, before which the next part goes on; `None`: there is no more.
    pub last: Option<u64>,
}

/// A job that ended as dead.
#[derive(Clone, Debug, PartialEq)]
pub struct DeadJob {
    /// Grows with each death.
    pub number: u64,
    /// The job as it was at its last execution.
    pub job: Job<'static>,
    /// Why it is dead.
    pub reason: Reason,
    /// What is kept of its failure.
    pub error: String,
    /// When it died, on the wall clock.
    pub died: i64,
}

/// What a store found when it was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The highest sequence in use or once used: the next is higher.
    pub seq: u64,
    /// How many jobs are stored.
    pub jobs: u64,
    /// Jobs that were running when the process died, and are pending again.
    pub interrupted: u64,
    /// Of them, those that are dead by that.
    pub died: u64,
    /// Records of the journal that could not be applied as they stand, by number, and why.
    pub unapplied: Vec<(u64, Error)>,
    /// The first lease of this node; 0 in a store of one process.
    pub epoch: u64,
}

/// What the engine did not ask for.
///
/// **Order**: what is taken back is told before anything is settled or answered that takes effect
/// after it. So whoever has waited for a mark and heard of nothing knows that the mark counts.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// These are no longer this node's: forget those that have not started.
    Revoked(Vec<u64>),
    /// All that was claimed under this epoch or before is no longer this node's. What runs may
    /// end, and its outcome is discarded.
    LeaseLost(u64),
    /// Nothing more is accepted until the store is opened again.
    Poisoned(Error),
    /// A record of the journal, by its number, could not be applied as it stands.
    Unapplied(u64, Error),
    /// A rotation has come so far: rows done, rows in all.
    Rotated(u64, u64),
}

/// Called when a batch is settled or refused; on a thread of the store, so it must be short.
pub type Settled = Box<dyn FnOnce(Result<(), Error>) + Send>;
/// Called with an answer; on a thread of the store, so it must be short.
pub type Answered = Box<dyn FnOnce(Result<Answer, Error>) + Send>;
/// Called with events; on a thread of the store, so it must be short.
pub type Events = Box<dyn Fn(Event) + Send + Sync>;

/// A place to keep jobs.
///
/// **Order**: batches take effect in the order in which `submit` returned. A question sees all
/// batches that were submitted before it was asked.
///
/// **Concurrency**: every method may be called by any thread. None but the waits takes longer than
/// a write to the page cache.
pub trait Store: Send + Sync {
    /// Hand over a batch, which takes effect as a whole or not at all.
    ///
    /// # Errors
    ///
    /// Nothing of the batch will take effect. After [`Error::Full`] the same batch may be handed
    /// over again later.
    fn submit(&self, batch: &[Op<'_>]) -> Result<Ticket, Error>;

    /// Wait until a batch is settled and there is room for more; `false`: the deadline passed.
    ///
    /// # Errors
    ///
    /// The batch may or may not survive: the store refuses everything from now on.
    fn wait(&self, ticket: Ticket, deadline: Option<Instant>) -> Result<bool, Error>;

    /// Call back when a batch is settled.
    fn when(&self, ticket: Ticket, then: Settled);

    /// Ask; the answer comes later.
    fn ask(&self, question: Question, then: Answered);

    /// What was found at open.
    fn found(&self) -> &Found;

    /// Settle everything and let go of the store. Idempotent.
    ///
    /// Whatever has been begun and not finished by then counts as interrupted, but after [`Op::Leave`].
    ///
    /// # Errors
    ///
    /// When the last batches could not be settled.
    fn close(&self) -> Result<(), Error>;
}

/// Ask and wait for the answer.
///
/// # Errors
///
/// Those of the store.
pub fn ask(store: &dyn Store, question: Question) -> Result<Answer, Error> {
    let (send, receive) = std::sync::mpsc::sync_channel(1);
    let then = move |answer| {
        // Nobody listens any more: then nobody needs the answer.
        let _ = send.send(answer);
    };
    store.ask(question, Box::new(then));
    receive.recv().unwrap_or(Err(Error::Closed))
}
