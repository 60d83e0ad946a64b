//! What the engine gives its store and asks of it, except for pages.

use super::inbox::{Backing, StoreInbox};
use super::{Engine, Phase, Refused, State};
use crate::due::queue::ClockKind;
use crate::jobs::record::{Done, Payload, Started};
use crate::residency::{
    Arrivals, BootOffsets, Frontier, Lease, Outbox, ParkedOnDisk, Residency, Turns, Window,
};
use duewheel_model::outcome::Outcome;
use duewheel_store::{Ending, Error, Op, Place, Settled, Store, Ticket};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

impl<P: Payload> Engine<P> {
    /// Whether a store keeps its jobs.
    #[inline]
    pub fn has_store(&self) -> bool {
        self.has_store
    }

    /// Put a store behind an engine that is new.
    pub fn put_behind(&mut self, store: Arc<dyn Store>, inbox: Arc<StoreInbox>, window: Window) {
        let found = store.found().clone();
        inbox.unapplied.lock().extend(found.unapplied);
        let first = found.grant.as_ref().map(|grant| grant.seqs.start);
        let first = first.unwrap_or_else(|| found.seq.saturating_add(1));
        let lease = found.grant.map(Lease::new);
        // What others keep in a shared store was not taken in here.
        let paged_out = if lease.is_some() { 0 } else { found.jobs };
        self.sleeper = inbox.sleeper.clone();
        self.has_store = true;
        for lane in &self.lanes {
            lane.lock().settle_at = 1;
        }
        let mut state = self.state.lock();
        let offset = state.jobs.offsets.measured();
        state.jobs.queue.skip_sequences(first);
        state.counts.scheduled = paged_out;
        state.residency = Some(Box::new(Residency {
            frontier: Frontier::new(window, paged_out),
            boot_offsets: BootOffsets::new(first, offset),
            parked: ParkedOnDisk::default(),
            arrivals: Arrivals::default(),
            outbox: Outbox::default(),
            turns: Turns::default(),
            lease,
        }));
        state.backing = Some(Backing { store, inbox });
    }

    /// What the store could not apply and nobody has been told of yet: record numbers, and why.
    pub fn unapplied(&self) -> Vec<(u64, Error)> {
        let state = self.state.lock();
        let backing = state.backing.as_ref();
        backing.map_or_else(Vec::new, |backing| {
            std::mem::take(&mut *backing.inbox.unapplied.lock())
        })
    }

    /// Count a stored job that cannot be read as one that nobody waits for; whether that is news.
    pub fn note_unreadable(&self, seq: u64, id: Option<String>) -> bool {
        let mut state = self.state.lock();
        let residency = state.residency.as_mut();
        let is_new = residency.is_some_and(|residency| residency.arrivals.note_unreadable(seq, id));
        self.notify(&state);
        is_new
    }

    /// Why the store takes nothing any more, if it does not.
    pub fn failure(&self) -> Option<Error> {
        self.has_store.then(|| self.state.lock().failed()).flatten()
    }

    /// Wait until a batch is settled; `false`: the time is over.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub fn wait_settled(&self, ticket: Ticket, timeout: Duration) -> Result<bool, Refused> {
        let Some(store) = self.store() else {
            return Ok(true);
        };
        let deadline = Instant::now().checked_add(timeout);
        let told = store.wait(ticket, deadline);
        if let Err(error @ Error::Poisoned(_)) = &told
            && let Some(backing) = &self.state.lock().backing
        {
            // Whoever gets the error must find it by `failure`, though the store's own thread may report it later.
            backing.inbox.fail(error.clone());
        }
        told.map_err(Refused::from)
    }

    /// The store, while it is behind this engine.
    pub fn store(&self) -> Option<Arc<dyn Store>> {
        let state = self.state.lock();
        state.backing.as_ref().map(|backing| backing.store.clone())
    }

    /// Let go of the store, once the engine is closed and nothing runs any more.
    pub(super) fn close_store(&self) {
        let state = self.state.lock();
        let over = state.phase == Phase::Closed && self.under_way() == 0;
        let store = state.backing.as_ref().map(|backing| backing.store.clone());
        drop(state);
        if over && let Some(store) = store {
            // What could not be settled is as if the process had died now: nobody was told of it.
            let _ = store.close();
        }
    }

    /// Call back, on a thread of the store's, when a batch is settled.
    pub fn when_settled(&self, ticket: Ticket, then: Settled) {
        match self.store() {
            Some(store) => store.when(ticket, then),
            None => then(Ok(())),
        }
    }

    /// Take back the note of a start that did not come: the job is pending as before.
    pub fn unbegin(&self, started: &Started<P>) {
        let state = self.state.lock();
        let seq = state.store_seq(started.execution.key, started.execution.sequence);
        let store = state.backing.as_ref().map(|backing| backing.store.clone());
        drop(state);
        if let Some(store) = store {
            // What cannot be taken back counts as interrupted when the file is opened again.
            let _ = store.submit(&[Op::Release(seq)]);
        }
    }

    /// Note that an execution starts, before its handler is called. At most once: it may be
    /// called when [`wait_begun`](Self::wait_begun) says so of the ticket.
    ///
    /// # Errors
    ///
    /// [`Refused::Lost`], and those of the store: nothing is noted, and it must not start.
    pub fn begin(&self, started: &Started<P>) -> Result<Option<Ticket>, Refused> {
        let mut state = self.state.lock();
        let Some(backing) = &state.backing else {
            return Ok(None);
        };
        let store = backing.store.clone();
        if state.is_shared() {
            state.apply_revocations(self);
            if !state.is_in_memory(started.execution.key) {
                return Err(Refused::Lost);
            }
        }
        let seq = state.store_seq(started.execution.key, started.execution.sequence);
        drop(state);
        let at = self.clock.wall();
        let ticket = store.submit(&[Op::Begin { seq, at }])?;
        let once = started
            .execution
            .payload
            .parts(|parts| parts.options.at_most_once);
        Ok(once.then_some(ticket))
    }
}

