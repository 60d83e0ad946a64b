//! `repeat`: a job that comes again, or an edit of one that is there.

use super::schedule::{New, new_job};
use super::{AT_ONCE, Pending};
use crate::due::queue::{ClockKind, Key};
use crate::engine::{Engine, Refused, State};
use crate::jobs::ids::Halves;
use crate::jobs::record::{Detail, Id, Payload, Released};
use crate::jobs::repeat::{Flag, Repeat};
use crate::jobs::repeats::{Edit, Plan, carried, on_wall};
use duewheel_model::job::Recurring;
use duewheel_model::repeat::{Standing, Times};
use duewheel_model::retry::{Jitter, up_to};
use duewheel_store::{Job, Op, Place, Progress, Ticket};
use std::sync::Arc;

/// A repeat that is to be scheduled.
#[derive(Debug)]
pub struct NewRepeat<P> {
    /// Its id; `None`: one is made.
    pub id: Option<Arc<str>>,
    /// When it comes.
    pub plan: Arc<Plan>,
    /// Whether it starts only in a life of the program that declares it.
    pub declared: bool,
    /// Its payload.
    pub payload: P,
    /// The seed of the random number that its offset is drawn by, with its id.
    pub seed: u64,
}

impl<P> NewRepeat<P> {
    /// How far it has come when it is new now.
    pub(super) fn standing(
        &self,
        clock: ClockKind,
        wall: i64,
        boot: i64,
    ) -> Result<Standing, Refused> {
        let refused = |error: duewheel_schedule::Error| Refused::Schedule(error.to_string());
        let now = match clock {
            ClockKind::Wall => wall,
            ClockKind::Boot => boot,
        };
        let fingerprint = self.plan.schedule().fingerprint().map_err(refused)?;
        let times = self.plan.times_on(clock, now, wall.saturating_sub(boot));
        let first = times.try_next(now).map_err(refused)?;
        Ok(Standing {
            time: first.ok_or(Refused::Never)?,
            fingerprint,
            declared: self.declared,
            ..Standing::new(now)
        })
    }

    pub(super) fn offset(&self, id: &str) -> i64 {
        let spread = self.plan.terms().spread;
        if spread == 0 {
            return 0;
        }
        up_to(spread, Jitter::new(self.seed).draw(id.as_bytes(), 0))
    }
}

impl<P: Payload> Engine<P> {
    /// Schedule a repeat, or edit the one of this id; its id, where one was made.
    ///
    /// # Errors
    ///
    /// [`Refused::Closed`], [`Refused::Duplicate`] when the id is that of another job, [`Refused::Never`] when it has no
    /// time, [`Refused::Schedule`], and those of the store; the payload stays the caller's.
    pub fn repeat(
        &self,
        new: NewRepeat<P>,
        released: &mut Released<P>,
    ) -> Result<Pending<Option<Halves>, P>, Refused> {
        let boot = self.clock.boot();
        let is_shared = self.is_shared();
        if let (true, Some(id)) = (is_shared, new.id.clone()) {
            drop(self.open_to_change()?);
            return Ok(self.repeat_shared(id, new).map(|()| None));
        }
        // What nodes share is due by the one clock that they have in common.
        let clock = if is_shared {
            ClockKind::Wall
        } else {
            new.plan.clock()
        };
        // Found before the lock is taken: a schedule may be slow.
        let standing = new.standing(clock, self.clock.wall(), boot);
        let mut state = self.open_to_change()?;
        state.settle(self, released);
        state.refresh(self, boot);
        state.catch_up()?;
        if let Some(id) = new.id.clone() {
            if state.is_asked_about(&id) {
                let payload = new.payload;
                return Ok(Pending::after_others(&id, move |engine, _, released| {
                    let made = engine.repeat(new, released);
                    made.inspect_err(|_| released.payloads.push(payload))
                }));
            }
            if let Some(key) = state.jobs.find(&id) {
                return state.edit(self, key, new, standing, clock, released);
            }
        }
        if let Some(id) = &new.id
            && state.outcomes.has(id, boot)
        {
            return Err(Refused::Duplicate);
        }
        let (taken, halves) = state.new_repeat(&new, standing?, clock, boot);
        if halves.is_none() && (state.has_paged_out() || state.outcomes.stored) {
            // Only the store knows whether a job that is not in memory, or how one has ended, has this id.
            return Ok(state.ask_to_insert(taken, true, false).map(|()| None));
        }
        let ticket = state.write_detail(&taken, !is_shared)?;
        if is_shared && let Some(residency) = &mut state.residency {
            // It comes with a page, if this node gets it.
            residency.frontier.paged_out += 1;
            state.request_page_if_near(taken.place, self.clock.wall());
        }
        let wake = state.insert_new(taken, !is_shared, released);
        drop(state);
        if wake {
            self.sleeper.wake();
        }
        Ok(Pending::Made(halves, ticket))
    }
}

