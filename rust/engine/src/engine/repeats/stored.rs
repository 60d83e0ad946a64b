//! A repeat as a store that nodes share has it: what a call makes of it, wherever it waits or runs.
//!
//! All that is decided here is decided of the row alone, with its times on the wall clock. One that has started keeps
//! its place, and what is changed of it counts once it has ended.

use crate::engine::Refused;
use crate::engine::repeats::FoundRepeat;
use crate::jobs::record::Parts;
use crate::jobs::repeats::{NEVER, Plan};
use duewheel_model::job::Recurring;
use duewheel_model::repeat::{Standing, Times};
use duewheel_store::{ClockKind, Job, StoredRepeat};
use std::sync::Arc;

/// A stored repeat, read.
pub struct StoredView {
    /// When it comes.
    pub plan: Arc<Plan>,
    /// How far it has come; its times are on the wall clock.
    pub standing: Standing,
    /// When what comes is due, or what runs was; [`NEVER`]: nothing comes.
    pub due: i64,
    /// Why it cannot be evaluated, if it cannot.
    pub unknown: Option<Arc<str>>,
    /// Whether its occurrence runs, or is to be retried.
    pub(in crate::engine) has_started: bool,
}

/// What a repeat is to be by an edit.
pub(in crate::engine) struct Edited {
    pub(in crate::engine) plan: Arc<Plan>,
    pub(in crate::engine) declared: bool,
    pub(in crate::engine) offset: i64,
    /// How far it has come when it is new now; an error where no time comes.
    pub(in crate::engine) fresh: Result<Standing, Refused>,
}

impl StoredView {
    /// Read a stored repeat; `None`: it is a job that comes once.
    ///
    /// # Errors
    ///
    /// Its schedule is none that can be read.
    pub fn of(stored: &StoredRepeat) -> Result<Option<Self>, Refused> {
        let mut job = stored.job.clone();
        if stored.begun {
            job.progress = job.progress.begun(job.place.due);
        }
        let found = FoundRepeat::of(&job).map_err(|unreadable| Refused::from(unreadable.why))?;
        let Some(found) = found else {
            return Ok(None);
        };
        let standing = found.standing;
        let has_started = job.progress.first_start.is_some();
        let job_due = standing.triggered.unwrap_or(standing.time);
        let is_moved = !has_started && job_due != job.job_due;
        let due = match standing.triggered {
            _ if !is_moved => job.place.due,
            Some(at) => at,
            None if standing.time == NEVER => NEVER,
            None => standing.due(),
        };
        Ok(Some(StoredView {
            plan: found.plan,
            standing,
            due,
            unknown: found.unknown,
            has_started,
        }))
    }

