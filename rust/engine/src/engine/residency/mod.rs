//! Jobs that a store keeps: what is due soon is in memory as well, the rest is *away*.
//!
//! Every place before the *frontier* that is pending is in memory, parked jobs aside. What is past it,
//! or would be one too many, stays away until a page brings it in. A page is asked for by the timer, arrives
//! by the [`StoreInbox`] on a thread of the store, and is taken in by a worker, which alone can make
//! payloads of what was stored.

mod admit;
mod id_index;
mod lease;
mod pages;
mod parked;
mod turns;

pub(super) use id_index::generated;
pub(super) use lease::Evicted;
pub(super) use turns::{Turns, Waiter};

use crate::due::queue::{ClockKind, Now};
use crate::engine::{Engine, Phase, Refused, State};
use crate::jobs::record::{Done, Payload, Started};
use crate::sleep::Sleeper;
use crate::sync::Mutex;
use duewheel_model::outcome::Outcome;
use duewheel_model::time::SECOND;
use duewheel_store::{
    Ending, Error, Event, Events, Job, Op, Page, Place, Query, Settled, Store, Ticket,
};
use id_index::IdIndex;
use parked::ParkedOnDisk;
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How many jobs one page brings at most.
const PAGE: usize = 10_000;
/// How many a page brings at least, room or not.
const OVER: usize = 16;
/// How many outcomes go to the store in one batch: their texts are long.
const SENT: usize = 1_024;
/// A place before all.
const START: Place = Place {
    due: i64::MIN,
    seq: 0,
};
/// A place past all.
const END: Place = Place {
    due: i64::MAX,
    seq: i64::MAX as u64,
};

/// What the store's threads leave for the engine.
#[derive(Debug)]
pub struct StoreInbox {
    sleeper: Arc<Sleeper>,
    pages: Mutex<Vec<Page>>,
    failed: Mutex<Option<Error>>,
    /// What the store has taken back and the engine still has.
    taken_back: Mutex<Vec<Event>>,
    /// When the first of the jobs is due that the store has said to be available.
    available: Mutex<Option<i64>>,
    /// Records of the store that it could not apply, by number, and why.
    unapplied: Mutex<Vec<(u64, Error)>>,
}

impl StoreInbox {
    /// An empty one, with the sleeper of the engine that is to read it.
    ///
    /// # Errors
    ///
    /// When the process has no descriptors left for the timer.
    pub fn new() -> std::io::Result<Arc<Self>> {
        Ok(Arc::new(StoreInbox {
            sleeper: Arc::new(Sleeper::new()?),
            pages: Mutex::default(),
            failed: Mutex::default(),
            taken_back: Mutex::default(),
            available: Mutex::default(),
            unapplied: Mutex::default(),
        }))
    }

    pub(super) fn sleeper(&self) -> Arc<Sleeper> {
        self.sleeper.clone()
    }

    /// What a store calls with its events.
    pub fn events(self: &Arc<Self>) -> Events {
        let inbox = self.clone();
        Box::new(move |event| match event {
            Event::Poisoned(error) => inbox.fail(error),
            Event::Unapplied(record, why) => {
                inbox.unapplied.lock().push((record, why));
                inbox.sleeper.wake();
            }
            Event::Available(due) => {
                let mut available = inbox.available.lock();
                *available = Some(available.map_or(due, |first| first.min(due)));
                drop(available);
                inbox.sleeper.wake();
            }
            Event::Revoked(_) | Event::LeaseLost(_) => inbox.take_back(event),
        })
    }

    fn take_back(&self, event: Event) {
        if let Event::Revoked(seqs) = &event {
            // A page that came before has them as they were.
            for page in &mut *self.pages.lock() {
                page.jobs.retain(|job| !seqs.contains(&job.place.seq));
            }
        }
        self.taken_back.lock().push(event);
        self.sleeper.wake();
    }

    pub(super) fn fail(&self, error: Error) {
        self.failed.lock().get_or_insert(error);
        self.sleeper.wake();
    }
}

/// How much of the future is in memory.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// What is due within so many nanoseconds,
    pub horizon: i64,
    /// and no more than so many jobs; those that are parked do not count.
    pub resident: usize,
}

