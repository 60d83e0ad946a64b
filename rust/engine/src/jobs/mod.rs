//! What is kept of a job.

pub(crate) mod details;
pub mod ids;
pub mod record;
