//! Random operations. `PROPTEST_CASES` sets how many sequences are tried.

use duewheel_engine::due::queue::{ClockKind, Key, Now};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::pair::Pair;
use crate::scatter;

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
