//! The repeats among the jobs of a table.

use super::JobTable;
use crate::due::queue::Key;
use crate::jobs::record::{Comes, Payload};
use crate::jobs::repeats::Repeat;

impl<P: Payload> JobTable<P> {
    /// Make a job with a detail one that comes again.
    pub(crate) fn set_repeat(&mut self, key: Key, repeat: Repeat<P>) {
        if self.make_detail(key).is_none() {
            return;
        }
        let number = self.queue.get(key).and_then(|entry| entry.value.detail());
        if let Some(number) = number {
            self.repeats.insert(number, key, repeat);
            self.hold(key);
        }
    }

    /// How many repeats there are.
    pub(crate) fn repeat_count(&self) -> usize {
        self.repeats.len()
    }

    /// The repeat that a job is, if it is one.
    pub(crate) fn repeat(&self, key: Key) -> Option<&Repeat<P>> {
        let record = self.queue.get(key)?.value;
        if record.comes() == Comes::Once {
            return None;
        }
        self.repeats.get(record.detail()?)
    }

    /// The same, to be changed; what it is held back by is [noted](Self::hold) thereafter.
    pub(crate) fn repeat_mut(&mut self, key: Key) -> Option<&mut Repeat<P>> {
        let record = self.queue.get(key)?.value;
        if record.comes() == Comes::Once {
            return None;
        }
        self.repeats.get_mut(record.detail()?)
    }

    /// Note whether a repeat is held back.
    pub(crate) fn hold(&mut self, key: Key) {
        let number = self.queue.get(key).and_then(|entry| entry.value.detail());
        let Some(repeat) = number.and_then(|number| self.repeats.get(number)) else {
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

    /// The keys of all repeats.
    pub(crate) fn repeat_keys(&self) -> Vec<Key> {
        self.repeats.keys()
    }
}
