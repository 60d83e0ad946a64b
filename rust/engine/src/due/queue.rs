//! The due-queue: entries in one slab, and a wheel for each of two clocks.
//!
//! A due on the wall clock follows the wall clock when it is stepped, a due on the boot clock does
//! not. Each clock has a wheel of its own and their heads are merged when they expire, so that a
//! step of the wall clock moves nothing.
//!
//! An entry is *queued* until it expires; then it is *out*, and stays in the slab until it is
//! removed, requeued at a new due, or put back in its old place.

use std::cmp::Ordering;

use crate::due::level::{Item, due_of, order_of};
use crate::due::slab::{Slab, State, Stored};
use crate::due::wheel::{Book, Head, Wheel};

pub use crate::due::slab::Key;
pub use duewheel_model::job::ClockKind;

/// How many items one call of [`DueQueue::expire`] moves or drops on each wheel, about.
const BUDGET: usize = 4096;
/// How many items are taken off a wheel before their entries are touched: enough that the cache
/// misses overlap.
const BATCH: usize = 64;

/// Both clocks at one moment, in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Now {
    /// The time of day.
    pub wall: i64,
    /// The time since boot.
    pub boot: i64,
}

impl Now {
    // A due on the wall clock, as the clocks stand now; wide, as it may lie outside of an i64.
    fn on_wall(&self, kind: ClockKind, due: i64) -> i128 {
        match kind {
            ClockKind::Wall => i128::from(due),
            ClockKind::Boot => i128::from(due) + i128::from(self.wall) - i128::from(self.boot),
        }
    }

    // The last order on a clock that lies before `bound` on the wall clock.
    fn order_before(&self, kind: ClockKind, bound: i128) -> u64 {
        let last = bound - 1 - self.on_wall(kind, 0);
        order_of(last.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64)
    }

    fn order(&self, kind: ClockKind) -> u64 {
        order_of(match kind {
            ClockKind::Wall => self.wall,
            ClockKind::Boot => self.boot,
        })
    }
}

/// What is known of an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry<'a, T> {
    /// The clock of its due.
    pub kind: ClockKind,
    /// When it is due, or was when it expired.
    pub due: i64,
    /// What orders it among equal dues.
    pub sequence: u64,
    /// Whether it is on a wheel, and not out.
    pub queued: bool,
    /// What the caller keeps in it.
    pub value: &'a T,
}

/// What one call of [`DueQueue::expire`] did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// How many entries expired.
    pub expired: usize,
    /// Whether more is due now, or may be: call again.
    pub more: bool,
}

/// An entry that has just expired.
#[derive(Debug)]
pub struct Expired<'a, T> {
    /// Its key.
    pub key: Key,
    /// The clock of its due.
    pub kind: ClockKind,
    /// When it was due.
    pub due: i64,
    /// What ordered it among equal dues.
    pub sequence: u64,
    /// What the caller keeps in it.
    pub value: &'a mut T,
}

// What is to be taken off a wheel next.
enum Run {
    // The items of one wheel up to this order, and so many at most.
    Of {
        kind: ClockKind,
        limit: u64,
        most: usize,
    },
    // A head was dead, and was dropped.
    DeadHead,
    // A wheel is in the middle of a large move.
    Unknown,
}

const fn queued_on(kind: ClockKind) -> State {
    match kind {
        ClockKind::Wall => State::QueuedWall,
        ClockKind::Boot => State::QueuedBoot,
    }
}

const fn kind_of(state: State) -> ClockKind {
    match state {
        State::OutWall | State::QueuedWall => ClockKind::Wall,
        State::OutBoot | State::QueuedBoot => ClockKind::Boot,
    }
}

const fn is_queued(state: State) -> bool {
    matches!(state, State::QueuedWall | State::QueuedBoot)
}

fn view<T>(stored: &Stored<T>) -> Entry<'_, T> {
    let &Stored {
        due,
        sequence,
        state,
        ref value,
        ..
    } = stored;
    Entry {
        kind: kind_of(state),
        due,
        sequence,
        queued: is_queued(state),
        value,
    }
}

