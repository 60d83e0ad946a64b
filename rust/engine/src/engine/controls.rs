//! Controlled targets in the engine: what of them is held, and what is handed over next.

use super::lanes::{is_held, is_in_backlog};
use super::{BATCH, Engine, Phase, Refused, State};
use crate::controls::{HeldBy, LeftBy};
use crate::due::queue::{ClockKind, Key};
use crate::handover::lanes::{Lane, Lanes, Rank};
use crate::jobs::permit::Permit;
use crate::jobs::record::{Execution, Payload, Stage, Started};
use crate::residency::Why;

impl<P: Payload> Engine<P> {
    /// Note that an execution starts, whose handler is called next: the rate of its target counts it.
    #[inline]
    pub fn note_start(&self, started: &Started<P>) {
        if started.execution.permit.is_rated() {
            self.note_rated_start(&started.execution);
        }
    }

    #[inline(never)] // out of the way of those without a rate
    fn note_rated_start(&self, execution: &Execution<P>) {
        let now = self.clock.boot();
        let mut state = self.state.lock();
        let permit = execution.permit;
        state
            .targets
            .controls
            .note_start(permit, execution.key, now);
        if let Some(number) = permit.target() {
            state.see_held(self, number);
        }
        state.refill_open(self);
    }

    /// Why the job of this id is held, where it is; `None`: it is not.
    ///
    /// # Errors
    ///
    /// [`Refused::Closed`].
    pub fn held_by(&self, id: &str) -> Result<Option<HeldBy>, Refused> {
        let now = self.clock.boot();
        let state = self.open()?;
        let entry = state
            .jobs
            .find(id)
            .and_then(|key| state.jobs.queue.get(key));
        let is_out = entry
            .as_ref()
            .is_some_and(|entry| !entry.queued && entry.value.stage() == Stage::Waiting);
        if is_out {
            return Ok(Some(HeldBy::Key));
        }
        let held = entry.filter(|entry| entry.value.stage() == Stage::LaneBacklog);
        let number = held.map(|entry| entry.value.payload.target());
        let controls = &state.targets.controls;
        let limited = number.filter(|&number| controls.is_limited(number));
        Ok(limited.map(|number| controls.held_by(number, now)))
    }

    /// Why due jobs of the target of this name are left on disk alone, where some are.
    ///
    /// # Errors
    ///
    /// [`Refused::Closed`].
    pub fn left_by(&self, name: &str) -> Result<Option<LeftBy>, Refused> {
        let now = self.clock.boot();
        let state = self.open()?;
        let residency = state.residency.as_ref();
        let why = residency.and_then(|residency| residency.left.why_of(name));
        let controls = &state.targets.controls;
        Ok(match why {
            Some(Why::Parked) => Some(LeftBy::NoHandler),
            Some(Why::Held) => controls.held_on_disk_by(name, now).map(LeftBy::Limit),
            Some(Why::Come) | None => None,
        })
    }
}

impl<P: Payload> State<P> {
    /// See whether a target may start what it holds; the timer is woken where that is sooner than it looks.
    pub(super) fn see_held(&mut self, engine: &Engine<P>, number: u32) {
        let now = engine.clock.boot();
        let (controls, queue) = (&mut self.targets.controls, &self.jobs.queue);
        let opens = controls.see(number, now, |rank, key| is_held(queue, number, rank, key));
        if opens.is_some_and(|at| self.mark_awake_if_earlier(ClockKind::Boot, at)) {
            engine.wake_timer();
        }
    }

    /// See which targets may start something by now.
    pub(super) fn open_targets(&mut self, engine: &Engine<P>, now: i64) {
        while let Some(number) = self.targets.controls.opens_by(now) {
            self.see_held(engine, number);
        }
    }

