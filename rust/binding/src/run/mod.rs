//! Running handlers: on workers, on event loops, in tasks.

pub(crate) mod alive;
pub(crate) mod asyncio_loop;
pub(crate) mod condition;
pub(crate) mod continuations;
pub(crate) mod ending;
pub(crate) mod event_loop;
pub(crate) mod first_step;
pub(crate) mod hooks;
pub(crate) mod inside;
pub(crate) mod interrupt;
pub(crate) mod marks;
pub(crate) mod outcome;
pub(crate) mod registry;
pub(crate) mod running;
pub(crate) mod spares;
pub(crate) mod take_up;
pub(crate) mod task;
pub(crate) mod tasks;
pub(crate) mod threads;
pub(crate) mod waits;
pub(crate) mod whereabouts;
pub(crate) mod worker;
pub(crate) mod worker_thread;
