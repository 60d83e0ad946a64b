//! What is asked of the engine: schedule, cancel, move.

use super::{Due, Engine, Refused, State};
use crate::due::queue::ClockKind;
use crate::jobs::ids::Halves;
use crate::jobs::record::{Detail, Id, Payload, Released};
use duewheel_model::job::Progress;
use std::sync::MutexGuard;

impl<P: Payload> Engine<P> {
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
        self.unlock_and_wake(state, clock, due);
        Ok(id)
    }

    /// Schedule many jobs, in order, all of them or none; returns their ids.
    ///
    /// `due` says what a time of `times` is: [`Due::At`] or [`Due::In`]. `payload` makes the
    /// payload of the next job, once it is certain that the engine takes it.
    ///
    /// # Errors
    ///
    /// As [`schedule`](Self::schedule).
    pub fn schedule_many(
        &self,
        due: impl Fn(i64) -> Due,
        times: &[i64],
        mut payload: impl FnMut() -> P,
    ) -> Result<Vec<Halves>, Refused> {
        let boot = self.clock.boot();
        let mut state = self.open()?;
        state.refresh(self, boot);
        let offset = state.offset;
        for &time in times {
            state.resolve(due(time), boot)?;
        }
        let mut ids = Vec::with_capacity(times.len());
        for chunk in times.chunks(4096) {
            // The lock is let go between chunks, so that others do not wait for all.
            drop(state);
            state = self.open()?;
            let moved = state.offset != offset;
            let mut wake = false;
            for &time in chunk {
                let (clock, due) = match state.resolve(due(time), boot) {
                    Ok(resolved) => resolved,
                    // Only a stepped clock can make it overflow now: as late as can be, then.
                    Err(_) if moved => (ClockKind::Boot, i64::MAX - 1),
                    Err(refused) => return Err(refused),
                };
                ids.push(state.insert(clock, due, boot, payload()));
                wake |= state.mark_awake_if_earlier(clock, due);
            }
            // At once: it counts as awake, and others do not wake it.
            if wake {
                self.sleeper.wake();
            }
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
        let detail = Detail {
            id,
            job_due,
            progress: Progress::NEW,
        };
        state.insert_detail(clock, due, detail, payload)?;
        state.counts.scheduled += 1;
        self.unlock_and_wake(state, clock, due);
        Ok(())
    }

    /// Take in a pending execution as it stands: its due and its progress.
    ///
    /// # Errors
    ///
    /// As [`schedule_as`](Self::schedule_as).
    pub fn restore(
        &self,
        id: &str,
        job_due: i64,
        due: i64,
        progress: Progress,
        payload: P,
        released: &mut Released<P>,
    ) -> Result<(), Refused> {
        let mut state = self.open()?;
        state.settle(self, released);
        let detail = Detail {
            id: Id::Given(id.into()),
            job_due,
            progress,
        };
        state.insert_detail(ClockKind::Wall, due, detail, payload)?;
        state.counts.scheduled += 1;
        self.unlock_and_wake(state, ClockKind::Wall, due);
        Ok(())
    }

    /// Withdraw a pending job, which will never start: its payload; `None`: it is not pending.
    ///
    /// # Errors
    ///
    /// [`Refused::Closed`].
    pub fn cancel(&self, id: &str) -> Result<Option<P>, Refused> {
        let mut state = self.open()?;
        let Some(key) = state.find(id) else {
            return Ok(None);
        };
        if !state.withdraw(self, key) {
            return Ok(None);
        }
        let payload = state.take(key);
        state.counts.cancelled += 1;
        self.notify(&state);
        Ok(payload)
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
        state.give_detail(key);
        state.requeue(key, ClockKind::Wall, due);
        self.unlock_and_wake(state, ClockKind::Wall, due);
        Ok(true)
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
