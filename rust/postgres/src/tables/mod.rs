//! What is in the database.

pub(crate) mod names;
pub(crate) mod opening;
pub(crate) mod rows;
pub(crate) mod sql;
pub(crate) mod statement;
