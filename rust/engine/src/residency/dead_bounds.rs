//! How many of the dead a store keeps.

/// What is forgotten of the dead, and when that is looked at again.
#[derive(Clone, Copy, Debug, Default)]
pub struct DeadBounds {
    /// Those that died so many nanoseconds ago.
    pub age: Option<i64>,
    /// All but so many, the newest.
    pub most: Option<u64>,
}

impl DeadBounds {
    /// After so many deaths more than may be kept are forgotten; whoever looks at the dead never sees them.
    pub(crate) fn slack(self) -> u64 {
        self.most.map_or(1_024, |most| (most / 8).clamp(1, 1_024))
    }
}
