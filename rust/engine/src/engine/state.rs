//! The state behind the engine's lock, and the steps that are taken under it.

use super::{Due, Engine, OFFSET_AGE, Phase, Refused, State};
use crate::due::queue::{ClockKind, DueQueue, Key, Now};
use crate::handover::early_wake::Lead;
use crate::jobs::record::{Comes, Payload, Record, Released, Stage};
use crate::outcomes::Outcomes;
use crate::sleep::Sleeper;
use crate::sync::Mutex;
use crate::targets::ParkedLists;
use std::collections::VecDeque;
use std::sync::MutexGuard;

/// What has held the jobs of an engine.
pub(super) type Emptied<P> = (DueQueue<Record<P>>, ParkedLists);

impl<P: Payload> Engine<P> {
    pub(crate) fn sleeper(&self) -> &Sleeper {
        &self.sleeper
    }

    pub(crate) fn lead(&self) -> &Mutex<Lead> {
        &self.lead
    }

    /// Wake the timer, which waits for room in the hand-over queue, or is to plan its sleep again.
    pub fn wake_timer(&self) {
        self.sleeper.wake();
    }

    #[inline]
    pub(super) fn open(&self) -> Result<MutexGuard<'_, State<P>>, Refused> {
        let state = self.state.lock();
        match state.phase {
            Phase::Closed => Err(Refused::Closed),
            _ => Ok(state),
        }
    }

    /// Let go of the lock, and wake the timer if it sleeps past this due.
    #[inline]
    pub(super) fn unlock_and_wake(
        &self,
        mut state: MutexGuard<'_, State<P>>,
        clock: ClockKind,
        due: i64,
    ) {
        let wake = state.mark_awake_if_earlier(clock, due);
        drop(state);
        if wake {
            self.sleeper.wake();
        }
    }
}

impl<P: Payload> State<P> {
    /// Measure the offset between the clocks again, if it may have moved.
    #[inline]
    pub(super) fn refresh(&mut self, engine: &Engine<P>, boot: i64) {
        let clock = engine.clock();
        if self.jobs.offsets.age(boot) > OFFSET_AGE || clock.jitter() == 0 {
            self.measure(engine, boot);
        }
    }

    #[cold]
    pub(super) fn measure(&mut self, engine: &Engine<P>, boot: i64) {
        self.jobs.offsets.confirm(boot);
        let old = self.jobs.offsets.measured();
        let offset = engine.clock.offset();
        if offset.abs_diff(old) > engine.clock.jitter().unsigned_abs() {
            self.jobs.offsets.step(offset);
            self.note_step(offset.saturating_sub(old), boot);
            if let Some(residency) = &mut self.residency {
                residency
                    .boot_offsets
                    .step(self.jobs.queue.next_sequence(), offset);
            }
            for lane in &engine.lanes {
                lane.lock().offset = offset;
            }
            let holds_back = self.targets.controls.are_active() || !self.gates.is_empty();
            if offset < old || holds_back {
                // What was due on the wall clock may not be any more, and among what is held the order is another.
                self.recall(engine);
                engine.wake_timer();
            }
        }
    }

    /// How many jobs count against the room of a store's window: neither do those that are parked, nor repeats, all of
    /// which are in memory.
    pub(super) fn resident_count(&self) -> usize {
        let left = self.jobs.queue.len() - self.targets.parked_count();
        left.saturating_sub(self.jobs.repeat_count())
    }

    /// Make what was handed over and has not started wait again, in its old place.
    pub(super) fn recall(&mut self, engine: &Engine<P>) {
        for lane in &engine.lanes {
            let handed = std::mem::take(&mut lane.lock().queue);
            for execution in handed {
                self.take_mark_back(&execution);
                self.give_permit_back(engine, execution.permit, execution.key);
                self.jobs.put_back(execution.key);
            }
        }
        // A full disk takes the marks back later.
        let _ = self.catch_up();
        self.requeue_backlogs(engine);
    }

