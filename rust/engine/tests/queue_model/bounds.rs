//! What one call may cost, and what it may leave behind.

use duewheel_engine::due::queue::{ClockKind, DueQueue, Key, Now};

use crate::{START, scatter};

#[test]
fn scheduling_and_removing_for_ever_does_not_grow() {
    let mut queue = DueQueue::new(START);
    let mut keys = std::collections::VecDeque::new();
    let mut now = START;
    let mut most = 0;
    for n in 0..400_000_u64 {
        let delay = match n % 4 {
            0 => 0,
            1 => 30_000_000_000,
            2 => scatter(n, 60_000_000_000),
            _ => scatter(n, 1_000_000),
        };
        keys.push_back(queue.insert(ClockKind::Boot, now.boot + 1_000_000 + delay, n));
        if keys.len() > 1000 {
            keys.pop_front().and_then(|key| queue.remove(key));
        }
        if n % 1000 == 0 {
            now.boot += 50_000;
            queue.expire(now, 10, |_, _| {});
            most = most.max(queue.items());
        }
    }
    queue.check().unwrap();
    assert!(most < 40_000, "{most} items for 1000 entries");
}

#[test]
fn one_call_is_bounded() {
    let mut queue = DueQueue::new(START);
    for n in 0..100_000 {
        queue.insert(
            ClockKind::Boot,
            START.boot + 20_000_000_000 + scatter(n, 20_000_000_000),
            n,
        );
    }
    let now = Now {
        wall: START.wall,
        boot: START.boot + 50_000_000_000,
    };
    // 100 000 items cannot have been moved in the first call: it says so, and ends.
    let first = queue.expire(now, usize::MAX, |_, _| {});
    assert!(first.more && first.expired < 20_000, "{first:?}");
    let mut last = i64::MIN;
    let mut all = first.expired;
    loop {
        let mut keys = Vec::new();
        let progress = queue.expire(now, 100_000, |key, _| keys.push(key));
        for key in keys {
            let due = queue.get(key).map(|entry| entry.due).unwrap();
            assert!(last <= due);
            last = due;
        }
        all += progress.expired;
        if !progress.more {
            break;
        }
    }
    assert_eq!(all, 100_000);
}

/// 20 000 jobs of one due; the first of them, just too few to be swept at once, are removed.
fn dead_in_front(queue: &mut DueQueue<u64>, kind: ClockKind, due: i64) -> u64 {
    let keys: Vec<Key> = (0..20_000).map(|n| queue.insert(kind, due, n)).collect();
    for &key in &keys[..9_900] {
        queue.remove(key);
    }
    9_900
}

/// Expires ten at a time, and sees that no call drops more of the dead than it may.
fn expire_in_bounds(queue: &mut DueQueue<u64>, now: Now) -> Vec<u64> {
    let mut values = Vec::new();
    loop {
        let before = queue.items();
        let progress = queue.expire(now, 10, |_, value| values.push(*value));
        let dropped = before - queue.items() - progress.expired;
        assert!(dropped < 5_000, "{dropped} were dropped in one call");
        if !progress.more {
            return values;
        }
    }
}

/// Nothing is to be moved for it, as where the dead lie anywhere.
#[test]
fn what_is_removed_in_the_order_of_its_insertion_leaves_nothing_behind() {
    let mut queue = DueQueue::new(Now { wall: 0, boot: 0 });
    let slots = 3;
    let due = |n: usize| (n % slots + 1) as i64 * 68_719_476_736 + (n * 7919 % 1000) as i64;
    let keys: Vec<_> = (0..10_000)
        .map(|n| queue.insert(ClockKind::Boot, due(n), n as u64))
        .collect();
    for key in keys {
        assert!(queue.remove(key).is_some());
        let dead = queue.items() - queue.queued();
        assert!(dead < slots * 64, "{dead} dead of {}", queue.items());
    }
    queue.check().unwrap();
}

#[test]
fn one_call_drops_few_of_the_dead() {
    for kind in [ClockKind::Wall, ClockKind::Boot] {
        let mut queue = DueQueue::new(START);
        let due = match kind {
            ClockKind::Wall => START.wall,
            ClockKind::Boot => START.boot,
        };
        let first = dead_in_front(&mut queue, kind, due + 2_000_000);
        let now = Now {
            wall: START.wall + 2_000_000,
            boot: START.boot + 2_000_000,
        };
        assert!(
            expire_in_bounds(&mut queue, now)
                .into_iter()
                .eq(first..20_000)
        );
    }
}

#[test]
fn one_call_drops_few_of_the_dead_where_the_clocks_tie() {
    for kind in [ClockKind::Wall, ClockKind::Boot] {
        let mut queue = DueQueue::new(START);
        let now = Now {
            wall: START.wall + 2_000_000,
            boot: START.boot + 2_000_000,
        };
        let (due, other, tie) = match kind {
            ClockKind::Wall => (now.wall, ClockKind::Boot, now.boot),
            ClockKind::Boot => (now.boot, ClockKind::Wall, now.wall),
        };
        let first = dead_in_front(&mut queue, kind, due);
        queue.insert(other, tie, 20_000);
        assert!(
            expire_in_bounds(&mut queue, now)
                .into_iter()
                .eq(first..=20_000)
        );
    }
}
