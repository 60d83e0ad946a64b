//! The repeats among the jobs of a table.

use super::JobTable;
use crate::due::queue::Key;
use crate::jobs::record::{Comes, Payload};
use crate::jobs::repeat::Repeat;
use crate::jobs::repeats::Plan;
use std::sync::Arc;

impl<P: Payload> JobTable<P> {
    /// Make a job one that comes again.
    pub(crate) fn set_repeat(&mut self, key: Key, mut repeat: Repeat<P>) {
        if self.make_detail(key).is_none() {
            return;
        }
        repeat.plan = self.shared(repeat.plan);
        repeat.index = key.index;
        let number = self.repeats.insert(repeat);
        if let Some(record) = self.queue.get_mut(key) {
            record.set_repeat(number);
        }
        self.hold(key);
    }

    /// This plan, or one that is kept already and is equal.
    pub(crate) fn shared(&mut self, plan: Arc<Plan>) -> Arc<Plan> {
        self.plans.shared(plan)
    }

    /// How many repeats there are.
    pub(crate) fn repeat_count(&self) -> usize {
        self.repeats.len()
    }

    /// The repeat that a job is, if it is one.
    #[inline]
    pub(crate) fn repeat(&self, key: Key) -> Option<&Repeat<P>> {
        let number = self.queue.get(key)?.value.repeat()?;
        self.repeats.get(number)
    }

    /// The same, to be changed; what it is held back by is [noted](Self::hold) thereafter.
    #[inline]
    pub(crate) fn repeat_mut(&mut self, key: Key) -> Option<&mut Repeat<P>> {
        let number = self.queue.get(key)?.value.repeat()?;
        self.repeats.get_mut(number)
    }

    /// Note whether a repeat is held back.
    pub(crate) fn hold(&mut self, key: Key) {
        let Some(repeat) = self.repeat(key) else {
            return;
        };
        let comes = if repeat.is_held() {
            Comes::Held
        } else {
            Comes::Again
        };
        if let Some(record) = self.queue.get_mut(key) {
            record.set_comes(comes);
        }
    }

    /// Note when a job with a detail was first due.
    pub(crate) fn set_job_due(&mut self, key: Key, job_due: i64) {
        if let Some(detail) = self.make_detail(key) {
            detail.job_due = job_due;
        }
    }

    /// Give a job another payload; the old one.
    pub(crate) fn swap_payload(&mut self, key: Key, payload: P) -> Option<P> {
        let record = self.queue.get_mut(key)?;
        Some(std::mem::replace(&mut record.payload, payload))
    }

    /// The keys of all repeats, in the order of the slab.
    pub(crate) fn repeat_keys(&self) -> Vec<Key> {
        let mut indices: Vec<u32> = self.repeats.iter().map(|repeat| repeat.index).collect();
        indices.sort_unstable();
        let keys = indices.into_iter();
        keys.filter_map(|index| self.queue.key_at(index)).collect()
    }
}