/// The engine's side of a store.
pub(super) struct Residency {
    pub(super) store: Arc<dyn Store>,
    inbox: Arc<StoreInbox>,
    window: Window,
    /// All that is pending before this place is in memory, or aside.
    frontier: Place,
    /// What of the boot clock was sent away in this life; `None`: all of it has come in.
    boot_paged_out: Option<BootPagedOut>,
    /// The frontier goes back to the start when the page that is under way has come.
    starts_over: bool,
    /// Jobs that are about to be taken in one by one, by id and sequence, unless they change before.
    coming: Vec<(String, u64)>,
    /// What is away for want of a handler.
    parked_on_disk: ParkedOnDisk,
    /// What had ended when the page under way was asked for, and the store did not know.
    unsent: HashSet<u64>,
    /// `wall − boot` since this process has the store: from which sequence on, and what it was. A
    /// due of the boot clock is stored as the wall time that it was when it was given.
    offsets: Vec<(u64, i64)>,
    /// How many pending jobs are not in memory. In a shared store, where nobody knows: how many
    /// were let go of, less those that have come.
    pub(super) paged_out: i64,
    /// What a shared store wants to be known; `None`: it is none.
    lease: Option<lease::Lease>,
    /// The bound of the page that is under way.
    paging: Option<i64>,
    /// Calls that wait for an answer about a job that is away: no page is taken in meanwhile.
    asking: usize,
    /// Stored jobs that cannot be read, by sequence, and their ids: nobody waits for them.
    unreadable: HashMap<u64, Option<String>>,
    pub(super) turns: Turns,
    /// Jobs that changed while a page was under way, which may hold them as they were.
    changed: HashSet<String>,
    /// Generated ids whose index is not that of their job.
    id_index: IdIndex,
    /// Outcomes that the store has not taken yet.
    pub(super) outbox: Vec<Op<'static>>,
}

/// Jobs on the boot clock whose stored dues were sent past the frontier: a bound of all of them.
#[derive(Clone, Copy, Debug)]
struct BootPagedOut {
    /// The largest `wall − boot` that such a due was stored by.
    offset: i64,
    /// The latest of the stored dues.
    last: i64,
}

impl Residency {
    /// A due of the boot clock is stored past the frontier, as this wall time.
    fn note_paged_out(&mut self, offset: i64, due: i64) {
        let so_far = self
            .boot_paged_out
            .get_or_insert(BootPagedOut { offset, last: due });
        so_far.offset = so_far.offset.max(offset);
        so_far.last = so_far.last.max(due);
    }

    /// How far the stored dues of what is away may have come by now: as far as the wall clock, or, where
    /// it was set back since, as far as the boot clock says.
    fn reached(&self, now: Now) -> i64 {
        let boot = self.boot_offset();
        let boot = boot.map(|offset| now.boot.saturating_add(offset));
        boot.map_or(now.wall, |boot| boot.max(now.wall))
    }

    /// The offset by which what is away on the boot clock may be due, if any of it is.
    fn boot_offset(&self) -> Option<i64> {
        let paged_out = self.boot_paged_out?;
        (self.frontier.due <= paged_out.last).then_some(paged_out.offset)
    }

    /// A job of this id and sequence is about to be taken in; pages are held until it is.
    pub(in crate::engine) fn comes(&mut self, id: &str, seq: u64) {
        self.asking += 1;
        self.coming.push((id.to_owned(), seq));
    }

    /// Whether a job was about to be taken in, and has not changed since; it is so no longer.
    fn came_by(&mut self, seq: u64) -> bool {
        let at = self.coming.iter().position(|(_, coming)| *coming == seq);
        at.map(|at| self.coming.swap_remove(at)).is_some()
    }

    /// A job that is away has changed: who was about to take it in has it as it was.
    pub(in crate::engine) fn comes_no_more(&mut self, id: &str) {
        self.coming.retain(|(coming, _)| coming != id);
    }

    /// From this sequence on, dues of the boot clock are given under another offset.
    pub(in crate::engine) fn stepped(&mut self, seq: u64, offset: i64) {
        // Under the last one no due may have been given.
        self.offsets.pop_if(|last| last.0 == seq);
        self.offsets.push((seq, offset));
    }

