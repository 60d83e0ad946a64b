//! Pages: what is away comes into memory before it is due.

use super::{END, Residency, START, Window};
use crate::due::queue::{ClockKind, Now};
use crate::engine::{Engine, Phase, State};
use crate::jobs::ids;
use crate::jobs::record::{Detail, Id, Payload, Released};
use crate::sleep::Until;
use duewheel_model::time::SECOND;
use duewheel_store::{Answer, Error, Job, Page, Place, Query};

/// How long before its due a job is brought in for which there is no room.
const LEAD: i64 = SECOND;

impl<P: Payload> Engine<P> {
    /// The page to ask for now, if one is wanted and none is under way.
    pub fn page_wanted(&self) -> Option<Query> {
        let now = self.now();
        let mut state = self.state.lock();
        // Of a shared store pages come by mail alone, in the order of what it takes back.
        let asks = !state.is_shared();
        asks.then(|| state.page_wanted(now)).flatten()
    }

    /// The next page, if what is away may be due before all that is in memory.
    pub fn page_before_next(&self) -> Option<Query> {
        let mut state = self.state.lock();
        let now = self.now();
        let first = state.queue.first(now).and_then(|key| state.place(key));
        let count = state.resident_count();
        let residency = state.residency.as_mut()?;
        if residency.paged_out == 0
            || residency.lease.is_some()
            || residency.paging.is_some()
            || residency.frontier == END
        {
            return None;
        }
        // On the boot clock it may be due as much earlier as the wall clock was set back since.
        let back = residency.reached(now).saturating_sub(now.wall);
        let frontier = (
            residency.frontier.due.saturating_sub(back),
            residency.frontier.seq,
        );
        if first.is_some_and(|first| first.order() < frontier) {
            return None;
        }
        Some(residency.page(i64::MAX, count))
    }

    /// How many pending jobs are away.
    pub fn paged_out(&self) -> u64 {
        if self.has_store {
            self.state.lock().paged_out()
        } else {
            0
        }
    }

    /// Whether a job of this id is in memory, pending or running.
    pub fn holds(&self, id: &str) -> bool {
        self.state.lock().find(id).is_some()
    }

    /// Pages that have come, for a worker to take in.
    pub fn pages(&self) -> Vec<Page> {
        let mut state = self.state.lock();
        state.apply_revocations(self);
        match &mut state.residency {
            Some(residency) if residency.asking == 0 => {
                let pages = std::mem::take(&mut *residency.inbox.pages.lock());
                if let (Some(lease), false) = (&mut residency.lease, pages.is_empty()) {
                    lease.took();
                }
                pages
            }
            _ => Vec::new(),
        }
    }