    /// The stored job with this standing; `moves`: what comes is due where that says.
    fn with(&self, was: &StoredRepeat, standing: Standing, moves: bool, seq: u64) -> Job<'static> {
        let mut job = was.job.clone();
        if !was.begun {
            job.place.seq = seq;
        }
        if !self.has_started {
            let moved = standing.triggered.unwrap_or_else(|| standing.due());
            job.place.due = if moves { moved } else { self.due };
            job.job_due = standing.triggered.unwrap_or(standing.time);
        }
        job.clock = ClockKind::Wall;
        job.repeat = Some(Box::new(Recurring {
            definition: self.plan.definition(),
            standing,
        }));
        job
    }

    /// It, paused; `None`: it is already.
    pub(in crate::engine) fn paused(&self, was: &StoredRepeat, seq: u64) -> Option<Job<'static>> {
        let paused = Standing {
            paused: true,
            ..self.standing
        };
        (!self.standing.paused).then(|| self.with(was, paused, false, seq))
    }

    /// It, going on with the first time after now; `None`: no time is left of it.
    pub(in crate::engine) fn resumed(
        &self,
        was: &StoredRepeat,
        (wall, seq): (i64, u64),
    ) -> Option<Job<'static>> {
        let mut standing = Standing {
            paused: false,
            overdue: false,
            ..self.standing
        };
        // After a step back nothing runs twice.
        let by_now = wall.saturating_sub(standing.offset).max(standing.last);
        if self.unknown.is_some() {
            // Its time is found, from now on, where its zone is known: these are rules of no zone.
            standing.fingerprint = 0;
            standing.last = by_now;
            return Some(self.with(was, standing, false, seq));
        }
        let times = self.plan.times(standing.anchor, 0);
        let next = times.next(by_now).unwrap_or(NEVER);
        if self.has_started {
            standing.count_from(by_now, next);
        } else {
            (standing.time, standing.last) = (next, by_now);
            if next == NEVER && standing.triggered.is_none() {
                return None;
            }
        }
        Some(self.with(was, standing, true, seq))
    }

    /// It, with one occurrence more as soon as possible; `None`: one is asked for already.
    pub(in crate::engine) fn triggered(
        &self,
        was: &StoredRepeat,
        (wall, seq): (i64, u64),
    ) -> Option<Job<'static>> {
        let mut standing = self.standing;
        let is_asked_for = standing.triggered.is_some() && !self.has_started;
        if standing.wanted.is_some() || is_asked_for {
            return None;
        }
        let asked = if self.has_started {
            &mut standing.wanted
        } else {
            &mut standing.triggered
        };
        *asked = Some(wall);
        Some(self.with(was, standing, true, seq))
    }

    /// It, as an edit says: the grid of an interval goes on from its last time, which may be of a later due that was moved.
    ///
    /// # Errors
    ///
    /// [`Refused::Never`], and those of the schedule.
    pub(in crate::engine) fn edited(
        &self,
        was: &StoredRepeat,
        edit: Edited,
        parts: Parts<'_>,
        seq: u64,
    ) -> Result<Job<'static>, Refused> {
        let (old, terms) = (self.standing, edit.plan.terms());
        if terms.count.is_some_and(|count| old.occurrence > count) {
            return Err(Refused::Never);
        }
        let is_same_spread = self.plan.terms().spread == terms.spread;
        let offset = if is_same_spread {
            old.offset
        } else {
            edit.offset
        };
        let mut standing = Standing {
            offset,
            declared: edit.declared,
            ..old
        };
        let is_same = self.plan.schedule() == edit.plan.schedule();
        if !is_same || !terms.admit(old.time) {
            self.count_anew(&mut standing, &edit.plan, edit.fresh?)?;
            if was.begun && standing.triggered.is_none() {
                // Whoever finds it finds what runs.
                standing.time = old.time;
            }
        }
        let edited = StoredView {
            plan: edit.plan,
            standing,
            due: self.due,
            unknown: None,
            has_started: self.has_started,
        };
        let job = edited.with(was, standing, true, seq);
        Ok(Job {
            target: parts.target.to_owned().into(),
            data: parts.data.to_owned().into(),
            options: parts.options,
            carried: parts.carried.cloned(),
            ..job
        })
    }

    /// Have it count from now, by another schedule or other bounds.
    fn count_anew(
        &self,
        standing: &mut Standing,
        plan: &Plan,
        fresh: Standing,
    ) -> Result<(), Refused> {
        let (mut anchor, mut time, last) = (fresh.anchor, fresh.time, fresh.last);
        if plan.period().is_some() {
            anchor = plan.at_or_before(last, standing.last);
            time = plan.times(anchor, 0).next(last).ok_or(Refused::Never)?;
        }
        (standing.fingerprint, standing.anchor) = (fresh.fingerprint, anchor);
        standing.overdue = false;
        if self.has_started {
            standing.count_from(last, time);
        } else {
            (standing.time, standing.last) = (time, last);
        }
        Ok(())
    }

    /// Whether it is what an edit says already.
    pub(in crate::engine) fn is_as(
        &self,
        was: &StoredRepeat,
        plan: &Plan,
        declared: bool,
        parts: Parts<'_>,
    ) -> bool {
        let job = &was.job;
        self.plan.is_as(plan)
            && self.standing.declared == declared
            && (&*job.target, &*job.data) == (parts.target, parts.data)
            && job.options == parts.options
            && job.carried.as_ref() == parts.carried
    }
}
