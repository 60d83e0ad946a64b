//! `pause`, `resume` and `trigger` of a repeat, and looking at it. Repeats of a store of one process are all in memory.

use super::repeat_shared::Change;
use super::{AT_ONCE, Pending};
use crate::due::queue::Key;
use crate::engine::{Engine, Refused, State};
use crate::jobs::record::{Payload, Released, Stage, View};
use crate::jobs::repeat::{Flag, Repeat};
use crate::jobs::repeats::{NEVER, Plan, moment_on, on_wall};
use duewheel_model::repeat::{Standing, Times};
use duewheel_store::{Op, Ticket};
use std::sync::Arc;

/// A repeat, as a query sees it.
#[derive(Debug)]
pub struct RepeatView<'a, P> {
    /// Its id, and the occurrence that comes or runs.
    pub job: View<'a, P>,
    /// When it comes.
    pub plan: Arc<Plan>,
    /// How far it has come; its times are on the wall clock.
    pub standing: Standing,
    /// Whether its occurrence runs.
    pub runs: bool,
    /// Whether this life of the program declares it, or need not.
    pub is_wanted: bool,
    /// Why it cannot be evaluated, if it cannot.
    pub unknown: Option<Arc<str>>,
}

impl<P: Payload> Engine<P> {
    /// Hold a repeat back until it is resumed; `false`: there is none of this id.
    ///
    /// # Errors
    ///
    /// [`Refused::Closed`], and those of the store.
    pub fn pause(&self, id: &str, released: &mut Released<P>) -> Result<Pending<bool, P>, Refused> {
        if self.is_shared() {
            return self.change_shared(id, Change::Pause);
        }
        let mut state = self.open_to_change()?;
        state.settle(self, released);
        let Some(key) = state.find_repeat(id) else {
            state.check_readable(id)?;
            return Ok(Pending::Made(false, AT_ONCE));
        };
        let Some(repeat) = state.jobs.repeat_mut(key) else {
            return Ok(Pending::Made(false, AT_ONCE));
        };
        let was = repeat.set(Flag::Paused, true);
        if was {
            return Ok(Pending::Made(true, state.settled()?));
        }
        let ticket = match state.write_standing(key, false) {
            Ok(ticket) => ticket,
            Err(error) => {
                if let Some(repeat) = state.jobs.repeat_mut(key) {
                    repeat.set(Flag::Paused, false);
                }
                return Err(error);
            }
        };
        // What is due and has not started waits again, to be parked; so does what waits for its key.
        let waits = match state.jobs.stage(key) {
            Some(Stage::Handed | Stage::LaneBacklog) => state.withdraw(self, key),
            stage => stage == Some(Stage::Waiting),
        };
        if waits {
            state.jobs.put_back(key);
        }
        state.jobs.hold(key);
        self.notify(&state);
        Ok(Pending::Made(true, ticket))
    }

    /// Let a repeat that was paused go on with the first time after now; `false`: there is none of this id.
    ///
    /// # Errors
    ///
    /// [`Refused::Closed`], and those of the store.
    pub fn resume(
        &self,
        id: &str,
        released: &mut Released<P>,
    ) -> Result<Pending<bool, P>, Refused> {
        if self.is_shared() {
            return self.change_shared(id, Change::Resume);
        }
        let boot = self.clock.boot();
        let mut state = self.open_to_change()?;
        state.settle(self, released);
        state.refresh(self, boot);
        let ahead = state.jobs.offsets.measured();
        let Some(key) = state.find_repeat(id) else {
            state.check_readable(id)?;
            return Ok(Pending::Made(false, AT_ONCE));
        };
        let Some(repeat) = state.jobs.repeat(key) else {
            return Ok(Pending::Made(false, AT_ONCE));
        };
        if !repeat.is(Flag::Paused) {
            return Ok(Pending::Made(true, state.settled()?));
        }
        let (plan, standing, clock) = repeat.coming();
        drop(state);
        let by_now = moment_on(clock, boot, ahead).saturating_sub(standing.offset);
        // After a step back nothing runs twice.
        let by_now = by_now.max(standing.last);
        let next = plan.times_on(clock, standing.anchor, ahead).next(by_now);
        let mut state = self.open_to_change()?;
        let Some(key) = state.find_repeat(id) else {
            state.check_readable(id)?;
            return Ok(Pending::Made(false, AT_ONCE));
        };
        let ticket = state.go_on(self, key, (&plan, next, by_now), released)?;
        self.notify(&state);
        Ok(Pending::Made(true, ticket))
    }

