//! Taking up an occurrence: what of its times runs now.

use crate::due::queue::{ClockKind, Key};
use crate::engine::{Engine, Refused, State};
use crate::handover::lanes::Lane;
use crate::jobs::record::{Payload, Started};
use crate::jobs::repeats::{NEVER, Plan, Then, moment_on};
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
    /// # Errors
    ///
    /// [`Refused::Lost`], and those of the store: it must not start.
    pub fn take_up(&self, started: &mut Started<P>, lane: Lane) -> Result<Taken, Refused> {
        let key = started.execution.key;
        let now = self.now();
        let Some(asked) = self.asked_of(started, now.boot) else {
            return Ok(Taken {
                runs: false,
                missed: 0,
            });
        };
        let Asked {
            plan,
            standing,
            clock,
            ahead,
            ..
        } = &asked;
        let now_there = moment_on(*clock, now.boot, *ahead);
        let times = plan.times_on(*clock, standing.anchor, *ahead);
        let is_first = started.execution.progress.first_start.is_none();
        let coming = Some(standing.time).filter(|&time| time != NEVER);
        let is_over = (plan.terms().count).is_some_and(|count| standing.occurrence > count);
        let found = if is_over {
            passed(None)
        } else if !is_first || standing.triggered.is_some() {
            TakenUp {
                time: coming,
                runs: true,
                missed: 0,
            }
        } else {
            taken_up(&asked, coming, &times, started, now_there)
        };
        let time = found.time.unwrap_or(NEVER);
        let then = match (found.runs, plan.is_from_end()) {
            (false, _) => Then::Unknown,
            (true, true) => Then::AfterEnd(plan.period().unwrap_or(NEVER)),
            (true, false) if standing.triggered.is_some() => Then::At(time),
            (true, false) => Then::At(times.next(time.max(standing.last)).unwrap_or(NEVER)),
        };
        let mut state = self.state.lock();
        let is_new = is_first && standing.triggered.is_none();
        state.apply_taken(key, started, &asked, (found, time, then), is_new)?;
        drop(state);
        if found.runs {
            started.lateness = now
                .boot
                .saturating_add(*ahead)
                .saturating_sub(started.wall_due)
                .max(0);
            let mut lane = self.lane(lane).lock();
            lane.lateness.record(started.lateness as u64);
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
        let since = repeat.since.max(handled).max(state.could_not_start);
        Some(Asked {
            plan: repeat.plan.clone(),
            standing: repeat.standing,
            clock: repeat.clock,
            since: moment_on(repeat.clock, since, ahead),
            ahead,
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

/// Rule 3 of a first attempt.
fn taken_up(
    asked: &Asked,
    coming: Option<i64>,
    times: &impl Times,
    started: &Started<impl Payload>,
    now: i64,
) -> TakenUp {
    let Asked {
        plan,
        standing,
        clock,
        since,
        ahead,
    } = asked;
    let Some(time) = coming else {
        return passed(None);
    };
    let due = match clock {
        ClockKind::Wall => started.wall_due,
        ClockKind::Boot => started.wall_due.saturating_sub(*ahead),
    };
    if due > now {
        return passed(Some(time));
    }
    take_up(
        plan.terms(),
        (time, due, standing.offset),
        now,
        due < *since,
        times,
    )
}

impl<P: Payload> State<P> {
    /// Make true what was found when an occurrence was taken up.
    fn apply_taken(
        &mut self,
        key: Key,
        started: &mut Started<P>,
        asked: &Asked,
        (found, time, then): (TakenUp, i64, Then),
        is_new: bool,
    ) -> Result<(), Refused> {
        let Some(repeat) = self.jobs.repeat_mut(key) else {
            return Err(Refused::Lost);
        };
        let standing = &mut repeat.standing;
        let is_moved = standing.time != time;
        standing.missed += found.missed;
        standing.time = time;
        if is_new && found.runs && time != NEVER {
            standing.last = standing.last.max(time);
        }
        repeat.then = then;
        repeat.passed = !found.runs;
        let occurrence = repeat.occurrence();
        let (on_wall, (clock, due)) = (repeat.on_wall(asked.ahead), repeat.due());
        self.counts.missed += found.missed;
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
