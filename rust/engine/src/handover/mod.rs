//! From the timer to those who run handlers.

pub mod early_wake;
pub mod histogram;
pub(crate) mod idle;
pub mod lanes;
pub mod lateness;
pub mod loop_waker;
pub mod queue;
pub mod starts;
