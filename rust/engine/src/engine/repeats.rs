//! How a repeat is taken up, and how it comes again.
//!
//! A schedule is asked under no lock: a worker asks it when it takes an occurrence up, for the time that runs and for
//! the one after it. When the occurrence has ended, what follows is known.

use super::{Engine, Phase, Refused, State};
use crate::due::queue::{ClockKind, Key};
use crate::handover::lanes::Lane;
use crate::jobs::record::{Done, Execution, Occurrence, Payload, Released, Started};
use crate::jobs::repeats::{NEVER, Plan, Repeat, Then};
use duewheel_model::job::Progress;
use duewheel_model::outcome::{Outcome, Reason};
use duewheel_model::repeat::{Standing, TakenUp, Times, take_up};
use duewheel_schedule::Error as ScheduleError;
use duewheel_store::{Ending, Job, Next, Op, Place};
use std::borrow::Cow;
use std::sync::Arc;

/// A clock that goes back by more was wrong before: dues are found anew, in nanoseconds.
const CLOCK_WAS_WRONG: i64 = 3 * 3_600 * duewheel_model::time::SECOND;

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
        let now_there = match clock {
            ClockKind::Wall => now.boot.saturating_add(*ahead),
            ClockKind::Boot => now.boot,
        };
        let times = plan.times(standing.anchor, *ahead);
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
            since: match repeat.clock {
                ClockKind::Wall => since.saturating_add(ahead),
                ClockKind::Boot => since,
            },
            ahead,
        })
    }

    /// Find anew the dues of repeats whose clock was wrong: the wall clock has gone back by hours.
    pub(super) fn review(&self) {
        let mut state = self.state.lock();
        if !std::mem::take(&mut state.review_wanted) {
            return;
        }
        let waiting = state.jobs.repeat_keys();
        let ahead = state.jobs.offsets.measured();
        let mut asked = Vec::new();
        for key in waiting {
            if let Some(repeat) = state.jobs.repeat(key)
                && repeat.clock == ClockKind::Wall
                && repeat.standing.triggered.is_none()
                && state.is_pending(self, key)
            {
                asked.push((key, repeat.plan.clone(), repeat.standing));
            }
        }
        drop(state);
        let now = self.clock.boot().saturating_add(ahead);
        let found: Vec<_> = asked
            .into_iter()
            .map(|(key, plan, standing)| {
                let next = plan.times(standing.anchor, 0).next(now);
                (key, standing.time, next)
            })
            .collect();
        let mut state = self.state.lock();
        for (key, time, next) in found {
            let same = state.jobs.repeat(key).map(|repeat| repeat.standing.time) == Some(time);
            if let (true, Some(next)) = (same && next != Some(time), next) {
                state.move_to(self, key, next, now);
            }
        }
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
        let occurrence = Occurrence {
            number: standing.occurrence,
            previous: standing.previous,
        };
        let (on_wall, triggered) = (repeat.on_wall(asked.ahead), repeat.standing.triggered);
        self.counts.missed += found.missed;
        if found.runs {
            let execution = &mut started.execution;
            if is_moved {
                execution.job_due = triggered.unwrap_or(on_wall.time);
                started.wall_due = on_wall.due();
                self.jobs.set_job_due(key, execution.job_due);
            }
            started.occurrence = Some(Box::new(occurrence));
        }
        if is_moved && found.runs && self.residency.is_some() {
            let seq = self.store_seq(key, started.execution.sequence);
            self.submit(&[Op::Stand {
                seq,
                job_due: started.execution.job_due,
                standing: Box::new(on_wall),
            }])?;
        }
        Ok(())
    }

    /// Let a repeat that was held back go on, where nothing else holds it.
    pub(super) fn let_go(&mut self, engine: &Engine<P>, key: Key) {
        self.jobs.hold(key);
        if self.jobs.stage(key) == Some(crate::jobs::record::Stage::Parked)
            && self.jobs.repeat(key).is_some_and(|repeat| !repeat.is_held())
        {
            self.unpark(key);
            self.jobs.put_back(key);
            if self.asleep.take().is_some() {
                engine.sleeper.wake();
            }
        }
    }

    /// Move the coming occurrence of a waiting repeat to another time of its schedule; the store is told.
    pub(super) fn move_to(&mut self, engine: &Engine<P>, key: Key, time: i64, last: i64) {
        if !self.withdraw(engine, key) {
            return;
        }
        if let Some(repeat) = self.jobs.repeat_mut(key) {
            repeat.standing.time = time;
            repeat.standing.last = last;
        }
        // A store that takes nothing has failed, and says so itself.
        let _ = self.write_standing(key, true);
        self.requeue_repeat(engine, key);
    }

    /// Queue a repeat that was withdrawn where its standing says.
    pub(super) fn requeue_repeat(&mut self, engine: &Engine<P>, key: Key) {
        let ahead = self.jobs.offsets.measured();
        let Some(repeat) = self.jobs.repeat(key) else {
            return;
        };
        let (clock, due) = repeat.due();
        let job_due = repeat.standing.triggered;
        let job_due = job_due.unwrap_or_else(|| repeat.on_wall(ahead).time);
        self.jobs.set_job_due(key, job_due);
        self.jobs.requeue(key, clock, due);
        if self.mark_awake_if_earlier(clock, due) {
            engine.sleeper.wake();
        }
    }

    /// Give the store how far a repeat has come, and where it moves, if it does.
    pub(super) fn write_standing(
        &mut self,
        key: Key,
        moves: bool,
    ) -> Result<duewheel_store::Ticket, Refused> {
        if self.residency.is_none() {
            return Ok(super::AT_ONCE);
        }
        let ahead = self.jobs.offsets.measured();
        let (Some(execution), Some(repeat)) = (self.jobs.execution(key), self.jobs.repeat(key)) else {
            return Ok(super::AT_ONCE);
        };
        let (clock, _) = repeat.due();
        let standing = repeat.on_wall(ahead);
        let due = standing.triggered.unwrap_or_else(|| standing.due());
        let job_due = if moves {
            standing.triggered.unwrap_or(standing.time)
        } else {
            execution.job_due
        };
        let seq = self.store_seq(key, execution.sequence);
        let to = self.next_place(clock, due);
        let to = Place { due, ..to };
        let stand = Op::Stand {
            seq,
            job_due,
            standing: Box::new(standing),
        };
        execution.id.with_str(|id| self.note_changed(id));
        if moves {
            Ok(self.submit(&[stand, Op::Move { seq, to, clock }])?)
        } else {
            Ok(self.submit(&[stand])?)
        }
    }

    /// Settle an execution of a repeat; whether that made something due earlier than the timer sleeps for.
    pub(super) fn settle_repeat(
        &mut self,
        engine: &Engine<P>,
        done: Done<P::Failure>,
        released: &mut Released<P>,
    ) -> bool {
        let key = done.key;
        let Some(execution) = self.jobs.execution(key) else {
            return false;
        };
        match done.outcome {
            None => self.settle_unstarted(engine, key, released),
            Some(Outcome::Again { .. }) if self.jobs.repeat(key).is_some_and(|repeat| repeat.ends) => {
                self.counts.cancelled += 1;
                self.write_end(&execution, Ending::Done);
                self.remove(key, released);
                false
            }
            Some(Outcome::Again {
                due,
                cause,
                progress,
            }) => {
                let done = Done {
                    key,
                    comes_again: true,
                    outcome: Some(Outcome::Again {
                        due,
                        cause,
                        progress,
                    }),
                };
                self.swap_edit(key, released);
                let Some(done) = self.record(engine, done, released) else {
                    return false;
                };
                self.settle_one(engine, done, released)
            }
            Some(Outcome::Done) => {
                self.counts.succeeded += 1;
                if let Some(repeat) = self.jobs.repeat_mut(key) {
                    repeat.standing.previous = Some(execution.job_due);
                }
                let next = self.next_occurrence(engine, key, &execution, released);
                let ending = next.map_or(Ending::Done, |next| Ending::Next(Box::new(next)));
                self.write_end(&execution, ending);
                self.come_again(key, next, released)
            }
            Some(Outcome::Dead { reason, failure }) => {
                self.bury_occurrence(engine, &execution, reason, failure, released)
            }
        }
    }

    /// An occurrence was given back without a start: it was passed over, or its handler has gone.
    fn settle_unstarted(
        &mut self,
        engine: &Engine<P>,
        key: Key,
        released: &mut Released<P>,
    ) -> bool {
        self.counts.unstarted += 1;
        let repeat = self.jobs.repeat_mut(key);
        let passed = repeat.is_some_and(|repeat| std::mem::take(&mut repeat.passed));
        if self.phase == Phase::Closed {
            self.swap_edit(key, released);
            self.drop_one();
            self.remove(key, released);
            return false;
        }
        if !passed {
            self.park_again(engine, key);
            return false;
        }
        self.swap_edit(key, released);
        let time = self.jobs.repeat(key).map(|repeat| repeat.standing.time);
        if time == Some(NEVER) {
            let execution = self.jobs.execution(key);
            self.counts.cancelled += 1;
            if let Some(execution) = execution {
                self.write_end(&execution, Ending::Done);
            }
            self.remove(key, released);
            return false;
        }
        let _ = self.write_standing(key, true);
        self.requeue_repeat(engine, key);
        false
    }

    fn bury_occurrence(
        &mut self,
        engine: &Engine<P>,
        execution: &Execution<P>,
        reason: Reason,
        mut failure: P::Failure,
        released: &mut Released<P>,
    ) -> bool {
        let key = execution.key;
        self.counts.dead += 1;
        let occurrence = self.jobs.repeat(key).map(|repeat| Occurrence {
            number: repeat.standing.occurrence,
            previous: repeat.standing.previous,
        });
        let listed = execution.payload.for_dead(&mut failure);
        if let Some(repeat) = self.jobs.repeat_mut(key)
            && repeat.plan.terms().pause_on_dead
        {
            repeat.standing.paused = true;
        }
        let next = self.next_occurrence(engine, key, execution, released);
        let ending = Ending::Dead {
            reason,
            error: Cow::Owned(P::text(&failure)),
            died: engine.clock.wall(),
            next: next.map(Box::new),
        };
        self.write_end(execution, ending);
        let wake = self.come_again(key, next, released);
        self.list_dead(
            engine,
            execution,
            (reason, failure, listed),
            occurrence.unwrap_or_default(),
            released,
        );
        wake
    }

    /// Put what an edit has staged in the place of what has run.
    fn swap_edit(&mut self, key: Key, released: &mut Released<P>) {
        let Some(edit) = self.jobs.repeat_mut(key).and_then(|repeat| repeat.edit.take()) else {
            return;
        };
        let (time, standing) = match self.jobs.repeat(key) {
            Some(repeat) => (repeat.standing.time, repeat.standing),
            None => return,
        };
        let mut edit = *edit;
        let fresh = edit.standing;
        // Only what an edit says of the schedule is of the edit; how far it has come is not.
        edit.standing = Standing {
            time,
            anchor: fresh.anchor,
            offset: fresh.offset,
            declared: fresh.declared,
            fingerprint: fresh.fingerprint,
            last: standing.last.max(fresh.last),
            ..standing
        };
        self.apply_edit(key, edit, released);
        if let Some(repeat) = self.jobs.repeat_mut(key)
            && !repeat.plan.is_from_end()
            && fresh.time > fresh.last
        {
            repeat.then = Then::At(fresh.time);
        }
    }

    /// The occurrence that follows the one that has ended, as the store is to have it; `None`: the repeat is over.
    fn next_occurrence(
        &mut self,
        engine: &Engine<P>,
        key: Key,
        execution: &Execution<P>,
        released: &mut Released<P>,
    ) -> Option<Next> {
        self.swap_edit(key, released);
        let (boot, ahead) = (engine.clock.boot(), self.jobs.offsets.measured());
        let repeat = self.jobs.repeat_mut(key)?;
        let now = match repeat.clock {
            ClockKind::Wall => boot.saturating_add(ahead),
            ClockKind::Boot => boot,
        };
        repeat.since = boot;
        let time = match std::mem::replace(&mut repeat.then, Then::Unknown) {
            Then::At(time) => time,
            Then::AfterEnd(period) => bounded(&repeat.plan, now.saturating_add(period), ahead),
            // It ended without being taken up, as what a closing store leaves.
            Then::Unknown => {
                let times = repeat.plan.times(repeat.standing.anchor, ahead);
                times.next(repeat.standing.time.max(repeat.standing.last)).unwrap_or(NEVER)
            }
        };
        let standing = &mut repeat.standing;
        standing.triggered = standing.wanted.take();
        standing.time = time;
        let is_used_up = (repeat.plan.terms().count).is_some_and(|count| standing.occurrence >= count);
        let is_over = repeat.ends || is_used_up || (time == NEVER && standing.triggered.is_none());
        if is_over {
            return None;
        }
        standing.occurrence += 1;
        let (clock, due) = repeat.due();
        let standing = repeat.on_wall(ahead);
        let to = self.next_place(clock, due);
        if self.phase == Phase::Closed {
            self.reserve_seq(to.seq);
        }
        Some(Next {
            to,
            clock,
            job_due: standing.triggered.unwrap_or(standing.time),
            run: execution.progress.run.saturating_add(1),
            standing,
        })
    }

    /// Let the next occurrence wait, or forget the repeat that is over; whether the timer is to be woken.
    fn come_again(&mut self, key: Key, next: Option<Next>, released: &mut Released<P>) -> bool {
        let Some(next) = next.filter(|_| self.phase != Phase::Closed || self.residency.is_some()) else {
            self.remove(key, released);
            return false;
        };
        self.counts.scheduled += 1;
        if self.phase == Phase::Closed {
            self.drop_one();
            self.remove(key, released);
            return false;
        }
        if let Some(detail) = self.jobs.make_detail(key) {
            detail.progress = Progress {
                run: next.run,
                ..Progress::NEW
            };
            detail.job_due = next.job_due;
        }
        self.jobs.hold(key);
        let Some((clock, due)) = self.jobs.repeat(key).map(Repeat::due) else {
            return false;
        };
        self.jobs.requeue(key, clock, due);
        self.mark_awake_if_earlier(clock, due)
    }

    /// Have the store know how an execution has ended.
    fn write_end(&mut self, execution: &Execution<P>, outcome: Ending<'static>) {
        let seq = self.store_seq(execution.key, execution.sequence);
        if self.residency.is_some() {
            execution.id.with_str(|id| self.note_changed(id));
        }
        if let Some(residency) = &mut self.residency {
            residency.outbox.push(Op::Finish { seq, outcome });
        }
    }

    /// What was due before now could not start; what is due on the wall clock is found anew, if that went back by hours.
    pub(super) fn note_step(&mut self, by: i64, boot: i64) {
        if by > 0 {
            self.could_not_start = self.could_not_start.max(boot);
        }
        if by < -CLOCK_WAS_WRONG && self.jobs.repeat_count() > 0 {
            self.review_wanted = true;
        }
    }

    /// How many repeats wait, in memory and not parked, that need not be waited for: nothing ends them.
    pub(super) fn endless_count(&self, engine: &Engine<P>) -> u64 {
        let waits = |key: &Key| {
            let repeat = self.jobs.repeat(*key);
            repeat.is_some_and(|repeat| repeat.plan.is_endless())
                && self.jobs.stage(*key) != Some(crate::jobs::record::Stage::Parked)
                && self.is_idle_repeat(engine, *key)
        };
        self.jobs.repeat_keys().iter().filter(|key| waits(key)).count() as u64
    }

    fn is_idle_repeat(&self, engine: &Engine<P>, key: Key) -> bool {
        let execution = self.jobs.execution(key);
        self.is_pending(engine, key)
            && execution.is_some_and(|execution| execution.progress.first_start.is_none())
    }
}

