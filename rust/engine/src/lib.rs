//! The engine of duewheel: jobs that are due at a time, kept on a hierarchical timing wheel.
//!
//! # Words
//!
//! A *job* is due at a time and names a *target*; a *handler* runs it. Entries *expire* from the
//! wheel, jobs *run*. *Lateness* is start minus due. Order is (due, sequence): ties run in the
//! order in which they were scheduled.
//!
//! # Levels of the wheel
//!
//! A digit of a due is eight bits of its nanoseconds, from bit 12 up.
//!
//! | level | slot | all 256 slots |
//! | --- | --- | --- |
//! | 0 | 4.1 µs | 1.05 ms |
//! | 1 | 1.05 ms | 268 ms |
//! | 2 | 268 ms | 68.7 s |
//! | 3 | 68.7 s | 4.9 h |
//! | 4 | 4.9 h | 52 days |
//! | 5 | 52 days | 36.6 years |
//! | 6 | 36.6 years | the rest of an `i64` |
//!
//! # Layers
//!
//! `due` ← `jobs` ← `handover` ← `controls` ← `targets`, `tally`, and `residency` ← `engine` ← `timer`. Nothing here knows Python.
//!
//! ```
//! use duewheel_engine::due::queue::{ClockKind, DueQueue, Now};
//!
//! let mut queue = DueQueue::new(Now { wall: 0, boot: 0 });
//! queue.insert(ClockKind::Boot, 2_000, "second");
//! queue.insert(ClockKind::Boot, 1_000, "first");
//! let mut order = Vec::new();
//! queue.expire(Now { wall: 5_000, boot: 5_000 }, 10, |_, name| order.push(*name));
//! assert_eq!(order, ["first", "second"]);
//! ```

pub mod clock;
pub mod controls;
pub mod due;
pub mod engine;
mod gates;
pub mod handover;
pub mod jobs;
mod outcomes;
mod residency;
pub mod sleep;
pub mod sync;
mod tally;
mod targets;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod timer;
