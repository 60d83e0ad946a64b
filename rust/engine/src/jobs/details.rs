//! What only some jobs have beside their entry, by number, in blocks that are given back.

use crate::due::free::{FreeSet, Spare};
use crate::jobs::record::Detail;
use slab::Slab;
use std::ops::{Index, IndexMut};

/// A block is as large as what an allocator asks the system for by itself, and gives back so.
const BLOCK: usize = 4096;

/// Details by number: the lowest block that has room is used first.
#[derive(Debug, Default)]
pub(crate) struct Details {
    blocks: Vec<Slab<Detail>>,
    /// The blocks that have room.
    room: FreeSet,
    spare: Spare,
    len: usize,
}

impl Details {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn insert(&mut self, detail: Detail) -> usize {
        self.len += 1;
        let block = self.room.first().unwrap_or_else(|| {
            self.blocks.push(Slab::new());
            self.room.insert(self.blocks.len() - 1);
            self.blocks.len() - 1
        });
        if self.blocks[block].capacity() == 0 {
            self.blocks[block].reserve(BLOCK);
        }
        let at = self.blocks[block].insert(detail);
        if self.blocks[block].len() == BLOCK {
            self.room.take_first();
        }
        block * BLOCK + at
    }

    pub(crate) fn get(&self, number: usize) -> Option<&Detail> {
        self.blocks.get(number / BLOCK)?.get(number % BLOCK)
    }

    pub(crate) fn remove(&mut self, number: usize) -> Detail {
        let at = number / BLOCK;
        let block = &mut self.blocks[at];
        if block.len() == BLOCK {
            self.room.insert(at);
        }
        let detail = block.remove(number % BLOCK);
        self.len -= 1;
        if block.is_empty() {
            self.give_back(at);
        }
        detail
    }

    #[cold]
    fn give_back(&mut self, block: usize) {
        self.spare.emptied(block);
        for _ in 0..2 {
            let Some(block) = self.spare.take(self.len / BLOCK) else {
                return;
            };
            if self.blocks[block].is_empty() {
                // Made again, at its full size, when it is used.
                self.blocks[block] = Slab::new();
            }
        }
    }
}

impl Index<usize> for Details {
    type Output = Detail;

    fn index(&self, number: usize) -> &Detail {
        &self.blocks[number / BLOCK][number % BLOCK]
    }
}

impl IndexMut<usize> for Details {
    fn index_mut(&mut self, number: usize) -> &mut Detail {
        &mut self.blocks[number / BLOCK][number % BLOCK]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::record::Id;
    use duewheel_model::job::Progress;

    #[test]
    fn numbers_are_kept_and_blocks_given_back() {
        let detail = |run| Detail {
            id: Id::Generated([0, 0]),
            job_due: 0,
            progress: Progress {
                run,
                ..Progress::NEW
            },
        };
        let mut details = Details::default();
        for _ in 0..3 {
            let numbers: Vec<usize> = (0..20 * BLOCK as u32)
                .map(|run| details.insert(detail(run)))
                .collect();
            assert_eq!(details.blocks.len(), 20);
            for (run, &number) in numbers.iter().enumerate().rev() {
                assert_eq!(details[number].progress.run, run as u32);
                assert_eq!(details.remove(number).progress.run, run as u32);
                assert!(details.get(number).is_none());
            }
            assert_eq!(details.len(), 0);
            let made = details.blocks.iter().filter(|block| block.capacity() > 0);
            assert!(made.count() <= Spare::LEAST);
        }
    }
}
