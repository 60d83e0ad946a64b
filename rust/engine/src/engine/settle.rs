//! How executions end: settling them, and the jobs that ended as dead.

use super::{Engine, PAGED_OUT_AT_ONCE, Phase, State};
use crate::due::queue::{ClockKind, Key};
use crate::handover::queue::Lane;
use crate::jobs::permit::Permit;
use crate::jobs::record::{Dead, Done, Execution, Occurrence, Payload, Released};
use duewheel_model::job::Progress;
use duewheel_model::outcome::{Cause, Outcome, Reason};
use duewheel_store::{Kept, Over};

/// How many dead jobs are kept in memory, the newest.
pub const DEAD_KEPT: usize = 1_000;

/// Settling fewer than this gives memory back on the way; where handlers are short, so that more end at once,
/// that is left to the timer, when nothing more is due.
const SHORT: usize = 8;

impl<P: Payload> Engine<P> {
    /// Settle what has ended, if that is all that is to do; `false`: it is not, and nothing was done.
    ///
    /// For a worker that keeps the interpreter meanwhile: [`settle_and_refill`](Self::settle_and_refill) may expire much, and
    /// closes the store.
    pub fn settle_briefly(&self, lane: Lane, released: &mut Released<P>) -> bool {
        let mut state = self.state.lock();
        let is_brief = state.phase != Phase::Closed && !self.lane(lane).lock().wants_more();
        if is_brief {
            state.settle(self, released);
        }
        is_brief
    }
}

impl<P: Payload> State<P> {
    /// Settle what has ended, and wake the timer where that made something due earlier.
    pub(super) fn settle(&mut self, engine: &Engine<P>, released: &mut Released<P>) {
        self.apply_revocations(engine);
        self.evicted.release(released);
        let mut ended = std::mem::take(&mut self.ended);
        self.collect(engine, &mut ended);
        let is_short = ended.len() < SHORT;
        let (has_gates, has_follow_ups) = (!self.gates.is_empty(), !self.follow_ups.is_empty());
        let is_plain = !has_gates && !has_follow_ups && self.backing.is_none();
        let mut wake = false;
        let mut frees = false;
        for done in &mut ended {
            let is_limited = done.permit != Permit::NONE;
            if is_plain && !is_limited && done.is_over_well() {
                self.end_well(done.key, done.target, released);
                continue;
            }
            let done = done.take();
            if has_gates || is_limited {
                frees = true;
                self.give_permit_back(engine, done.permit, done.key);
            }
            if done.comes_again {
                wake |= self.settle_repeat(engine, done, released);
            } else if has_follow_ups && let Some(follow) = self.follow_ups.remove(&done.key) {
                wake |= self.settle_followed(engine, done, follow, released);
            } else if let Some(done) = self.record(engine, done, released) {
                wake |= self.settle_one(engine, done, released);
            }
        }
        ended.clear();
        self.ended = ended;
        if frees {
            self.refill_open(engine);
        }
        if self.jobs.queue.has_spare() {
            if is_short {
                self.jobs.queue.trim();
            } else {
                wake |= self.asleep.take().is_some();
            }
        }
        wake |= self.send_outcomes(engine);
        self.page_out_held(PAGED_OUT_AT_ONCE, released);
        engine.notify(self);
        if wake {
            engine.wake_timer();
        }
    }

    /// Take what has ended from the lanes, and count what has started there.
    fn collect(&mut self, engine: &Engine<P>, ended: &mut Vec<Done<P::Failure>>) {
        let starts = &mut self.tally.starts;
        let mut workers = engine.ready().lock();
        std::mem::swap(ended, &mut workers.done);
        starts.take(&mut workers.log);
        drop(workers);
        starts.count_taken();
        if self.targets.has_handlers(Lane::Loop) || engine.lane(Lane::Loop).is_attached() {
            let mut on_loop = engine.lane(Lane::Loop).lock();
            ended.append(&mut on_loop.done);
            starts.take(&mut on_loop.log);
            drop(on_loop);
            starts.count_taken();
        }
        if self.receipts.is_some() {
            self.sift_by_receipts(engine.clock.boot(), ended);
        }
        self.tally.starts.count_ended(ended);
    }

    pub(super) fn settle_one(
        &mut self,
        engine: &Engine<P>,
        done: Done<P::Failure>,
        released: &mut Released<P>,
    ) -> bool {
        let (key, target) = (done.key, done.target);
        match done.outcome {
            Some(Outcome::Done) => {
                if let Some(result) = done.result
                    && self.residency.is_none()
                {
                    self.keep_here(engine, key, Over::Succeeded, result.0, String::new());
                }
                self.end_well(key, target, released);
                false
            }
            Some(Outcome::Again {
                due,
                cause,
                progress,
            }) => {
                if self.phase != Phase::Closed {
                    self.tally.note(target, |counts| match cause {
                        Cause::Retry => counts.retried += 1,
                        Cause::Snooze => counts.snoozed += 1,
                    });
                }
                self.again(key, due, progress, released)
            }
            Some(Outcome::Dead { reason, failure }) => {
                self.bury(engine, key, reason, failure, released)
            }
            None => {
                self.tally.note(target, |counts| counts.unstarted += 1);
                if self.phase == Phase::Closed {
                    self.drop_one(key);
                    self.remove(key, released);
                } else {
                    self.park_again(engine, key);
                }
                false
            }
        }
    }

