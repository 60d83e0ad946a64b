//! The tables: what pages are read from.

pub(crate) mod apply;
pub(crate) mod backup;
pub(crate) mod changes;
pub(crate) mod checkpoints;
pub(crate) mod interruptions;
pub(crate) mod outcomes;
pub(crate) mod owed;
pub(crate) mod queries;
pub(crate) mod recovery;
pub(crate) mod rotation;
pub(crate) mod rows;
pub(crate) mod savepoint;
pub(crate) mod schema;
pub(crate) mod writer;
