//! What a store says unasked.

use crate::Error;

/// What the engine did not ask for.
///
/// **Order**: what is taken back is reported before anything is settled or answered that takes effect
/// after it. So a mark that is settled counts, where no event has taken the job back by then.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// These are no longer this node's: forget those that have not started.
    Revoked(Vec<u64>),
    /// All that was claimed under this epoch or before is no longer this node's. What runs may
    /// end, and its outcome is discarded.
    LeaseLost(u64),
    /// Other nodes ask for these: yield those that have not started. It is said again while they ask, and of what this
    /// node has not, nothing is to be done.
    Wanted(Vec<u64>),
    /// These targets are paused from now on, and no others: yield what has not started of them, and what a page brings that
    /// was asked for before.
    Paused(Vec<String>),
    /// The repeat of this id is declared otherwise by another node that lives, of this name.
    Contested(String, String),
    /// The store's clock is ahead of this machine's by so many nanoseconds, too many to be left alone: dues are corrected.
    ClockApart(i64),
    /// A job due at this time of the wall clock is no node's: a page would bring it. A hint, which
    /// may be lost or come for nothing.
    Available(i64),
    /// Nothing more is accepted until the store is opened again.
    Poisoned(Error),
    /// A record of the journal, by its number, could not be applied as it stands.
    Unapplied(u64, Error),
}
