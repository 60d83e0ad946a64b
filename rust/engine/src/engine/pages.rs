//! Pages: what is not in memory comes in before it is due.

use super::{Engine, Phase, Refused, State};
use crate::due::queue::{ClockKind, Now};
use crate::engine::repeats::FoundRepeat;
use crate::jobs::ids;
use crate::jobs::record::{Detail, Id, Payload, Released};
use crate::residency::Residency;
use crate::sleep::Until;
use duewheel_store::{Answer, Error, Job, Page, Place, Query, Unreadable};

impl<P: Payload> Engine<P> {
    /// The page to ask for now, if one is wanted and none is under way.
    pub fn page_wanted(&self) -> Option<Query> {
        let now = self.now();
        let mut state = self.state.lock();
        // Of a shared store pages come by the inbox alone, in the order of what it takes back.
        let asks = !state.is_shared();
        asks.then(|| state.begin_wanted_page(now)).flatten()
    }

    /// Up to where all that is due must be in memory before it runs, where other processes wait until it does: all else
    /// comes while it runs.
    pub fn due_soon(&self) -> i64 {
        let now = self.now();
        let state = self.state.lock();
        let residency = state.residency.as_ref();
        residency.map_or(i64::MIN, |residency| residency.frontier.soon(now))
    }

    /// The next page of what is due before this time, if any of that may not be in memory.
    pub fn page_before(&self, until: i64) -> Option<Query> {
        let mut state = self.state.lock();
        let count = state.resident_count();
        let residency = state.residency.as_mut()?;
        let lacks = residency.frontier.lacks_before(until, count);
        lacks.then(|| residency.begin_page(until, count))
    }

    /// The next page, if what is not in memory may be due before all that is.
    pub fn page_before_next(&self) -> Option<Query> {
        // What is due may be held, or come after what is not in memory.
        let mut state = self.expired_by_hand();
        let now = self.now();
        if state.is_shared() {
            return None;
        }
        if let Some(page) = state.begin_held_page(now) {
            return Some(page);
        }
        let mut first = state.first_order(now);
        if state.targets.controls.are_active() {
            // Of what is due at one time the rank decides, not the sequence: all of it is to be here.
            first = first.map(|(due, _)| (due, u64::MAX));
        }
        let count = state.resident_count();
        let residency = state.residency.as_mut()?;
        let may_be_first = residency.frontier.may_be_first(now, first);
        may_be_first.then(|| residency.begin_page(i64::MAX, count))
    }

    /// Whether other nodes share its store: what is pending is known to that alone.
    pub fn is_shared(&self) -> bool {
        self.has_store && self.state.lock().is_shared()
    }

    /// How many pending jobs are not in memory.
    pub fn paged_out(&self) -> u64 {
        if self.has_store {
            self.state.lock().paged_out()
        } else {
            0
        }
    }

    /// Whether a job of this id is in memory, pending or running.
    pub fn holds(&self, id: &str) -> bool {
        self.state.lock().jobs.find(id).is_some()
    }

    /// Pages that have come, for a worker to take in.
    pub fn pages(&self) -> Vec<Page> {
        let mut guard = self.state.lock();
        guard.apply_revocations(self);
        let state = &mut *guard;
        let (Some(residency), Some(backing)) = (&mut state.residency, &state.backing) else {
            return Vec::new();
        };
        if residency.arrivals.are_pages_held() {
            return Vec::new();
        }
        let pages = std::mem::take(&mut *backing.inbox.pages.lock());
        if let (Some(lease), false) = (&mut residency.lease, pages.is_empty()) {
            lease.take_page();
        }
        pages
    }

