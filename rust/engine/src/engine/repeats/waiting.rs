//! Repeats that wait: moved, let go, found anew.

use crate::due::queue::{ClockKind, Key};
use crate::engine::{AT_ONCE, Engine, Refused, State};
use crate::jobs::record::{Payload, Stage};
use crate::jobs::repeat::Repeat;
use crate::jobs::repeats::Review;
use duewheel_model::repeat::Times;
use duewheel_store::{Op, Place};
use std::sync::Arc;

/// A clock that goes back by more was wrong before: dues are found anew, in nanoseconds.
const CLOCK_WAS_WRONG: i64 = 3 * 3_600 * duewheel_model::time::SECOND;

impl<P: Payload> Engine<P> {
    /// Find anew the dues of repeats whose clock was wrong: the wall clock has gone back by hours.
    pub(in crate::engine) fn review(&self) {
        let mut state = self.state.lock();
        let Some(Review { before, from }) = state.review.take() else {
            return;
        };
        let mut asked: Vec<_> = state
            .jobs
            .repeat_keys()
            .into_iter()
            .filter_map(|key| {
                let (plan, standing, clock) = state.jobs.repeat(key)?.coming();
                let place = state.place(key)?.order();
                let is_of_old = clock == ClockKind::Wall && place.1 < before;
                is_of_old.then_some((place, key, plan, standing))
            })
            .collect();
        drop(state);
        // What is due at once stays in its order.
        asked.sort_unstable_by_key(|&(place, ..)| place);
        let found: Vec<_> = asked
            .into_iter()
            .map(|(_, key, plan, standing)| {
                let next = plan.times(standing.anchor, 0).next(from);
                (key, plan, standing.time, next)
            })
            .collect();
        let mut state = self.state.lock();
        for (key, plan, time, next) in found {
            let coming = state.jobs.repeat(key).map(Repeat::coming);
            let same = coming
                .is_some_and(|(of, standing, _)| Arc::ptr_eq(&of, &plan) && standing.time == time);
            if let (true, Some(next)) = (same && next != Some(time), next) {
                state.find_anew(self, key, next, from);
            }
        }
    }
}

impl<P: Payload> State<P> {
    /// Let a repeat that was held back go on, where nothing else holds it.
    pub(in crate::engine) fn let_go(&mut self, engine: &Engine<P>, key: Key) {
        self.jobs.hold(key);
        if self.jobs.stage(key) == Some(Stage::Parked)
            && self
                .jobs
                .repeat(key)
                .is_some_and(|repeat| !repeat.is_held())
        {
            self.unpark(key);
            self.jobs.put_back(key);
            if self.asleep.take().is_some() {
                engine.sleeper.wake();
            }
        }
    }

    /// Have a repeat count from this moment on, whose first time is `next`; the store is told. What was asked for, or has
    /// started, stays where it is, and `next` comes after it.
    fn find_anew(&mut self, engine: &Engine<P>, key: Key, next: i64, now: i64) {
        let has_started = !self.is_pending(engine, key) || self.has_first_start(key);
        let Some(repeat) = self.jobs.repeat_mut(key) else {
            return;
        };
        if !has_started && repeat.standing().triggered.is_none() {
            return self.move_to(engine, key, next, now);
        }
        match repeat.edit_mut() {
            Some(edit) => edit.count_from(now, next),
            None => repeat.count_from(now, next),
        }
        // A store that takes nothing has failed, and says so itself.
        let _ = self.write_standing(key, false);
    }

    /// Move the coming occurrence of a waiting repeat to another time of its schedule; the store is told.
    pub(in crate::engine) fn move_to(
        &mut self,
        engine: &Engine<P>,
        key: Key,
        time: i64,
        last: i64,
    ) {
        if !self.withdraw(engine, key) {
            return;
        }
        if let Some(repeat) = self.jobs.repeat_mut(key) {
            repeat.change(|standing| (standing.time, standing.last) = (time, last));
        }
        // A store that takes nothing has failed, and says so itself.
        let _ = self.write_standing(key, true);
        self.requeue_repeat(engine, key);
    }

