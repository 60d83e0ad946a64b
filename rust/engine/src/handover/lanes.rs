//! Lanes: who runs a job, and the backlog of a lane that is full.

use crate::due::queue::Key;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::ops::{Index, IndexMut};

/// Who runs a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// A worker, on its thread.
    Workers,
    /// The event loop, as a task.
    Loop,
}

impl Lane {
    /// All of them.
    pub const ALL: [Lane; 2] = [Lane::Workers, Lane::Loop];
    const COUNT: usize = Lane::ALL.len();
}

/// One value for each lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lanes<T>([T; Lane::COUNT]);

impl<T> Lanes<T> {
    /// The values, in the order of [`Lane::ALL`].
    pub fn iter(&self) -> std::slice::Iter<'_, T> {
        self.0.iter()
    }
}

impl<T> Index<Lane> for Lanes<T> {
    type Output = T;

    #[inline]
    fn index(&self, lane: Lane) -> &T {
        &self.0[lane as usize]
    }
}

impl<T> IndexMut<Lane> for Lanes<T> {
    #[inline]
    fn index_mut(&mut self, lane: Lane) -> &mut T {
        &mut self.0[lane as usize]
    }
}

impl<'a, T> IntoIterator for &'a Lanes<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// The order in which a lane hands over what is due: what compares as less comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    /// The due, on the wall clock, less the head start of its target.
    pub(crate) due: i64,
    /// The sequence, which no other job in memory has.
    pub(crate) sequence: u64,
}

impl Rank {
    /// Before all others.
    pub(crate) const FIRST: Rank = Rank {
        due: i64::MIN,
        sequence: 0,
    };
}

/// What is due for a lane that is full, or for a target at its limit, in the order of its [`Rank`].
///
/// - A job that leaves by another way (cancelled, moved) stays listed until it is met, or until most of
///   the list is such: the caller says by `waits` which items stand for a job that still waits.
/// - Nothing here bounds it: all that is due and may not be handed over lies in it.
#[derive(Debug, Default)]
pub(crate) struct LaneBacklog {
    /// What came in order, as nearly everything does.
    in_order: VecDeque<(Rank, Key)>,
    /// What ranks before something that had come already.
    late: BinaryHeap<Reverse<(Rank, Key)>>,
    /// How many of those that are listed still wait.
    waiting: usize,
}

impl LaneBacklog {
    /// A list of so many is not compacted.
    const SHORT: usize = 64;

    pub(crate) fn len(&self) -> usize {
        self.waiting
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    pub(crate) fn push(&mut self, rank: Rank, key: Key) {
        self.waiting += 1;
        match self.in_order.back() {
            Some(last) if *last > (rank, key) => self.late.push(Reverse((rank, key))),
            _ => self.in_order.push_back((rank, key)),
        }
    }

    /// Take the first job that still waits.
    pub(crate) fn pop(&mut self, waits: impl Fn(Rank, Key) -> bool) -> Option<Key> {
        loop {
            let (rank, key) = self.pop_listed()?;
            if waits(rank, key) {
                self.waiting -= 1;
                return Some(key);
            }
        }
    }

    /// The first job that still waits.
    pub(crate) fn first(&mut self, waits: impl Fn(Rank, Key) -> bool) -> Option<(Rank, Key)> {
        if self.is_empty() {
            return None;
        }
        loop {
            let (rank, key) = self.first_listed()?;
            if waits(rank, key) {
                return Some((rank, key));
            }
            self.pop_listed();
        }
    }

    fn first_listed(&self) -> Option<(Rank, Key)> {
        let late = self.late.peek().map(|Reverse(item)| item);
        self.in_order.front().into_iter().chain(late).min().copied()
    }

    fn pop_listed(&mut self) -> Option<(Rank, Key)> {
        match (self.in_order.front(), self.late.peek()) {
            (Some(first), Some(Reverse(late))) if late < first => {}
            (None, Some(_)) => {}
            _ => return self.in_order.pop_front(),
        }
        self.late.pop().map(|Reverse(item)| item)
    }

    /// Take the last job that still waits.
    pub(crate) fn pop_last(&mut self, waits: impl Fn(Rank, Key) -> bool) -> Option<(Rank, Key)> {
        if !self.late.is_empty() {
            let late = self.late.drain().map(|Reverse(item)| item);
            self.in_order.extend(late);
            self.in_order.make_contiguous().sort();
        }
        loop {
            let (rank, key) = self.in_order.pop_back()?;
            if waits(rank, key) {
                self.waiting -= 1;
                return Some((rank, key));
            }
        }
    }

    /// Strike a job off that has left, and is to come again under the same sequence by another rank.
    pub(crate) fn strike(&mut self, key: Key) {
        self.in_order.retain(|&(_, listed)| listed != key);
        self.late.retain(|&Reverse((_, listed))| listed != key);
    }

    /// Count a job out that has left by another way.
    pub(crate) fn note_left(&mut self, waits: impl Fn(Rank, Key) -> bool) {
        self.waiting -= 1;
        let listed = self.in_order.len() + self.late.len();
        if listed > Self::SHORT && listed > 2 * self.waiting {
            self.in_order.retain(|&(rank, key)| waits(rank, key));
            self.late.retain(|&Reverse((rank, key))| waits(rank, key));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn item(place: u64) -> (Rank, Key) {
        let (index, generation) = (place as u32, 0);
        let (due, sequence) = (place as i64 / 3, place);
        (Rank { due, sequence }, Key { index, generation })
    }

    #[test]
    fn a_backlog_comes_out_in_order_in_whatever_order_it_came() {
        let mut backlog = LaneBacklog::default();
        let mut inside = BTreeSet::new();
        let pop = |backlog: &mut LaneBacklog| backlog.pop(|_, _| true);
        for step in 0..1_000 {
            // Every place from 0 to 1008 once, in an order of its own.
            let (rank, key) = item((step + 1) * 11 % 1_009);
            backlog.push(rank, key);
            inside.insert((rank, key));
            if step % 3 == 0 {
                assert_eq!(pop(&mut backlog), inside.pop_first().map(|first| first.1));
            }
        }
        assert_eq!(backlog.len(), inside.len());
        while let Some((_, key)) = inside.pop_first() {
            assert_eq!(pop(&mut backlog), Some(key));
        }
        assert_eq!(pop(&mut backlog), None);
        assert!(backlog.is_empty());
    }

    #[test]
    fn what_has_left_a_backlog_is_passed_over_and_does_not_pile_up() {
        let mut backlog = LaneBacklog::default();
        let items: Vec<_> = (0..1_000).map(item).collect();
        let mut waiting: BTreeSet<Key> = items.iter().map(|item| item.1).collect();
        for &(rank, key) in items.iter().rev() {
            backlog.push(rank, key);
        }
        for (_, key) in &items {
            if key.index % 10 != 0 {
                waiting.remove(key);
                backlog.note_left(|_, key| waiting.contains(&key));
            }
        }
        assert_eq!(backlog.len(), 100);
        assert!(backlog.in_order.len() + backlog.late.len() <= 200);
        for (_, key) in items.iter().step_by(10) {
            assert_eq!(backlog.pop(|_, key| waiting.contains(&key)), Some(*key));
        }
        assert_eq!(backlog.pop(|_, key| waiting.contains(&key)), None);
    }
}