/// The time after the end of an occurrence, within the bounds of its terms.
fn bounded(plan: &Plan, time: i64, ahead: i64) -> i64 {
    let wall = time.saturating_add(ahead);
    let terms = plan.terms();
    let start = terms.start.map_or(time, |start| time.max(start.saturating_sub(ahead)));
    match terms.end {
        Some(end) if wall >= end => NEVER,
        _ => start,
    }
}

/// What a store has of a repeat, read under no lock.
pub(super) struct FoundRepeat {
    plan: Arc<Plan>,
    standing: Standing,
    unknown: Option<Arc<str>>,
}

impl FoundRepeat {
    /// The repeat of a stored job, if it is one; one of a zone that is unknown is held back.
    ///
    /// # Errors
    ///
    /// Its definition cannot be read.
    pub(super) fn of(job: &Job<'_>) -> Result<Option<Self>, ScheduleError> {
        let Some(recurring) = job.repeat.as_deref() else {
            return Ok(None);
        };
        let mut standing = recurring.standing;
        let plan = Plan::read(&recurring.definition)?;
        let unknown = match plan.schedule().fingerprint() {
            Err(error) => Some(Arc::from(error.to_string())),
            Ok(found) => {
                let times = plan.times(standing.anchor, 0);
                let is_new = standing.triggered.is_none() && job.progress.first_start.is_none();
                if found != standing.fingerprint && is_new && !standing.spent {
                    // The rules of a zone have changed since: the time that comes is another.
                    standing.time = times.next(standing.last).unwrap_or(NEVER);
                }
                standing.fingerprint = found;
                if standing.spent {
                    spend(&mut standing, &times);
                }
                None
            }
        };
        Ok(Some(FoundRepeat {
            plan,
            standing,
            unknown,
        }))
    }
}

