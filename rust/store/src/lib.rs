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

#[cfg(feature = "sqlite")]
mod apply;
mod boundary;
#[cfg(feature = "sqlite")]
mod claim;
#[cfg(feature = "sqlite")]
mod codec;
#[cfg(feature = "sqlite")]
mod disk;
#[cfg(feature = "sqlite")]
mod errands;
mod error;
#[cfg(feature = "sqlite")]
mod identity;
#[cfg(feature = "sqlite")]
mod interrupt;
#[cfg(feature = "sqlite")]
mod journal;
#[cfg(feature = "sqlite")]
mod keyring;
#[cfg(feature = "sqlite")]
mod life;
#[cfg(feature = "sqlite")]
mod local;
#[cfg(feature = "sqlite")]
mod locks;
#[cfg(feature = "sqlite")]
mod log;
#[cfg(feature = "sqlite")]
mod questions;
#[cfg(feature = "sqlite")]
mod recover;
#[cfg(feature = "sqlite")]
mod rows;
#[cfg(feature = "sqlite")]
mod savepoint;
#[cfg(feature = "sqlite")]
mod schema;
#[cfg(feature = "sqlite")]
mod tables;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(feature = "sqlite")]
mod waiters;

pub use boundary::{
    Answer, Answered, Clock, DeadJob, DeadPage, Event, Events, Found, Job, Op, Options, Outcome,
    Page, Place, Question, Reason, Settled, Store, Ticket, Unreadable, ask,
};
#[cfg(feature = "sqlite")]
pub use claim::Claim;
#[cfg(feature = "sqlite")]
pub use disk::{Disk, LogFile, RealDisk};
pub use error::Error;
#[cfg(feature = "sqlite")]
pub use keyring::Keyring;
#[cfg(feature = "sqlite")]
pub use local::{LocalStore, Settings, no_events};
#[cfg(feature = "sqlite")]
pub use log::Durability;
#[cfg(feature = "sqlite")]
pub use tables::Limits;

#[cfg(feature = "sqlite")]
/// The oldest SQLite that may be used: before it, a race between checkpoints could lose what was
/// committed.
pub const SQLITE_AT_LEAST: i32 = 3_051_003;

#[cfg(feature = "sqlite")]
/// The version of the SQLite that is built in: as a number, and as text.
pub fn sqlite_version() -> (i32, &'static str) {
    (rusqlite::version_number(), rusqlite::version())
}
