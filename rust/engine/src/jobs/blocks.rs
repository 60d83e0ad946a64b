//! What only some jobs have beside their entry, by number, in blocks that are given back.

use crate::due::free::{FreeSet, Spare};
use slab::Slab;
use std::ops::{Index, IndexMut};

/// Values by number: the lowest block that has room is used first.
#[derive(Debug)]
pub(crate) struct Blocks<T> {
    blocks: Vec<Slab<T>>,
    /// The blocks that have room.
    room: FreeSet,
    spare: Spare,
    len: usize,
}

impl<T> Default for Blocks<T> {
    fn default() -> Self {
        Blocks {
            blocks: Vec::new(),
            room: FreeSet::default(),
            spare: Spare::default(),
            len: 0,
        }
    }
}

impl<T> Blocks<T> {
    /// How many are in a block, which is as large as what an allocator asks the system for by itself, and gives back so.
    const BLOCK: usize = (1 << 18) / size_of::<T>().next_power_of_two();

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.blocks
            .iter()
            .flat_map(|block| block.iter().map(|(_, value)| value))
    }

    pub(crate) fn insert(&mut self, value: T) -> usize {
        self.len += 1;
        let block = self.room.first().unwrap_or_else(|| {
            self.blocks.push(Slab::new());
            self.room.insert(self.blocks.len() - 1);
            self.blocks.len() - 1
        });
        if self.blocks[block].capacity() == 0 {
            self.blocks[block].reserve(Self::BLOCK);
        }
        let at = self.blocks[block].insert(value);
        if self.blocks[block].len() == Self::BLOCK {
            self.room.take_first();
        }
        block * Self::BLOCK + at
    }

    #[inline]
    pub(crate) fn get(&self, number: usize) -> Option<&T> {
        self.blocks
            .get(number / Self::BLOCK)?
            .get(number % Self::BLOCK)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, number: usize) -> Option<&mut T> {
        self.blocks
            .get_mut(number / Self::BLOCK)?
            .get_mut(number % Self::BLOCK)
    }

    pub(crate) fn remove(&mut self, number: usize) -> T {
        let at = number / Self::BLOCK;
        let block = &mut self.blocks[at];
        if block.len() == Self::BLOCK {
            self.room.insert(at);
        }
        let value = block.remove(number % Self::BLOCK);
        self.len -= 1;
        if block.is_empty() {
            self.give_back(at);
        }
        value
    }

    #[cold]
    fn give_back(&mut self, block: usize) {
        self.spare.emptied(block);
        for _ in 0..2 {
            let Some(block) = self.spare.take(self.len / Self::BLOCK) else {
                return;
            };
            if self.blocks[block].is_empty() {
                // Made again, at its full size, when it is used.
                self.blocks[block] = Slab::new();
            }
        }
    }
}

impl<T> Index<usize> for Blocks<T> {
    type Output = T;

    fn index(&self, number: usize) -> &T {
        &self.blocks[number / Self::BLOCK][number % Self::BLOCK]
    }
}

impl<T> IndexMut<usize> for Blocks<T> {
    fn index_mut(&mut self, number: usize) -> &mut T {
        &mut self.blocks[number / Self::BLOCK][number % Self::BLOCK]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_kept_and_blocks_given_back() {
        const BLOCK: usize = Blocks::<[usize; 5]>::BLOCK;
        assert_eq!(BLOCK, 4_096);
        let mut all = Blocks::default();
        for _ in 0..3 {
            let numbers: Vec<usize> = (0..20 * BLOCK)
                .map(|value| all.insert([value; 5]))
                .collect();
            assert_eq!(all.blocks.len(), 20);
            assert!(all.iter().map(|value| value[4]).eq(0..20 * BLOCK));
            for (value, &number) in numbers.iter().enumerate().rev() {
                assert_eq!(all[number][0], value);
                assert_eq!(all.remove(number)[0], value);
                assert!(all.get(number).is_none());
            }
            assert_eq!(all.len(), 0);
            let made = all.blocks.iter().filter(|block| block.capacity() > 0);
            assert!(made.count() <= Spare::LEAST);
        }
    }
}