    /// Take in a page, whose jobs have become payloads; `last` is where the next one goes on.
    pub fn load(
        &self,
        epoch: u64,
        last: Option<Place>,
        jobs: Vec<(Job<'static>, P)>,
        released: &mut Released<P>,
    ) {
        let mut state = self.state.lock();
        state.apply_revocations(self);
        let jobs = if state.phase == Phase::Closed {
            released.payloads.extend(jobs.into_iter().map(|job| job.1));
            Vec::new()
        } else {
            jobs
        };
        for (job, payload) in jobs {
            let lease = state
                .residency
                .as_ref()
                .and_then(|residency| residency.lease.as_ref());
            if lease.is_none_or(|lease| lease.holds(epoch, &job)) {
                state.load(&job, payload, false, released);
            } else {
                released.payloads.push(payload);
            }
        }
        if let Some(residency) = &mut state.residency {
            let until = residency.paging.take().unwrap_or(i64::MIN);
            residency.changed.clear();
            residency.unsent.clear();
            if let Some(lease) = &mut residency.lease {
                lease.loaded(last.is_some());
            }
            residency.frontier = match last {
                // More are due before the bound.
                Some(last) => Place {
                    due: last.due,
                    seq: last.seq + 1,
                },
                // What is away all the same is aside.
                None if until == i64::MAX => END,
                None => Place { due: until, seq: 0 },
            };
            if residency.boot_offset().is_none() {
                residency.boot_paged_out = None;
            }
            if std::mem::take(&mut residency.starts_over) {
                residency.frontier = START;
            }
        }
        state.page_out_parked(usize::MAX, released);
        state.asleep = None;
        drop(state);
        self.sleeper.wake();
    }

    /// Take in one job that was away.
    pub(in crate::engine) fn load_one(
        &self,
        job: &Job<'static>,
        payload: P,
        released: &mut Released<P>,
    ) {
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
        if !state
            .residency
            .as_mut()
            .is_some_and(|residency| residency.came_by(seq))
        {
            released.payloads.push(payload);
            return;
        }
        state.load(job, payload, true, released);
        state.asleep = None;
        drop(state);
        self.sleeper.wake();
    }

    /// Do without the one job that was to be taken in: a page brings it.
    pub(in crate::engine) fn load_none(&self, place: Place) {
        let mut state = self.state.lock();
        state.free_pages(self);
        if let Some(residency) = &mut state.residency
            && residency.came_by(place.seq)
        {
            residency.frontier = residency.frontier.min(place);
            self.sleeper.wake();
        }
    }

    /// Do without the page that was asked for: it may be asked for again.
    pub fn load_no_page(&self) {
        let mut state = self.state.lock();
        if let Some(residency) = &mut state.residency {
            residency.paging = None;
            residency.changed.clear();
            residency.unsent.clear();
            if std::mem::take(&mut residency.starts_over) {
                residency.frontier = START;
            }
        }
        drop(state);
        self.sleeper.wake();
    }
}

impl<P: Payload> State<P> {
    /// Take in a job of the store's, unless it is here or, if it is not fresh, has changed since.
    pub(super) fn load(
        &mut self,
        job: &Job<'_>,
        payload: P,
        fresh: bool,
        released: &mut Released<P>,
    ) {
        let changed = |residency: &Residency| {
            residency.unsent.contains(&job.place.seq)
                || (residency.changed.contains(&*job.id) && residency.paging.is_some())
        };
        let stale = !fresh && self.residency.as_deref().is_some_and(changed);
        let here = stale || self.find(&job.id).is_some();
        if here || self.stays_parked(payload, job.place.seq) {
            released.payloads.push(payload);
            return;
        }
        let offset = self
            .residency
            .as_deref()
            .and_then(|residency| residency.offset_of(job));
        let (kind, due) = match offset {
            Some(offset) => (ClockKind::Boot, job.place.due.saturating_sub(offset)),
            None => (ClockKind::Wall, job.place.due),
        };
        let id = match ids::parse(&job.id) {
            Some(halves) => Id::Generated(halves),
            None => Id::Given((&*job.id).into()),
        };
        let detail = Detail {
            id,
            job_due: job.job_due,
            progress: job.progress.on_boot(self.offset),
        };
        self.put_detail(kind, due, job.place.seq, detail, payload);
        if let Some(residency) = &mut self.residency {
            residency.came();
            residency.came_by(job.place.seq);
        }
    }

    /// The page to ask for now.
    pub(super) fn page_wanted(&mut self, now: Now) -> Option<Query> {
        if !self.wants_page(now) {
            return None;
        }
        let count = self.resident_count();
        let residency = self.residency.as_mut()?;
        if let Some(lease) = &mut residency.lease {
            lease.asked(now.wall);
        }
        let until = residency
            .reached(now)
            .saturating_add(residency.window.horizon);
        Some(residency.page(until, count))
    }

