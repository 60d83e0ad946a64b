//! Calls from Python into the engine.

pub(crate) mod adding;
pub(crate) mod awaited;
pub(crate) mod bulk;
pub(crate) mod cancel_many;
pub(crate) mod change;
mod controls;
pub(crate) mod deads;
pub(crate) mod events;
mod heirs;
pub(crate) mod keywords;
pub(crate) mod listed;
pub(crate) mod nodes;
pub(crate) mod outcome;
pub(crate) mod pauses;
pub(crate) mod pending;
mod plain;
pub(crate) mod query;
pub(crate) mod repeat;
pub(crate) mod repeat_defined;
pub(crate) mod schedule;
pub(crate) mod scheduler;
pub(crate) mod timer;
pub(crate) mod transaction;
pub(crate) mod waiting;
