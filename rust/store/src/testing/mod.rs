//! For tests: a store in memory that nodes share.

mod shared;

pub use shared::{SharedJobs, SharedStore, Weather};
