//! The state behind the engine's lock, and the steps that are taken under it.

use super::residency::generated;
use super::{BATCH, Due, Engine, OFFSET_AGE, Phase, Refused, State};
use crate::due::queue::{ClockKind, DueQueue, Key, Now};
use crate::jobs::details::Details;
use crate::jobs::ids::{self, Halves, NOWHERE};
use crate::jobs::record::{Detail, Execution, Id, Payload, Record, Released, Stage};
use crate::targets::ParkedLists;
use duewheel_model::job::Progress;
use std::collections::{HashMap, VecDeque};

/// An index of ids that had room for no more is kept for others.
const FEW_IDS: usize = 4_096;

/// What has held the jobs of an engine.
pub(super) type Emptied<P> = (DueQueue<Record<P>>, ParkedLists);

impl<P: Payload> State<P> {
    /// Measure the offset between the clocks again, if it may have moved.
    #[inline]
    pub(super) fn refresh(&mut self, engine: &Engine<P>, boot: i64) {
        let clock = engine.clock();
        if boot.saturating_sub(self.offset_read) > OFFSET_AGE || clock.jitter() == 0 {
            self.measure(engine, boot);
        }
    }

    #[cold]
    pub(super) fn measure(&mut self, engine: &Engine<P>, boot: i64) {
        self.offset_read = boot;
        let offset = engine.clock.offset();
        if offset.abs_diff(self.offset) > engine.clock.jitter().unsigned_abs() {
            let back = offset < self.offset;
            self.offset = offset;
            self.offsets.step(offset);
            if let Some(residency) = &mut self.residency {
                residency.stepped(self.queue.next_sequence(), offset);
            }
            for lane in &engine.lanes {
                lane.lock().offset = offset;
            }
            if back {
                // What was due on the wall clock may not be any more.
                self.recall(engine);
                engine.wake_timer();
            }
        }
    }

    /// How many jobs count against the room of a store's window: those that are parked do not.
    pub(super) fn resident_count(&self) -> usize {
        self.queue.len() - self.targets.parked_count()
    }

    /// Make what was handed over and has not started wait again, in its old place.
    pub(super) fn recall(&mut self, engine: &Engine<P>) {
        for lane in &engine.lanes {
            let handed = std::mem::take(&mut lane.lock().queue);
            for Execution { key, .. } in handed {
                self.put_back(key);
            }
        }
        self.requeue_backlogs();
    }

    /// A job that was taken from where it waited, and did not start, waits there again.
    pub(super) fn put_back(&mut self, key: Key) {
        if let Some(record) = self.queue.get_mut(key) {
            record.set_stage(Stage::Waiting);
        }
        self.queue.put_back(key);
    }

    #[inline]
    pub(super) fn resolve(&self, due: Due, boot: i64) -> Result<(ClockKind, i64), Refused> {
        match due {
            Due::At(due) => Ok((ClockKind::Wall, due)),
            Due::In(delay) => {
                let due = boot.checked_add(delay);
                let due = due.filter(|due| due.checked_add(self.offset).is_some());
                let due = due.ok_or(Refused::Overflow(delay))?;
                Ok((ClockKind::Boot, due))
            }
        }
    }

    /// What a due on `clock` is on the wall clock, now.
    pub(super) fn on_the_wall(&self, clock: ClockKind, due: i64) -> i64 {
        match clock {
            ClockKind::Wall => due,
            ClockKind::Boot => due.saturating_add(self.offset),
        }
    }

    /// An id for the job that is inserted next, or for one that is not kept here.
    #[inline(always)]
    pub(super) fn new_id(&mut self, boot: i64, here: bool) -> Halves {
        let wall = boot.saturating_add(self.offset);
        let index = if here {
            self.queue.next_index()
        } else {
            NOWHERE
        };
        self.ids.make(wall, index)
    }

    /// Queue a new job.
    #[inline(always)]
    pub(super) fn put(&mut self, id: Halves, clock: ClockKind, due: i64, payload: P) -> Key {
        let slot = self.offsets.current;
        if clock == ClockKind::Boot && self.offsets.now() != self.offset {
            let job_due = self.on_the_wall(clock, due);
            let id = Id::Generated(id);
            let detail = Detail {
                id,
                job_due,
                progress: Progress::NEW,
            };
            let detail = self.details.insert(detail);
            let record = Record::with_detail(detail, payload);
            return self.queue.insert(clock, due, record);
        }
        if clock == ClockKind::Boot {
            self.offsets.jobs[slot] += 1;
            self.queue
                .insert(clock, due, Record::plain(id, slot as u8, payload))
        } else {
            self.queue.insert(clock, due, Record::plain(id, 3, payload))
        }
    }

