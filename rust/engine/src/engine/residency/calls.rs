//! What is asked of an engine whose jobs are kept: schedule, cancel, move, revive.

use super::{Asked, Changed, END};
use crate::due::queue::{ClockKind, Key, Now};
use crate::engine::{Due, Engine, Refused, State};
use crate::jobs::ids::Halves;
use crate::jobs::record::{Detail, Id, Parts, Payload, Record, Released};
use duewheel_store::{Answer, Error, Job, Op, Place, Progress, Query, Ticket};
use std::borrow::Cow;
use std::sync::Arc;

/// How many jobs of a bulk call go to the store in one batch.
const BATCH: usize = 4_096;
/// How many bytes of data at least make a batch full: a record has room for 4 GiB.
const BATCH_BYTES: usize = 1 << 30;
/// How many parked jobs one call puts aside: it holds the lock.
const FEW: usize = 256;

impl<P: Payload> Engine<P> {
    /// Schedule one job under a generated id. It is kept when the ticket is settled.
    ///
    /// # Errors
    ///
    /// As [`schedule`](Self::schedule), and those of the store: the payload stays the caller's.
    pub fn keep(
        &self,
        due: Due,
        payload: P,
        released: &mut Released<P>,
    ) -> Result<(Halves, Ticket), Refused> {
        let mut state = self.open_stored()?;
        let boot = self.clock.boot();
        state.refresh(self, boot);
        state.page_out_parked(FEW, released);
        let (clock, due) = state.resolve(due, boot)?;
        let stays = state.stays(clock, due);
        let id = state.new_id(boot, stays);
        let text = Id::Generated(id);
        let job_due = state.on_the_wall(clock, due);
        let place = state.next_place(clock, due);
        let created = boot.saturating_add(state.offset);
        let submitted = payload.parts(|parts| {
            text.with_str(|text| {
                let text = Cow::Borrowed(text);
                let job = new_job(text, parts, place, clock, job_due, created);
                state.submit_new(job, stays)
            })
        });
        let ticket = submitted.inspect_err(|_| state.not_paged_out(stays))?;
        state.counts.scheduled += 1;
        if stays {
            state.put(id, clock, due, payload);
            self.unlock_and_wake(state, clock, due);
        } else {
            state.reserve_seq(place.seq);
            released.payloads.push(payload);
        }
        Ok((id, ticket))
    }

    /// Schedule many jobs, in order; returns their ids.
    ///
    /// # Errors
    ///
    /// As [`keep`](Self::keep): then none is scheduled.
    pub fn keep_many(
        &self,
        due: impl Fn(i64) -> Due,
        times: &[i64],
        mut payload: impl FnMut() -> P,
        released: &mut Released<P>,
    ) -> Result<(Vec<Halves>, Ticket), Refused> {
        let boot = self.clock.boot();
        let mut state = self.open_stored()?;
        state.refresh(self, boot);
        for &time in times {
            state.resolve(due(time), boot)?;
        }
        let created = boot.saturating_add(state.offset);
        let mut ids = Vec::with_capacity(times.len());
        let mut ticket = Ticket(0);
        let mut taken: Vec<(u64, Option<Key>)> = Vec::with_capacity(times.len());
        let mut wake = false;
        let mut left = times.iter();
        while !left.as_slice().is_empty() {
            let before = taken.len();
            let mut ops = Vec::with_capacity(left.len().min(BATCH));
            let mut bytes = 0;
            while taken.len() - before < BATCH
                && bytes < BATCH_BYTES
                && let Some(&time) = left.next()
            {
                let (clock, due) = state.resolve(due(time), boot)?;
                let stays = state.stays(clock, due);
                let id = state.new_id(boot, stays);
                let place = state.next_place(clock, due);
                let payload = payload();
                bytes += payload.parts(|parts| parts.data.len());
                ops.push(Op::Insert(payload.parts(|parts| {
                    let text = Id::Generated(id).with_str(str::to_owned);
                    let text = Cow::Owned(text);
                    new_job(text, parts, place, clock, place.due, created).into_owned()
                })));
                if stays {
                    taken.push((place.seq, Some(state.put(id, clock, due, payload))));
                    wake |= state.mark_awake_if_earlier(clock, due);
                } else {
                    ops.push(Op::Yield(place.seq));
                    state.reserve_seq(place.seq);
                    taken.push((place.seq, None));
                    released.payloads.push(payload);
                }
                ids.push(id);
            }
            match state.submit(&ops) {
                Ok(submitted) => ticket = submitted,
                Err(error) => {
                    state.take_back(&taken, before, released);
                    return Err(error.into());
                }
            }
        }
        state.counts.scheduled += times.len() as u64;
        state.page_out_parked(usize::MAX, released);
        drop(state);
        if wake {
            self.sleeper.wake();
        }
        Ok((ids, ticket))
    }

