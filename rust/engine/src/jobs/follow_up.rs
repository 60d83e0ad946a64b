//! What a job that runs is to be when it has ended.

use crate::due::queue::{ClockKind, Key};
use std::collections::HashMap;

/// What a job that runs is to be when it has ended.
#[derive(Debug)]
pub(crate) struct FollowUp<P> {
    /// When it is due; `None`: when what runs was, or comes again.
    pub(crate) to: Option<(ClockKind, i64)>,
    pub(crate) payload: P,
}

/// Those that there are, by the key of what runs.
pub(crate) type FollowUps<P> = HashMap<Key, FollowUp<P>>;
