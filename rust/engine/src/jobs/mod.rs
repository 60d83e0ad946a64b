//! What is kept of a job.

pub(crate) mod blocks;
mod digits;
pub(crate) mod done;
pub(crate) mod follow_up;
pub(crate) mod id_index;
pub mod ids;
pub(crate) mod moment;
pub(crate) mod offsets;
pub(crate) mod permit;
pub mod record;
pub(crate) mod repeat;
pub mod repeats;
pub(crate) mod table;
