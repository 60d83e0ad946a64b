//! A place to keep jobs: the boundary between it and the engine.
//!
//! The engine hands over *operations* in batches ([`Store::submit`]). A batch is a fact, not a
//! question: the engine holds the jobs that it speaks of, so nothing has to be looked up and the
//! call returns at once with a [`Ticket`]. Tickets are numbers in the order of the batches, and
//! one number says how far the store has come: a batch is *settled* when all that its store
//! promises is true of it and of all before it. Settling can be waited for or called back on.
//!
//! What only the store can know is a [`Query`] ([`Store::ask`]), answered later on a thread of
//! the store: pages of the near future, jobs that are not in memory, the dead.
//!
//! What the engine did not ask for comes as an [`Event`].
//!
//! A store that is *shared* by many nodes gives each a [`Grant`] when it joins. It hands a job to
//! one of them with a page, under a lease with an epoch; it takes back single jobs with
//! [`Event::Revoked`] and all of them with [`Event::LeaseLost`]. An operation on a job that is no
//! longer the node's changes nothing. Jobs that no node has are [`Event::Available`] to each, which
//! asks for a page now and then as well. A store of one process grants nothing and sends none of these.
//!
//! A connection that is lost leaves a batch *in doubt*: it may have taken effect. The store finds
//! out and sends again what has not, so that each takes effect once and in order; until then the
//! batch is neither settled nor refused, and a wait for it goes on. A query in doubt is answered
//! with [`Error::InDoubt`].

use crate::{Answer, Error, Event, LeaseClock, Op, Query, Ticket};
use std::ops::Range;
use std::time::{Duration, Instant};

/// What a store found when it was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The highest sequence in use or once used: the next is higher, where none are granted.
    pub seq: u64,
    /// How many jobs are stored.
    pub jobs: u64,
    /// Whether how a job has ended is kept.
    pub keeps: bool,
    /// Records of the journal that could not be applied as they stand, by number, and why.
    pub unapplied: Vec<(u64, Error)>,
    /// What a shared store grants; `None`: it is of one process.
    pub grant: Option<Grant>,
}

/// What a store that many nodes share grants one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The first lease of this node.
    pub epoch: u64,
    /// The sequences that this node gives, from the first on: no other node gives or gave one of
    /// them. There are more than a node uses up; one that has few left gives none.
    pub seqs: Range<u64>,
    /// After how long a page is worth asking for, though no [`Event::Available`] has come.
    pub poll: Duration,
    /// Until when this node may start what it holds: past that it holds it still, and starts nothing.
    pub lease: LeaseClock,
}

/// Called when a batch is settled or refused; on any thread, that of the caller too, so it must be short.
pub type Settled = Box<dyn FnOnce(Result<(), Error>) + Send>;
/// Called with an answer; on any thread, that of the caller too, so it must be short.
pub type Answered = Box<dyn FnOnce(Result<Answer, Error>) + Send>;
/// Called with events; on a thread of the store, so it must be short.
pub type Events = Box<dyn Fn(Event) + Send + Sync>;

/// A place to keep jobs.
///
/// **Order**: batches take effect in the order in which `submit` returned. A query sees all
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

    /// Wait until a batch is settled and there is room for more; `false`: the deadline passed, with
    /// the batch on its way or in doubt.
    ///
    /// # Errors
    ///
    /// The batch may or may not survive: the store refuses everything from now on.
    fn wait(&self, ticket: Ticket, deadline: Option<Instant>) -> Result<bool, Error>;

    /// Call back when a batch is settled.
    fn when(&self, ticket: Ticket, then: Settled);

    /// Ask; the answer comes later.
    fn ask(&self, query: Query, then: Answered);

    /// What was found at open.
    fn found(&self) -> &Found;

    /// Settle everything and release the store. Idempotent.
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
pub fn ask(store: &dyn Store, query: Query) -> Result<Answer, Error> {
    let (send, receive) = std::sync::mpsc::sync_channel(1);
    let then = move |answer| {
        // Nobody listens any more: then nobody needs the answer.
        let _ = send.send(answer);
    };
    store.ask(query, Box::new(then));
    receive.recv().unwrap_or(Err(Error::Closed))
}
