//! One level of the wheel: slot arithmetic as pure functions, 256 slots, their occupancy bitmap,
//! and the pooled chunks that hold what lies in a slot.
//!
//! A due is an `i64`; inside the wheel it is an *order*, the `u64` that compares the same way.
//! The *cursor* is the last order that is open; its low 12 bits are always ones, so what lies
//! past it differs from it in some digit, and the highest such digit chooses the level. Hence one
//! due always lies in one slot, and every level lies wholly before the next.

use crate::due::free::{FreeSet, Spare};

/// How many levels there are; the last one holds four bits only.
pub const LEVELS: usize = 7;
/// The lowest bit of level 0: a slot of 4.1 µs.
pub const FIRST_BIT: u32 = 12;
/// How many slots a level has.
pub const SLOTS: usize = 256;
/// The bits below level 0; always set in a cursor.
pub const FINE_MASK: u64 = (1 << FIRST_BIT) - 1;
/// The bits below level 1: one slot of 1.05 ms.
pub const COARSE_MASK: u64 = (1 << (FIRST_BIT + 8)) - 1;
/// How many items a chunk holds (1 KiB).
pub const CHUNK: usize = 64;

// A block is as large as what an allocator asks the system for by itself, and gives back so.
const CHUNKS_A_BLOCK: usize = 256;
/// How many freed chunks are used again before others: they are still in the cache.
const WARM: usize = 16;
const NONE: u32 = u32::MAX;

/// The `u64` that orders as this due does.
#[inline]
#[must_use]
pub const fn order_of(due: i64) -> u64 {
    due.cast_unsigned() ^ (1 << 63)
}

/// The due of an order.
#[inline]
#[must_use]
pub const fn due_of(order: u64) -> i64 {
    (order ^ (1 << 63)).cast_signed()
}

/// The lowest bit of a level's digit.
#[inline]
#[must_use]
pub const fn shift(level: usize) -> u32 {
    FIRST_BIT + 8 * level as u32
}

/// The level of an order past the cursor: their highest differing digit.
#[inline]
#[must_use]
pub const fn level_of(order: u64, cursor: u64) -> usize {
    let high = 63 - (order ^ cursor).leading_zeros();
    ((high - FIRST_BIT) / 8) as usize
}

/// The slot of an order within a level.
#[inline]
#[must_use]
pub const fn digit(order: u64, level: usize) -> usize {
    ((order >> shift(level)) & 0xff) as usize
}

/// The first order of the slot of that level in which `order` lies.
#[inline]
#[must_use]
pub const fn slot_start(order: u64, level: usize) -> u64 {
    order & !slot_mask(level)
}

/// The last order of the slot of that level in which `order` lies.
#[inline]
#[must_use]
pub const fn slot_last(order: u64, level: usize) -> u64 {
    order | slot_mask(level)
}

const fn slot_mask(level: usize) -> u64 {
    (1 << shift(level)) - 1
}

/// The cursor from which to split a slot whose lowest item is `lowest`: the last order before the
/// finer slot of that item, or where the slot begins, if that item lies at its very start.
#[inline]
#[must_use]
pub const fn split_cursor(lowest: u64, level: usize) -> u64 {
    let fine = if level >= 2 { COARSE_MASK } else { FINE_MASK };
    let start = slot_start(lowest, level);
    let before = lowest & !fine;
    if before > start {
        before - 1
    } else {
        start | FINE_MASK
    }
}

/// What lies on the wheel for one entry: 16 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Item {
    /// The due, as an order.
    pub order: u64,
    /// The low half of the sequence.
    pub low: u32,
    /// Where the entry lies in the slab.
    pub index: u32,
}

impl Item {
    /// The sort key, right while every sequence fits in 32 bits.
    #[inline]
    #[must_use]
    pub const fn key(&self) -> u128 {
        ((self.order as u128) << 64) | ((self.low as u128) << 32) | self.index as u128
    }
}

/// A list of items in chunks of a [`Pool`]: first in, first out; all chunks but the last are full.
#[derive(Clone, Debug)]
pub struct Chain {
    head: u32,
    tail: u32,
    len: u32,
    /// At least how many removed entries lie here: a hint, that may count too many.
    pub dead: u32,
    /// No item is lower. Only tightened, so a removed head leaves it early.
    pub lowest: u64,
    /// The order of the item put last.
    pub last: u64,
    rising: bool,
    /// Whether equal dues may lie out of their sequence, as happens to what is inserted into a
    /// slot that an unfinished cascade still fills.
    pub mixed: bool,
}

impl Chain {
    /// A chain without items.
    pub const EMPTY: Self = Self {
        head: NONE,
        tail: NONE,
        len: 0,
        dead: 0,
        lowest: u64::MAX,
        last: 0,
        rising: true,
        mixed: false,
    };

