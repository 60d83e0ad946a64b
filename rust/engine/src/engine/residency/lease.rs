//! A store that many nodes share: what it takes back is let go of.
//!
//! A job is in memory here while it is claimed for this node, and everything that is claimed has
//! come with a page: what this node takes in, moves or ends as due again it yields in the same
//! batch. So a page's epoch says of all that it brought whether it is still ours.
//!
//! The store tells what it takes back before it settles or answers anything that comes after.
//! Therefore an at-most-once job whose mark is settled may start exactly if it is still held when
//! all that was heard by then is heeded: a mark that came too late is none, and was told of.
//!
//! What runs when it is taken back goes on, and is *stale*: its place here is free at once, for
//! the same job may come again, and how it ends is nobody's business any more.

use super::Residency;
use crate::due::queue::Key;
use crate::engine::{Engine, Refused, State};
use crate::jobs::record::{Done, Payload, Released, Stage, Started};
use duewheel_model::outcome::Outcome;
use duewheel_store::{Error, Event, Grant, Job, Op, Place, Ticket};
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::time::Duration;

/// How many sequences are left at least: more than one call takes.
const SPARE: u64 = 1 << 24;

/// What a shared store wants to be known beside the rest.
#[derive(Debug)]
pub(super) struct Lease {
    /// What the jobs in memory are called in the store. Their sequences in the queue are others:
    /// a job comes again under the same name, and other nodes give names too.
    store_seqs: HashMap<Key, u64>,
    /// The names that this node has not given, of those that the store has granted.
    granted: Range<u64>,
    /// The newest epoch that was lost.
    lost: u64,
    /// After how long a page is asked for anew: others may have let go of something.
    interval: i64,
    /// The wall time at which a page is wanted.
    poll: i64,
    /// No page is wanted for want of room.
    full: bool,
    /// A page was taken from the mail and is not taken in yet; what of it was revoked since.
    taken: bool,
    revoked: HashSet<u64>,
}

impl Lease {
    pub(super) fn new(grant: Grant) -> Self {
        Lease {
            store_seqs: HashMap::new(),
            granted: grant.seqs,
            lost: 0,
            interval: i64::try_from(grant.poll.as_nanos()).unwrap_or(i64::MAX),
            poll: i64::MIN,
            full: false,
            taken: false,
            revoked: HashSet::new(),
        }
    }

    fn is_time(&self, now: i64) -> bool {
        // Far ahead only if the wall clock was set back.
        now >= self.poll || self.poll.saturating_sub(now) > self.interval
    }

    /// Whether the granted names are used up.
    fn is_used_up(&self) -> bool {
        self.granted.end.saturating_sub(self.granted.start) < SPARE
    }

    /// A page is on its way.
    pub(super) fn asked(&mut self, now: i64) {
        self.poll = now.saturating_add(self.interval);
    }

    /// A page was taken from the mail.
    pub(super) fn took(&mut self) {
        self.taken = true;
    }

    /// Whether a job of a page that was taken is still this node's.
    pub(super) fn holds(&self, epoch: u64, job: &Job<'_>) -> bool {
        epoch > self.lost && !self.revoked.contains(&job.place.seq)
    }

    /// A page was taken in, and more may be had at once.
    pub(super) fn loaded(&mut self, more: bool) {
        self.taken = false;
        self.revoked.clear();
        if more {
            self.poll = i64::MIN;
        }
    }
}

/// What was let go of and is not given back yet.
pub(in crate::engine) struct Evicted<P: Payload> {
    /// Stale executions, by the keys that they had.
    started: HashMap<Key, P>,
    released: Released<P>,
}

impl<P: Payload> Default for Evicted<P> {
    fn default() -> Self {
        Evicted {
            started: HashMap::new(),
            released: Released::default(),
        }
    }
}

impl<P: Payload> Evicted<P> {
    /// How many executions are stale and have not ended.
    pub(in crate::engine) fn running(&self) -> usize {
        self.started.len()
    }

    pub(in crate::engine) fn release(&mut self, released: &mut Released<P>) {
        released.append(&mut self.released);
    }

    /// Keep what a thread without an interpreter has to free, until the next that has one settles.
    pub(in crate::engine) fn give_back(&mut self, released: &mut Released<P>) {
        self.released.append(released);
    }

