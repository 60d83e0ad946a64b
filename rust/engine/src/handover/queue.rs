//! The hand-over queue between whoever expires jobs and who runs them: bounded, behind a lock of its own.
//!
//! There are two, the [lanes](Lane): the workers', and the event loop's, whose one runner is called by a
//! [`LoopWaker`] instead of a condition. A runner takes this lock once a job, for a few nanoseconds: it gives
//! back how the last job ended and takes the next. The engine's lock, which the timer holds while it expires a batch,
//! is not needed for that. Where both are taken, the engine's comes first.

use crate::clock::Clock;
use crate::due::queue::{ClockKind, Key};
use crate::handover::early_wake::EarlyWake;
pub use crate::handover::lanes::Lane;
use crate::handover::loop_waker::LoopWaker;
use crate::handover::starts::StartLog;
use crate::jobs::permit::Permit;
use crate::jobs::record::{Comes, Done, Execution, Payload, Started};
use crate::sleep::{Sleeper, Until};
use crate::sync::{Condvar, Mutex};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard};

/// How many executions wait for a runner at most; the wheel holds back the rest.
pub const CAPACITY: usize = 128;

/// How many ended executions pile up before a worker settles them, and for how long in
/// nanoseconds: a retry among them waits, however long the next handlers take.
pub const SETTLE_AT: usize = 256;
const SETTLE_AFTER: i64 = 50_000;

pub(crate) struct Inner<P: Payload> {
    pub(crate) queue: VecDeque<Execution<P>>,
    pub(crate) done: Vec<Done<P::Failure>>,
    /// The boot time by which what is done is settled, and how many are settled before it. Over
    /// a store, each: what ended must not count as interrupted when the next one crashes.
    settle_by: i64,
    pub(crate) settle_at: usize,
    pub(crate) running: usize,
    /// How many may run at once, where the runner is not busy while they do.
    limit: usize,
    pub(crate) started: u64,
    /// What is counted of them later.
    pub(crate) log: StartLog,
    /// `wall − boot`, for the lateness of jobs on the wall clock.
    pub(crate) offset: i64,
    /// Targets whose jobs are being parked, to be logged by a worker.
    pub(crate) notices: Vec<Box<str>>,
    /// Whether pages have come, for a worker to take in.
    pub(crate) pages: bool,
    /// Workers that wait to be called, the one at the timer included.
    pub(super) idle: usize,
    /// One of them waits at the timer, in its seat.
    pub(super) seated: bool,
    /// One idle worker was called and has not woken up yet.
    pub(super) called: bool,
    /// A worker is on its way to run jobs: called, or waiting for the interpreter. There is
    /// never more than one, so that the others do not fight for it.
    pub(super) coming: bool,
    /// The timer holds jobs back until there is room.
    pub(crate) room_wanted: bool,
    pub(crate) closed: bool,
    /// How the event loop is called.
    loop_waker: Option<Arc<LoopWaker>>,
    /// The loop waker wakes by itself when something is due.
    alarm: bool,
    /// How many at-most-once jobs may be marked and not started; 0: none is marked before its turn.
    pub(crate) ahead: usize,
    /// A runner marks, or waits until its marks are settled: no at-most-once job starts before.
    marking: bool,
}

/// The hand-over queue.
pub struct HandoverQueue<P: Payload> {
    inner: Mutex<Inner<P>>,
    pub(super) work: Condvar,
    /// Where one idle worker may wait for what is due next; the others wait for `work`.
    pub(super) sleeper: Option<Arc<Sleeper>>,
    /// Whether an event loop ever ran what is handed over here.
    attached: AtomicBool,
    /// Whether the interpreter is busy, as the workers see it.
    pub early_wake: EarlyWake,
}

impl<P: Payload> std::fmt::Debug for HandoverQueue<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ready").finish_non_exhaustive()
    }
}

/// What a worker does in its turn.
#[derive(Debug)]
pub enum Turn<P> {
    /// Run this job; it is counted as started already.
    Run(Started<P>),
    /// Settle what has ended, refill the lane, then take another turn.
    Settle,
    /// [Mark](crate::engine::Engine::mark) what starts at most once, then take another turn.
    Mark,
    /// Nothing is left to do.
    Rest,
}

/// What the event loop finds when it comes.
pub(crate) struct Begun {
    /// The engine is not closed.
    pub(crate) open: bool,
    /// It may have been called because something is due.
    pub(crate) alarm: bool,
}