    /// How many items lie here, the dead included.
    #[inline]
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether nothing lies here.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether its items are known to lie in (due, sequence) order.
    #[inline]
    #[must_use]
    pub const fn is_sorted(&self) -> bool {
        self.rising && !self.mixed
    }
}

/// Chunks of items, in blocks that never move. The chunks freed last are used again first, while
/// they are still in the cache; of the others the lowest. A block of free ones is given back by a
/// [`trim`](Pool::trim), but for a few.
#[derive(Debug, Default)]
pub struct Pool {
    /// A block without chunks was given back.
    blocks: Vec<Vec<[Item; CHUNK]>>,
    next: Vec<u32>,
    warm: Vec<u32>,
    free: FreeSet,
    free_count: usize,
    spare: Spare,
}

impl Pool {
    fn chunk(&self, chunk: u32) -> &[Item; CHUNK] {
        &self.blocks[chunk as usize / CHUNKS_A_BLOCK][chunk as usize % CHUNKS_A_BLOCK]
    }

    fn take(&mut self) -> u32 {
        if self.free_count > 0 {
            self.free_count -= 1;
            if let Some(chunk) = self.warm.pop() {
                return chunk;
            }
            if let Some(chunk) = self.free.take_first() {
                let block = &mut self.blocks[chunk / CHUNKS_A_BLOCK];
                if block.is_empty() {
                    block.resize(CHUNKS_A_BLOCK, [Item::default(); CHUNK]);
                }
                return chunk as u32;
            }
        }
        let chunk = self.next.len();
        if chunk.is_multiple_of(CHUNKS_A_BLOCK) {
            self.blocks.push(Vec::with_capacity(CHUNKS_A_BLOCK));
        }
        self.blocks[chunk / CHUNKS_A_BLOCK].push([Item::default(); CHUNK]);
        self.next.push(NONE);
        chunk as u32
    }

    fn free(&mut self, chunk: u32) {
        self.free_count += 1;
        if self.warm.len() < WARM {
            self.warm.push(chunk);
            return;
        }
        // One of those that are warm makes room for it.
        let cold = std::mem::replace(&mut self.warm[chunk as usize % WARM], chunk);
        if self.free.insert(cold as usize) {
            self.note_free(cold as usize / CHUNKS_A_BLOCK);
        }
    }

    /// Some chunks of a block became free: note it if all are.
    #[cold]
    fn note_free(&mut self, block: usize) {
        if self.is_empty_block(block) {
            self.spare.emptied(block);
        }
    }

    fn blocks_in_use(&self) -> usize {
        (self.next.len() - self.free_count) / CHUNKS_A_BLOCK
    }

    /// Whether [`trim`](Self::trim) has something to do.
    #[inline]
    #[must_use]
    pub fn has_spare(&self) -> bool {
        self.spare.is_too_many(self.blocks_in_use())
    }

    /// Give back one block at most of those that hold nothing; `false`: as few are there as are to stay.
    pub fn trim(&mut self) -> bool {
        let Some(block) = self.spare.take(self.blocks_in_use()) else {
            return false;
        };
        if self.is_empty_block(block) {
            self.blocks[block] = Vec::new();
        }
        true
    }

    fn is_empty_block(&self, block: usize) -> bool {
        let chunks = block * CHUNKS_A_BLOCK..(block + 1) * CHUNKS_A_BLOCK;
        self.free.holds_all(chunks) && !self.blocks[block].is_empty()
    }

    #[cold]
    #[inline(never)]
    fn extend(&mut self, chain: &mut Chain) {
        let chunk = self.take();
        self.next[chunk as usize] = NONE;
        if chain.len == 0 {
            chain.head = chunk;
        } else {
            self.next[chain.tail as usize] = chunk;
        }
        chain.tail = chunk;
    }

    /// Append an item.
    #[inline]
    pub fn push(&mut self, chain: &mut Chain, item: Item) {
        let at = chain.len as usize % CHUNK;
        if at == 0 {
            self.extend(chain);
        }
        let tail = chain.tail as usize;
        self.blocks[tail / CHUNKS_A_BLOCK][tail % CHUNKS_A_BLOCK][at] = item;
        chain.len += 1;
        chain.lowest = chain.lowest.min(item.order);
        chain.rising &= item.order >= chain.last;
        chain.last = item.order;
    }

    /// Take the first chunk off a chain, appending its items to `to`; how many they were.
    pub fn take_chunk(&mut self, chain: &mut Chain, to: &mut Vec<Item>) -> usize {
        let count = chain.len().min(CHUNK);
        if count == 0 {
            return 0;
        }
        let chunk = chain.head;
        to.extend_from_slice(&self.chunk(chunk)[..count]);
        chain.head = self.next[chunk as usize];
        chain.len -= count as u32;
        self.free(chunk);
        if chain.len == 0 {
            *chain = Chain::EMPTY;
        }
        count
    }

