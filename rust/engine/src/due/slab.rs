//! Where entries live: found by index, held by a key that goes stale when its entry is removed.
//!
//! Free slots are taken lowest index first, not last freed first: entries expire in an order that
//! has nothing to do with memory, and a list of free slots in that order would scatter every later
//! insert. They are a bitset with summaries above it, so that the lowest is a few words away.
//!
//! Slots lie in blocks of a fixed size that never move: growing copies nothing. A block that holds
//! nothing is given back, but for a few; its slots stay free, and so do the keys that were stale. Where
//! entries are removed that were out, blocks are given back by [`trim`](Slab::trim) alone.

use crate::due::free::{FreeSet, Spare};

/// Names an entry until it is removed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Key {
    /// Where the entry lies.
    pub index: u32,
    /// How often that place was used before.
    pub generation: u32,
}

/// Where an entry stands, and on which clock its due is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum State {
    /// Expired, and neither put back nor removed since; its due was on the wall clock.
    OutWall,
    /// Expired, and neither put back nor removed since; its due was on the boot clock.
    OutBoot,
    /// On the wheel of the wall clock.
    QueuedWall,
    /// On the wheel of the boot clock.
    QueuedBoot,
}

/// An entry as it lies in the slab: 24 bytes and the value.
#[derive(Debug)]
pub struct Stored<T> {
    /// When it is due, in nanoseconds.
    pub due: i64,
    /// What orders it among equal dues.
    pub sequence: u64,
    generation: u32,
    /// Where it stands.
    pub state: State,
    /// What the user of the queue keeps.
    pub value: T,
}

// A vacant slot is told apart by the spare values of `State`: no tag of its own.
#[derive(Debug)]
enum Slot<T> {
    Vacant(u32),
    Live(Stored<T>),
}

const BLOCK_BITS: u32 = 12;
const BLOCK: usize = 1 << BLOCK_BITS;

/// Entries by index; see the module.
#[derive(Debug)]
pub struct Slab<T> {
    /// A block without slots was given back.
    blocks: Vec<Vec<Slot<T>>>,
    /// What the generations of a block that is made again begin at: no key of it ever had them.
    bases: Vec<u32>,
    free: FreeSet,
    spare: Spare,
    slots: usize,
    len: usize,
    retired: usize,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self {
            blocks: Vec::new(),
            bases: Vec::new(),
            free: FreeSet::default(),
            spare: Spare::default(),
            slots: 0,
            len: 0,
            retired: 0,
        }
    }
}

impl<T> Slab<T> {
    /// How many entries live here.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Keep an entry.
    ///
    /// # Panics
    ///
    /// When all 2³² indices are in use.
    #[inline]
    pub fn insert(&mut self, due: i64, sequence: u64, state: State, value: T) -> Key {
        self.len += 1;
        if let Some(index) = self.free.take_first() {
            if self.blocks[index >> BLOCK_BITS].is_empty() {
                self.make_again(index >> BLOCK_BITS);
            }
            let slot = &mut self.blocks[index >> BLOCK_BITS][index & (BLOCK - 1)];
            let Slot::Vacant(generation) = *slot else {
                unreachable!("a free slot is vacant")
            };
            *slot = Slot::Live(Stored {
                due,
                sequence,
                generation,
                state,
                value,
            });
            return Key {
                index: index as u32,
                generation,
            };
        }
        let index = u32::try_from(self.slots).expect("fewer than 2^32 entries");
        if self.slots & (BLOCK - 1) == 0 {
            self.blocks.push(Vec::with_capacity(BLOCK));
            self.bases.push(0);
        }
        let entry = Stored {
            due,
            sequence,
            generation: 0,
            state,
            value,
        };
        self.blocks[self.slots >> BLOCK_BITS].push(Slot::Live(entry));
        self.slots += 1;
        Key {
            index,
            generation: 0,
        }
    }

