//! The engine: what is due soon is on the wheel, what is due now is handed over, what has ended
//! is settled.
//!
//! One lock guards the [`State`]. It is held for bounded steps, never while Python runs, and
//! never by a thread that waits for Python. The hand-over queue has a lock of its own
//! ([`crate::ready`]); where both are taken, the state's comes first.

mod outcome;
mod query;
#[cfg(test)]
mod wakes;

use crate::ids::IdSource;
use crate::ids::{self, Halves};
use crate::queue::{ClockKind, DueQueue, Key, Now};
use crate::ready::{CAPACITY, Ready};
use crate::record::{Dead, Execution, Id, Payload, Record, Released, Side, Stage};
use crate::sleep::{Sleeper, Until};
use crate::sync::{Condvar, Mutex};
use crate::time::Clock;
use slab::Slab;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant};

pub use outcome::DEAD_KEPT;
pub use query::{Place, Stats};

/// How many entries expire under one hold of the lock: about three microseconds.
const BATCH: usize = 64;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The engine is closed.
    Closed,
    /// A job with this id is pending or running.
    Duplicate,
    /// The due is beyond what an `i64` of nanoseconds holds.
    Overflow,
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

#[derive(Debug, Default)]
struct Target {
    registered: bool,
    /// Its parked jobs, in no order; those that have left are skipped when it is registered.
    parked: Vec<Key>,
    noticed: bool,
}

/// The differences of wall and boot clock under which waiting jobs were scheduled.
///
/// The first due of an `in_` job never changes, though the wall clock may step. All that a job
/// keeps of it is which of three offsets held; when more are in use at once it gets a side.
#[derive(Debug, Default)]
struct Offsets {
    values: [i64; 3],
    jobs: [u64; 3],
    current: usize,
}

impl Offsets {
    fn now(&self) -> i64 {
        self.values[self.current]
    }

    /// The offset is now `offset`: take a free place for it, if there is one.
    fn step(&mut self, offset: i64) -> bool {
        match self.jobs.iter().position(|&jobs| jobs == 0) {
            Some(free) => {
                self.values[free] = offset;
                self.current = free;
                true
            }
            None => false,
        }
    }
}

pub(crate) struct State<P: Payload> {
    pub(crate) queue: DueQueue<Record<P>>,
    pub(crate) sides: Slab<Side>,
    given: HashMap<Arc<str>, Key>,
    ids: IdSource,
    offsets: Offsets,
    /// `wall − boot` as last measured; all three of `offsets` may be taken by others.
    offset: i64,
    offset_read: i64,
    phase: Phase,
    targets: Vec<Target>,
    parked: usize,
    dead: VecDeque<Dead<P>>,
    counts: Counts,
    /// What the timer sleeps for, while it does.
    asleep: Option<Until>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    scheduled: u64,
    succeeded: u64,
    retried: u64,
    snoozed: u64,
    dead: u64,
    cancelled: u64,
    revived: u64,
    dropped: u64,
    /// Started executions that turned out to have no handler.
    unstarted: u64,
}

/// A scheduler without handlers: jobs in, executions out, outcomes back.
pub struct Engine<P: Payload> {
    state: Mutex<State<P>>,
    changed: Condvar,
    waiting: AtomicUsize,
    ready: Ready<P>,
    clock: Box<dyn Clock>,
    sleeper: Sleeper,
}

impl<P: Payload> Engine<P> {
    /// An engine on these clocks, stopped.
    ///
    /// # Errors
    ///
    /// When the process has no descriptors left for the timer.
    pub fn new(clock: Box<dyn Clock>) -> std::io::Result<Self> {
        let offset = clock.offset();
        let boot = clock.boot();
        let now = Now {
            wall: boot.saturating_add(offset),
            boot,
        };
        let mut offsets = Offsets::default();
        offsets.step(offset);
        let state = State {
            queue: DueQueue::new(now),
            sides: Slab::new(),
            given: HashMap::new(),
            ids: IdSource::default(),
            offsets,
            offset,
            offset_read: boot,
            phase: Phase::Stopped,
            targets: Vec::new(),
            parked: 0,
            dead: VecDeque::new(),
            counts: Counts::default(),
            asleep: None,
        };
        let ready = Ready::default();
        ready.lock().offset = offset;
        Ok(Engine {
            state: Mutex::new(state),
            changed: Condvar::new(),
            waiting: AtomicUsize::new(0),
            ready,
            clock,
            sleeper: Sleeper::new()?,
        })
    }

