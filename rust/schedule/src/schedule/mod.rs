//! Schedules, and what they are asked.

mod definition;
mod describe;
mod python;
mod search;
mod tree;

pub use tree::{Form, Interval, Schedule};
