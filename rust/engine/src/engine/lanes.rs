//! What is due goes to the lane of its handler, and no lane waits for another.
//!
//! While only one lane has handlers, the wheel holds back what does not fit. With more, what is due
//! for a full lane goes to its [`LaneBacklog`], and the others go on.

use super::{BATCH, Engine, Phase, Pumped, State};
use crate::due::queue::{DueQueue, Key, Now};
use crate::handover::lanes::{Lane, LaneBacklog, Lanes, Rank};
use crate::handover::queue::{Begun, CAPACITY, HandoverQueue};
use crate::jobs::record::{Execution, Payload, Record, Stage};
use crate::sleep::Until;
use crate::targets::Targets;
use duewheel_model::time::SECOND;

/// How long after a due the timer looks whether the event loop, which its own alarm was to call, has
/// come: in nanoseconds.
const ALARM_GRACE: i64 = SECOND / 10;

/// In so many batches a lane is full.
pub(crate) const BATCHES_OF_A_LANE: usize = CAPACITY / BATCH + 1;

impl<P: Payload> Engine<P> {
    /// The hand-over queue of a lane.
    #[inline]
    pub fn lane(&self, lane: Lane) -> &HandoverQueue<P> {
        &self.lanes[lane]
    }

    /// The event loop has come; `false`: the engine is closed, and nothing more is handed over.
    ///
    /// Where its own alarm may have called it, it does what the timer would: at the due one thread
    /// wakes up, not two.
    pub fn begin_drain(&self) -> bool {
        let Begun { open, alarm } = self.lane(Lane::Loop).begin_drain();
        if open && alarm && (0..BATCHES_OF_A_LANE).all(|_| self.pump() == Pumped::More) {
            // What is due is for nobody: the timer goes on, the loop has else to do.
            self.wake_timer();
        }
        open
    }

    /// While the event loop alone has handlers, have it called when something is due, and the timer
    /// only some time later; what the timer is to sleep for.
    pub(super) fn plan(&self, state: &State<P>, until: Until) -> Until {
        if state.targets.is_used(Lane::Workers) || !self.lane(Lane::Loop).set_alarm(until) {
            return until;
        }
        let later = |due: i64| due.saturating_add(ALARM_GRACE);
        Until {
            wall: until.wall.map(later),
            boot: until.boot.map(later),
        }
    }

    /// How many executions have started and are not settled.
    pub(super) fn under_way(&self) -> usize {
        self.lanes.iter().map(|lane| lane.lock().under_way()).sum()
    }
}

impl<P: Payload> State<P> {
    /// How many jobs are due for lanes that are full, or held.
    pub(super) fn backlog_count(&self) -> usize {
        let waiting: usize = self.backlogs.iter().map(LaneBacklog::len).sum();
        waiting + self.targets.controls.held_count()
    }

    /// Take a job out of the backlog of its lane, or of what its target holds, if it is in one.
    pub(super) fn leave_backlog(&mut self, engine: &Engine<P>, key: Key) {
        let Some(record) = self.jobs.queue.get_mut(key) else {
            return;
        };
        if record.stage() != Stage::LaneBacklog {
            return;
        }
        record.set_stage(Stage::Waiting);
        let number = record.payload.target();
        if self.targets.controls.is_limited(number) {
            let waits = |rank, key| is_held(&self.jobs.queue, number, rank, key);
            self.targets.controls.note_left(number, waits);
            self.see_held(engine, number);
            return;
        }
        // A target whose lane has changed has nothing in a backlog.
        let lane = self.targets.lane_of(number).unwrap_or(Lane::Workers);
        let within = (&self.jobs.queue, &self.targets, lane);
        self.backlogs[lane].note_left(|rank, key| is_in_backlog(within, rank, key));
    }

    /// Make all that is in backlogs, or held, wait again, in its old place.
    pub(super) fn requeue_backlogs(&mut self, engine: &Engine<P>) {
        self.requeue_held(engine);
        for lane in Lane::ALL {
            let mut backlog = std::mem::take(&mut self.backlogs[lane]);
            while let Some(key) = backlog
                .pop(|rank, key| is_in_backlog((&self.jobs.queue, &self.targets, lane), rank, key))
            {
                self.jobs.put_back(key);
            }
        }
        if !self.gates.is_empty() {
            self.open_gates(engine);
        }
    }