    /// The hand-over queue, for workers.
    pub fn ready(&self) -> &Ready<P> {
        &self.ready
    }

    /// The clocks.
    pub fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    pub(crate) fn sleeper(&self) -> &Sleeper {
        &self.sleeper
    }

    /// Wake the timer, which waits for room in the hand-over queue.
    pub fn wake_timer(&self) {
        self.sleeper.wake();
    }

    fn open(&self) -> Result<MutexGuard<'_, State<P>>, Refused> {
        let state = self.state.lock();
        if state.phase == Phase::Closed {
            Err(Refused::Closed)
        } else {
            Ok(state)
        }
    }

    /// Schedule one job under a generated id.
    ///
    /// # Errors
    ///
    /// [`Refused::Closed`] and [`Refused::Overflow`]; the payload stays the caller's.
    #[inline]
    pub fn schedule(&self, due: Due, payload: P) -> Result<Halves, Refused> {
        let boot = self.clock.boot();
        let mut state = self.open()?;
        state.refresh(self, boot);
        let (clock, due) = state.resolve(due, boot)?;
        let id = state.insert(clock, due, boot, payload);
        let wake = state.rouses(clock, due);
        drop(state);
        if wake {
            self.sleeper.wake();
        }
        Ok(id)
    }

    /// Schedule many jobs, in order, all of them or none; returns their ids.
    ///
    /// # Errors
    ///
    /// As [`schedule`](Self::schedule).
    pub fn schedule_many(&self, jobs: &[(Due, P)]) -> Result<Vec<Halves>, Refused> {
        let boot = self.clock.boot();
        let mut state = self.open()?;
        state.refresh(self, boot);
        let offset = state.offset;
        for (due, _) in jobs {
            state.resolve(*due, boot)?;
        }
        let mut ids = Vec::with_capacity(jobs.len());
        let mut wake = false;
        for chunk in jobs.chunks(4096) {
            // The lock is let go between chunks, so that others do not wait for all.
            drop(state);
            state = self.state.lock();
            if state.phase == Phase::Closed {
                return Err(Refused::Closed);
            }
            let moved = state.offset != offset;
            for (due, payload) in chunk {
                let (clock, due) = match state.resolve(*due, boot) {
                    Ok(resolved) => resolved,
                    // Only a stepped clock can make it overflow now: as late as can be, then.
                    Err(_) if moved => (ClockKind::Boot, i64::MAX - 1),
                    Err(refused) => return Err(refused),
                };
                ids.push(state.insert(clock, due, boot, *payload));
                wake |= state.rouses(clock, due);
            }
        }
        drop(state);
        if wake {
            self.sleeper.wake();
        }
        Ok(ids)
    }

    /// Schedule one job under a given id.
    ///
    /// # Errors
    ///
    /// As [`schedule`](Self::schedule), and [`Refused::Duplicate`].
    pub fn schedule_as(
        &self,
        id: &str,
        due: Due,
        payload: P,
        released: &mut Released<P>,
    ) -> Result<(), Refused> {
        let boot = self.clock.boot();
        let mut state = self.open()?;
        state.settle(self, released);
        state.refresh(self, boot);
        let (clock, due) = state.resolve(due, boot)?;
        let job_due = state.on_the_wall(clock, due);
        let id = Id::Given(id.into());
        let side = Side {
            id,
            job_due,
            first_start: None,
            attempt: 1,
            run: 1,
        };
        state.insert_side(clock, due, side, payload)?;
        state.counts.scheduled += 1;
        let wake = state.rouses(clock, due);
        drop(state);
        if wake {
            self.sleeper.wake();
        }
        Ok(())
    }

    /// Take in a pending execution as it stands: its due, run and attempt.
    ///
    /// # Errors
    ///
    /// As [`schedule_as`](Self::schedule_as).
    pub fn restore(
        &self,
        id: &str,
        job_due: i64,
        due: i64,
        (run, attempt): (u32, u32),
        payload: P,
        released: &mut Released<P>,
    ) -> Result<(), Refused> {
        let mut state = self.open()?;
        state.settle(self, released);
        let side = Side {
            id: Id::Given(id.into()),
            job_due,
            first_start: None,
            attempt,
            run,
        };
        state.insert_side(ClockKind::Wall, due, side, payload)?;
        state.counts.scheduled += 1;
        let wake = state.rouses(ClockKind::Wall, due);
        drop(state);
        if wake {
            self.sleeper.wake();
        }
        Ok(())
    }

    /// Withdraw a pending job: `true` when it will never start.
    ///
    /// # Errors
    ///
    /// [`Refused::Closed`].
    pub fn cancel(&self, id: &str, released: &mut Released<P>) -> Result<bool, Refused> {
        let mut state = self.open()?;
        let Some(key) = state.find(id) else {
            return Ok(false);
        };
        if !state.withdraw(self, key) {
            return Ok(false);
        }
        state.remove(key, released);
        state.counts.cancelled += 1;
        self.notify();
        Ok(true)
    }

    /// Move a pending job to a new due on the wall clock, at a new place in the order.
    ///
    /// # Errors
    ///
    /// [`Refused::Closed`].
    pub fn reschedule(&self, id: &str, due: i64) -> Result<bool, Refused> {
        let mut state = self.open()?;
        let Some(key) = state.find(id) else {
            return Ok(false);
        };
        if !state.withdraw(self, key) {
            return Ok(false);
        }
        // Its first due is told by the clock that it was scheduled on, which changes now.
        state.give_side(key);
        state.requeue(key, ClockKind::Wall, due);
        let wake = state.rouses(ClockKind::Wall, due);
        drop(state);
        if wake {
            self.sleeper.wake();
        }
        Ok(true)
    }

    /// Say whether a target has a handler; its parked jobs go back to their old places.
    pub fn set_registered(&self, target: u32, registered: bool) {
        let mut state = self.state.lock();
        let target = target as usize;
        if state.targets.len() <= target {
            state.targets.resize_with(target + 1, Target::default);
        }
        state.targets[target].registered = registered;
        if !registered {
            return;
        }
        state.targets[target].noticed = false;
        for key in std::mem::take(&mut state.targets[target].parked) {
            if state
                .queue
                .get(key)
                .is_some_and(|entry| entry.value.stage() == Stage::Parked)
            {
                state.unpark(key);
                state.queue.put_back(key);
            }
        }
        let wake = state.asleep.take().is_some();
        drop(state);
        if wake {
            self.sleeper.wake();
        }
    }

    /// Begin to hand over what is due.
    ///
    /// # Errors
    ///
    /// [`Refused::Closed`].
    pub fn start(&self) -> Result<(), Refused> {
        let mut state = self.open()?;
        state.phase = Phase::Started;
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
        let mut ready = self.ready.lock();
        let handed: Vec<Key> = ready
            .queue
            .drain(..)
            .map(|execution| execution.key)
            .collect();
        drop(ready);
        for key in handed {
            if let Some(record) = state.queue.get_mut(key) {
                record.set_stage(Stage::Waiting);
            }
            state.queue.put_back(key);
        }
        self.notify();
    }

    /// Forget what is pending, for good; what is running still reports its end.
    pub fn close(&self, released: &mut Released<P>) -> u64 {
        let mut state = self.state.lock();
        if state.phase == Phase::Closed {
            return 0;
        }
        state.settle(self, released);
        state.phase = Phase::Closed;
        let mut ready = self.ready.lock();
        let handed: Vec<Key> = ready
            .queue
            .drain(..)
            .map(|execution| execution.key)
            .collect();
        self.ready.close(&mut ready);
        drop(ready);
        let waiting = state
            .queue
            .iter()
            .filter(|(_, entry)| entry.value.stage() != Stage::Handed);
        let keys: Vec<Key> = waiting.map(|(key, _)| key).chain(handed).collect();
        for &key in &keys {
            state.unpark(key);
            state.remove(key, released);
        }
        state.counts.dropped += keys.len() as u64;
        for dead in std::mem::take(&mut state.dead) {
            released.payloads.push(dead.payload);
            released.failures.push(dead.failure);
        }
        self.notify();
        drop(state);
        self.sleeper.wake();
        keys.len() as u64
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
        // Both at once, with no wait for a lock between them: they place a due of the one clock
        // among those of the other.
        let now = Now {
            wall: self.clock.wall(),
            boot: self.clock.boot(),
        };
        state.asleep = None;
        match state.phase {
            Phase::Closed => return Pumped::Closed,
            Phase::Stopped => return Pumped::Sleep(Until::default()),
            Phase::Started => {}
        }
        state.refresh(self, now.boot);
        let mut ready = self.ready.lock();
        let room = CAPACITY.saturating_sub(ready.queue.len());
        if room == 0 {
            // A worker wakes the timer when there is room; what is inserted need not.
            ready.room_wanted = true;
            drop(ready);
            return Pumped::Sleep(Until::default());
        }
        drop(ready);
        if state.expire(self, now, room.min(BATCH)) {
            return Pumped::More;
        }
        let (wall, boot) = state.queue.next_due();
        let until = Until { wall, boot };
        state.asleep = Some(until);
        Pumped::Sleep(until)
    }

    /// Wait until `done` holds, for at most `timeout`; `true` when it does.
    fn wait_until(&self, timeout: Duration, done: impl Fn(&State<P>, usize) -> bool) -> bool {
        let deadline = Instant::now() + timeout;
        let mut state = self.state.lock();
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let reached = loop {
            let running = self.ready.lock().running;
            if done(&state, running) {
                break true;
            }
            let late;
            (state, late) = self.changed.wait_until(state, deadline);
            if late {
                let running = self.ready.lock().running;
                break done(&state, running);
            }
        };
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        reached
    }

    /// Wait until nothing runs.
    pub fn wait_finished(&self, timeout: Duration) -> bool {
        self.wait_until(timeout, |_, running| running == 0)
    }

    /// Wait until nothing is pending but parked jobs, or closed, and nothing runs.
    pub fn wait_idle(&self, timeout: Duration) -> bool {
        self.wait_until(timeout, |state, running| {
            // What has ended and is not settled yet still counts: its retry may be pending.
            running == 0 && (state.phase == Phase::Closed || state.queue.len() == state.parked)
        })
    }

    /// Wait until it no longer runs what is due.
    pub fn wait_stopped(&self, timeout: Duration) -> bool {
        self.wait_until(timeout, |state, _| state.phase != Phase::Started)
    }

    /// Tell those who wait that something has changed.
    fn notify(&self) {
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.changed.notify_all();
        }
    }
}

