//! The queue and its model, driven alike.

use std::collections::BTreeMap;

use duewheel_engine::due::queue::{ClockKind, DueQueue, Key, Now};
use proptest::sample::Index;

use crate::START;

/// What the queue ought to do, in the plainest way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Row {
    pub(crate) key: Key,
    pub(crate) kind: ClockKind,
    pub(crate) due: i64,
    pub(crate) sequence: u64,
    pub(crate) queued: bool,
    pub(crate) value: u64,
}

impl Row {
    pub(crate) fn place(&self, now: Now) -> (i128, u64) {
        let offset = match self.kind {
            ClockKind::Wall => 0,
            ClockKind::Boot => i128::from(now.wall) - i128::from(now.boot),
        };
        (i128::from(self.due) + offset, self.sequence)
    }

    pub(crate) fn is_due(&self, now: Now) -> bool {
        self.due
            <= if self.kind == ClockKind::Wall {
                now.wall
            } else {
                now.boot
            }
    }
}

pub(crate) struct Pair {
    pub(crate) queue: DueQueue<u64>,
    pub(crate) rows: BTreeMap<u32, Row>,
    pub(crate) stale: Vec<Key>,
    pub(crate) now: Now,
    pub(crate) next_sequence: u64,
    pub(crate) next_value: u64,
}

impl Pair {
    pub(crate) fn new(first: u64) -> Self {
        Self {
            queue: DueQueue::with_sequence(START, first),
            rows: BTreeMap::new(),
            stale: Vec::new(),
            now: START,
            next_sequence: first,
            next_value: 0,
        }
    }

    pub(crate) fn sequence(&mut self) -> u64 {
        self.next_sequence += 1;
        self.next_sequence - 1
    }

    pub(crate) fn insert(&mut self, kind: ClockKind, due: i64) -> Key {
        let (sequence, value) = (self.sequence(), self.next_value);
        self.next_value += 1;
        let index = self.queue.next_index();
        let key = self.queue.insert(kind, due, value);
        assert_eq!(key.index, index);
        assert!(!self.stale.contains(&key), "a key is used once");
        let row = Row {
            key,
            kind,
            due,
            sequence,
            queued: true,
            value,
        };
        assert_eq!(self.rows.insert(key.index, row), None);
        key
    }

    pub(crate) fn pick(&self, which: Index) -> Option<Key> {
        let nth = (!self.rows.is_empty()).then(|| which.index(self.rows.len()))?;
        self.rows.values().nth(nth).map(|row| row.key)
    }

    pub(crate) fn remove(&mut self, key: Key) {
        let row = self.rows.remove(&key.index).expect("a row for a live key");
        assert_eq!(self.queue.remove(key), Some(row.value));
        assert_eq!(self.queue.remove(key), None);
        self.stale.push(key);
    }

    pub(crate) fn requeue(&mut self, key: Key, kind: ClockKind, due: i64) {
        let sequence = self.sequence();
        assert!(self.queue.requeue(key, kind, due));
        let row = self.rows.get_mut(&key.index).expect("a row for a live key");
        *row = Row {
            kind,
            due,
            sequence,
            queued: true,
            ..*row
        };
    }

    pub(crate) fn put_back(&mut self, key: Key) {
        let row = self.rows.get_mut(&key.index).expect("a row for a live key");
        assert_eq!(self.queue.put_back(key), !row.queued);
        row.queued = true;
    }

    pub(crate) fn expire(&mut self, max: usize) {
        let now = self.now;
        let mut due: Vec<Row> = self
            .rows
            .values()
            .filter(|row| row.queued && row.is_due(now))
            .copied()
            .collect();
        due.sort_by_key(|row| row.place(now));
        let mut found = Vec::new();
        let progress = self
            .queue
            .expire(now, max, |key, value| found.push((key, *value)));
        assert_eq!(progress.expired, found.len());
        assert!(found.len() <= max);
        let expected: Vec<_> = due.iter().map(|row| (row.key, row.value)).collect();
        assert_eq!(found[..], expected[..found.len().min(expected.len())]);
        assert!(
            progress.more || found.len() == due.len(),
            "what is due is left, and not told"
        );
        for (key, _) in found {
            self.rows
                .get_mut(&key.index)
                .expect("an expired row")
                .queued = false;
        }
    }

    /// Expires all that is due: it must come to an end.
    pub(crate) fn expire_all(&mut self) {
        for _ in 0..100_000 {
            let before = self.queue.queued();
            self.expire(1000);
            self.check();
            let due = self
                .rows
                .values()
                .any(|row| row.queued && row.is_due(self.now));
            if !due && self.queue.queued() == before {
                return;
            }
        }
        panic!("expiring does not end");
    }

    pub(crate) fn first(&self) -> Option<Key> {
        let queued = self.rows.values().filter(|row| row.queued);
        queued
            .min_by_key(|row| row.place(self.now))
            .map(|row| row.key)
    }

    pub(crate) fn next_due(&mut self) {
        let bound = self.queue.next_due();
        for (kind, bound) in [(ClockKind::Wall, bound.0), (ClockKind::Boot, bound.1)] {
            let rows = self
                .rows
                .values()
                .filter(|row| row.queued && row.kind == kind);
            if let Some(due) = rows.map(|row| row.due).min() {
                assert!(
                    bound.is_some_and(|bound| bound <= due),
                    "{kind:?}: {bound:?}, {due}"
                );
                if self.stale.is_empty() && self.next_sequence == self.next_value {
                    assert_eq!(
                        bound,
                        Some(due),
                        "nothing was removed or moved: it is exact"
                    );
                }
            }
        }
    }

    pub(crate) fn check(&self) {
        self.queue.check().unwrap();
        assert_eq!(self.queue.len(), self.rows.len());
        assert_eq!(
            self.queue.queued(),
            self.rows.values().filter(|row| row.queued).count()
        );
    }

    pub(crate) fn compare(&self) {
        let found = self.queue.iter().map(|(key, entry)| Row {
            key,
            kind: entry.kind,
            due: entry.due,
            sequence: entry.sequence,
            queued: entry.queued,
            value: *entry.value,
        });
        assert!(found.eq(self.rows.values().copied()));
        for row in self.rows.values() {
            assert_eq!(
                self.queue.get(row.key).map(|entry| *entry.value),
                Some(row.value)
            );
            assert_eq!(self.queue.key_at(row.key.index), Some(row.key));
        }
        assert!(self.stale.iter().all(|&key| self.queue.get(key).is_none()));
    }
}