    /// Whether half of the horizon is used up, or half of the room is free.
    fn wants_page(&self, now: Now) -> bool {
        if let Some(wanted) = self.wants_shared_page(now.wall) {
            return wanted;
        }
        let Some(residency) = &self.residency else {
            return false;
        };
        let count = self.resident_count();
        let Window { horizon, resident } = residency.window;
        if count >= resident {
            return self.is_overtaken() && residency.frontier.due <= now.wall.saturating_add(LEAD);
        }
        let reached = residency.reached(now);
        let until = reached.saturating_add(horizon);
        let near = residency.frontier.due <= reached.saturating_add(horizon / 2);
        // At a sequence it was cut off for want of room; else all within the horizon is here.
        let cut_off = residency.frontier.seq > 0 && count < resident / 2 + 1;
        residency.paged_out > 0
            && residency.paging.is_none()
            && residency.frontier.due < until
            && (near || cut_off)
    }

    /// Whether what is away is due before all that waits in memory: room or not, it must come.
    fn is_overtaken(&self) -> bool {
        let Some(residency) = &self.residency else {
            return false;
        };
        let free =
            residency.paged_out > 0 && residency.paging.is_none() && residency.lease.is_none();
        free && self.is_first(residency.frontier)
    }

    /// Whether a place is before all that waits in memory.
    pub(super) fn is_first(&self, place: Place) -> bool {
        let now = Now {
            wall: self.offset_read.saturating_add(self.offset),
            boot: self.offset_read,
        };
        let first = self.queue.first(now).and_then(|key| self.place(key));
        first.is_none_or(|first| (place.due, place.seq) < first.order())
    }

    /// Whether so many have left that the timer is to ask for a page: with a full room it sleeps
    /// without a thought of pages.
    pub(in crate::engine) fn has_room(&mut self, now: Now) -> bool {
        if self.is_shared() {
            return self.has_shared_room();
        }
        let resident = self
            .residency
            .as_ref()
            .map_or(0, |residency| residency.window.resident / 2 + 1);
        self.resident_count() < resident && self.wants_page(now)
    }

    /// When the timer is to look for a page, on either clock.
    pub(in crate::engine) fn next_page(&mut self) -> Until {
        let on_the_wall = |wall| Until { wall, boot: None };
        if self.is_shared() {
            return on_the_wall(self.next_shared_page());
        }
        let Some(residency) = &self.residency else {
            return Until::default();
        };
        if self.resident_count() >= residency.window.resident {
            let comes = self.is_overtaken();
            return on_the_wall(comes.then(|| residency.frontier.due.saturating_sub(LEAD)));
        }
        if residency.paged_out == 0 || residency.paging.is_some() {
            return Until::default();
        }
        let stored = residency
            .frontier
            .due
            .saturating_sub(residency.window.horizon / 2);
        let boot = residency.boot_offset();
        Until {
            wall: Some(stored),
            boot: boot.map(|offset| stored.saturating_sub(offset)),
        }
    }

    /// Ask for the page that is wanted; it comes by mail.
    pub(in crate::engine) fn turn_page(&mut self, now: Now) {
        let Some(question) = self.page_wanted(now) else {
            return;
        };
        let Some(residency) = &self.residency else {
            return;
        };
        let inbox = residency.inbox.clone();
        residency.store.ask(
            question,
            Box::new(move |answer| match answer {
                Ok(Answer::Page(page)) => {
                    inbox.pages.lock().push(page);
                    inbox.sleeper.wake();
                }
                // Nothing has come; it is asked for again.
                Err(Error::InDoubt) => {
                    inbox.pages.lock().push(Page::default());
                    inbox.sleeper.wake();
                }
                Ok(_) | Err(Error::Closed) => {}
                Err(error) => inbox.fail(error),
            }),
        );
    }

    /// Whether pages have come that nobody has taken in yet.
    pub(in crate::engine) fn has_pages(&self) -> bool {
        let residency = self.residency.as_ref();
        residency.is_some_and(|residency| {
            let pages = residency.asking == 0 && !residency.inbox.pages.lock().is_empty();
            pages || !residency.inbox.unapplied.lock().is_empty()
        })
    }
}
