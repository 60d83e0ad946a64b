//! A hierarchical timing wheel over one clock: exact order, bounded steps, lazy removal.
//!
//! What lies past the cursor waits in the slots of the levels. What is open (not past the cursor)
//! is *near*: a sorted run, and a small heap for what was inserted into the open range out of
//! order. A slot becomes near in one of three ways: a sorted one is adopted as the run as it is;
//! a small one, or one of level 0, is gathered and sorted; any other is split into lower levels.
//! The last two are done in bounded steps; while one is unfinished its rest is *pending*.
//!
//! The wheel holds items, not entries. An item whose entry was removed or moved is *dead*, and is
//! dropped when it is met, with the chunk that its slot begins with when all of that is dead, or when
//! the dead outnumber the living in its slot. Which items are alive only the owner of the entries
//! knows: it passes a [`Book`].

mod check;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

use crate::due::level::{
    CHUNK, COARSE_MASK, Chain, FINE_MASK, Item, LEVELS, Level, Pool, digit, level_of, slot_last,
    split_cursor,
};

/// A slot of level 1 with more items than this is split, not sorted.
const SMALL: usize = 512;
/// Where fewer items than this are dead, they stay.
const FEW_DEAD: u32 = 64;
/// How many pending items a removal moves, so that removals alone finish a compaction.
const STEP_OF_REMOVAL: usize = 128;

/// What the wheel asks about an item.
pub trait Book {
    /// The full sequence of the entry, if this item is alive.
    fn sequence(&self, item: &Item) -> Option<u64>;
    /// Whether the low halves of sequences order as the sequences do.
    fn exact(&self) -> bool;
}

/// An item in the heap, with its whole sequence: a heap must compare the dead as well.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Early {
    order: u64,
    sequence: u64,
    index: u32,
}

impl Early {
    const fn item(&self) -> Item {
        Item {
            order: self.order,
            low: self.sequence as u32,
            index: self.index,
        }
    }
}

/// What is open: two sorted sources to merge.
#[derive(Debug)]
struct Near {
    // The run is window[at..], then rest.
    window: Vec<Item>,
    at: usize,
    rest: Chain,
    // The order of the run's last item, while it has one.
    last: u64,
    heap: BinaryHeap<Reverse<Early>>,
    dead: u32,
}

impl Near {
    fn run_is_empty(&self) -> bool {
        self.at == self.window.len() && self.rest.is_empty()
    }

    fn len(&self) -> usize {
        self.window.len() - self.at + self.rest.len() + self.heap.len()
    }

    /// Give back the room that a moment with much to do has taken.
    fn forget_peak(&mut self) {
        if self.at == self.window.len() && self.window.capacity() > 2 * SMALL {
            self.window = Vec::new();
            self.at = 0;
        }
        if self.heap.is_empty() && self.heap.capacity() > 2 * SMALL {
            self.heap = BinaryHeap::new();
        }
    }

    #[inline]
    fn refill(&mut self, pool: &mut Pool) {
        if self.at == self.window.len() && !self.rest.is_empty() {
            self.window.clear();
            self.at = 0;
            pool.take_chunk(&mut self.rest, &mut self.window);
        }
    }
}

/// A slot on its way to the lower levels or to the run.
#[derive(Debug)]
struct Pending {
    chain: Chain,
    lowest: u64,
    gather: bool,
    check: bool,
}

/// What a wheel has to offer at a moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Head {
    /// Nothing is due.
    Idle,
    /// An item of this order is next (it may be dead).
    Due(u64),
    /// Nothing earlier than this order is due, and what is due must first be moved: call again.
    Unfinished(u64),
}

/// A wheel; see the module.
#[derive(Debug)]
pub struct Wheel {
    // The last open order.
    cursor: u64,
    levels: [Level; LEVELS],
    // A bit for each level that holds something.
    occupied: u8,
    near: Near,
    pending: Option<Pending>,
    gathered: Vec<Item>,
    scratch: Vec<Item>,
    pool: Pool,
}

impl Wheel {
    /// An empty wheel.
    #[must_use]
    pub fn new(now: u64) -> Self {
        Self {
            cursor: now | FINE_MASK,
            levels: Default::default(),
            occupied: 0,
            near: Near {
                window: Vec::new(),
                at: 0,
                rest: Chain::EMPTY,
                last: 0,
                heap: BinaryHeap::new(),
                dead: 0,
            },
            pending: None,
            gathered: Vec::new(),
            scratch: Vec::new(),
            pool: Pool::default(),
        }
    }