    /// Give up the first chunk of a chain, if it is full and all of its items are `dead`; whether it was.
    pub fn drop_chunk(&mut self, chain: &mut Chain, dead: impl Fn(&Item) -> bool) -> bool {
        if chain.len() < CHUNK || !self.chunk(chain.head).iter().all(dead) {
            return false;
        }
        let chunk = chain.head;
        chain.head = self.next[chunk as usize];
        chain.len -= CHUNK as u32;
        chain.dead = chain.dead.saturating_sub(CHUNK as u32);
        self.free(chunk);
        if chain.len == 0 {
            *chain = Chain::EMPTY;
        }
        true
    }

    /// The items of a chain, first to last.
    pub fn items(&self, chain: &Chain) -> impl Iterator<Item = &Item> {
        let mut left = chain.len();
        let first = (left > 0).then_some(chain.head);
        std::iter::successors(first, |&chunk| {
            let next = self.next[chunk as usize];
            (next != NONE).then_some(next)
        })
        .flat_map(move |chunk| {
            let count = left.min(CHUNK);
            left -= count;
            &self.chunk(chunk)[..count]
        })
    }

    /// How many chunks exist, and how many of them are free.
    #[must_use]
    pub fn chunks(&self) -> (usize, usize) {
        (self.next.len(), self.free_count)
    }

    /// How many blocks of chunks there are, and how many of them were given back.
    #[must_use]
    pub fn blocks(&self) -> (usize, usize) {
        let gone = self.blocks.iter().filter(|block| block.is_empty()).count();
        (self.blocks.len(), gone)
    }

    /// Compare what is free with what is counted and what was given back.
    ///
    /// # Errors
    ///
    /// The first difference, in words.
    pub fn check(&self) -> Result<(), String> {
        self.free.check()?;
        let listed = (0..self.next.len()).filter(|&chunk| self.free.contains(chunk));
        let free = listed.count() + self.warm.len();
        if free != self.free_count {
            let counted = self.free_count;
            return Err(format!("{free} chunks are free, {counted} are counted"));
        }
        for (block, chunks) in self.blocks.iter().enumerate() {
            let all = block * CHUNKS_A_BLOCK..(block + 1) * CHUNKS_A_BLOCK;
            if chunks.is_empty() && !self.free.holds_all(all) {
                return Err(format!("chunks {block} were given back and are not free"));
            }
        }
        Ok(())
    }
}

/// One level: its slots (made at first use) and which of them hold something.
#[derive(Debug, Default)]
pub struct Level {
    slots: Vec<Chain>,
    occupied: [u64; SLOTS / 64],
}

impl Level {
    /// Append an item to a slot; `mixed` says that its place among equal dues is not the last.
    #[inline]
    pub fn push(&mut self, digit: usize, item: Item, mixed: bool, pool: &mut Pool) {
        if self.slots.is_empty() {
            self.slots.resize(SLOTS, Chain::EMPTY);
        }
        let slot = &mut self.slots[digit];
        pool.push(slot, item);
        slot.mixed |= mixed;
        self.occupied[digit / 64] |= 1 << (digit % 64);
    }

    /// The first slot that holds something.
    #[inline]
    #[must_use]
    pub fn first(&self) -> Option<usize> {
        let word = self.occupied.iter().position(|&word| word != 0)?;
        Some(word * 64 + self.occupied[word].trailing_zeros() as usize)
    }

    /// The slots that hold something, in order.
    pub fn occupied(&self) -> impl Iterator<Item = usize> {
        (0..SLOTS).filter(|&digit| self.holds(digit))
    }

    /// Whether a slot holds something.
    #[inline]
    #[must_use]
    pub const fn holds(&self, digit: usize) -> bool {
        self.occupied[digit / 64] >> (digit % 64) & 1 == 1
    }

    /// What lies in a slot.
    #[must_use]
    pub fn slot(&self, digit: usize) -> &Chain {
        self.slots.get(digit).unwrap_or(const { &Chain::EMPTY })
    }

    /// What lies in a slot, to note the dead.
    #[inline]
    pub fn slot_mut(&mut self, digit: usize) -> Option<&mut Chain> {
        self.slots.get_mut(digit)
    }

