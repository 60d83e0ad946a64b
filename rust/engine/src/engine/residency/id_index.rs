//! Where a job is whose generated id does not say it: the id was made in an earlier life, or by
//! another node.
//!
//! A million of them may be in memory. Their ids are in the slab, so this is a table of indices
//! alone, and whoever asks says which id is at an index.

use crate::due::queue::{DueQueue, Key};
use crate::engine::State;
use crate::jobs::details::Details;
use crate::jobs::ids::Halves;
use crate::jobs::record::{Id, Payload, Record};
use hashbrown::HashTable;
use std::hash::{BuildHasher, RandomState};

/// A table that had room for no more is kept for others.
const FEW: usize = 4_096;

/// Indices of jobs, by generated ids that hint elsewhere.
#[derive(Debug, Default)]
pub(in crate::engine) struct IdIndex {
    indices: HashTable<u32>,
    // Who gives a file can choose the ids in it.
    hasher: RandomState,
}

impl IdIndex {
    fn len(&self) -> usize {
        self.indices.len()
    }

    /// The index of the job with this id.
    fn find(&self, id: Halves, id_at: impl Fn(u32) -> Option<Halves>) -> Option<u32> {
        let is = |&index: &u32| id_at(index) == Some(id);
        self.indices.find(self.hasher.hash_one(id), is).copied()
    }

    /// Add the index of a job that is in the slab, as all that were added before still are.
    fn insert(&mut self, id: Halves, index: u32, id_at: impl Fn(u32) -> Option<Halves>) {
        let hasher = &self.hasher;
        let hash = |&index: &u32| hasher.hash_one(id_at(index).unwrap_or_default());
        self.indices.insert_unique(hasher.hash_one(id), index, hash);
    }

    fn remove(&mut self, id: Halves, index: u32) {
        let hash = self.hasher.hash_one(id);
        if let Ok(entry) = self.indices.find_entry(hash, |&at| at == index) {
            entry.remove();
            if self.indices.is_empty() && self.indices.capacity() > FEW {
                self.indices = HashTable::new();
            }
        }
    }
}

/// The id of a job, if an engine made it.
#[inline]
pub(in crate::engine) fn generated<P: Payload>(
    record: &Record<P>,
    details: &Details,
) -> Option<Halves> {
    match record.detail() {
        None => Some(record.id()),
        Some(detail) => match details[detail].id {
            Id::Generated(id) => Some(id),
            Id::Given(_) => None,
        },
    }
}

fn generated_at<P: Payload>(
    queue: &DueQueue<Record<P>>,
    details: &Details,
    index: u32,
) -> Option<Halves> {
    let entry = queue.get(queue.key_at(index)?)?;
    generated(entry.value, details)
}

impl<P: Payload> State<P> {
    /// A job with a generated id came in here: note where, unless the id says it.
    pub(in crate::engine) fn index_id(&mut self, id: Halves, key: Key) {
        if let Some(residency) = &mut self.residency
            && self.ids.index(id) != key.index
        {
            let id_at = |index| generated_at(&self.queue, &self.details, index);
            residency.id_index.insert(id, key.index, id_at);
        }
    }

    /// The key of a job whose generated id does not say where it is.
    pub(in crate::engine) fn find_indexed(&self, id: Halves) -> Option<Key> {
        let residency = self.residency.as_ref()?;
        let id_at = |index| generated_at(&self.queue, &self.details, index);
        let index = residency.id_index.find(id, id_at)?;
        self.queue.key_at(index)
    }

    /// A job is no longer in the slab; its side, if it has one, still is.
    pub(in crate::engine) fn unindex_id(&mut self, key: Key, record: &Record<P>) {
        if let Some(id) = generated(record, &self.details)
            && let Some(residency) = &mut self.residency
            && self.ids.index(id) != key.index
        {
            residency.id_index.remove(id, key.index);
        }
    }

    /// Compare the generated ids in the slab with where they are said to be.
    pub(in crate::engine) fn check_id_index(&self) -> Result<(), String> {
        let Some(residency) = &self.residency else {
            return Ok(());
        };
        let mut counted = 0;
        for (key, entry) in self.queue.iter() {
            let id = generated(entry.value, &self.details);
            let Some(id) = id.filter(|id| self.ids.index(*id) != key.index) else {
                continue;
            };
            counted += 1;
            if self.find_indexed(id) != Some(key) {
                return Err(format!("{key:?} is not found by its id"));
            }
        }
        let noted = residency.id_index.len();
        if counted != noted {
            return Err(format!("{counted} jobs are elsewhere, {noted} are noted"));
        }
        Ok(())
    }
}
