//! Parking: what becomes of jobs that are due while their target has no handler.

use super::{Engine, State};
use crate::controls::Controls;
use crate::due::queue::Key;
use crate::handover::lanes::Lane;
use crate::jobs::record::{Comes, Payload, Stage};
use crate::residency::Why;
use duewheel_store::Op;

impl<P: Payload> Engine<P> {
    /// Say where a target's handler runs, if it has one; its parked jobs go back to their old places.
    pub fn set_registered(&self, target: u32, name: &str, lane: Option<Lane>) {
        self.set_controlled(target, name, lane, Controls::default());
    }

    /// The same of a target that is controlled.
    pub fn set_controlled(&self, target: u32, name: &str, lane: Option<Lane>, controls: Controls) {
        let boot = self.clock.boot();
        let mut state = self.state.lock();
        let controls = lane.map_or_else(Controls::default, |_| controls);
        if state.targets.controls.differ(target, lane, controls) {
            // What was handed over or held by the old controls is so anew by the others.
            state.recall(self);
            let from = state.targets.lane_of(target);
            state.targets.controls.set(target, (from, lane), controls);
            self.sleeper.wake();
        }
        if state.targets.lane_of(target) != lane {
            // Before: a job is found in the backlog of the lane that its target has.
            state.requeue_backlogs(self);
            state.targets.set_lane(target, lane);
            state.targets.note_since(target, boot);
            state.halve_marks(self);
        }
        state.set_why_left(self, (target, name), lane);
        if let Some(lease) = state.lease_mut() {
            match lane {
                Some(_) => lease.set_handled(target, name, controls.over_nodes()),
                None => lease.set_unhandled(name),
            }
        }
        if lane.is_none() {
            // What was parked on disk is so again: waiting for idleness does not wait for it.
            self.notify(&state);
            return;
        }
        for key in state.targets.take_parked(target) {
            // What is held back stays parked, and what lets it go knows it. A repeat may be for another target since.
            let is_for_it = state.jobs.queue.get(key).is_some_and(|entry| {
                let record = entry.value;
                record.stage() == Stage::Parked
                    && record.comes() != Comes::Held
                    && record.payload.target() == target
            });
            if is_for_it {
                state.unpark(key);
                state.jobs.queue.put_back(key);
            }
        }
        let wake = state.asleep.take().is_some();
        drop(state);
        if wake {
            self.sleeper.wake();
        }
    }

    /// A target is spoken of again that nothing spoke of for a time: that its jobs are parked is to be noticed again.
    pub fn awaken(&self, target: u32) {
        let left = self.state.lock().targets.take_parked(target);
        // Not under the lock: it may be much.
        drop(left);
    }

    /// Let a number stand for another target: nothing speaks of the one of this name that it stood for, neither a job in
    /// memory nor a handler.
    pub fn renumber(&self, target: u32, name: &str) {
        let mut state = self.state.lock();
        let lane = state.targets.lane_of(target);
        state.targets.controls.forget(target, lane);
        state.tally.forget(target, name);
        if lane.is_some() {
            state.targets.set_lane(target, None);
        }
        let left = state.targets.take_parked(target);
        drop(state);
        // Not under the lock: it may be much.
        drop(left);
    }
}

impl<P: Payload> State<P> {
    /// A target has a handler, has lost it, or has it under other controls: what of it is left on disk is so for another reason.
    fn set_why_left(
        &mut self,
        engine: &Engine<P>,
        (target, name): (u32, &str),
        lane: Option<Lane>,
    ) {
        let Some(residency) = &mut self.residency else {
            return;
        };
        let why = match lane {
            None => Why::Parked,
            Some(_) if self.targets.controls.is_limited(target) => Why::Held,
            Some(_) => Why::Come,
        };
        let is_any_left = residency.left.set_why(name, why);
        if is_any_left && why == Why::Come {
            residency.frontier.start_over();
        }
        let is_held = is_any_left && why == Why::Held;
        self.targets
            .controls
            .set_on_disk(target, is_held.then_some(name));
        self.see_held(engine, target);
    }

    /// Let other nodes have a job that this one holds and does not run.
    pub(super) fn yield_waiting(&mut self, key: Key) {
        let seq = self.store_seq(key, 0);
        if let Some(residency) = &mut self.residency {
            residency.outbox.push(Op::Yield(seq));
        }
        self.drop_one(key);
        if let Some(payload) = self.take(key) {
            self.evicted.insert(key, payload, false);
        }
    }

    /// This node of a shared store runs nothing for now: others get all that has not started.
    pub(super) fn yield_all(&mut self, engine: &Engine<P>) {
        if !self.is_shared() {
            return;
        }
        let entries = self.jobs.queue.iter();
        let keys: Vec<Key> = entries.map(|(key, _)| key).collect();
        for key in keys {
            if self.is_pending(engine, key) {
                self.yield_waiting(key);
            }
        }
        // A store that does not take it is closed, or has room later.
        let _ = self.catch_up();
    }

    pub(super) fn unpark(&mut self, key: Key) {
        if let Some(record) = self.jobs.queue.get_mut(key)
            && record.stage() == Stage::Parked
        {
            record.set_stage(Stage::Waiting);
            let target = record.payload.target();
            self.targets.note_unparked(target);
        }
    }

    pub(super) fn park(&mut self, engine: &Engine<P>, key: Key) {
        if self.is_shared() {
            // Another node may have a handler.
            return self.yield_waiting(key);
        }
        let Some(record) = self.jobs.queue.get_mut(key) else {
            return;
        };
        record.set_stage(Stage::Parked);
        let payload = record.payload;
        let queue = &self.jobs.queue;
        let is_parked = |key| {
            let entry = queue.get(key);
            entry.is_some_and(|entry| entry.value.stage() == Stage::Parked)
        };
        let is_first = self.targets.park(payload.target(), key, is_parked);
        if is_first {
            let name = payload.parts(|parts| parts.target.into());
            let mut ready = engine.ready().lock();
            ready.notices.push(name);
            engine.ready().call(&mut ready);
        }
    }

    /// An execution had no handler after all: the job is parked, or waits where one has come meanwhile.
    pub(super) fn park_again(&mut self, engine: &Engine<P>, key: Key) {
        let Some(target) = self
            .jobs
            .queue
            .get(key)
            .map(|entry| entry.value.payload.target())
        else {
            return;
        };
        if self.targets.lane_of(target).is_some() {
            self.jobs.put_back(key);
            if self.asleep.take().is_some() {
                engine.wake_timer();
            }
        } else {
            self.park(engine, key);
        }
    }

    /// Park what is due and has no handler, and what is held back: that is listed nowhere, for what lets it go knows it.
    #[cold]
    pub(super) fn park_due(&mut self, engine: &Engine<P>, unregistered: &[Key], held: &[Key]) {
        for &key in unregistered {
            self.park(engine, key);
        }
        if self.is_shared() {
            let _ = self.catch_up();
        }
        for &key in held {
            if let Some(target) = self.target_of(key) {
                self.jobs.set_stage(key, Stage::Parked);
                self.targets.note_parked(target);
            }
        }
        engine.notify(self);
    }
}
