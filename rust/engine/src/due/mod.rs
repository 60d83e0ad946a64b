//! The due-queue: what waits for its time.

pub(crate) mod free;
pub mod level;
pub mod queue;
pub mod slab;
pub mod wheel;
