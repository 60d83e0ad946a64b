//! Timers: jobs in memory that their owner knows by key, so that no id is parsed to cancel one.

use crate::due::queue::{ClockKind, Key};
use crate::engine::{Due, Engine, Refused, State};
use crate::jobs::ids::Halves;
use crate::jobs::record::Payload;

/// A timer that was started.
#[derive(Clone, Copy, Debug)]
pub struct StartedTimer {
    /// Its key, which goes stale when the job ends.
    pub key: Key,
    /// Its id, which other calls know the job by.
    pub id: Halves,
    /// Its due, on the boot clock.
    pub due: i64,
}

impl<P: Payload> Engine<P> {
    /// Schedule a job of an engine without a store, after a delay.
    ///
    /// # Errors
    ///
    /// [`Refused::Closed`] and [`Refused::Overflow`]; the payload stays the caller's.
    #[inline]
    pub fn start_timer(&self, delay: i64, payload: P) -> Result<StartedTimer, Refused> {
        self.schedule_here(Due::In(delay), payload)
    }

    /// Schedule a job of an engine without a store.
    ///
    /// # Errors
    ///
    /// As [`start_timer`](Self::start_timer).
    #[inline]
    pub fn schedule_here(&self, due: Due, payload: P) -> Result<StartedTimer, Refused> {
        let boot = self.clock.boot();
        let mut state = self.open()?;
        state.refresh(self, boot);
        let (clock, due) = state.resolve(due, boot)?;
        let id = state.jobs.new_id(boot, true);
        state
            .tally
            .note(payload.target(), |counts| counts.scheduled += 1);
        let key = state.jobs.insert(id, clock, due, payload);
        self.unlock_and_wake(state, clock, due);
        Ok(StartedTimer { key, id, due })
    }

    /// Withdraw a pending timer, which will never start; its payload, unless it has started or ended.
    #[inline]
    pub fn cancel_timer(&self, key: Key) -> Option<P> {
        self.cancel_key(&mut self.state.lock(), key)
    }

    /// Withdraw a pending job of an engine without a store, as [`cancel_timer`](Self::cancel_timer) does.
    ///
    /// # Errors
    ///
    /// [`Refused::Closed`].
    #[inline]
    pub fn cancel_here(&self, id: &str) -> Result<Option<P>, Refused> {
        let mut state = self.open()?;
        let key = state.jobs.find(id);
        let payload = key.and_then(|key| self.cancel_key(&mut state, key));
        if let Some(payload) = payload
            && payload.keep().is_some()
        {
            state.keep_cancelled(self, id, payload);
        }
        Ok(payload)
    }

    #[inline(always)]
    fn cancel_key(&self, state: &mut State<P>, key: Key) -> Option<P> {
        if !state.withdraw(self, key) {
            return None;
        }
        let payload = state.jobs.take(key);
        if let Some(payload) = payload {
            state
                .tally
                .note(payload.target(), |counts| counts.cancelled += 1);
        }
        self.notify(state);
        payload
    }

    /// Move a pending timer to a delay from now, at a new place in the order; its due on the boot clock,
    /// unless it has started or ended.
    ///
    /// # Errors
    ///
    /// [`Refused::Overflow`]: it is where it was.
    pub fn move_timer(&self, key: Key, delay: i64) -> Result<Option<i64>, Refused> {
        let boot = self.clock.boot();
        let mut state = self.state.lock();
        state.refresh(self, boot);
        let (clock, due) = state.resolve(Due::In(delay), boot)?;
        if !state.withdraw(self, key) {
            return Ok(None);
        }
        // The job keeps its first due.
        state.jobs.make_detail(key);
        state.jobs.requeue(key, clock, due);
        self.unlock_and_wake(state, clock, due);
        Ok(Some(due))
    }

    /// The due of a pending timer, on the wall clock, unless it has started or ended.
    pub fn timer_due(&self, key: Key) -> Option<i64> {
        let boot = self.clock.boot();
        let mut state = self.state.lock();
        state.refresh(self, boot);
        let place = state.place(key)?;
        state.is_pending(self, key).then_some(place.due)
    }

    /// What a time on the boot clock is on the wall clock, now.
    pub fn on_wall(&self, boot: i64) -> i64 {
        let now = self.clock.boot();
        let mut state = self.state.lock();
        state.refresh(self, now);
        state.jobs.on_wall(ClockKind::Boot, boot)
    }

    /// Look at the payload of every job in memory, the dead included, until `look` has had enough.
    ///
    /// # Errors
    ///
    /// Those of `look`.
    pub fn each_payload<E>(&self, mut look: impl FnMut(P) -> Result<(), E>) -> Result<(), E> {
        let state = self.state.lock();
        for (_, entry) in state.jobs.queue.iter() {
            look(entry.value.payload)?;
        }
        state.dead.iter().try_for_each(|dead| look(dead.payload))
    }
}
