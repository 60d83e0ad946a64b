//! What a call makes of a job that has its id: nothing, or another one, in its place or after what runs.

use super::on_conflict::{Change, OnConflict};
use super::schedule::{New, new_job};
use super::{AT_ONCE, Pending};
use crate::due::queue::{ClockKind, Key};
use crate::engine::{Engine, Phase, Refused, State};
use crate::handover::lanes::Lane;
use crate::jobs::follow_up::FollowUp;
use crate::jobs::record::{Detail, Execution, Id, Payload, Released};
use crate::residency::Why;
use duewheel_store::{Answer, Job, Op, Place, Progress, Query, StoredOutcome, Ticket};
use std::sync::MutexGuard;

impl<P: Payload> Engine<P> {
    /// Schedule a job under an id that is another's, or may be one's that is in the store alone.
    pub(super) fn insert_over(
        &self,
        mut state: MutexGuard<'_, State<P>>,
        (id, taken, on_conflict): (&str, Option<Key>, OnConflict),
        place: (ClockKind, i64),
        change: Change<P>,
        released: &mut Released<P>,
    ) -> Result<Pending<(), P>, Refused> {
        match (taken, on_conflict) {
            (_, OnConflict::Update | OnConflict::Replace) if state.is_shared() => {
                drop(state);
                self.put_over_nodes(id, place, change, released)
            }
            (_, OnConflict::Error) => Err(Refused::Duplicate),
            (_, OnConflict::Ignore) => {
                released.payloads.push(change.payload);
                Ok(Pending::Made((), AT_ONCE))
            }
            (Some(key), _) => {
                let ticket = state.change(self, key, change, released)?;
                // How it ends may not be kept any more.
                state.outcomes.wake(id);
                self.notify(&state);
                Ok(Pending::Made((), ticket))
            }
            (None, _) if state.outcomes.stored => {
                Ok(self.ask_whether_kept(state, id, place, change))
            }
            (None, _) => Ok(Self::ask_to_change_or_insert(state, id, place, change)),
        }
    }

    /// Ask whether an id is taken by how a job has ended, before the job of the id is asked for, or the new one is taken in.
    fn ask_whether_kept(
        &self,
        mut state: MutexGuard<'_, State<P>>,
        id: &str,
        place: (ClockKind, i64),
        change: Change<P>,
    ) -> Pending<(), P> {
        let id = state.begin_asking(id);
        let now = self.clock.wall();
        drop(state);
        let outcome = Query::Outcome {
            id: id.as_ref().to_owned(),
            now,
        };
        Pending::ask(outcome, move |engine, answer, released| {
            let payload = change.payload;
            let mut change = Some(change);
            let made = engine.apply_answer(&id, |state| match answer? {
                Answer::Outcome(StoredOutcome::Kept(_)) => Err(Refused::Duplicate),
                Answer::Outcome(StoredOutcome::Pending(_)) => Ok(AT_ONCE),
                _ if state.phase == Phase::Closed => Err(Refused::Closed),
                // Nobody else has taken it in meanwhile: whoever would waits for this call.
                _ => match change.take() {
                    Some(change) => {
                        state.change_stored(engine, &id, place, change, (None, released))
                    }
                    None => Err(Refused::Closed), // never: it is there
                },
            });
            Self::made_or_again((made, &id, place), change, payload, released)
        })
    }

    /// A call that was made, or is to be made again where there is still a change: what was found is another by now.
    fn made_or_again(
        (made, id, place): (Result<Ticket, Refused>, &str, (ClockKind, i64)),
        change: Option<Change<P>>,
        payload: P,
        released: &mut Released<P>,
    ) -> Result<Pending<(), P>, Refused> {
        match (made, change) {
            (Ok(_), Some(change)) => Ok(Pending::after_others(id, move |engine, id, released| {
                let made = engine.change_or_insert(id, place, change, released);
                made.inspect_err(|_| released.payloads.push(payload))
            })),
            (Ok(ticket), None) => Ok(Pending::Made((), ticket)),
            (Err(refused), _) => {
                released.payloads.push(payload);
                Err(refused)
            }
        }
    }

