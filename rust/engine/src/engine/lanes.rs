//! Two lanes: what is due goes to the workers or to the event loop, and neither waits for the other.
//!
//! While only one lane has handlers, the wheel holds back what does not fit. With both, what is due
//! for a full lane is *held* here, in its order, so that the other one goes on.

use super::{BATCH, Engine, Phase, Pumped, State};
use crate::due::queue::{Key, Now};
use crate::handover::queue::{Begun, CAPACITY, HandoverQueue, Lane};
use crate::jobs::record::{Execution, Payload, Stage};
use crate::sleep::Until;
use duewheel_model::time::SECOND;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// How long after a due the timer looks whether the event loop, which was called by its alarm, has
/// come: in nanoseconds.
const LATER: i64 = SECOND / 10;

/// In so many batches a lane is full.
const FULL: usize = CAPACITY / BATCH + 1;

/// What is due for a lane that is full, in the order of (due, sequence).
#[derive(Debug, Default)]
pub(super) struct LaneBacklog {
    /// Nearly everything comes in order;
    run: VecDeque<(i64, u64, Key)>,
    /// what was scheduled meanwhile for an earlier due does not.
    late: BinaryHeap<Reverse<(i64, u64, Key)>>,
    /// How many of them wait still; the others have left by another way.
    pub(super) waiting: usize,
}

impl LaneBacklog {
    fn push(&mut self, item: (i64, u64, Key)) {
        self.waiting += 1;
        match self.run.back() {
            Some(last) if *last > item => self.late.push(Reverse(item)),
            _ => self.run.push_back(item),
        }
    }

    fn pop(&mut self) -> Option<(i64, u64, Key)> {
        match (self.run.front(), self.late.peek()) {
            (Some(first), Some(Reverse(late))) if late < first => {}
            (None, Some(_)) => {}
            _ => return self.run.pop_front(),
        }
        self.late.pop().map(|Reverse(item)| item)
    }
}

impl<P: Payload> Engine<P> {
    /// The hand-over queue of a lane.
    #[inline]
    pub fn lane(&self, lane: Lane) -> &HandoverQueue<P> {
        &self.lanes[lane as usize]
    }

    /// The event loop has come; `false`: the engine is closed, and nothing more is handed over.
    ///
    /// Where its own alarm may have called it, it does what the timer would: at the due one thread
    /// wakes up, not two.
    pub fn begin_drain(&self) -> bool {
        let Begun { open, alarm } = self.lane(Lane::Loop).begin_drain();
        if open && alarm && (0..FULL).all(|_| self.pump() == Pumped::More) {
            // What is due is for nobody: the timer goes on, the loop has else to do.
            self.wake_timer();
        }
        open
    }

    /// While the event loop alone has handlers, have it called when something is due, and the timer
    /// only some time later; what the timer is to sleep for.
    pub(super) fn plan(&self, state: &State<P>, until: Until) -> Until {
        if state.in_use(Lane::Workers) || !self.lane(Lane::Loop).set_alarm(until) {
            return until;
        }
        let later = |due: i64| due.saturating_add(LATER);
        Until {
            wall: until.wall.map(later),
            boot: until.boot.map(later),
        }
    }

    /// How many executions have started and are not settled.
    pub(super) fn under_way(&self) -> usize {
        self.lanes.iter().map(|lane| lane.lock().under_way()).sum()
    }
}

impl<P: Payload> State<P> {
    /// The lanes that have handlers: the workers', if none has.
    pub(super) fn in_use(&self, lane: Lane) -> bool {
        let other = Lane::ALL[1 - lane as usize];
        let handlers = &self.targets.handlers;
        handlers[lane as usize] > 0 || (lane == Lane::Workers && handlers[other as usize] == 0)
    }

    pub(super) fn both_in_use(&self) -> bool {
        Lane::ALL.iter().all(|&lane| self.in_use(lane))
    }

    /// How many are held for lanes that are full.
    pub(super) fn held(&self) -> usize {
        self.held.iter().map(|held| held.waiting).sum()
    }

    /// A job that was held is taken from there.
    pub(super) fn unhold(&mut self, key: Key) {
        let Some(record) = self.queue.get_mut(key) else {
            return;
        };
        if record.stage() != Stage::LaneBacklog {
            return;
        }
        record.set_stage(Stage::Waiting);
        let number = record.payload.target();
        // Nothing is held for a target whose lane has changed.
        let lane = self.lane_of(number).unwrap_or(Lane::Workers) as usize;
        self.held[lane].waiting -= 1;
        let LaneBacklog { run, late, waiting } = &self.held[lane];
        let listed = run.len() + late.len();
        if listed > 64 && listed > 2 * waiting {
            let mut held = std::mem::take(&mut self.held[lane]);
            held.run.retain(|item| self.still_held(item));
            held.late.retain(|Reverse(item)| self.still_held(item));
            self.held[lane] = held;
        }
    }

