//! Where the job with an id is.
//!
//! - A generated id says so itself, if its job has not moved in the slab since the id was made.
//! - Where it does not, because the id was made in an earlier life or by another node, an index
//!   does. A million of them may be in memory, and their ids are in the slab: so this is a table of
//!   places alone, and every call says which id is at a place.
//! - A given id is found in a map.

use crate::due::queue::Key;
use crate::jobs::ids::{self, Halves, IdSource, NOWHERE};
use crate::jobs::record::Id;
use hashbrown::HashTable;
use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

/// A table that had room for no more keeps its memory when it becomes empty.
const KEPT_WHEN_EMPTY: usize = 4_096;

/// Ids of the jobs in a slab, and where they are.
#[derive(Debug)]
pub(crate) struct IdIndex {
    source: IdSource,
    given: HashMap<Arc<str>, Key>,
    /// Places of jobs whose generated id says another.
    moved: HashTable<u32>,
    // Whoever gives a file can choose the ids in it.
    hasher: RandomState,
}

impl IdIndex {
    /// # Errors
    ///
    /// When the operating system has no randomness to give.
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(IdIndex {
            source: IdSource::new()?,
            given: HashMap::new(),
            moved: HashTable::new(),
            hasher: RandomState::new(),
        })
    }

    /// Make an id for a job at this place; `None`: it is not in the slab.
    #[inline(always)]
    pub(crate) fn make(&mut self, wall: i64, index: Option<u32>) -> Halves {
        self.source.make(wall, index.unwrap_or(NOWHERE))
    }

    /// The key of the job with this id; `at` says which key and generated id are at a place.
    #[inline]
    pub(crate) fn find(
        &self,
        id: &str,
        at: impl Fn(u32) -> Option<(Key, Option<Halves>)>,
    ) -> Option<Key> {
        let generated = ids::parse(id).and_then(|id| self.find_generated(id, at));
        generated.or_else(|| self.find_given(|| id.into()))
    }

    /// The key of the job with this generated id.
    #[inline]
    pub(crate) fn find_generated(
        &self,
        id: Halves,
        at: impl Fn(u32) -> Option<(Key, Option<Halves>)>,
    ) -> Option<Key> {
        match at(self.source.index(id)) {
            Some((key, found)) if found == Some(id) => Some(key),
            _ => self.find_moved(id, &at),
        }
    }

    /// The key of the job that was given this id.
    #[inline]
    pub(crate) fn find_given<'a>(&self, id: impl FnOnce() -> Cow<'a, str>) -> Option<Key> {
        if self.given.is_empty() {
            None
        } else {
            self.given.get(&*id()).copied()
        }
    }

    fn find_moved(
        &self,
        id: Halves,
        at: &impl Fn(u32) -> Option<(Key, Option<Halves>)>,
    ) -> Option<Key> {
        if self.moved.is_empty() {
            return None;
        }
        let is = |&index: &u32| at(index).is_some_and(|(_, found)| found == Some(id));
        let index = self.moved.find(self.hasher.hash_one(id), is)?;
        at(*index).map(|(key, _)| key)
    }

    /// Add a job that is in the slab, as all that were added before still are.
    pub(crate) fn insert(
        &mut self,
        id: Id,
        key: Key,
        at: impl Fn(u32) -> Option<(Key, Option<Halves>)>,
    ) {
        match id {
            Id::Given(id) => drop(self.given.insert(id, key)),
            Id::Generated(id) if self.source.index(id) == key.index => {}
            Id::Generated(id) => {
                let hasher = &self.hasher;
                let hash = |&index: &u32| {
                    let id = at(index).and_then(|(_, id)| id);
                    hasher.hash_one(id.unwrap_or_default())
                };
                self.moved
                    .insert_unique(hasher.hash_one(id), key.index, hash);
            }
        }
    }

    /// Remove a job with a given id.
    pub(crate) fn remove_given(&mut self, id: &str) {
        self.given.remove(id);
        if self.given.is_empty() && self.given.capacity() > KEPT_WHEN_EMPTY {
            self.given = HashMap::new();
        }
    }

    /// Remove a job with a generated id, which most often says its place and is in no table.
    #[inline]
    pub(crate) fn remove_generated(&mut self, id: Halves, key: Key) {
        if !self.moved.is_empty() && self.source.index(id) != key.index {
            self.remove_moved(id, key.index);
        }
    }

    #[cold]
    fn remove_moved(&mut self, id: Halves, index: u32) {
        let hash = self.hasher.hash_one(id);
        if let Ok(entry) = self.moved.find_entry(hash, |&at| at == index) {
            entry.remove();
            if self.moved.is_empty() && self.moved.capacity() > KEPT_WHEN_EMPTY {
                self.moved = HashTable::new();
            }
        }
    }

    /// Forget all ids, and give back the memory.
    pub(crate) fn clear(&mut self) {
        self.given = HashMap::new();
        self.moved = HashTable::new();
    }

    /// Compare the index with all jobs of the slab.
    pub(crate) fn check<'a>(
        &self,
        jobs: impl Iterator<Item = (Key, Option<Halves>, Option<&'a Arc<str>>)>,
        at: impl Fn(u32) -> Option<(Key, Option<Halves>)>,
    ) -> Result<(), String> {
        let (mut given, mut moved) = (0, 0);
        for (key, generated, named) in jobs {
            if let Some(id) = named {
                given += 1;
                if self.given.get(id) != Some(&key) {
                    return Err(format!("the index of ids does not know {id:?}"));
                }
            }
            if let Some(id) = generated.filter(|id| self.source.index(*id) != key.index) {
                moved += 1;
                if self.find_moved(id, &at) != Some(key) {
                    return Err(format!("{key:?} is not found by its id"));
                }
            }
        }
        if (given, moved) != (self.given.len(), self.moved.len()) {
            return Err(format!(
                "{given} given and {moved} moved ids were counted, {} and {} are noted",
                self.given.len(),
                self.moved.len()
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::key;

    fn text(id: Halves) -> String {
        Id::Generated(id).with_str(str::to_owned)
    }

    #[test]
    fn a_job_is_found_by_its_id_wherever_it_is() {
        let mut index = IdIndex::new().unwrap();
        let mut slab: Vec<Option<Halves>> = Vec::new();
        let (mut here, mut moved) = (Vec::new(), Vec::new());
        for place in 0..200_u32 {
            // Every second was made for another place.
            let id = index.make(1_000, (place % 2 == 0).then_some(place));
            slab.push(Some(id));
            let at = |index: u32| Some((key(index), *slab.get(index as usize)?));
            index.insert(Id::Generated(id), key(place), at);
            (if place % 2 == 0 {
                &mut here
            } else {
                &mut moved
            })
            .push(id);
        }
        slab.push(None);
        let given: Arc<str> = "given".into();
        index.insert(Id::Given(given.clone()), key(200), |_| None);
        let at = |index: u32| Some((key(index), *slab.get(index as usize)?));

        for (place, id) in slab.iter().enumerate() {
            if let Some(id) = id {
                assert_eq!(index.find(&text(*id), at), Some(key(place as u32)));
            }
        }
        assert_eq!(index.find("given", at), Some(key(200)));
        let unknown = index.make(0, Some(5));
        assert_eq!(index.find(&text(unknown), at), None);
        assert_eq!(index.find("unknown", at), None);

        let jobs = || {
            let generated = (0..200).map(|place| (key(place), slab[place as usize], None));
            generated.chain([(key(200), None, Some(&given))])
        };
        index.check(jobs(), at).unwrap();
        index.check(jobs().take(200), at).unwrap_err();

        for (count, id) in moved.iter().enumerate() {
            index.remove_generated(*id, key(2 * count as u32 + 1));
            assert_eq!(index.find(&text(*id), at), None);
        }
        index.remove_given("given");
        assert_eq!(index.find("given", at), None);
        for id in &here {
            assert!(index.find(&text(*id), at).is_some());
        }
    }
}
