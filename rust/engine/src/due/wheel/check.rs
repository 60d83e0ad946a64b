//! What walks a whole wheel.

use super::{Book, Wheel};
use crate::due::level::{CHUNK, FINE_MASK, Item, SLOTS, digit, level_of};

impl Wheel {
    /// How many items lie here, the dead included.
    #[must_use]
    pub fn items(&self) -> usize {
        self.all().count()
    }

    /// How many blocks of its chunks there are, and how many of them were given back.
    #[must_use]
    pub fn blocks(&self) -> (usize, usize) {
        self.pool.blocks()
    }

    fn all(&self) -> impl Iterator<Item = Item> {
        let near = &self.near;
        let slots = self
            .levels
            .iter()
            .flat_map(|level| level.occupied().map(|n| level.slot(n)));
        let chains = slots
            .chain([&near.rest])
            .chain(self.pending.iter().map(|p| &p.chain));
        let heap = near.heap.iter().map(|early| early.0.item());
        let run = near.window[near.at..].iter().chain(&self.gathered);
        chains
            .flat_map(|chain| self.pool.items(chain))
            .chain(run)
            .copied()
            .chain(heap)
    }

    /// Walk everything: that each item lies where its order says, that sorted things are sorted,
    /// that no chunk is lost. `found` is called for each item alive.
    ///
    /// # Errors
    ///
    /// The first broken invariant, in words.
    pub fn check(&self, book: &impl Book, mut found: impl FnMut(u32)) -> Result<(), String> {
        let sorted = |items: &mut dyn Iterator<Item = &Item>| {
            let keys = items.filter_map(|item| Some((item.order, book.sequence(item)?)));
            keys.is_sorted()
        };
        if self.cursor & FINE_MASK != FINE_MASK {
            return Err(format!("the cursor {:#x} lies within a slot", self.cursor));
        }
        let mut chunks = 0;
        for (n, level) in self.levels.iter().enumerate() {
            if (self.occupied >> n & 1 == 1) != level.first().is_some() {
                return Err(format!("the bit of level {n} is wrong"));
            }
            for slot in 0..SLOTS {
                let chain = level.slot(slot);
                chunks += chain.len().div_ceil(CHUNK);
                if level.holds(slot) == chain.is_empty() {
                    return Err(format!("the bit of slot {slot} of level {n} is wrong"));
                }
                let mut count = 0;
                for item in self.pool.items(chain) {
                    count += 1;
                    let past = item.order > self.cursor;
                    if !past
                        || (level_of(item.order, self.cursor), digit(item.order, n)) != (n, slot)
                    {
                        return Err(format!("{item:?} lies in slot {slot} of level {n}"));
                    }
                    if item.order < chain.lowest {
                        return Err(format!("{item:?} is below the lowest of its slot"));
                    }
                }
                if count != chain.len() {
                    return Err(format!("slot {slot} of level {n} has {count} items"));
                }
                if chain.is_sorted() && !sorted(&mut self.pool.items(chain)) {
                    return Err(format!("slot {slot} of level {n} is not sorted"));
                }
            }
        }
        let near = &self.near;
        let run = || {
            near.window[near.at..]
                .iter()
                .chain(self.pool.items(&near.rest))
        };
        if !sorted(&mut run()) {
            return Err("the run is not sorted".into());
        }
        if run().last().is_some_and(|item| item.order > near.last) {
            return Err("the run ends past its last".into());
        }
        let heap = near.heap.iter().map(|early| early.0.item());
        if let Some(item) = run()
            .copied()
            .chain(heap)
            .find(|item| item.order > self.cursor)
        {
            return Err(format!("{item:?} is near and past the cursor"));
        }
        if let Some(pending) = &self.pending
            && self
                .pool
                .items(&pending.chain)
                .any(|item| item.order < pending.lowest)
        {
            return Err("a pending item is below their lowest".into());
        }
        let pending = self.pending.iter().map(|pending| &pending.chain);
        for chain in pending.chain([&near.rest]) {
            // What is being read off begins with a full chunk, or is the last one.
            chunks += chain.len().div_ceil(CHUNK);
        }
        self.pool.check()?;
        let (all, free) = self.pool.chunks();
        if chunks + free != all {
            return Err(format!("{chunks} chunks used and {free} free, of {all}"));
        }
        self.all()
            .filter(|item| book.sequence(item).is_some())
            .for_each(|item| found(item.index));
        Ok(())
    }
}
