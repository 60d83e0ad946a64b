//! Taking up an occurrence: what of its times runs now.

use crate::due::queue::ClockKind;
use crate::engine::{Engine, Refused, State};
use crate::jobs::record::{Payload, Started};
use crate::jobs::repeat::Flag;
use crate::jobs::repeats::{NEVER, Plan, PlanTimes, Then, moment_on};
use duewheel_model::repeat::{Standing, TakenUp, Times, take_up};
use duewheel_store::{Op, Place};
use std::sync::Arc;

/// What is known of a repeat while its schedule is asked.
struct Asked {
    plan: Arc<Plan>,
    standing: Standing,
    clock: ClockKind,
    /// What was due before, on the clock of the repeat, was missed.
    since: i64,
    ahead: i64,
    /// When it is due, on the wall clock.
    wall_due: i64,
    is_first: bool,
}

/// What became of an occurrence that was taken up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Whether it runs; else it is given back as [`unhandled`](Started::unhandled).
    pub runs: bool,
    /// How many times were passed over or merged.
    pub missed: u64,
}

impl<P: Payload> Engine<P> {
    /// Take up an occurrence of a repeat, before its start is noted: find the time that runs, or that it is passed
    /// over to. Its due and lateness are those of the time that runs.
    ///
    /// `outside` is given what may take long, to call it where that holds up nobody: of a schedule that is not quick, and
    /// wherever more than the next time is due.
    ///
    /// # Errors
    ///
    /// [`Refused::Lost`], and those of the store: it must not start.
    pub fn take_up(
        &self,
        started: &mut Started<P>,
        outside: impl FnOnce(&mut (dyn FnMut() + Send)),
    ) -> Result<Taken, Refused> {
        let now = self.now();
        let Some(asked) = self.asked_of(started, now.boot) else {
            return Ok(Taken {
                runs: false,
                missed: 0,
            });
        };
        let mut found = None;
        let times = asked.times();
        let is_brief = asked.is_brief(&times, now.boot);
        let mut find = || found = Some(asked.find(&times, now.boot));
        if is_brief {
            find();
        } else {
            outside(&mut find);
        }
        let Some((found, then)) = found else {
            return Err(Refused::Lost);
        };
        let time = found.time.unwrap_or(NEVER);
        let mut state = self.state.lock();
        state.apply_taken(started, &asked, (found, time, then))?;
        if found.runs {
            started.called = now.boot;
            started.lateness = now
                .boot
                .saturating_add(asked.ahead)
                .saturating_sub(started.wall_due)
                .max(0);
            let (target, lateness) = (started.execution.payload.target(), started.lateness);
            state.tally.starts.count_lateness(target, lateness as u64);
        }
        Ok(Taken {
            runs: found.runs,
            missed: found.missed,
        })
    }

    /// What is to be asked of the schedule of an occurrence; `None`: it does not start now.
    fn asked_of(&self, started: &Started<P>, boot: i64) -> Option<Asked> {
        let mut state = self.state.lock();
        state.refresh(self, boot);
        let key = started.execution.key;
        let ahead = state.jobs.offsets.measured();
        let handled = state.targets.since(started.execution.payload.target());
        let repeat = state.jobs.repeat(key)?;
        if repeat.is_held() {
            return None;
        }
        let since = repeat.since().max(handled).max(state.could_not_start);
        Some(Asked {
            plan: repeat.plan.clone(),
            standing: repeat.standing(),
            clock: repeat.clock(),
            since: moment_on(repeat.clock(), since, ahead),
            ahead,
            wall_due: started.wall_due,
            is_first: started.execution.progress.first_start.is_none(),
        })
    }
}

/// It does not run now; this is the time that comes.
fn passed(time: Option<i64>) -> TakenUp {
    TakenUp {
        time,
        runs: false,
        missed: 0,
    }
}