    /// Schedule one job under a given id; may wait for the store.
    ///
    /// # Errors
    ///
    /// As [`keep`](Self::keep), and [`Refused::Duplicate`].
    pub fn keep_as(
        &self,
        id: &str,
        due: Due,
        payload: P,
        released: &mut Released<P>,
    ) -> Result<Ticket, Refused> {
        self.keep_with(id, due, None, payload, released)
    }

    /// Take in a pending execution as it stands: its first due and its progress.
    ///
    /// # Errors
    ///
    /// As [`keep_as`](Self::keep_as).
    pub fn restore_kept(
        &self,
        id: &str,
        job_due: i64,
        due: i64,
        progress: Progress,
        payload: P,
        released: &mut Released<P>,
    ) -> Result<Ticket, Refused> {
        let past = Some((job_due, progress));
        self.keep_with(id, Due::At(due), past, payload, released)
    }

    pub(super) fn keep_with(
        &self,
        id: &str,
        due: Due,
        past: Option<(i64, Progress)>,
        payload: P,
        released: &mut Released<P>,
    ) -> Result<Ticket, Refused> {
        let boot = self.clock.boot();
        let mut state = self.open_stored()?;
        state.settle(self, released);
        state.refresh(self, boot);
        let (clock, due) = state.resolve(due, boot)?;
        state.catch_up()?;
        let text: Arc<str> = id.into();
        let reserved = |state: &State<P>| {
            let residency = state.residency.as_ref();
            residency.is_some_and(|residency| residency.reserved.contains(&text))
        };
        if state.find(id).is_some() || reserved(&state) {
            return Err(Refused::Duplicate);
        }
        let mut stays = state.stays(clock, due);
        let place = state.next_place(clock, due);
        let created = boot.saturating_add(state.offset);
        let (job_due, progress) = past.unwrap_or((place.due, Progress::NEW));
        let mut job = payload.parts(|parts| {
            let id = Cow::Owned(id.to_owned());
            new_job(id, parts, place, clock, job_due, created).into_owned()
        });
        job.progress = progress;
        state.reserve_seq(place.seq);
        let paged_out = state.has_paged_out();
        let ticket = if paged_out {
            // Only the store knows whether a job that is away has this id.
            if let Some(residency) = &mut state.residency {
                residency.reserved.insert(text.clone());
            }
            // It counts when it is kept.
            state.not_paged_out(stays);
            state.hold_pages();
            drop(state);
            let answer = self.ask_with_pages_held(Query::Insert(vec![job]));
            state = self.state.lock();
            if let Some(residency) = &mut state.residency {
                residency.reserved.remove(&text);
            }
            // A page that was asked for meanwhile does not have it, and moves the frontier past it.
            stays |= state.is_passed(place);
            if let Err(error) = &answer {
                state.yield_if_in_doubt(error, id, place.seq);
            }
            let ticket = answer.and_then(|_| {
                let ticket = if stays {
                    state.submit(&[])
                } else {
                    state.yield_one(id, place.seq)
                };
                ticket.map_err(Refused::from)
            });
            if let Some(residency) = &mut state.residency
                && !stays
                && ticket.is_ok()
            {
                residency.paged_out += 1;
            }
            // Not before this call has let go of the lock.
            state.free_pages(self);
            ticket?
        } else {
            let submitted = state.submit_new(job, stays);
            submitted.inspect_err(|_| state.not_paged_out(stays))?
        };
        state.counts.scheduled += 1;
        state.page_out_parked(FEW, released);
        if stays {
            let detail = Detail {
                id: Id::Given(text),
                job_due,
                progress,
            };
            state.put_kept(clock, due, place.seq, detail, payload);
            self.unlock_and_wake(state, clock, due);
        } else {
            released.payloads.push(payload);
        }
        Ok(ticket)
    }

