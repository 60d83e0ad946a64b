//! The stores that can be put behind the engine.

pub(crate) mod local;
pub(crate) mod page;