    /// Have a repeat run once more, as soon as possible; `false`: there is none of this id.
    ///
    /// # Errors
    ///
    /// [`Refused::Closed`], and those of the store.
    pub fn trigger(
        &self,
        id: &str,
        released: &mut Released<P>,
    ) -> Result<Pending<bool, P>, Refused> {
        if self.is_shared() {
            return self.change_shared(id, Change::Trigger);
        }
        let boot = self.clock.boot();
        let mut state = self.open_to_change()?;
        state.settle(self, released);
        state.refresh(self, boot);
        let now = boot.saturating_add(state.jobs.offsets.measured());
        let Some(key) = state.find_repeat(id) else {
            state.check_readable(id)?;
            return Ok(Pending::Made(false, AT_ONCE));
        };
        let before = state.jobs.repeat(key).map(Repeat::standing);
        if before.is_some_and(|standing| standing.wanted.is_some()) {
            return Ok(Pending::Made(true, state.settled()?));
        }
        let has_started = !state.is_pending(self, key) || state.has_first_start(key);
        if before.is_some_and(|standing| standing.triggered.is_some()) && !has_started {
            return Ok(Pending::Made(true, state.settled()?));
        }
        let moves = !has_started && state.withdraw(self, key);
        if let Some(repeat) = state.jobs.repeat_mut(key) {
            repeat.change(|standing| {
                if moves {
                    standing.triggered = Some(now);
                } else {
                    standing.wanted = Some(now);
                }
            });
        }
        let ticket = match state.write_standing(key, moves) {
            Ok(ticket) => ticket,
            Err(error) => {
                if let (Some(repeat), Some(before)) = (state.jobs.repeat_mut(key), before) {
                    repeat.set_standing(before);
                }
                return Err(error);
            }
        };
        if moves {
            state.jobs.hold(key);
            state.requeue_repeat(self, key);
        }
        Ok(Pending::Made(true, ticket))
    }

    /// Look at the repeat of this id, pending or running.
    ///
    /// # Errors
    ///
    /// [`Refused::Closed`], and what is wrong with a stored one that cannot be read.
    pub fn repeat_view<R>(
        &self,
        id: &str,
        released: &mut Released<P>,
        look: impl FnOnce(RepeatView<'_, P>) -> R,
    ) -> Result<Option<R>, Refused> {
        let boot = self.clock.boot();
        let mut state = self.open()?;
        state.settle(self, released);
        state.refresh(self, boot);
        let key = state.find_repeat(id);
        if key.is_none() {
            state.check_readable(id)?;
        }
        Ok(key.and_then(|key| state.look_at_repeat(self, key, look)))
    }

    /// The ids of the repeats that an earlier life has declared and this one has not; each is said once.
    pub fn undeclared(&self) -> Vec<String> {
        let mut state = self.state.lock();
        let mut ids = Vec::new();
        for key in state.jobs.repeat_keys() {
            let is_news = state.jobs.repeat_mut(key).is_some_and(|repeat| {
                !repeat.is(Flag::Wanted) && !repeat.set(Flag::Reported, true)
            });
            if is_news && let Some(execution) = state.jobs.execution(key) {
                ids.push(execution.id.with_str(str::to_owned));
            }
        }
        ids
    }

    /// The ids of all repeats, in the order of their dues.
    ///
    /// # Errors
    ///
    /// [`Refused::Closed`].
    pub fn repeat_ids(&self, released: &mut Released<P>) -> Result<Vec<Arc<str>>, Refused> {
        let mut state = self.open()?;
        state.settle(self, released);
        let mut found: Vec<_> = state
            .jobs
            .repeat_keys()
            .into_iter()
            .filter_map(|key| {
                let place = state.place(key)?.order();
                let id = state.jobs.execution(key)?.id.with_str(|id| Arc::from(id));
                (!state.jobs.repeat(key)?.is(Flag::Ends)).then_some((place, id))
            })
            .collect();
        drop(state);
        found.sort_unstable();
        Ok(found.into_iter().map(|(_, id)| id).collect())
    }
}

impl<P: Payload> State<P> {
    /// The key of a repeat that goes on.
    pub(in crate::engine) fn find_repeat(&self, id: &str) -> Option<Key> {
        let key = self.jobs.find(id)?;
        self.jobs
            .repeat(key)
            .filter(|repeat| !repeat.is(Flag::Ends))
            .map(|_| key)
    }