    /// The end of an execution, unless it is stale: then it is dropped.
    pub(in crate::engine) fn discard(
        &mut self,
        done: Done<P::Failure>,
        unstarted: &mut u64,
        released: &mut Released<P>,
    ) -> Option<Done<P::Failure>> {
        let Some(payload) = self.started.remove(&done.key) else {
            return Some(done);
        };
        released.payloads.push(payload);
        match done.outcome {
            Some(Outcome::Dead { failure, .. }) => released.failures.push(failure),
            None => *unstarted += 1,
            _ => {}
        }
        None
    }
}

impl Residency {
    /// Whether there may be jobs that are not in memory.
    pub(in crate::engine) fn has_paged_out(&self) -> bool {
        self.lease.is_some() || self.paged_out > 0
    }

    /// One job is away no longer.
    pub(super) fn came(&mut self) {
        if self.lease.is_some() || self.paged_out > 0 {
            self.paged_out -= 1;
        }
    }

    /// Why a shared store cannot be given anything new, if it cannot.
    pub(super) fn refusal(&self) -> Option<Error> {
        let used_up = self.lease.as_ref().is_some_and(Lease::is_used_up);
        used_up.then(|| {
            let why =
                "this node has used up the sequences that the store has granted it: open it again";
            Error::Io(why.to_owned())
        })
    }

    /// Ask for a page soon.
    pub(super) fn poll_now(&mut self) {
        if let Some(lease) = &mut self.lease {
            lease.poll = i64::MIN;
            self.inbox.sleeper.wake();
        }
    }
}

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
        self.state.lock().is_still_ours(self, started)
    }
}

impl<P: Payload> State<P> {
    pub(in crate::engine) fn is_shared(&self) -> bool {
        self.residency
            .as_ref()
            .is_some_and(|residency| residency.lease.is_some())
    }

    /// The sequence that the next place has.
    pub(in crate::engine) fn next_given(&self) -> u64 {
        let lease = self
            .residency
            .as_ref()
            .and_then(|residency| residency.lease.as_ref());
        lease.map_or_else(|| self.queue.next_sequence(), |lease| lease.granted.start)
    }

    /// A job that is not in memory has a place with this sequence.
    pub(in crate::engine) fn reserve_seq(&mut self, seq: u64) {
        match self.lease() {
            Some(lease) => lease.granted.start = lease.granted.start.max(seq + 1),
            None => self.queue.skip_sequences(seq + 1),
        }
    }

    fn lease(&mut self) -> Option<&mut Lease> {
        self.residency.as_mut()?.lease.as_mut()
    }

    /// What a job in memory is called in the store: where it is not shared, by its sequence.
    pub(in crate::engine) fn store_seq(&self, key: Key, sequence: u64) -> u64 {
        let lease = self
            .residency
            .as_ref()
            .and_then(|residency| residency.lease.as_ref());
        let name = lease.and_then(|lease| lease.store_seqs.get(&key));
        name.copied().unwrap_or(sequence)
    }

    pub(in crate::engine) fn set_store_seq(&mut self, key: Key, name: u64) {
        if let Some(lease) = self.lease() {
            lease.store_seqs.insert(key, name);
        }
    }

    pub(in crate::engine) fn forget_store_seq(&mut self, key: Key) {
        if let Some(lease) = self.lease() {
            lease.store_seqs.remove(&key);
        }
    }

    /// Let go of what the store has taken back.
    pub(in crate::engine) fn apply_revocations(&mut self, engine: &Engine<P>) {
        let Some(residency) = &mut self.residency else {
            return;
        };
        let Some(lease) = &mut residency.lease else {
            return;
        };
        let available = residency.inbox.available.lock().take();
        let near = engine.clock.wall().saturating_add(residency.window.horizon);
        if available.is_some_and(|due| due <= near) {
            lease.poll = i64::MIN;
        }
        let heard = std::mem::take(&mut *residency.inbox.taken_back.lock());
        if heard.is_empty() {
            return;
        }
        let (mut all, mut seqs) = (false, HashSet::new());
        for event in heard {
            match event {
                Event::LeaseLost(epoch) => {
                    all = true;
                    lease.lost = lease.lost.max(epoch);
                }
                Event::Revoked(revoked) => seqs.extend(revoked),
                Event::Poisoned(_) | Event::Unapplied(..) | Event::Available(_) => {}
            }
        }
        if lease.taken {
            lease.revoked.extend(&seqs);
        }
        let lost = |seq: u64| all || seqs.contains(&seq);
        residency
            .outbox
            .retain(|op| !matches!(op, Op::Finish { seq, .. } if lost(*seq)));
        residency.poll_now();
        self.evicted(engine, lost);
    }

