//! The dead: look at them, make one due again, forget them.

use super::{AT_ONCE, Coming, Moved, Pending};
use crate::due::queue::ClockKind;
use crate::engine::{Engine, Refused, State};
use crate::jobs::record::{Dead, Detail, Id, Parts, Payload, Released};
use duewheel_store::{Answer, DeadPage, Query, WhichDead};
use std::collections::HashSet;
use std::sync::MutexGuard;

impl<P: Payload> Engine<P> {
    /// Look at the dead in memory, newest first; those of a store are answered, at most `limit` that have a lower number
    /// than `before`.
    ///
    /// # Errors
    ///
    /// [`Refused::Closed`], and those of the store.
    pub fn dead(
        &self,
        which: &WhichDead,
        (before, limit): (Option<u64>, usize),
        released: &mut Released<P>,
        look: impl FnMut(&Dead<P>),
    ) -> Result<Pending<DeadPage, P>, Refused> {
        let mut state = self.open()?;
        state.settle(self, released);
        if state.residency.is_none() {
            let is_wanted = |dead: &&Dead<P>| {
                let wanted = |parts: Parts<'_>| which.has(parts.target, dead.died);
                which.has_id(|id| dead.id.with_str(|dead| dead == id)) && dead.payload.parts(wanted)
            };
            let wanted = state.dead.iter().rev().filter(is_wanted);
            wanted.take(limit).for_each(look);
            return Ok(Pending::Made(DeadPage::default(), AT_ONCE));
        }
        if before.is_none() {
            state.trim_dead(self.clock.wall());
        }
        drop(state);
        Ok(self
            .query(Query::Dead {
                which: which.clone(),
                before,
                limit,
            })?
            .map(|answer| match answer {
                Answer::Dead(page) => page,
                _ => DeadPage::default(),
            }))
    }

    /// Make the newest dead job of this id due now, from attempt 1.
    ///
    /// # Errors
    ///
    /// [`Refused::Closed`], [`Refused::Duplicate`] when the id is taken, and those of the store.
    pub fn revive(
        &self,
        id: &str,
        released: &mut Released<P>,
    ) -> Result<Pending<Moved<P>, P>, Refused> {
        let boot = self.clock.boot();
        let mut state = self.open_to_change()?;
        state.settle(self, released);
        state.refresh(self, boot);
        if state.residency.is_some() {
            return self.revive_stored(state, id, boot);
        }
        let same = |dead: &Dead<P>| dead.id.with_str(|dead| dead == id);
        let Some(at) = state.dead.iter().rposition(same) else {
            return Ok(Pending::Made(Moved::No, AT_ONCE));
        };
        if state.jobs.find(id).is_some() || !state.outcomes.let_go_of_death(id, boot) {
            return Err(Refused::Duplicate);
        }
        let Some(dead) = state.dead.remove(at) else {
            return Ok(Pending::Made(Moved::No, AT_ONCE));
        };
        // Its old id may point at another index now: it goes through the index of ids.
        let id = Id::Given(id.into());
        let detail = Detail::new(id, dead.job_due, dead.progress.revived());
        let seq = state.jobs.queue.next_sequence();
        state.put_detail(ClockKind::Boot, boot, seq, detail, dead.payload);
        released.failures.push(dead.failure);
        let target = dead.payload.target();
        state.tally.note(target, |counts| counts.revived += 1);
        self.unlock_and_wake(state, ClockKind::Boot, boot);
        Ok(Pending::Made(Moved::Yes, AT_ONCE))
    }

    fn revive_stored(
        &self,
        mut state: MutexGuard<'_, State<P>>,
        id: &str,
        boot: i64,
    ) -> Result<Pending<Moved<P>, P>, Refused> {
        state.catch_up()?;
        if state.is_asked_about(id) {
            return Ok(Pending::after_others(id, Engine::revive));
        }
        let clock = ClockKind::Boot;
        let to = state.next_place(clock, boot);
        state.reserve_seq(to.seq);
        let id = state.begin_asking(id);
        drop(state);
        let question = Query::Revive {
            id: id.as_ref().to_owned(),
            to,
            clock,
        };
        Ok(Pending::ask(question, move |engine, answer, _| {
            let moved = engine.apply_answer(&id, |state| match answer {
                Ok(Answer::Job(Some(job))) => {
                    let target = &job.target;
                    state.tally.note_named(target, |counts| counts.revived += 1);
                    if let Some(residency) = &mut state.residency {
                        residency.frontier.paged_out += 1;
                        residency.arrivals.expect(&id, job.place.seq);
                    }
                    Ok(Moved::Near(Coming::new(engine, job)))
                }
                answer => {
                    if let Err(error) = &answer {
                        state.yield_if_in_doubt(error, &id, to.seq);
                    }
                    answer.map(|_| Moved::No)
                }
            })?;
            Ok(Pending::Made(moved, AT_ONCE))
        }))
    }

    /// Forget the dead, or those that died before a time of the wall clock, or of these ids; how many.
    ///
    /// # Errors
    ///
    /// [`Refused::Closed`], and those of the store.
    pub fn purge(
        &self,
        before: Option<i64>,
        ids: Option<Vec<String>>,
        released: &mut Released<P>,
    ) -> Result<Pending<usize, P>, Refused> {
        let mut state = self.open()?;
        state.settle(self, released);
        if state.residency.is_none() {
            let purged = state.forget_dead(before, ids, released);
            return Ok(Pending::Made(purged, AT_ONCE));
        }
        drop(state);
        Ok(self
            .query(Query::Purge { before, ids })?
            .map(|answer| match answer {
                Answer::Count(count) => count as usize,
                _ => 0,
            }))
    }
}

impl<P: Payload> State<P> {
    fn forget_dead(
        &mut self,
        before: Option<i64>,
        ids: Option<Vec<String>>,
        released: &mut Released<P>,
    ) -> usize {
        let ids = ids.map(HashSet::<String>::from_iter);
        let is_named = |id: &str| ids.as_ref().is_none_or(|ids| ids.contains(id));
        let all = std::mem::take(&mut self.dead);
        let count = all.len();
        for dead in all {
            let is_in_time = before.is_none_or(|before| dead.died < before);
            if is_in_time && dead.id.with_str(is_named) {
                released.payloads.push(dead.payload);
                released.failures.push(dead.failure);
            } else {
                self.dead.push_back(dead);
            }
        }
        count - self.dead.len()
    }
}
