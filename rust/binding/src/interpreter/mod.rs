//! The interpreter: how it is called, taken, forked and ended.

pub(crate) mod call;
pub(crate) mod gil;
pub(crate) mod names;
pub(crate) mod process;