impl Asked {
    fn times(&self) -> PlanTimes<'_> {
        (self.plan).times_on(self.clock, self.standing.anchor, self.ahead)
    }

    /// What becomes of it now, and what follows: the schedule is asked.
    fn find(&self, times: &impl Times, boot: i64) -> (TakenUp, Then) {
        let (plan, standing) = (&self.plan, &self.standing);
        let now = moment_on(self.clock, boot, self.ahead);
        let coming = Some(standing.time).filter(|&time| time != NEVER);
        let is_over = (plan.terms().count).is_some_and(|count| standing.occurrence > count);
        let found = if is_over {
            passed(None)
        } else if !self.is_first || standing.triggered.is_some() {
            TakenUp {
                time: coming,
                runs: true,
                missed: 0,
            }
        } else {
            self.first_attempt(coming, times, now)
        };
        let time = found.time.unwrap_or(NEVER);
        let then = match (found.runs, plan.is_from_end()) {
            (false, _) => Then::Unknown,
            (true, true) => Then::AfterEnd(plan.period().unwrap_or(NEVER)),
            (true, false) if standing.triggered.is_some() => Then::At(time),
            (true, false) => Then::At(times.next(time.max(standing.last)).unwrap_or(NEVER)),
        };
        (found, then)
    }

    /// Whether little is asked: of a schedule that is quick, and the time after the one that comes is not due yet.
    fn is_brief(&self, times: &impl Times, boot: i64) -> bool {
        let standing = &self.standing;
        if !self.plan.schedule().is_quick() {
            return false;
        }
        if !self.is_first || standing.triggered.is_some() || standing.time == NEVER {
            return true;
        }
        let by_now = moment_on(self.clock, boot, self.ahead).saturating_sub(standing.offset);
        times.next(standing.time).is_none_or(|next| next > by_now)
    }

    /// Rule 3 of a first attempt.
    fn first_attempt(&self, coming: Option<i64>, times: &impl Times, now: i64) -> TakenUp {
        let Some(time) = coming else {
            return passed(None);
        };
        let due = match self.clock {
            ClockKind::Wall => self.wall_due,
            ClockKind::Boot => self.wall_due.saturating_sub(self.ahead),
        };
        if due > now {
            return passed(Some(time));
        }
        take_up(
            self.plan.terms(),
            (time, due, self.standing.offset),
            now,
            due < self.since || self.standing.overdue,
            times,
        )
    }
}

impl<P: Payload> State<P> {
    /// Make true what was found when an occurrence was taken up.
    fn apply_taken(
        &mut self,
        started: &mut Started<P>,
        asked: &Asked,
        (found, time, then): (TakenUp, i64, Then),
    ) -> Result<(), Refused> {
        let key = started.execution.key;
        let is_new = asked.is_first && asked.standing.triggered.is_none();
        let Some(repeat) = self.jobs.repeat_mut(key) else {
            return Err(Refused::Lost);
        };
        let is_moved = repeat.standing().time != time;
        repeat.change(|standing| {
            standing.missed += found.missed;
            standing.time = time;
            standing.overdue = false;
            if is_new && found.runs && time != NEVER {
                standing.last = standing.last.max(time);
            }
        });
        repeat.set_then(then);
        repeat.set(Flag::Passed, !found.runs);
        let occurrence = repeat.occurrence();
        let (on_wall, (clock, due)) = (repeat.on_wall(asked.ahead), repeat.due());
        if found.missed > 0 {
            let target = started.execution.payload.target();
            self.tally
                .note(target, |counts| counts.missed += found.missed);
        }
        if found.runs {
            let execution = &mut started.execution;
            if is_moved {
                execution.job_due = on_wall.time;
                started.wall_due = on_wall.due();
                self.jobs.set_job_due(key, execution.job_due);
                self.jobs.queue.set_due(key, clock, due);
            }
            started.occurrence = Some(Box::new(occurrence));
        }
        if is_moved && found.runs && self.residency.is_some() {
            let seq = self.store_seq(key, started.execution.sequence);
            let to = Place {
                due: started.wall_due,
                seq,
            };
            let stand = Op::Stand {
                seq,
                job_due: started.execution.job_due,
                standing: Box::new(on_wall),
            };
            self.submit(&[stand, Op::Move { seq, to, clock }])?;
        }
        Ok(())
    }
}
