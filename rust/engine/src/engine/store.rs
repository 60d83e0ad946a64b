//! What the engine gives its store and asks of it, except for pages.

use super::inbox::{Backing, StoreInbox};
use super::{Engine, Phase, Refused, State};
use crate::due::queue::{ClockKind, Key, Now};
use crate::handover::lanes::Lane;
use crate::jobs::done::Returned;
use crate::jobs::record::{Done, Execution, Payload, Released, Stage, Started};
use crate::residency::{BootOffsets, Frontier, Lease, Residency, Window};
use duewheel_model::outcome::Outcome;
use duewheel_store::{Ending, Error, Event, Kept, Op, Over, Settled, Store, Ticket, Unreadable};
use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant};

impl<P: Payload> Engine<P> {
    /// Put a store behind an engine that is new.
    pub fn put_behind(&mut self, store: Arc<dyn Store>, inbox: Arc<StoreInbox>, window: Window) {
        let found = store.found().clone();
        let unapplied = found.unapplied.into_iter();
        let unapplied = unapplied.map(|(record, why)| Event::Unapplied(record, why));
        inbox.news.lock().extend(unapplied);
        let first = found.grant.as_ref().map(|grant| grant.seqs.start);
        let first = first.unwrap_or_else(|| found.seq.saturating_add(1));
        let lease = found.grant.map(Lease::new);
        // What others keep in a shared store was not taken in here.
        let paged_out = if lease.is_some() { 0 } else { found.jobs };
        self.sleeper = inbox.sleeper.clone();
        self.lanes[Lane::Workers].seat_workers(&self.sleeper);
        self.has_store = true;
        for lane in &self.lanes {
            lane.lock().settle_at = 1;
        }
        let mut state = self.state.lock();
        let offset = state.jobs.offsets.measured();
        state.jobs.queue.skip_sequences(first);
        state.tally.all.scheduled = paged_out;
        let frontier = Frontier::new(window, paged_out);
        let offsets = BootOffsets::new(first, offset);
        state.residency = Some(Box::new(Residency::new(frontier, offsets, lease)));
        state.outcomes.stored = found.keeps;
        state.backing = Some(Backing { store, inbox });
    }

    /// The state, to change what is pending, unless the store takes nothing any more.
    #[inline]
    pub(super) fn open_to_change(&self) -> Result<MutexGuard<'_, State<P>>, Refused> {
        let mut state = self.open()?;
        if self.has_store {
            state.refuse_failed(self)?;
        }
        Ok(state)
    }

    /// What the store has said that is only to be reported, and is not yet.
    pub fn news(&self) -> Vec<Event> {
        let state = self.state.lock();
        let backing = state.backing.as_ref();
        backing.map_or_else(Vec::new, |backing| {
            std::mem::take(&mut *backing.inbox.news.lock())
        })
    }

    /// Count a stored job that cannot be read as one that nobody waits for; whether that is news.
    pub fn note_unreadable(&self, job: Unreadable) -> bool {
        let mut state = self.state.lock();
        let residency = state.residency.as_mut();
        let is_new = residency.is_some_and(|residency| residency.arrivals.note_unreadable(job));
        self.notify(&state);
        is_new
    }

    /// Refuse a stored job that is known to be unreadable.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn check_readable(&self, id: &str) -> Result<(), Refused> {
        self.state.lock().check_readable(id)
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
        let result = store.wait(ticket, deadline);
        if let Err(error @ Error::Poisoned(_)) = &result
            && let Some(backing) = &self.state.lock().backing
        {
            // Whoever gets the error must find it by `failure`, though the store's own thread may report it later.
            backing.inbox.fail(error.clone());
        }
        result.map_err(Refused::from)
    }

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
        let is_held = state.jobs.stage(started.execution.key).is_some();
        let may_start = is_held && state.may_start();
        drop(state);
        if is_held && !may_start {
            self.unbegin(started);
        }
        may_start
    }

    /// The store, while it is behind this engine.
    pub fn store(&self) -> Option<Arc<dyn Store>> {
        let state = self.state.lock();
        state.backing.as_ref().map(|backing| backing.store.clone())
    }

    /// Close the store, once the engine is closed and nothing runs any more.
    pub(super) fn close_store(&self) {
        let state = self.state.lock();
        let over = state.phase == Phase::Closed && self.under_way() == 0;
        let store = state.backing.as_ref().map(|backing| backing.store.clone());
        drop(state);
        if over && let Some(store) = store {
            // What could not be settled is as if the process had died now: no call has returned for it.
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
        let mut state = self.state.lock();
        if started.execution.marked {
            state.take_mark_back(&started.execution);
            let _ = state.catch_up();
            return;
        }
        let seq = state.store_seq(started.execution.key, started.execution.sequence);
        let store = state.backing.as_ref().map(|backing| backing.store.clone());
        drop(state);
        if let Some(store) = store {
            // What cannot be taken back counts as interrupted when the file is opened again.
            let _ = store.submit(&[Op::Release(seq)]);
        }
    }

    /// Note that an execution starts, before its handler is called. At most once, and of a repeat that nodes share, it may be
    /// called when [`wait_begun`](Self::wait_begun) says so of the ticket: so who changes a repeat knows whether it has started.
    ///
    /// # Errors
    ///
    /// [`Refused::Lost`], and those of the store: nothing is noted, and it must not start.
    #[inline]
    pub fn begin(&self, started: &Started<P>) -> Result<Option<Ticket>, Refused> {
        if !self.has_store || started.execution.marked {
            return Ok(None);
        }
        self.begin_stored(started)
    }

    fn begin_stored(&self, started: &Started<P>) -> Result<Option<Ticket>, Refused> {
        let mut state = self.state.lock();
        let Some(backing) = &state.backing else {
            return Ok(None);
        };
        let store = backing.store.clone();
        let is_shared = state.is_shared();
        if is_shared {
            state.apply_revocations(self);
            // A process that was stopped and goes on comes here before any word of the store's.
            if state.jobs.stage(started.execution.key).is_none() || !state.may_start() {
                return Err(Refused::Lost);
            }
        }
        let seq = state.store_seq(started.execution.key, started.execution.sequence);
        drop(state);
        let at = self.clock.wall();
        let ticket = store.submit(&[Op::Begin { seq, at }])?;
        let once = started.execution.payload.at_most_once();
        let is_marked = once || (is_shared && started.comes_again());
        Ok(is_marked.then_some(ticket))
    }
}

