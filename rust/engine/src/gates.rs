//! What is known of the gates through which jobs with a key pass: who has one, and who waits for it.

use crate::due::queue::Key;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// A target, and a key of its jobs.
pub(crate) type Name = (u32, Arc<str>);

#[derive(Debug, Default)]
pub(crate) struct Gate {
    /// Who has it.
    pub(crate) holder: Option<Key>,
    /// Who waits, by due and sequence; some may have left by another way.
    pub(crate) waiting: BTreeMap<(i64, u64), Key>,
}

/// The gates that somebody has or waits for.
#[derive(Debug, Default)]
pub(crate) struct Gates {
    pub(crate) gates: HashMap<Name, Gate>,
    pub(crate) holders: HashMap<Key, Name>,
}

impl Gates {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.gates.is_empty()
    }

    /// Whether a job may wait beside the wheel.
    pub(crate) fn may_hold_back(&self, key: Key) -> bool {
        let mut gates = self.gates.values();
        gates.any(|gate| gate.waiting.values().any(|waits| *waits == key))
    }
}
