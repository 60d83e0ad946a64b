//! What a store says unasked.

use crate::Error;

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
    /// A job due at this time of the wall clock is no node's: a page would bring it. A hint, which
    /// may be lost or come for nothing.
    Available(i64),
    /// Nothing more is accepted until the store is opened again.
    Poisoned(Error),
    /// A record of the journal, by its number, could not be applied as it stands.
    Unapplied(u64, Error),
}
