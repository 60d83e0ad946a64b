//! The boundary between the engine and a place to keep jobs ([`Store`]), which knows of no such place.

mod boundary;
mod error;
mod keyring;
#[cfg(feature = "testing")]
pub mod testing;

pub use boundary::{
    Answer, Answered, DeadJob, DeadPage, Ending, Event, Events, Found, Op, Page, Question, Settled,
    Store, Ticket, Unreadable, ask,
};
pub use duewheel_model::job::{ClockKind, Job, Place, Progress};
pub use duewheel_model::outcome::Reason;
pub use duewheel_model::retry::RetryOptions;
pub use error::Error;
pub use keyring::Keyring;