impl<P: Payload> State<P> {
    pub(super) fn failed(&self) -> Option<Error> {
        let failed = self.backing.as_ref()?.inbox.failed.lock().clone();
        failed.or_else(|| self.residency.as_ref()?.refusal())
    }

    /// Take in no page for now.
    pub(super) fn hold_pages(&mut self) {
        if let Some(residency) = &mut self.residency {
            residency.arrivals.hold_pages();
        }
    }

    /// Pages may be taken in again, as far as this call goes.
    pub(super) fn free_pages(&mut self, engine: &Engine<P>) {
        if let Some(residency) = &mut self.residency {
            residency.arrivals.free_pages();
            if self.has_pages() {
                engine.sleeper.wake();
            }
        }
    }

    /// How many pending jobs are known not to be in memory.
    pub(super) fn paged_out(&self) -> u64 {
        if self.is_shared() {
            return 0;
        }
        self.residency
            .as_ref()
            .map_or(0, |residency| residency.frontier.paged_out as u64)
    }

    /// How many stored jobs are known not to be readable.
    pub(super) fn unreadable(&self) -> u64 {
        let residency = self.residency.as_ref();
        residency.map_or(0, |residency| residency.arrivals.unreadable_count() as u64)
    }

    /// Whether there may be jobs that are not in memory.
    pub(super) fn has_paged_out(&self) -> bool {
        self.residency
            .as_ref()
            .is_some_and(|residency| residency.has_paged_out())
    }

    /// The place that the next job at this due takes.
    pub(super) fn next_place(&self, clock: ClockKind, due: i64) -> Place {
        Place {
            due: self.jobs.on_wall(clock, due),
            seq: self.next_given(),
        }
    }

    /// Hand over a batch, after all that has changed before it.
    pub(super) fn submit(&mut self, ops: &[Op<'_>]) -> Result<Ticket, Error> {
        self.catch_up()?;
        let backing = self.backing.as_ref().ok_or(Error::Closed)?;
        backing.store.submit(ops)
    }

    /// Say that this process ends in order, whatever still waits to be told.
    pub(super) fn leave(&self) -> Result<Ticket, Error> {
        let backing = self.backing.as_ref().ok_or(Error::Closed)?;
        backing.store.submit(&[Op::Leave])
    }

    /// Give the store the outcomes that wait.
    ///
    /// # Errors
    ///
    /// It does not take all of them, and nothing may overtake what waits.
    pub(super) fn catch_up(&mut self) -> Result<(), Error> {
        let (Some(residency), Some(backing)) = (&mut self.residency, &self.backing) else {
            return Ok(());
        };
        while !residency.outbox.is_empty() {
            let batch = residency.outbox.next_batch();
            backing.store.submit(batch)?;
            let count = batch.len();
            residency.outbox.remove(count);
        }
        Ok(())
    }

    /// A job ends with the engine: forgotten, unless it stays pending in the store.
    pub(super) fn drop_one(&mut self) {
        match &mut self.residency {
            Some(residency) => residency.frontier.paged_out += 1,
            None => self.counts.dropped += 1,
        }
    }

    /// Write down how an execution has ended, before it is settled here.
    pub(super) fn record(&mut self, engine: &Engine<P>, done: &Done<P::Failure>) {
        let Some(execution) = self.jobs.execution(done.key) else {
            return;
        };
        let mut yielded = None;
        let outcome = match &done.outcome {
            None => return,
            Some(Outcome::Done) => Ending::Done,
            Some(Outcome::Again { due, progress, .. }) => {
                let to = self.next_place(ClockKind::Boot, *due);
                if self.phase == Phase::Closed || self.is_shared() {
                    self.reserve_seq(to.seq);
                }
                if self.is_shared() {
                    self.request_page_if_near(to, engine.clock.wall());
                    yielded = Some(to.seq);
                }
                Ending::Again {
                    to,
                    clock: ClockKind::Boot,
                    progress: progress.on_wall(self.jobs.offsets.measured()),
                }
            }
            Some(Outcome::Dead { reason, failure }) => Ending::Dead {
                reason: *reason,
                error: Cow::Owned(P::text(failure)),
                died: engine.clock.wall(),
            },
        };
        let seq = self.store_seq(execution.key, execution.sequence);
        execution.id.with_str(|id| self.note_changed(id));
        if let Some(residency) = &mut self.residency {
            residency.outbox.push(Op::Finish { seq, outcome });
            residency.outbox.extend(yielded.map(Op::Yield).into_iter());
        }
    }

    /// Give the store the outcomes that wait. A full disk takes them later.
    pub(super) fn send(&mut self) {
        // Who needs them to be there asks again.
        let _ = self.catch_up();
    }
}
