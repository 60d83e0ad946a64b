//! Cancel and reschedule: in memory, or in the store where only that has the job.

use super::schedule::new_job;
use super::{AT_ONCE, Coming, Pending};
use crate::due::queue::{ClockKind, Key};
use crate::engine::{Engine, Refused, State};
use crate::jobs::record::{Payload, Released};
use crate::jobs::repeat::Flag;
use duewheel_store::{Answer, Kept, Op, Place, Query, Ticket};
use std::sync::{Arc, MutexGuard};

/// What became of a job that was to be cancelled.
#[derive(Debug, Default)]
pub enum Cancelled<P> {
    /// There is no such job, or it has started.
    #[default]
    No,
    /// It was in memory: its payload.
    Here(P),
    /// It was in the store alone.
    Stored,
}

/// What became of a job that was to be moved or made due again.
#[derive(Debug, Default)]
pub enum Moved<P: Payload> {
    /// There is no such job, or it has started.
    #[default]
    No,
    /// It is where it belongs.
    Yes,
    /// It has come near.
    Near(Coming<P>),
}

impl<P: Payload> Engine<P> {
    /// Withdraw a pending job, which will never start.
    ///
    /// # Errors
    ///
    /// [`Refused::Closed`], and those of the store.
    pub fn cancel(
        &self,
        id: &str,
        released: &mut Released<P>,
    ) -> Result<Pending<Cancelled<P>, P>, Refused> {
        let mut state = self.open_to_change()?;
        let Some(key) = state.find_to_change(id) else {
            return self.cancel_stored(state, id, released);
        };
        if !state.withdraw(self, key) {
            return state.end_running(key);
        }
        let kept = state.cancelled(self, key);
        let ticket = state.write_cancel(key, kept.as_deref())?;
        state.note_changed(id);
        if let Some(kept) = kept {
            state.note_kept(self, *kept);
        }
        let payload = state.take(key);
        if let Some(payload) = payload {
            state
                .tally
                .note(payload.target(), |counts| counts.cancelled += 1);
        }
        self.notify(&state);
        if state.has_paged_out() && state.request_page_if_room(self.now()) {
            self.sleeper.wake();
        }
        let cancelled = payload.map_or(Cancelled::No, Cancelled::Here);
        Ok(Pending::Made(cancelled, ticket))
    }

    #[inline(never)] // out of the way of the call in memory
    fn cancel_stored(
        &self,
        state: MutexGuard<'_, State<P>>,
        id: &str,
        released: &mut Released<P>,
    ) -> Result<Pending<Cancelled<P>, P>, Refused> {
        if state.is_asked_about(id) {
            return Ok(Pending::after_others(id, Self::cancel_again));
        }
        if !state.has_paged_out() {
            return Ok(Pending::Made(Cancelled::No, AT_ONCE));
        }
        let cancel = Query::Cancel {
            id: id.to_owned(),
            at: self.clock.wall(),
        };
        let then = |engine: &Engine<P>, state: &mut State<P>, (id, target): (&str, &str)| {
            state
                .tally
                .note_named(target, |counts| counts.cancelled += 1);
            if let Some(residency) = &mut state.residency {
                residency.forget(id);
            }
            state.outcomes.wake(id);
            engine.notify(state);
            Ok(Pending::Made(Cancelled::Stored, AT_ONCE))
        };
        self.ask_to_change(state, (id, cancel), released, then, Self::cancel_again)
    }

    /// The same call once more, later: there nobody waits for the payload.
    fn cancel_again(
        &self,
        id: &str,
        released: &mut Released<P>,
    ) -> Result<Pending<Cancelled<P>, P>, Refused> {
        Ok(match self.cancel(id, released)? {
            Pending::Made(Cancelled::Here(payload), ticket) => {
                released.payloads.push(payload);
                Pending::Made(Cancelled::Stored, ticket)
            }
            pending => pending,
        })
    }

    /// Move a pending job to a new due on the wall clock, at a new place in the order.
    ///
    /// # Errors
    ///
    /// [`Refused::Closed`], and those of the store.
    pub fn reschedule(
        &self,
        id: &str,
        due: i64,
        released: &mut Released<P>,
    ) -> Result<Pending<Moved<P>, P>, Refused> {
        let clock = ClockKind::Wall;
        let mut state = self.open_to_change()?;
        let Some(key) = state.find_to_change(id) else {
            return self.reschedule_stored(state, id, due, released);
        };
        if !state.withdraw(self, key) {
            return Ok(Pending::Made(Moved::No, AT_ONCE));
        }
        let ticket = state.write_change(key, |state, seq| {
            let to = state.next_place(clock, due);
            Op::Move { seq, to, clock }
        })?;
        state.note_changed(id);
        // Its first due follows from the clock that it was scheduled on, which changes now.
        state.jobs.make_detail(key);
        state.jobs.requeue(key, clock, due);
        self.unlock_and_wake(state, clock, due);
        Ok(Pending::Made(Moved::Yes, ticket))
    }

