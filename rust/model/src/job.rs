//! A job, and its place among others.

use crate::retry::RetryOptions;
use std::borrow::Cow;

/// The clock that a due is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClockKind {
    /// The time of day, steps included.
    Wall,
    /// Time since boot. Its dues are stored as the wall time that they mapped to.
    Boot,
}

/// A place in the order of jobs: by due, then by sequence.
///
/// The sequence names the job as well: no two places in a store have the same, and a job that
/// takes a new place takes a new sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// When it is due, on the wall clock, in nanoseconds.
    pub due: i64,
    /// Which came first among equal dues; at most `i64::MAX`.
    pub seq: u64,
}

/// A pending job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job<'a> {
    /// Its id.
    pub id: Cow<'a, str>,
    /// The target that it is for.
    pub target: Cow<'a, str>,
    /// Its payload.
    pub data: Cow<'a, [u8]>,
    /// When this execution is due, and its name in the store.
    pub place: Place,
    /// The clock of its due, in the process that scheduled it.
    pub clock: ClockKind,
    /// When it was first due, on the wall clock.
    pub job_due: i64,
    /// When it was scheduled, on the wall clock.
    pub created: i64,
    /// Failures so far, plus one.
    pub attempt: u32,
    /// Starts so far, plus one.
    pub run: u32,
    /// How often its process died while it ran.
    pub interruptions: u32,
    /// When it was first started in this age, on the wall clock.
    pub first_start: Option<i64>,
    /// How it is retried.
    pub options: RetryOptions,
}

impl Job<'_> {
    /// The same, borrowing nothing.
    pub fn into_owned(self) -> Job<'static> {
        Job {
            id: Cow::Owned(self.id.into_owned()),
            target: Cow::Owned(self.target.into_owned()),
            data: Cow::Owned(self.data.into_owned()),
            place: self.place,
            clock: self.clock,
            job_due: self.job_due,
            created: self.created,
            attempt: self.attempt,
            run: self.run,
            interruptions: self.interruptions,
            first_start: self.first_start,
            options: self.options,
        }
    }
}