    /// Insert a job under an id that is free; over a store, with a sequence that was taken.
    pub(super) fn put_detail(
        &mut self,
        clock: ClockKind,
        due: i64,
        sequence: u64,
        detail: Detail,
        payload: P,
    ) {
        let id = detail.id.clone();
        let record = self.plain(clock, due, &detail, payload);
        let record =
            record.unwrap_or_else(|| Record::with_detail(self.details.insert(detail), payload));
        let key = if self.residency.is_none() || self.is_shared() {
            self.queue.insert(clock, due, record)
        } else {
            self.queue.restore(clock, due, sequence, record)
        };
        self.set_store_seq(key, sequence);
        match id {
            Id::Given(id) => drop(self.given.insert(id, key)),
            Id::Generated(id) => self.index_id(id, key),
        }
    }

    /// A record that needs no side, if it says all that this side does.
    pub(super) fn plain(
        &mut self,
        clock: ClockKind,
        due: i64,
        detail: &Detail,
        payload: P,
    ) -> Option<Record<P>> {
        let Id::Generated(id) = detail.id else {
            return None;
        };
        let epoch = match clock {
            ClockKind::Wall => 3,
            ClockKind::Boot => self.offsets.current,
        };
        let record = Record::plain(id, epoch as u8, payload);
        let is_new = detail.progress == Progress::NEW;
        // Of a UUID of another version not all bits are kept.
        let is_said = record.id() == id && self.first_due(&record, due) == detail.job_due;
        if !(is_new && is_said) {
            return None;
        }
        if clock == ClockKind::Boot {
            self.offsets.jobs[epoch] += 1;
        }
        Some(record)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    /// The key of the job with this id, in whatever stage.
    #[inline]
    pub(super) fn find(&self, id: &str) -> Option<Key> {
        if let Some(halves) = ids::parse(id) {
            if let Some(key) = self.queue.key_at(self.ids.index(halves))
                && let Some(entry) = self.queue.get(key)
                && generated(entry.value, &self.details) == Some(halves)
            {
                return Some(key);
            }
            if let Some(key) = self.find_indexed(halves) {
                return Some(key);
            }
        }
        if self.given.is_empty() {
            None
        } else {
            self.given.get(id).copied()
        }
    }

    /// Make a pending job neither parked nor handed over; `false` when it is not pending.
    pub(super) fn withdraw(&mut self, engine: &Engine<P>, key: Key) -> bool {
        match self.queue.get(key).map(|entry| entry.value.stage()) {
            None => false,
            Some(Stage::Waiting) => true,
            Some(Stage::Parked) => {
                self.unpark(key);
                true
            }
            Some(Stage::LaneBacklog) => {
                self.leave_backlog(key);
                true
            }
            Some(Stage::Handed) => engine.lanes.iter().any(|lane| lane.lock().withdraw(key)),
        }
    }

    /// Give a new due and a new place.
    pub(super) fn requeue(&mut self, key: Key, clock: ClockKind, due: i64) {
        if let Some(record) = self.queue.get_mut(key) {
            record.set_stage(Stage::Waiting);
        }
        self.queue.requeue(key, clock, due);
    }

    /// Forget a job; its payload is the caller's again.
    pub(super) fn remove(&mut self, key: Key, released: &mut Released<P>) {
        released.payloads.extend(self.take(key));
    }

    #[inline]
    pub(super) fn take(&mut self, key: Key) -> Option<P> {
        let record = self.queue.remove(key)?;
        if self.residency.is_some() {
            self.forget_store_seq(key);
            self.unindex_id(key, &record);
        }
        match record.detail() {
            Some(detail) => self.forget_detail(detail),
            None if record.offset_slot() < 3 => {
                self.offsets.jobs[record.offset_slot() as usize] -= 1
            }
            None => {}
        }
        Some(record.payload)
    }

    fn forget_detail(&mut self, detail: usize) {
        if let Id::Given(id) = self.details.remove(detail).id {
            self.given.remove(&id);
            if self.given.is_empty() && self.given.capacity() > FEW_IDS {
                self.given = HashMap::new();
            }
        }
    }

    /// What held the jobs of a closed engine, once the last of them is gone: for the caller to drop.
    pub(super) fn give_up_memory(&mut self) -> Option<Emptied<P>> {
        if self.phase != Phase::Closed || !self.queue.is_empty() {
            return None;
        }
        let now = Now {
            wall: self.offset_read.saturating_add(self.offset),
            boot: self.offset_read,
        };
        let empty = DueQueue::with_sequence(now, self.queue.next_sequence());
        let parked = self.targets.take_parked_lists();
        self.details = Details::default();
        self.given = HashMap::new();
        self.dead = VecDeque::new();
        Some((std::mem::replace(&mut self.queue, empty), parked))
    }

    /// The number of a job's side, made now if it has none.
    pub(super) fn give_detail(&mut self, key: Key) -> Option<usize> {
        let entry = self.queue.get(key)?;
        let record = *entry.value;
        if let Some(detail) = record.detail() {
            return Some(detail);
        }
        let id = Id::Generated(record.id());
        let job_due = self.first_due(&record, entry.due);
        if record.offset_slot() < 3 {
            self.offsets.jobs[record.offset_slot() as usize] -= 1;
        }
        let detail = Detail {
            id,
            job_due,
            progress: Progress::NEW,
        };
        let detail = self.details.insert(detail);
        let mut with_detail = Record::with_detail(detail, record.payload);
        with_detail.set_stage(record.stage());
        *self.queue.get_mut(key)? = with_detail;
        Some(detail)
    }

    /// The due that a job without a side was first scheduled for.
    pub(super) fn first_due(&self, record: &Record<P>, due: i64) -> i64 {
        match record.offset_slot() {
            3 => due,
            slot => due.saturating_add(self.offsets.values[slot as usize]),
        }
    }

    /// Whether the timer sleeps past this due; from now on it counts as awake.
    #[inline]
    pub(super) fn mark_awake_if_earlier(&mut self, clock: ClockKind, due: i64) -> bool {
        let Some(until) = self.asleep else {
            return false;
        };
        let planned = match clock {
            ClockKind::Wall => until.wall,
            ClockKind::Boot => until.boot,
        };
        let earlier = self.phase == Phase::Started && planned.is_none_or(|planned| due < planned);
        if earlier {
            self.asleep = None;
        }
        earlier
    }

    /// Expire up to `max` entries and hand them over or park them; `true`: there may be more.
    pub(super) fn expire(&mut self, engine: &Engine<P>, now: Now, max: usize) -> bool {
        let mut keys = [Key {
            index: 0,
            generation: 0,
        }; BATCH];
        let mut count = 0;
        let progress = self.queue.expire(now, max, |key, record| {
            record.set_stage(Stage::Handed);
            keys[count] = key;
            count += 1;
        });
        if count > 0 {
            let mut outgoing = std::mem::take(&mut self.outgoing);
            let handed = |target: u32| self.targets.lane_of(target).is_some();
            outgoing.extend(
                keys[..count]
                    .iter()
                    .filter_map(|&key| self.execution(key))
                    .filter(|execution| handed(execution.payload.target())),
            );
            let parked = outgoing.len() < count;
            self.hand_over(engine, &mut outgoing);
            self.outgoing = outgoing;
            if parked {
                self.park_unregistered(engine, &keys[..count]);
            }
        }
        progress.more
    }

    pub(super) fn execution(&self, key: Key) -> Option<Execution<P>> {
        let entry = self.queue.get(key)?;
        let record = entry.value;
        let (id, job_due, progress) = match record.detail() {
            Some(detail) => {
                let detail = &self.details[detail];
                (detail.id.clone(), detail.job_due, detail.progress)
            }
            None => (
                Id::Generated(record.id()),
                self.first_due(record, entry.due),
                Progress::NEW,
            ),
        };
        Some(Execution {
            key,
            sequence: entry.sequence,
            id,
            clock: entry.kind,
            due: entry.due,
            job_due,
            progress,
            payload: record.payload,
        })
    }
}
