//! How an occurrence ends, and the next one comes.

use crate::due::queue::Key;
use crate::engine::{Engine, Phase, State};
use crate::jobs::record::{Done, Execution, Payload, Released};
use crate::jobs::repeat::{Flag, Repeat};
use crate::jobs::repeats::{NEVER, Plan, Then, ahead_of, moment_on};
use duewheel_model::job::Progress;
use duewheel_model::outcome::{Outcome, Reason};
use duewheel_model::repeat::{Standing, Times};
use duewheel_store::{Ending, Next, Op};
use std::borrow::Cow;

impl<P: Payload> State<P> {
    /// Settle an execution of a repeat; whether that made something due earlier than the timer sleeps for.
    pub(in crate::engine) fn settle_repeat(
        &mut self,
        engine: &Engine<P>,
        done: Done<P::Failure>,
        released: &mut Released<P>,
    ) -> bool {
        let Some(done) = self.discard(done, released) else {
            return false;
        };
        let key = done.key;
        let Some(execution) = self.jobs.execution(key) else {
            return false;
        };
        match done.outcome {
            None => {
                self.tally.note(done.target, |counts| counts.unstarted += 1);
                self.settle_unstarted(engine, key, released)
            }
            Some(Outcome::Again { .. })
                if self
                    .jobs
                    .repeat(key)
                    .is_some_and(|repeat| repeat.is(Flag::Ends)) =>
            {
                self.tally.note(done.target, |counts| counts.cancelled += 1);
                self.write_end(&execution, Ending::Done);
                self.remove(key, released);
                false
            }
            outcome @ Some(Outcome::Again { .. }) => {
                let done = Done { outcome, ..done };
                self.swap_edit_of_pending(key, released);
                let Some(done) = self.record(engine, done, released) else {
                    return false;
                };
                self.settle_one(engine, done, released)
            }
            Some(Outcome::Done) => {
                self.tally.note(done.target, |counts| counts.succeeded += 1);
                if let Some(repeat) = self.jobs.repeat_mut(key) {
                    repeat.set_previous(execution.job_due);
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
        let repeat = self.jobs.repeat_mut(key);
        let passed = repeat.is_some_and(|repeat| repeat.set(Flag::Passed, false));
        if self.phase == Phase::Closed {
            self.swap_edit_of_pending(key, released);
            self.drop_one(key);
            self.remove(key, released);
            return false;
        }
        if !passed {
            self.park_again(engine, key);
            return false;
        }
        let edited = self.swap_edit_of_pending(key, released);
        if let (Some(then), Some(repeat)) = (edited, self.jobs.repeat_mut(key))
            && repeat.standing().triggered.is_none()
        {
            // What the edit counts from has not run: the first time after that comes.
            repeat.change(|standing| match then {
                Then::At(next) => standing.time = next,
                Then::AfterEnd(period) => standing.time = standing.last.saturating_add(period),
                Then::Unknown => {}
            });
        }
        let time = self.jobs.repeat(key).map(|repeat| repeat.standing().time);
        if time == Some(NEVER) {
            if let Some(execution) = self.jobs.execution(key) {
                let target = execution.payload.target();
                self.tally.note(target, |counts| counts.cancelled += 1);
                self.write_end(&execution, Ending::Done);
            }
            self.remove(key, released);
            return false;
        }
        if self.is_shared() {
            self.let_go_moved(key);
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
        let target = execution.payload.target();
        self.tally.note(target, |counts| counts.die(reason));
        let occurrence = self.jobs.repeat(key).map(Repeat::occurrence);
        let listed = execution.payload.for_dead(&mut failure);
        if let Some(repeat) = self.jobs.repeat_mut(key)
            && repeat.plan.terms().pause_on_dead
        {
            repeat.set(Flag::Paused, true);
        }
        let next = self.next_occurrence(engine, key, execution, released);
        let ending = Ending::Dead {
            reason,
            error: Cow::Owned(P::text(&failure)),
            died: engine.clock.wall(),
            next: next.map(Box::new),
        };
        self.write_end(execution, ending);
        let mut wake = self.come_again(key, next, released);
        // After it, whose place is in what was written.
        wake |= self.schedule_heir(engine, &mut failure, released);
        self.list_dead(
            engine,
            execution,
            (reason, failure, listed),
            occurrence.unwrap_or_default(),
            released,
        );
        wake
    }

    /// The same of a job that comes again as it is: it may be counted of another target from now on.
    fn swap_edit_of_pending(&mut self, key: Key, released: &mut Released<P>) -> Option<Then> {
        let from = self.target_of(key);
        let then = self.swap_edit(key, released);
        if let (Some(from), Some(to)) = (from, self.target_of(key)) {
            self.tally.note_moved(from, to);
        }
        then
    }

    /// The number of the target of a job in memory.
    pub(in crate::engine) fn target_of(&self, key: Key) -> Option<u32> {
        let entry = self.jobs.queue.get(key)?;
        Some(entry.value.payload.target())
    }

    /// Put what an edit has staged in the place of what has run; what comes next, if its schedule counts anew.
    fn swap_edit(&mut self, key: Key, released: &mut Released<P>) -> Option<Then> {
        let repeat = self.jobs.repeat_mut(key)?;
        let mut edit = *repeat.replace_edit(None)?;
        let (old_end, then) = (repeat.plan.terms().end, repeat.then());
        let standing = repeat.standing();
        let anew = edit.then;
        if anew.is_none() {
            edit.standing = Standing {
                time: standing.time,
                last: standing.last,
                anchor: standing.anchor,
                ..edit.standing
            };
        }
        edit.standing = edit.standing_after(&standing);
        let end = edit.plan.terms().end;
        let then = anew.unwrap_or(match then {
            // What is found by the new bounds is asked for when it is needed.
            Then::At(_) if end != old_end => Then::Unknown,
            then => then,
        });
        self.apply_edit(key, edit, released);
        self.jobs.repeat_mut(key)?.set_then(then);
        anew
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
        let (clock, mut standing) = (repeat.clock(), repeat.standing());
        standing.overdue = false;
        let now = moment_on(clock, boot, ahead);
        let time = match repeat.then() {
            Then::At(time) => time,
            Then::AfterEnd(period) => {
                let wall_ahead = ahead_of(clock, ahead);
                bounded(&repeat.plan, now.saturating_add(period), wall_ahead)
            }
            Then::Unknown if standing.triggered.is_some() => standing.time,
            // It ended without being taken up, as what a closing store leaves, or its bounds are others now.
            Then::Unknown => {
                let times = repeat.plan.times_on(clock, standing.anchor, ahead);
                let used = standing.time.max(standing.last);
                times.next(used).unwrap_or(NEVER)
            }
        };
        repeat.set_since(boot);
        standing.triggered = standing.wanted.take();
        standing.time = time;
        let is_used_up =
            (repeat.plan.terms().count).is_some_and(|count| standing.occurrence >= count);
        let is_last = is_used_up || (time == NEVER && standing.triggered.is_none());
        let is_over = is_last || repeat.is(Flag::Ends);
        standing.occurrence += u64::from(!is_over);
        repeat.set_standing(standing);
        if is_over {
            return None;
        }
        let (clock, due) = repeat.due();
        let mut standing = repeat.on_wall(ahead);
        let to = self.next_place(clock, due);
        let is_shared = self.is_shared();
        // Whoever takes it up does not know when this one ended.
        standing.overdue = is_shared && standing.triggered.is_none() && to.due < now;
        if self.phase == Phase::Closed || is_shared {
            self.reserve_seq(to.seq);
        }
        if is_shared {
            self.request_page_if_near(to, engine.clock.wall());
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
        let Some(next) = next.filter(|_| self.phase != Phase::Closed || self.residency.is_some())
        else {
            self.remove(key, released);
            return false;
        };
        if let Some(target) = self.target_of(key) {
            self.tally.note(target, |counts| counts.scheduled += 1);
        }
        // In a shared store it has been yielded, and comes with a page to whoever gets it.
        if self.phase == Phase::Closed || self.is_shared() {
            self.drop_one(key);
            self.remove(key, released);
            return false;
        }
        if let Some(detail) = self.jobs.make_detail(key) {
            detail.set_progress(Progress {
                run: next.run,
                ..Progress::NEW
            });
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
    pub(in crate::engine) fn write_end(
        &mut self,
        execution: &Execution<P>,
        outcome: Ending<'static>,
    ) {
        let seq = self.store_seq(execution.key, execution.sequence);
        if self.residency.is_some() {
            execution.id.with_str(|id| self.note_changed(id));
        }
        let next = match &outcome {
            Ending::Next(next)
            | Ending::Dead {
                next: Some(next), ..
            } => Some(next.to.seq),
            _ => None,
        };
        let yielded = next.filter(|_| self.is_shared()).map(Op::Yield);
        if let Some(residency) = &mut self.residency {
            residency.outbox.push(Op::Finish { seq, outcome });
            residency.outbox.extend(yielded.into_iter());
        }
    }
}

/// The time after the end of an occurrence, within the bounds of its terms.
fn bounded(plan: &Plan, time: i64, ahead: i64) -> i64 {
    let wall = time.saturating_add(ahead);
    let terms = plan.terms();
    let start = terms
        .start
        .map_or(time, |start| time.max(start.saturating_sub(ahead)));
    match terms.end {
        Some(end) if wall >= end => NEVER,
        _ => start,
    }
}