    fn reschedule_stored(
        &self,
        mut state: MutexGuard<'_, State<P>>,
        id: &str,
        due: i64,
        released: &mut Released<P>,
    ) -> Result<Pending<Moved<P>, P>, Refused> {
        let clock = ClockKind::Wall;
        let again = move |engine: &Engine<P>, id: &str, released: &mut _| {
            engine.reschedule(id, due, released)
        };
        if state.is_asked_about(id) {
            return Ok(Pending::after_others(id, again));
        }
        if !state.has_paged_out() {
            return Ok(Pending::Made(Moved::No, AT_ONCE));
        }
        state.check_readable(id)?;
        let to = state.next_place(clock, due);
        state.reserve_seq(to.seq);
        let moves = Query::Move {
            id: id.to_owned(),
            to,
            clock,
        };
        let then = move |engine: &Engine<P>, state: &mut State<P>, (id, _): (&str, &str)| {
            if state.is_shared() {
                let yielded = state.yield_one(id, to.seq);
                return Ok(yielded.map(|_| Pending::Made(Moved::Yes, AT_ONCE))?);
            }
            state.note_changed(id);
            let near = state.admit_to(to);
            if let Some(residency) = &mut state.residency {
                residency.arrivals.forget_expected(id);
                if near {
                    residency.arrivals.expect(id, to.seq);
                    return Ok(engine.ask_for_moved(id, to));
                }
            }
            Ok(Pending::Made(Moved::Yes, AT_ONCE))
        };
        self.ask_to_change(state, (id, moves), released, then, again)
    }

    /// Ask for a job that has come near.
    fn ask_for_moved(&self, id: &str, to: duewheel_store::Place) -> Pending<Moved<P>, P> {
        Pending::ask(Query::Get(id.to_owned()), move |engine, answer, _| {
            let moved = match answer {
                Ok(Answer::Job(Some(job))) => Moved::Near(Coming::new(engine, job)),
                answer => {
                    engine.load_none(to);
                    answer.map(|_| Moved::Yes)?
                }
            };
            Ok(Pending::Made(moved, AT_ONCE))
        })
    }

    /// Ask the store to change a job that is not in memory; `then` follows what it has changed, and `again` is the call
    /// once more, when a node that held the job has been asked for it.
    ///
    /// In a shared store only the store can say whether a job is this node's: it is taken out of memory first,
    /// and yielded again where the store has changed nothing.
    fn ask_to_change<T: Default + Send + 'static>(
        &self,
        mut state: MutexGuard<'_, State<P>>,
        (id, question): (&str, Query),
        released: &mut Released<P>,
        then: impl FnOnce(&Engine<P>, &mut State<P>, (&str, &str)) -> Result<Pending<T, P>, Refused>
        + Send
        + 'static,
        again: impl FnOnce(&Engine<P>, &str, &mut Released<P>) -> Result<Pending<T, P>, Refused>
        + Send
        + 'static,
    ) -> Result<Pending<T, P>, Refused> {
        state.catch_up()?;
        let taken = state.take_out(self, id, released);
        if state.refuses_change(id, &question) {
            return Ok(Pending::Made(T::default(), AT_ONCE));
        }
        let id = state.begin_asking(id);
        // A page that was taken already may have it as it was, and come before the answer.
        state.note_changed(&id);
        let residency = state.residency.as_ref();
        let is_any_left = residency.is_some_and(|residency| !residency.left.is_empty());
        // A cancel is counted of the target. A shared store says it with its answer: one question less over a network.
        let is_counted = matches!(question, Query::Cancel { .. }) && !state.is_shared();
        drop(state);
        let to = match &question {
            Query::Move { to, .. } => Some(to.seq),
            _ => None,
        };
        let (taken, of) = taken.unzip();
        let changes = move |id: Arc<str>, seq: Option<u64>, target: String| {
            Pending::ask(question, move |engine, answer, _| {
                engine.apply_answer(&id, |state| {
                    state.outcomes.stored |= answer == Ok(Answer::Kept);
                    if let Some(target) = changed(&answer, of.as_ref().unwrap_or(&target)) {
                        state.forget_left(seq);
                        return then(engine, state, (&id, target));
                    }
                    // It may still be claimed, and is not in memory.
                    let yielded = taken.map(|seq| state.yield_one(&id, seq));
                    if let (Err(error), Some(_), Some(to)) = (&answer, taken, to) {
                        state.yield_if_in_doubt(error, &id, to);
                    }
                    let answer = answer?;
                    yielded.transpose()?;
                    Ok(match answer {
                        Answer::Held => Pending::recall(&id, again),
                        _ => Pending::Made(T::default(), AT_ONCE),
                    })
                })
            })
        };
        Ok(match is_any_left || is_counted {
            true => Self::ask_target(id, changes),
            false => changes(id, None, String::new()),
        })
    }

    /// Ask for the target and the sequence of a job that is not in memory, and go on with them.
    fn ask_target<T: 'static>(
        id: Arc<str>,
        go_on: impl FnOnce(Arc<str>, Option<u64>, String) -> Pending<T, P> + Send + 'static,
    ) -> Pending<T, P> {
        let target_of = Query::TargetOf(id.as_ref().to_owned());
        Pending::ask(target_of, move |_, answer, _| {
            let found = match answer {
                Ok(Answer::TargetOf(found)) => found,
                _ => None,
            };
            let (target, seq) = found.unzip();
            Ok(go_on(id, seq, target.unwrap_or_default()))
        })
    }
}

