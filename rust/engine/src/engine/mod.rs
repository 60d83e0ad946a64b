//! The engine: what is due soon is on the wheel, what is due now is handed over, what has ended
//! is settled.
//!
//! One lock guards the [`State`]. It is held for bounded steps, never while Python runs, and
//! never by a thread that waits for Python. The hand-over queue has a lock of its own
//! ([`crate::handover::queue`]); where both are taken, the state's comes first.

mod admit;
mod answering;
mod by_hand;
mod calls;
mod controls;
mod counts;
mod dead_bounds;
mod follow_ups;
mod gates;
mod heirs;
mod held_pages;
mod inbox;
mod lanes;
mod marks;
mod outcomes;
mod pages;
mod parking;
mod pauses;
mod places;
mod query;
mod receipts;
mod repeats;
mod settle;
mod state;
mod store;
#[cfg(test)]
mod tests;
mod waits;

use crate::clock::Clock;
use crate::due::queue::{Key, Now};
use crate::gates::Gates;
use crate::handover::early_wake::Lead;
use crate::handover::lanes::{Lane, LaneBacklog, Lanes};
use crate::handover::queue::{HandoverQueue, SETTLE_AT};
use crate::jobs::follow_up::FollowUps;
use crate::jobs::record::{Dead, Done, Execution, Payload, Released, Stage};
use crate::jobs::repeats::{Held, Review};
use crate::jobs::table::JobTable;
use crate::outcomes::Outcomes;
use crate::residency::{Evicted, Residency};
use crate::sleep::{Sleeper, Until};
use crate::sync::{Condvar, Mutex};
use crate::tally::Tally;
use crate::targets::Targets;
use duewheel_store::Op;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

pub use crate::residency::{DeadBounds, Window};
pub use crate::tally::Counts;
pub use calls::{
    AT_ONCE, Ask, Cancelled, CancelledMany, Coming, Delivered, GivenJob, Moved, NewRepeat,
    OnConflict, Pending, RepeatView, StartedTimer,
};
pub use counts::{CountedTargets, TargetCounts};
use inbox::Backing;
pub use inbox::StoreInbox;
pub(crate) use lanes::BATCHES_OF_A_LANE;
pub use places::{Places, QueryPlace};
pub use query::Stats;
pub use repeats::{StoredView, Taken};
pub use settle::DEAD_KEPT;

/// How many entries expire under one hold of the lock: about three microseconds.
const BATCH: usize = 64;
/// How many parked and how many held jobs one call pages out: it holds the lock.
const PAGED_OUT_AT_ONCE: usize = 256;
/// How often a node past the end of its lease looks whether it has another, in nanoseconds.
const LEASE_LOOK: i64 = 20_000_000;

/// How stale the offset between the clocks may be when a job is scheduled, in nanoseconds.
const OFFSET_AGE: i64 = 1_000_000;

/// When a job is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// At a time of the wall clock.
    At(i64),
    /// After a delay on the boot clock, from now.
    In(i64),
}

/// Why the engine refused a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The engine is closed.
    Closed,
    /// A job with this id is pending or running.
    Duplicate,
    /// After this delay the due is beyond what an `i64` of nanoseconds holds.
    Overflow(i64),
    /// A repeat has no time that is left.
    Never,
    /// A schedule gives no time: why.
    Schedule(String),
    /// The job is no longer this node's.
    Lost,
    /// What the store said.
    Store(duewheel_store::Error),
}

impl From<duewheel_store::Error> for Refused {
    fn from(error: duewheel_store::Error) -> Self {
        match error {
            duewheel_store::Error::Closed => Refused::Closed,
            duewheel_store::Error::Duplicate(_) => Refused::Duplicate,
            error => Refused::Store(error),
        }
    }
}

/// What [`Engine::pump`] wants of the timer thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pumped {
    /// Call it again at once.
    More,
    /// Sleep, then call it again.
    Sleep(Until),
    /// End.
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Made, or drained: jobs wait.
    Stopped,
    Started,
    Closed,
}

pub(crate) struct State<P: Payload> {
    jobs: JobTable<P>,
    phase: Phase,
    targets: Targets,
    backlogs: Lanes<LaneBacklog>,
    dead: VecDeque<Dead<P>>,
    tally: Tally,
    dead_bounds: DeadBounds,
    /// How many have died since they were looked at.
    deaths: u64,
    /// What the timer sleeps for, while it does.
    asleep: Option<Until>,
    /// What is being handed over, made before the hand-over queue is locked.
    outgoing: Vec<Execution<P>>,
    /// What is being settled; swapped with the list of what has ended.
    ended: Vec<Done<P::Failure>>,
    /// What is in memory of the store behind it, and that store, if there is one.
    residency: Option<Box<Residency>>,
    backing: Option<Backing>,
    /// What a shared store has taken back.
    evicted: Evicted<P>,
    follow_ups: FollowUps<P>,
    outcomes: Outcomes,
    gates: Gates,
    /// Before this moment of the boot clock nothing could start: it was not started, or the wall clock went forward.
    could_not_start: i64,
    review: Option<Review>,
    held: Vec<Held>,
    /// What other processes have called and wait for, where they may call.
    receipts: Option<Box<receipts::Receipts<P::Failure>>>,
    /// Virtual time drives it: one execution is handed over when that is asked for.
    is_by_hand: bool,
}

