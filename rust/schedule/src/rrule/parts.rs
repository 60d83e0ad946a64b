//! What a rule says, before it has a start.

use super::days::Days;

/// What a rule counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Frequency {
    Yearly,
    Monthly,
    Weekly,
    Daily,
    Hourly,
    Minutely,
    Secondly,
}

/// The last time that may be: whole seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    Utc(i64),
    Local(i64),
}

/// The parts of a rule. A set without a number is not given.
#[derive(Clone, Debug)]
pub(super) struct Parts {
    pub(super) frequency: Frequency,
    pub(super) interval: i64,
    /// From 1.
    pub(super) count: Option<i64>,
    pub(super) until: Option<Until>,
    pub(super) seconds: u64,
    pub(super) minutes: u64,
    pub(super) hours: u32,
    pub(super) days: Days,
    pub(super) positions: Box<[i32]>,
}
