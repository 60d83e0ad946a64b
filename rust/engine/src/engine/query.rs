//! Questions about what is pending, and the manual driving of an engine in virtual time.

use super::{Engine, Places, QueryPlace, Refused, State};
use crate::due::queue::{Key, Now};
use crate::handover::lateness::Summary;
use crate::handover::queue::HandoverQueue;
use crate::jobs::record::{Comes, Execution, Occurrence, Payload, Released, Stage, View};
use crate::jobs::repeat::Repeat;
use crate::residency::Lease;
use duewheel_store::{Answer, Error, Query, ask};

/// What an engine has done and holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stats {
    /// Jobs waiting, parked, or handed over and not started.
    pub pending: u64,
    /// Those of them that are parked.
    pub parked: u64,
    /// Jobs whose handler runs.
    pub running: u64,
    /// Jobs taken in.
    pub scheduled: u64,
    /// Executions started.
    pub started: u64,
    /// Jobs whose handler returned.
    pub succeeded: u64,
    /// Failures that were followed by another attempt.
    pub retried: u64,
    /// Executions that asked for another time.
    pub snoozed: u64,
    /// Jobs that ended as dead.
    pub dead: u64,
    /// Jobs withdrawn.
    pub cancelled: u64,
    /// Dead jobs made due again.
    pub revived: u64,
    /// Jobs forgotten by closing.
    pub dropped: u64,
    /// Times of repeats that were passed over or merged.
    pub missed: u64,
    /// Handlers that are past their timeout: whoever runs them says it.
    pub stuck: u64,
    /// Start minus due, of every start.
    pub lateness: Summary,
}

impl<P: Payload> Engine<P> {
    /// What it has done and holds; allowed after closing.
    pub fn stats(&self, released: &mut Released<P>) -> Stats {
        let mut state = self.state.lock();
        state.settle(self, released);
        let (mut running, mut started) = (0, 0);
        for lane in &self.lanes {
            let mut lane = lane.lock();
            // Ended after the settling, a moment ago: they count as running still.
            running += lane.under_way() as u64;
            started += lane.started;
            state.tally.starts.take(&mut lane.log);
            state.tally.starts.count_taken();
        }
        let counts = state.tally.all;
        Stats {
            pending: (state.jobs.queue.len() + state.evicted.running()) as u64 - running
                + state.paged_out(),
            parked: state.all_parked(),
            running,
            scheduled: counts.scheduled,
            started: started - counts.unstarted,
            succeeded: counts.succeeded,
            retried: counts.retried,
            snoozed: counts.snoozed,
            dead: counts.dead,
            cancelled: counts.cancelled,
            revived: counts.revived,
            dropped: counts.dropped,
            missed: counts.missed,
            stuck: 0,
            lateness: state.tally.starts.lateness().summary(),
        }
    }

    /// How many handlers run.
    pub fn running(&self) -> usize {
        self.lanes.iter().map(|lane| lane.lock().running).sum()
    }

    /// How many jobs are pending.
    ///
    /// # Errors
    ///
    /// [`Refused::Closed`].
    pub fn pending(&self, released: &mut Released<P>) -> Result<usize, Refused> {
        let mut state = self.open()?;
        state.settle(self, released);
        let here = state.jobs.queue.len() + state.evicted.running();
        Ok(here - self.under_way() + state.paged_out() as usize)
    }

    /// What tells how many jobs of the targets that have handlers here are stored, whichever node has them.
    pub fn unfinished(&self) -> Query {
        let state = self.state.lock();
        Query::Unfinished(state.lease().map(Lease::targets).unwrap_or_default())
    }

