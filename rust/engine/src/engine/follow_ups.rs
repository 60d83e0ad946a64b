//! What follows a job that was changed while it ran, once that has ended.

use super::calls::Change;
use super::{Engine, Phase, Refused, State};
use crate::due::queue::{ClockKind, Key};
use crate::jobs::follow_up::FollowUp;
use crate::jobs::record::{Detail, Done, Execution, Occurrence, Payload, Released};
use duewheel_model::outcome::{Cause, Outcome};
use duewheel_store::{Ending, Next, Progress, Standing};
use std::borrow::Cow;

/// Where and how a follow-up comes.
struct Coming {
    clock: ClockKind,
    due: i64,
    job_due: i64,
    progress: Progress,
}

impl<P: Payload> State<P> {
    /// Settle an execution that something follows; whether the timer is to be woken.
    pub(super) fn settle_followed(
        &mut self,
        engine: &Engine<P>,
        done: Done<P::Failure>,
        follow: FollowUp<P>,
        released: &mut Released<P>,
    ) -> bool {
        let Some(execution) = self.jobs.execution(done.key) else {
            released.payloads.push(follow.payload);
            return false;
        };
        let Some(outcome) = done.outcome else {
            let wake = self.settle_one(engine, done, released);
            self.change_unstarted(engine, &execution, follow, released);
            return wake;
        };
        let coming = self.coming(&execution, &outcome, follow.to);
        self.write_end_followed(engine, &execution, (&outcome, follow.to), &coming);
        let from = done.target;
        let is_closed = self.phase == Phase::Closed;
        let is_new = !matches!(outcome, Outcome::Again { .. });
        self.count_follow_up(execution.key, (from, follow.payload.target()), is_new);
        let mut wake = false;
        let old = self.take(execution.key);
        match outcome {
            Outcome::Dead {
                reason,
                mut failure,
            } => {
                wake |= self.schedule_heir(engine, &mut failure, released);
                self.tally.note(from, |counts| counts.dead += 1);
                let found = (reason, failure, old);
                self.list_dead(engine, &execution, found, Occurrence::default(), released);
            }
            Outcome::Done => {
                self.tally.note(from, |counts| counts.succeeded += 1);
                released.payloads.extend(old);
            }
            Outcome::Again { cause, .. } => {
                if !is_closed {
                    self.tally.note(from, |counts| match cause {
                        Cause::Retry => counts.retried += 1,
                        Cause::Snooze => counts.snoozed += 1,
                    });
                }
                released.payloads.extend(old);
            }
        }
        if is_closed {
            released.payloads.push(follow.payload);
            return wake;
        }
        let (clock, due) = (coming.clock, coming.due);
        let detail = Detail::new(execution.id, coming.job_due, coming.progress);
        let seq = self.next_given();
        self.put_detail(clock, due, seq, detail, follow.payload);
        self.mark_awake_if_earlier(clock, due) | wake
    }

    /// Count what follows of its target, or of the one that what has run was for.
    fn count_follow_up(&mut self, key: Key, (from, to): (u32, u32), is_new: bool) {
        let is_closed = self.phase == Phase::Closed;
        // In a file what follows is pending all the same.
        let comes = !is_closed || self.residency.is_some();
        if is_closed && (comes || !is_new) {
            self.drop_one(key);
        }
        if comes && is_new {
            self.tally.note(to, |counts| counts.scheduled += 1);
        } else if comes {
            self.tally.note_moved(from, to);
        }
    }

    /// Where a follow-up comes: what was updated at the due that it had, or that its retry has; what was replaced at its own.
    fn coming(
        &self,
        execution: &Execution<P>,
        outcome: &Outcome<P::Failure>,
        to: Option<(ClockKind, i64)>,
    ) -> Coming {
        let anew = Progress {
            run: execution.progress.run.saturating_add(1),
            ..Progress::NEW
        };
        match (outcome, to) {
            (Outcome::Again { due, progress, .. }, None) => Coming {
                clock: ClockKind::Boot,
                due: *due,
                job_due: execution.job_due,
                progress: *progress,
            },
            (_, None) => Coming {
                clock: execution.clock,
                due: execution.due,
                job_due: execution.job_due,
                progress: anew,
            },
            (_, Some((clock, due))) => Coming {
                clock,
                due,
                job_due: self.jobs.on_wall(clock, due),
                progress: anew,
            },
        }
    }

    /// Give the store the end of an execution, with what follows it.
    fn write_end_followed(
        &mut self,
        engine: &Engine<P>,
        execution: &Execution<P>,
        (outcome, given): (&Outcome<P::Failure>, Option<(ClockKind, i64)>),
        coming: &Coming,
    ) {
        if self.residency.is_none() {
            return;
        }
        let to = self.next_place(coming.clock, coming.due);
        if self.phase == Phase::Closed {
            self.reserve_seq(to.seq);
        }
        let next = Box::new(Next {
            to,
            clock: coming.clock,
            job_due: coming.job_due,
            run: coming.progress.run,
            standing: Standing::new(to.due),
        });
        let ending = match outcome {
            Outcome::Again { .. } if given.is_none() => Ending::Again {
                to,
                clock: coming.clock,
                progress: coming.progress.on_wall(self.jobs.offsets.measured()),
            },
            Outcome::Done | Outcome::Again { .. } => Ending::Next(next),
            Outcome::Dead { reason, failure } => Ending::Dead {
                reason: *reason,
                error: Cow::Owned(P::text(failure)),
                died: engine.clock.wall(),
                next: Some(next),
            },
        };
        self.write_end(execution, ending);
    }

    /// Change a job that was to follow what has not started after all.
    fn change_unstarted(
        &mut self,
        engine: &Engine<P>,
        execution: &Execution<P>,
        follow: FollowUp<P>,
        released: &mut Released<P>,
    ) {
        let (payload, boot) = (follow.payload, engine.clock.boot());
        let is_pending = self.withdraw(engine, execution.key);
        let change = Change {
            to: follow.to,
            boot,
            payload,
        };
        let changed = match (is_pending, follow.to) {
            (false, _) => Err(Refused::Closed),
            (true, None) => self.update(engine, execution, payload, released),
            (true, Some(to)) => self.replace(engine, execution, (to, change), released),
        };
        if changed.is_err() {
            // Closed: in a file it stays changed, and is pending there.
            released.payloads.push(payload);
        }
    }
}
