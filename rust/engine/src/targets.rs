//! What is known of targets, by their numbers: the lane of the handler, and the jobs parked for want of one.
//!
//! - A number stands for a target as long as a job in memory or a handler speaks of it, and may stand
//!   for another one afterwards. What outlives both goes by name: notices, and what is parked on disk.
//! - A list of parked jobs may name jobs that have left since: the caller tells them by their stage.

use crate::controls::TargetControls;
use crate::due::queue::Key;
use crate::handover::lanes::{Lane, Lanes};
use std::collections::BTreeMap;

/// The jobs parked for each target, in no order.
pub(crate) type ParkedLists = BTreeMap<u32, Vec<Key>>;

/// Where handlers run, and what waits for one.
#[derive(Debug, Default)]
pub(crate) struct Targets {
    lanes: Vec<Option<Lane>>,
    /// Since when, on the boot clock, each has the lane that it has.
    since: Vec<i64>,
    /// How many targets have a handler, by lane.
    handlers: Lanes<usize>,
    pub(crate) controls: TargetControls,
    parked: ParkedLists,
    /// How many jobs are parked.
    parked_count: usize,
    /// The same by target.
    parked_counts: Vec<usize>,
}

impl Targets {
    /// A list of so many is not compacted.
    const SHORT: usize = 64;

    /// Where the handler of a target runs, if it has one.
    #[inline]
    pub(crate) fn lane_of(&self, target: u32) -> Option<Lane> {
        *self.lanes.get(target as usize)?
    }

    /// Say where a handler runs; whether that is news.
    pub(crate) fn set_lane(&mut self, target: u32, lane: Option<Lane>) -> bool {
        let at = target as usize;
        if self.lanes.len() <= at {
            self.lanes.resize(at + 1, None);
        }
        let old = std::mem::replace(&mut self.lanes[at], lane);
        if let Some(old) = old {
            self.handlers[old] -= 1;
        }
        if let Some(lane) = lane {
            self.handlers[lane] += 1;
        }
        old != lane
    }

    /// Note when a target got the lane that it has.
    pub(crate) fn note_since(&mut self, target: u32, boot: i64) {
        let at = target as usize;
        if self.since.len() <= at {
            self.since.resize(at + 1, i64::MIN);
        }
        self.since[at] = boot;
    }

    /// Since when a target has the lane that it has.
    pub(crate) fn since(&self, target: u32) -> i64 {
        self.since.get(target as usize).copied().unwrap_or(i64::MIN)
    }

    /// Whether a target has a handler in this lane.
    pub(crate) fn has_handlers(&self, lane: Lane) -> bool {
        self.handlers[lane] > 0
    }

    /// Whether a lane has handlers; the workers' lane is used where none has.
    pub(crate) fn is_used(&self, lane: Lane) -> bool {
        self.has_handlers(lane)
            || (lane == Lane::Workers && self.handlers.iter().all(|&count| count == 0))
    }

    /// The lane that is used, if it is the only one.
    pub(crate) fn only_lane(&self) -> Option<Lane> {
        let mut used = Lane::ALL.into_iter().filter(|&lane| self.is_used(lane));
        let lane = used.next();
        lane.filter(|_| used.next().is_none())
    }

    /// How many jobs of one lane may be marked before they start, of so many in all: half of them, where both are used.
    pub(crate) fn most_ahead(&self, most: usize) -> usize {
        match self.only_lane() {
            Some(_) => most,
            None => most / 2,
        }
    }

    /// How many jobs are parked in memory.
    pub(crate) fn parked_count(&self) -> usize {
        self.parked_count
    }

    /// How many jobs of a target are parked in memory.
    pub(crate) fn parked_of(&self, target: u32) -> u64 {
        let count = self.parked_counts.get(target as usize);
        count.map_or(0, |&count| count as u64)
    }

    /// One past the highest number of a target that has had a handler or a parked job.
    pub(crate) fn len(&self) -> usize {
        self.lanes.len().max(self.parked_counts.len())
    }