/// A scheduler without handlers: jobs in, executions out, outcomes back.
pub struct Engine<P: Payload> {
    state: Mutex<State<P>>,
    changed: Condvar,
    waiting: AtomicUsize,
    lanes: Lanes<HandoverQueue<P>>,
    clock: Box<dyn Clock>,
    sleeper: Arc<Sleeper>,
    /// Held by who hands over and sets the timers, before the state's lock.
    lead: Mutex<Lead>,
    /// Whether a store is behind it, which never changes while it is shared.
    has_store: bool,
}

impl<P: Payload> Engine<P> {
    /// An engine on these clocks, stopped.
    ///
    /// # Errors
    ///
    /// When the process has no descriptors left for the timer, or the system no randomness.
    pub fn new(clock: Box<dyn Clock>) -> std::io::Result<Self> {
        let offset = clock.offset();
        let boot = clock.boot();
        let state = State {
            jobs: JobTable::new(offset, boot)?,
            phase: Phase::Stopped,
            targets: Targets::default(),
            backlogs: Lanes::default(),
            dead: VecDeque::new(),
            tally: Tally::default(),
            dead_bounds: DeadBounds::default(),
            deaths: 0,
            asleep: None,
            outgoing: Vec::with_capacity(BATCH),
            ended: Vec::with_capacity(SETTLE_AT),
            residency: None,
            backing: None,
            evicted: Evicted::default(),
            follow_ups: FollowUps::new(),
            outcomes: Outcomes::default(),
            gates: Gates::default(),
            could_not_start: i64::MIN,
            review: None,
            held: Vec::new(),
            receipts: None,
            is_by_hand: false,
        };
        let sleeper = Arc::new(Sleeper::shared()?);
        let mut lanes: Lanes<HandoverQueue<P>> = Lanes::default();
        lanes[Lane::Workers].seat_workers(&sleeper);
        for lane in &lanes {
            lane.lock().offset = offset;
        }
        Ok(Engine {
            state: Mutex::new(state),
            changed: Condvar::new(),
            waiting: AtomicUsize::new(0),
            lanes,
            clock,
            sleeper,
            lead: Mutex::default(),
            has_store: false,
        })
    }

    /// The workers' hand-over queue.
    #[inline]
    pub fn ready(&self) -> &HandoverQueue<P> {
        self.lane(Lane::Workers)
    }

    /// The clocks.
    pub fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// Both clocks at once. Not to be read on both sides of a wait for a lock: they place a due
    /// of the one clock among those of the other.
    pub(crate) fn now(&self) -> Now {
        Now {
            wall: self.clock.wall(),
            boot: self.clock.boot(),
        }
    }

    /// Begin to hand over what is due.
    ///
    /// # Errors
    ///
    /// [`Refused::Closed`].
    pub fn start(&self) -> Result<(), Refused> {
        let boot = self.clock.boot();
        let mut state = self.open()?;
        if state.phase == Phase::Started {
            return Ok(());
        }
        state.phase = Phase::Started;
        state.could_not_start = state.could_not_start.max(boot);
        state.asleep = None;
        drop(state);
        self.sleeper.wake();
        Ok(())
    }

    /// Hand over nothing more; what has not started is pending again in its old place.
    pub fn stop(&self) {
        let mut state = self.state.lock();
        if state.phase != Phase::Started {
            return;
        }
        state.phase = Phase::Stopped;
        state.recall(self);
        state.yield_all(self);
        self.notify(&state);
    }

