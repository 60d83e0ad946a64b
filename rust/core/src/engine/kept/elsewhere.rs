//! Where a job is whose generated id does not say it: the id was made in an earlier life, or by
//! another node.
//!
//! A million of them may be in memory. Their ids are in the slab, so this is a table of indices
//! alone, and whoever asks says which id is at an index.

use crate::ids::Halves;
use hashbrown::HashTable;
use std::hash::{BuildHasher, RandomState};

/// Indices of jobs, by generated ids that hint elsewhere.
#[derive(Debug, Default)]
pub(in crate::engine) struct Elsewhere {
    indices: HashTable<u32>,
    // Who gives a file can choose the ids in it.
    hasher: RandomState,
}

impl Elsewhere {
    pub(in crate::engine) fn len(&self) -> usize {
        self.indices.len()
    }

    /// The index of the job with this id.
    pub(in crate::engine) fn find(
        &self,
        id: Halves,
        id_at: impl Fn(u32) -> Option<Halves>,
    ) -> Option<u32> {
        let is = |&index: &u32| id_at(index) == Some(id);
        self.indices.find(self.hasher.hash_one(id), is).copied()
    }

    /// Add the index of a job that is in the slab, as all that were added before still are.
    pub(in crate::engine) fn insert(
        &mut self,
        id: Halves,
        index: u32,
        id_at: impl Fn(u32) -> Option<Halves>,
    ) {
        let hasher = &self.hasher;
        let hash = |&index: &u32| hasher.hash_one(id_at(index).unwrap_or_default());
        self.indices.insert_unique(hasher.hash_one(id), index, hash);
    }

    pub(in crate::engine) fn remove(&mut self, id: Halves, index: u32) {
        let hash = self.hasher.hash_one(id);
        if let Ok(entry) = self.indices.find_entry(hash, |&at| at == index) {
            entry.remove();
        }
    }
}
