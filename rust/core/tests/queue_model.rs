//! The due-queue against a plain model, by random operations; `check()` after every one of them.
//!
//! `PROPTEST_CASES` sets how many sequences are tried.

use std::collections::BTreeMap;

use duewheel_core::queue::{ClockKind, DueQueue, Key, Now};
use proptest::prelude::*;
use proptest::sample::Index;

const START: Now = Now {
    wall: 1_760_000_000_123_456_789,
    boot: 77_000_000_123,
};

/// What the queue ought to do, in the plainest way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Row {
    key: Key,
    kind: ClockKind,
    due: i64,
    sequence: u64,
    queued: bool,
    value: u64,
}

impl Row {
    fn place(&self, now: Now) -> (i128, u64) {
        let offset = match self.kind {
            ClockKind::Wall => 0,
            ClockKind::Boot => i128::from(now.wall) - i128::from(now.boot),
        };
        (i128::from(self.due) + offset, self.sequence)
    }

    fn is_due(&self, now: Now) -> bool {
        self.due
            <= if self.kind == ClockKind::Wall {
                now.wall
            } else {
                now.boot
            }
    }
}

struct Pair {
    queue: DueQueue<u64>,
    rows: BTreeMap<u32, Row>,
    stale: Vec<Key>,
    now: Now,
    next_sequence: u64,
    next_value: u64,
}

impl Pair {
    fn new(first: u64) -> Self {
        Self {
            queue: DueQueue::with_sequence(START, first),
            rows: BTreeMap::new(),
            stale: Vec::new(),
            now: START,
            next_sequence: first,
            next_value: 0,
        }
    }

    fn sequence(&mut self) -> u64 {
        self.next_sequence += 1;
        self.next_sequence - 1
    }

