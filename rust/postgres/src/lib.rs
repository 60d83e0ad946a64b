//! Jobs in a PostgreSQL database that many nodes share: see `docs/postgres.md`.

mod conninfo;
mod files;
mod held;
mod link;
mod looks;
mod names;
mod node;
mod opening;
mod plan;
mod post;
mod question;
mod rows;
mod settings;
mod sql;
mod store;
mod tls;
mod trouble;

pub use opening::sql;
pub use settings::Settings;
pub use store::PostgresStore;
