//! Which places are free, and which blocks of them are to be given back.

use std::collections::BTreeSet;
use std::ops::Range;

/// A set of indices whose lowest is found in one word a level.
#[derive(Debug, Default)]
pub(crate) struct FreeSet {
    // A bit of level n + 1 says whether that word of level n is not zero. The last level is one word.
    levels: Vec<Vec<u64>>,
}

impl FreeSet {
    /// Add an index; whether its word is full now.
    #[inline]
    pub(crate) fn insert(&mut self, index: usize) -> bool {
        let (word, bit) = (index / 64, 1 << (index % 64));
        let lowest = self.levels.first_mut();
        let Some(bits) = lowest.and_then(|words| words.get_mut(word)) else {
            self.grow(index);
            return false;
        };
        let was = *bits;
        *bits |= bit;
        let full = *bits == u64::MAX;
        if was == 0 {
            self.summarise(word);
        }
        full
    }

    // A word of the lowest level is no longer zero.
    fn summarise(&mut self, mut at: usize) {
        for level in &mut self.levels[1..] {
            let word = &mut level[at / 64];
            let was = *word;
            *word |= 1 << (at % 64);
            if was != 0 {
                return;
            }
            at /= 64;
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

    /// The lowest index.
    #[inline]
    pub(crate) fn first(&self) -> Option<usize> {
        if *self.levels.last()?.first()? == 0 {
            return None;
        }
        let below = |at: usize, level: &Vec<u64>| at * 64 + level[at].trailing_zeros() as usize;
        Some(self.levels.iter().rev().fold(0, below))
    }

    /// Take the lowest index out.
    #[inline]
    pub(crate) fn take_first(&mut self) -> Option<usize> {
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

    /// Whether an index is in it.
    pub(crate) fn contains(&self, index: usize) -> bool {
        let word = self.levels.first().and_then(|bits| bits.get(index / 64));
        word.is_some_and(|word| word >> (index % 64) & 1 == 1)
    }

    /// Whether all indices of a range are in it, which begins and ends with a word.
    pub(crate) fn holds_all(&self, range: Range<usize>) -> bool {
        let words = range.start / 64..range.end / 64;
        let words = self.levels.first().and_then(|bits| bits.get(words));
        words.is_some_and(|words| words.iter().all(|&word| word == u64::MAX))
    }

    /// Compare the summaries with what they say.
    pub(crate) fn check(&self) -> Result<(), String> {
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

/// Blocks that hold nothing. A few stay, by how many are in use, lest a load that comes and goes makes
/// them again and again.
#[derive(Debug, Default)]
pub(crate) struct Spare {
    // Some may be in use again.
    blocks: BTreeSet<usize>,
}

impl Spare {
    /// So many stay, however few are in use.
    pub(crate) const LEAST: usize = 2;
    /// And one for so many that are in use.
    pub(crate) const PART: usize = 8;

    /// A block holds nothing any more.
    pub(crate) fn emptied(&mut self, block: usize) {
        self.blocks.insert(block);
    }

    /// Whether there are more than are to stay.
    #[inline]
    pub(crate) fn is_too_many(&self, in_use: usize) -> bool {
        self.blocks.len() > Self::LEAST + in_use / Self::PART
    }

    /// A block to be given back, if it still holds nothing: the highest, for the lowest are used first.
    pub(crate) fn take(&mut self, in_use: usize) -> Option<usize> {
        if self.is_too_many(in_use) {
            self.blocks.pop_last()
        } else {
            None
        }
    }
}
