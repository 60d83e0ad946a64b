//! Schedule many jobs: all of them or none.

use super::schedule::new_job;
use crate::due::queue::{ClockKind, Key};
use crate::engine::{Due, Engine, Refused, State};
use crate::jobs::ids::Halves;
use crate::jobs::record::{Id, Payload, Released};
use duewheel_store::{Op, Ticket};
use std::borrow::Cow;
use std::sync::MutexGuard;

/// How many jobs of a bulk call are taken in at once, and go to a store in one batch.
const BATCH: usize = 4_096;
/// How many bytes of data at least make a batch full: a record has room for 4 GiB.
const BATCH_BYTES: usize = 1 << 30;
impl<P: Payload> Engine<P> {
    /// Schedule many jobs, in order, all of them or none; returns their ids.
    ///
    /// `due` says what a time of `times` is: [`Due::At`] or [`Due::In`]. `payload` makes the
    /// payload of the next job, once it is certain that the engine takes it; all are for one target.
    ///
    /// # Errors
    ///
    /// As [`schedule`](Self::schedule).
    pub fn schedule_many(
        &self,
        due: impl Fn(i64) -> Due,
        times: &[i64],
        mut payload: impl FnMut() -> P,
        released: &mut Released<P>,
    ) -> Result<(Vec<Halves>, Ticket), Refused> {
        let boot = self.clock.boot();
        let mut state = self.open_to_change()?;
        state.refresh(self, boot);
        let offset = state.jobs.offsets.measured();
        for &time in times {
            state.resolve(due(time), boot)?;
        }
        let mut ids = Vec::with_capacity(times.len());
        let mut stored = Stored::default();
        let mut left = times.iter();
        while !left.as_slice().is_empty() {
            state = self.let_others_in(state)?;
            let moved = state.jobs.offsets.measured() != offset;
            let mut wake = false;
            let mut count = 0;
            while count < BATCH
                && stored.bytes < BATCH_BYTES
                && let Some(&time) = left.next()
            {
                let (clock, due) = match state.resolve(due(time), boot) {
                    Ok(resolved) => resolved,
                    // Only a stepped clock can make it overflow now: as late as can be, then.
                    Err(_) if moved => (ClockKind::Boot, i64::MAX - 1),
                    Err(refused) => return Err(refused),
                };
                let payload = payload();
                stored.target = payload.target();
                ids.push(state.add(clock, due, boot, payload, &mut stored, released));
                wake |= state.mark_awake_if_earlier(clock, due);
                count += 1;
            }
            state.write_batch(count, &mut stored, released)?;
            // At once: it counts as awake, and others do not wake it.
            if wake {
                self.sleeper.wake();
            }
        }
        state.page_out(usize::MAX, released);
        Ok((ids, stored.ticket))
    }

    /// Let others have the lock between two parts of a long call. A store may refuse a later part: there
    /// nothing of an earlier one may have started, and the lock is held throughout.
    fn let_others_in<'a>(
        &'a self,
        state: MutexGuard<'a, State<P>>,
    ) -> Result<MutexGuard<'a, State<P>>, Refused> {
        if state.residency.is_some() {
            return Ok(state);
        }
        drop(state);
        self.open()
    }
}

/// What of a bulk call goes to a store.
#[derive(Default)]
struct Stored {
    /// What all jobs are for.
    target: u32,
    ops: Vec<Op<'static>>,
    /// Of data in `ops`.
    bytes: usize,
    /// The sequences of all jobs of the call so far, and the keys of those in memory.
    taken: Vec<(u64, Option<Key>)>,
    /// How many of them the store has.
    written: usize,
    /// Of the last batch; by default [`AT_ONCE`](super::AT_ONCE).
    ticket: Ticket,
}

impl<P: Payload> State<P> {
    /// Take in one job of a bulk call, and note what a store is to be given of it.
    // Called for each of many: the call itself would take a tenth of it.
    #[inline(always)]
    fn add(
        &mut self,
        clock: ClockKind,
        due: i64,
        boot: i64,
        payload: P,
        stored: &mut Stored,
        released: &mut Released<P>,
    ) -> Halves {
        if self.residency.is_some() {
            return self.add_stored(clock, due, boot, payload, stored, released);
        }
        let id = self.jobs.new_id(boot, true);
        self.jobs.insert(id, clock, due, payload);
        id
    }

    #[inline(never)]
    fn add_stored(
        &mut self,
        clock: ClockKind,
        due: i64,
        boot: i64,
        payload: P,
        stored: &mut Stored,
        released: &mut Released<P>,
    ) -> Halves {
        let stays = self.admit_new(clock, due);
        let id = self.jobs.new_id(boot, stays);
        let place = self.next_place(clock, due);
        let created = boot.saturating_add(self.jobs.offsets.measured());
        let insert = payload.parts(|parts| {
            stored.bytes += parts.data.len();
            let id = Cow::Owned(Id::Generated(id).with_str(str::to_owned));
            Op::Insert(new_job(id, parts, place, clock, created).into_owned())
        });
        stored.ops.push(insert);
        let key = if stays {
            Some(self.jobs.insert(id, clock, due, payload))
        } else {
            stored.ops.push(Op::Yield(place.seq));
            self.reserve_seq(place.seq);
            released.payloads.push(payload);
            None
        };
        stored.taken.push((place.seq, key));
        id
    }

    /// Give the store the next batch of a bulk call. One that it refuses is undone with all before it.
    fn write_batch(
        &mut self,
        count: usize,
        stored: &mut Stored,
        released: &mut Released<P>,
    ) -> Result<(), Refused> {
        self.tally
            .note(stored.target, |counts| counts.scheduled += count as u64);
        if self.residency.is_none() {
            return Ok(());
        }
        match self.submit(&stored.ops) {
            Ok(ticket) => stored.ticket = ticket,
            Err(error) => {
                self.take_back(stored, released);
                return Err(error.into());
            }
        }
        stored.written = stored.taken.len();
        stored.bytes = 0;
        stored.ops.clear();
        Ok(())
    }

    fn take_back(&mut self, stored: &Stored, released: &mut Released<P>) {
        let taken = stored.taken.len() as u64;
        self.tally
            .note(stored.target, |counts| counts.scheduled -= taken);
        let ops = stored.taken[..stored.written]
            .iter()
            .map(|(seq, _)| Op::Delete(*seq));
        if let Some(residency) = &mut self.residency {
            residency.outbox.extend(ops);
            let paged_out = stored.taken.iter().filter(|(_, key)| key.is_none()).count();
            residency.frontier.paged_out -= paged_out as i64;
        }
        for key in stored.taken.iter().filter_map(|(_, key)| *key) {
            self.remove(key, released);
        }
        // Who needs them to be there asks again.
        let _ = self.catch_up();
    }
}
