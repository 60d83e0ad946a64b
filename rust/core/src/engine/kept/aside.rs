//! Parked jobs that are *aside*: away for want of a handler, however many there are.
//!
//! They are before the frontier, so their sequences are known: to count them, and to pass over them
//! in a page. A handler that comes has the pages begin again, from the first place on.

use super::{END, START};
use crate::engine::{Engine, State};
use crate::queue::Key;
use crate::record::{Payload, Released, Stage};
use crate::store::{Answer, Question};
use roaring::RoaringTreemap;
use std::collections::HashMap;

/// Which part of what may be resident is parked at most.
pub(super) const PART: usize = 32;

/// The sequences of jobs that are aside, by target.
#[derive(Debug, Default)]
pub(in crate::engine) struct Aside(HashMap<u32, RoaringTreemap>);

impl Aside {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn holds(&self, target: u32, seq: u64) -> bool {
        self.0.get(&target).is_some_and(|seqs| seqs.contains(seq))
    }

    /// A job is aside no longer.
    fn forget(&mut self, seq: u64) {
        self.0.retain(|_, seqs| {
            seqs.remove(seq);
            !seqs.is_empty()
        });
    }
}

impl<P: Payload> Engine<P> {
    /// The sequence of a job that may be aside, while pages are held.
    pub(super) fn seq_aside(&self, id: &str) -> Option<u64> {
        let any = |state: &State<P>| {
            state
                .kept
                .as_ref()
                .is_some_and(|kept| !kept.aside.is_empty())
        };
        if !any(&self.state.lock()) {
            return None;
        }
        match self.ask_held(Question::Get(id.to_owned())) {
            Ok(Answer::Job(Some(job))) => Some(job.place.seq),
            _ => None,
        }
    }
}

impl<P: Payload> State<P> {
    fn has_handler(&self, target: u32) -> bool {
        let target = self.targets.get(target as usize);
        target.is_some_and(|target| target.lane.is_some())
    }

    /// How many jobs are parked, here and aside.
    pub(in crate::engine) fn all_parked(&self) -> u64 {
        let aside = self.kept.iter().flat_map(|kept| &kept.aside.0);
        let parked = aside.filter(|(target, _)| !self.has_handler(**target));
        self.parked as u64 + parked.map(|(_, seqs)| seqs.len()).sum::<u64>()
    }

    /// Put parked jobs aside, if they are too many: so many at once.
    pub(super) fn put_aside(&mut self, mut at_once: usize, released: &mut Released<P>) {
        let Some(kept) = &self.kept else { return };
        let most = kept.window.resident / PART;
        if self.parked <= most || kept.lease.is_some() {
            return;
        }
        // What has not reached the store yet could not be told from what comes with a page; and
        // who asks about a job that is away has looked whether it is aside.
        if !kept.outbox.is_empty() || kept.asking > 0 {
            return;
        }
        for target in 0..self.targets.len() {
            while self.parked > most / 2
                && at_once > 0
                && let Some(key) = self.targets[target].parked.pop()
            {
                at_once -= 1;
                self.put_one_aside(target as u32, key, released);
            }
        }
    }

    fn put_one_aside(&mut self, target: u32, key: Key, released: &mut Released<P>) {
        let parked = self.queue.get(key);
        let Some(entry) = parked.filter(|entry| entry.value.stage() == Stage::Parked) else {
            return; // it has left since
        };
        let seq = self.name(key, entry.sequence);
        self.unpark(key);
        self.remove(key, released);
        if let Some(kept) = &mut self.kept {
            kept.away += 1;
            kept.aside.0.entry(target).or_default().insert(seq);
        }
    }

    /// Whether a job that has come with a page stays aside; if not, it is so no longer.
    pub(super) fn stays_aside(&mut self, target: u32, seq: u64) -> bool {
        let waits = !self.has_handler(target);
        let Some(kept) = &mut self.kept else {
            return false;
        };
        let aside = kept.aside.holds(target, seq);
        if aside && !waits {
            kept.aside.forget(seq);
        }
        aside && waits
    }

    /// A job that was away has been withdrawn or moved.
    pub(super) fn left_aside(&mut self, seq: Option<u64>) {
        if let (Some(kept), Some(seq)) = (&mut self.kept, seq) {
            kept.aside.forget(seq);
        }
    }

    /// Forget what is aside: with the engine's end it is pending where it is kept.
    pub(in crate::engine) fn forget_aside(&mut self) {
        if let Some(kept) = &mut self.kept {
            kept.aside = Aside::default();
        }
    }

    /// Bring in what is aside: its target has a handler now.
    pub(in crate::engine) fn bring_in_aside(&mut self, target: u32) {
        if let Some(kept) = &mut self.kept
            && kept.aside.0.contains_key(&target)
        {
            kept.frontier = START;
            // The page that is under way moves the frontier, too.
            kept.starts_over = kept.paging.is_some();
        }
    }

    /// Report a broken invariant.
    pub(in crate::engine) fn check_aside(&self) -> Result<(), String> {
        let Some(kept) = &self.kept else {
            return Ok(());
        };
        let aside: u64 = kept.aside.0.values().map(RoaringTreemap::len).sum();
        if kept.lease.is_none() && aside as i64 > kept.away {
            return Err(format!("{aside} jobs are aside, {} away", kept.away));
        }
        for (key, entry) in self.queue.iter() {
            let seq = self.name(key, entry.sequence);
            if kept.aside.holds(entry.value.payload.target(), seq) {
                return Err(format!("{key:?} is in memory and aside"));
            }
        }
        if kept.frontier == END && kept.starts_over {
            return Err("pages begin again behind the end".to_owned());
        }
        Ok(())
    }
}