impl<P: Payload> State<P> {
    /// Apply what the store has said, have a worker take in what has come, and ask for the page that is wanted.
    ///
    /// # Errors
    ///
    /// Why it takes nothing any more.
    pub(super) fn follow_store(&mut self, engine: &Engine<P>, now: Now) -> Result<(), Error> {
        self.apply_revocations(engine);
        let failed = self.failed();
        if failed.is_none() {
            self.turn_page(now);
        }
        if failed.is_some() || self.has_arrivals() {
            let mut ready = engine.ready().lock();
            ready.pages = true;
            engine.ready().call(&mut ready);
        }
        failed.map_or(Ok(()), Err)
    }

    /// Give the store the outcomes; whether the timer is to be woken, for there is room for a page.
    pub(super) fn send_outcomes(&mut self, engine: &Engine<P>) -> bool {
        // A full disk takes them later.
        let _ = self.catch_up();
        self.has_paged_out() && self.request_page_if_room(engine.now())
    }

    /// Write down how an execution has ended, before it is settled here; `None`: it is stale.
    pub(super) fn record(
        &mut self,
        engine: &Engine<P>,
        done: Done<P::Failure>,
        released: &mut Released<P>,
    ) -> Option<Done<P::Failure>> {
        if self.backing.is_none() {
            return Some(done);
        }
        let mut done = self.discard(done, released)?;
        if let (Some(outcome), Some(execution)) = (&done.outcome, self.jobs.execution(done.key)) {
            let kept = self.kept_of_end(engine, &execution, outcome, done.result.take());
            self.record_outcome(engine, &execution, outcome, kept);
        }
        Some(done)
    }

    /// What is kept of an end that a store is told of.
    #[inline]
    fn kept_of_end(
        &self,
        engine: &Engine<P>,
        execution: &Execution<P>,
        outcome: &Outcome<P::Failure>,
        result: Option<Box<Returned>>,
    ) -> Option<Box<Kept>> {
        match outcome {
            Outcome::Done => self.kept_of(engine, execution, Over::Succeeded, result?.0),
            Outcome::Again { .. } => None,
            Outcome::Dead { reason, failure } => {
                let over = Over::Dead(*reason);
                let kept = self.kept_of(engine, execution, over, Vec::new())?;
                let error = P::text(failure);
                Some(Box::new(Kept { error, ..*kept }))
            }
        }
    }