    /// Forget what is pending, for good; what is running still reports its end.
    pub fn close(&self, released: &mut Released<P>) -> u64 {
        let mut state = self.state.lock();
        if state.phase == Phase::Closed {
            return 0;
        }
        if let Some(receipts) = &mut state.receipts {
            receipts.answer_all();
        }
        state.settle(self, released);
        state.phase = Phase::Closed;
        let handed = self.close_lanes(&mut state);
        let _ = state.catch_up();
        if let Some(backing) = &state.backing
            && self.under_way() > 0
        {
            // What still runs when the process ends has not killed it. Said before the call returns,
            // after which the process may end; a store that does not take it counts what runs as
            // interrupted.
            let _ = backing.store.submit(&[Op::Leave]);
        }
        let waiting = state
            .jobs
            .queue
            .iter()
            .filter(|(_, entry)| entry.value.stage() != Stage::Handed);
        let keys: Vec<Key> = waiting.map(|(key, _)| key).chain(handed).collect();
        for &key in &keys {
            state.unpark(key);
            if state.residency.is_none() {
                state.drop_one(key);
            }
            state.remove(key, released);
        }
        state.outcomes.wake_all();
        state.backlogs = Lanes::default();
        state.targets.controls.drop_held();
        state.gates = Gates::default();
        let dropped = if let Some(residency) = &mut state.residency {
            // They stay pending in the store.
            residency.left.clear();
            residency.frontier.paged_out += keys.len() as i64;
            0
        } else {
            keys.len() as u64
        };
        for dead in std::mem::take(&mut state.dead) {
            released.payloads.push(dead.payload);
            released.failures.push(dead.failure);
        }
        self.notify(&state);
        let emptied = state.give_up_memory();
        drop(state);
        // Not under the lock: it may be much.
        drop(emptied);
        // The timer ends, and nothing is to be waited for any more.
        self.sleeper.close();
        self.close_store();
        dropped
    }

    /// Close the lanes; what was handed over and has not started.
    fn close_lanes(&self, state: &mut State<P>) -> Vec<Key> {
        let mut handed = Vec::new();
        for lane in &self.lanes {
            let mut ready = lane.lock();
            for execution in ready.queue.drain(..) {
                state.take_mark_back(&execution);
                state.give_permit_back(self, execution.permit, execution.key);
                handed.push(execution.key);
            }
            lane.close(&mut ready);
        }
        handed
    }

    /// Whether it is closed.
    pub fn is_closed(&self) -> bool {
        self.state.lock().phase == Phase::Closed
    }

    /// Whether it is started.
    pub fn is_started(&self) -> bool {
        self.state.lock().phase == Phase::Started
    }

    /// Hand over a batch of what is due; tells the timer what to do next.
    pub fn pump(&self) -> Pumped {
        let mut state = self.state.lock();
        let now = self.now();
        state.asleep = None;
        match state.phase {
            Phase::Closed => return Pumped::Closed,
            Phase::Stopped => return Pumped::Sleep(Until::default()),
            Phase::Started => {}
        }
        state.refresh(self, now.boot);
        state.outcomes.forget(now.boot);
        if state.review.is_some() {
            drop(state);
            self.review();
            return Pumped::More;
        }
        if state.follow_store(self, now).is_err() {
            drop(state);
            self.stop();
            return Pumped::Sleep(Until::default());
        }
        if !state.may_start() {
            return Pumped::Sleep(Until {
                wall: None,
                boot: Some(now.boot.saturating_add(LEASE_LOOK)),
            });
        }
        state.open_targets(self, now.boot);
        let room = state.make_room(self);
        if room == 0 {
            return Pumped::Sleep(Until::default());
        }
        if state.expire(self, now, room.min(BATCH)) || state.jobs.queue.trim() {
            return Pumped::More;
        }
        let (wall, boot) = state.jobs.queue.next_due();
        let page = state.plan_page();
        let opening = state.targets.controls.next_opening();
        let until = Until {
            wall: wall.into_iter().chain(page.wall).min(),
            boot: boot.into_iter().chain(page.boot).chain(opening).min(),
        };
        state.asleep = Some(until);
        Pumped::Sleep(self.plan(&state, until))
    }

    /// What a runner does between jobs: settle what has ended, and hand over the next batch while
    /// the timer waits for room in its lane.
    ///
    /// What one thread writes and reads stays in its cache: handed over by the timer's thread, a
    /// job costs more than its expiry. When nothing more is due, the timer takes over again.
    pub fn settle_and_refill(&self, lane: Lane, released: &mut Released<P>) {
        let mut state = self.state.lock();
        state.settle(self, released);
        if state.phase == Phase::Closed {
            // Nothing is handed over any more: a runner that is asked to make room would settle for ever.
            self.lane(lane).lock().room_wanted = false;
            let emptied = state.give_up_memory();
            drop(state);
            drop(emptied);
            self.close_store();
            return;
        }
        while self.lane(lane).lock().wants_more() {
            let now = self.now();
            state.refresh(self, now.boot);
            let before = self.lane(lane).lock().queue.len();
            let more = state.fill(self, lane, now);
            let mut ready = self.lane(lane).lock();
            let empty = ready.queue.is_empty();
            // Where nothing came of it, the timer goes on alone: the event loop has else to do,
            // and so have the workers when all that is due is for the other lane.
            let gained = ready.queue.len() > before;
            if !more || (!gained && (lane == Lane::Loop || state.targets.only_lane().is_none())) {
                ready.room_wanted = false;
                self.sleeper.wake();
            }
            if !empty {
                return;
            }
            drop(ready);
            // The wheel is in the middle of a large move: others first.
            drop(state);
            state = self.state.lock();
        }
    }
}