    /// In a store that nodes share: let whoever gets it have a repeat where its standing says, with the store's next page.
    pub(in crate::engine) fn let_go_moved(&mut self, key: Key) {
        let to = self.jobs.repeat(key).map(Repeat::due);
        // A store that takes nothing has failed, and says so itself.
        let _ = self.write_standing(key, true);
        if let Some((_, due)) = to {
            let now = self.jobs.offsets.measured_now().wall;
            let seq = self.next_given();
            self.request_page_if_near(Place { due, seq }, now);
        }
        self.drop_one(key);
        if let Some(payload) = self.take(key) {
            self.evicted.insert(key, payload, false);
        }
    }

    /// Queue a repeat that was withdrawn where its standing says.
    pub(in crate::engine) fn requeue_repeat(&mut self, engine: &Engine<P>, key: Key) {
        let ahead = self.jobs.offsets.measured();
        let Some(repeat) = self.jobs.repeat(key) else {
            return;
        };
        let (clock, due) = repeat.due();
        let job_due = repeat.standing().triggered;
        let job_due = job_due.unwrap_or_else(|| repeat.on_wall(ahead).time);
        self.jobs.set_job_due(key, job_due);
        self.jobs.requeue(key, clock, due);
        if self.mark_awake_if_earlier(clock, due) {
            engine.sleeper.wake();
        }
    }

    /// Give the store how far a repeat has come, and where it moves, if it does.
    pub(in crate::engine) fn write_standing(
        &mut self,
        key: Key,
        moves: bool,
    ) -> Result<duewheel_store::Ticket, Refused> {
        if self.residency.is_none() {
            return Ok(AT_ONCE);
        }
        let ahead = self.jobs.offsets.measured();
        let (Some(execution), Some(repeat)) = (self.jobs.execution(key), self.jobs.repeat(key))
        else {
            return Ok(AT_ONCE);
        };
        let (clock, _) = repeat.due();
        let standing = repeat.stored(ahead);
        let due = standing.triggered.unwrap_or_else(|| standing.due());
        let job_due = if moves {
            standing.triggered.unwrap_or(standing.time)
        } else {
            execution.job_due
        };
        let seq = self.store_seq(key, execution.sequence);
        let to = self.next_place(clock, due);
        let to = Place { due, ..to };
        let stand = Op::Stand {
            seq,
            job_due,
            standing: Box::new(standing),
        };
        execution.id.with_str(|id| self.note_changed(id));
        if moves && self.is_shared() {
            self.reserve_seq(to.seq);
            Ok(self.submit(&[stand, Op::Move { seq, to, clock }, Op::Yield(to.seq)])?)
        } else if moves {
            Ok(self.submit(&[stand, Op::Move { seq, to, clock }])?)
        } else {
            Ok(self.submit(&[stand])?)
        }
    }

    /// What was due before now could not start; what is due on the wall clock is found anew, if that went back by hours.
    pub(in crate::engine) fn note_step(&mut self, by: i64, boot: i64) {
        if by > 0 {
            self.could_not_start = self.could_not_start.max(boot);
        }
        if by < -CLOCK_WAS_WRONG && self.jobs.repeat_count() > 0 {
            self.review = Some(Review {
                before: self.jobs.queue.next_sequence(),
                from: boot.saturating_add(self.jobs.offsets.measured()),
            });
        }
    }

    /// How many repeats wait, in memory and not parked, that need not be waited for: nothing ends them.
    pub(in crate::engine) fn endless_count(&self, engine: &Engine<P>) -> u64 {
        let waits = |key: &Key| {
            let repeat = self.jobs.repeat(*key);
            repeat.is_some_and(|repeat| repeat.plan.is_endless())
                && self.jobs.stage(*key) != Some(Stage::Parked)
                && self.is_idle_repeat(engine, *key)
        };
        self.jobs
            .repeat_keys()
            .iter()
            .filter(|key| waits(key))
            .count() as u64
    }

    fn is_idle_repeat(&self, engine: &Engine<P>, key: Key) -> bool {
        let execution = self.jobs.execution(key);
        self.is_pending(engine, key)
            && execution.is_some_and(|execution| execution.progress.first_start.is_none())
    }
}
