//! A job, and its place among others.

use crate::carried::Carried;
use crate::repeat::{Definition, Standing};
use crate::retry::RetryOptions;
use std::borrow::Cow;
use std::sync::Arc;

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

/// How far a job has come: which attempt and which run of it comes, or goes on.
///
/// A failure begins another attempt, every start another run. The age, by which retries may be
/// limited, is counted from the first start; being revived begins a new age at attempt 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Failures so far, plus one.
    pub attempt: u32,
    /// Starts so far, plus one.
    pub run: u32,
    /// The first start of this age, in nanoseconds: of the wall clock in a store, of the boot
    /// clock in an engine. `None`: it has not been started.
    pub first_start: Option<i64>,
}

impl Progress {
    /// That of a job that has never been started.
    pub const NEW: Progress = Progress {
        attempt: 1,
        run: 1,
        first_start: None,
    };

    /// The same of an execution that starts at `at`, which is its first start unless there was one.
    #[must_use]
    pub fn begun(self, at: i64) -> Self {
        Progress {
            first_start: self.first_start.or(Some(at)),
            ..self
        }
    }

    /// The same of a job that was dead and is due again.
    #[must_use]
    pub fn revived(self) -> Self {
        Progress {
            run: self.run.saturating_add(1),
            ..Progress::NEW
        }
    }

    /// The same with its times on the wall clock, which is `offset` ahead of the boot clock that
    /// they are on.
    #[must_use]
    pub fn on_wall(self, offset: i64) -> Self {
        let first_start = self.first_start.map(|boot| boot.saturating_add(offset));
        Progress {
            first_start,
            ..self
        }
    }

    /// The same with its times on the boot clock, which is `offset` behind the wall clock that
    /// they are on.
    #[must_use]
    pub fn on_boot(self, offset: i64) -> Self {
        let first_start = self.first_start.map(|wall| wall.saturating_sub(offset));
        Progress {
            first_start,
            ..self
        }
    }
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
    /// When it was first due: nanoseconds of the wall clock.
    pub job_due: i64,
    /// When it was scheduled: nanoseconds of the wall clock.
    pub created: i64,
    /// How far it has come; its times are on the wall clock.
    pub progress: Progress,
    /// How often its process died while it ran.
    pub interruptions: u32,
    /// How it is retried.
    pub options: RetryOptions,
    /// What makes it come again, if anything does.
    pub repeat: Option<Box<Recurring>>,
    /// What it carries beside its data, if anything.
    pub carried: Option<Arc<Carried>>,
    /// It was changed while it runs: when that has ended it comes again, once, at this time of the wall clock.
    pub follow: Option<i64>,
}

/// What makes a job come again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recurring {
    /// Its schedule and terms.
    pub definition: Definition,
    /// How far it has come; its times are on the wall clock.
    pub standing: Standing,
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
            progress: self.progress,
            interruptions: self.interruptions,
            options: self.options,
            repeat: self.repeat,
            carried: self.carried,
            follow: self.follow,
        }
    }
}
