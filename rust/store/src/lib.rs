//! Where duewheel keeps jobs that have to survive: the boundary that the engine speaks
//! ([`Store`]), and the store behind it that is one SQLite file ([`LocalStore`]).
//!
//! What a batch of operations goes through:
//!
//! ```text
//! submit ──► journal: one write to the page cache          survives the process
//!              │  └─ sync, shared by all who wait          survives the machine
//!              ▼  within 100 ms, in large transactions
//!            tables of the database                        what pages are read from
//! ```
//!
//! Jobs that are over before they reach the tables never do. `docs/store.md` says what is on disk
//! when, and why it is built this way.

mod apply;
mod boundary;
mod claim;
mod codec;
mod disk;
mod errands;
mod error;
mod journal;
mod keyring;
mod local;
mod log;
mod questions;
mod recover;
mod rows;
mod schema;
mod tables;
#[cfg(feature = "testing")]
pub mod testing;

pub use boundary::{
    Answer, Answered, Clock, DeadJob, Event, Events, Found, Job, Op, Options, Outcome, Page, Place,
    Question, Reason, Settled, Store, Ticket, ask,
};
pub use disk::{Claim, Disk, LogFile, RealDisk};
pub use error::Error;
pub use keyring::Keyring;
pub use local::{LocalStore, Settings, no_events};
pub use log::Durability;
pub use tables::Limits;

/// The oldest SQLite that may be used: before it, a race between checkpoints could lose what was
/// committed.
pub const SQLITE_AT_LEAST: i32 = 3_051_003;

/// The version of the SQLite that is built in: as a number, and as text.
pub fn sqlite_version() -> (i32, &'static str) {
    (rusqlite::version_number(), rusqlite::version())
}
