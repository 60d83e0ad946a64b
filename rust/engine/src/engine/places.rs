//! The places of pending jobs, put in order no further than somebody asks.

use super::{Engine, State};
use crate::due::queue::{Entry, Key};
use crate::jobs::record::{Payload, Record, Stage};

/// So many are put in order at first, at least.
const FIRST: usize = 256;
/// By so much more are put in order each time that those are used up: all of *n* costs a few passes over them.
const MORE: usize = 8;

/// A pending job's place in the order, as it was when it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct QueryPlace {
    /// Its due, on the wall clock.
    pub due: i64,
    sequence: u64,
    index: u32,
    generation: u32,
}

impl QueryPlace {
    /// What it is ordered by: due and sequence.
    #[must_use]
    pub fn order(&self) -> (i64, u64) {
        (self.due, self.sequence)
    }

    pub(super) fn key(self) -> Key {
        Key {
            index: self.index,
            generation: self.generation,
        }
    }
}

/// Places in order, as they were when they were asked for. Of many the first cost one pass.
#[derive(Debug, Default)]
pub struct Places {
    /// Those that come first, the first of them at the end.
    head: Vec<QueryPlace>,
    /// Those after all of these, in no order.
    rest: Vec<QueryPlace>,
    /// How many of the rest are put in order next, at least.
    next: usize,
}

impl Places {
    /// The first of those that are left.
    pub fn first(&mut self) -> Option<&QueryPlace> {
        if self.head.is_empty() && !self.rest.is_empty() {
            let (rest, least) = (std::mem::take(&mut self.rest), self.next);
            *self = Self::part(rest.into_iter(), least);
        }
        self.head.last()
    }

    /// The sequences of those that are left, in no order.
    pub fn sequences(&self) -> impl Iterator<Item = u64> {
        let left = self.head.iter().chain(&self.rest);
        left.map(|place| place.sequence)
    }

    /// Put the first of these in order: `least`, at least, where there are so many.
    fn part(all: impl Iterator<Item = QueryPlace>, least: usize) -> Self {
        let (mut head, mut rest) = (Vec::new(), Vec::new());
        // Whether it is known which place is the last of so many, and that.
        let mut last: Option<QueryPlace> = None;
        all.for_each(|place| {
            if last.is_some_and(|last| last < place) {
                return rest.push(place);
            }
            head.push(place);
            if head.len() >= 2 * least {
                let (_, &mut nth, _) = head.select_nth_unstable(least - 1);
                rest.extend(head.drain(least..));
                last = Some(nth);
            }
        });
        head.sort_unstable_by(|one, other| other.cmp(one));
        Places {
            head,
            rest,
            next: least.saturating_mul(MORE),
        }
    }
}

impl FromIterator<QueryPlace> for Places {
    fn from_iter<I: IntoIterator<Item = QueryPlace>>(all: I) -> Self {
        Self::part(all.into_iter(), FIRST)
    }
}

impl Iterator for Places {
    type Item = QueryPlace;

    fn next(&mut self) -> Option<QueryPlace> {
        self.first()?;
        self.head.pop()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.head.len() + self.rest.len();
        (left, Some(left))
    }
}

impl ExactSizeIterator for Places {}

impl<P: Payload> State<P> {
    pub(super) fn place(&self, key: Key) -> Option<QueryPlace> {
        let entry = self.jobs.queue.get(key)?;
        Some(self.place_of(key, &entry))
    }

    fn place_of(&self, key: Key, entry: &Entry<'_, Record<P>>) -> QueryPlace {
        QueryPlace {
            due: self.jobs.on_wall(entry.kind, entry.due),
            sequence: entry.sequence,
            index: key.index,
            generation: key.generation,
        }
    }

    /// The places of what is pending with `start <= due < end`, of all targets or of the one of this number, in no order.
    pub(super) fn places(
        &self,
        engine: &Engine<P>,
        (start, end): (Option<i64>, Option<i64>),
        target: Option<u32>,
    ) -> impl Iterator<Item = QueryPlace> {
        let mut handed: Vec<Key> = Vec::new();
        for lane in &engine.lanes {
            handed.extend(lane.lock().queue.iter().map(|handed| handed.key));
        }
        let queue = &self.jobs.queue;
        let resting = queue
            .iter()
            .filter(|(_, entry)| entry.value.stage() != Stage::Handed);
        let handed = handed
            .into_iter()
            .filter_map(|key| Some((key, queue.get(key)?)));
        resting.chain(handed).filter_map(move |(key, entry)| {
            let place = self.place_of(key, &entry);
            let is_within = start.is_none_or(|start| start <= place.due)
                && end.is_none_or(|end| place.due < end);
            // What the target is lies elsewhere in memory: last.
            let is_of = || target.is_none_or(|target| entry.value.payload.target() == target);
            (is_within && is_of()).then_some(place)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn place(due: i64, at: usize) -> QueryPlace {
        QueryPlace {
            due,
            sequence: at as u64,
            index: at as u32,
            generation: 0,
        }
    }

    proptest! {
        #[test]
        fn parts_joined_are_all_in_order(
            dues in vec(0..40_i64, 0..600),
            least in 1..50_usize,
            is_sorted in 0..3,
        ) {
            let mut all: Vec<_> = dues.iter().enumerate().map(|(at, &due)| place(due, at)).collect();
            let mut sorted = all.clone();
            sorted.sort_unstable();
            match is_sorted {
                1 => all.clone_from(&sorted),
                2 => all = sorted.iter().rev().copied().collect(),
                _ => {}
            }
            let mut places = Places::part(all.into_iter(), least);
            prop_assert!(places.head.len() >= least.min(sorted.len()));
            prop_assert!(places.head.len() < 2 * least);
            let mut sequences: Vec<_> = places.sequences().collect();
            sequences.sort_unstable();
            prop_assert!(sequences.into_iter().eq(0..sorted.len() as u64));
            for (at, &expected) in sorted.iter().enumerate() {
                prop_assert_eq!(places.len(), sorted.len() - at);
                prop_assert_eq!(places.first(), Some(&expected));
                prop_assert_eq!(places.next(), Some(expected));
            }
            prop_assert_eq!(places.len(), 0);
            prop_assert_eq!(places.first(), None);
            prop_assert_eq!(places.next(), None);
        }
    }
}
