//! What the engine keeps of a job, and the forms in which jobs are handed around.

use crate::due::queue::{ClockKind, Key};
pub use crate::jobs::done::Done;
use crate::jobs::done::Returned;
use crate::jobs::ids::{self, Halves};
use crate::jobs::moment::Maybe;
use crate::jobs::permit::Permit;
use duewheel_model::carried::Carried;
use duewheel_model::job::Progress;
use duewheel_model::outcome::{Outcome, Reason};
use duewheel_model::retry::RetryOptions;
use std::sync::Arc;

/// What a job carries that is not the engine's: its data and the options it was given.
///
/// A payload is a plain handle. The engine copies it freely and gives it back exactly once, in a
/// [`Released`], when it no longer keeps the job; the owner frees what it stands for then.
pub trait Payload: Copy + Send + 'static {
    /// What is kept of a failure.
    type Failure: Send + std::fmt::Debug + 'static;
    /// The number of the target that the job is for.
    fn target(self) -> u32;
    /// Show the name of its target, and what a store keeps of it; nothing, where there is none.
    fn parts<R>(self, look: impl FnOnce(Parts<'_>) -> R) -> R {
        look(Parts::NONE)
    }
    /// The payload that a dead occurrence is listed with, while its repeat goes on with this one.
    fn for_dead(self, _failure: &mut Self::Failure) -> Option<Self> {
        Some(self)
    }
    /// What a death leaves behind, taken out of its failure: a job that is due at once.
    fn heir(_failure: &mut Self::Failure) -> Option<Self> {
        None
    }
    /// Whether a job that ended as dead is listed with it; else it is given back at once.
    fn is_listed_when_dead(self) -> bool {
        true
    }
    /// Whether what has its key runs one after another.
    #[inline]
    fn is_keyed(self) -> bool {
        false
    }
    /// For how long how it ends is kept, in nanoseconds.
    #[inline]
    fn keep(self) -> Option<i64> {
        None
    }
    /// Whether it is started once at most.
    fn at_most_once(self) -> bool {
        self.parts(|parts| parts.options.at_most_once)
    }
    /// What a store keeps of a failure.
    fn text(_failure: &Self::Failure) -> String {
        String::new()
    }
}

/// What a store keeps of a payload.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// The target that the job is for.
    pub target: &'a str,
    /// Its data.
    pub data: &'a [u8],
    /// How it is retried.
    pub options: RetryOptions,
    /// What it carries beside its data, if anything.
    pub carried: Option<&'a Arc<Carried>>,
}

impl Parts<'_> {
    const NONE: Parts<'static> = Parts {
        target: "",
        data: &[],
        options: RetryOptions {
            retry_limit: None,
            age_limit: None,
            min_backoff: 0,
            max_backoff: 0,
            at_most_once: false,
        },
        carried: None,
    };
}

/// The id of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Id {
    /// Made here: its index is in it.
    Generated(Halves),
    /// Given by the caller, or kept from an earlier life: found through an index.
    Given(Arc<str>),
}

impl Id {
    /// Call `f` with the text of the id.
    pub fn with_str<R>(&self, f: impl FnOnce(&str) -> R) -> R {
        match self {
            Id::Given(text) => f(text),
            Id::Generated(halves) => {
                let mut buffer = [0; 36];
                ids::format(*halves, &mut buffer);
                f(std::str::from_utf8(&buffer).unwrap_or_default())
            }
        }
    }
}

/// Where a job is that is not waiting on the wheel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// On the wheel.
    Waiting,
    /// Due, and its target has no handler.
    Parked,
    /// Handed over to its lane, or running.
    Handed,
    /// Due, and its lane is full.
    LaneBacklog,
}

/// Whether a job comes again by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comes {
    /// Once.
    Once,
    /// It is a repeat.
    Again,
    /// It is a repeat that is held back: due, it is parked.
    Held,
}

/// One entry of the slab: 32 bytes, for a million of them wait.
///
/// A job that has never run and whose id was made here is all in these words. The spare bits of a
/// UUID (its version and variant never change) hold the stage and the slot of the clocks'
/// offset; a job with more to say has a [`Detail`], whose number then stands in `high`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<P> {
    high: u64,
    low: u64,
    pub(crate) payload: P,
}

const VERSION: u64 = 0xf000;
const VERSION_7: u64 = 0x7000;
const VARIANT: u64 = 0xc000_0000_0000_0000;
const VARIANT_RFC: u64 = 0x8000_0000_0000_0000;
/// The two bits of an offset's slot, where there is none.
const NO_SLOT: u8 = 3;

impl<P: Copy> Record<P> {
    /// A job with nothing but a generated id; its slot of an offset tells its first due.
    pub(crate) fn plain(id: Halves, offset_slot: Option<u8>, payload: P) -> Self {
        let slot = offset_slot.unwrap_or(NO_SLOT);
        let high = id[0] & !VERSION | u64::from(slot & NO_SLOT) << 12;
        Record {
            high,
            low: id[1],
            payload,
        }
    }