    fn still_held(&self, &(_, sequence, key): &(i64, u64, Key)) -> bool {
        self.queue.get(key).is_some_and(|entry| {
            entry.sequence == sequence && entry.value.stage() == Stage::LaneBacklog
        })
    }

    /// Make all that is held wait again, in its old place.
    pub(super) fn requeue_backlog(&mut self) {
        for lane in Lane::ALL {
            let mut held = std::mem::take(&mut self.held[lane as usize]);
            while let Some(item) = held.pop() {
                if self.still_held(&item) {
                    self.put_back(item.2);
                }
            }
        }
    }

    /// Room in the lanes that are in use; the full ones are to come for more themselves.
    pub(super) fn room(&mut self, engine: &Engine<P>) -> usize {
        let mut most = 0;
        for lane in Lane::ALL {
            if self.in_use(lane) {
                self.refill(engine, lane);
                let mut ready = engine.lane(lane).lock();
                let room = ready.room();
                // The runners refill it until nothing is due; what is inserted need not wake the timer.
                // What is held for it has nobody else either: a refill takes but a batch of it.
                ready.room_wanted |= room == 0 || self.held[lane as usize].waiting > 0;
                most = most.max(room);
            }
        }
        most
    }

    /// Hand over what is held for a lane, as far as there is room; `true`: something was.
    pub(super) fn refill(&mut self, engine: &Engine<P>, lane: Lane) -> bool {
        if self.held[lane as usize].waiting == 0 {
            return false;
        }
        let mut room = engine.lane(lane).lock().room().min(BATCH);
        let mut outgoing = std::mem::take(&mut self.outgoing);
        while room > 0
            && let Some(item) = self.held[lane as usize].pop()
        {
            if !self.still_held(&item) {
                continue;
            }
            self.held[lane as usize].waiting -= 1;
            let key = item.2;
            if let Some(record) = self.queue.get_mut(key) {
                record.set_stage(Stage::Handed);
            }
            if let Some(execution) = self.execution(key) {
                outgoing.push(execution);
                room -= 1;
            }
        }
        let any = !outgoing.is_empty();
        engine.lane(lane).put(&mut outgoing);
        self.outgoing = outgoing;
        any
    }

    /// Hand over what has expired, each to its lane.
    pub(super) fn hand_over(&mut self, engine: &Engine<P>, outgoing: &mut Vec<Execution<P>>) {
        if !self.both_in_use() {
            let lane = if self.in_use(Lane::Workers) {
                Lane::Workers
            } else {
                Lane::Loop
            };
            return engine.lane(lane).put(outgoing);
        }
        let mut called = [false; 2];
        for execution in outgoing.drain(..) {
            let number = execution.payload.target();
            let lane = self.lane_of(number).unwrap_or(Lane::Workers);
            let mut ready = engine.lane(lane).lock();
            if self.held[lane as usize].waiting == 0 && ready.room() > 0 {
                ready.queue.push_back(execution);
                called[lane as usize] = true;
                continue;
            }
            ready.room_wanted = true;
            drop(ready);
            self.hold(lane, &execution);
        }
        for lane in Lane::ALL {
            if called[lane as usize] {
                let mut ready = engine.lane(lane).lock();
                engine.lane(lane).call(&mut ready);
            }
        }
    }

    fn hold(&mut self, lane: Lane, execution: &Execution<P>) {
        let due = self.on_the_wall(execution.clock, execution.due);
        let key = execution.key;
        if let Some(record) = self.queue.get_mut(key) {
            record.set_stage(Stage::LaneBacklog);
        }
        self.held[lane as usize].push((due, execution.sequence, key));
    }

    /// Refill a lane from what is held for it, or from the wheel; `true`: there may be more.
    pub(super) fn fill(&mut self, engine: &Engine<P>, lane: Lane, now: Now) -> bool {
        if self.phase != Phase::Started || !self.in_use(lane) {
            return false;
        }
        self.refill(engine, lane) || self.expire(engine, now, BATCH)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_comes_out_in_order_in_whatever_order_it_came() {
        let item = |place: u64| {
            let key = crate::due::slab::Key {
                index: place as u32,
                generation: 0,
            };
            (place as i64 / 3, place, key)
        };
        let mut held = LaneBacklog::default();
        let mut inside = std::collections::BTreeSet::new();
        for step in 0..1_000 {
            // Every place from 0 to 1008 once, in an order of its own.
            let place = item((step + 1) * 11 % 1_009);
            held.push(place);
            inside.insert(place);
            if step % 3 == 0 {
                assert_eq!(held.pop(), inside.pop_first());
            }
        }
        assert_eq!(held.waiting, 1_000);
        while let Some(first) = inside.pop_first() {
            assert_eq!(held.pop(), Some(first));
        }
        assert_eq!(held.pop(), None);
    }
}
