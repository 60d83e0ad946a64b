//! How jobs have ended, as long as that is kept: what is done in memory, and what a store is told and asked.

use super::calls::{AT_ONCE, Pending};
use super::{Engine, Phase, Refused, State};
use crate::due::queue::Key;
use crate::jobs::record::{Execution, Payload, Released};
use duewheel_store::{Answer, Kept, Op, Over, Query, StoredOutcome};
use std::time::Duration;

/// Where nodes share the store, how long to wait before an outcome is looked for once more: at first.
const FIRST_PAUSE: Duration = Duration::from_millis(5);

impl<P: Payload> Engine<P> {
    /// How the job of this id has ended, or stands.
    ///
    /// # Errors
    ///
    /// [`Refused::Closed`], and those of the store.
    pub fn outcome(
        &self,
        id: &str,
        released: &mut Released<P>,
    ) -> Result<Pending<StoredOutcome, P>, Refused> {
        let mut state = self.open_to_change()?;
        state.settle(self, released);
        state.catch_up()?;
        // Where nodes share the store, another may have ended what is in memory here.
        if let Some(key) = state.jobs.find(id).filter(|_| !state.is_shared()) {
            let pending = StoredOutcome::Pending(state.will_keep(key));
            return Ok(Pending::Made(pending, AT_ONCE));
        }
        if state.residency.is_none() {
            let kept = state.outcomes.get(id, self.clock.boot()).cloned();
            let found = kept.map_or(StoredOutcome::Unknown, |kept| {
                StoredOutcome::Kept(Box::new(kept))
            });
            return Ok(Pending::Made(found, AT_ONCE));
        }
        drop(state);
        let (id, now) = (id.to_owned(), self.clock.wall());
        Ok(self
            .query(Query::Outcome { id, now })?
            .map(|answer| match answer {
                Answer::Outcome(found) => found,
                _ => StoredOutcome::Unknown,
            }))
    }

    /// Call `then` once when the job of this id ends, under the engine's lock; the number to forget that by.
    pub fn when_ended(&self, id: &str, then: impl FnOnce() + Send + 'static) -> u64 {
        let mut state = self.state.lock();
        if state.phase == Phase::Closed {
            then();
            return 0;
        }
        state.outcomes.wait(id, Box::new(then))
    }

    /// How long to wait at most until the outcome of a job is looked for once more, after so many looks. `None`: its end is
    /// told; where nodes share the store, another may end it.
    pub fn pause_after(&self, looks: u32) -> Option<Duration> {
        let poll = self.state.lock().lease()?.interval();
        Some(poll.min(FIRST_PAUSE.saturating_mul(1 << looks.min(16))))
    }

    /// Call nobody any more who was to be called under this number.
    pub fn forget_ended(&self, id: &str, number: u64) {
        self.state.lock().outcomes.wait_no_more(id, number);
    }
}

impl<P: Payload> State<P> {
    /// Whether how a job in memory ends is kept: of one that something follows, that is what ends.
    fn will_keep(&self, key: Key) -> bool {
        let follow = self.follow_ups.get(&key).map(|follow| follow.payload);
        let own = || {
            let entry = self.jobs.queue.get(key);
            entry.map(|entry| entry.value.payload)
        };
        let payload = follow.or_else(own);
        payload.and_then(P::keep).is_some()
    }

    /// What is kept of the end of a job, if that is asked for.
    pub(super) fn kept_of(
        &self,
        engine: &Engine<P>,
        execution: &Execution<P>,
        over: Over,
        result: Vec<u8>,
    ) -> Option<Box<Kept>> {
        let keep = execution.payload.keep()?;
        let target = execution.payload.parts(|parts| parts.target.to_owned());
        let ended = engine.clock.wall();
        let cancelled = execution
            .id
            .with_str(|id| Kept::cancelled(id, &target, ended, keep));
        Some(Box::new(Kept {
            over,
            result,
            ..cancelled
        }))
    }

    /// What is kept of a job in memory that is to be cancelled, if that is asked for.
    #[inline]
    pub(super) fn cancelled(&self, engine: &Engine<P>, key: Key) -> Option<Box<Kept>> {
        let keeps = self.jobs.queue.get(key)?.value.payload.keep().is_some();
        let execution = keeps.then(|| self.jobs.execution(key)).flatten()?;
        self.kept_of(engine, &execution, Over::Cancelled, Vec::new())
    }

    /// Keep in memory that a job was cancelled, which is gone already.
    #[cold]
    pub(super) fn keep_cancelled(&mut self, engine: &Engine<P>, id: &str, payload: P) {
        let target = payload.parts(|parts| parts.target.to_owned());
        if let Some(keep) = payload.keep() {
            let ended = engine.clock.wall();
            self.note_kept(engine, Kept::cancelled(id, &target, ended, keep));
        }
    }

    /// A job is over, and this is kept of it: the store, if there is one, was told so.
    #[cold]
    pub(super) fn note_kept(&mut self, engine: &Engine<P>, kept: Kept) {
        let id = kept.id.clone();
        if self.residency.is_some() {
            self.outcomes.stored = true;
        } else if self.phase != Phase::Closed {
            self.outcomes.insert(kept, engine.clock.boot());
        }
        self.outcomes.wake(&id);
    }

    /// Have the store told what is kept of an end, in the batch of that end, which is told next.
    #[cold]
    pub(super) fn write_kept(&mut self, seq: u64, kept: Box<Kept>) {
        self.outcomes.stored = true;
        self.outcomes.wake(&kept.id);
        if let Some(residency) = &mut self.residency {
            residency.outbox.push(Op::Keep { seq, kept });
        }
    }
}
