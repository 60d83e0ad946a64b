//! Schedule: one job, one under a given id, one as it stands.

use super::on_conflict::{Change, OnConflict};
use super::{AT_ONCE, Pending};
use crate::due::queue::ClockKind;
use crate::engine::{Due, Engine, PAGED_OUT_AT_ONCE, Phase, Refused, State};
use crate::jobs::ids::Halves;
use crate::jobs::record::{Detail, Id, Parts, Payload, Released};
use crate::jobs::repeat::Repeat;
use duewheel_store::{Answer, Error, Job, Op, Place, Progress, Query, Recurring, Ticket};
use std::borrow::Cow;
use std::sync::MutexGuard;

impl<P: Payload> Engine<P> {
    /// Schedule one job under a generated id.
    ///
    /// # Errors
    ///
    /// [`Refused::Closed`], [`Refused::Overflow`], and those of the store; the payload stays the caller's.
    #[inline]
    pub fn schedule(
        &self,
        due: Due,
        payload: P,
        released: &mut Released<P>,
    ) -> Result<(Halves, Ticket), Refused> {
        let boot = self.clock.boot();
        let mut state = self.open_to_change()?;
        state.refresh(self, boot);
        let at = state.resolve(due, boot)?;
        if state.residency.is_some() {
            return self.schedule_stored(state, at, boot, payload, released);
        }
        let id = state.jobs.new_id(boot, true);
        state
            .tally
            .note(payload.target(), |counts| counts.scheduled += 1);
        state.jobs.insert(id, at.0, at.1, payload);
        self.unlock_and_wake(state, at.0, at.1);
        Ok((id, AT_ONCE))
    }

    #[inline(never)] // out of the way of a job in memory
    fn schedule_stored(
        &self,
        mut state: MutexGuard<'_, State<P>>,
        (clock, due): (ClockKind, i64),
        boot: i64,
        payload: P,
        released: &mut Released<P>,
    ) -> Result<(Halves, Ticket), Refused> {
        state.page_out(PAGED_OUT_AT_ONCE, released);
        let stays = state.admit_new(clock, due);
        let id = state.jobs.new_id(boot, stays);
        let ticket = state.write_stored(id, (clock, due), boot, payload, stays)?;
        state
            .tally
            .note(payload.target(), |counts| counts.scheduled += 1);
        if stays {
            state.jobs.insert(id, clock, due, payload);
            self.unlock_and_wake(state, clock, due);
        } else {
            released.payloads.push(payload);
        }
        Ok((id, ticket))
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
    ) -> Result<Pending<(), P>, Refused> {
        self.schedule_over(id, due, OnConflict::Error, payload, released)
    }

    /// Schedule one job under a given id, which may be that of a job: what becomes of that one then.
    ///
    /// # Errors
    ///
    /// As [`schedule_as`](Self::schedule_as); [`Refused::Duplicate`] for what is updated or replaced is that of a repeat.
    pub fn schedule_over(
        &self,
        id: &str,
        due: Due,
        on_conflict: OnConflict,
        payload: P,
        released: &mut Released<P>,
    ) -> Result<Pending<(), P>, Refused> {
        self.insert_as(id, due, (None, on_conflict), payload, released)
    }

