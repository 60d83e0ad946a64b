//! What has started of each target: how many, how late, and how long it took. Behind the lane's lock.

use crate::handover::histogram::Histogram;

/// What has started of one target.
#[derive(Clone, Debug, Default)]
pub struct Starts {
    /// Executions that were taken up, those that turned out to have no handler included.
    pub started: u64,
    /// Start minus due, of each, in nanoseconds.
    pub lateness: Histogram,
    /// From the call of the handler to its end, of each that has ended, in nanoseconds.
    pub runtime: Histogram,
}

impl Starts {
    /// Count what another has counted, too.
    pub fn add(&mut self, other: &Starts) {
        self.started += other.started;
        self.lateness.add(&other.lateness);
        self.runtime.add(&other.runtime);
    }
}

/// The same of all targets, by their numbers. One of which nothing has started costs a pointer.
#[derive(Debug, Default)]
pub(crate) struct StartsByTarget {
    numbered: Vec<Option<Box<Starts>>>,
    forgotten: Starts,
}

impl StartsByTarget {
    /// Count of a target.
    #[inline(always)]
    pub(crate) fn note(&mut self, target: u32, count: impl FnOnce(&mut Starts)) {
        match self.numbered.get_mut(target as usize) {
            Some(Some(starts)) => count(starts),
            _ => self.note_first(target as usize, count),
        }
    }

    /// The same of one that has none.
    #[cold]
    #[inline(never)]
    fn note_first(&mut self, at: usize, count: impl FnOnce(&mut Starts)) {
        if self.numbered.len() <= at {
            self.numbered.resize_with(at + 1, || None);
        }
        count(self.numbered[at].get_or_insert_default());
    }

    /// Those of a target, if any have been.
    pub(crate) fn of(&self, target: u32) -> Option<&Starts> {
        self.numbered.get(target as usize)?.as_deref()
    }

    /// One past the highest number of a target of which something has started.
    pub(crate) fn len(&self) -> usize {
        self.numbered.len()
    }

    /// Those of targets that were forgotten, together.
    pub(crate) fn forgotten(&self) -> &Starts {
        &self.forgotten
    }

    /// Forget a target; what has been counted of it stays counted.
    pub(crate) fn forget(&mut self, target: u32) {
        let starts = self.numbered.get_mut(target as usize);
        if let Some(starts) = starts.and_then(Option::take) {
            self.forgotten.add(&starts);
        }
    }
}
