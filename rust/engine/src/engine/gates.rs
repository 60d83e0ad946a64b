//! Keys: jobs of one target and key run one after another, in order.
//!
//! A keyed job that is due goes through the *gate* of its target and key, and has it until it ends or is taken back without a
//! start, or until one that is due before it comes while it is held. While one has it, the others wait beside the wheel, in
//! the order of their places; then the first of them is put back on the wheel, where it is due, and comes to the gate again.
//! So what moves or withdraws a job need not know of gates, but for the one that was put back: another is called in its place.

use super::{Engine, State};
use crate::due::queue::Key;
use crate::gates::{Gates, Name};
use crate::jobs::record::{Execution, Payload, Stage};
use std::sync::Arc;

/// The gate of a job, if it has a key.
fn name_of<P: Payload>(payload: P) -> Option<Name> {
    payload.parts(|parts| {
        let key = parts.carried?.key.as_deref()?;
        Some((payload.target(), Arc::from(key)))
    })
}

impl<P: Payload> State<P> {
    /// Leave of what is due what may start by its key; the rest waits.
    #[cold]
    pub(super) fn pass_gates(&mut self, engine: &Engine<P>, outgoing: &mut Vec<Execution<P>>) {
        outgoing.retain(|execution| {
            let Some(name) = name_of(execution.payload) else {
                return true;
            };
            let key = execution.key;
            let gate = self.gates.gates.entry(name.clone()).or_default();
            let place = (
                self.jobs.on_wall(execution.clock, execution.due),
                execution.sequence,
            );
            let holder = gate.holder.filter(|&holder| holder != key);
            // One that is gone was taken back by a store that nodes share.
            let holder = holder.and_then(|holder| Some((holder, self.jobs.execution(holder)?)));
            if let Some((holder, other)) = holder {
                let theirs = (self.jobs.on_wall(other.clock, other.due), other.sequence);
                let has_begun = self.jobs.stage(holder) != Some(Stage::LaneBacklog);
                if has_begun || theirs < place {
                    gate.waiting.insert(place, key);
                    self.jobs.set_stage(key, Stage::Waiting);
                    return false;
                }
                // What is held for another reason has not begun: it waits for what comes before it.
                gate.waiting.insert(theirs, holder);
                self.gates.holders.remove(&holder);
                self.leave_backlog(engine, holder);
            }
            if let Some(gate) = self.gates.gates.get_mut(&name) {
                gate.holder = Some(key);
            }
            self.gates.holders.insert(key, name);
            true
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
        let payload = self.jobs.queue.get(key).map(|entry| entry.value.payload);
        if let Some(name) = payload.and_then(name_of) {
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

    /// What has not begun waits again, in its old place: so does what waits for the gates, and who has one is found anew.
    pub(super) fn open_gates(&mut self, engine: &Engine<P>) {
        let mut waiting = Vec::new();
        let Gates { gates, holders } = &mut self.gates;
        gates.retain(|_, gate| {
            waiting.extend(std::mem::take(&mut gate.waiting).into_values());
            let holder = gate.holder.and_then(|holder| self.jobs.queue.get(holder));
            let runs = holder.is_some_and(|holder| !holder.queued);
            if !runs && let Some(holder) = gate.holder {
                holders.remove(&holder);
            }
            runs
        });
        if !waiting.is_empty() && self.asleep.take().is_some() {
            engine.wake_timer();
        }
        for key in waiting {
            let entry = self.jobs.queue.get(key);
            if entry.is_some_and(|entry| !entry.queued && entry.value.stage() == Stage::Waiting) {
                self.jobs.put_back(key);
            }
        }
    }
}