    /// Change the job of an id that was there a moment ago.
    fn change_or_insert(
        &self,
        id: &str,
        place: (ClockKind, i64),
        change: Change<P>,
        released: &mut Released<P>,
    ) -> Result<Pending<(), P>, Refused> {
        let mut state = self.open_to_change()?;
        state.catch_up()?;
        if state.is_asked_about(id) {
            let payload = change.payload;
            return Ok(Pending::after_others(id, move |engine, id, released| {
                let made = engine.change_or_insert(id, place, change, released);
                made.inspect_err(|_| released.payloads.push(payload))
            }));
        }
        if let Some(key) = state.jobs.find(id) {
            let ticket = state.change(self, key, change, released)?;
            self.notify(&state);
            return Ok(Pending::Made((), ticket));
        }
        Ok(Self::ask_to_change_or_insert(state, id, place, change))
    }

    /// Ask for the job of an id that may be in the store alone, and change it, or take in the new one.
    fn ask_to_change_or_insert(
        mut state: MutexGuard<'_, State<P>>,
        id: &str,
        (clock, due): (ClockKind, i64),
        change: Change<P>,
    ) -> Pending<(), P> {
        let id = state.begin_asking(id);
        state.note_changed(&id);
        drop(state);
        let get = Query::Get(id.as_ref().to_owned());
        Pending::ask(get, move |engine, answer, released| {
            let payload = change.payload;
            let (mut change, mut is_gone) = (Some(change), false);
            let made = engine.apply_answer(&id, |state| {
                let old = match answer? {
                    Answer::Job(job) => job,
                    _ => None,
                };
                if state.phase == Phase::Closed {
                    return Err(Refused::Closed);
                }
                is_gone = old.is_none() && state.outcomes.stored;
                match change.take_if(|_| !is_gone) {
                    Some(change) => {
                        state.change_stored(engine, &id, (clock, due), change, (old, released))
                    }
                    None => Ok(AT_ONCE),
                }
            });
            Self::made_or_again((made, &id, (clock, due)), change, payload, released)
        })
    }
}

impl<P: Payload> State<P> {
    /// Make a job in memory another one; what it was is released.
    ///
    /// # Errors
    ///
    /// [`Refused::Duplicate`] for a repeat, which is edited by a call of its own; those of the store. The payload stays
    /// the caller's.
    pub(super) fn change(
        &mut self,
        engine: &Engine<P>,
        key: Key,
        change: Change<P>,
        released: &mut Released<P>,
    ) -> Result<Ticket, Refused> {
        if self.jobs.repeat(key).is_some() {
            return Err(Refused::Duplicate);
        }
        if !self.withdraw(engine, key) {
            return self.change_running(key, change, released);
        }
        let Some(execution) = self.jobs.execution(key) else {
            return Err(Refused::Duplicate); // never: it was found
        };
        match change.to {
            None => self.update(engine, &execution, change.payload, released),
            Some(to) => self.replace(engine, &execution, (to, change), released),
        }
    }

    /// Give a withdrawn job another payload, in its place.
    pub(in crate::engine) fn update(
        &mut self,
        engine: &Engine<P>,
        execution: &Execution<P>,
        payload: P,
        released: &mut Released<P>,
    ) -> Result<Ticket, Refused> {
        let key = execution.key;
        let mut ticket = AT_ONCE;
        if self.residency.is_some() {
            let edit = self.edit_of(execution, payload);
            ticket = self.submit_withdrawn(&[Op::Edit(edit)], [key])?;
            execution.id.with_str(|id| self.note_changed(id));
        }
        released
            .payloads
            .extend(self.jobs.swap_payload(key, payload));
        let from = execution.payload.target();
        self.tally.note_moved(from, payload.target());
        let is_out = self.jobs.queue.get(key).is_some_and(|entry| !entry.queued);
        if is_out {
            let controls = &self.targets.controls;
            if controls.priority(from) != controls.priority(payload.target()) {
                for lane in Lane::ALL {
                    self.backlogs[lane].strike(key);
                }
            }
            self.jobs.put_back(key);
        }
        let (clock, due) = (execution.clock, execution.due);
        if self.mark_awake_if_earlier(clock, due) {
            engine.wake_timer();
        }
        Ok(ticket)
    }