    /// Take in a page, whose jobs are payloads by now; `last` is where the next one goes on.
    ///
    /// What it returns cannot be read: repeats with a schedule that is none.
    pub fn load(
        &self,
        epoch: u64,
        last: Option<Place>,
        jobs: Vec<(Job<'static>, P)>,
        released: &mut Released<P>,
    ) -> Vec<Unreadable> {
        // Not under the lock: a schedule may be slow.
        let repeats: Vec<_> = jobs.iter().map(|(job, _)| FoundRepeat::of(job)).collect();
        let mut unreadable = Vec::new();
        let mut state = self.state.lock();
        state.apply_revocations(self);
        let jobs = if state.phase == Phase::Closed {
            released.payloads.extend(jobs.into_iter().map(|job| job.1));
            Vec::new()
        } else {
            jobs
        };
        for ((job, payload), found) in jobs.into_iter().zip(repeats) {
            let residency = state.residency.as_ref();
            let lease = residency.and_then(|residency| residency.lease.as_ref());
            let is_held = lease.is_none_or(|lease| lease.holds(epoch, job.place.seq));
            match found {
                Ok(_) if is_held && state.yield_paused(&job) => released.payloads.push(payload),
                Ok(found) if is_held => {
                    state.note_found(&job);
                    state.load(self, &job, (payload, found, false), released);
                }
                found => {
                    unreadable.extend(found.err().filter(|_| is_held));
                    released.payloads.push(payload);
                }
            }
        }
        let held_page = state
            .residency
            .as_mut()
            .and_then(|residency| residency.end_page(last));
        if let Some(page) = held_page {
            state.end_held_page(self, &page, last);
            state.refill_open(self);
        }
        if state.phase == Phase::Stopped {
            // It was asked for before.
            state.yield_all(self);
        }
        // What is paused; a store that does not take it is closed, or has room later.
        let _ = state.catch_up();
        state.page_out(usize::MAX, released);
        state.asleep = None;
        drop(state);
        self.sleeper.wake();
        unreadable
    }

    /// Take in repeats, before anything else is: all of them are in memory. As [`load`](Self::load).
    pub fn load_repeats(
        &self,
        jobs: Vec<(Job<'static>, P)>,
        released: &mut Released<P>,
    ) -> Vec<Unreadable> {
        let mut unreadable = Vec::new();
        let repeats: Vec<_> = jobs.iter().map(|(job, _)| FoundRepeat::of(job)).collect();
        let mut state = self.state.lock();
        for ((job, payload), found) in jobs.into_iter().zip(repeats) {
            match found {
                Ok(found) => state.load(self, &job, (payload, found, true), released),
                Err(why) => {
                    unreadable.push(why);
                    released.payloads.push(payload);
                }
            }
        }
        state.asleep = None;
        drop(state);
        self.sleeper.wake();
        unreadable
    }

    /// Whether a store is behind it.
    pub fn has_store(&self) -> bool {
        self.has_store
    }

    /// Take in one job that was not in memory.
    pub(super) fn load_one(&self, job: &Job<'static>, payload: P, released: &mut Released<P>) {
        let found = FoundRepeat::of(job);
        let mut state = self.state.lock();
        state.free_pages(self);
        if state.phase == Phase::Closed {
            released.payloads.push(payload);
            return;
        }
        if state.is_shared() {
            released.payloads.push(payload);
            // A store that refuses this is closed, and holds nothing for this node any more.
            let _ = state.yield_one(&job.id, job.place.seq);
            return;
        }
        let seq = job.place.seq;
        let residency = state.residency.as_mut();
        let is_expected = residency.is_some_and(|residency| residency.arrivals.take_expected(seq));
        // Another call asks about it by now: what the store says to that is newer. A page brings what is left of it.
        let is_asked_about = state.is_asked_about(&job.id);
        if is_expected && is_asked_about {
            state.leave_to_a_page(self, job.place);
        }
        let Some(found) = found.ok().filter(|_| is_expected && !is_asked_about) else {
            released.payloads.push(payload);
            return;
        };
        state.load(self, job, (payload, found, true), released);
        state.asleep = None;
        drop(state);
        self.sleeper.wake();
    }

    /// Do without the one job that was to be taken in: a page brings it.
    pub(super) fn load_none(&self, place: Place) {
        let mut state = self.state.lock();
        state.free_pages(self);
        let residency = state.residency.as_mut();
        if residency.is_some_and(|residency| residency.arrivals.take_expected(place.seq)) {
            state.leave_to_a_page(self, place);
        }
    }

    /// Do without the page that was asked for: it may be asked for again.
    pub fn load_no_page(&self) {
        let mut state = self.state.lock();
        if let Some(residency) = &mut state.residency {
            residency.drop_page();
        }
        drop(state);
        self.sleeper.wake();
    }
}

impl<P: Payload> State<P> {
    /// Take in a job of the store's, unless it is here or, if it is not fresh, has changed since.
    pub(super) fn load(
        &mut self,
        engine: &Engine<P>,
        job: &Job<'_>,
        (payload, repeat, fresh): (P, Option<FoundRepeat>, bool),
        released: &mut Released<P>,
    ) {
        let residency = self.residency.as_deref();
        let is_stale =
            residency.is_some_and(|residency| residency.arrivals.is_stale(job.place.seq, &job.id));
        let is_stale = !fresh && is_stale;
        if is_stale {
            self.note_missed(job);
        }
        let here = is_stale || self.jobs.find(&job.id).is_some();
        if here || (repeat.is_none() && !fresh && self.leave_on_disk(job, payload)) {
            released.payloads.push(payload);
            return;
        }
        let offset = self
            .residency
            .as_deref()
            .and_then(|residency| residency.boot_offsets.of(job));
        // What comes again over nodes is due by the clock that they have in common.
        let offset = offset.filter(|_| repeat.is_none() || !self.is_shared());
        let (kind, due) = match offset {
            Some(offset) => (ClockKind::Boot, job.place.due.saturating_sub(offset)),
            None => (ClockKind::Wall, job.place.due),
        };
        let id = match ids::parse(&job.id) {
            Some(halves) => Id::Generated(halves),
            None => Id::Given((&*job.id).into()),
        };
        let progress = job.progress.on_boot(self.jobs.offsets.measured());
        let detail = Detail::new(id, job.job_due, progress);
        let key = self.put_detail(kind, due, job.place.seq, detail, payload);
        if let Some(repeat) = repeat {
            self.put_repeat(key, repeat, offset);
        }
        if let Some(residency) = &mut self.residency {
            residency.note_paged_in();
            residency.arrivals.take_expected(job.place.seq);
        }
        if !fresh {
            self.hold_at_once(engine, key);
        }
    }

    /// A job that was to be taken in by itself is not: a page brings what is left of it.
    fn leave_to_a_page(&mut self, engine: &Engine<P>, place: Place) {
        if let Some(residency) = &mut self.residency {
            residency.frontier.move_back_to(place);
            engine.sleeper.wake();
        }
    }

    /// Begin the page that is wanted now, if one is.
    fn begin_wanted_page(&mut self, now: Now) -> Option<Query> {
        let (wants_page, wants_held) = (self.wants_page(now), self.wants_held_page());
        let is_held_next = |residency: &mut Box<Residency>| residency.turn_to_held();
        if wants_held && (!wants_page || self.residency.as_mut().is_some_and(is_held_next)) {
            return self.begin_held_page(now);
        }
        if !wants_page {
            return None;
        }
        let count = self.resident_count();
        let residency = self.residency.as_mut()?;
        Some(residency.begin_wanted_page(now, count))
    }

    fn wants_page(&self, now: Now) -> bool {
        let (count, first) = (self.resident_count(), || self.first_order_as_measured());
        let residency = self.residency.as_ref();
        residency.is_some_and(|residency| residency.wants_page(now, count, first))
    }

    /// Whether so many jobs have left memory that the timer is to be woken, to ask for a page: without
    /// room it sleeps past the next one.
    pub(super) fn request_page_if_room(&mut self, now: Now) -> bool {
        let count = self.resident_count();
        let Some(residency) = &self.residency else {
            return false;
        };
        if self.wants_held_page() {
            return true;
        }
        if !residency.frontier.has_room(count) {
            return false;
        }
        let Some(lease) = &residency.lease else {
            return self.wants_page(now);
        };
        let waits = lease.waits_for_room();
        if waits {
            self.poll_now();
        }
        waits
    }

    /// When the timer is to look for a page, on either clock.
    pub(super) fn plan_page(&mut self) -> Until {
        let count = self.resident_count();
        let (jobs, residency) = (&self.jobs, self.residency.as_mut());
        let first = || {
            let key = jobs.queue.first(jobs.offsets.measured_now())?;
            let entry = jobs.queue.get(key)?;
            Some((jobs.on_wall(entry.kind, entry.due), entry.sequence))
        };
        residency.map_or_else(Until::default, |residency| {
            residency.plan_page(count, first)
        })
    }

    /// Ask for the page that is wanted; it comes by the inbox.
    pub(super) fn turn_page(&mut self, now: Now) {
        let Some(query) = self.begin_wanted_page(now) else {
            return;
        };
        let Some(backing) = &self.backing else {
            return;
        };
        let inbox = backing.inbox.clone();
        backing.store.ask(
            query,
            Box::new(move |answer| match answer {
                Ok(Answer::Page(page)) => {
                    inbox.pages.lock().push(page);
                    inbox.sleeper.wake();
                }
                // Nothing has come; it is asked for again.
                Err(Error::InDoubt | Error::Unavailable(_)) => {
                    inbox.pages.lock().push(Page::default());
                    inbox.sleeper.wake();
                }
                Ok(_) | Err(Error::Closed) => {}
                Err(error) => inbox.fail(error),
            }),
        );
    }

    /// Whether a worker has something of the store's to take in.
    pub(super) fn has_arrivals(&self) -> bool {
        let backing = self.backing.as_ref();
        self.has_pages() || backing.is_some_and(|backing| !backing.inbox.news.lock().is_empty())
    }

    /// Whether pages have come that may be taken in.
    pub(super) fn has_pages(&self) -> bool {
        let (Some(residency), Some(backing)) = (&self.residency, &self.backing) else {
            return false;
        };
        !residency.arrivals.are_pages_held() && !backing.inbox.pages.lock().is_empty()
    }
    /// How many pending jobs are known not to be in memory.
    pub(super) fn paged_out(&self) -> u64 {
        if self.is_shared() {
            return 0;
        }
        self.residency
            .as_ref()
            .map_or(0, |residency| residency.frontier.paged_out as u64)
    }

    /// Whether there may be jobs that are not in memory.
    pub(super) fn has_paged_out(&self) -> bool {
        self.residency
            .as_ref()
            .is_some_and(|residency| residency.has_paged_out())
    }

    /// Refuse a stored job that is known to be unreadable, with what is wrong with it.
    pub(super) fn check_readable(&self, id: &str) -> Result<(), Refused> {
        let residency = self.residency.as_ref();
        let why = residency.and_then(|residency| residency.arrivals.why_unreadable(id));
        why.map_or(Ok(()), |why| Err(why.clone().into()))
    }

    /// How many stored jobs are known not to be readable.
    pub(super) fn unreadable(&self) -> u64 {
        let residency = self.residency.as_ref();
        residency.map_or(0, |residency| residency.arrivals.unreadable_count() as u64)
    }

    /// Pages may be taken in again, as far as this call goes.
    pub(super) fn free_pages(&mut self, engine: &Engine<P>) {
        if let Some(residency) = &mut self.residency {
            residency.arrivals.free_pages();
            if self.has_pages() {
                engine.sleeper.wake();
            }
        }
    }
}
