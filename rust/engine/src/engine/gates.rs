//! Keys: jobs of one target and key run one after another, in order.
//!
//! A keyed job that is due goes through the *gate* of its target and key, and has it until it ends or is taken back without a
//! start. While one has it, the others wait beside the wheel, in the order of their places; then the first of them is put
//! back on the wheel, where it is due, and comes to the gate again. So what moves or withdraws a job need not know of gates,
//! but for the one that was put back: another is called in its place.

use super::{Engine, State};
use crate::due::queue::Key;
use crate::gates::Name;
use crate::jobs::record::{Execution, Payload, Stage};
use std::sync::Arc;

impl<P: Payload> State<P> {
    /// Leave of what is due what may start by its key; the rest waits.
    #[cold]
    pub(super) fn pass_gates(&mut self, outgoing: &mut Vec<Execution<P>>) {
        let State { gates, jobs, .. } = self;
        outgoing.retain(|execution| {
            let (key, payload) = (execution.key, execution.payload);
            let name = payload.parts(|parts| {
                let carried = parts.carried?;
                Some((payload.target(), Arc::from(carried.key.as_deref()?)))
            });
            let Some(name) = name else {
                return true;
            };
            let gate = gates.gates.entry(name.clone()).or_default();
            // One that is gone was taken back by a store that nodes share.
            let is_free = |holder| holder == key || jobs.queue.get(holder).is_none();
            if gate.holder.is_none_or(is_free) {
                gate.holder = Some(key);
                gates.holders.insert(key, name);
                return true;
            }
            let due = jobs.on_wall(execution.clock, execution.due);
            gate.waiting.insert((due, execution.sequence), key);
            jobs.set_stage(key, Stage::Waiting);
            false
        });
    }

    /// A job has ended, or does not start: if it had a gate, the next may come.
    pub(super) fn release_gate(&mut self, engine: &Engine<P>, key: Key) {
        if let Some(name) = self.gates.holders.remove(&key) {
            if let Some(gate) = self.gates.gates.get_mut(&name) {
                gate.holder = None;
            }
            self.call_next(engine, &name);
        }
    }

    /// A pending job is withdrawn: it may have its gate, or be the one that was called.
    #[cold]
    pub(super) fn leave_gate(&mut self, engine: &Engine<P>, key: Key) {
        self.release_gate(engine, key);
        let Some(payload) = self.jobs.queue.get(key).map(|entry| entry.value.payload) else {
            return;
        };
        let name = payload.parts(|parts| {
            let carried = parts.carried?;
            Some((payload.target(), Arc::from(carried.key.as_deref()?)))
        });
        if let Some(name) = name {
            self.call_next(engine, &name);
        }
    }

    /// Put the first that waits for a gate back on the wheel, if nobody has it.
    fn call_next(&mut self, engine: &Engine<P>, name: &Name) {
        let Some(gate) = self.gates.gates.get_mut(name) else {
            return;
        };
        if gate.holder.is_some() {
            return;
        }
        while let Some((_, key)) = gate.waiting.pop_first() {
            let entry = self.jobs.queue.get(key);
            let waits =
                entry.is_some_and(|entry| !entry.queued && entry.value.stage() == Stage::Waiting);
            if waits {
                self.jobs.put_back(key);
                if self.asleep.take().is_some() {
                    engine.wake_timer();
                }
                return;
            }
        }
        self.gates.gates.remove(name);
    }

    /// The handler of a target has gone: what waits for its gates is due, and parked.
    pub(super) fn open_gates_of(&mut self, target: u32) {
        let gates = self.gates.gates.iter_mut();
        let of_target = gates.filter(|((number, _), _)| *number == target);
        let waiting: Vec<Key> = of_target
            .flat_map(|(_, gate)| std::mem::take(&mut gate.waiting).into_values())
            .collect();
        for key in waiting {
            let entry = self.jobs.queue.get(key);
            if entry.is_some_and(|entry| !entry.queued && entry.value.stage() == Stage::Waiting) {
                self.jobs.put_back(key);
            }
        }
    }
}