    /// Withdraw a pending job that is in memory.
    ///
    /// # Errors
    ///
    /// [`Refused::Closed`], and those of the store.
    pub fn cancel_kept(&self, id: &str) -> Result<Changed<P>, Refused> {
        let mut state = self.open_stored()?;
        let Some(key) = state.find(id).filter(|_| !state.is_shared()) else {
            return Ok(state.may_be_paged_out());
        };
        let Some(seq) = state.queue.get(key).map(|entry| entry.sequence) else {
            return Ok(Changed::No);
        };
        if !state.withdraw(self, key) {
            return Ok(Changed::No);
        }
        let ticket = match state.submit(&[Op::Delete(seq)]) {
            Ok(ticket) => ticket,
            Err(error) => {
                state.put_back(key);
                return Err(error.into());
            }
        };
        state.note_changed(id);
        let payload = state.take(key);
        state.counts.cancelled += 1;
        self.notify(&state);
        if state.has_paged_out() && state.has_room(self.now()) {
            self.sleeper.wake();
        }
        Ok(match payload {
            Some(payload) => Changed::Yes(payload, ticket),
            None => Changed::No,
        })
    }

    /// Withdraw a pending job that is away; waits for the store.
    ///
    /// # Errors
    ///
    /// [`Refused::Closed`], and those of the store.
    pub fn cancel_paged_out(
        &self,
        id: &str,
        released: &mut Released<P>,
    ) -> Result<Asked<()>, Refused> {
        let question = Query::Cancel(id.to_owned());
        self.change_paged_out(id, question, released, |state| {
            state.counts.cancelled += 1;
            state.left_paged_out(id);
            self.notify(state);
        })
    }

    /// Move a pending job that is in memory to a due on the wall clock.
    ///
    /// # Errors
    ///
    /// [`Refused::Closed`], and those of the store.
    pub fn reschedule_kept(&self, id: &str, due: i64) -> Result<Changed<()>, Refused> {
        let mut state = self.open_stored()?;
        let Some(key) = state.find(id).filter(|_| !state.is_shared()) else {
            return Ok(match state.may_be_paged_out() {
                Changed::<P>::PagedOut => Changed::PagedOut,
                _ => Changed::No,
            });
        };
        let Some(seq) = state.queue.get(key).map(|entry| entry.sequence) else {
            return Ok(Changed::No);
        };
        if !state.withdraw(self, key) {
            return Ok(Changed::No);
        }
        let to = state.next_place(ClockKind::Wall, due);
        let clock = ClockKind::Wall;
        let ticket = match state.submit(&[Op::Move { seq, to, clock }]) {
            Ok(ticket) => ticket,
            Err(error) => {
                state.put_back(key);
                return Err(error.into());
            }
        };
        state.note_changed(id);
        state.give_detail(key);
        state.requeue(key, ClockKind::Wall, due);
        self.unlock_and_wake(state, ClockKind::Wall, due);
        Ok(Changed::Yes((), ticket))
    }