impl<P: Payload> State<P> {
    /// Measure the offset between the clocks again, if it may have moved.
    #[inline]
    fn refresh(&mut self, engine: &Engine<P>, boot: i64) {
        let clock = engine.clock();
        if boot - self.offset_read > OFFSET_AGE || clock.jitter() == 0 {
            self.measure(engine, boot);
        }
    }

    #[cold]
    fn measure(&mut self, engine: &Engine<P>, boot: i64) {
        self.offset_read = boot;
        let offset = engine.clock.offset();
        if (offset - self.offset).abs() > engine.clock.jitter() {
            self.offset = offset;
            self.offsets.step(offset);
            engine.ready.lock().offset = offset;
        }
    }

    #[inline]
    fn resolve(&self, due: Due, boot: i64) -> Result<(ClockKind, i64), Refused> {
        match due {
            Due::At(due) => Ok((ClockKind::Wall, due)),
            Due::In(delay) => {
                let due = boot.checked_add(delay).ok_or(Refused::Overflow)?;
                due.checked_add(self.offset).ok_or(Refused::Overflow)?;
                Ok((ClockKind::Boot, due))
            }
        }
    }

    /// What a due on `clock` is on the wall clock, now.
    fn on_the_wall(&self, clock: ClockKind, due: i64) -> i64 {
        match clock {
            ClockKind::Wall => due,
            ClockKind::Boot => due.saturating_add(self.offset),
        }
    }