    /// Hold a job that is due.
    pub(super) fn hold(&mut self, engine: &Engine<P>, execution: &Execution<P>) {
        let (number, rank) = (execution.payload.target(), self.rank(execution));
        self.jobs.set_stage(execution.key, Stage::LaneBacklog);
        self.targets.controls.hold(number, rank, execution.key);
        self.see_held(engine, number);
    }

    /// Take a permit back from an execution that has ended, or does not start.
    pub(super) fn give_permit_back(&mut self, engine: &Engine<P>, permit: Permit, key: Key) {
        if !self.gates.is_empty() {
            self.release_gate(engine, key);
        }
        self.hold_again(engine, permit, key);
    }

    /// Take a permit back from an execution that goes on waiting beside the wheel, and so keeps the gate of its key.
    fn hold_again(&mut self, engine: &Engine<P>, permit: Permit, key: Key) {
        if let Some(number) = permit.target() {
            self.targets.controls.give_back(permit, key);
            self.see_held(engine, number);
        }
    }

    /// Make all that is held wait again, in its old place.
    pub(super) fn requeue_held(&mut self, engine: &Engine<P>) {
        for (number, mut held) in self.targets.controls.take_held() {
            while let Some(key) = held.pop(|rank, key| is_held(&self.jobs.queue, number, rank, key))
            {
                self.jobs.put_back(key);
            }
            self.see_held(engine, number);
        }
    }

    /// Where an execution stands in the order of its lane.
    pub(super) fn rank(&self, execution: &Execution<P>) -> Rank {
        let due = self.due_of(execution);
        let priority = self.targets.controls.priority(execution.payload.target());
        Rank {
            due: due.saturating_sub(priority),
            sequence: execution.sequence,
        }
    }

    /// The due of an execution on the wall clock; over a file as it is stored, so that what is on disk and what is not come
    /// in one order.
    fn due_of(&self, execution: &Execution<P>) -> i64 {
        let residency = self.residency.as_ref();
        let offset = residency.and_then(|residency| residency.boot_offsets.at(execution.sequence));
        match (execution.clock, offset) {
            (ClockKind::Boot, Some(offset)) => execution.due.saturating_add(offset),
            (clock, _) => self.jobs.on_wall(clock, execution.due),
        }
    }

    /// Hand over what has expired and may start, each to its lane, and hold the rest.
    pub(super) fn hand_over_controlled(
        &mut self,
        engine: &Engine<P>,
        outgoing: &mut Vec<Execution<P>>,
    ) {
        let now = engine.clock.boot();
        let mut given = Lanes::<bool>::default();
        for mut execution in outgoing.drain(..) {
            let number = execution.payload.target();
            let lane = self.targets.lane_of(number).unwrap_or(Lane::Workers);
            let controls = &mut self.targets.controls;
            let is_clear = !self.is_by_hand
                && self.backlogs[lane].is_empty()
                && !controls.has_open(lane)
                && engine.lane(lane).lock().room() > 0;
            if controls.is_limited(number) {
                let key = execution.key;
                match is_clear
                    .then(|| controls.permit_at_once(number, key, now))
                    .flatten()
                {
                    Some(permit) => execution.permit = permit,
                    None => {
                        self.hold(engine, &execution);
                        continue;
                    }
                }
            } else if !is_clear {
                self.push_backlog(lane, &execution);
                continue;
            }
            self.insert_in_order(engine, lane, execution);
            given[lane] = true;
        }
        for lane in Lane::ALL {
            self.refill_in_order(engine, lane);
            if given[lane] {
                let mut ready = engine.lane(lane).lock();
                engine.lane(lane).call(&mut ready);
            }
        }
    }

    fn insert_in_order(&self, engine: &Engine<P>, lane: Lane, execution: Execution<P>) {
        let rank = self.rank(&execution);
        let queue = &mut engine.lane(lane).lock().queue;
        let at = queue.partition_point(|other| self.rank(other) < rank);
        queue.insert(at, execution);
    }

