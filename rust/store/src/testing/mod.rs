//! For tests: a disk in memory that can crash, fill up and fail, and a store that nodes share.

mod crash;
mod disk;
mod shared;
#[allow(unsafe_code)]
mod vfs;

pub use crash::{Image, Survivors, image};
pub use disk::{Change, Faults, SimDisk};
pub use shared::{SharedJobs, SharedStore, Weather};
