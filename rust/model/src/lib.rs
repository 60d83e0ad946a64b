//! The words of duewheel and its pure rules: no lock, no clock, no input or output.
//!
//! # Words
//!
//! - A *job* ([`job::Job`]) has an id, a target, data and options. It is *pending* until it starts.
//! - An *execution* is one run of a job: it *starts*, and it *ends* ([`outcome::Ended`]).
//! - An *attempt* is what a failure uses up; a *run* is what every start uses up. A snooze and an
//!   interruption begin another run of the same attempt ([`job::Progress`]).
//! - The *age* of a job is counted from its first start. Being revived begins a new age.
//! - An *outcome* is what becomes of a job whose execution has ended: done, due again, or dead
//!   ([`outcome::after`] decides).
//! - *Backoff* is the time from a failure to the next attempt, *jitter* the random part of it
//!   ([`retry`]).
//! - A *repeat* is one job that comes again; each time it comes is an *occurrence* ([`repeat`]).
//! - An *interruption* is the death of a process while the job ran. An ordered end is none.
//!
//! # Times
//!
//! All times and durations are `i64` nanoseconds. A time of the *wall clock* is since 1970 and may
//! step; one of the *boot clock* is since boot and only grows. The *offset* is wall minus boot. A
//! store keeps wall times, an engine keeps each due on the clock it was given on
//! ([`job::ClockKind`]), and first starts on the boot clock.
//!
//! | name | what | clock |
//! | --- | --- | --- |
//! | `due` | when this execution is due | its `ClockKind`; in a [`job::Place`] the wall |
//! | `job_due` | when the job was first due | wall |
//! | `created` | when it was scheduled | wall |
//! | `first_start` | when it was first started in this age | wall in a store, boot in an engine |
//! | `died` | when it became dead | wall |
//!
//! `time`, `retry`, `repeat`, `carried` ← `job` ← `outcome` ← `kept`.

pub mod carried;
pub mod job;
pub mod kept;
pub mod outcome;
pub mod repeat;
pub mod retry;
pub mod time;