impl<P: Payload> Default for HandoverQueue<P> {
    fn default() -> Self {
        HandoverQueue {
            inner: Mutex::new(Inner {
                queue: VecDeque::with_capacity(CAPACITY),
                done: Vec::with_capacity(SETTLE_AT),
                settle_by: i64::MAX,
                settle_at: SETTLE_AT,
                running: 0,
                limit: usize::MAX,
                started: 0,
                log: StartLog::default(),
                offset: 0,
                notices: Vec::new(),
                pages: false,
                idle: 0,
                seated: false,
                called: false,
                coming: false,
                room_wanted: false,
                closed: false,
                loop_waker: None,
                alarm: false,
                ahead: 0,
                marking: false,
            }),
            work: Condvar::new(),
            sleeper: None,
            attached: AtomicBool::new(false),
            early_wake: EarlyWake::default(),
        }
    }
}

impl<P: Payload> Inner<P> {
    pub(super) fn has_work(&self) -> bool {
        (!self.queue.is_empty() && self.running < self.limit && !self.waits_for_marks())
            || !self.notices.is_empty()
            || self.pages
    }

    /// Whether what is first waits until marks are settled.
    #[inline]
    pub(super) fn waits_for_marks(&self) -> bool {
        self.marking && self.queue.front().is_some_and(Execution::needs_mark)
    }

    /// What a runner does before what is first may start; `None`: it may, or there is nothing.
    fn turn_to_mark(&mut self) -> Option<Turn<P>> {
        let first = self.queue.front()?;
        if (first.marked && !self.marking) || !first.needs_mark() {
            return None;
        }
        if !self.done.is_empty() {
            return Some(Turn::Settle);
        }
        // Who marks calls others as it starts what it has marked.
        let marks = !std::mem::replace(&mut self.marking, true);
        Some(if marks { Turn::Mark } else { Turn::Rest })
    }

    /// Mark the first at-most-once jobs of the queue that are not, `most` at once with those that run or are marked;
    /// their sequences. Not beyond one that is marked after its turn.
    pub(crate) fn mark(&mut self, most: usize) -> Vec<u64> {
        let marked = self.queue.iter().filter(|execution| execution.marked);
        let most = most.saturating_sub(self.running + marked.count()).max(1);
        let queue = self.queue.iter_mut();
        let queue = queue.take_while(|execution| !execution.needs_mark_in_turn());
        let first = queue.filter(|execution| execution.needs_mark() && !execution.marked);
        let mark = |execution: &mut Execution<P>| {
            execution.marked = true;
            execution.sequence
        };
        first.take(most).map(mark).collect()
    }

    /// List an execution that has ended, to be settled.
    #[inline(always)]
    fn list_done(&mut self, mut done: Done<P::Failure>, now: i64) {
        self.running -= 1;
        done.clock(now);
        self.done.push(done);
    }

    /// Call the event loop, if there is one, whatever there is to do.
    pub(crate) fn wake(&self) {
        if let Some(loop_waker) = &self.loop_waker {
            loop_waker.wake();
        }
    }

    /// How many more may be handed over.
    pub(crate) fn room(&self) -> usize {
        CAPACITY.saturating_sub(self.queue.len())
    }

    /// Whether a runner is to hand over more to itself.
    pub(crate) fn wants_more(&self) -> bool {
        self.room_wanted && self.queue.len() <= CAPACITY / 2
    }

    /// How many have started and are not settled.
    pub(crate) fn under_way(&self) -> usize {
        self.running + self.done.len()
    }

    /// Whether nothing runs and nothing is about to.
    pub(crate) fn is_quiet(&self) -> bool {
        self.running == 0 && self.queue.is_empty()
    }

    /// Take a handed-over execution back, if it has not started.
    pub(crate) fn withdraw(&mut self, key: Key) -> Option<Execution<P>> {
        let at = self
            .queue
            .iter()
            .position(|execution| execution.key == key)?;
        self.queue.remove(at)
    }

    pub(crate) fn find(&self, key: Key) -> Option<&Execution<P>> {
        self.queue.iter().find(|execution| execution.key == key)
    }
}

impl<P: Payload> HandoverQueue<P> {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner<P>> {
        self.inner.lock()
    }

    /// Call one runner, if there is work, one is idle and none is on its way.
    pub(crate) fn call(&self, inner: &mut Inner<P>) {
        if inner.idle > 0 && !inner.coming && inner.has_work() {
            inner.coming = true;
            match &inner.loop_waker {
                Some(loop_waker) => loop_waker.wake(),
                None => self.call_worker(inner),
            }
        }
    }

    /// Whether a job waits for a runner.
    pub fn has_due(&self) -> bool {
        !self.inner.lock().queue.is_empty()
    }

    /// How many executions were handed over so far, but for those that were taken back.
    pub fn handed_over(&self) -> u64 {
        let inner = self.inner.lock();
        inner.started + inner.queue.len() as u64
    }

    /// Hand over what is due, and call a runner.
    #[inline]
    pub(crate) fn put(&self, outgoing: &mut Vec<Execution<P>>) {
        let mut inner = self.inner.lock();
        inner.queue.extend(outgoing.drain(..));
        self.call(&mut inner);
    }

