//! For tests: the suite that every store must pass, jobs, a model of what a store holds, and a store in memory that nodes share.

pub mod conformance;
pub mod drive;
pub mod jobs;
pub mod model;
mod shared;

pub use shared::{SharedJobs, SharedStore, Weather};