    /// Add an item; `newest` says that its sequence is the highest there is.
    #[inline]
    pub fn insert(&mut self, order: u64, sequence: u64, index: u32, newest: bool) {
        let item = Item {
            order,
            low: sequence as u32,
            index,
        };
        if order > self.cursor {
            // What is pending may yet add earlier sequences of the same due.
            self.place(item, self.pending.is_some() || !newest);
        } else if newest && self.pending.is_none() && self.continues_run(order) {
            self.pool.push(&mut self.near.rest, item);
            self.near.last = order;
        } else {
            self.near.heap.push(Reverse(Early {
                order,
                sequence,
                index,
            }));
        }
    }

    fn continues_run(&self, order: u64) -> bool {
        order >= self.near.last || self.near.run_is_empty()
    }

    #[inline]
    fn place(&mut self, item: Item, mixed: bool) {
        let level = level_of(item.order, self.cursor);
        self.occupied |= 1 << level;
        self.levels[level].push(digit(item.order, level), item, mixed, &mut self.pool);
    }

    /// Note that the item of this order just died.
    #[inline]
    pub fn note_dead(&mut self, order: u64, book: &impl Book) {
        if order <= self.cursor {
            self.near.dead += 1;
            if self.near.dead > FEW_DEAD && self.near.dead as usize * 2 > self.near.len() {
                self.compact_near(book);
            }
        } else {
            let level = level_of(order, self.cursor);
            let slot = digit(order, level);
            if let Some(chain) = self.levels[level].slot_mut(slot) {
                chain.dead += 1;
                if chain.dead.is_multiple_of(CHUNK as u32) {
                    self.drop_dead_chunks(level, slot, book);
                } else if chain.dead > FEW_DEAD
                    && chain.dead as usize * 2 > chain.len()
                    && self.pending.is_none()
                {
                    // Taken out and put in again, without the dead: in steps, as any other move.
                    let chain = self.take(level, slot);
                    self.start(chain, false);
                }
            }
        }
        if self.pending.is_some() {
            self.step(&mut { STEP_OF_REMOVAL }, book);
            let _ = self.trim() && self.trim();
        }
    }

    /// Give up what is dead at the beginning of a slot: where entries are removed in the order in which they were
    /// inserted, as most are, nothing is to be moved then.
    #[inline(never)]
    fn drop_dead_chunks(&mut self, level: usize, slot: usize, book: &impl Book) {
        let Some(chain) = self.levels[level].slot_mut(slot) else {
            return;
        };
        let mut drop = || (self.pool).drop_chunk(chain, |item| book.sequence(item).is_none());
        // No more, for this is one removal; the next ones go on.
        let dropped = drop();
        if dropped {
            drop();
        }
        if chain.is_empty() {
            self.take(level, slot);
        }
        if dropped {
            let _ = self.trim() && self.trim();
        }
    }

    /// Whether [`trim`](Self::trim) has something to do.
    #[inline]
    #[must_use]
    pub fn has_spare(&self) -> bool {
        self.pool.has_spare()
    }

    /// Give back one block at most of those that hold nothing; `false`: as few are there as are to stay.
    pub fn trim(&mut self) -> bool {
        self.pool.trim()
    }

    #[cold]
    fn compact_near(&mut self, book: &impl Book) {
        let near = &mut self.near;
        near.window.drain(..near.at);
        near.at = 0;
        near.window.retain(|item| book.sequence(item).is_some());
        near.window.shrink_to(near.window.len() * 2);
        near.heap
            .retain(|Reverse(early)| book.sequence(&early.item()).is_some());
        near.heap.shrink_to(near.heap.len() * 2);
        near.dead = 0;
        if self.pending.is_none() && !near.rest.is_empty() {
            let rest = std::mem::replace(&mut near.rest, Chain::EMPTY);
            near.last = near.window.last().map_or(0, |item| item.order);
            self.start(rest, false);
            if let Some(pending) = &mut self.pending {
                pending.check = true;
            }
        }
    }

    fn take(&mut self, level: usize, slot: usize) -> Chain {
        let chain = self.levels[level].take(slot);
        if self.levels[level].first().is_none() {
            self.occupied &= !(1 << level);
        }
        chain
    }

    fn start(&mut self, chain: Chain, gather: bool) {
        let (lowest, check) = (chain.lowest, chain.dead > 0);
        self.pending = Some(Pending {
            chain,
            lowest,
            gather,
            check,
        });
    }