    pub(crate) fn close(&self, inner: &mut Inner<P>) {
        inner.closed = true;
        self.call_all_workers();
        inner.wake();
    }

    /// From now on an event loop runs what is handed over, at most `limit` at once, and is called
    /// by `loop_waker`; `None`: it does no more.
    pub fn attach(&self, loop_waker: Option<Arc<LoopWaker>>, limit: usize) {
        self.attached.store(true, Ordering::Relaxed);
        let mut inner = self.inner.lock();
        inner.limit = limit;
        inner.idle = usize::from(loop_waker.is_some());
        inner.coming = false;
        inner.alarm = false;
        inner.loop_waker = loop_waker;
        if inner.closed {
            // It was closed meanwhile, when no loop was there to be woken.
            inner.wake();
        }
        self.call(&mut inner);
    }

    /// How many handlers run.
    pub fn running(&self) -> usize {
        self.inner.lock().running
    }

    /// Whether an event loop was ever attached.
    pub(crate) fn is_attached(&self) -> bool {
        self.attached.load(Ordering::Relaxed)
    }

    /// Have the event loop called when something is due, by its own alarm; `false`: that cannot be.
    pub(crate) fn set_alarm(&self, until: Until) -> bool {
        let mut inner = self.inner.lock();
        inner.alarm = inner
            .loop_waker
            .as_ref()
            .is_some_and(|loop_waker| loop_waker.set_alarm(until));
        inner.alarm
    }

    /// The event loop has come: it is not called again before it [rests](Self::rest).
    pub(crate) fn begin_drain(&self) -> Begun {
        let mut inner = self.inner.lock();
        inner.idle = 0;
        inner.coming = false;
        Begun {
            open: !inner.closed,
            alarm: inner.alarm,
        }
    }

    /// The event loop has done what it could: it is called when there is more.
    pub fn rest(&self) {
        let mut inner = self.inner.lock();
        inner.idle = usize::from(inner.loop_waker.is_some());
        self.call(&mut inner);
    }

    /// Give back how an execution ended that did so by itself, between two turns.
    pub fn end(&self, done: Done<P::Failure>, clock: &dyn Clock) {
        let now = clock.boot();
        let mut inner = self.inner.lock();
        inner.list_done(done, now);
        self.call(&mut inner);
    }

    /// Count an execution that the other lane has started, and that ends here: before it is [counted out
    /// there](Self::hand_off).
    pub fn take_over(&self) {
        self.inner.lock().running += 1;
    }

    /// Count out an execution that goes on in the other lane.
    pub fn hand_off(&self) {
        self.inner.lock().running -= 1;
    }

    /// Call the event loop, whatever there is to do.
    pub fn wake(&self) {
        self.inner.lock().wake();
    }

    /// The runner that has marked takes its next turn: its marks are settled, or there are none.
    pub(crate) fn end_marking(&self) {
        self.inner.lock().marking = false;
    }

    /// Give back how the last job ended and take the next.
    #[inline(always)] // what it takes and gives would be copied once more, for every job
    pub fn turn(&self, done: Option<Done<P::Failure>>, clock: &dyn Clock) -> Turn<P> {
        let now = clock.boot();
        let mut inner = self.inner.lock();
        if let Some(done) = done {
            if inner.done.is_empty() {
                inner.settle_by = now.saturating_add(SETTLE_AFTER);
            }
            if done.permit != Permit::NONE {
                // Another of its target may wait for its end.
                inner.settle_by = now;
            }
            inner.list_done(done, now);
        }
        let ended = inner.done.len();
        if inner.wants_more() || ended >= inner.settle_at || (ended > 0 && now >= inner.settle_by) {
            return Turn::Settle;
        }
        let free = inner.running < inner.limit;
        if inner.ahead > 0
            && free
            && let Some(turn) = inner.turn_to_mark()
        {
            return turn;
        }
        let Some(execution) = (if free { inner.queue.pop_front() } else { None }) else {
            return if ended > 0 { Turn::Settle } else { Turn::Rest };
        };
        inner.running += 1;
        inner.started += 1;
        let wall_due = match execution.clock {
            ClockKind::Boot => execution.due.saturating_add(inner.offset),
            ClockKind::Wall => execution.due,
        };
        let lateness = now
            .saturating_add(inner.offset)
            .saturating_sub(wall_due)
            .max(0);
        let target = execution.payload.target();
        if execution.comes == Comes::Once {
            inner.log.push(target, lateness as u64);
        } else {
            inner.log.push_again(target);
        }
        self.call(&mut inner);
        Turn::Run(Started {
            execution,
            wall_due,
            at: now,
            called: now,
            lateness,
            occurrence: None,
        })
    }
}
