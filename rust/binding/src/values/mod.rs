//! The values of jobs: from Python's objects, as the engine carries them, and as Python sees them.

pub(crate) mod callable;
pub(crate) mod carried;
pub(crate) mod convert;
pub(crate) mod counters;
pub(crate) mod data;
pub(crate) mod dead;
pub(crate) mod event;
pub(crate) mod failure;
pub(crate) mod handle;
pub(crate) mod ids;
pub(crate) mod job;
pub(crate) mod options;
pub(crate) mod outcome;
pub(crate) mod payload;
pub(crate) mod repeat;
pub(crate) mod spare;
pub(crate) mod specs;
pub(crate) mod stats;
pub(crate) mod target;