    /// Move a pending job that is away; waits for the store. The job, if it is near now: it is to
    /// be taken in by [`load_one`](Self::load_one).
    ///
    /// # Errors
    ///
    /// [`Refused::Closed`], and those of the store.
    pub fn reschedule_paged_out(
        &self,
        id: &str,
        due: i64,
        released: &mut Released<P>,
    ) -> Result<Asked<Option<Job<'static>>>, Refused> {
        let mut state = self.open_stored()?;
        let to = state.next_place(ClockKind::Wall, due);
        state.reserve_seq(to.seq);
        drop(state);
        let clock = ClockKind::Wall;
        let question = Query::Move {
            id: id.to_owned(),
            to,
            clock,
        };
        let moved = self.change_paged_out(id, question, released, |state| {
            if state.is_shared() {
                return state.yield_one(id, to.seq).map(|_| false);
            }
            state.note_changed(id);
            let near = state.is_near(to);
            if let Some(residency) = &mut state.residency {
                residency.comes_no_more(id);
                if near {
                    // Until it is taken in.
                    residency.asking += 1;
                    residency.comes(id, to.seq);
                }
            }
            Ok(near)
        })?;
        let near = match moved {
            Asked::Yes(near) => near?,
            Asked::No => return Ok(Asked::No),
            Asked::Here => return Ok(Asked::Here),
        };
        if !near {
            return Ok(Asked::Yes(None));
        }
        match self.ask_with_pages_held(Query::Get(id.to_owned())) {
            Ok(Answer::Job(Some(job))) => Ok(Asked::Yes(Some(job))),
            answer => {
                self.load_none(to);
                answer.map(|_| Asked::Yes(None))
            }
        }
    }

    /// Make the newest dead job of this id due now, from attempt 1; waits for the store. The job
    /// is to be taken in by [`load_one`](Self::load_one).
    ///
    /// # Errors
    ///
    /// [`Refused::Closed`], [`Refused::Duplicate`], and those of the store.
    pub fn revive_kept(
        &self,
        id: &str,
        released: &mut Released<P>,
    ) -> Result<Option<Job<'static>>, Refused> {
        let mut state = self.open_stored()?;
        state.settle(self, released);
        state.catch_up()?;
        let boot = self.clock.boot();
        state.refresh(self, boot);
        let to = state.next_place(ClockKind::Boot, boot);
        state.reserve_seq(to.seq);
        // Until it is taken in.
        state.hold_pages();
        drop(state);
        let question = Query::Revive {
            id: id.to_owned(),
            to,
            clock: ClockKind::Boot,
        };
        match self.ask_with_pages_held(question) {
            Ok(Answer::Job(Some(job))) => {
                let mut state = self.state.lock();
                state.counts.revived += 1;
                if let Some(residency) = &mut state.residency {
                    residency.paged_out += 1;
                    residency.comes(id, job.place.seq);
                }
                Ok(Some(job))
            }
            answer => {
                self.load_none(to);
                if let Err(error) = &answer {
                    self.state.lock().yield_if_in_doubt(error, id, to.seq);
                }
                answer.map(|_| None)
            }
        }
    }
}

fn new_job<'a>(
    id: Cow<'a, str>,
    parts: Parts<'a>,
    place: Place,
    clock: ClockKind,
    job_due: i64,
    created: i64,
) -> Job<'a> {
    Job {
        id,
        target: Cow::Borrowed(parts.target),
        data: Cow::Borrowed(parts.data),
        place,
        clock,
        job_due,
        created,
        progress: Progress::NEW,
        interruptions: 0,
        options: parts.options,
    }
}

impl<P: Payload> State<P> {
    pub(super) fn submit_new(&mut self, job: Job<'_>, stays: bool) -> Result<Ticket, Error> {
        let seq = job.place.seq;
        let insert = Op::Insert(job);
        if stays {
            self.submit(&[insert])
        } else {
            self.submit(&[insert, Op::Yield(seq)])
        }
    }

    /// Whether a new job at this due is kept in memory; if not, it counts as away.
    pub(super) fn stays(&mut self, clock: ClockKind, due: i64) -> bool {
        let place = self.next_place(clock, due);
        let near = self.is_near(place);
        if let Some(residency) = &mut self.residency
            && !near
        {
            residency.paged_out += 1;
            if clock == ClockKind::Boot {
                residency.note_paged_out(self.offset, place.due);
            }
        }
        near
    }

    /// Whether a job that comes to this place belongs in memory; if not, the frontier is before it.
    pub(super) fn is_near(&mut self, place: Place) -> bool {
        let count = self.resident_count();
        let boot = self.offset_read;
        let now = boot.saturating_add(self.offset);
        if self.is_shared() {
            // It comes with a page, if this node gets it.
            self.request_page_if_near(place, now);
            return false;
        }
        let Some(residency) = &mut self.residency else {
            return true;
        };
        if residency.paging.is_some() {
            // It may or may not be in the page.
            return true;
        }
        if residency.paged_out == 0 {
            residency.frontier = END;
            residency.boot_paged_out = None;
        }
        let near = residency.reached(Now { wall: now, boot });
        let near = near.saturating_add(residency.window.horizon);
        let beyond = place.due > near || count >= residency.window.resident;
        if place < residency.frontier && !beyond {
            return true;
        }
        residency.frontier = residency.frontier.min(place);
        if count >= residency.window.resident {
            // It may be due before all for which there was room: then the timer must bring it in.
            let sleeper = residency.inbox.sleeper();
            if place.due <= now.saturating_add(residency.window.horizon) && self.is_first(place) {
                self.asleep = None;
                sleeper.wake();
            }
        }
        false
    }

    /// Whether a place is, or will be, before the frontier without having been looked for there.
    fn is_passed(&self, place: Place) -> bool {
        let residency = self
            .residency
            .as_ref()
            .filter(|residency| residency.lease.is_none());
        residency.is_some_and(|residency| residency.paging.is_some() || place < residency.frontier)
    }

