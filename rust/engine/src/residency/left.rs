//! Due jobs that are left on disk, however many there are: parked for want of a handler, or held until their turn.
//!
//! - They are before the frontier, so their sequences are known: to count them, and to pass over them
//!   in a page.
//! - What is parked comes in when a handler comes, which lets the pages begin again, from the first place on.
//! - What is held comes in with pages of its target alone.

use roaring::RoaringTreemap;
use std::collections::HashMap;

/// Why jobs are left on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Why {
    /// Their target has no handler.
    #[default]
    Parked,
    /// It may start no more of them now.
    Held,
    /// They are no longer: pages bring them in.
    Come,
}

/// The jobs of one target that are left on disk.
#[derive(Debug, Default)]
struct Waiting {
    seqs: RoaringTreemap,
    why: Why,
}

/// The jobs that are left on disk, by the name of their target: nothing else may speak of it.
#[derive(Debug, Default)]
pub(crate) struct LeftOnDisk(HashMap<Box<str>, Waiting>);

impl LeftOnDisk {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The jobs of a target, if this one is among them.
    fn with(&self, target: &str, seq: u64) -> Option<&Waiting> {
        let waiting = self.0.get(target);
        waiting.filter(|waiting| waiting.seqs.contains(seq))
    }

    /// A job is not in memory; all of its target are left for the same reason.
    pub(crate) fn add(&mut self, target: &str, seq: u64, why: Why) {
        if !self.0.contains_key(target) {
            self.0.insert(target.into(), Waiting::default());
        }
        if let Some(waiting) = self.0.get_mut(target) {
            waiting.seqs.insert(seq);
            waiting.why = why;
        }
    }

    /// A job is left on disk no longer.
    pub(crate) fn forget(&mut self, seq: u64) {
        self.0.retain(|_, waiting| {
            waiting.seqs.remove(seq);
            !waiting.seqs.is_empty()
        });
    }

    /// No job of a target is left on disk any more.
    pub(crate) fn forget_all_of(&mut self, target: &str) {
        self.0.remove(target);
    }

    /// How many jobs are left on disk.
    pub(crate) fn len(&self) -> u64 {
        self.0.values().map(|waiting| waiting.seqs.len()).sum()
    }

    /// How many jobs of a target are left on disk.
    pub(crate) fn len_of(&self, target: &str) -> u64 {
        self.0.get(target).map_or(0, |waiting| waiting.seqs.len())
    }

    /// How many jobs of each target are parked on disk.
    pub(crate) fn parked_by_target(&self) -> impl Iterator<Item = (&str, u64)> {
        let parked = self
            .0
            .iter()
            .filter(|(_, waiting)| waiting.why == Why::Parked);
        parked.map(|(target, waiting)| (&**target, waiting.seqs.len()))
    }

    /// How many jobs are parked on disk.
    pub(crate) fn parked(&self) -> u64 {
        let parked = self.0.values().filter(|waiting| waiting.why == Why::Parked);
        parked.map(|waiting| waiting.seqs.len()).sum()
    }

    pub(crate) fn has(&self, target: &str, seq: u64) -> bool {
        self.with(target, seq).is_some()
    }

    /// Why a job that has come with a page was left on disk, if it was.
    pub(crate) fn why(&self, target: &str, seq: u64) -> Option<Why> {
        self.with(target, seq).map(|waiting| waiting.why)
    }

    /// Why jobs of a target are left on disk, if some are.
    pub(crate) fn why_of(&self, target: &str) -> Option<Why> {
        self.0.get(target).map(|waiting| waiting.why)
    }

    /// The jobs of a target are left for another reason from now on; whether there are any.
    pub(crate) fn set_why(&mut self, target: &str, why: Why) -> bool {
        let waiting = self.0.get_mut(target);
        waiting.map(|waiting| waiting.why = why).is_some()
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
        let mut left = LeftOnDisk::default();
        for seq in 0..10 {
            left.add(if seq % 2 == 0 { "even" } else { "odd" }, seq, Why::Parked);
        }
        assert_eq!((left.len(), left.parked()), (10, 10));
        assert_eq!(left.why("even", 4), Some(Why::Parked));
        assert_eq!((left.why("even", 3), left.why("none", 4)), (None, None));
        assert!(left.set_why("even", Why::Held) && !left.set_why("none", Why::Held));
        assert_eq!((left.len(), left.parked(), left.len_of("even")), (10, 5, 5));
        assert_eq!(left.why("even", 4), Some(Why::Held));
        for seq in 0..10 {
            assert!(!left.is_empty());
            left.forget(seq);
        }
        assert!(left.is_empty() && !left.has("even", 4));
        left.add("even", 4, Why::Held);
        left.forget_all_of("even");
        assert!(left.is_empty());
    }
}
