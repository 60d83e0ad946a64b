//! What is known of targets, by their numbers.
//!
//! A number stands for a target as long as a job in memory or a handler speaks of it, and may stand for
//! another one afterwards. What outlives both is kept by name: notices, and what is aside.

use super::{Engine, State};
use crate::due::queue::Key;
use crate::handover::queue::Lane;
use crate::jobs::record::Payload;
use std::collections::BTreeMap;

/// Lists of parked jobs, by target; those that have left are skipped.
pub(super) type Parked = BTreeMap<u32, Vec<Key>>;

/// Where handlers run, and what waits for one.
#[derive(Debug, Default)]
pub(super) struct Targets {
    lanes: Vec<Option<Lane>>,
    /// How many have a handler, by lane.
    pub(super) handlers: [usize; 2],
    /// Of each target that was noticed to have none: its parked jobs, in no order.
    pub(super) parked: Parked,
}

impl Targets {
    /// Where the handler of a target runs, if it has one.
    #[inline]
    pub(super) fn lane_of(&self, target: u32) -> Option<Lane> {
        *self.lanes.get(target as usize)?
    }

    /// Say where a handler runs; whether that is news.
    pub(super) fn set_lane(&mut self, target: u32, lane: Option<Lane>) -> bool {
        let at = target as usize;
        if self.lanes.len() <= at {
            self.lanes.resize(at + 1, None);
        }
        let old = std::mem::replace(&mut self.lanes[at], lane);
        if let Some(old) = old {
            self.handlers[old as usize] -= 1;
        }
        if let Some(lane) = lane {
            self.handlers[lane as usize] += 1;
        }
        old != lane
    }
}

impl<P: Payload> Engine<P> {
    /// Let a number stand for another target: nothing speaks of the one it stood for, neither a job in
    /// memory nor a handler.
    pub fn renumber(&self, target: u32) {
        let mut state = self.state.lock();
        if state.targets.lane_of(target).is_some() {
            state.targets.set_lane(target, None);
        }
        let left = state.targets.parked.remove(&target);
        drop(state);
        // Not under the lock: it may be much.
        drop(left);
    }
}

impl<P: Payload> State<P> {
    pub(super) fn lane_of(&self, target: u32) -> Option<Lane> {
        self.targets.lane_of(target)
    }
}