    // Moves pending items while the budget lasts; true when none are left.
    fn step(&mut self, budget: &mut usize, book: &impl Book) -> bool {
        let Some(mut pending) = self.pending.take() else {
            return true;
        };
        let mut scratch = std::mem::take(&mut self.scratch);
        let mixed = pending.chain.mixed;
        while *budget > 0 && !pending.chain.is_empty() {
            scratch.clear();
            let count = self.pool.take_chunk(&mut pending.chain, &mut scratch);
            *budget = budget.saturating_sub(count);
            if pending.check {
                scratch.retain(|item| book.sequence(item).is_some());
            }
            if pending.gather {
                self.gathered.append(&mut scratch);
            } else {
                for &item in &scratch {
                    self.put(item, mixed, book);
                }
            }
        }
        self.scratch = scratch;
        if !pending.chain.is_empty() {
            self.pending = Some(pending);
            return false;
        }
        if pending.gather {
            self.open_gathered(book);
        }
        true
    }

    // Puts an item of a split slot where it belongs now.
    #[inline]
    fn put(&mut self, item: Item, mixed: bool, book: &impl Book) {
        if item.order > self.cursor {
            self.place(item, mixed);
        } else if !mixed && self.continues_run(item.order) {
            self.pool.push(&mut self.near.rest, item);
            self.near.last = item.order;
        } else if let Some(sequence) = book.sequence(&item) {
            let Item { order, index, .. } = item;
            self.near.heap.push(Reverse(Early {
                order,
                sequence,
                index,
            }));
        }
    }

    fn open_gathered(&mut self, book: &impl Book) {
        let near = &mut self.near;
        debug_assert!(
            near.run_is_empty(),
            "a slot is gathered when the run is used up"
        );
        near.window.clear();
        near.at = 0;
        std::mem::swap(&mut near.window, &mut self.gathered);
        if self.gathered.capacity() > 2 * SMALL {
            self.gathered = Vec::new();
        }
        if book.exact() {
            near.window.sort_unstable_by_key(Item::key);
        } else {
            near.window.retain(|item| book.sequence(item).is_some());
            near.window
                .sort_by_cached_key(|item| (item.order, book.sequence(item)));
        }
        near.last = near.window.last().map_or(0, |item| item.order);
    }

    /// Make ready what is next at `now`, moving at most about `budget` items.
    pub fn head(&mut self, now: u64, budget: &mut usize, book: &impl Book) -> Head {
        loop {
            if let Some(pending) = &self.pending {
                let lowest = pending.lowest;
                if !self.step(budget, book) && lowest <= now {
                    return Head::Unfinished(lowest);
                }
            }
            if let Some(order) = self.peek() {
                return if order <= now {
                    Head::Due(order)
                } else {
                    Head::Idle
                };
            }
            let Some((level, slot)) = self.first_slot() else {
                self.follow(now);
                return Head::Idle;
            };
            let lowest = self.levels[level].slot(slot).lowest;
            if lowest > now {
                self.follow(now);
                return Head::Idle;
            }
            if *budget == 0 || self.pending.is_some() {
                return Head::Unfinished(lowest);
            }
            self.open(level, slot);
        }
    }

    // The lowest open item, dead or alive.
    #[inline]
    fn peek(&mut self) -> Option<u64> {
        self.near.refill(&mut self.pool);
        let run = self.near.window.get(self.near.at).map(|item| item.order);
        let heap = self.near.heap.peek().map(|early| early.0.order);
        match (run, heap) {
            (Some(run), Some(heap)) => Some(run.min(heap)),
            (one, other) => one.or(other),
        }
    }

    fn first_slot(&self) -> Option<(usize, usize)> {
        let level = self.occupied.trailing_zeros() as usize;
        Some((level, self.levels.get(level)?.first()?))
    }

    // Nothing is due: lets the cursor follow the clock, so that what comes lies in low levels.
    fn follow(&mut self, now: u64) {
        if now <= self.cursor {
            return;
        }
        self.near.forget_peak();
        // All lower levels are empty, else something were due. A slot that now begins is left to
        // be split when its first item is due.
        let level = level_of(now, self.cursor);
        if !self.levels[level].holds(digit(now, level)) {
            self.cursor = now | FINE_MASK;
        }
    }

    fn open(&mut self, level: usize, slot: usize) {
        let chain = self.take(level, slot);
        let (lowest, last) = (chain.lowest, chain.last);
        if chain.is_sorted() && lowest | COARSE_MASK == last | COARSE_MASK {
            let mask = if level > 0 && chain.len() <= SMALL {
                COARSE_MASK
            } else {
                FINE_MASK
            };
            self.cursor = last | mask;
            self.near.dead = chain.dead;
            self.near.last = last;
            self.near.rest = chain;
        } else if level == 0 || (level == 1 && chain.len() <= SMALL) {
            self.cursor = slot_last(lowest, level);
            self.near.dead = 0;
            self.start(chain, true);
        } else {
            self.cursor = split_cursor(lowest, level);
            self.near.dead = 0;
            self.start(chain, false);
        }
    }

