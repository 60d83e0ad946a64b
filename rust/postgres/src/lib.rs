//! Jobs in a PostgreSQL database that many nodes share.
//!
//! - `connection/`: reaching the server, and transactions of one flight there and back.
//! - `tables/`: what is in the database, and the statements that read and change it.
//! - `node/`: the thread that takes what the engine submits to the server, and keeps the lease.
//! - `rotation.rs`: encrypting all payloads under another key.

mod connection;
mod node;
mod rotation;
mod settings;
mod store;
mod tables;

pub use rotation::{Ended, OnProgress};
pub use settings::Settings;
pub use store::PostgresStore;
pub use tables::opening::sql;
pub use tables::rows::check_text;