// Whether an item stands for this entry, as one that is queued so.
#[inline]
fn is_of<T>(entry: &Stored<T>, queued: State, item: &Item) -> bool {
    entry.state == queued && entry.due == due_of(item.order) && entry.sequence as u32 == item.low
}

// Whether items of one wheel are alive.
struct Living<'a, T> {
    slab: &'a Slab<T>,
    state: State,
    exact: bool,
}

impl<T> Book for Living<'_, T> {
    #[inline]
    fn sequence(&self, item: &Item) -> Option<u64> {
        let entry = self.slab.at(item.index)?;
        is_of(entry, self.state, item).then_some(entry.sequence)
    }

    fn exact(&self) -> bool {
        self.exact
    }
}

/// Entries by (due, sequence); see the module.
///
/// **Order** by due, ties in the order in which they were inserted or requeued.
/// **Cost** of insert, remove and expire: constant, amortised. A removed entry leaves 16 bytes on
/// the wheel until they are met, or are too many.
#[derive(Debug)]
pub struct DueQueue<T> {
    slab: Slab<T>,
    wall: Wheel,
    boot: Wheel,
    next_sequence: u64,
    queued: usize,
    batch: Vec<Item>,
}

// The fields are borrowed one by one, which no method can do.
macro_rules! living {
    ($queue:expr, $kind:expr) => {
        Living {
            slab: &$queue.slab,
            state: queued_on($kind),
            exact: $queue.next_sequence <= 1 << 32,
        }
    };
}

macro_rules! wheel {
    ($queue:expr, $kind:expr) => {
        match $kind {
            ClockKind::Wall => &mut $queue.wall,
            ClockKind::Boot => &mut $queue.boot,
        }
    };
}

impl<T> DueQueue<T> {
    /// An empty queue.
    #[must_use]
    pub fn new(now: Now) -> Self {
        Self::with_sequence(now, 0)
    }

    /// An empty queue whose first sequence is `first`: lets a test come near the end of 32 bits.
    #[must_use]
    pub fn with_sequence(now: Now, first: u64) -> Self {
        Self {
            slab: Slab::default(),
            wall: Wheel::new(now.order(ClockKind::Wall)),
            boot: Wheel::new(now.order(ClockKind::Boot)),
            next_sequence: first,
            queued: 0,
            batch: Vec::with_capacity(BATCH),
        }
    }

    /// Queue a value. Any due is legal, past ones and the ends of the range included.
    #[inline]
    pub fn insert(&mut self, kind: ClockKind, due: i64, value: T) -> Key {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        self.queued += 1;
        let key = self.slab.insert(due, sequence, queued_on(kind), value);
        wheel!(self, kind).insert(order_of(due), sequence, key.index, true);
        key
    }

    /// The sequence that the next [`insert`](Self::insert) or [`requeue`](Self::requeue) gives.
    #[must_use]
    pub fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    /// Let the next sequence be `next`, if that is higher.
    pub fn skip_sequences(&mut self, next: u64) {
        self.next_sequence = self.next_sequence.max(next);
    }

    /// Queue a value with a sequence that was given out before, and is in use no more.
    pub fn restore(&mut self, kind: ClockKind, due: i64, sequence: u64, value: T) -> Key {
        self.skip_sequences(sequence + 1);
        self.queued += 1;
        let key = self.slab.insert(due, sequence, queued_on(kind), value);
        wheel!(self, kind).insert(order_of(due), sequence, key.index, false);
        key
    }

    /// The index that the next [`insert`](Self::insert) will use.
    #[must_use]
    pub fn next_index(&self) -> u32 {
        self.slab.next_index()
    }

    /// Take an entry out, queued or out; its key is stale from now on.
    #[inline]
    pub fn remove(&mut self, key: Key) -> Option<T> {
        let entry = self.slab.remove(key)?;
        if is_queued(entry.state) {
            self.left(entry.state, entry.due);
        }
        Some(entry.value)
    }

    // An entry was queued, and no longer is; its item is dead.
    #[inline]
    fn left(&mut self, state: State, due: i64) {
        self.queued -= 1;
        let kind = kind_of(state);
        wheel!(self, kind).note_dead(order_of(due), &living!(self, kind));
    }

