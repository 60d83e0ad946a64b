//! Parked jobs that are *aside*: away for want of a handler, however many there are.
//!
//! They are before the frontier, so their sequences are known: to count them, and to pass over them
//! in a page. A handler that comes has the pages begin again, from the first place on.

use super::{END, START};
use crate::due::queue::Key;
use crate::engine::{Engine, State};
use crate::jobs::record::{Parts, Payload, Released, Stage};
use duewheel_store::{Answer, Question};
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
pub(in crate::engine) struct Aside(HashMap<Box<str>, Waiting>);

impl Aside {
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
    /// How many jobs are parked, here and aside.
    pub(in crate::engine) fn all_parked(&self) -> u64 {
        let aside = self.kept.iter().flat_map(|kept| kept.aside.0.values());
        let parked = aside.filter(|waiting| !waiting.handled);
        self.parked as u64 + parked.map(|waiting| waiting.seqs.len()).sum::<u64>()
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
        let mut parked = std::mem::take(&mut self.targets.parked);
        for keys in parked.values_mut() {
            while self.parked > most / 2
                && at_once > 0
                && let Some(key) = keys.pop()
            {
                at_once -= 1;
                self.put_one_aside(key, released);
            }
        }
        self.targets.parked = parked;
    }

    fn put_one_aside(&mut self, key: Key, released: &mut Released<P>) {
        let parked = self.queue.get(key);
        let Some(entry) = parked.filter(|entry| entry.value.stage() == Stage::Parked) else {
            return; // it has left since
        };
        let seq = self.name(key, entry.sequence);
        let payload = entry.value.payload;
        if let Some(kept) = &mut self.kept {
            kept.away += 1;
            payload.parts(|parts| kept.aside.add(parts.target, seq));
        }
        self.unpark(key);
        self.remove(key, released);
    }

    /// Whether a job that has come with a page stays aside; if not, it is so no longer.
    pub(super) fn stays_aside(&mut self, payload: P, seq: u64) -> bool {
        let Some(kept) = &mut self.kept else {
            return false;
        };
        if kept.aside.is_empty() {
            return false;
        }
        let handled = payload.parts(|parts| {
            let waiting = kept.aside.with(parts.target, seq);
            waiting.map(|waiting| waiting.handled)
        });
        if handled == Some(true) {
            kept.aside.forget(seq);
        }
        handled == Some(false)
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

    /// A target has a handler or has lost it; what is aside for want of one is brought in.
    pub(in crate::engine) fn heard_of(&mut self, target: &str, handled: bool) {
        if let Some(kept) = &mut self.kept
            && let Some(waiting) = kept.aside.0.get_mut(target)
        {
            waiting.handled = handled;
            if handled {
                kept.frontier = START;
                // The page that is under way moves the frontier, too.
                kept.starts_over = kept.paging.is_some();
            }
        }
    }

    /// Report a broken invariant.
    pub(in crate::engine) fn check_aside(&self) -> Result<(), String> {
        let Some(kept) = &self.kept else {
            return Ok(());
        };
        let aside = kept.aside.0.values().map(|waiting| waiting.seqs.len());
        let aside: u64 = aside.sum();
        if kept.lease.is_none() && aside as i64 > kept.away {
            return Err(format!("{aside} jobs are aside, {} away", kept.away));
        }
        for (key, entry) in self.queue.iter() {
            let seq = self.name(key, entry.sequence);
            let target = |parts: Parts<'_>| kept.aside.with(parts.target, seq).is_some();
            if entry.value.payload.parts(target) {
                return Err(format!("{key:?} is in memory and aside"));
            }
        }
        if kept.frontier == END && kept.starts_over {
            return Err("pages begin again behind the end".to_owned());
        }
        Ok(())
    }
}