    fn record_outcome(
        &mut self,
        engine: &Engine<P>,
        execution: &Execution<P>,
        outcome: &Outcome<P::Failure>,
        kept: Option<Box<Kept>>,
    ) {
        let mut yielded = None;
        let outcome = match outcome {
            Outcome::Done => Ending::Done,
            Outcome::Again { due, progress, .. } => {
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
            Outcome::Dead { reason, failure } => Ending::Dead {
                reason: *reason,
                error: Cow::Owned(P::text(failure)),
                died: engine.clock.wall(),
                next: None,
            },
        };
        let seq = self.store_seq(execution.key, execution.sequence);
        execution.id.with_str(|id| self.note_changed(id));
        if let Some(kept) = kept {
            self.write_kept(seq, kept);
        }
        if let Some(residency) = &mut self.residency {
            residency.outbox.push(Op::Finish { seq, outcome });
            residency.outbox.extend(yielded.map(Op::Yield).into_iter());
        }
    }

    #[inline(never)]
    fn refuse_failed(&mut self, engine: &Engine<P>) -> Result<(), Refused> {
        self.apply_revocations(engine);
        self.failed().map_or(Ok(()), |error| Err(error.into()))
    }

    pub(super) fn failed(&self) -> Option<Error> {
        let failed = self.backing.as_ref()?.inbox.failed.lock().clone();
        failed.or_else(|| self.lease()?.refusal())
    }

    /// Hand over a batch, after all that has changed before it.
    pub(super) fn submit(&mut self, ops: &[Op<'_>]) -> Result<Ticket, Error> {
        self.catch_up()?;
        let backing = self.backing.as_ref().ok_or(Error::Closed)?;
        backing.store.submit(ops)
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
    pub(super) fn drop_one(&mut self, key: Key) {
        if let Some(residency) = &mut self.residency {
            residency.frontier.paged_out += 1;
        } else if let Some(entry) = self.jobs.queue.get(key) {
            let target = entry.value.payload.target();
            self.tally.note(target, |counts| counts.dropped += 1);
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
        let (mut epoch, mut seqs, mut wanted) = (None, HashSet::new(), HashSet::new());
        let mut paused = None;
        for event in events {
            match event {
                Event::Paused(targets) => paused = Some(targets),
                Event::LeaseLost(lost) => epoch = epoch.max(Some(lost)),
                Event::Revoked(revoked) => seqs.extend(revoked),
                Event::Wanted(seqs) => wanted.extend(seqs),
                Event::Poisoned(_)
                | Event::Unapplied(..)
                | Event::Contested(..)
                | Event::ClockApart(_)
                | Event::Available(_) => {}
            }
        }
        if epoch.is_some() || !seqs.is_empty() {
            lease.revoke(epoch, &seqs);
            let lost = |seq: u64| epoch.is_some() || seqs.contains(&seq);
            residency.outbox.drop_outcomes(lost);
            let keys = lease.keys_of(lost);
            self.wake_by_inbox();
            self.evict(engine, &keys);
        }
        if let Some(targets) = paused {
            self.pause_targets(engine, targets);
        }
        let wanted = self
            .lease()
            .map(|lease| lease.keys_of(|seq| wanted.contains(&seq)));
        self.give_back(engine, wanted.unwrap_or_default());
    }

    /// Let other nodes have those of these that have not started.
    pub(super) fn give_back(&mut self, engine: &Engine<P>, keys: HashSet<Key>) {
        for key in keys {
            if self.withdraw(engine, key) {
                self.yield_waiting(key);
            }
        }
        // A store that does not take it is closed, or has room later.
        let _ = self.catch_up();
        engine.notify(self);
    }

    /// Forget jobs that are no longer this node's; what runs of them is stale.
    fn evict(&mut self, engine: &Engine<P>, keys: &HashSet<Key>) {
        let (mut withdrawn, mut permits) = (HashSet::new(), Vec::new());
        for lane in &engine.lanes {
            lane.lock().queue.retain(|execution| {
                let lost = keys.contains(&execution.key);
                if lost {
                    withdrawn.insert(execution.key);
                    permits.push((execution.permit, execution.key));
                }
                !lost
            });
        }
        for &key in keys {
            let handed = self.jobs.stage(key) == Some(Stage::Handed);
            let runs = handed && !withdrawn.contains(&key);
            self.unpark(key);
            self.leave_backlog(engine, key);
            self.drop_one(key);
            if let Some(payload) = self.take(key) {
                self.evicted.insert(key, payload, runs);
            }
        }
        for (permit, key) in permits {
            self.give_permit_back(engine, permit, key);
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
}