    /// Whether no job of the targets that have handlers here is in a store that nodes share.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub fn is_store_idle(&self) -> Result<bool, Error> {
        match self.store().filter(|_| self.is_shared()) {
            Some(store) => Ok(ask(&*store, self.unfinished())? == Answer::Count(0)),
            None => Ok(true),
        }
    }

    /// Look at the pending job with this id.
    ///
    /// # Errors
    ///
    /// [`Refused::Closed`].
    pub fn view<R>(
        &self,
        id: &str,
        look: impl FnOnce(View<'_, P>) -> R,
    ) -> Result<Option<R>, Refused> {
        let boot = self.clock.boot();
        let mut state = self.open()?;
        state.refresh(self, boot);
        Ok(state
            .jobs
            .find(id)
            .and_then(|key| state.view(self, key, look)))
    }

    /// Look at the pending job at this place, if it is still there.
    ///
    /// # Errors
    ///
    /// [`Refused::Closed`].
    pub fn view_at<R>(
        &self,
        place: QueryPlace,
        look: impl FnOnce(View<'_, P>) -> R,
    ) -> Result<Option<R>, Refused> {
        let state = self.open()?;
        let entry = state.jobs.queue.get(place.key());
        if entry.is_none_or(|entry| entry.sequence != place.order().1) {
            return Ok(None);
        }
        Ok(state.view(self, place.key(), look))
    }

    /// Where the job of this id is: `"running"`, `"handed"`, `"held"`, `"parked"` or `"waiting"`; `None`: not in memory.
    ///
    /// # Errors
    ///
    /// [`Refused::Closed`].
    pub fn stage_of(
        &self,
        id: &str,
        released: &mut Released<P>,
    ) -> Result<Option<&'static str>, Refused> {
        let mut state = self.open()?;
        state.settle(self, released);
        let Some(key) = state.jobs.find(id) else {
            return Ok(None);
        };
        Ok(Some(match state.jobs.stage(key) {
            Some(Stage::Parked) => "parked",
            Some(Stage::Waiting) => "waiting",
            Some(Stage::LaneBacklog) => "held",
            _ if state.is_pending(self, key) => "handed",
            _ => "running",
        }))
    }

    /// The sequence that comes next: what was scheduled before has a lower one.
    pub fn next_sequence(&self) -> u64 {
        self.state.lock().next_given()
    }

    /// Look at a job that was not in memory, if it has come in since.
    ///
    /// `None`: it has not. `Some(None)`: it has, and is no longer pending in the place of this sequence.
    ///
    /// # Errors
    ///
    /// [`Refused::Closed`].
    pub fn view_come_in<R>(
        &self,
        id: &str,
        sequence: u64,
        look: impl FnOnce(View<'_, P>) -> R,
    ) -> Result<Option<Option<R>>, Refused> {
        let state = self.open()?;
        let Some(key) = state.jobs.find(id) else {
            return Ok(None);
        };
        let entry = state.jobs.queue.get(key);
        if entry.is_none_or(|entry| entry.sequence != sequence) {
            return Ok(Some(None));
        }
        Ok(Some(state.view(self, key, look)))
    }

    /// Refuse what needs an engine that is not closed.
    ///
    /// # Errors
    ///
    /// [`Refused::Closed`].
    pub fn check_open(&self) -> Result<(), Refused> {
        self.open().map(drop)
    }

    /// The places of what is pending with `start <= due < end`, of all targets or of the one of this number, in order;
    /// all of it is read.
    ///
    /// # Errors
    ///
    /// [`Refused::Closed`].
    pub fn between(
        &self,
        start: Option<i64>,
        end: Option<i64>,
        target: Option<u32>,
    ) -> Result<Places, Refused> {
        let boot = self.clock.boot();
        let mut state = self.open()?;
        state.refresh(self, boot);
        if let (Some(end), Some(first)) = (end, state.known_first(self, boot))
            && first.is_none_or(|first| end <= first.due)
        {
            return Ok(Places::default());
        }
        Ok(state.places(self, (start, end), target).collect())
    }

    /// The first place of [`between`](Self::between).
    ///
    /// # Errors
    ///
    /// [`Refused::Closed`].
    pub fn next(
        &self,
        start: Option<i64>,
        end: Option<i64>,
    ) -> Result<Option<QueryPlace>, Refused> {
        let boot = self.clock.boot();
        let mut state = self.open()?;
        state.refresh(self, boot);
        let known = if start.is_none() {
            state.known_first(self, boot)
        } else {
            None
        };
        Ok(match known {
            Some(first) => first.filter(|place| end.is_none_or(|end| place.due < end)),
            None => state.places(self, (start, end), None).min(),
        })
    }

    /// Walk everything and report the first broken invariant.
    ///
    /// # Errors
    ///
    /// The invariant, in words.
    pub fn check(&self) -> Result<(), String> {
        let state = self.state.lock();
        state.jobs.check()?;
        state.check_residency()?;
        state.check_stages(self)?;
        state.check_counts()?;
        state.check_tally()
    }
}

impl<P: Payload> State<P> {
    /// The first place of all that is pending, where all of it waits on the wheel; `None`: a pass over it tells.
    fn known_first(&self, engine: &Engine<P>, boot: i64) -> Option<Option<QueryPlace>> {
        let handed = engine.lanes.iter().any(HandoverQueue::has_due);
        let is_all_queued = self.targets.parked_count() == 0
            && !handed
            && self.backlog_count() == 0
            && self.gates.is_empty();
        if !is_all_queued {
            return None;
        }
        let now = Now {
            wall: boot.saturating_add(self.jobs.offsets.measured()),
            boot,
        };
        let first = self.jobs.queue.first(now);
        Some(first.and_then(|key| self.place(key)))
    }

    /// Compare the stages of all jobs with what is noted of each stage.
    fn check_stages(&self, engine: &Engine<P>) -> Result<(), String> {
        let (mut parked, mut handed, mut backlog) = (0, self.evicted.running(), 0);
        for (key, entry) in self.jobs.queue.iter() {
            let stage = entry.value.stage();
            parked += usize::from(stage == Stage::Parked);
            handed += usize::from(stage == Stage::Handed);
            backlog += usize::from(stage == Stage::LaneBacklog);
            let waits = stage == Stage::Waiting && (entry.queued || !self.gates.may_hold_back(key));
            if entry.queued != waits {
                return Err(format!(
                    "{key:?} is in stage {stage:?}, and queued is {}",
                    entry.queued
                ));
            }
        }
        self.targets.check(parked)?;
        let out = engine.lanes.iter().map(|lane| {
            let lane = lane.lock();
            lane.queue.len() + lane.under_way()
        });
        let (out, listed) = (out.sum::<usize>(), self.backlog_count());
        let queues: Vec<_> = engine.lanes.iter().map(HandoverQueue::lock).collect();
        let running = queues.iter().map(|lane| lane.running).sum();
        let permits = || {
            let handed = queues.iter().flat_map(|lane| &lane.queue);
            let ended = queues.iter().flat_map(|lane| &lane.done);
            let handed = handed.map(|execution| execution.permit);
            handed.chain(ended.map(|done| done.permit))
        };
        let known = |number| {
            permits()
                .filter(|permit| permit.target() == Some(number))
                .count()
        };
        self.targets.controls.check(known, running)?;
        if (handed, backlog) != (out, listed) {
            return Err(format!(
                "{handed} jobs were handed over and {backlog} are in backlogs, {out} and {listed} are noted"
            ));
        }
        Ok(())
    }

    /// Compare how many jobs were taken in with what has become of them.
    fn check_counts(&self) -> Result<(), String> {
        let counts = self.tally.all;
        let taken_in = counts.scheduled + counts.revived;
        let ended = counts.succeeded + counts.dead + counts.cancelled + counts.dropped;
        // In a shared store more may have come from others than was paged out here.
        let paged_out = self.residency.as_ref();
        let paged_out = paged_out.map_or(0, |residency| residency.frontier.paged_out);
        let accounted = (self.jobs.queue.len() as u64 + ended) as i64 + paged_out;
        if taken_in as i64 != accounted {
            return Err(format!(
                "{taken_in} jobs were taken in, {accounted} are accounted for"
            ));
        }
        Ok(())
    }

    /// Whether a job is pending: in memory, and not started.
    pub(super) fn is_pending(&self, engine: &Engine<P>, key: Key) -> bool {
        match self.jobs.stage(key) {
            None => false,
            Some(Stage::Handed) => engine
                .lanes
                .iter()
                .any(|lane| lane.lock().find(key).is_some()),
            Some(_) => true,
        }
    }

    fn view<R>(
        &self,
        engine: &Engine<P>,
        key: Key,
        look: impl FnOnce(View<'_, P>) -> R,
    ) -> Option<R> {
        if !self.is_pending(engine, key) {
            return None;
        }
        let execution = self.jobs.execution(key)?;
        let occurrence = match execution.comes {
            Comes::Once => None,
            Comes::Again | Comes::Held => self.jobs.repeat(key).map(Repeat::occurrence),
        };
        Some(look(
            self.view_of(&execution, occurrence.unwrap_or_default()),
        ))
    }

    pub(super) fn view_of<'a>(
        &self,
        execution: &'a Execution<P>,
        occurrence: Occurrence,
    ) -> View<'a, P> {
        View {
            id: &execution.id,
            due: self.jobs.on_wall(execution.clock, execution.due),
            job_due: execution.job_due,
            progress: execution.progress,
            occurrence,
            payload: execution.payload,
        }
    }
}