    /// List a job as parked; whether it is the first of its target.
    pub(crate) fn park(&mut self, target: u32, key: Key, is_parked: impl Fn(Key) -> bool) -> bool {
        self.note_parked(target);
        let mut is_first = false;
        let list = self.parked.entry(target).or_insert_with(|| {
            is_first = true;
            Vec::new()
        });
        if list.len() > Self::SHORT && list.len() > 2 * self.parked_count {
            list.retain(|&key| is_parked(key));
        }
        list.push(key);
        is_first
    }

    /// Count a job that is parked and listed nowhere.
    pub(crate) fn note_parked(&mut self, target: u32) {
        let at = target as usize;
        if self.parked_counts.len() <= at {
            self.parked_counts.resize(at + 1, 0);
        }
        self.parked_counts[at] += 1;
        self.parked_count += 1;
    }

    /// Count a job out that is parked no longer.
    pub(crate) fn note_unparked(&mut self, target: u32) {
        self.parked_counts[target as usize] -= 1;
        self.parked_count -= 1;
    }

    /// Take the list of a target's parked jobs; they are still counted.
    pub(crate) fn take_parked(&mut self, target: u32) -> Vec<Key> {
        self.parked.remove(&target).unwrap_or_default()
    }

    /// Take the lists, to drop them or to [put them back](Self::put_parked_lists).
    pub(crate) fn take_parked_lists(&mut self) -> ParkedLists {
        std::mem::take(&mut self.parked)
    }

    /// Put back lists that have become shorter. One that is empty says that its target was noticed.
    pub(crate) fn put_parked_lists(&mut self, lists: ParkedLists) {
        self.parked = lists;
    }

    /// Compare what is noted with how many jobs were found parked.
    pub(crate) fn check(&self, parked: usize) -> Result<(), String> {
        if parked != self.parked_count {
            return Err(format!(
                "{parked} jobs are parked, {} are noted",
                self.parked_count
            ));
        }
        let by_target: usize = self.parked_counts.iter().sum();
        if by_target != parked {
            return Err(format!("{parked} jobs are parked, {by_target} by target"));
        }
        for lane in Lane::ALL {
            let counted = self.lanes.iter().filter(|of| **of == Some(lane)).count();
            if counted != self.handlers[lane] {
                return Err(format!(
                    "{counted} handlers run in {lane:?}, {} are noted",
                    self.handlers[lane]
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::key;

    #[test]
    fn the_workers_lane_is_used_where_no_lane_has_handlers() {
        let mut targets = Targets::default();
        assert_eq!(targets.only_lane(), Some(Lane::Workers));
        assert!(targets.set_lane(7, Some(Lane::Loop)));
        assert!(!targets.set_lane(7, Some(Lane::Loop)));
        assert_eq!(targets.only_lane(), Some(Lane::Loop));
        assert!(targets.set_lane(3, Some(Lane::Workers)));
        assert_eq!(targets.only_lane(), None);
        assert_eq!(targets.lane_of(7), Some(Lane::Loop));
        assert_eq!((targets.lane_of(4), targets.lane_of(99)), (None, None));
        assert!(targets.set_lane(7, None));
        assert_eq!(targets.only_lane(), Some(Lane::Workers));
        targets.check(0).unwrap();
    }

    #[test]
    fn lists_of_parked_jobs_do_not_grow_with_those_that_have_left() {
        let mut targets = Targets::default();
        for index in 0..10_000 {
            assert_eq!(
                targets.park(1, key(index), |of| of.index == index - 1),
                index == 0
            );
            if index > 0 {
                targets.note_unparked(1);
            }
        }
        targets.check(1).unwrap();
        assert!(targets.parked[&1].len() <= Targets::SHORT + 2);
        assert!(targets.take_parked(2).is_empty());
        assert_eq!(targets.take_parked(1).last(), Some(&key(9_999)));
        assert!(targets.take_parked(1).is_empty());
    }
}