    #[inline]
    fn insert(&mut self, clock: ClockKind, due: i64, boot: i64, payload: P) -> Halves {
        self.counts.scheduled += 1;
        let wall = boot.saturating_add(self.offset);
        let index = self.queue.next_index();
        let id = self.ids.make(wall, index);
        let epoch = self.offsets.current;
        if clock == ClockKind::Boot && self.offsets.now() != self.offset {
            let job_due = self.on_the_wall(clock, due);
            let id = Id::Generated(id);
            let side = Side {
                id,
                job_due,
                first_start: None,
                attempt: 1,
                run: 1,
            };
            let side = self.sides.insert(side);
            self.queue
                .insert(clock, due, Record::with_side(side, payload));
            return self.id_of_side(side);
        }
        if clock == ClockKind::Boot {
            self.offsets.jobs[epoch] += 1;
            self.queue
                .insert(clock, due, Record::plain(id, epoch as u8, payload));
        } else {
            self.queue.insert(clock, due, Record::plain(id, 3, payload));
        }
        id
    }

    fn id_of_side(&self, side: usize) -> Halves {
        match &self.sides[side].id {
            Id::Generated(halves) => *halves,
            Id::Given(text) => ids::parse(text).unwrap_or_default(),
        }
    }

    /// Insert a job that has a side, under an id that must be free.
    fn insert_side(
        &mut self,
        clock: ClockKind,
        due: i64,
        side: Side,
        payload: P,
    ) -> Result<Key, Refused> {
        if side.id.with_str(|id| self.find(id)).is_some() {
            return Err(Refused::Duplicate);
        }
        let given = match &side.id {
            Id::Given(id) => Some(id.clone()),
            Id::Generated(_) => None,
        };
        let number = self.sides.insert(side);
        let key = self
            .queue
            .insert(clock, due, Record::with_side(number, payload));
        if let Some(id) = given {
            self.given.insert(id, key);
        }
        Ok(key)
    }