    /// The index that the next insert will use.
    #[must_use]
    pub fn next_index(&self) -> u32 {
        self.free.first().unwrap_or(self.slots) as u32
    }

    /// Take an entry out; its key is stale from now on.
    #[inline]
    pub fn remove(&mut self, key: Key) -> Option<Stored<T>> {
        let index = key.index as usize;
        let slot = self
            .blocks
            .get_mut(index >> BLOCK_BITS)?
            .get_mut(index & (BLOCK - 1))?;
        if !matches!(slot, Slot::Live(entry) if entry.generation == key.generation) {
            return None;
        }
        // A generation that wrapped would make an old key valid again: such a slot is used no more.
        let next = key.generation.checked_add(1);
        let vacant = Slot::Vacant(next.unwrap_or(u32::MAX));
        let Slot::Live(entry) = std::mem::replace(slot, vacant) else {
            return None;
        };
        self.len -= 1;
        if next.is_none() {
            self.retired += 1;
        } else if self.free.insert(index) {
            let was_queued = matches!(entry.state, State::QueuedWall | State::QueuedBoot);
            self.note_free(index >> BLOCK_BITS, was_queued);
        }
        Some(entry)
    }

    /// Some slots of a block became free: note it if all are, and give back what is spare.
    #[cold]
    fn note_free(&mut self, block: usize, give_back: bool) {
        if !self.is_empty_block(block) {
            return;
        }
        self.spare.emptied(block);
        if give_back {
            // Each time one at most is made, so that two are enough to come down to what is to stay.
            let _ = self.trim() && self.trim();
        }
    }

    /// Whether [`trim`](Self::trim) has something to do.
    #[inline]
    #[must_use]
    pub fn has_spare(&self) -> bool {
        self.spare.is_too_many(self.len >> BLOCK_BITS)
    }

    /// Give back one block at most of those that hold nothing; `false`: as few are there as are to stay.
    pub fn trim(&mut self) -> bool {
        let Some(block) = self.spare.take(self.len >> BLOCK_BITS) else {
            return false;
        };
        if self.is_empty_block(block) {
            let slots = std::mem::take(&mut self.blocks[block]);
            let generations = slots.iter().map(|slot| match slot {
                Slot::Vacant(generation) => *generation,
                Slot::Live(entry) => entry.generation,
            });
            self.bases[block] = generations.max().unwrap_or_default();
        }
        true
    }

    fn is_empty_block(&self, block: usize) -> bool {
        self.free.holds_all(block * BLOCK..(block + 1) * BLOCK) && !self.blocks[block].is_empty()
    }

    #[cold]
    fn make_again(&mut self, block: usize) {
        let base = self.bases[block];
        self.blocks[block].resize_with(BLOCK, || Slot::Vacant(base));
    }

    /// The slots that there are, by index.
    fn indexed(&self) -> impl Iterator<Item = (usize, &Slot<T>)> {
        let blocks = self.blocks.iter().enumerate();
        blocks.flat_map(|(block, slots)| {
            let slots = slots.iter().enumerate();
            slots.map(move |(at, slot)| (block * BLOCK + at, slot))
        })
    }

    /// The entry at an index, if there is one.
    #[inline]
    #[must_use]
    pub fn at(&self, index: u32) -> Option<&Stored<T>> {
        let index = index as usize;
        match self
            .blocks
            .get(index >> BLOCK_BITS)?
            .get(index & (BLOCK - 1))?
        {
            Slot::Live(entry) => Some(entry),
            Slot::Vacant(_) => None,
        }
    }

    /// Read from the entries at these indices, so that their misses overlap; `read` reads from a value, which
    /// may lie in another line of the cache than the rest of its entry.
    #[inline]
    pub(crate) fn touch(&self, indices: impl Iterator<Item = u32>, read: impl Fn(&T)) {
        for entry in indices.filter_map(|index| self.at(index)) {
            read(&entry.value);
        }
    }