/// The target of what the store has changed, if it has; `known`: what is known of it.
fn changed<'a>(answer: &'a Result<Answer, Refused>, known: &'a str) -> Option<&'a str> {
    match answer {
        Ok(Answer::Cancelled(target)) => Some(target),
        Ok(Answer::Changed(true) | Answer::Kept) => Some(known),
        _ => None,
    }
}

impl<P: Payload> State<P> {
    /// Whether a job that was taken out unless it runs does run: it is not changed, but a repeat is cancelled, which ends with
    /// what runs.
    fn refuses_change(&self, id: &str, question: &Query) -> bool {
        let cancels = matches!(question, Query::Cancel { .. });
        let running = self.jobs.find(id);
        running.is_some_and(|key| !(cancels && self.jobs.repeat(key).is_some()))
    }

    /// Take a job that has not started out of memory, if it is there; what the store calls it, and its target.
    pub(super) fn take_out(
        &mut self,
        engine: &Engine<P>,
        id: &str,
        released: &mut Released<P>,
    ) -> Option<(u64, String)> {
        let key = self.jobs.find(id)?;
        let seq = self.store_seq(key, 0);
        let payload = self.jobs.execution(key)?.payload;
        let target = payload.parts(|parts| parts.target.to_owned());
        if !self.withdraw(engine, key) {
            return None;
        }
        self.drop_one(key);
        self.remove(key, released);
        Some((seq, target))
    }

    /// The key of a job in memory, where what is in memory is this node's for certain.
    #[inline]
    fn find_to_change(&self, id: &str) -> Option<Key> {
        self.jobs.find(id).filter(|_| !self.is_shared())
    }

    /// A job that is to be cancelled has started: a repeat ends with the occurrence that runs.
    fn end_running(&mut self, key: Key) -> Result<Pending<Cancelled<P>, P>, Refused> {
        let ends = self.jobs.repeat(key).map(|repeat| repeat.is(Flag::Ends));
        let (Some(false), Some(execution)) = (ends, self.jobs.execution(key)) else {
            return Ok(Pending::Made(Cancelled::No, AT_ONCE));
        };
        let ticket = if self.residency.is_some() {
            let place = Place {
                due: self.jobs.on_wall(execution.clock, execution.due),
                seq: execution.sequence,
            };
            // From now on it is a job that comes once.
            execution.id.with_str(|id| {
                execution.payload.parts(|parts| {
                    let job = new_job(id.into(), parts, place, execution.clock, 0);
                    self.submit(&[Op::Edit(job)])
                })
            })?
        } else {
            AT_ONCE
        };
        if let Some(repeat) = self.jobs.repeat_mut(key) {
            repeat.set(Flag::Ends, true);
        }
        Ok(Pending::Made(Cancelled::Stored, ticket))
    }

    /// Give the store the cancellation of a job that was withdrawn, if there is one, and what is kept of it.
    #[inline]
    fn write_cancel(&mut self, key: Key, kept: Option<&Kept>) -> Result<Ticket, Refused> {
        let Some(kept) = kept.filter(|_| self.residency.is_some()) else {
            return self.write_change(key, |_, seq| Op::Delete(seq));
        };
        let seq = self.jobs.sequence(key);
        let kept = Box::new(kept.clone());
        self.submit_withdrawn(&[Op::Keep { seq, kept }, Op::Delete(seq)], [key])
    }

    /// Give the store the change of a job that was withdrawn, if there is one. Refused, it waits again.
    #[inline]
    fn write_change(
        &mut self,
        key: Key,
        op: impl FnOnce(&Self, u64) -> Op<'static>,
    ) -> Result<Ticket, Refused> {
        if self.residency.is_none() {
            return Ok(AT_ONCE);
        }
        let op = op(self, self.jobs.sequence(key));
        self.submit_withdrawn(&[op], [key])
    }

    /// Give the store changes of jobs that were withdrawn. Refused, they wait again.
    pub(super) fn submit_withdrawn(
        &mut self,
        ops: &[Op<'_>],
        withdrawn: impl IntoIterator<Item = Key>,
    ) -> Result<Ticket, Refused> {
        self.submit(ops).map_err(|error| {
            for key in withdrawn {
                self.jobs.put_back(key);
            }
            error.into()
        })
    }
}
