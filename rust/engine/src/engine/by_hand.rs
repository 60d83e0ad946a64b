//! Virtual time: the engine is driven by hand, one execution after another.
//!
//! Where targets are controlled, all that is due expires at once, and of what may start the best rank is handed over.

use super::{BATCH, Engine, Phase, State};
use crate::due::queue::{Key, Now};
use crate::handover::lanes::{Lane, Rank};
use crate::jobs::record::Payload;
use std::sync::MutexGuard;

impl<P: Payload> Engine<P> {
    /// From now on virtual time drives it: nothing is handed over but by [`manual_expire`](Self::manual_expire).
    pub fn drive_by_hand(&self) {
        self.state.lock().is_by_hand = true;
    }

    /// The state, in which what is due has expired, where virtual time drives controlled targets.
    pub(super) fn expired_by_hand(&self) -> MutexGuard<'_, State<P>> {
        let mut state = self.state.lock();
        let is_driven = state.is_by_hand && state.phase == Phase::Started;
        if !is_driven || !state.targets.controls.are_active() {
            return state;
        }
        let now = self.now();
        state.refresh(self, now.boot);
        if state.review.is_some() {
            drop(state);
            self.review();
            state = self.state.lock();
        }
        state.best_of_all(self, now);
        state
    }

    /// For virtual time: when (on the boot clock) the first due execution can start, and its due
    /// on the wall clock; `None` when nothing waits or nothing may start.
    pub fn manual_next(&self) -> Option<(i64, i64)> {
        let mut state = self.state.lock();
        if state.phase != Phase::Started {
            return None;
        }
        let now = self.now();
        state.refresh(self, now.boot);
        if state.review.is_some() {
            drop(state);
            self.review();
            state = self.state.lock();
        }
        if state.targets.controls.are_active() {
            return state.next_controlled(self, now);
        }
        state.next_expiry(now)
    }

    /// For virtual time: hand over, or park, the one execution that is due first.
    pub fn manual_expire(&self) -> bool {
        let mut state = self.state.lock();
        if state.phase != Phase::Started {
            return false;
        }
        let now = self.now();
        state.refresh(self, now.boot);
        if state.targets.controls.are_active() {
            return state.hand_over_best(self, now);
        }
        let before = state.jobs.queue.queued();
        // Maintenance of the wheel comes in steps, and may expire nothing.
        while state.expire(self, now, 1) && state.jobs.queue.queued() == before {}
        state.jobs.queue.queued() != before
    }
}

impl<P: Payload> State<P> {
    /// When what waits first is due, on the boot clock and on the wall clock.
    fn next_expiry(&self, now: Now) -> Option<(i64, i64)> {
        let first = self.jobs.queue.first(now).and_then(|key| self.place(key))?;
        let starts = first.due.saturating_sub(self.jobs.offsets.measured());
        Some((starts.max(now.boot), first.due))
    }

    /// The same where targets are controlled: what is due by now has expired thereafter.
    fn next_controlled(&mut self, engine: &Engine<P>, now: Now) -> Option<(i64, i64)> {
        if let Some(((_, key), _)) = self.best_of_all(engine, now) {
            return Some((now.boot, self.place(key)?.due));
        }
        let mut next: Vec<_> = self.next_expiry(now).into_iter().collect();
        for (at, number) in self.targets.controls.next_openings() {
            let first = self.first_held(number);
            let due = first
                .and_then(|(_, key)| self.place(key))
                .map(|place| place.due);
            next.extend(due.map(|due| (at, due)));
        }
        next.into_iter().min()
    }

    /// Let all that is due wait beside its lane, and find what ranks first of what may start, and its lane.
    fn best_of_all(&mut self, engine: &Engine<P>, now: Now) -> Option<((Rank, Key), Lane)> {
        self.open_targets(engine, now.boot);
        while self.expire(engine, now, BATCH) {}
        let best = |lane| Some((self.best(lane)?, lane));
        let best = Lane::ALL.into_iter().filter_map(best);
        best.min_by_key(|best| best.0)
    }

    fn hand_over_best(&mut self, engine: &Engine<P>, now: Now) -> bool {
        let best = self.best_of_all(engine, now);
        let execution = best.and_then(|(_, lane)| Some((self.take_best(engine, lane)?, lane)));
        let Some((execution, lane)) = execution else {
            return false;
        };
        engine.lane(lane).put(&mut vec![execution]);
        true
    }
}
