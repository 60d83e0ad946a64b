//! The boundary between the engine and a place to keep jobs, as its crate defines it.

pub use duewheel_store::{
    Answer, Answered, Clock, DeadJob, Error, Event, Events, Found, Job, Op, RetryOptions, Outcome, Page,
    Place, Question, Reason, Settled, Store, Ticket, Unreadable, ask,
};