    /// Queue an entry at another due, with a new sequence, whether it was queued or out. Whether
    /// the key was alive.
    pub fn requeue(&mut self, key: Key, kind: ClockKind, due: i64) -> bool {
        let Some(entry) = self.slab.get_mut(key) else {
            return false;
        };
        let (old_state, old_due) = (entry.state, entry.due);
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        entry.state = queued_on(kind);
        entry.due = due;
        entry.sequence = sequence;
        if is_queued(old_state) {
            self.left(old_state, old_due);
        }
        self.queued += 1;
        wheel!(self, kind).insert(order_of(due), sequence, key.index, true);
        true
    }

    /// Queue an entry that is out where it was before: same due, same sequence. Whether it was out.
    pub fn put_back(&mut self, key: Key) -> bool {
        let Some(entry) = self.slab.get_mut(key) else {
            return false;
        };
        if is_queued(entry.state) {
            return false;
        }
        let kind = kind_of(entry.state);
        entry.state = queued_on(kind);
        let (due, sequence) = (entry.due, entry.sequence);
        self.queued += 1;
        wheel!(self, kind).insert(order_of(due), sequence, key.index, false);
        true
    }

    /// Take an entry off its wheel, as if it had expired. Whether it was queued.
    pub fn take_off(&mut self, key: Key) -> bool {
        let Some(entry) = self.slab.get_mut(key) else {
            return false;
        };
        let (state, due) = (entry.state, entry.due);
        if !is_queued(state) {
            return false;
        }
        entry.state = match kind_of(state) {
            ClockKind::Wall => State::OutWall,
            ClockKind::Boot => State::OutBoot,
        };
        self.left(state, due);
        true
    }

    /// Give an entry that is out another due; it keeps its sequence.
    pub fn set_due(&mut self, key: Key, kind: ClockKind, due: i64) {
        if let Some(entry) = self.slab.get_mut(key)
            && !is_queued(entry.state)
        {
            entry.state = match kind {
                ClockKind::Wall => State::OutWall,
                ClockKind::Boot => State::OutBoot,
            };
            entry.due = due;
        }
    }

