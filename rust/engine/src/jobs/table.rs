//! The table of jobs: the due-queue whose slab has a record of each, and what belongs to the records.

use crate::due::queue::{ClockKind, DueQueue, Entry, Key, Now, Progress as Expiry};
use crate::jobs::blocks::Blocks;
use crate::jobs::id_index::IdIndex;
use crate::jobs::ids::{Halves, IdList};
use crate::jobs::offsets::Offsets;
use crate::jobs::permit::Permit;
use crate::jobs::record::{Detail, Execution, Id, Payload, Record, Stage};
use crate::jobs::repeat::Repeat;
use crate::jobs::repeats::Plans;
use duewheel_model::job::Progress;

mod repeating;

/// Jobs by key, by id and by due.
///
/// - A record whose job says no more than its id, due and payload has no detail; one is made when
///   the job gets a past.
/// - A job that is taken out leaves nothing behind: its detail, its slot of an offset and what the
///   index knew of its id go with it. Its payload is the caller's again.
/// - What a stage means is not known here, nor who counts the jobs of a stage.
#[derive(Debug)]
pub(crate) struct JobTable<P: Payload> {
    pub(crate) queue: DueQueue<Record<P>>,
    pub(crate) offsets: Offsets,
    details: Blocks<Detail>,
    repeats: Blocks<Repeat<P>>,
    plans: Plans,
    ids: IdIndex,
}

impl<P: Payload> JobTable<P> {
    /// # Errors
    ///
    /// When the operating system has no randomness to give.
    pub(crate) fn new(offset: i64, boot: i64) -> std::io::Result<Self> {
        let offsets = Offsets::new(offset, boot);
        Ok(JobTable {
            queue: DueQueue::new(offsets.measured_now()),
            offsets,
            details: Blocks::default(),
            repeats: Blocks::default(),
            plans: Plans::default(),
            ids: IdIndex::new()?,
        })
    }

    /// What a due on `clock` is on the wall clock, now.
    #[inline]
    pub(crate) fn on_wall(&self, clock: ClockKind, due: i64) -> i64 {
        self.offsets.on_wall(clock, due)
    }

    /// Make an id for the job that is [inserted](Self::insert) next, or for one that is not to be in memory.
    #[inline(always)]
    pub(crate) fn new_id(&mut self, boot: i64, in_memory: bool) -> Halves {
        let wall = boot.saturating_add(self.offsets.measured());
        let index = in_memory.then(|| self.queue.next_index());
        self.ids.make(wall, index)
    }

    /// Insert a new job under an id that was [made](Self::new_id) for it.
    #[inline(always)]
    pub(crate) fn insert(&mut self, id: Halves, clock: ClockKind, due: i64, payload: P) -> Key {
        let slot = match clock {
            ClockKind::Wall => None,
            ClockKind::Boot => match self.offsets.take() {
                None => return self.insert_without_slot(id, clock, due, payload),
                slot => slot,
            },
        };
        self.queue
            .insert(clock, due, Record::plain(id, slot, payload))
    }

    #[cold]
    fn insert_without_slot(&mut self, id: Halves, clock: ClockKind, due: i64, payload: P) -> Key {
        let job_due = self.offsets.on_wall(clock, due);
        let detail = Detail::new(Id::Generated(id), job_due, Progress::NEW);
        let number = self.details.insert(detail);
        self.queue
            .insert(clock, due, Record::with_detail(number, payload))
    }

    /// Insert a job under an id that is free, with a sequence that was given out before, or a new one.
    pub(crate) fn insert_stored(
        &mut self,
        clock: ClockKind,
        due: i64,
        sequence: Option<u64>,
        detail: Detail,
        payload: P,
    ) -> Key {
        let id = detail.id.clone();
        let record = self.plain(clock, due, &detail, payload);
        let record =
            record.unwrap_or_else(|| Record::with_detail(self.details.insert(detail), payload));
        let key = match sequence {
            Some(sequence) => self.queue.restore(clock, due, sequence, record),
            None => self.queue.insert(clock, due, record),
        };
        self.index(id, key);
        key
    }

