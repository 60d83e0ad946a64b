//! Calls from Python into the engine.

pub(crate) mod awaited;
pub(crate) mod bulk;
pub(crate) mod events;
pub(crate) mod keywords;
pub(crate) mod scheduler;
