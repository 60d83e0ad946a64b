//! The life of a node: one thread with one connection, which takes its messages to the server, one flight after the other.
//!
//! A flight is a transaction that is numbered in the node's row. When a reply is lost, that row says whether the flight
//! has taken effect; if not, it is sent again. So each takes effect once, in order, whatever becomes of connections.

mod answers;
mod claims;
mod flights;
mod held;
mod lease;
mod life;
mod looks;
pub(crate) mod outcomes;
mod pauses;
mod plan;
pub(crate) mod post;
mod puts;
mod question;
mod recalls;
mod repeats;
mod state;
mod steps;
mod stops;
mod wanted;

pub(crate) use state::Node;
