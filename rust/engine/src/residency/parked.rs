//! Jobs that are parked on disk: not in memory for want of a handler, however many there are.
//!
//! - They are before the frontier, so their sequences are known: to count them, and to pass over them
//!   in a page.
//! - A handler that comes lets the pages begin again, from the first place on.

use roaring::RoaringTreemap;
use std::collections::HashMap;

/// The jobs of one target that are parked on disk.
#[derive(Debug, Default)]
struct Waiting {
    seqs: RoaringTreemap,
    /// It has a handler: what is listed here is about to come in.
    handled: bool,
}

/// The jobs that are parked on disk, by the name of their target: nothing else may speak of it.
#[derive(Debug, Default)]
pub(crate) struct ParkedOnDisk(HashMap<Box<str>, Waiting>);

impl ParkedOnDisk {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The jobs of a target, if this one is among them.
    fn with(&self, target: &str, seq: u64) -> Option<&Waiting> {
        let waiting = self.0.get(target);
        waiting.filter(|waiting| waiting.seqs.contains(seq))
    }

    /// A parked job is no longer in memory.
    pub(crate) fn add(&mut self, target: &str, seq: u64) {
        if let Some(waiting) = self.0.get_mut(target) {
            waiting.seqs.insert(seq);
        } else {
            let waiting = self.0.entry(target.into()).or_default();
            waiting.seqs.insert(seq);
        }
    }

    /// A job is parked on disk no longer.
    pub(crate) fn forget(&mut self, seq: u64) {
        self.0.retain(|_, waiting| {
            waiting.seqs.remove(seq);
            !waiting.seqs.is_empty()
        });
    }

    /// How many jobs are parked on disk.
    pub(crate) fn len(&self) -> u64 {
        self.0.values().map(|waiting| waiting.seqs.len()).sum()
    }

    /// How many jobs of each target are parked on disk and have no handler still.
    pub(crate) fn by_target(&self) -> impl Iterator<Item = (&str, u64)> {
        let parked = self.0.iter().filter(|(_, waiting)| !waiting.handled);
        parked.map(|(target, waiting)| (&**target, waiting.seqs.len()))
    }

    /// How many of them have no handler still.
    pub(crate) fn unhandled(&self) -> u64 {
        let parked = self.0.values().filter(|waiting| !waiting.handled);
        parked.map(|waiting| waiting.seqs.len()).sum()
    }

    pub(crate) fn has(&self, target: &str, seq: u64) -> bool {
        self.with(target, seq).is_some()
    }

    /// Whether a job that has come with a page is to stay parked on disk; `Some(false)`: it was, and
    /// is to come in.
    pub(crate) fn keeps(&self, target: &str, seq: u64) -> Option<bool> {
        self.with(target, seq).map(|waiting| !waiting.handled)
    }

    /// A target has a handler or has lost it; whether jobs of it are parked on disk.
    pub(crate) fn set_handled(&mut self, target: &str, handled: bool) -> bool {
        let waiting = self.0.get_mut(target);
        waiting.map(|waiting| waiting.handled = handled).is_some()
    }

    /// Forget all: with the engine's end they are pending in the store.
    pub(crate) fn clear(&mut self) {
        self.0 = HashMap::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parked_jobs_are_kept_until_their_target_has_a_handler() {
        let mut parked = ParkedOnDisk::default();
        for seq in 0..10 {
            parked.add(if seq % 2 == 0 { "even" } else { "odd" }, seq);
        }
        assert_eq!((parked.len(), parked.unhandled()), (10, 10));
        assert_eq!(parked.keeps("even", 4), Some(true));
        assert_eq!(
            (parked.keeps("even", 3), parked.keeps("none", 4)),
            (None, None)
        );
        assert!(parked.set_handled("even", true) && !parked.set_handled("none", true));
        assert_eq!((parked.len(), parked.unhandled()), (10, 5));
        assert_eq!(parked.keeps("even", 4), Some(false));
        for seq in 0..10 {
            assert!(!parked.is_empty());
            parked.forget(seq);
        }
        assert!(parked.is_empty() && !parked.has("even", 4));
    }
}