    /// A record that needs no detail, if it says all that this one does.
    fn plain(
        &mut self,
        clock: ClockKind,
        due: i64,
        detail: &Detail,
        payload: P,
    ) -> Option<Record<P>> {
        let Id::Generated(id) = detail.id else {
            return None;
        };
        let slot = match clock {
            ClockKind::Wall => None,
            ClockKind::Boot => Some(self.offsets.take()?),
        };
        let record = Record::plain(id, slot, payload);
        let is_new = detail.progress() == Progress::NEW;
        // Of a UUID of another version not all bits are kept.
        let is_said = record.id() == id && self.offsets.first_due(slot, due) == detail.job_due;
        if !(is_new && is_said) {
            self.offsets.release(slot);
            return None;
        }
        Some(record)
    }

    fn index(&mut self, id: Id, key: Key) {
        let (queue, details) = (&self.queue, &self.details);
        self.ids
            .insert(id, key, |index| id_at(queue, details, index));
    }

    /// The key of the job with this id, in whatever stage.
    #[inline]
    pub(crate) fn find(&self, id: &str) -> Option<Key> {
        let (queue, details) = (&self.queue, &self.details);
        self.ids.find(id, |index| id_at(queue, details, index))
    }

    /// The key of the job with one of these ids.
    #[inline]
    pub(crate) fn find_listed(&self, ids: &impl IdList, at: usize) -> Option<Key> {
        let Some(id) = ids.generated(at) else {
            return self.find(&ids.text(at));
        };
        let (queue, details) = (&self.queue, &self.details);
        let found = (self.ids).find_generated(id, |index| id_at(queue, details, index));
        found.or_else(|| self.ids.find_given(|| ids.text(at)))
    }

    /// Take a job out, whatever its stage.
    #[inline]
    pub(crate) fn take(&mut self, key: Key) -> Option<P> {
        let record = self.queue.remove(key)?;
        match record.detail() {
            Some(number) => {
                if let Some(repeat) = record.repeat() {
                    self.repeats.remove(repeat);
                }
                self.remove_detail(number, key);
            }
            None => {
                self.offsets.release(record.offset_slot());
                self.ids.remove_generated(record.id(), key);
            }
        }
        Some(record.payload)
    }

    fn remove_detail(&mut self, number: usize, key: Key) {
        match self.details.remove(number).id {
            Id::Given(id) => self.ids.remove_given(&id),
            Id::Generated(id) => self.ids.remove_generated(id, key),
        }
    }

    /// The detail of a job, made now if it has none.
    pub(crate) fn make_detail(&mut self, key: Key) -> Option<&mut Detail> {
        let entry = self.queue.get(key)?;
        let record = *entry.value;
        let number = match record.detail() {
            Some(number) => number,
            None => {
                let job_due = self.offsets.first_due(record.offset_slot(), entry.due);
                let detail = Detail::new(Id::Generated(record.id()), job_due, Progress::NEW);
                self.offsets.release(record.offset_slot());
                let number = self.details.insert(detail);
                let mut with_detail = Record::with_detail(number, record.payload);
                with_detail.set_stage(record.stage());
                *self.queue.get_mut(key)? = with_detail;
                number
            }
        };
        Some(&mut self.details[number])
    }

    /// The stage of a job.
    #[inline]
    pub(crate) fn stage(&self, key: Key) -> Option<Stage> {
        self.queue.get(key).map(|entry| entry.value.stage())
    }

    /// The sequence of a job; 0: it is not here.
    #[inline]
    pub(crate) fn sequence(&self, key: Key) -> u64 {
        self.queue.get(key).map_or(0, |entry| entry.sequence)
    }

    /// Give a job another stage.
    pub(crate) fn set_stage(&mut self, key: Key, stage: Stage) {
        if let Some(record) = self.queue.get_mut(key) {
            record.set_stage(stage);
        }
    }

    /// Give a job a new due and a new place, whether it is queued or out.
    pub(crate) fn requeue(&mut self, key: Key, clock: ClockKind, due: i64) {
        self.set_stage(key, Stage::Waiting);
        self.queue.requeue(key, clock, due);
    }