    /// The page from the frontier on.
    pub(super) fn page(&mut self, until: i64, count: usize) -> Query {
        self.paging = Some(until);
        let unsent = self.outbox.iter().filter_map(|op| match op {
            Op::Finish { seq, .. } | Op::Delete(seq) => Some(*seq),
            _ => None,
        });
        self.unsent = unsent.collect();
        let least = match self.parked_on_disk.is_empty() {
            true => OVER,
            // Most of what comes may stay aside.
            false => OVER.max(self.window.resident / parked::PART),
        };
        let Place { due, seq } = self.frontier;
        let after = match (due, seq) {
            (i64::MIN, 0) => None,
            (due, 0) => Some(Place {
                due: due - 1,
                seq: END.seq,
            }),
            (due, seq) => Some(Place { due, seq: seq - 1 }),
        };
        Query::Page {
            after,
            until,
            // Where there is no room, what comes is due before all that is here.
            limit: PAGE.min(self.window.resident.saturating_sub(count).max(least)),
        }
    }
}

impl Residency {
    /// `wall − boot` when this job was given its due on the boot clock; `None`: it follows the wall
    /// clock, as all do that were given theirs before this process opened the store.
    fn offset_of(&self, job: &Job<'_>) -> Option<i64> {
        let given = |&&(from, _): &&(u64, i64)| from <= job.place.seq;
        let boot = matches!(job.clock, ClockKind::Boot);
        let known = boot
            .then(|| self.offsets.iter().rev().find(given))
            .flatten();
        known.map(|&(_, offset)| offset)
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        match error {
            Error::Closed => Refused::Closed,
            Error::Duplicate(_) => Refused::Duplicate,
            error => Refused::Store(error),
        }
    }
}

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
        let lease = found.grant.map(lease::Lease::new);
        // What others keep in a shared store was not taken in here.
        let paged_out = if lease.is_some() { 0 } else { found.jobs };
        self.sleeper = inbox.sleeper();
        self.has_store = true;
        for lane in &self.lanes {
            lane.lock().settle_at = 1;
        }
        let mut state = self.state.lock();
        let offset = state.offset;
        state.queue.skip_sequences(first);
        state.counts.scheduled = paged_out;
        state.residency = Some(Box::new(Residency {
            store,
            inbox,
            window: Window {
                // Pages that cover no time would follow each other without a pause.
                horizon: window.horizon.max(SECOND / 10),
                ..window
            },
            offsets: vec![(first, offset)],
            frontier: if paged_out > 0 { START } else { END },
            boot_paged_out: None,
            starts_over: false,
            coming: Vec::new(),
            parked_on_disk: ParkedOnDisk::default(),
            unsent: HashSet::new(),
            paged_out: paged_out as i64,
            lease,
            paging: None,
            asking: 0,
            unreadable: HashMap::new(),
            turns: Turns::default(),
            changed: HashSet::new(),
            id_index: IdIndex::default(),
            outbox: Vec::new(),
        }));
    }

    /// What the store could not apply and nobody has been told of yet: record numbers, and why.
    pub fn unapplied(&self) -> Vec<(u64, Error)> {
        let state = self.state.lock();
        let residency = state.residency.as_ref();
        residency.map_or_else(Vec::new, |residency| {
            std::mem::take(&mut *residency.inbox.unapplied.lock())
        })
    }

    /// Count a stored job that cannot be read as one that nobody waits for; whether that is news.
    pub fn note_unreadable(&self, seq: u64, id: Option<String>) -> bool {
        let mut state = self.state.lock();
        let residency = state.residency.as_mut();
        let is_new =
            residency.is_some_and(|residency| residency.unreadable.insert(seq, id).is_none());
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
            && let Some(residency) = &self.state.lock().residency
        {
            // Who is told of it must find it by `failure`, whether the store's own thread has told yet or not.
            residency.inbox.fail(error.clone());
        }
        told.map_err(Refused::from)
    }

    /// The store, while it is behind this engine.
    pub fn store(&self) -> Option<Arc<dyn Store>> {
        let state = self.state.lock();
        state
            .residency
            .as_ref()
            .map(|residency| residency.store.clone())
    }

    /// Let go of the store, once the engine is closed and nothing runs any more.
    pub(super) fn close_store(&self) {
        let state = self.state.lock();
        let over = state.phase == Phase::Closed && self.under_way() == 0;
        let store = state
            .residency
            .as_ref()
            .map(|residency| residency.store.clone());
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
        let store = state
            .residency
            .as_ref()
            .map(|residency| residency.store.clone());
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
        let Some(residency) = &state.residency else {
            return Ok(None);
        };
        let store = residency.store.clone();
        if state.is_shared() && !state.is_still_ours(self, started) {
            return Err(Refused::Lost);
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
    pub(super) fn failed(&mut self) -> Option<Error> {
        self.residency.as_ref().and_then(|residency| {
            let failed = residency.inbox.failed.lock().clone();
            failed.or_else(|| residency.refusal())
        })
    }

    /// Take in no page for now.
    pub(super) fn hold_pages(&mut self) {
        if let Some(residency) = &mut self.residency {
            residency.asking += 1;
        }
    }

    /// Pages may be taken in again, as far as this call goes.
    pub(super) fn free_pages(&mut self, engine: &Engine<P>) {
        if let Some(residency) = &mut self.residency {
            residency.asking = residency.asking.saturating_sub(1);
            if residency.asking == 0 && !residency.inbox.pages.lock().is_empty() {
                engine.sleeper.wake();
            }
        }
    }

    /// How many pending jobs are known to be away.
    pub(super) fn paged_out(&self) -> u64 {
        if self.is_shared() {
            return 0;
        }
        self.residency
            .as_ref()
            .map_or(0, |residency| residency.paged_out as u64)
    }

    /// How many stored jobs are known not to be readable.
    pub(super) fn unreadable(&self) -> u64 {
        let residency = self.residency.as_ref();
        residency.map_or(0, |residency| residency.unreadable.len() as u64)
    }

    /// Whether there may be jobs that are away.
    pub(super) fn has_paged_out(&self) -> bool {
        self.residency
            .as_ref()
            .is_some_and(|residency| residency.has_paged_out())
    }

    /// The place that the next job at this due takes.
    pub(super) fn next_place(&self, clock: ClockKind, due: i64) -> Place {
        Place {
            due: self.on_the_wall(clock, due),
            seq: self.next_given(),
        }
    }

    /// Hand over a batch, after all that has changed before it.
    pub(super) fn submit(&mut self, ops: &[Op<'_>]) -> Result<Ticket, Error> {
        self.catch_up()?;
        let Some(residency) = &mut self.residency else {
            return Err(Error::Closed);
        };
        residency.store.submit(ops)
    }

    /// Say that this process ends in order, whatever still waits to be told.
    pub(super) fn leave(&self) -> Result<Ticket, Error> {
        let residency = self.residency.as_ref().ok_or(Error::Closed)?;
        residency.store.submit(&[Op::Leave])
    }

    /// Give the store the outcomes that wait.
    ///
    /// # Errors
    ///
    /// It does not take all of them. What speaks of the same jobs must not overtake them: a new job
    /// would meet the id of one that is over, and a cancelled one come again with its retry.
    pub(super) fn catch_up(&mut self) -> Result<(), Error> {
        let Some(residency) = &mut self.residency else {
            return Ok(());
        };
        while !residency.outbox.is_empty() {
            let count = residency.outbox.len().min(SENT);
            residency.store.submit(&residency.outbox[..count])?;
            residency.outbox.drain(..count);
        }
        Ok(())
    }

    /// A job ends with the engine: forgotten, unless it is pending where it is kept.
    pub(super) fn drop_one(&mut self) {
        match &mut self.residency {
            Some(residency) => residency.paged_out += 1,
            None => self.counts.dropped += 1,
        }
    }

    /// Write down how an execution has ended, before it is settled here.
    pub(super) fn record(&mut self, engine: &Engine<P>, done: &Done<P::Failure>) {
        let Some(execution) = self.execution(done.key) else {
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
                    progress: progress.on_wall(self.offset),
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
            residency.outbox.extend(yielded.map(Op::Yield));
        }
    }

    /// Give the store the outcomes that wait. A full disk takes them later.
    pub(super) fn send(&mut self) {
        // Who needs them to be there asks again.
        let _ = self.catch_up();
    }
}