    #[inline]
    pub(super) fn resolve(&self, due: Due, boot: i64) -> Result<(ClockKind, i64), Refused> {
        match due {
            Due::At(due) => Ok((ClockKind::Wall, due)),
            Due::In(delay) => {
                let due = boot.checked_add(delay);
                let due = due.filter(|due| due.checked_add(self.jobs.offsets.measured()).is_some());
                let due = due.ok_or(Refused::Overflow(delay))?;
                Ok((ClockKind::Boot, due))
            }
        }
    }

    /// Make a pending job neither parked nor handed over; `false` when it is not pending.
    #[inline]
    pub(super) fn withdraw(&mut self, engine: &Engine<P>, key: Key) -> bool {
        match self.jobs.stage(key) {
            None => false,
            Some(Stage::Waiting) => {
                if !self.gates.is_empty() {
                    self.leave_gate(engine, key);
                }
                true
            }
            Some(stage) => self.withdraw_due(engine, key, stage),
        }
    }

    #[inline(never)] // out of the way of those that wait
    fn withdraw_due(&mut self, engine: &Engine<P>, key: Key, stage: Stage) -> bool {
        match stage {
            Stage::Waiting => {}
            Stage::Parked => self.unpark(key),
            Stage::LaneBacklog => self.leave_backlog(engine, key),
            Stage::Handed => {
                let mut lanes = engine.lanes.iter();
                let withdrawn = lanes.find_map(|lane| lane.lock().withdraw(key));
                let Some(execution) = withdrawn else {
                    return false;
                };
                self.take_mark_back(&execution);
                self.give_permit_back(engine, execution.permit, key);
            }
        }
        if !self.gates.is_empty() {
            self.leave_gate(engine, key);
        }
        if self.targets.controls.are_active() {
            self.refill_open(engine);
        }
        true
    }

    /// Forget a job; its payload is the caller's again.
    pub(super) fn remove(&mut self, key: Key, released: &mut Released<P>) {
        // Not `extend`, which reserves for what it is told.
        if let Some(payload) = self.take(key) {
            released.payloads.push(payload);
        }
    }

    #[inline]
    pub(super) fn take(&mut self, key: Key) -> Option<P> {
        if let Some(lease) = self.lease_mut() {
            lease.forget_store_seq(key);
        }
        self.jobs.take(key)
    }

    /// What held the jobs of a closed engine, once the last of them is gone: for the caller to drop.
    pub(super) fn give_up_memory(&mut self) -> Option<Emptied<P>> {
        if self.phase != Phase::Closed || !self.jobs.queue.is_empty() {
            return None;
        }
        let parked = self.targets.take_parked_lists();
        self.dead = VecDeque::new();
        self.outcomes = Outcomes::default();
        Some((self.jobs.clear(), parked))
    }

    /// Whether the timer sleeps past this due; from now on it counts as awake.
    #[inline]
    pub(super) fn mark_awake_if_earlier(&mut self, clock: ClockKind, due: i64) -> bool {
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
    pub(super) fn expire(&mut self, engine: &Engine<P>, now: Now, max: usize) -> bool {
        let mut outgoing = std::mem::take(&mut self.outgoing);
        let (mut unregistered, mut held) = (Vec::new(), Vec::new());
        let targets = &self.targets;
        let mut any_keyed = false;
        let progress = self.jobs.expire(now, max, |execution| {
            if execution.comes == Comes::Held {
                held.push(execution.key);
            } else if targets.lane_of(execution.payload.target()).is_some() {
                any_keyed |= execution.payload.is_keyed();
                outgoing.push(execution);
            } else {
                unregistered.push(execution.key);
            }
        });
        if any_keyed {
            self.pass_gates(engine, &mut outgoing);
        }
        if !outgoing.is_empty() {
            self.hand_over(engine, &mut outgoing);
        }
        self.outgoing = outgoing;
        if !unregistered.is_empty() || !held.is_empty() {
            self.park_due(engine, &unregistered, &held);
        }
        progress.more
    }
}