    /// Forget what is no longer this node's; what runs of it is stale.
    fn evicted(&mut self, engine: &Engine<P>, lost: impl Fn(u64) -> bool) {
        let lease = self
            .residency
            .as_ref()
            .and_then(|residency| residency.lease.as_ref());
        let names = lease.into_iter().flat_map(|lease| &lease.store_seqs);
        let keys: HashSet<Key> = names
            .filter(|(_, name)| lost(**name))
            .map(|(key, _)| *key)
            .collect();
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
        for key in keys {
            let entry = self.queue.get(key);
            let handed = entry.is_some_and(|entry| entry.value.stage() == Stage::Handed);
            let runs = handed && !withdrawn.contains(&key);
            self.unpark(key);
            self.leave_backlog(key);
            self.drop_one();
            let Some(payload) = self.take(key) else {
                continue;
            };
            if runs {
                self.evicted.started.insert(key, payload);
            } else {
                self.evicted.released.payloads.push(payload);
            }
        }
        engine.notify(self);
    }

    /// Whether an execution that a worker has taken is still this node's.
    pub(super) fn is_still_ours(&mut self, engine: &Engine<P>, started: &Started<P>) -> bool {
        self.apply_revocations(engine);
        self.queue.get(started.execution.key).is_some()
    }

    /// Yield a job that is not in memory, unless a page has brought it in by now.
    pub(in crate::engine) fn yield_one(&mut self, id: &str, seq: u64) -> Result<Ticket, Error> {
        if !self.is_shared() {
            // There it is nobody else's, and a page that is under way may bring it rightly.
            return self.submit(&[Op::Yield(seq)]);
        }
        let here = self.find(id);
        if here.is_some_and(|key| self.store_seq(key, 0) == seq) {
            return self.submit(&[]);
        }
        // The page that is under way may have it, and was asked for before.
        self.note_changed(id);
        if let Some(residency) = &mut self.residency {
            residency.poll_now();
        }
        self.submit(&[Op::Yield(seq)])
    }

    /// A query that would have given this node a job is in doubt: it may have it, and does without.
    pub(in crate::engine) fn yield_if_in_doubt(&mut self, error: &Refused, id: &str, seq: u64) {
        if matches!(error, Refused::Store(Error::InDoubt)) {
            // A store that refuses this is closed, and holds nothing for this node any more.
            let _ = self.yield_one(id, seq);
        }
    }

    /// Whether a page is wanted of a shared store; `None`: it is none.
    pub(super) fn wants_shared_page(&self, now: i64) -> Option<bool> {
        let residency = self.residency.as_ref()?;
        let lease = residency.lease.as_ref()?;
        let room = self.resident_count() < residency.window.resident;
        Some(room && residency.paging.is_none() && lease.is_time(now))
    }

    /// When the timer is to look for a page of a shared store.
    pub(super) fn next_shared_page(&mut self) -> Option<i64> {
        let room = self.resident_count();
        let residency = self.residency.as_mut()?;
        let lease = residency.lease.as_mut()?;
        lease.full = room >= residency.window.resident;
        (residency.paging.is_none() && !lease.full).then_some(lease.poll)
    }

    /// Whether room has come that the timer waits for.
    pub(super) fn has_shared_room(&mut self) -> bool {
        let count = self.resident_count();
        let Some(residency) = &mut self.residency else {
            return false;
        };
        let room = count < residency.window.resident / 2 + 1;
        let lease = residency.lease.as_mut();
        let waits = lease.is_some_and(|lease| lease.full && room);
        if waits {
            residency.poll_now();
        }
        waits
    }

    /// A job comes to this place: ask for it soon, if it is near.
    pub(super) fn request_page_if_near(&mut self, place: Place, now: i64) {
        if let Some(residency) = &mut self.residency
            && place.due <= now.saturating_add(residency.window.horizon)
        {
            residency.poll_now();
        }
    }
}
