//! Cancel many jobs: those in memory under one lock and, over a store, in one batch.

use super::AT_ONCE;
use crate::due::queue::Key;
use crate::engine::{Engine, Refused, State};
use crate::jobs::ids::IdList;
use crate::jobs::record::{Payload, Released};
use duewheel_store::{Kept, Op, Ticket};
use std::ops::Range;

/// How many jobs are cancelled before others have the lock.
const BATCH: usize = 4_096;
/// How many are found before the first of them is taken out: so their misses of the cache overlap.
const AHEAD: usize = 32;

/// What has become of jobs that were to be cancelled.
#[derive(Debug)]
pub struct CancelledMany {
    /// How many were pending, and in memory.
    pub count: usize,
    /// They are gone for good when it is settled.
    pub ticket: Ticket,
    /// Which ids only the store may know: each is to be [cancelled](Engine::cancel) by itself.
    pub stored: Vec<usize>,
}

impl<P: Payload> Engine<P> {
    /// Withdraw pending jobs, which will never start.
    ///
    /// # Errors
    ///
    /// [`Refused::Closed`], and those of the store: then none was cancelled of those in memory.
    pub fn cancel_many(
        &self,
        ids: &impl IdList,
        released: &mut Released<P>,
    ) -> Result<CancelledMany, Refused> {
        if self.has_store {
            return self.cancel_many_stored(ids, released);
        }
        let mut cancelled = CancelledMany {
            count: 0,
            ticket: AT_ONCE,
            stored: Vec::new(),
        };
        let mut state = self.open()?;
        let mut at = 0;
        loop {
            let until = ids.count().min(at + BATCH);
            let count = state.cancel_part(self, ids, at..until, released);
            cancelled.count += count;
            self.notify(&state);
            at = until;
            if at == ids.count() {
                return Ok(cancelled);
            }
            drop(state);
            state = self.open()?;
        }
    }

    fn cancel_many_stored(
        &self,
        ids: &impl IdList,
        released: &mut Released<P>,
    ) -> Result<CancelledMany, Refused> {
        let mut state = self.open_to_change()?;
        let (mut found, mut stored) = (Vec::new(), Vec::new());
        for at in 0..ids.count() {
            let key = state.jobs.find_listed(ids, at);
            if let Some(key) = key.filter(|_| !state.is_shared()) {
                found.push((key, at));
            } else if state.has_paged_out() || state.is_asked_about(&ids.text(at)) {
                stored.push(at);
            }
        }
        // An id may be there twice.
        found.sort_unstable();
        found.dedup_by_key(|(key, _)| *key);
        found.retain(|(key, _)| state.withdraw(self, *key));
        let kept: Vec<_> = found
            .iter()
            .filter_map(|(key, _)| Some((*key, state.cancelled(self, *key)?)))
            .collect();
        let ticket = state.write_deletes(&found, &kept)?;
        kept.into_iter()
            .for_each(|(_, kept)| state.note_kept(self, *kept));
        for &(key, at) in &found {
            state.note_changed(&ids.text(at));
            if let Some(target) = state.target_of(key) {
                state.tally.note(target, |counts| counts.cancelled += 1);
            }
            state.remove(key, released);
        }
        if !found.is_empty() {
            self.notify(&state);
            if state.has_paged_out() && state.request_page_if_room(self.now()) {
                self.sleeper.wake();
            }
        }
        Ok(CancelledMany {
            count: found.len(),
            ticket,
            stored,
        })
    }
}

impl<P: Payload> State<P> {
    /// Cancel some of these jobs in memory; how many were pending.
    fn cancel_part(
        &mut self,
        engine: &Engine<P>,
        ids: &impl IdList,
        part: Range<usize>,
        released: &mut Released<P>,
    ) -> usize {
        let before = released.payloads.len();
        let mut keys = [None; AHEAD];
        for start in part.clone().step_by(AHEAD) {
            let ahead = start..part.end.min(start + AHEAD);
            for (key, at) in keys.iter_mut().zip(ahead.clone()) {
                *key = self.jobs.find_listed(ids, at);
            }
            for (&key, at) in keys.iter().zip(ahead) {
                let Some(key) = key else { continue };
                // One that is there twice is withdrawn once: its key is stale then.
                if self.withdraw(engine, key)
                    && let Some(payload) = self.take(key)
                {
                    self.tally
                        .note(payload.target(), |counts| counts.cancelled += 1);
                    if payload.keep().is_some() {
                        self.keep_cancelled(engine, &ids.text(at), payload);
                    }
                    released.payloads.push(payload);
                }
            }
        }
        released.payloads.len() - before
    }

    /// Give the store the end of jobs that were withdrawn, in one batch. Refused, all of them wait again.
    fn write_deletes(
        &mut self,
        withdrawn: &[(Key, usize)],
        kept: &[(Key, Box<Kept>)],
    ) -> Result<Ticket, Refused> {
        if withdrawn.is_empty() {
            return Ok(AT_ONCE);
        }
        let keys = withdrawn.iter().map(|(key, _)| *key);
        let delete = |key| Op::Delete(self.jobs.sequence(key));
        let keep = |(key, kept): &(Key, Box<Kept>)| Op::Keep {
            seq: self.jobs.sequence(*key),
            kept: kept.clone(),
        };
        let ops: Vec<_> = kept
            .iter()
            .map(keep)
            .chain(keys.clone().map(delete))
            .collect();
        self.submit_withdrawn(&ops, keys)
    }
}
