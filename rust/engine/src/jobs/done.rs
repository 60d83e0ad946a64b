//! The end of an execution, which its lane lists until it is settled, and what its handler has returned.

use crate::due::queue::Key;
use crate::jobs::permit::Permit;
use duewheel_model::outcome::Outcome;

/// The end of an execution, on its way back.
#[derive(Debug)]
pub struct Done<F> {
    /// The job's key.
    pub key: Key,
    /// Whether it is of a repeat.
    pub(crate) comes_again: bool,
    /// What it was handed over with.
    pub(crate) permit: Permit,
    /// The number of its target.
    pub(crate) target: u32,
    /// When its handler was called, on the boot clock; [clocked](Self::clock), how long it took.
    pub(crate) span: i64,
    /// What becomes of its job, times on the boot clock; `None`: it never started.
    pub outcome: Option<Outcome<F>>,
    /// What its handler has returned, where that is kept.
    pub(crate) result: Option<Box<Returned>>,
}

/// What a handler has returned.
#[derive(Debug)]
pub(crate) struct Returned(pub(crate) Vec<u8>);

impl<F> Done<F> {
    /// It has ended now.
    #[inline]
    pub(crate) fn clock(&mut self, now: i64) {
        self.span = now.saturating_sub(self.span).max(0);
    }

    /// Whether the handler of a job that comes once has returned, and nothing of that is kept.
    #[inline]
    pub(crate) fn is_over_well(&self) -> bool {
        matches!(self.outcome, Some(Outcome::Done)) && !self.comes_again && self.result.is_none()
    }

    /// Take it out of a list that is emptied then: there it is one that never started.
    pub(crate) fn take(&mut self) -> Self {
        let (outcome, result) = (self.outcome.take(), self.result.take());
        Done {
            outcome,
            result,
            ..*self
        }
    }
}