    pub(crate) fn with_detail(detail: usize, payload: P) -> Self {
        Record {
            high: detail as u64,
            low: 0,
            payload,
        }
    }

    /// The number of its detail, if it has one.
    pub(crate) fn detail(&self) -> Option<usize> {
        (self.low & VARIANT == 0).then_some((self.high & !(0xff << 56)) as usize)
    }

    pub(crate) fn id(&self) -> Halves {
        [
            self.high & !VERSION | VERSION_7,
            self.low & !VARIANT | VARIANT_RFC,
        ]
    }

    /// Which offset of the clocks held when it was scheduled, if it is due on the boot clock.
    pub(crate) fn offset_slot(&self) -> Option<u8> {
        let slot = (self.high >> 12) as u8 & NO_SLOT;
        (slot != NO_SLOT).then_some(slot)
    }

    pub(crate) fn stage(&self) -> Stage {
        let bits = if self.detail().is_some() {
            self.high >> 56
        } else {
            self.high >> 14
        };
        match bits & 3 {
            0 => Stage::Waiting,
            1 => Stage::Parked,
            2 => Stage::Handed,
            _ => Stage::LaneBacklog,
        }
    }

    /// Whether it comes again: two bits beside the stage of what has a detail.
    pub(crate) fn comes(&self) -> Comes {
        match (self.detail(), self.high >> 58 & 3) {
            (None, _) | (_, 0) => Comes::Once,
            (_, 1) => Comes::Again,
            _ => Comes::Held,
        }
    }

    /// The number of its repeat, if it comes again: where others have the rest of their id.
    #[inline]
    pub(crate) fn repeat(&self) -> Option<usize> {
        (self.comes() != Comes::Once).then_some(self.low as usize)
    }

    /// Make a job with a detail one that comes again.
    pub(crate) fn set_repeat(&mut self, number: usize) {
        if self.detail().is_some() {
            self.low = number as u64 & !VARIANT;
            self.set_comes(Comes::Again);
        }
    }

    /// Note whether a job that comes again is held back.
    pub(crate) fn set_comes(&mut self, comes: Comes) {
        if self.detail().is_some() {
            self.high = self.high & !(3 << 58) | (comes as u64) << 58;
        }
    }

    pub(crate) fn set_stage(&mut self, stage: Stage) {
        let at = if self.detail().is_some() { 56 } else { 14 };
        self.high = self.high & !(3 << at) | (stage as u64) << at;
    }
}

/// What only some jobs have: a given id, or a past.
#[derive(Clone, Debug)]
pub(crate) struct Detail {
    pub(crate) id: Id,
    /// The due that it was first scheduled for, on the wall clock.
    pub(crate) job_due: i64,
    attempt: u32,
    run: u32,
    first_start: Maybe,
}

impl Detail {
    pub(crate) fn new(id: Id, job_due: i64, progress: Progress) -> Self {
        Detail {
            id,
            job_due,
            attempt: progress.attempt,
            run: progress.run,
            first_start: progress.first_start.into(),
        }
    }

    /// How far it has come; its times are on the boot clock.
    #[inline]
    pub(crate) fn progress(&self) -> Progress {
        Progress {
            attempt: self.attempt,
            run: self.run,
            first_start: self.first_start.get(),
        }
    }

    pub(crate) fn set_progress(&mut self, progress: Progress) {
        (self.attempt, self.run) = (progress.attempt, progress.run);
        self.first_start = progress.first_start.into();
    }
}

/// One execution of a job, handed over to the workers.
#[derive(Clone, Debug)]
pub struct Execution<P> {
    /// The job's key in the queue.
    pub key: Key,
    /// What orders it among equal dues; its name in a store.
    pub sequence: u64,
    /// The job's id.
    pub id: Id,
    /// The clock of its due.
    pub clock: ClockKind,
    /// Whether it comes again.
    pub(crate) comes: Comes,
    /// Whether its start was noted while it waited in its lane.
    pub marked: bool,
    /// What it was handed over with.
    pub(crate) permit: Permit,
    /// Its due, on that clock.
    pub due: i64,
    /// The due that the job was first scheduled for.
    pub job_due: i64,
    /// How far the job has come; its times are on the boot clock.
    pub progress: Progress,
    /// The job's payload.
    pub payload: P,
}

impl<P: Payload> Execution<P> {
    /// Whether it may start only when its mark is settled, which is made before its turn.
    #[inline]
    pub(crate) fn needs_mark(&self) -> bool {
        self.comes == Comes::Once && self.payload.at_most_once()
    }

    /// Whether the same holds, but it is marked in its turn: what comes again is taken up first, and may be passed over.
    pub(crate) fn needs_mark_in_turn(&self) -> bool {
        self.comes != Comes::Once && self.payload.at_most_once()
    }
}