    /// Keep in memory how a job ends.
    #[cold]
    fn keep_here(
        &mut self,
        engine: &Engine<P>,
        key: Key,
        over: Over,
        result: Vec<u8>,
        error: String,
    ) {
        let execution = self.jobs.execution(key);
        let kept = execution.and_then(|execution| self.kept_of(engine, &execution, over, result));
        if let Some(kept) = kept {
            self.note_kept(engine, Kept { error, ..*kept });
        }
    }

    /// A job is over, whose handler has returned.
    #[inline]
    fn end_well(&mut self, key: Key, target: u32, released: &mut Released<P>) {
        self.remove(key, released);
        self.tally.note(target, |counts| counts.succeeded += 1);
    }

    /// Make a job due again on the boot clock.
    fn again(
        &mut self,
        key: Key,
        due: i64,
        progress: Progress,
        released: &mut Released<P>,
    ) -> bool {
        // In a shared store it has been yielded, and comes with a page to whoever gets it.
        if self.phase == Phase::Closed || self.is_shared() {
            self.drop_one(key);
            self.remove(key, released);
            return false;
        }
        let Some(detail) = self.jobs.make_detail(key) else {
            return false;
        };
        detail.set_progress(progress);
        self.jobs.requeue(key, ClockKind::Boot, due);
        self.mark_awake_if_earlier(ClockKind::Boot, due)
    }

    fn bury(
        &mut self,
        engine: &Engine<P>,
        key: Key,
        reason: Reason,
        mut failure: P::Failure,
        released: &mut Released<P>,
    ) -> bool {
        let Some(execution) = self.jobs.execution(key) else {
            return false;
        };
        let target = execution.payload.target();
        self.tally.note(target, |counts| counts.die(reason));
        if execution.payload.keep().is_some() && self.residency.is_none() {
            let error = P::text(&failure);
            self.keep_here(engine, key, Over::Dead(reason), Vec::new(), error);
        }
        let payload = self.take(key);
        let wake = self.schedule_heir(engine, &mut failure, released);
        // The payload goes on living with the dead.
        let found = (reason, failure, payload);
        self.list_dead(engine, &execution, found, Occurrence::default(), released);
        wake
    }

    /// List a dead execution with a payload of its own, where memory alone keeps the dead.
    pub(super) fn list_dead(
        &mut self,
        engine: &Engine<P>,
        execution: &Execution<P>,
        (reason, failure, payload): (Reason, P::Failure, Option<P>),
        occurrence: Occurrence,
        released: &mut Released<P>,
    ) {
        let is_listed = payload.is_some_and(P::is_listed_when_dead)
            && self.phase != Phase::Closed
            && self.residency.is_none();
        let Some(payload) = payload.filter(|_| is_listed) else {
            // A store keeps its dead itself.
            released.payloads.extend(payload);
            released.failures.push(failure);
            return;
        };
        self.dead.push_back(Dead {
            id: execution.id.clone(),
            due: self.jobs.on_wall(execution.clock, execution.due),
            job_due: execution.job_due,
            progress: execution.progress,
            reason,
            died: engine.clock.wall(),
            occurrence,
            failure,
            payload,
        });
        if self.dead.len() > DEAD_KEPT
            && let Some(oldest) = self.dead.pop_front()
        {
            released.payloads.push(oldest.payload);
            released.failures.push(oldest.failure);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::engine::{Due, Pumped};
    use crate::handover::queue::Turn;
    use crate::testing::For;
    use std::sync::Arc;

    #[test]
    fn a_retry_is_settled_before_another_handler_may_take_long() {
        let clock = Arc::new(ManualClock::new(0, 0));
        let engine = Engine::new(Box::new(clock.clone())).unwrap();
        engine.set_registered(0, "", Some(Lane::Workers));
        engine.start().unwrap();
        for _ in 0..3 {
            engine
                .schedule(Due::In(0), For(0), &mut Released::default())
                .unwrap();
        }
        while engine.pump() == Pumped::More {}
        let turn = |done| engine.ready().turn(done, engine.clock());
        let failed = |turn| match turn {
            Turn::Run(started) => {
                Some(started.ended(Outcome::again(started.at, Cause::Retry, started.progress())))
            }
            other => panic!("{other:?}"),
        };
        let at_once = turn(failed(turn(None)));
        clock.set(10_000_000, 10_000_000);
        assert!(matches!(turn(failed(at_once)), Turn::Settle));
        engine.settle_and_refill(Lane::Workers, &mut Released::default());
        assert_eq!(engine.stats(&mut Released::default()).retried, 2);
        assert!(matches!(turn(None), Turn::Run(_)));
    }
}
