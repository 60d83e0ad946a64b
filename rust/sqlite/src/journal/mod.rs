//! The journal: what is written, when it is on disk, and which waits end then.

pub(crate) mod codec;
#[cfg(test)]
mod codec_tests;
pub(crate) mod file;
pub(crate) mod group_commit;
#[cfg(test)]
mod standing_tests;
pub(crate) mod state;
pub(crate) mod waiters;