    fn insert(&mut self, kind: ClockKind, due: i64) -> Key {
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

    fn pick(&self, which: Index) -> Option<Key> {
        let nth = (!self.rows.is_empty()).then(|| which.index(self.rows.len()))?;
        self.rows.values().nth(nth).map(|row| row.key)
    }

    fn remove(&mut self, key: Key) {
        let row = self.rows.remove(&key.index).expect("a row for a live key");
        assert_eq!(self.queue.remove(key), Some(row.value));
        assert_eq!(self.queue.remove(key), None);
        self.stale.push(key);
    }

    fn requeue(&mut self, key: Key, kind: ClockKind, due: i64) {
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

    fn put_back(&mut self, key: Key) {
        let row = self.rows.get_mut(&key.index).expect("a row for a live key");
        assert_eq!(self.queue.put_back(key), !row.queued);
        row.queued = true;
    }

    fn expire(&mut self, max: usize) {
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
    fn expire_all(&mut self) {
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

    fn first(&self) -> Option<Key> {
        let queued = self.rows.values().filter(|row| row.queued);
        queued
            .min_by_key(|row| row.place(self.now))
            .map(|row| row.key)
    }

    fn next_due(&mut self) {
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

    fn check(&self) {
        self.queue.check().unwrap();
        assert_eq!(self.queue.len(), self.rows.len());
        assert_eq!(
            self.queue.queued(),
            self.rows.values().filter(|row| row.queued).count()
        );
    }

    fn compare(&self) {
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

#[derive(Clone, Copy, Debug)]
enum Due {
    Near(i64),
    Edge(u32, i64),
    Again(Index),
    Exact(i64),
}

#[derive(Clone, Debug)]
enum Op {
    Insert(ClockKind, Due),
    Remove(Index),
    Requeue(Index, ClockKind, Due),
    PutBack(Index),
    Expire { wall: i64, boot: i64, max: usize },
    ToNext(usize),
    ExpireAll,
    Burst(ClockKind, Due, i64),
    RemoveMany(Index, usize),
    Observe,
}

impl Due {
    fn at(self, pair: &Pair, kind: ClockKind) -> i64 {
        let now = if kind == ClockKind::Wall {
            pair.now.wall
        } else {
            pair.now.boot
        };
        match self {
            Self::Near(delta) => now.saturating_add(delta),
            // Where a digit turns, as the wheel sees it: counted from zero, not from now.
            Self::Edge(bit, delta) => {
                let edge = (i128::from(now >> bit) + 1) << bit;
                let edge = edge + i128::from(delta);
                edge.clamp(i64::MIN.into(), i64::MAX.into()) as i64
            }
            Self::Again(which) => pair
                .pick(which)
                .map_or(now, |key| pair.rows[&key.index].due),
            Self::Exact(due) => due,
        }
    }
}

fn kinds() -> impl Strategy<Value = ClockKind> {
    prop_oneof![Just(ClockKind::Wall), Just(ClockKind::Boot)]
}

fn dues() -> impl Strategy<Value = Due> {
    prop_oneof![
        4 => (0_u32..46).prop_flat_map(|bits| 0..1_i64 << bits).prop_map(Due::Near),
        1 => (-5_000_000_i64..0).prop_map(Due::Near),
        3 => (0_u32..62, -1_i64..=1).prop_map(|(bit, delta)| Due::Edge(bit, delta)),
        3 => any::<Index>().prop_map(Due::Again),
        1 => prop_oneof![
            Just(i64::MIN), Just(i64::MIN + 1), Just(i64::MAX), Just(i64::MAX - 1), Just(0), Just(-1)
        ]
        .prop_map(Due::Exact),
    ]
}

fn steps() -> impl Strategy<Value = i64> {
    prop_oneof![
        4 => (0_u32..38).prop_flat_map(|bits| 0..1_i64 << bits),
        1 => -3_000_000_000_i64..0,
        1 => Just(0),
    ]
}

fn ops() -> impl Strategy<Value = Op> {
    prop_oneof![
        12 => (kinds(), dues()).prop_map(|(kind, due)| Op::Insert(kind, due)),
        4 => any::<Index>().prop_map(Op::Remove),
        3 => (any::<Index>(), kinds(), dues()).prop_map(|(key, kind, due)| Op::Requeue(key, kind, due)),
        4 => any::<Index>().prop_map(Op::PutBack),
        5 => (steps(), (0_u32..38).prop_flat_map(|bits| 0..1_i64 << bits), 0_usize..40)
            .prop_map(|(wall, boot, max)| Op::Expire { wall, boot, max }),
        2 => (0_usize..8).prop_map(Op::ToNext),
        1 => Just(Op::ExpireAll),
        1 => (kinds(), dues(), prop_oneof![Just(1_i64), Just(4096), Just(1 << 20), Just(1 << 36)])
            .prop_map(|(kind, due, spread)| Op::Burst(kind, due, spread)),
        1 => (any::<Index>(), 50_usize..300).prop_map(|(from, count)| Op::RemoveMany(from, count)),
        3 => Just(Op::Observe),
    ]
}

// Not random, so that what fails once fails again; not rising, so that sorting matters.
fn scatter(n: u64, spread: i64) -> i64 {
    (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 1) as i64 % spread
}

fn apply(pair: &mut Pair, op: &Op) {
    match *op {
        Op::Insert(kind, due) => {
            pair.insert(kind, due.at(pair, kind));
        }
        Op::Remove(which) => pair
            .pick(which)
            .into_iter()
            .for_each(|key| pair.remove(key)),
        Op::Requeue(which, kind, due) => {
            let due = due.at(pair, kind);
            pair.pick(which)
                .into_iter()
                .for_each(|key| pair.requeue(key, kind, due));
        }
        Op::PutBack(which) => pair
            .pick(which)
            .into_iter()
            .for_each(|key| pair.put_back(key)),
        Op::Expire { wall, boot, max } => {
            pair.now.wall = pair.now.wall.saturating_add(wall);
            pair.now.boot = pair.now.boot.saturating_add(boot);
            pair.expire(max);
        }
        Op::ToNext(max) => {
            if let Some(row) = pair.first().map(|key| pair.rows[&key.index])
                && !row.is_due(pair.now)
                && row.due < i64::MAX / 2
            {
                let now = match row.kind {
                    ClockKind::Wall => &mut pair.now.wall,
                    ClockKind::Boot => &mut pair.now.boot,
                };
                *now = row.due;
            }
            pair.expire(max);
        }
        Op::ExpireAll => pair.expire_all(),
        Op::Burst(kind, due, spread) => {
            let due = due.at(pair, kind);
            for n in 0..300 {
                pair.insert(kind, due.saturating_add(scatter(n, spread)));
            }
        }
        Op::RemoveMany(from, count) => {
            let start = if pair.rows.is_empty() {
                0
            } else {
                from.index(pair.rows.len())
            };
            let keys: Vec<Key> = pair
                .rows
                .values()
                .skip(start)
                .take(count)
                .map(|row| row.key)
                .collect();
            keys.into_iter().for_each(|key| pair.remove(key));
        }
        Op::Observe => pair.compare(),
    }
    assert_eq!(pair.queue.first(pair.now), pair.first());
    pair.next_due();
    pair.check();
}

fn run(first: u64, ops: &[Op]) {
    let mut pair = Pair::new(first);
    ops.iter().for_each(|op| apply(&mut pair, op));
    pair.expire_all();
    pair.compare();
    pair.now = Now {
        wall: i64::MAX,
        boot: i64::MAX,
    };
    pair.expire_all();
    assert_eq!(pair.queue.queued(), 0);
    let mut values = Vec::new();
    pair.queue.clear(|value| values.push(value));
    assert!(
        values
            .into_iter()
            .eq(pair.rows.values().map(|row| row.value))
    );
    assert!(
        pair.queue.is_empty()
            && pair
                .rows
                .values()
                .all(|row| pair.queue.get(row.key).is_none())
    );
    pair.queue.check().unwrap();
}

proptest! {
    #[test]
    fn it_does_as_the_model_does(ops in prop::collection::vec(ops(), 1..120)) {
        run(0, &ops);
    }

    #[test]
    fn it_does_across_the_end_of_32_bits(
        before in 0_u64..200,
        ops in prop::collection::vec(ops(), 1..120),
    ) {
        run((1 << 32) - before, &ops);
    }
}

/// 5000 in one slot, half removed, some put back, some inserted and removed between the steps.
fn burst(first: u64, kind: ClockKind, spread: i64, ahead: i64) {
    let mut pair = Pair::new(first);
    let base = if kind == ClockKind::Wall {
        START.wall
    } else {
        START.boot
    } + ahead;
    let keys: Vec<Key> = (0..5000)
        .map(|n| pair.insert(kind, base + scatter(n, spread)))
        .collect();
    pair.check();
    assert_eq!(pair.queue.first(pair.now), pair.first());
    for key in keys.iter().step_by(3).chain(keys.iter().skip(1).step_by(3)) {
        pair.remove(*key);
    }
    pair.check();
    assert!(
        pair.queue.items() < 3700,
        "the dead stay: {}",
        pair.queue.items()
    );
    for n in 0..9000 {
        pair.insert(kind, base + scatter(n + 7, spread));
    }
    pair.now = Now {
        wall: START.wall + ahead + spread,
        boot: START.boot + ahead + spread,
    };
    for round in 0..40 {
        pair.expire(700);
        pair.check();
        assert_eq!(pair.queue.first(pair.now), pair.first());
        let late = pair.insert(kind, base + scatter(round, spread));
        let past = pair.insert(ClockKind::Wall, START.wall - 1);
        pair.insert(kind, base + spread + round as i64);
        if round % 2 == 0 {
            pair.remove(late);
            pair.remove(past);
        }
        let out = pair
            .rows
            .values()
            .find(|row| !row.queued)
            .map(|row| row.key);
        out.into_iter().for_each(|key| pair.put_back(key));
        pair.next_due();
        pair.check();
    }
    pair.expire_all();
    pair.now = Now {
        wall: i64::MAX,
        boot: i64::MAX,
    };
    pair.expire_all();
    assert_eq!(pair.queue.queued(), 0);
    assert_eq!(pair.queue.items(), 0);
}

#[test]
fn bursts_of_one_due() {
    for first in [0, (1 << 32) - 7000] {
        for ahead in [0, 1, 5_000_000, 70_000_000_000, (1 << 40) - 1] {
            burst(first, ClockKind::Boot, 1, ahead);
            burst(first, ClockKind::Wall, 1, ahead);
        }
    }
}

#[test]
fn bursts_of_many_dues() {
    for first in [0, (1 << 32) - 7000] {
        for spread in [16, 4096, 1_000_000, 3_000_000_000] {
            burst(first, ClockKind::Boot, spread, 70_000_000_000);
            burst(first, ClockKind::Wall, spread, 2_000_000);
        }
    }
}

#[test]
fn ties_of_both_clocks_keep_their_sequence() {
    for first in [0, (1 << 32) - 500] {
        let mut pair = Pair::new(first);
        for n in 0..1000 {
            if n % 3 == 0 {
                pair.insert(ClockKind::Wall, START.wall + 1_000_000);
            } else {
                pair.insert(ClockKind::Boot, START.boot + 1_000_000);
            }
        }
        let dead: Vec<Key> = pair.rows.values().step_by(4).map(|row| row.key).collect();
        dead.into_iter().for_each(|key| pair.remove(key));
        pair.now = Now {
            wall: START.wall + 1_000_000,
            boot: START.boot + 1_000_000,
        };
        pair.expire_all();
        assert_eq!(pair.queue.queued(), 0);
    }
}
