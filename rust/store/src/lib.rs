//! The boundary between the engine and a place to keep jobs ([`Store`]), which knows of no such place.

mod error;
mod event;
mod keyring;
mod lease;
mod op;
mod query;
mod sealing;
pub mod standing;
mod store;
#[cfg(feature = "testing")]
pub mod testing;

pub use duewheel_model::carried::{Carried, Headers};
pub use duewheel_model::job::{ClockKind, Job, Place, Progress, Recurring};
pub use duewheel_model::kept::{Kept, Over};
pub use duewheel_model::outcome::Reason;
pub use duewheel_model::repeat::{Definition, Standing};
pub use duewheel_model::retry::RetryOptions;
pub use error::Error;
pub use event::Event;
pub use keyring::Keyring;
pub use lease::LeaseClock;
pub use op::{Ending, Next, Op, Ticket};
pub use query::{
    Answer, DeadJob, DeadPage, Limited, LiveNode, Page, Query, StoredOutcome, StoredRepeat,
    Unreadable, WhichDead,
};
pub use sealing::{SealedBatch, check_key, open_payload, open_result};
pub use store::{Answered, Events, Found, Grant, Settled, Store, ask};