    /// Whether what may start is to be handed over.
    fn hands_over(&self) -> bool {
        self.phase == Phase::Started && !self.is_by_hand && self.may_start()
    }

    /// Hand over what targets hold and may start.
    pub(super) fn refill_open(&mut self, engine: &Engine<P>) {
        for lane in Lane::ALL {
            if self.targets.controls.has_open(lane) && self.hands_over() {
                self.refill_in_order(engine, lane);
            }
        }
    }

    /// Hand over what may start, of the backlog of a lane and of what its targets hold, the best rank first; whether
    /// anything was. Where a target of the lane has a head start, what waits gives way to what ranks before it.
    pub(super) fn refill_in_order(&mut self, engine: &Engine<P>, lane: Lane) -> bool {
        if self.is_by_hand {
            return false;
        }
        let mut any = false;
        for _ in 0..BATCH {
            let Some((best, _)) = self.best(lane) else {
                break;
            };
            if engine.lane(lane).lock().room() == 0 && !self.give_way(engine, lane, best) {
                break;
            }
            let Some(execution) = self.take_best(engine, lane) else {
                break;
            };
            self.insert_in_order(engine, lane, execution);
            any = true;
        }
        let waits = self.best(lane).is_some();
        let mut ready = engine.lane(lane).lock();
        ready.room_wanted |= waits;
        engine.lane(lane).call(&mut ready);
        any
    }

    /// Take back what was handed over last, if it comes after a rank; whether there is room now.
    fn give_way(&mut self, engine: &Engine<P>, lane: Lane, rank: Rank) -> bool {
        if !self.targets.controls.are_prior(lane) {
            return false;
        }
        let mut ready = engine.lane(lane).lock();
        let is_later = |last: &Execution<P>| rank < self.rank(last);
        if !ready.queue.back().is_some_and(is_later) {
            return false;
        }
        let Some(last) = ready.queue.pop_back() else {
            return false;
        };
        drop(ready);
        self.take_mark_back(&last);
        self.hold_again(engine, last.permit, last.key);
        if self.targets.controls.is_limited(last.payload.target()) {
            self.hold(engine, &last);
        } else {
            self.push_backlog(lane, &last);
        }
        true
    }

    /// What ranks first of all that may start and is not handed over.
    pub(super) fn best(&mut self, lane: Lane) -> Option<(Rank, Key)> {
        let within = (&self.jobs.queue, &self.targets, lane);
        let waiting = self.backlogs[lane].first(|rank, key| is_in_backlog(within, rank, key));
        let open = self.targets.controls.first_open(lane);
        let open = open.and_then(|(_, number)| self.first_held(number));
        waiting.into_iter().chain(open).min()
    }

    /// The first job that a target holds.
    pub(super) fn first_held(&mut self, number: u32) -> Option<(Rank, Key)> {
        let (controls, queue) = (&mut self.targets.controls, &self.jobs.queue);
        controls.first_held(number, |rank, key| is_held(queue, number, rank, key))
    }

    /// Take it, to be handed over.
    pub(super) fn take_best(&mut self, engine: &Engine<P>, lane: Lane) -> Option<Execution<P>> {
        let (best, _) = self.best(lane)?;
        let open = self.targets.controls.first_open(lane);
        let open = open.filter(|open| open.0 == best);
        let queue = &self.jobs.queue;
        let (key, permit) = match open {
            Some((_, number)) => {
                let waits = |rank, key| is_held(queue, number, rank, key);
                self.targets.controls.take(number, waits)?
            }
            None => {
                let within = (queue, &self.targets, lane);
                let waits = |rank, key| is_in_backlog(within, rank, key);
                (self.backlogs[lane].pop(waits)?, Permit::NONE)
            }
        };
        self.jobs.set_stage(key, Stage::Handed);
        if let Some((_, number)) = open {
            self.see_held(engine, number);
        }
        let execution = self.jobs.execution(key)?;
        Some(Execution {
            permit,
            ..execution
        })
    }
}