    /// Take in a pending execution as it stands: its first due, and how far it has come.
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
    ) -> Result<Pending<(), P>, Refused> {
        let past = (Some((job_due, progress)), OnConflict::Error);
        self.insert_as(id, Due::At(due), past, payload, released)
    }

    fn insert_as(
        &self,
        id: &str,
        due: Due,
        (past, on_conflict): (Option<(i64, Progress)>, OnConflict),
        payload: P,
        released: &mut Released<P>,
    ) -> Result<Pending<(), P>, Refused> {
        let boot = self.clock.boot();
        let mut state = self.open_to_change()?;
        state.settle(self, released);
        state.refresh(self, boot);
        let (clock, at) = state.resolve(due, boot)?;
        state.catch_up()?;
        if state.is_asked_about(id) {
            return Ok(Pending::after_others(id, move |engine, id, released| {
                let made = engine.insert_as(id, due, (past, on_conflict), payload, released);
                made.inspect_err(|_| released.payloads.push(payload))
            }));
        }
        if state.outcomes.has(id, boot) {
            return refused_by_kept(on_conflict, payload, released);
        }
        let taken = state.jobs.find(id);
        if taken.is_some() || (on_conflict.changes() && state.has_paged_out()) {
            let change = Change::of(on_conflict, (clock, at), boot, payload);
            let found = (id, taken, on_conflict);
            return self.insert_over(state, found, (clock, at), change, released);
        }
        let stays = state.admit_new(clock, at);
        let place = state.next_place(clock, at);
        let (job_due, progress) = past.unwrap_or((place.due, Progress::NEW));
        let detail = Detail::new(Id::Given(id.into()), job_due, progress);
        let created = boot.saturating_add(state.jobs.offsets.measured());
        let new = New {
            clock,
            due: at,
            place,
            created,
            detail,
            payload,
            repeat: None,
        };
        if state.has_paged_out() || state.outcomes.stored {
            let ignores = on_conflict == OnConflict::Ignore;
            return Ok(state.ask_to_insert(new, stays, ignores));
        }
        let ticket = state.write_detail(&new, stays);
        let ticket = ticket.inspect_err(|_| state.not_paged_out(stays))?;
        let wake = state.insert_new(new, stays, released);
        drop(state);
        if wake {
            self.sleeper.wake();
        }
        Ok(Pending::Made((), ticket))
    }
}

/// An id is taken by how a job has ended: nothing is done, where that is asked for.
#[cold]
fn refused_by_kept<P: Payload>(
    on_conflict: OnConflict,
    payload: P,
    released: &mut Released<P>,
) -> Result<Pending<(), P>, Refused> {
    if on_conflict != OnConflict::Ignore {
        return Err(Refused::Duplicate);
    }
    released.payloads.push(payload);
    Ok(Pending::Made((), AT_ONCE))
}

/// A job under a given id that is to be taken in.
pub(super) struct New<P: Payload> {
    pub(super) clock: ClockKind,
    pub(super) due: i64,
    pub(super) place: Place,
    pub(super) created: i64,
    pub(super) detail: Detail,
    pub(super) payload: P,
    /// What makes it come again, if anything does.
    pub(super) repeat: Option<Box<Repeat<P>>>,
}

impl<P: Payload> New<P> {
    pub(super) fn with_job<R>(&self, look: impl FnOnce(Job<'_>) -> R) -> R {
        let detail = &self.detail;
        detail.id.with_str(|id| {
            self.payload.parts(|parts| {
                look(Job {
                    repeat: self.recurring(),
                    job_due: detail.job_due,
                    progress: detail.progress(),
                    ..new_job(id.into(), parts, self.place, self.clock, self.created)
                })
            })
        })
    }
}

impl<P: Payload> New<P> {
    fn recurring(&self) -> Option<Box<Recurring>> {
        let repeat = self.repeat.as_deref()?;
        // A time on the boot clock is as far from its due as on the wall clock.
        let ahead = self.place.due.saturating_sub(self.due);
        Some(Box::new(Recurring {
            definition: repeat.plan.definition(),
            standing: repeat.on_wall(ahead),
        }))
    }
}

pub(in crate::engine) fn new_job<'a>(
    id: Cow<'a, str>,
    parts: Parts<'a>,
    place: Place,
    clock: ClockKind,
    created: i64,
) -> Job<'a> {
    Job {
        id,
        target: Cow::Borrowed(parts.target),
        data: Cow::Borrowed(parts.data),
        place,
        clock,
        job_due: place.due,
        created,
        progress: Progress::NEW,
        interruptions: 0,
        options: parts.options,
        repeat: None,
        carried: parts.carried.cloned(),
        follow: None,
    }
}

