//! For tests: a disk in memory that can crash, fill up and fail.

mod crash;
mod disk;
#[allow(unsafe_code)]
mod vfs;

pub use crash::{Image, Survivors, image};
pub use disk::{Change, Faults, SimDisk};