/// Which occurrence of a repeat an execution is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Occurrence {
    /// From 1; 0: it is no repeat.
    pub number: u64,
    /// The first due of the last one that succeeded, on the wall clock.
    pub previous: Option<i64>,
}

/// An execution that a worker has started.
#[derive(Debug)]
pub struct Started<P> {
    /// What was handed over.
    pub execution: Execution<P>,
    /// Its due, on the wall clock as it stands.
    pub wall_due: i64,
    /// The boot time of the start.
    pub at: i64,
    /// When its handler was called, likewise: later, where what comes before takes its time.
    pub called: i64,
    /// Start minus due in nanoseconds, never negative.
    pub lateness: i64,
    /// Which occurrence it is, of a repeat that was taken up.
    pub occurrence: Option<Box<Occurrence>>,
}

impl<P: Payload> Started<P> {
    /// The progress of the job, with a first start, which may be this one.
    #[inline]
    pub fn progress(&self) -> Progress {
        self.execution.progress.begun(self.at)
    }

    /// It has ended so.
    #[inline]
    pub fn ended<F>(&self, outcome: Outcome<F>) -> Done<F> {
        Done {
            key: self.execution.key,
            comes_again: self.comes_again(),
            permit: self.execution.permit,
            target: self.execution.payload.target(),
            span: self.called,
            outcome: Some(outcome),
            result: None,
        }
    }

    /// Its handler has returned this, which is kept.
    pub fn returned<F>(&self, result: Vec<u8>) -> Done<F> {
        Done {
            result: Some(Box::new(Returned(result))),
            ..self.ended(Outcome::Done)
        }
    }

    /// Its target has lost its handler between hand-over and start, or the start could not be noted.
    #[inline]
    pub fn unhandled<F>(&self) -> Done<F> {
        Done {
            key: self.execution.key,
            comes_again: self.comes_again(),
            permit: self.execution.permit,
            target: self.execution.payload.target(),
            span: self.called,
            outcome: None,
            result: None,
        }
    }

    /// Whether it is of a repeat.
    #[inline]
    pub fn comes_again(&self) -> bool {
        self.execution.comes != Comes::Once
    }
}

/// A pending execution, as a query sees it.
#[derive(Debug)]
pub struct View<'a, P> {
    /// The job's id.
    pub id: &'a Id,
    /// Its due, on the wall clock.
    pub due: i64,
    /// The due that the job was first scheduled for.
    pub job_due: i64,
    /// How far the job has come; its times are on the boot clock.
    pub progress: Progress,
    /// Which occurrence of a repeat comes.
    pub occurrence: Occurrence,
    /// The job's payload.
    pub payload: P,
}

/// A job that ended as dead.
#[derive(Debug)]
pub struct Dead<P: Payload> {
    /// The job's id.
    pub id: Id,
    /// The due of its last execution, on the wall clock.
    pub due: i64,
    /// The due that it was first scheduled for.
    pub job_due: i64,
    /// Its last attempt and its last run; its times are on the boot clock.
    pub progress: Progress,
    /// Why.
    pub reason: Reason,
    /// When, on the wall clock.
    pub died: i64,
    /// Which occurrence of a repeat it was.
    pub occurrence: Occurrence,
    /// What is kept of its failure.
    pub failure: P::Failure,
    /// The job's payload.
    pub payload: P,
}

/// What the engine no longer keeps: the caller frees it.
#[derive(Debug)]
pub struct Released<P: Payload> {
    /// Payloads, each given back once.
    pub payloads: Vec<P>,
    /// Failures of forgotten dead jobs.
    pub failures: Vec<P::Failure>,
}

impl<P: Payload> Released<P> {
    pub(crate) fn append(&mut self, other: &mut Self) {
        self.payloads.append(&mut other.payloads);
        self.failures.append(&mut other.failures);
    }
}

impl<P: Payload> Default for Released<P> {
    fn default() -> Self {
        Released {
            payloads: Vec::new(),
            failures: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_record_keeps_its_id_through_stages() {
        let id = [0x0123_4567_89ab_7def, 0x9abc_def0_1234_5678];
        let mut record = Record::plain(id, Some(2), ());
        for stage in [
            Stage::Parked,
            Stage::LaneBacklog,
            Stage::Handed,
            Stage::Waiting,
        ] {
            record.set_stage(stage);
            assert_eq!(
                (record.stage(), record.id(), record.offset_slot()),
                (stage, id, Some(2))
            );
            assert_eq!(record.detail(), None);
        }
        assert_eq!(Record::plain(id, None, ()).offset_slot(), None);
    }

    #[test]
    fn a_record_with_a_detail_keeps_its_number() {
        let mut record = Record::with_detail(1 << 40, ());
        for stage in [
            Stage::Handed,
            Stage::LaneBacklog,
            Stage::Parked,
            Stage::Waiting,
        ] {
            record.set_stage(stage);
            assert_eq!((record.stage(), record.detail()), (stage, Some(1 << 40)));
        }
    }
}