    /// Take open items of order up to `limit`, in order, until `to` holds `max` of them.
    #[inline]
    pub fn take_due(&mut self, limit: u64, max: usize, to: &mut Vec<Item>, book: &impl Book) {
        while to.len() < max {
            self.near.refill(&mut self.pool);
            let near = &mut self.near;
            let Some(heap) = near.heap.peek_mut() else {
                let run = &near.window[near.at..];
                let most = run.len().min(max - to.len());
                let count = run[..most]
                    .iter()
                    .take_while(|item| item.order <= limit)
                    .count();
                to.extend_from_slice(&run[..count]);
                near.at += count;
                if count == 0 || count < most {
                    return;
                }
                continue;
            };
            let early = heap.0;
            match near.window.get(near.at) {
                Some(item) if runs_before(item, &early, book) => {
                    if item.order > limit {
                        return;
                    }
                    to.push(*item);
                    near.at += 1;
                }
                _ if early.order > limit => return,
                _ => {
                    PeekMut::pop(heap);
                    to.push(early.item());
                }
            }
        }
    }

    /// Note that so many dead items were taken.
    #[inline]
    pub fn took_dead(&mut self, count: usize) {
        self.near.dead = self.near.dead.saturating_sub(count as u32);
    }

    /// The sequence of the first open item, known to be of that order; a dead one is dropped.
    pub fn peek_alive(&mut self, order: u64, book: &impl Book) -> Option<u64> {
        let near = &mut self.near;
        let run = near.window.get(near.at).filter(|item| item.order == order);
        let heap = near
            .heap
            .peek()
            .map(|early| early.0)
            .filter(|early| early.order == order);
        let run_sequence = run.map(|item| book.sequence(item));
        let heap_sequence = heap.map(|early| book.sequence(&early.item()));
        if run_sequence == Some(None) {
            near.at += 1;
        } else if heap_sequence == Some(None) {
            near.heap.pop();
        } else {
            return run_sequence
                .into_iter()
                .chain(heap_sequence)
                .flatten()
                .min();
        }
        self.took_dead(1);
        None
    }

    /// A bound of the earliest order; early only where a removed entry led its slot.
    pub fn earliest(&mut self) -> Option<u64> {
        let near = self.peek();
        let pending = self.pending.as_ref().map(|pending| pending.lowest);
        let slot = || {
            self.first_slot()
                .map(|(level, slot)| self.levels[level].slot(slot).lowest)
        };
        // What is open lies before all slots, what is pending need not.
        let first = near.or_else(slot);
        pending.into_iter().chain(first).min()
    }

    /// The earliest (order, sequence, index) alive.
    pub fn first(&self, book: &impl Book) -> Option<(u64, u64, u32)> {
        let alive = |item: &Item| Some((item.order, book.sequence(item)?, item.index));
        let near = &self.near;
        let rest = self.pool.items(&near.rest);
        // Sorted, so the first one alive will do.
        let run = near.window[near.at..].iter().chain(rest).find_map(alive);
        let top = near.heap.peek().and_then(|early| alive(&early.0.item()));
        let heap = top.or_else(|| {
            near.heap
                .iter()
                .filter_map(|early| alive(&early.0.item()))
                .min()
        });
        let mut best = [run, heap].into_iter().flatten().min();
        if let Some(pending) = &self.pending {
            let gathered = self.gathered.iter();
            best = lowest(gathered.chain(self.pool.items(&pending.chain)), best, book);
            // Its lowest may lie past a slot.
        } else if best.is_some() {
            return best;
        }
        for level in &self.levels {
            for slot in level.occupied() {
                let chain = level.slot(slot);
                let found = lowest(self.pool.items(chain), None, book);
                if found.is_some() {
                    return best.into_iter().chain(found).min();
                }
            }
        }
        best
    }

    /// Forget all items.
    pub fn clear(&mut self) {
        *self = Self::new(self.cursor);
    }
}

fn runs_before(item: &Item, early: &Early, book: &impl Book) -> bool {
    if item.order != early.order {
        return item.order < early.order;
    }
    if book.exact() {
        return u64::from(item.low) < early.sequence;
    }
    // A dead item goes first: it is dropped, and hides nothing behind it.
    book.sequence(item)
        .is_none_or(|sequence| sequence < early.sequence)
}

// The lower of `best` and the lowest one alive of `items`.
fn lowest<'a>(
    items: impl Iterator<Item = &'a Item>,
    best: Option<(u64, u64, u32)>,
    book: &impl Book,
) -> Option<(u64, u64, u32)> {
    items.fold(best, |best, item| {
        if best.is_some_and(|(order, ..)| order < item.order) {
            return best;
        }
        let found = book
            .sequence(item)
            .map(|sequence| (item.order, sequence, item.index));
        best.into_iter().chain(found).min()
    })
}