    /// The key of the job with this id, in whatever stage.
    #[inline]
    fn find(&self, id: &str) -> Option<Key> {
        if let Some(halves) = ids::parse(id)
            && let Some(key) = self.queue.key_at(self.ids.index(halves))
            && let Some(entry) = self.queue.get(key)
        {
            let same = match entry.value.side() {
                None => entry.value.id() == halves,
                Some(side) => self.sides[side].id == Id::Generated(halves),
            };
            if same {
                return Some(key);
            }
        }
        if self.given.is_empty() {
            None
        } else {
            self.given.get(id).copied()
        }
    }

    /// Make a pending job neither parked nor handed over; `false` when it is not pending.
    fn withdraw(&mut self, engine: &Engine<P>, key: Key) -> bool {
        match self.queue.get(key).map(|entry| entry.value.stage()) {
            None => false,
            Some(Stage::Waiting) => true,
            Some(Stage::Parked) => {
                self.unpark(key);
                true
            }
            Some(Stage::Handed) => engine.ready.lock().withdraw(key),
        }
    }

    fn unpark(&mut self, key: Key) {
        if let Some(record) = self.queue.get_mut(key)
            && record.stage() == Stage::Parked
        {
            record.set_stage(Stage::Waiting);
            self.parked -= 1;
        }
    }

    fn park(&mut self, engine: &Engine<P>, key: Key) {
        let Some(record) = self.queue.get_mut(key) else {
            return;
        };
        record.set_stage(Stage::Parked);
        let number = record.payload.target();
        self.parked += 1;
        let (queue, target) = (&self.queue, &mut self.targets[number as usize]);
        if target.parked.len() > 64 && target.parked.len() > 2 * self.parked {
            target.parked.retain(|&key| {
                queue
                    .get(key)
                    .is_some_and(|entry| entry.value.stage() == Stage::Parked)
            });
        }
        target.parked.push(key);
        if !target.noticed {
            target.noticed = true;
            let mut ready = engine.ready.lock();
            ready.notices.push(number);
            engine.ready.call(&mut ready);
        }
    }

    /// Give a new due and a new place.
    fn requeue(&mut self, key: Key, clock: ClockKind, due: i64) {
        if let Some(record) = self.queue.get_mut(key) {
            record.set_stage(Stage::Waiting);
        }
        self.queue.requeue(key, clock, due);
    }

    /// Forget a job; its payload is the caller's again.
    fn remove(&mut self, key: Key, released: &mut Released<P>) {
        if let Some(side) = self.detach(key, released) {
            self.forget_side(side);
        }
    }

    /// Take a job out and leave its side.
    #[inline]
    fn detach(&mut self, key: Key, released: &mut Released<P>) -> Option<usize> {
        let record = self.queue.remove(key)?;
        released.payloads.push(record.payload);
        let side = record.side();
        if side.is_none() && record.epoch() < 3 {
            self.offsets.jobs[record.epoch() as usize] -= 1;
        }
        side
    }