    /// Empty a slot.
    pub fn take(&mut self, digit: usize) -> Chain {
        self.occupied[digit / 64] &= !(1 << (digit % 64));
        self.slots
            .get_mut(digit)
            .map_or(Chain::EMPTY, |slot| std::mem::replace(slot, Chain::EMPTY))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_compare_as_dues_do() {
        let dues = [i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX - 1, i64::MAX];
        assert!(dues.is_sorted_by_key(|&due| order_of(due)));
        assert!(dues.iter().all(|&due| due_of(order_of(due)) == due));
        assert_eq!((order_of(i64::MIN), order_of(i64::MAX)), (0, u64::MAX));
    }

    #[test]
    fn the_level_is_the_highest_differing_digit() {
        let cursor = (5 << 20) | FINE_MASK;
        for level in 0..LEVELS {
            let width = 1_u64 << shift(level);
            let next = slot_start(cursor, level) + width;
            assert_eq!(
                level_of(next, cursor),
                level,
                "the slot after the cursor's, {level}"
            );
            assert_eq!(digit(next, level), digit(cursor, level) + 1);
            if level > 0 {
                assert_eq!(
                    level_of(next - 1, cursor),
                    level - 1,
                    "the last before it, {level}"
                );
            }
        }
        assert_eq!(level_of(u64::MAX, FINE_MASK), LEVELS - 1);
        assert_eq!(digit(u64::MAX, LEVELS - 1), 15);
    }

    #[test]
    fn a_slot_has_its_bounds() {
        let order = 0x1234_5678_9abc_def0;
        assert_eq!(slot_start(order, 0), 0x1234_5678_9abc_d000);
        assert_eq!(slot_last(order, 1), 0x1234_5678_9abf_ffff);
        assert_eq!(slot_start(u64::MAX, 6), 0xf000_0000_0000_0000);
        assert_eq!(slot_last(1 << 63, 6), 0x8fff_ffff_ffff_ffff);
    }

    #[test]
    fn a_split_starts_within_the_slot_before_its_lowest() {
        for level in 1..LEVELS {
            let start = 3_u64 << shift(level);
            for lowest in [0, 1, 4095, 4096, 4097, (1 << 20) - 1, (1 << 20) - 4096] {
                let cursor = split_cursor(start + lowest, level);
                assert_eq!(slot_start(cursor, level), start);
                assert_eq!(cursor & FINE_MASK, FINE_MASK);
                assert!(start + lowest > cursor || lowest <= FINE_MASK);
            }
            if level > 1 {
                assert_eq!(
                    split_cursor(start + (1 << 20), level),
                    start + (1 << 20) - 1
                );
            }
        }
    }

    #[test]
    fn a_chain_is_first_in_first_out_and_its_chunks_are_used_again() {
        let (mut pool, mut to) = (Pool::default(), Vec::new());
        for _ in 0..10 {
            let mut chain = Chain::EMPTY;
            for low in 0..200 {
                pool.push(
                    &mut chain,
                    Item {
                        order: 7,
                        low,
                        index: 0,
                    },
                );
            }
            assert!(chain.is_sorted() && chain.len() == 200);
            assert!(pool.items(&chain).map(|item| item.low).eq(0..200));
            to.clear();
            while pool.take_chunk(&mut chain, &mut to) > 0 {}
            assert!(to.iter().map(|item| item.low).eq(0..200));
            assert_eq!(pool.chunks(), (4, 4));
        }
    }

    #[test]
    fn blocks_of_free_chunks_are_given_back_and_made_again() {
        let (mut pool, mut to) = (Pool::default(), Vec::new());
        let count = 40 * CHUNKS_A_BLOCK * CHUNK;
        for _ in 0..3 {
            let mut chain = Chain::EMPTY;
            for low in 0..count as u32 {
                pool.push(
                    &mut chain,
                    Item {
                        order: 7,
                        low,
                        index: 0,
                    },
                );
            }
            assert_eq!(pool.blocks(), (40, 0));
            let mut low = 0;
            while !chain.is_empty() {
                to.clear();
                pool.take_chunk(&mut chain, &mut to);
                assert!(to.iter().all(|item| {
                    low += 1;
                    item.low == low - 1
                }));
            }
            pool.check().unwrap();
            assert_eq!(pool.blocks(), (40, 0));
            while pool.trim() {}
            pool.check().unwrap();
            let (all, gone) = pool.blocks();
            // Some hold chunks that are to be used next.
            assert!(all - gone <= Spare::LEAST + WARM, "{gone} of {all}");
        }
    }

    #[test]
    fn the_first_occupied_slot_is_found_in_every_word() {
        let (mut level, mut pool) = (Level::default(), Pool::default());
        for digit in (0..SLOTS).rev() {
            level.push(digit, Item::default(), false, &mut pool);
            assert_eq!(level.first(), Some(digit));
        }
        for digit in 0..SLOTS {
            assert_eq!(level.take(digit).len(), 1);
            assert_eq!(level.first(), (digit < 255).then_some(digit + 1));
        }
    }
}
