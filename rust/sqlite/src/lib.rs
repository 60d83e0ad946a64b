//! Where duewheel keeps jobs that have to survive: a store that is one SQLite file ([`LocalStore`]).
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

mod database;
mod disk;
mod error;
mod journal;
mod opening;
mod ownership;
mod request;
mod store;
#[cfg(feature = "testing")]
pub mod testing;

pub use database::writer::LogLimits;
pub use disk::{Disk, JournalFile, RealDisk};
pub(crate) use duewheel_store::Error as StoreError;
pub use error::Error;
pub use journal::group_commit::Durability;
pub use ownership::claim::Claim;
pub use request::{Ended, OnProgress};
pub use store::{LocalStore, Settings, no_events};

/// The oldest SQLite that may be used: before it, a race between checkpoints could lose what was
/// committed.
pub const SQLITE_AT_LEAST: i32 = 3_051_003;

/// The version of the SQLite that is built in: as a number, and as text.
pub fn sqlite_version() -> (i32, &'static str) {
    (rusqlite::version_number(), rusqlite::version())
}