    /// The entry at an index and its key, if there is one.
    #[inline]
    pub fn at_mut(&mut self, index: u32) -> Option<(Key, &mut Stored<T>)> {
        let at = index as usize;
        match self
            .blocks
            .get_mut(at >> BLOCK_BITS)?
            .get_mut(at & (BLOCK - 1))?
        {
            Slot::Live(entry) => Some((
                Key {
                    index,
                    generation: entry.generation,
                },
                entry,
            )),
            Slot::Vacant(_) => None,
        }
    }

    /// The entry of a key, unless it was removed.
    #[inline]
    #[must_use]
    pub fn get(&self, key: Key) -> Option<&Stored<T>> {
        self.at(key.index)
            .filter(|entry| entry.generation == key.generation)
    }

    /// The entry of a key, unless it was removed.
    #[inline]
    pub fn get_mut(&mut self, key: Key) -> Option<&mut Stored<T>> {
        let (found, entry) = self.at_mut(key.index)?;
        (found == key).then_some(entry)
    }

    /// The live key of an index.
    #[must_use]
    pub fn key_at(&self, index: u32) -> Option<Key> {
        self.at(index).map(|entry| Key {
            index,
            generation: entry.generation,
        })
    }

    /// All entries, by index.
    pub fn iter(&self) -> impl Iterator<Item = (Key, &Stored<T>)> {
        self.indexed().filter_map(|(index, slot)| match slot {
            Slot::Live(entry) => Some((
                Key {
                    index: index as u32,
                    generation: entry.generation,
                },
                entry,
            )),
            Slot::Vacant(_) => None,
        })
    }

    /// One past the highest index ever used.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// How many blocks there are, and how many of them were given back.
    #[must_use]
    pub fn blocks(&self) -> (usize, usize) {
        let gone = self.blocks.iter().filter(|slots| slots.is_empty()).count();
        (self.blocks.len(), gone)
    }