    /// A ticket for what was written before.
    pub(super) fn settled(&mut self) -> Result<Ticket, Refused> {
        if self.residency.is_none() {
            return Ok(AT_ONCE);
        }
        Ok(self.submit(&[])?)
    }

    pub(in crate::engine) fn has_first_start(&self, key: Key) -> bool {
        let execution = self.jobs.execution(key);
        execution.is_some_and(|execution| execution.progress.first_start.is_some())
    }

    /// A repeat is resumed: it goes on with this time.
    fn go_on(
        &mut self,
        engine: &Engine<P>,
        key: Key,
        (plan, next, last): (&Arc<Plan>, Option<i64>, i64),
        released: &mut Released<P>,
    ) -> Result<Ticket, Refused> {
        let retries = self.has_first_start(key);
        let moves = self.is_pending(engine, key) && !retries && self.withdraw(engine, key);
        let Some(repeat) = self.jobs.repeat_mut(key) else {
            return Ok(AT_ONCE);
        };
        let before = repeat.standing();
        repeat.set(Flag::Paused, false);
        let next = next.unwrap_or(NEVER);
        if repeat.unknown().is_some() && repeat.edit().is_none() {
            // Its time is found, from now on, when it is opened with its zone: these are rules of no zone.
            repeat.change(|standing| standing.fingerprint = 0);
            if moves {
                repeat.change(|standing| standing.last = last);
            } else {
                repeat.count_from(last, before.time);
            }
        } else if Arc::ptr_eq(&repeat.coming().0, plan) {
            match repeat.edit_mut() {
                Some(edit) => edit.count_from(last, next),
                None if moves => {
                    repeat.change(|standing| (standing.time, standing.last) = (next, last));
                }
                None => repeat.count_from(last, next),
            }
        }
        let standing = repeat.standing();
        let is_over = standing.time == NEVER && standing.triggered.is_none();
        if moves && is_over {
            return self.end_paused(key, released);
        }
        let ticket = match self.write_standing(key, moves) {
            Ok(ticket) => ticket,
            Err(error) => {
                if let Some(repeat) = self.jobs.repeat_mut(key) {
                    repeat.set_standing(before);
                }
                return Err(error);
            }
        };
        self.jobs.hold(key);
        if moves {
            self.requeue_repeat(engine, key);
        } else {
            self.let_go(engine, key);
        }
        Ok(ticket)
    }

    /// No time is left of a repeat that was paused.
    fn end_paused(&mut self, key: Key, released: &mut Released<P>) -> Result<Ticket, Refused> {
        let sequence = self.jobs.sequence(key);
        let ticket = if self.residency.is_some() {
            self.submit_withdrawn(&[Op::Delete(sequence)], [key])?
        } else {
            AT_ONCE
        };
        if let Some(target) = self.target_of(key) {
            self.tally.note(target, |counts| counts.cancelled += 1);
        }
        self.remove(key, released);
        Ok(ticket)
    }

    fn look_at_repeat<R>(
        &self,
        engine: &Engine<P>,
        key: Key,
        look: impl FnOnce(RepeatView<'_, P>) -> R,
    ) -> Option<R> {
        let execution = self.jobs.execution(key)?;
        let repeat = self.jobs.repeat(key)?;
        let ahead = self.jobs.offsets.measured();
        let edit = repeat.edit();
        let (plan, standing, clock) = repeat.coming();
        Some(look(RepeatView {
            plan,
            standing: on_wall(standing, clock, ahead),
            runs: !self.is_pending(engine, key),
            is_wanted: repeat.is(Flag::Wanted),
            unknown: repeat.unknown().cloned(),
            job: View {
                payload: edit.map_or(execution.payload, |edit| edit.payload),
                ..self.view_of(&execution, repeat.occurrence())
            },
        }))
    }
}
