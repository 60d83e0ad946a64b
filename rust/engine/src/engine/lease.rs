//! What the engine does over a store that many nodes share, beside the [`Lease`] itself.

use super::{Engine, Refused, State};
use crate::due::queue::Key;
use crate::jobs::record::{Payload, Stage, Started};
use crate::residency::Lease;
use duewheel_store::{Error, Event, Op, Place, Ticket};
use std::collections::HashSet;
use std::time::Duration;

impl<P: Payload> Engine<P> {
    /// Wait until the mark of an execution is settled; `false`: the time is over.
    ///
    /// # Errors
    ///
    /// [`Refused::Lost`]: it is no longer this node's and must not start. Those of the store.
    pub fn wait_begun(
        &self,
        started: &Started<P>,
        ticket: Ticket,
        timeout: Duration,
    ) -> Result<bool, Refused> {
        let settled = self.wait_settled(ticket, timeout)?;
        if settled && !self.may_start(started) {
            return Err(Refused::Lost);
        }
        Ok(settled)
    }

    /// Whether an execution whose mark is settled is still this node's to start.
    pub fn may_start(&self, started: &Started<P>) -> bool {
        let mut state = self.state.lock();
        state.apply_revocations(self);
        state.is_in_memory(started.execution.key)
    }
}

impl<P: Payload> State<P> {
    pub(super) fn is_shared(&self) -> bool {
        self.residency
            .as_ref()
            .is_some_and(|residency| residency.lease.is_some())
    }

    /// The sequence that the next place has.
    pub(super) fn next_given(&self) -> u64 {
        let lease = self.lease();
        lease.map_or_else(|| self.jobs.queue.next_sequence(), Lease::next_seq)
    }

    /// A job that is not in memory has a place with this sequence.
    pub(super) fn reserve_seq(&mut self, seq: u64) {
        match self.lease_mut() {
            Some(lease) => lease.reserve_seq(seq),
            None => self.jobs.queue.skip_sequences(seq + 1),
        }
    }

    fn lease(&self) -> Option<&Lease> {
        self.residency.as_ref()?.lease.as_ref()
    }

    fn lease_mut(&mut self) -> Option<&mut Lease> {
        self.residency.as_mut()?.lease.as_mut()
    }

    /// The sequence that a job in memory has in the store: where that is not shared, its own.
    pub(super) fn store_seq(&self, key: Key, sequence: u64) -> u64 {
        let seq = self.lease().and_then(|lease| lease.store_seq(key));
        seq.unwrap_or(sequence)
    }

    pub(super) fn set_store_seq(&mut self, key: Key, seq: u64) {
        if let Some(lease) = self.lease_mut() {
            lease.set_store_seq(key, seq);
        }
    }

    pub(super) fn forget_store_seq(&mut self, key: Key) {
        if let Some(lease) = self.lease_mut() {
            lease.forget_store_seq(key);
        }
    }

    /// Ask a shared store for a page soon.
    pub(super) fn poll_now(&mut self) {
        if let Some(lease) = self.lease_mut() {
            lease.poll_now();
            self.wake_by_inbox();
        }
    }

    /// Evict what the store has taken back.
    pub(super) fn apply_revocations(&mut self, engine: &Engine<P>) {
        let (Some(residency), Some(backing)) = (&mut self.residency, &self.backing) else {
            return;
        };
        let Some(lease) = &mut residency.lease else {
            return;
        };
        let available = backing.inbox.available.lock().take();
        let horizon = residency.frontier.window().horizon;
        let near = engine.clock.wall().saturating_add(horizon);
        if available.is_some_and(|due| due <= near) {
            lease.poll_now();
        }
        let events = std::mem::take(&mut *backing.inbox.taken_back.lock());
        if events.is_empty() {
            return;
        }
        let (mut epoch, mut seqs) = (None, HashSet::new());
        for event in events {
            match event {
                Event::LeaseLost(lost) => epoch = epoch.max(Some(lost)),
                Event::Revoked(revoked) => seqs.extend(revoked),
                Event::Poisoned(_) | Event::Unapplied(..) | Event::Available(_) => {}
            }
        }
        lease.revoke(epoch, &seqs);
        let lost = |seq: u64| epoch.is_some() || seqs.contains(&seq);
        residency.outbox.drop_outcomes(lost);
        let keys = lease.keys_of(lost);
        self.wake_by_inbox();
        self.evict(engine, &keys);
    }

    /// Forget jobs that are no longer this node's; what runs of them is stale.
    fn evict(&mut self, engine: &Engine<P>, keys: &HashSet<Key>) {
        let mut withdrawn = HashSet::new();
        for lane in &engine.lanes {
            lane.lock().queue.retain(|execution| {
                let lost = keys.contains(&execution.key);
                if lost {
                    withdrawn.insert(execution.key);
                }
                !lost
            });
        }
        for &key in keys {
            let handed = self.jobs.stage(key) == Some(Stage::Handed);
            let runs = handed && !withdrawn.contains(&key);
            self.unpark(key);
            self.leave_backlog(key);
            self.drop_one();
            if let Some(payload) = self.take(key) {
                self.evicted.insert(key, payload, runs);
            }
        }
        engine.notify(self);
    }

    /// Yield a job that is not in memory, unless a page has brought it in by now.
    pub(super) fn yield_one(&mut self, id: &str, seq: u64) -> Result<Ticket, Error> {
        if !self.is_shared() {
            // No other node can have it, and a page that is under way may bring it.
            return self.submit(&[Op::Yield(seq)]);
        }
        let here = self.jobs.find(id);
        if here.is_some_and(|key| self.store_seq(key, 0) == seq) {
            return self.submit(&[]);
        }
        // The page that is under way may have it, and was asked for before.
        self.note_changed(id);
        self.poll_now();
        self.submit(&[Op::Yield(seq)])
    }

    /// A query that would have given this node a job is in doubt: it may have it, and does without.
    pub(super) fn yield_if_in_doubt(&mut self, error: &Refused, id: &str, seq: u64) {
        if matches!(error, Refused::Store(Error::InDoubt)) {
            // A store that refuses this is closed, and holds nothing for this node any more.
            let _ = self.yield_one(id, seq);
        }
    }

    /// Whether a job is in memory, in whatever stage.
    pub(super) fn is_in_memory(&self, key: Key) -> bool {
        self.jobs.queue.get(key).is_some()
    }

    /// A job comes to this place: ask for it soon, if it is near.
    pub(super) fn request_page_if_near(&mut self, place: Place, now: i64) {
        let residency = self.residency.as_ref();
        let horizon = residency.map_or(0, |residency| residency.frontier.window().horizon);
        if place.due <= now.saturating_add(horizon) {
            self.poll_now();
        }
    }
}