    /// What a store is told of a job that has another payload.
    fn edit_of(&self, execution: &Execution<P>, payload: P) -> Job<'static> {
        let place = Place {
            due: self.jobs.on_wall(execution.clock, execution.due),
            seq: self.store_seq(execution.key, execution.sequence),
        };
        execution.id.with_str(|id| {
            payload.parts(|parts| new_job(id.into(), parts, place, execution.clock, 0).into_owned())
        })
    }

    /// Put another job in the place of a withdrawn one, of the same id: attempt 1, of a new age, with the run that comes.
    pub(in crate::engine) fn replace(
        &mut self,
        engine: &Engine<P>,
        execution: &Execution<P>,
        ((clock, due), change): ((ClockKind, i64), Change<P>),
        released: &mut Released<P>,
    ) -> Result<Ticket, Refused> {
        let progress = Progress {
            run: execution.progress.run,
            ..Progress::NEW
        };
        let stays = self.admit_new(clock, due);
        let place = self.next_place(clock, due);
        let new = New {
            clock,
            due,
            place,
            created: change.boot.saturating_add(self.jobs.offsets.measured()),
            detail: Detail::new(execution.id.clone(), place.due, progress),
            payload: change.payload,
            repeat: None,
        };
        let mut ticket = AT_ONCE;
        if self.residency.is_some() {
            let seq = self.store_seq(execution.key, execution.sequence);
            self.reserve_seq(place.seq);
            let ops = self.exchange(seq, &new, stays);
            let given = self.submit_withdrawn(&ops, [execution.key]);
            ticket = given.inspect_err(|_| self.not_paged_out(stays))?;
            execution.id.with_str(|id| self.note_changed(id));
        }
        let (from, to) = (execution.payload.target(), new.payload.target());
        self.remove(execution.key, released);
        let wake = self.insert_new(new, stays, released);
        // It is the same job.
        self.tally.note(to, |counts| counts.scheduled -= 1);
        self.tally.note_moved(from, to);
        if wake {
            engine.sleeper.wake();
        }
        Ok(ticket)
    }

    /// What a store is told where a job takes the place of another of its id.
    fn exchange(&self, seq: u64, new: &New<P>, stays: bool) -> Vec<Op<'static>> {
        let insert = new.with_job(|job| {
            let progress = job.progress.on_wall(self.jobs.offsets.measured());
            Op::Insert(Job { progress, ..job }.into_owned())
        });
        let mut ops = vec![Op::Delete(seq), insert];
        if !stays {
            ops.push(Op::Yield(new.place.seq));
        }
        ops
    }

    /// Have what runs be followed by another job of its id: the last that is said.
    fn change_running(
        &mut self,
        key: Key,
        change: Change<P>,
        released: &mut Released<P>,
    ) -> Result<Ticket, Refused> {
        let Some(execution) = self.jobs.execution(key) else {
            return Err(Refused::Duplicate); // never: it was found
        };
        // An update keeps the due of the follow-up that there is.
        let before = self.follow_ups.get(&key).and_then(|before| before.to);
        let to = change.to.or(before);
        let mut ticket = AT_ONCE;
        if self.residency.is_some() {
            let mut edit = self.edit_of(&execution, change.payload);
            let (clock, due) = to.unwrap_or((execution.clock, execution.due));
            let follow = self.jobs.on_wall(clock, due);
            edit.job_due = if to.is_some() {
                follow
            } else {
                execution.job_due
            };
            edit.follow = Some(follow);
            ticket = self.submit(&[Op::Edit(edit)])?;
        }
        let payload = change.payload;
        let before = self.follow_ups.insert(key, FollowUp { to, payload });
        released
            .payloads
            .extend(before.map(|before| before.payload));
        Ok(ticket)
    }

    /// Whether a job that is left on disk is listed there as what it is no longer with another payload.
    fn is_left_as_other(&self, job: &Job<'_>, payload: P) -> bool {
        let residency = self.residency.as_ref();
        let why = residency.and_then(|residency| residency.left.why(&job.target, job.place.seq));
        let stays = why == Some(Why::Held) && payload.parts(|parts| parts.target == job.target);
        why.is_some() && !stays
    }

    /// Give a job that is in the store alone another payload, in its place. One that is parked comes into memory: its new
    /// target may have a handler.
    fn update_stored(
        &mut self,
        engine: &Engine<P>,
        old: &Job<'static>,
        payload: P,
        released: &mut Released<P>,
    ) -> Result<Ticket, Refused> {
        let (id, place) = (old.id.as_ref(), old.place);
        let edit =
            payload.parts(|parts| new_job(id.into(), parts, place, old.clock, 0).into_owned());
        let ticket = self.submit(&[Op::Edit(edit)])?;
        self.tally
            .note(payload.target(), |counts| counts.moved += 1);
        self.tally
            .note_named(&old.target, |counts| counts.moved -= 1);
        if self.is_left_as_other(old, payload) {
            self.forget_left(Some(place.seq));
            self.load(engine, old, (payload, None, true), released);
            if self.asleep.take().is_some() {
                engine.wake_timer();
            }
        } else {
            released.payloads.push(payload);
        }
        Ok(ticket)
    }

    /// What takes the place of a job that was in the store alone, or is new; whether it comes into memory.
    fn new_of_stored(
        &mut self,
        id: &str,
        (clock, due): (ClockKind, i64),
        change: &Change<P>,
        old: Option<&Job<'static>>,
    ) -> (New<P>, bool) {
        let stays = self.admit_new(clock, due);
        let place = self.next_place(clock, due);
        let progress = Progress {
            run: old.map_or(Progress::NEW.run, |old| old.progress.run),
            ..Progress::NEW
        };
        let new = New {
            clock,
            due,
            place,
            created: change.boot.saturating_add(self.jobs.offsets.measured()),
            detail: Detail::new(Id::Given(id.into()), place.due, progress),
            payload: change.payload,
            repeat: None,
        };
        (new, stays)
    }

    /// Change a job that was in the store alone, or take in the new one.
    fn change_stored(
        &mut self,
        engine: &Engine<P>,
        id: &str,
        (clock, due): (ClockKind, i64),
        change: Change<P>,
        (old, released): (Option<Job<'static>>, &mut Released<P>),
    ) -> Result<Ticket, Refused> {
        if old.as_ref().is_some_and(|old| old.repeat.is_some()) {
            return Err(Refused::Duplicate);
        }
        if let (Some(old), None) = (&old, change.to) {
            return self.update_stored(engine, old, change.payload, released);
        }
        let (new, stays) = self.new_of_stored(id, (clock, due), &change, old.as_ref());
        let place = new.place;
        self.reserve_seq(place.seq);
        let seq = old.as_ref().map(|old| old.place.seq);
        let ops = self.exchange(seq.unwrap_or(0), &new, stays);
        let ops = if old.is_some() { &ops[..] } else { &ops[1..] };
        let ticket = self.submit(ops);
        let ticket = ticket.inspect_err(|_| self.not_paged_out(stays))?;
        if old.is_some() {
            self.forget_left(seq);
            if let Some(residency) = &mut self.residency {
                residency.forget(id);
            }
        }
        let to = new.payload.target();
        let wake = self.insert_new(new, stays, released);
        if let Some(old) = old {
            self.tally.note(to, |counts| counts.scheduled -= 1);
            self.tally.note(to, |counts| counts.moved += 1);
            self.tally
                .note_named(&old.target, |counts| counts.moved -= 1);
        }
        if wake {
            engine.sleeper.wake();
        }
        Ok(ticket)
    }
}