impl<P: Payload> State<P> {
    /// What is taken in of a new repeat, and its id, where that is made.
    pub(super) fn new_repeat(
        &mut self,
        new: &NewRepeat<P>,
        standing: Standing,
        clock: ClockKind,
        boot: i64,
    ) -> (New<P>, Option<Halves>) {
        let (id, halves) = match &new.id {
            Some(id) => (Id::Given(id.clone()), None),
            None => {
                let halves = self.jobs.new_id(boot, !self.is_shared());
                (Id::Generated(halves), Some(halves))
            }
        };
        let offset = id.with_str(|id| new.offset(id));
        let repeat = Repeat::new(new.plan.clone(), Standing { offset, ..standing }, clock);
        let due = repeat.standing().due();
        let ahead = self.jobs.offsets.measured();
        let detail = Detail::new(id, repeat.on_wall(ahead).time, Progress::NEW);
        let taken = New {
            clock,
            due,
            place: self.next_place(clock, due),
            created: boot.saturating_add(ahead),
            detail,
            payload: new.payload,
            repeat: Some(Box::new(repeat)),
        };
        (taken, halves)
    }

    /// Replace what a repeat is by what it is to be: at once, or when the occurrence that runs has ended.
    fn edit(
        &mut self,
        engine: &Engine<P>,
        key: Key,
        new: NewRepeat<P>,
        fresh: Result<Standing, Refused>,
        clock: ClockKind,
        released: &mut Released<P>,
    ) -> Result<Pending<Option<Halves>, P>, Refused> {
        let payload = new.payload;
        let old_payload = self.jobs.queue.get(key).map(|entry| entry.value.payload);
        let (Some(repeat), Some(old_payload)) = (self.jobs.repeat(key), old_payload) else {
            return Err(Refused::Duplicate);
        };
        if repeat.is(Flag::Ends) {
            return Err(Refused::Duplicate);
        }
        let edit = repeat.edit();
        let (plan, declared, was) = match edit {
            Some(edit) => (&edit.plan, edit.standing.declared, edit.payload),
            None => (&repeat.plan, repeat.is(Flag::Declared), old_payload),
        };
        let is_same = plan.is_as(&new.plan) && declared == new.declared && is_equal(was, payload);
        if is_same {
            released.payloads.push(payload);
            return self
                .declare(engine, key)
                .map(|ticket| Pending::Made(None, ticket));
        }
        let (standing, clock, is_anew) = self.edited(key, &new, fresh, clock)?;
        let then = is_anew.then(|| new.plan.then(standing.time));
        let edit = Edit {
            plan: self.jobs.shared(new.plan.found_by(standing.fingerprint)),
            payload,
            standing,
            clock,
            then,
        };
        let ticket = self.make_edit(engine, key, edit, released)?;
        Ok(Pending::Made(None, ticket))
    }

    /// Make an edit: at once of what is pending, and of what runs when that has ended. A retry keeps its place.
    fn make_edit(
        &mut self,
        engine: &Engine<P>,
        key: Key,
        mut edit: Edit<P>,
        released: &mut Released<P>,
    ) -> Result<Ticket, Refused> {
        let is_retry = self.has_first_start(key);
        let is_pending = self.withdraw(engine, key);
        let moves = is_pending && !is_retry;
        let ahead = self.jobs.offsets.measured();
        if !moves && edit.then.is_some() {
            // The occurrence that has started comes again as it is.
            edit.count_from(edit.standing.last, edit.standing.time);
        }
        let mut stored = edit.standing;
        if !is_pending
            && stored.triggered.is_none()
            && let Some(repeat) = self.jobs.repeat(key)
        {
            // Whoever finds it in the store finds what runs: in a crash that may not have been noted as started.
            stored.time = carried(repeat.standing(), repeat.clock(), edit.clock, ahead).time;
        }
        let ticket = self.write_edit(key, &edit, stored, (is_pending, moves))?;
        if !is_pending {
            // What the edit has found comes when this one has ended.
            if let Some(repeat) = self.jobs.repeat_mut(key) {
                repeat.set(Flag::Wanted, true);
                let before = repeat.replace_edit(Some(Box::new(edit)));
                released.payloads.extend(before.map(|edit| edit.payload));
            }
            return Ok(ticket);
        }
        let from = self.target_of(key);
        self.apply_edit(key, edit, released);
        if let (Some(from), Some(to)) = (from, self.target_of(key)) {
            self.tally.note_moved(from, to);
        }
        if moves {
            self.requeue_repeat(engine, key);
        } else {
            self.jobs.put_back(key);
            engine.sleeper.wake();
        }
        Ok(ticket)
    }

    /// A repeat that is there already is declared in this life.
    fn declare(&mut self, engine: &Engine<P>, key: Key) -> Result<Ticket, Refused> {
        let is_news = match self.jobs.repeat_mut(key) {
            Some(repeat) => !repeat.set(Flag::Wanted, true),
            None => false,
        };
        if is_news {
            self.let_go(engine, key);
        }
        // What the call finds has been written before.
        Ok(if self.residency.is_some() {
            self.submit(&[])?
        } else {
            AT_ONCE
        })
    }

