//! Where entries live: found by index, held by a key that goes stale when its entry is removed.
//!
//! Free slots are taken lowest index first, not last freed first: entries expire in an order that
//! has nothing to do with memory, and a list of free slots in that order would scatter every later
//! insert. They are a bitset with summaries above it, so that the lowest is a few words away.
//!
//! Slots lie in blocks of a fixed size that never move: growing copies nothing.

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
    blocks: Vec<Vec<Slot<T>>>,
    free: FreeSet,
    slots: usize,
    len: usize,
    retired: usize,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self {
            blocks: Vec::new(),
            free: FreeSet::default(),
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
        let old = std::mem::replace(slot, Slot::Vacant(next.unwrap_or(u32::MAX)));
        if next.is_some() {
            self.free.insert(index);
        } else {
            self.retired += 1;
        }
        self.len -= 1;
        match old {
            Slot::Live(entry) => Some(entry),
            Slot::Vacant(_) => None,
        }
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
        self.blocks
            .iter()
            .flatten()
            .enumerate()
            .filter_map(|(index, slot)| match slot {
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

    /// Compare the counts and the set of free slots with the slots themselves.
    ///
    /// # Errors
    ///
    /// The first difference, in words.
    pub fn check(&self) -> Result<(), String> {
        self.free.check()?;
        let (mut live, mut unused) = (0, 0);
        for (index, slot) in self.blocks.iter().flatten().enumerate() {
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

/// A set of indices whose lowest is found in one word a level.
#[derive(Debug, Default)]
struct FreeSet {
    // A bit of level n + 1 says whether that word of level n is not zero. The last level is one word.
    levels: Vec<Vec<u64>>,
}

impl FreeSet {
    fn insert(&mut self, index: usize) {
        let mut at = index;
        for level in &mut self.levels {
            let (word, bit) = (at / 64, 1 << (at % 64));
            let Some(bits) = level.get_mut(word) else {
                return self.grow(index);
            };
            let was = *bits;
            *bits |= bit;
            if was != 0 {
                return;
            }
            at = word;
        }
        if at > 0 || self.levels.is_empty() {
            self.grow(index);
        }
    }

    // Makes room for an index, and sets it: every summary is made anew, which is rare (the words
    // double each time).
    #[cold]
    fn grow(&mut self, index: usize) {
        let mut bits = if self.levels.is_empty() {
            Vec::new()
        } else {
            self.levels.swap_remove(0)
        };
        bits.resize((index / 64 + 1).next_power_of_two(), 0);
        bits[index / 64] |= 1 << (index % 64);
        self.levels = vec![bits];
        while let Some(below) = self.levels.last()
            && below.len() > 1
        {
            let summary = below.chunks(64).map(|words| {
                words
                    .iter()
                    .enumerate()
                    .fold(0, |all, (n, &word)| all | u64::from(word != 0) << n)
            });
            let summary = summary.collect();
            self.levels.push(summary);
        }
    }

    #[inline]
    fn first(&self) -> Option<usize> {
        if *self.levels.last()?.first()? == 0 {
            return None;
        }
        let below = |at: usize, level: &Vec<u64>| at * 64 + level[at].trailing_zeros() as usize;
        Some(self.levels.iter().rev().fold(0, below))
    }

    #[inline]
    fn take_first(&mut self) -> Option<usize> {
        let at = self.first()?;
        let mut bit = at;
        for level in &mut self.levels {
            let word = bit / 64;
            level[word] &= level[word] - 1;
            if level[word] != 0 {
                break;
            }
            bit = word;
        }
        Some(at)
    }

    fn contains(&self, index: usize) -> bool {
        let word = self.levels.first().and_then(|bits| bits.get(index / 64));
        word.is_some_and(|word| word >> (index % 64) & 1 == 1)
    }

    fn check(&self) -> Result<(), String> {
        for (n, pair) in self.levels.windows(2).enumerate() {
            for (word, &bits) in pair[0].iter().enumerate() {
                if (bits != 0) != (pair[1][word / 64] >> (word % 64) & 1 == 1) {
                    return Err(format!(
                        "the summary of word {word} of free level {n} is wrong"
                    ));
                }
            }
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