    /// What is known of an entry.
    #[inline]
    #[must_use]
    pub fn get(&self, key: Key) -> Option<Entry<'_, T>> {
        self.slab.get(key).map(view)
    }

    /// The value of an entry.
    #[inline]
    pub fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        self.slab.get_mut(key).map(|entry| &mut entry.value)
    }

    /// The live key of an index, if there is one.
    #[inline]
    #[must_use]
    pub fn key_at(&self, index: u32) -> Option<Key> {
        self.slab.key_at(index)
    }

    /// Expire at most `max` entries that are due now, calling `out` for each: it is out then.
    ///
    /// **Order**: by due on the wall clock as both clocks stand now, then by sequence.
    /// **Cost**: bounded. One call moves or drops a few thousand items at most; where that is not
    /// enough to know what is next, it stops, and `more` is true.
    pub fn expire(&mut self, now: Now, max: usize, mut out: impl FnMut(Key, &mut T)) -> Progress {
        let out = |expired: Expired<'_, T>| out(expired.key, expired.value);
        self.expire_each(now, max, |_| (), out)
    }

    /// As [`expire`](Self::expire), showing all that is known of each; `touch` reads from a value before, so that
    /// what it costs to come by it is shared by a batch.
    pub fn expire_each(
        &mut self,
        now: Now,
        max: usize,
        touch: impl Fn(&T),
        mut out: impl FnMut(Expired<'_, T>),
    ) -> Progress {
        let (mut expired, mut dropped) = (0, 0);
        let (mut wall_budget, mut boot_budget) = (BUDGET, BUDGET);
        let (wall_now, boot_now) = (now.order(ClockKind::Wall), now.order(ClockKind::Boot));
        let mut batch = std::mem::take(&mut self.batch);
        let mut batch_kind = ClockKind::Wall;
        let more = loop {
            let wall = self
                .wall
                .head(wall_now, &mut wall_budget, &living!(self, ClockKind::Wall));
            let boot = self
                .boot
                .head(boot_now, &mut boot_budget, &living!(self, ClockKind::Boot));
            if (wall, boot) == (Head::Idle, Head::Idle) {
                break false;
            }
            if expired == max || dropped >= BUDGET {
                break true;
            }
            let (kind, limit, most) = match self.next_run(now, wall, boot) {
                Run::Of { kind, limit, most } => (kind, limit, most),
                Run::DeadHead => {
                    dropped += 1;
                    continue;
                }
                Run::Unknown => break true,
            };
            let mut room = BATCH.min(max - expired);
            if !batch.is_empty() && (kind != batch_kind || batch.len() >= room) {
                let (alive, dead) = self.expire_batch(batch_kind, &mut batch, &touch, &mut out);
                expired += alive;
                dropped += dead;
                if expired == max {
                    break true;
                }
                room = BATCH.min(max - expired);
            }
            batch_kind = kind;
            let most = room.min(batch.len().saturating_add(most));
            let book = living!(self, kind);
            wheel!(self, kind).take_due(limit, most, &mut batch, &book);
        };
        expired += self
            .expire_batch(batch_kind, &mut batch, &touch, &mut out)
            .0;
        self.batch = batch;
        Progress { expired, more }
    }

    // What expires next: up to where the one wheel goes before the other; a tie goes one by one.
    #[inline(always)] // on the path of every due entry
    fn next_run(&mut self, now: Now, wall: Head, boot: Head) -> Run {
        let place = |kind, head| match head {
            Head::Idle => i128::from(now.wall) + 1,
            Head::Due(order) | Head::Unfinished(order) => now.on_wall(kind, due_of(order)),
        };
        let (wall_at, boot_at) = (place(ClockKind::Wall, wall), place(ClockKind::Boot, boot));
        let before = |kind, bound| Run::Of {
            kind,
            limit: now.order_before(kind, bound),
            most: BATCH,
        };
        match (wall_at.cmp(&boot_at), wall, boot) {
            (Ordering::Less, Head::Due(_), _) => before(ClockKind::Wall, boot_at),
            (Ordering::Greater, _, Head::Due(_)) => before(ClockKind::Boot, wall_at),
            (Ordering::Equal, Head::Due(wall), Head::Due(boot)) => {
                let Some(kind) = self.first_of_tie(wall, boot) else {
                    return Run::DeadHead;
                };
                let limit = match kind {
                    ClockKind::Wall => wall,
                    ClockKind::Boot => boot,
                };
                let most = 1;
                Run::Of { kind, limit, most }
            }
            _ => Run::Unknown,
        }
    }

    // Both wheels have a head at the same moment: which has the lower sequence? None when a head
    // was dead, and was dropped.
    fn first_of_tie(&mut self, wall: u64, boot: u64) -> Option<ClockKind> {
        let wall = self
            .wall
            .peek_alive(wall, &living!(self, ClockKind::Wall))?;
        let boot = self
            .boot
            .peek_alive(boot, &living!(self, ClockKind::Boot))?;
        Some(if wall < boot {
            ClockKind::Wall
        } else {
            ClockKind::Boot
        })
    }

    // Expires what was taken off a wheel and is alive; how many did, and how many were dead.
    fn expire_batch(
        &mut self,
        kind: ClockKind,
        batch: &mut Vec<Item>,
        touch: &impl Fn(&T),
        out: &mut impl FnMut(Expired<'_, T>),
    ) -> (usize, usize) {
        let (taken, mut alive) = (batch.len(), 0);
        self.slab.touch(batch.iter().map(|item| item.index), touch);
        let (queued, state) = match kind {
            ClockKind::Wall => (State::QueuedWall, State::OutWall),
            ClockKind::Boot => (State::QueuedBoot, State::OutBoot),
        };
        for item in batch.drain(..) {
            let Some((key, entry)) = self.slab.at_mut(item.index) else {
                continue;
            };
            if !is_of(entry, queued, &item) {
                continue;
            }
            alive += 1;
            entry.state = state;
            out(Expired {
                key,
                kind,
                due: entry.due,
                sequence: entry.sequence,
                value: &mut entry.value,
            });
        }
        wheel!(self, kind).took_dead(taken - alive);
        self.queued -= alive;
        (alive, taken - alive)
    }

    /// Whether blocks of memory that hold nothing wait for a [`trim`](Self::trim).
    #[inline]
    #[must_use]
    pub fn has_spare(&self) -> bool {
        self.slab.has_spare() || self.wall.has_spare() || self.boot.has_spare()
    }

    /// Give back a few blocks at most of those that hold nothing; `false`: there were none.
    ///
    /// Blocks that are emptied by what has expired are given back so alone, when there is time.
    pub fn trim(&mut self) -> bool {
        self.slab.trim() | self.wall.trim() | self.boot.trim()
    }

    /// The earliest due on the wall clock and on the boot clock; early only where a removed entry
    /// led.
    pub fn next_due(&mut self) -> (Option<i64>, Option<i64>) {
        (
            self.wall.earliest().map(due_of),
            self.boot.earliest().map(due_of),
        )
    }

    /// How many entries there are, queued or out.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slab.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slab.is_empty()
    }

    /// How many entries are queued.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queued
    }

    /// How many items lie on the wheels, the dead included: lets a test see that they are dropped.
    #[must_use]
    pub fn items(&self) -> usize {
        self.wall.items() + self.boot.items()
    }

    /// How many blocks of memory there are for entries and items, and how many of them were given back.
    #[must_use]
    pub fn blocks(&self) -> (usize, usize) {
        let all = [self.slab.blocks(), self.wall.blocks(), self.boot.blocks()];
        all.iter()
            .fold((0, 0), |(blocks, gone), of| (blocks + of.0, gone + of.1))
    }

    /// All entries, by index.
    pub fn iter(&self) -> impl Iterator<Item = (Key, Entry<'_, T>)> {
        self.slab.iter().map(|(key, stored)| (key, view(stored)))
    }

    /// The entry that is to expire first, as both clocks stand now, due already or not.
    ///
    /// **Cost**: that of one slot, ordinarily.
    #[must_use]
    pub fn first(&self, now: Now) -> Option<Key> {
        let first = |wheel: &Wheel, kind| {
            let (order, sequence, index) = wheel.first(&living!(self, kind))?;
            Some((now.on_wall(kind, due_of(order)), sequence, index))
        };
        let wall = first(&self.wall, ClockKind::Wall);
        let boot = first(&self.boot, ClockKind::Boot);
        let (_, _, index) = wall.into_iter().chain(boot).min()?;
        self.slab.key_at(index)
    }

    /// Walk everything, and report the first broken invariant.
    ///
    /// # Errors
    ///
    /// The invariant, in words.
    pub fn check(&self) -> Result<(), String> {
        self.slab.check()?;
        let mut on = vec![0_u8; self.slab.slots()];
        let mut items = 0;
        for (wheel, kind) in [(&self.wall, ClockKind::Wall), (&self.boot, ClockKind::Boot)] {
            let found = |index: u32| {
                on[index as usize] += 1;
                items += 1;
            };
            wheel
                .check(&living!(self, kind), found)
                .map_err(|broken| format!("{kind:?}: {broken}"))?;
        }
        for (key, entry) in self.iter() {
            if on[key.index as usize] != u8::from(entry.queued) {
                let count = on[key.index as usize];
                return Err(format!(
                    "{key:?} has {count} items, queued is {}",
                    entry.queued
                ));
            }
            if entry.sequence >= self.next_sequence {
                return Err(format!("{key:?} has a sequence that is yet to be given"));
            }
        }
        if items != self.queued {
            return Err(format!(
                "{items} items are alive, {} are counted",
                self.queued
            ));
        }
        Ok(())
    }

    /// Remove all entries, passing their values to `f`; every key is stale then.
    pub fn clear(&mut self, mut f: impl FnMut(T)) {
        for index in 0..self.slab.slots() {
            let removed = self
                .slab
                .key_at(index as u32)
                .and_then(|key| self.slab.remove(key));
            if let Some(entry) = removed {
                f(entry.value);
            }
        }
        self.wall.clear();
        self.boot.clear();
        self.queued = 0;
    }
}
