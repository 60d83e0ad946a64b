//! Many at once: what a handful of random operations does not reach.

use duewheel_engine::due::queue::{ClockKind, Key, Now};

use crate::pair::Pair;
use crate::{START, scatter};

/// 5000 in one slot, half removed, some put back, some inserted and removed between the steps.
fn burst(first: u64, kind: ClockKind, spread: i64, early_wake: i64) {
    let mut pair = Pair::new(first);
    let base = if kind == ClockKind::Wall {
        START.wall
    } else {
        START.boot
    } + early_wake;
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
        wall: START.wall + early_wake + spread,
        boot: START.boot + early_wake + spread,
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
        for early_wake in [0, 1, 5_000_000, 70_000_000_000, (1 << 40) - 1] {
            burst(first, ClockKind::Boot, 1, early_wake);
            burst(first, ClockKind::Wall, 1, early_wake);
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

/// Slots that hold more than one call moves: they are split over several.
const LARGE: u64 = 9_000;
const SPREAD: i64 = 3_000_000_000;
const AHEAD: i64 = 70_000_000_000;

fn set(pair: &mut Pair, early_wake: i64) {
    pair.now = Now {
        wall: START.wall + early_wake,
        boot: START.boot + early_wake,
    };
}

#[test]
fn what_comes_while_a_slot_is_split_runs_after_its_equals() {
    for first in [0, (1 << 32) - LARGE - 100] {
        let mut pair = Pair::new(first);
        for n in 0..LARGE {
            pair.insert(ClockKind::Boot, START.boot + AHEAD + scatter(n, SPREAD));
        }
        set(&mut pair, AHEAD);
        pair.expire(0);
        for n in 0..LARGE {
            pair.insert(ClockKind::Boot, START.boot + AHEAD + scatter(n, SPREAD));
        }
        pair.check();
        set(&mut pair, AHEAD + SPREAD);
        pair.expire_all();
        assert_eq!(pair.queue.queued(), 0);
    }
}

#[test]
fn what_is_due_this_very_nanosecond_is_told_while_its_slot_is_split() {
    let mut pair = Pair::new(0);
    for n in 0..LARGE {
        // The last one in is the first one due.
        pair.insert(
            ClockKind::Boot,
            START.boot + AHEAD + scatter(LARGE - 1 - n, SPREAD),
        );
    }
    set(&mut pair, AHEAD);
    pair.expire_all();
    assert_eq!(pair.queue.queued(), LARGE as usize - 1);
}

#[test]
fn a_large_slot_that_is_swept_of_the_dead_does_not_lose_to_one_that_falls_due() {
    let mut pair = Pair::new(0);
    let keys: Vec<Key> = (0..2 * LARGE)
        .map(|_| pair.insert(ClockKind::Boot, START.boot + AHEAD))
        .collect();
    pair.insert(ClockKind::Boot, START.boot + 2_000_000);
    for &key in &keys[..=LARGE as usize] {
        pair.remove(key);
    }
    set(&mut pair, 2_000_000);
    pair.expire(10);
    pair.check();
    pair.expire_all();
    assert_eq!(pair.queue.queued(), LARGE as usize - 1);
    set(&mut pair, AHEAD);
    pair.expire_all();
    assert_eq!(pair.queue.queued(), 0);
}