    /// Compare the counts and the set of free slots with the slots themselves.
    ///
    /// # Errors
    ///
    /// The first difference, in words.
    pub fn check(&self) -> Result<(), String> {
        self.free.check()?;
        let (mut live, mut unused) = (0, 0);
        for (block, slots) in self.blocks.iter().enumerate() {
            let indices = block * BLOCK..(block + 1) * BLOCK;
            if slots.is_empty() && !self.free.holds_all(indices) {
                return Err(format!("block {block} was given back and is not free"));
            }
        }
        for (index, slot) in self.indexed() {
            match slot {
                Slot::Live(_) if self.free.contains(index) => {
                    return Err(format!("slot {index} is live and free"));
                }
                Slot::Live(_) => live += 1,
                Slot::Vacant(_) if self.free.contains(index) => {}
                Slot::Vacant(u32::MAX) => unused += 1,
                Slot::Vacant(_) => return Err(format!("slot {index} is vacant and not free")),
            }
        }
        if (live, unused) != (self.len, self.retired) {
            let counted = (self.len, self.retired);
            return Err(format!(
                "(live, retired) is {:?}, counted {counted:?}",
                (live, unused)
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(slab: &mut Slab<u32>, value: u32) -> Key {
        slab.insert(0, 0, State::QueuedWall, value)
    }

    #[test]
    fn an_entry_costs_24_bytes_besides_its_value() {
        assert_eq!(size_of::<Slot<[u64; 4]>>(), 32 + 24);
        assert_eq!(size_of::<Slot<u64>>(), 8 + 24);
    }

    #[test]
    fn the_lowest_free_index_is_used_first() {
        let mut slab = Slab::default();
        let keys: Vec<Key> = (0..20_000).map(|n| put(&mut slab, n)).collect();
        for &index in &[19_999, 4096, 64, 63, 12_345, 0] {
            assert!(slab.remove(keys[index]).is_some());
            slab.check().unwrap();
        }
        let again: Vec<u32> = (0..7).map(|n| put(&mut slab, n).index).collect();
        assert_eq!(again, [0, 63, 64, 4096, 12_345, 19_999, 20_000]);
        slab.check().unwrap();
    }

    #[test]
    fn a_removed_key_is_stale() {
        let mut slab = Slab::default();
        let old = put(&mut slab, 1);
        assert_eq!(slab.remove(old).map(|entry| entry.value), Some(1));
        let new = put(&mut slab, 2);
        assert_eq!((old.index, old.generation + 1), (new.index, new.generation));
        assert!(slab.get(old).is_none() && slab.remove(old).is_none());
        assert_eq!(slab.get(new).map(|entry| entry.value), Some(2));
        assert_eq!(slab.key_at(0), Some(new));
    }

    #[test]
    fn blocks_that_hold_nothing_are_given_back_and_their_keys_stay_stale() {
        let mut slab = Slab::default();
        let count = 40 * BLOCK as u32;
        let mut stale = Vec::new();
        for round in 0..3 {
            let keys: Vec<Key> = (0..count).map(|n| put(&mut slab, n)).collect();
            assert_eq!(slab.blocks(), (40, 0));
            assert!(stale.iter().all(|&key| slab.get(key).is_none()));
            for (n, &key) in keys.iter().enumerate() {
                assert!(slab.remove(key).is_some());
                let in_use = (slab.len() >> BLOCK_BITS) + 1;
                let (all, gone) = slab.blocks();
                // Where they empty one after another there is never much more than is in use.
                assert!(
                    all - gone <= in_use + in_use / Spare::PART + Spare::LEAST + 1,
                    "{n}"
                );
            }
            slab.check().unwrap();
            let (all, gone) = slab.blocks();
            assert!(all - gone <= Spare::LEAST, "{round}: {gone} of {all}");
            stale.extend(keys);
        }
        assert!(stale.iter().all(|&key| slab.get(key).is_none()));
        assert_eq!(put(&mut slab, 0).index, 0);
        slab.check().unwrap();
    }

    #[test]
    fn what_was_out_leaves_the_blocks_to_a_trim() {
        let mut slab = Slab::default();
        let put = |n| slab.insert(0, 0, State::OutBoot, n);
        let keys: Vec<Key> = (0..40 * BLOCK as u32).map(put).collect();
        for key in keys {
            slab.remove(key);
        }
        assert_eq!(slab.blocks(), (40, 0));
        assert!(slab.has_spare());
        assert_eq!((0..).take_while(|_| slab.trim()).count(), 40 - Spare::LEAST);
        assert_eq!(slab.blocks(), (40, 40 - Spare::LEAST));
        assert!(!slab.has_spare());
        slab.check().unwrap();
    }

    #[test]
    fn a_few_blocks_stay_so_that_they_are_not_made_again_and_again() {
        let mut slab = Slab::default();
        for _ in 0..10 {
            let keys: Vec<Key> = (0..2 * BLOCK as u32).map(|n| put(&mut slab, n)).collect();
            for key in keys {
                slab.remove(key);
            }
            assert_eq!(slab.blocks(), (2, 0));
        }
    }

    #[test]
    fn a_slot_is_retired_before_its_generation_wraps() {
        let mut slab = Slab::default();
        let key = put(&mut slab, 1);
        slab.at_mut(0).unwrap().1.generation = u32::MAX - 1;
        assert!(
            slab.remove(Key {
                generation: u32::MAX - 1,
                ..key
            })
            .is_some()
        );
        let last = put(&mut slab, 2);
        assert_eq!(
            last,
            Key {
                index: 0,
                generation: u32::MAX
            }
        );
        assert!(slab.remove(last).is_some());
        assert_eq!(
            put(&mut slab, 3),
            Key {
                index: 1,
                generation: 0
            }
        );
        assert_eq!(slab.key_at(0), None);
        slab.check().unwrap();
    }
}