    /// Queue a job that is out in its old place.
    pub(crate) fn put_back(&mut self, key: Key) {
        self.set_stage(key, Stage::Waiting);
        self.queue.put_back(key);
    }

    /// Take a job off the wheel, as if it had expired; what is handed over of it.
    pub(crate) fn take_off(&mut self, key: Key) -> Option<Execution<P>> {
        self.queue.take_off(key).then(|| self.execution(key))?
    }

    /// What is handed over of a job.
    pub(crate) fn execution(&self, key: Key) -> Option<Execution<P>> {
        let entry = self.queue.get(key)?;
        Some(execution(&self.details, &self.offsets, key, &entry))
    }

    /// Expire up to `max` jobs, which count as handed over from now on.
    #[inline]
    pub(crate) fn expire(
        &mut self,
        now: Now,
        max: usize,
        mut out: impl FnMut(Execution<P>),
    ) -> Expiry {
        let JobTable {
            queue,
            offsets,
            details,
            ..
        } = self;
        let touch = |record: &Record<P>| {
            std::hint::black_box(record.payload);
        };
        queue.expire_each(now, max, touch, |expired| {
            expired.value.set_stage(Stage::Handed);
            let entry = Entry {
                kind: expired.kind,
                due: expired.due,
                sequence: expired.sequence,
                queued: false,
                value: &*expired.value,
            };
            out(execution(details, offsets, expired.key, &entry));
        })
    }

    /// Begin anew with nothing, and return the due-queue, for the caller to drop.
    pub(crate) fn clear(&mut self) -> DueQueue<Record<P>> {
        let now = self.offsets.measured_now();
        let empty = DueQueue::with_sequence(now, self.queue.next_sequence());
        self.details = Blocks::default();
        self.repeats = Blocks::default();
        self.ids.clear();
        std::mem::replace(&mut self.queue, empty)
    }

    /// Report the first broken invariant.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.queue.check()?;
        let mut details = 0;
        for (key, entry) in self.queue.iter() {
            if let Some(number) = entry.value.detail() {
                details += 1;
                if self.details.get(number).is_none() {
                    return Err(format!("{key:?} has lost its detail"));
                }
            }
        }
        if details != self.details.len() {
            return Err(format!(
                "{details} details were counted, {} are noted",
                self.details.len()
            ));
        }
        let records = || self.queue.iter().map(|(key, entry)| (key, entry.value));
        let plain = records().filter(|(_, record)| record.detail().is_none());
        self.offsets
            .check(plain.filter_map(|(_, record)| record.offset_slot()))?;
        let jobs = records().map(|(key, record)| {
            let given = match record.detail().map(|number| &self.details[number].id) {
                Some(Id::Given(id)) => Some(id),
                _ => None,
            };
            (key, generated_id(record, &self.details), given)
        });
        let (queue, details) = (&self.queue, &self.details);
        self.ids.check(jobs, |index| id_at(queue, details, index))
    }
}

/// What is handed over of the job of an entry.
#[inline]
fn execution<P: Payload>(
    details: &Blocks<Detail>,
    offsets: &Offsets,
    key: Key,
    entry: &Entry<'_, Record<P>>,
) -> Execution<P> {
    let record = entry.value;
    let (id, job_due, progress) = match record.detail() {
        Some(number) => {
            let detail = &details[number];
            (detail.id.clone(), detail.job_due, detail.progress())
        }
        None => (
            Id::Generated(record.id()),
            offsets.first_due(record.offset_slot(), entry.due),
            Progress::NEW,
        ),
    };
    Execution {
        key,
        sequence: entry.sequence,
        id,
        clock: entry.kind,
        comes: record.comes(),
        marked: false,
        permit: Permit::NONE,
        due: entry.due,
        job_due,
        progress,
        payload: record.payload,
    }
}

/// The id of a job, if an engine made it.
#[inline]
fn generated_id<P: Payload>(record: &Record<P>, details: &Blocks<Detail>) -> Option<Halves> {
    match record.detail() {
        None => Some(record.id()),
        Some(number) => match details[number].id {
            Id::Generated(id) => Some(id),
            Id::Given(_) => None,
        },
    }
}

