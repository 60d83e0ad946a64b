//! What all of duewheel speaks of, and its pure rules: no lock, no clock, no input or output.
//!
//! `time` ← `retry`, `outcome` ← `job`.

pub mod job;
pub mod outcome;
pub mod retry;
pub mod time;
