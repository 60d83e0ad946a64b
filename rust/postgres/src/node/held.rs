//! Which jobs this node holds: their ids in the tables, by the sequences that the engine calls them by.

use std::collections::{HashMap, HashSet};
use uuid::Uuid;

/// The jobs that are claimed for this node.
#[derive(Debug, Default)]
pub(crate) struct Held {
    ids: HashMap<u64, Uuid>,
    /// The same by id.
    seqs: HashMap<Uuid, u64>,
    /// Those that have begun.
    begun: HashSet<u64>,
    /// Those that are repeats.
    repeats: HashSet<Uuid>,
}

impl Held {
    pub(crate) fn insert(&mut self, seq: u64, id: Uuid) {
        self.ids.insert(seq, id);
        self.seqs.insert(id, seq);
    }

    /// The job of this id is a repeat.
    pub(crate) fn note_repeat(&mut self, id: Uuid) {
        self.repeats.insert(id);
    }

    pub(crate) fn is_repeat(&self, id: Uuid) -> bool {
        self.repeats.contains(&id)
    }

    /// What the engine calls the job of this id, if it has it.
    pub(crate) fn seq(&self, id: Uuid) -> Option<u64> {
        self.seqs.get(&id).copied()
    }

    pub(crate) fn id(&self, seq: u64) -> Option<Uuid> {
        self.ids.get(&seq).copied()
    }

    pub(crate) fn has(&self, id: Uuid) -> bool {
        self.seqs.contains_key(&id)
    }

    pub(crate) fn remove(&mut self, seq: u64) -> Option<Uuid> {
        self.begun.remove(&seq);
        let id = self.ids.remove(&seq)?;
        self.seqs.remove(&id);
        self.repeats.remove(&id);
        Some(id)
    }

    /// The job of this id was withdrawn or moved by a question.
    pub(crate) fn forget(&mut self, id: Uuid) {
        if let Some(seq) = self.seqs.get(&id).copied() {
            self.remove(seq);
        }
    }

    pub(crate) fn rename(&mut self, seq: u64, to: u64) -> Option<Uuid> {
        let is_repeat = self.id(seq).is_some_and(|id| self.is_repeat(id));
        let id = self.remove(seq)?;
        self.insert(to, id);
        if is_repeat {
            self.note_repeat(id);
        }
        Some(id)
    }

    pub(crate) fn begin(&mut self, seq: u64) -> Option<Uuid> {
        let id = self.id(seq)?;
        self.begun.insert(seq);
        Some(id)
    }

    pub(crate) fn release(&mut self, seq: u64) -> Option<Uuid> {
        self.begun.remove(&seq);
        self.id(seq)
    }

    pub(crate) fn clear(&mut self) {
        self.ids.clear();
        self.seqs.clear();
        self.begun.clear();
        self.repeats.clear();
    }

    pub(crate) fn all(&self) -> Vec<Uuid> {
        self.ids.values().copied().collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(crate) fn running(&self) -> usize {
        self.begun.len()
    }
}