    /// The most room in a lane that is used, once each is refilled; full ones ask for more themselves.
    pub(super) fn make_room(&mut self, engine: &Engine<P>) -> usize {
        let mut most = 0;
        for lane in Lane::ALL {
            if self.targets.is_used(lane) {
                self.refill(engine, lane);
                let mut ready = engine.lane(lane).lock();
                let room = match self.targets.controls.are_prior(lane) {
                    // All that is due is to be known, to find what comes first.
                    true => BATCH,
                    false => ready.room(),
                };
                // Its runners refill it until nothing is due; what is inserted need not wake the timer.
                // A backlog is handed over by its own lane's runners only, one batch a refill.
                let has_more =
                    !self.backlogs[lane].is_empty() || self.targets.controls.has_open(lane);
                ready.room_wanted |= room == 0 || has_more;
                most = most.max(room);
            }
        }
        most
    }

    /// Hand over from the backlog of a lane, as far as there is room; whether anything was.
    fn refill(&mut self, engine: &Engine<P>, lane: Lane) -> bool {
        if self.targets.controls.are_active() {
            return self.refill_in_order(engine, lane);
        }
        if self.backlogs[lane].is_empty() {
            return false;
        }
        let mut room = engine.lane(lane).lock().room().min(BATCH);
        let mut outgoing = std::mem::take(&mut self.outgoing);
        while room > 0
            && let Some(key) = self.backlogs[lane]
                .pop(|rank, key| is_in_backlog((&self.jobs.queue, &self.targets, lane), rank, key))
        {
            if let Some(record) = self.jobs.queue.get_mut(key) {
                record.set_stage(Stage::Handed);
            }
            if let Some(execution) = self.jobs.execution(key) {
                outgoing.push(execution);
                room -= 1;
            }
        }
        let any = !outgoing.is_empty();
        engine.lane(lane).put(&mut outgoing);
        self.outgoing = outgoing;
        any
    }

    /// Hand over what has expired, each to its lane.
    pub(super) fn hand_over(&mut self, engine: &Engine<P>, outgoing: &mut Vec<Execution<P>>) {
        if self.targets.controls.are_active() {
            return self.hand_over_controlled(engine, outgoing);
        }
        if let Some(lane) = self.targets.only_lane() {
            return engine.lane(lane).put(outgoing);
        }
        let mut given = Lanes::<bool>::default();
        for execution in outgoing.drain(..) {
            let number = execution.payload.target();
            let lane = self.targets.lane_of(number).unwrap_or(Lane::Workers);
            let mut ready = engine.lane(lane).lock();
            if self.backlogs[lane].is_empty() && ready.room() > 0 {
                ready.queue.push_back(execution);
                given[lane] = true;
                continue;
            }
            ready.room_wanted = true;
            drop(ready);
            self.push_backlog(lane, &execution);
        }
        for lane in Lane::ALL {
            if given[lane] {
                let mut ready = engine.lane(lane).lock();
                engine.lane(lane).call(&mut ready);
            }
        }
    }

    pub(super) fn push_backlog(&mut self, lane: Lane, execution: &Execution<P>) {
        let (rank, key) = (self.rank(execution), execution.key);
        self.jobs.set_stage(key, Stage::LaneBacklog);
        self.backlogs[lane].push(rank, key);
    }

    /// Refill a lane from its backlog, or from the wheel; `true`: there may be more.
    pub(super) fn fill(&mut self, engine: &Engine<P>, lane: Lane, now: Now) -> bool {
        if self.phase != Phase::Started || !self.targets.is_used(lane) || !self.may_start() {
            return false;
        }
        self.open_targets(engine, now.boot);
        self.refill(engine, lane) || self.expire(engine, now, BATCH)
    }
}

/// Whether a listed job is still in the backlog of this lane, and in the same place.
pub(super) fn is_in_backlog<P: Payload>(
    (queue, targets, lane): (&DueQueue<Record<P>>, &Targets, Lane),
    rank: Rank,
    key: Key,
) -> bool {
    waiting_for(queue, rank, key).is_some_and(|number| {
        let of = targets.lane_of(number).unwrap_or(Lane::Workers);
        of == lane && !targets.controls.is_limited(number)
    })
}

/// Whether a listed job is still held by this target, and in the same place.
pub(super) fn is_held<P: Payload>(
    queue: &DueQueue<Record<P>>,
    number: u32,
    rank: Rank,
    key: Key,
) -> bool {
    waiting_for(queue, rank, key) == Some(number)
}

/// The target of a job that waits beside its lane, in this place.
fn waiting_for<P: Payload>(queue: &DueQueue<Record<P>>, rank: Rank, key: Key) -> Option<u32> {
    let entry = queue.get(key)?;
    let waits = entry.sequence == rank.sequence && entry.value.stage() == Stage::LaneBacklog;
    waits.then(|| entry.value.payload.target())
}
