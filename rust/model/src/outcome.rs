//! How jobs end.

/// Why a job is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It failed and its limits are reached.
    Failed,
    /// Its handler discarded it.
    Discarded,
    /// Its process died too often, or once if at most once.
    Interrupted,
}
