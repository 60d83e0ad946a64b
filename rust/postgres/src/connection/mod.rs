//! Reaching the server.

pub(crate) mod conninfo;
mod files;
mod keys;
pub(crate) mod link;
mod parse;
pub(crate) mod tls;
pub(crate) mod trouble;

pub(crate) use keys::Process;