    fn forget_side(&mut self, side: usize) -> Side {
        let side = self.sides.remove(side);
        if let Id::Given(id) = &side.id {
            self.given.remove(id);
        }
        side
    }

    /// The number of a job's side, made now if it has none.
    fn give_side(&mut self, key: Key) -> Option<usize> {
        let entry = self.queue.get(key)?;
        let record = *entry.value;
        if let Some(side) = record.side() {
            return Some(side);
        }
        let id = Id::Generated(record.id());
        let job_due = self.first_due(&record, entry.due);
        if record.epoch() < 3 {
            self.offsets.jobs[record.epoch() as usize] -= 1;
        }
        let side = Side {
            id,
            job_due,
            first_start: None,
            attempt: 1,
            run: 1,
        };
        let side = self.sides.insert(side);
        let mut with_side = Record::with_side(side, record.payload);
        with_side.set_stage(record.stage());
        *self.queue.get_mut(key)? = with_side;
        Some(side)
    }

    /// The due that a job without a side was first scheduled for.
    fn first_due(&self, record: &Record<P>, due: i64) -> i64 {
        match record.epoch() {
            3 => due,
            epoch => due.saturating_add(self.offsets.values[epoch as usize]),
        }
    }

    /// Whether the timer sleeps past this due; from now on it counts as awake.
    #[inline]
    fn rouses(&mut self, clock: ClockKind, due: i64) -> bool {
        let Some(until) = self.asleep else {
            return false;
        };
        let planned = match clock {
            ClockKind::Wall => until.wall,
            ClockKind::Boot => until.boot,
        };
        let earlier = self.phase == Phase::Started && planned.is_none_or(|planned| due < planned);
        if earlier {
            self.asleep = None;
        }
        earlier
    }

    /// Expire up to `max` entries and hand them over or park them; `true`: there may be more.
    fn expire(&mut self, engine: &Engine<P>, now: Now, max: usize) -> bool {
        let mut keys = [Key {
            index: 0,
            generation: 0,
        }; BATCH];
        let mut count = 0;
        let progress = self.queue.expire(now, max, |key, record| {
            record.set_stage(Stage::Handed);
            keys[count] = key;
            count += 1;
        });
        if count > 0 {
            let mut parked = false;
            let mut ready = engine.ready.lock();
            for &key in &keys[..count] {
                let Some(entry) = self.queue.get(key) else {
                    continue;
                };
                let target = entry.value.payload.target() as usize;
                if self
                    .targets
                    .get(target)
                    .is_some_and(|target| target.registered)
                {
                    let execution = self.execution(key);
                    ready.queue.extend(execution);
                } else {
                    parked = true;
                }
            }
            engine.ready.call(&mut ready);
            drop(ready);
            if parked {
                self.park_unregistered(engine, &keys[..count]);
            }
        }
        progress.more
    }

    #[cold]
    fn park_unregistered(&mut self, engine: &Engine<P>, keys: &[Key]) {
        for &key in keys {
            let Some(entry) = self.queue.get(key) else {
                continue;
            };
            let target = entry.value.payload.target() as usize;
            if self.targets.len() <= target {
                self.targets.resize_with(target + 1, Target::default);
            }
            if !self.targets[target].registered {
                self.park(engine, key);
            }
        }
        engine.notify();
    }

    fn execution(&self, key: Key) -> Option<Execution<P>> {
        let entry = self.queue.get(key)?;
        let record = entry.value;
        let (id, job_due, attempt, run, first_start) = match record.side() {
            Some(side) => {
                let side = &self.sides[side];
                (
                    side.id.clone(),
                    side.job_due,
                    side.attempt,
                    side.run,
                    side.first_start,
                )
            }
            None => (
                Id::Generated(record.id()),
                self.first_due(record, entry.due),
                1,
                1,
                None,
            ),
        };
        Some(Execution {
            key,
            id,
            clock: entry.kind,
            due: entry.due,
            wall_due: self.on_the_wall(entry.kind, entry.due),
            job_due,
            attempt,
            run,
            first_start,
            lateness: 0,
            started: 0,
            payload: record.payload,
        })
    }
}
