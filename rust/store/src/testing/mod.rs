//! For tests: the suite that every store must pass, jobs, a model of what a store holds, a store
//! whose disk is full at will, and one in memory that nodes share.

mod carrying;
pub mod conformance;
pub mod drive;
mod full;
pub mod jobs;
pub mod model;
pub mod nodes;
pub mod outcomes;
mod repeats;
mod shared;
mod taken;

pub use full::FullDisk;
pub use shared::{SharedJobs, SharedStore, Weather};