impl<P: Payload> State<P> {
    /// Give the store a new job with a generated id.
    fn write_stored(
        &mut self,
        id: Halves,
        (clock, due): (ClockKind, i64),
        boot: i64,
        payload: P,
        stays: bool,
    ) -> Result<Ticket, Refused> {
        let place = self.next_place(clock, due);
        let created = boot.saturating_add(self.jobs.offsets.measured());
        let submitted = Id::Generated(id).with_str(|id| {
            payload.parts(|parts| {
                self.submit_new(new_job(id.into(), parts, place, clock, created), stays)
            })
        });
        let ticket = submitted.inspect_err(|_| self.not_paged_out(stays))?;
        if !stays {
            self.reserve_seq(place.seq);
        }
        Ok(ticket)
    }

    fn submit_new(&mut self, job: Job<'_>, stays: bool) -> Result<Ticket, Error> {
        let seq = job.place.seq;
        let insert = Op::Insert(job);
        if stays {
            self.submit(&[insert])
        } else {
            self.submit(&[insert, Op::Yield(seq)])
        }
    }

    pub(super) fn write_detail(&mut self, new: &New<P>, stays: bool) -> Result<Ticket, Error> {
        if self.residency.is_none() {
            return Ok(AT_ONCE);
        }
        self.reserve_seq(new.place.seq);
        new.with_job(|job| self.submit_new(job, stays))
    }

    /// Take in a job that the store has taken, too; whether the timer is to be woken for it.
    pub(super) fn insert_new(
        &mut self,
        new: New<P>,
        stays: bool,
        released: &mut Released<P>,
    ) -> bool {
        let target = new.payload.target();
        self.tally.note(target, |counts| counts.scheduled += 1);
        self.page_out(PAGED_OUT_AT_ONCE, released);
        if !stays {
            released.payloads.push(new.payload);
            return false;
        }
        let New { clock, due, .. } = new;
        let key = self.put_detail(clock, due, new.place.seq, new.detail, new.payload);
        if let Some(repeat) = new.repeat {
            self.jobs.set_repeat(key, *repeat);
        }
        self.mark_awake_if_earlier(clock, due)
    }

    /// Only the store knows whether a job that is not in memory has this id.
    pub(super) fn ask_to_insert(
        &mut self,
        new: New<P>,
        stays: bool,
        ignores: bool,
    ) -> Pending<(), P> {
        let seq = new.place.seq;
        self.reserve_seq(seq);
        // It counts when it is stored.
        self.not_paged_out(stays);
        let id = new.detail.id.with_str(|id| self.begin_asking(id));
        let job = new.with_job(|job| job.into_owned());
        Pending::ask(Query::Insert(vec![job]), move |engine, answer, released| {
            let payload = new.payload;
            let is_taken = answer == Err(Refused::Duplicate);
            let made = engine.apply_answer(&id, |state| {
                let ticket = state.insert_answered(engine, &id, new, stays, answer, released)?;
                Ok(Pending::Made((), ticket))
            });
            let made = made.inspect_err(|_| released.payloads.push(payload));
            if ignores && is_taken {
                return Ok(Pending::Made((), AT_ONCE));
            }
            made
        })
    }

    fn insert_answered(
        &mut self,
        engine: &Engine<P>,
        id: &str,
        new: New<P>,
        stays: bool,
        answer: Result<Answer, Refused>,
        released: &mut Released<P>,
    ) -> Result<Ticket, Refused> {
        if let Err(error) = &answer {
            self.yield_if_in_doubt(error, id, new.place.seq);
        }
        answer?;
        // A page that was asked for meanwhile does not have it, and moves the frontier past it.
        let residency = self.residency.as_ref();
        let is_passed = residency.is_some_and(|residency| residency.is_passed(new.place));
        let stays = (stays || is_passed) && self.phase != Phase::Closed;
        let ticket = if stays {
            self.submit(&[])?
        } else {
            self.yield_one(id, new.place.seq)?
        };
        if let Some(residency) = &mut self.residency
            && !stays
        {
            residency.frontier.paged_out += 1;
        }
        if self.insert_new(new, stays, released) {
            engine.sleeper.wake();
        }
        Ok(ticket)
    }
}
