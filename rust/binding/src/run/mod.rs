//! Handlers: workers, event loops, tasks.

pub(crate) mod event_loop;
pub(crate) mod first_step;
pub(crate) mod handover;
pub(crate) mod inside;
pub(crate) mod task;
pub(crate) mod worker;