/// The key, and the generated id, of the job at a place of the slab.
#[inline]
fn id_at<P: Payload>(
    queue: &DueQueue<Record<P>>,
    details: &Blocks<Detail>,
    index: u32,
) -> Option<(Key, Option<Halves>)> {
    let key = queue.key_at(index)?;
    let Entry { value, .. } = queue.get(key)?;
    Some((key, generated_id(value, details)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::For;

    const ID: Halves = [0x0189_0000_0000_7fff, 0x8000_0000_0000_0001];

    fn detail(job_due: i64) -> Detail {
        Detail::new(Id::Generated(ID), job_due, Progress::NEW)
    }

    /// A million of them may be in memory.
    #[test]
    fn a_stored_job_without_a_past_needs_no_detail() {
        // A due on the boot clock is 70 less than on the wall clock.
        let mut jobs = JobTable::new(70, 30).unwrap();
        let mut seqs = 0..;
        for (clock, due) in [(ClockKind::Wall, 90), (ClockKind::Boot, 20)] {
            let key = jobs.insert_stored(clock, due, seqs.next(), detail(90), For(1));
            jobs.check().unwrap();
            assert_eq!(jobs.details.len(), 0);
            assert_eq!(jobs.execution(key).unwrap().job_due, 90);
            let id = Id::Generated(ID).with_str(str::to_owned);
            assert_eq!(jobs.find(&id), Some(key));
            jobs.take(key).unwrap();
            assert_eq!(jobs.find(&id), None);
        }
        let with = |progress| Detail::new(Id::Generated(ID), 90, progress);
        let named = |id| Detail::new(id, 90, Progress::NEW);
        let others = [
            detail(91),
            with(Progress {
                attempt: 2,
                ..Progress::NEW
            }),
            with(Progress {
                run: 2,
                ..Progress::NEW
            }),
            with(Progress {
                first_start: Some(0),
                ..Progress::NEW
            }),
            named(Id::Given("given".into())),
            // Of another version, or variant.
            named(Id::Generated([ID[0] & !0x3000, ID[1]])),
            named(Id::Generated([ID[0], ID[1] | 1 << 62])),
        ];
        for other in others {
            for (clock, due) in [(ClockKind::Wall, 90), (ClockKind::Boot, 20)] {
                let key = jobs.insert_stored(clock, due, seqs.next(), other.clone(), For(1));
                jobs.check().unwrap();
                assert_eq!(jobs.details.len(), 1, "{other:?}");
                let execution = jobs.execution(key).unwrap();
                assert_eq!(execution.id, other.id);
                assert_eq!(execution.progress, other.progress());
                let id = other.id.with_str(str::to_owned);
                assert_eq!(jobs.find(&id), Some(key));
                jobs.take(key).unwrap();
            }
        }
        jobs.check().unwrap();
    }

    #[test]
    fn a_job_keeps_its_first_due_when_it_gets_a_detail_and_more_offsets_than_slots() {
        let mut jobs = JobTable::new(0, 0).unwrap();
        let mut keys = Vec::new();
        for offset in 0..6 {
            jobs.offsets.step(offset);
            let id = jobs.new_id(0, true);
            keys.push(jobs.insert(id, ClockKind::Boot, 1_000, For(1)));
            jobs.check().unwrap();
        }
        let first_dues = |jobs: &JobTable<For>| -> Vec<i64> {
            let execution = |key| jobs.execution(key).unwrap();
            keys.iter().map(|&key| execution(key).job_due).collect()
        };
        let dues: Vec<i64> = (1_000..1_006).collect();
        assert_eq!(first_dues(&jobs), dues);
        for &key in &keys {
            jobs.make_detail(key).unwrap();
            jobs.requeue(key, ClockKind::Wall, 5);
            jobs.check().unwrap();
        }
        assert_eq!(first_dues(&jobs), dues);
        assert_eq!(jobs.details.len(), 6);
        jobs.clear();
        jobs.check().unwrap();
    }
}
