//! Parked jobs that are *aside*: away for want of a handler, however many there are.
//!
//! They are before the frontier, so their sequences are known: to count them, and to pass over them
//! in a page. A handler that comes has the pages begin again, from the first place on.

use super::{END, START};
use crate::due::queue::Key;
use crate::engine::State;
use crate::jobs::record::{Parts, Payload, Released, Stage};
use roaring::RoaringTreemap;
use std::collections::HashMap;

/// Which part of what may be resident is parked at most.
pub(super) const PART: usize = 32;

/// The jobs of one target that are aside.
#[derive(Debug, Default)]
struct Waiting {
    seqs: RoaringTreemap,
    /// It has a handler: what is here is about to come in.
    handled: bool,
}

/// The jobs that are aside, by the name of their target: nothing else may speak of it.
#[derive(Debug, Default)]
pub(in crate::engine) struct ParkedOnDisk(HashMap<Box<str>, Waiting>);

impl ParkedOnDisk {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The jobs of a target, if this one is among them.
    fn with(&self, target: &str, seq: u64) -> Option<&Waiting> {
        let waiting = self.0.get(target);
        waiting.filter(|waiting| waiting.seqs.contains(seq))
    }

    fn add(&mut self, target: &str, seq: u64) {
        if let Some(waiting) = self.0.get_mut(target) {
            waiting.seqs.insert(seq);
        } else {
            let waiting = self.0.entry(target.into()).or_default();
            waiting.seqs.insert(seq);
        }
    }

    /// A job is aside no longer.
    fn forget(&mut self, seq: u64) {
        self.0.retain(|_, waiting| {
            waiting.seqs.remove(seq);
            !waiting.seqs.is_empty()
        });
    }
}

impl<P: Payload> State<P> {
    /// Whether a job that is not in memory may be parked.
    pub(in crate::engine) fn has_parked_on_disk(&self) -> bool {
        let residency = self.residency.as_ref();
        residency.is_some_and(|residency| !residency.parked_on_disk.is_empty())
    }

    /// How many jobs are parked, here and aside.
    pub(in crate::engine) fn all_parked(&self) -> u64 {
        let parked_on_disk = self
            .residency
            .iter()
            .flat_map(|residency| residency.parked_on_disk.0.values());
        let parked = parked_on_disk.filter(|waiting| !waiting.handled);
        self.targets.parked_count() as u64 + parked.map(|waiting| waiting.seqs.len()).sum::<u64>()
    }

    /// Put parked jobs aside, if they are too many: so many at once.
    pub(in crate::engine) fn page_out_parked(
        &mut self,
        mut at_once: usize,
        released: &mut Released<P>,
    ) {
        let Some(residency) = &self.residency else {
            return;
        };
        let most = residency.window.resident / PART;
        if self.targets.parked_count() <= most || residency.lease.is_some() {
            return;
        }
        // What has not reached the store yet could not be told from what comes with a page; and
        // who asks about a job that is away has looked whether it is aside.
        if !residency.outbox.is_empty() || residency.asking > 0 {
            return;
        }
        let mut parked = self.targets.take_parked_lists();
        for keys in parked.values_mut() {
            while self.targets.parked_count() > most / 2
                && at_once > 0
                && let Some(key) = keys.pop()
            {
                at_once -= 1;
                self.page_out_one(key, released);
            }
        }
        self.targets.put_parked_lists(parked);
    }

    fn page_out_one(&mut self, key: Key, released: &mut Released<P>) {
        let parked = self.queue.get(key);
        let Some(entry) = parked.filter(|entry| entry.value.stage() == Stage::Parked) else {
            return; // it has left since
        };
        let seq = self.store_seq(key, entry.sequence);
        let payload = entry.value.payload;
        if let Some(residency) = &mut self.residency {
            residency.paged_out += 1;
            payload.parts(|parts| residency.parked_on_disk.add(parts.target, seq));
        }
        self.unpark(key);
        self.remove(key, released);
    }

    /// Whether a job that has come with a page stays aside; if not, it is so no longer.
    pub(super) fn stays_parked(&mut self, payload: P, seq: u64) -> bool {
        let Some(residency) = &mut self.residency else {
            return false;
        };
        if residency.parked_on_disk.is_empty() {
            return false;
        }
        let handled = payload.parts(|parts| {
            let waiting = residency.parked_on_disk.with(parts.target, seq);
            waiting.map(|waiting| waiting.handled)
        });
        if handled == Some(true) {
            residency.parked_on_disk.forget(seq);
        }
        handled == Some(false)
    }

    /// A job that was away has been withdrawn or moved.
    pub(in crate::engine) fn left_parked(&mut self, seq: Option<u64>) {
        if let (Some(residency), Some(seq)) = (&mut self.residency, seq) {
            residency.parked_on_disk.forget(seq);
        }
    }

    /// Forget what is aside: with the engine's end it is pending where it is kept.
    pub(in crate::engine) fn forget_parked_on_disk(&mut self) {
        if let Some(residency) = &mut self.residency {
            residency.parked_on_disk = ParkedOnDisk::default();
        }
    }

    /// A target has a handler or has lost it; what is aside for want of one is brought in.
    pub(in crate::engine) fn handler_changed(&mut self, target: &str, handled: bool) {
        if let Some(residency) = &mut self.residency
            && let Some(waiting) = residency.parked_on_disk.0.get_mut(target)
        {
            waiting.handled = handled;
            if handled {
                residency.frontier = START;
                // The page that is under way moves the frontier, too.
                residency.starts_over = residency.paging.is_some();
            }
        }
    }

    /// Report a broken invariant.
    pub(in crate::engine) fn check_parked_on_disk(&self) -> Result<(), String> {
        let Some(residency) = &self.residency else {
            return Ok(());
        };
        let parked_on_disk = residency
            .parked_on_disk
            .0
            .values()
            .map(|waiting| waiting.seqs.len());
        let parked_on_disk: u64 = parked_on_disk.sum();
        if residency.lease.is_none() && parked_on_disk as i64 > residency.paged_out {
            return Err(format!(
                "{parked_on_disk} jobs are parked on disk, {} paged out",
                residency.paged_out
            ));
        }
        for (key, entry) in self.queue.iter() {
            let seq = self.store_seq(key, entry.sequence);
            let target =
                |parts: Parts<'_>| residency.parked_on_disk.with(parts.target, seq).is_some();
            if entry.value.payload.parts(target) {
                return Err(format!("{key:?} is in memory and aside"));
            }
        }
        if residency.frontier == END && residency.starts_over {
            return Err("pages begin again behind the end".to_owned());
        }
        Ok(())
    }
}
