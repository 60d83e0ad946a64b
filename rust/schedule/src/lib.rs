//! The times of recurring jobs: sets of instants that are asked for the next one.
//!
//! All times are `i64` nanoseconds since 1970, UTC.

pub mod rrule;