    /// How far a repeat has come with another plan, on which clock, and whether that counts from now.
    fn edited(
        &self,
        key: Key,
        new: &NewRepeat<P>,
        fresh: Result<Standing, Refused>,
        clock: ClockKind,
    ) -> Result<(Standing, ClockKind, bool), Refused> {
        let (Some(repeat), Some(execution)) = (self.jobs.repeat(key), self.jobs.execution(key))
        else {
            return Err(Refused::Lost);
        };
        let (old, terms) = (repeat.standing(), new.plan.terms());
        let offset = if repeat.plan.terms().spread == terms.spread {
            old.offset
        } else {
            execution.id.with_str(|id| new.offset(id))
        };
        let ahead = self.jobs.offsets.measured();
        let kept = Standing {
            offset,
            declared: new.declared,
            ..old
        };
        if terms.count.is_some_and(|count| old.occurrence > count) {
            return Err(Refused::Never);
        }
        let is_same = repeat.plan.schedule() == new.plan.schedule();
        let time = on_wall(old, repeat.clock(), ahead).time;
        if is_same && terms.admit(time) {
            return Ok((kept, repeat.clock(), false));
        }
        let fresh = fresh?;
        let moved = Standing {
            fingerprint: fresh.fingerprint,
            anchor: fresh.anchor,
            time: fresh.time,
            last: fresh.last,
            ..kept
        };
        if clock == ClockKind::Wall {
            return Ok((moved, clock, true));
        }
        // The grid of an interval goes on from its last time, which may be of a later due that was moved.
        let last = on_wall(old, repeat.clock(), ahead)
            .last
            .saturating_sub(ahead);
        let last = new.plan.at_or_before(fresh.last, last);
        let times = new.plan.times(last, ahead);
        let time = times.next(fresh.last).ok_or(Refused::Never)?;
        let standing = Standing {
            anchor: last,
            time,
            ..moved
        };
        Ok((standing, clock, true))
    }

    /// Give the store an edit. Refused, a repeat that was withdrawn waits again.
    fn write_edit(
        &mut self,
        key: Key,
        edit: &Edit<P>,
        standing: Standing,
        (is_pending, moves): (bool, bool),
    ) -> Result<Ticket, Refused> {
        if self.residency.is_none() {
            return Ok(AT_ONCE);
        }
        let (Some(execution), Some(repeat)) = (self.jobs.execution(key), self.jobs.repeat(key))
        else {
            return Ok(AT_ONCE);
        };
        let ahead = self.jobs.offsets.measured();
        let triggered = repeat.standing().triggered;
        let standing = on_wall(standing, edit.clock, ahead);
        let due = triggered.unwrap_or_else(|| standing.due());
        let to = self.next_place(ClockKind::Wall, due);
        let seq = self.store_seq(key, execution.sequence);
        let place = Place {
            due: self.jobs.on_wall(execution.clock, execution.due),
            seq,
        };
        let clock = match triggered {
            Some(_) => ClockKind::Wall,
            None => edit.clock,
        };
        let recurring = Recurring {
            definition: edit.plan.definition(),
            standing,
        };
        let submitted = execution.id.with_str(|id| {
            edit.payload.parts(|parts| {
                let job = Job {
                    repeat: Some(Box::new(recurring)),
                    ..new_job(id.into(), parts, place, edit.clock, 0)
                };
                let job_due = triggered.unwrap_or(standing.time);
                let standing = Box::new(standing);
                let mut ops = vec![Op::Edit(job)];
                if moves {
                    ops.push(Op::Stand {
                        seq,
                        job_due,
                        standing,
                    });
                    ops.push(Op::Move { seq, to, clock });
                }
                self.submit_withdrawn(&ops, is_pending.then_some(key))
            })
        });
        execution.id.with_str(|id| self.note_changed(id));
        submitted
    }

    /// Make a repeat what it is to be.
    pub(in crate::engine) fn apply_edit(
        &mut self,
        key: Key,
        edit: Edit<P>,
        released: &mut Released<P>,
    ) {
        released
            .payloads
            .extend(self.jobs.swap_payload(key, edit.payload));
        if let Some(repeat) = self.jobs.repeat_mut(key) {
            if repeat.plan.schedule() != edit.plan.schedule() {
                // It was evaluated when it was given.
                repeat.set_unknown(None);
            }
            repeat.plan = edit.plan;
            repeat.set_clock(edit.clock);
            repeat.set(Flag::Wanted, true);
            repeat.set_standing(edit.standing);
        }
        self.jobs.hold(key);
    }
}

/// Whether two payloads are for one target, with the same data and options, and carry the same.
fn is_equal<P: Payload>(one: P, other: P) -> bool {
    one.parts(|one| {
        other.parts(|other| {
            (one.target, one.data) == (other.target, other.data)
                && (&one.options, one.carried) == (&other.options, other.carried)
        })
    })
}
