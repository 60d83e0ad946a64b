//! Marks of at-most-once jobs that wait in the workers' lane: several starts are noted with one commit.
//!
//! A job is marked in its place in the queue, so it is pending until it starts, and whatever takes it from there
//! without a start takes its mark back. Neither is done but under the engine's lock: so what the store is told is in the
//! order in which it happened.

use super::{Engine, Refused, State};
use crate::handover::lanes::Lane;
use crate::jobs::record::{Execution, Payload};
use duewheel_store::{Error, Op, Ticket};
use std::time::Duration;

/// How long a full disk is left alone, or a store waited for at once.
const RETRY: Duration = Duration::from_millis(100);

impl<P: Payload> Engine<P> {
    /// Mark at-most-once jobs while they wait for a worker: of both lanes at most so many that have not started.
    ///
    /// Not where nodes share a store: there a start is judged after its mark is settled, and a job has another sequence.
    pub fn mark_ahead(&self, most: usize) {
        let most = if self.is_shared() { 0 } else { most };
        self.lane(Lane::Workers).lock().ahead = most;
    }

    /// How many of a lane may be marked and not started: half of all that may, where both lanes have handlers.
    pub fn most_ahead(&self, most: usize) -> usize {
        self.state.lock().targets.most_ahead(most)
    }

    /// Do as [`Turn::Mark`](crate::handover::queue::Turn::Mark) says: mark what waits in a lane, and wait until that is
    /// settled, or for some time where the disk is full.
    pub fn mark(&self, lane: Lane) {
        match self.note_marks(lane) {
            Ok(ticket) => self.wait_marked(ticket),
            Err(Refused::Store(Error::Full)) => std::thread::sleep(RETRY),
            Err(error) => self.recall_marked(&error),
        }
        self.lane(lane).end_marking();
    }

    pub(super) fn note_marks(&self, lane: Lane) -> Result<Option<Ticket>, Refused> {
        let mut state = self.state.lock();
        let mut queue = self.lane(lane).lock();
        let most = state.targets.most_ahead(queue.ahead);
        let seqs = queue.mark(most);
        drop(queue);
        if seqs.is_empty() {
            return Ok(None);
        }
        let at = self.clock.wall();
        let ops: Vec<_> = seqs.into_iter().map(|seq| Op::Begin { seq, at }).collect();
        // After what waits for a full disk: it may be the end of an earlier mark of the same job.
        let ticket = state.submit(&ops);
        if ticket.is_err() {
            for execution in &mut self.lane(lane).lock().queue {
                let is_noted = |op: &Op<'_>| {
                    *op == Op::Begin {
                        seq: execution.sequence,
                        at,
                    }
                };
                execution.marked &= !ops.iter().any(is_noted);
            }
        }
        Ok(Some(ticket?))
    }

    pub(super) fn wait_marked(&self, ticket: Option<Ticket>) {
        let Some(ticket) = ticket else {
            return;
        };
        loop {
            match self.wait_settled(ticket, RETRY) {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => return self.recall_marked(&error),
            }
        }
    }

    /// The store takes no marks any more: what waits for them is pending again, until the timer finds why.
    #[cold]
    fn recall_marked(&self, error: &Refused) {
        let mut state = self.state.lock();
        if let (Refused::Store(error @ Error::Poisoned(_)), Some(backing)) = (error, &state.backing)
        {
            backing.inbox.fail(error.clone());
        }
        state.recall(self);
        state.asleep = None;
        drop(state);
        self.wake_timer();
    }
}

impl<P: Payload> State<P> {
    /// Where both lanes have handlers from now on, take back the marks that are one lane's share no longer.
    pub(super) fn halve_marks(&mut self, engine: &Engine<P>) {
        let Some(residency) = &mut self.residency else {
            return;
        };
        let mut lane = engine.lane(Lane::Workers).lock();
        let most = self.targets.most_ahead(lane.ahead);
        let marked = lane.queue.iter_mut().filter(|execution| execution.marked);
        let release = |execution: &mut Execution<P>| {
            execution.marked = false;
            Op::Release(execution.sequence)
        };
        residency.outbox.extend(marked.skip(most).map(release));
        drop(lane);
        let _ = self.catch_up();
    }

    /// Take back the mark of an execution that leaves its lane without a start, if it has one; to be followed by
    /// [`catch_up`](Self::catch_up), at once or by the batch that follows.
    pub(super) fn take_mark_back(&mut self, execution: &Execution<P>) {
        if execution.marked
            && let Some(residency) = &mut self.residency
        {
            residency.outbox.push(Op::Release(execution.sequence));
        }
    }
}