/// The occurrence died with its process: the next one comes.
fn spend(standing: &mut Standing, times: &impl Times) {
    standing.spent = false;
    standing.occurrence += 1;
    if standing.triggered.is_none() {
        let used = standing.time.max(standing.last);
        standing.last = used;
        standing.time = times.next(used).unwrap_or(NEVER);
    }
    standing.triggered = standing.wanted.take();
}

impl<P: Payload> State<P> {
    /// Take in what a store has of a repeat, whose job is in memory already; `offset`: of the clock that it is due on.
    pub(super) fn put_repeat(&mut self, key: Key, found: FoundRepeat, offset: Option<i64>) {
        let FoundRepeat {
            plan,
            standing,
            unknown,
        } = found;
        let job_due = standing.triggered.unwrap_or(standing.time);
        let is_moved = job_due != NEVER
            && self.jobs.execution(key).is_some_and(|execution| {
                execution.progress.first_start.is_none() && execution.job_due != job_due
            });
        let (clock, standing) = match offset.filter(|_| plan.clock() == ClockKind::Boot) {
            None => (ClockKind::Wall, standing),
            Some(offset) => (ClockKind::Boot, standing.shifted(offset.saturating_neg())),
        };
        let mut repeat = Repeat::new(plan, standing, clock);
        repeat.is_wanted = !standing.declared;
        repeat.unknown = unknown;
        self.jobs.set_repeat(key, repeat);
        if is_moved {
            // A store that takes nothing has failed, and says so itself.
            let _ = self.write_standing(key, true);
            if let Some((clock, due)) = self.jobs.repeat(key).map(Repeat::due) {
                self.jobs.set_job_due(key, job_due);
                self.jobs.requeue(key, clock, due);
            }
        }
    }
}