    /// A new job was not taken in after all.
    pub(super) fn not_paged_out(&mut self, stays: bool) {
        if let Some(residency) = &mut self.residency {
            residency.paged_out -= i64::from(!stays);
        }
    }

    pub(super) fn may_be_paged_out(&self) -> Changed<P> {
        if self.has_paged_out() {
            Changed::PagedOut
        } else {
            Changed::No
        }
    }

    /// A page that is under way may hold this job as it was.
    pub(super) fn note_changed(&mut self, id: &str) {
        if let Some(residency) = &mut self.residency
            && residency.paging.is_some()
        {
            residency.changed.insert(id.to_owned());
        }
    }

    pub(super) fn left_paged_out(&mut self, id: &str) {
        self.note_changed(id);
        if let Some(residency) = &mut self.residency {
            residency
                .unreadable
                .retain(|_, known| known.as_deref() != Some(id));
            residency.came();
            residency.comes_no_more(id);
        }
    }

    /// Undo the part of a bulk call that was done; the store has the first `stored` of them.
    pub(super) fn take_back(
        &mut self,
        taken: &[(u64, Option<Key>)],
        stored: usize,
        released: &mut Released<P>,
    ) {
        let ops = taken[..stored].iter().map(|(seq, _)| Op::Delete(*seq));
        if let Some(residency) = &mut self.residency {
            residency.outbox.extend(ops);
            let paged_out = taken.iter().filter(|(_, key)| key.is_none()).count();
            residency.paged_out -= paged_out as i64;
        }
        for key in taken.iter().filter_map(|(_, key)| *key) {
            self.remove(key, released);
        }
        self.send();
    }

    /// Insert a job under an id that is free, with a sequence that was taken.
    pub(super) fn put_kept(
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
        let key = if self.is_shared() {
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use std::sync::Arc;

    impl Payload for () {
        type Failure = ();
        fn target(self) -> u32 {
            0
        }
    }

    /// A million of them may be in memory.
    #[test]
    fn a_job_without_a_past_comes_in_without_a_side() {
        let clock = ManualClock::new(100, 30);
        let engine = Engine::<()>::new(Box::new(Arc::new(clock))).unwrap();
        let mut state = engine.state.lock();
        let id = |high, low| Id::Generated([high, low]);
        let made = id(0x0189_0000_0000_7fff, 0x8000_0000_0000_0001);
        let detail = Detail {
            id: made,
            job_due: 90,
            progress: Progress::NEW,
        };
        // The due on the boot clock is 70 less than on the wall clock.
        assert!(state.plain(ClockKind::Wall, 90, &detail, ()).is_some());
        assert_eq!(state.offsets.jobs, [0; 3]);
        assert!(state.plain(ClockKind::Boot, 20, &detail, ()).is_some());
        assert_eq!(state.offsets.jobs, [1, 0, 0]);

        let others = [
            (91, detail.clone()),
            (
                90,
                Detail {
                    progress: Progress {
                        attempt: 2,
                        ..Progress::NEW
                    },
                    ..detail.clone()
                },
            ),
            (
                90,
                Detail {
                    progress: Progress {
                        run: 2,
                        ..Progress::NEW
                    },
                    ..detail.clone()
                },
            ),
            (
                90,
                Detail {
                    progress: Progress {
                        first_start: Some(0),
                        ..Progress::NEW
                    },
                    ..detail.clone()
                },
            ),
            (
                90,
                Detail {
                    id: Id::Given("given".into()),
                    ..detail.clone()
                },
            ),
            (
                90,
                Detail {
                    id: id(0x0189_0000_0000_4fff, 0x8000_0000_0000_0001),
                    ..detail.clone()
                },
            ),
            (
                90,
                Detail {
                    id: id(0x0189_0000_0000_7fff, 0xc000_0000_0000_0001),
                    ..detail
                },
            ),
        ];
        for (due, detail) in others {
            assert!(
                state.plain(ClockKind::Wall, due, &detail, ()).is_none(),
                "{detail:?}"
            );
            assert!(
                state
                    .plain(ClockKind::Boot, due - 70, &detail, ())
                    .is_none()
            );
        }
        assert_eq!(state.offsets.jobs, [1, 0, 0]);
    }
}
