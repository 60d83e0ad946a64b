//! What stands for the jobs that a target holds on disk alone, and the question for the next of them.

use crate::handover::lanes::Rank;
use duewheel_store::Place;
use std::collections::BTreeSet;

/// What a target holds on disk alone.
#[derive(Debug)]
pub(super) struct OnDisk {
    /// The name of the target, under which it is listed.
    pub(super) name: Box<str>,
    /// None of it ranks before that.
    pub(super) from: Rank,
    /// Some of it may be due later than what is due by now: the wall clock was set back.
    pub(super) is_later: bool,
}

/// Which page brings the next of what a target holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refill {
    pub(crate) number: u32,
    pub(crate) name: Box<str>,
    pub(crate) from: Place,
    /// How many at most.
    pub(crate) limit: usize,
    /// Whatever its due.
    pub(crate) is_later: bool,
}

impl OnDisk {
    pub(super) fn from(name: &str, rank: Rank) -> Self {
        OnDisk {
            name: name.into(),
            from: rank,
            is_later: false,
        }
    }
}

/// Have a number in a set, or not.
pub(super) fn list(set: &mut BTreeSet<u32>, number: u32, is_in: bool) {
    if is_in {
        set.insert(number);
    } else {
        set.remove(&number);
    }
}
