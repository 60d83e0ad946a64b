//! `between`: pending events in order, each looked at when it is asked for.

use crate::errors::refused;
use crate::shared::Shared;
use crate::values::event::Event;
use crate::values::payload::Handle;
use duewheel_engine::engine::{Engine, Places, QueryPlace, Refused};
use duewheel_engine::sync::Mutex;
use duewheel_store::{self as store, Answer, Job, Query};
use pyo3::prelude::*;
use std::collections::VecDeque;
use std::sync::Arc;

/// How many jobs of a store are read at first, by how much more each time, and how many at most: who shows a page of
/// them needs few.
const FIRST_PAGE: usize = 100;
const MORE: usize = 4;
const LONGEST_PAGE: usize = 1_000;

/// An iterator over pending events, in the order of (due, sequence).
///
/// Each is looked at when it is asked for: jobs that stop being pending meanwhile are left out.
#[pyclass(frozen, module = "duewheel._core")]
pub(crate) struct Events {
    shared: Arc<Shared>,
    left: Mutex<Left>,
}

/// What is still to come: of memory, and of what is paged out.
struct Left {
    /// Of which target, if of one.
    target: Option<String>,
    places: Places,
    paged_out: VecDeque<Job<'static>>,
    after: Option<store::Place>,
    until: i64,
    /// The sequences of what was in memory at the beginning, in order: a page has those as well.
    seen: Vec<u64>,
    /// What was scheduled, moved or retried since has this sequence or a later one.
    since: u64,
    /// Whether more are paged out than were read.
    more: bool,
    /// How many are read next.
    page: usize,
    /// Whether all of it comes from a store that nodes share.
    is_shared: bool,
}

enum Next {
    Here(QueryPlace),
    PagedOut(Box<Job<'static>>),
}

/// What an iterator has come to.
pub(crate) enum Step {
    /// The next event, or that there is none.
    Event(Option<Event>),
    /// What would have come is no longer pending.
    Gone,
    /// The store is to be asked: [`Events::answered`] goes on.
    Asks(Query, Wanted),
}

/// What a page is for.
pub(crate) enum Wanted {
    /// What comes after this place.
    More(Option<store::Place>),
    /// The job of this sequence.
    Parked(u64),
}

impl Left {
    /// Whether something may come first that is still to be read: what is in memory up to where was read does not wait
    /// for it.
    fn wants_page(&mut self) -> bool {
        if !self.more || !self.paged_out.is_empty() {
            return false;
        }
        let read = self.after.map(|place| (place.due, place.seq));
        let here = self.places.first().map(QueryPlace::order);
        !matches!((here, read), (Some(here), Some(read)) if here <= read)
    }

    fn pop(&mut self) -> Option<Next> {
        let paged_out = self
            .paged_out
            .front()
            .map(|job| (job.place.due, job.place.seq));
        let here = self.places.first().map(QueryPlace::order);
        match (here, paged_out) {
            (Some(here), Some(paged_out)) if paged_out < here => self.pop_away(),
            (None, Some(_)) => self.pop_away(),
            _ => self.places.next().map(Next::Here),
        }
    }

    fn pop_away(&mut self) -> Option<Next> {
        self.paged_out
            .pop_front()
            .map(|job| Next::PagedOut(Box::new(job)))
    }
}

impl Events {
    /// `is_any_stored`: whether the store may have any; `look` finds those in memory.
    pub(crate) fn new(
        shared: Arc<Shared>,
        target: Option<&str>,
        (start, end): (Option<i64>, Option<i64>),
        is_any_stored: bool,
        look: impl FnOnce(&Engine<Handle>) -> Result<Places, Refused>,
    ) -> Result<Self, Refused> {
        // Asked first: what is paged out may come in while the others are looked for.
        let is_shared = shared.engine.is_shared();
        let more = is_shared || shared.engine.paged_out() > 0 && is_any_stored;
        let since = if more {
            shared.engine.next_sequence()
        } else {
            0 // no page is read
        };
        // Only the store knows what other nodes have.
        let places = if is_shared {
            Places::default()
        } else {
            look(&shared.engine)?
        };
        let mut seen: Vec<u64> = Vec::new();
        if more {
            seen.extend(places.sequences());
            seen.sort_unstable();
        }
        let last = |due: i64| store::Place {
            due: due - 1,
            seq: i64::MAX as u64,
        };
        let left = Mutex::new(Left {
            target: target.map(str::to_owned),
            places,
            paged_out: VecDeque::new(),
            after: start.filter(|&due| due > i64::MIN).map(last),
            until: end.unwrap_or(i64::MAX),
            seen,
            since,
            more,
            page: FIRST_PAGE,
            is_shared,
        });
        Ok(Events { shared, left })
    }

    /// The page to read, once all that was read before is used up.
    fn wanted_page(&self) -> Option<Step> {
        let mut left = self.left.lock();
        if !left.wants_page() {
            return None;
        }
        let after = left.after;
        let question = Query::Page {
            target: left.target.clone(),
            after,
            until: left.until,
            limit: left.page,
        };
        Some(Step::Asks(question, Wanted::More(after)))
    }

    /// Read the page that was wanted after this place.
    fn read(&self, py: Python<'_>, after: Option<store::Place>, page: store::Page) {
        self.shared.report_all_unreadable(py, page.unreadable);
        let mut left = self.left.lock();
        if left.after != after {
            // Another thread has read the same meanwhile.
            return;
        }
        left.more = page.more;
        left.page = LONGEST_PAGE.min(left.page * MORE);
        left.after = page.last.or(left.after);
        if left.is_shared {
            left.paged_out.extend(page.jobs);
            return;
        }
        let (engine, Left { seen, since, .. }) = (&self.shared.engine, &*left);
        // One that is in memory and was not seen there has come in since, if it is not new.
        let unseen = |job: &Job<'_>| {
            let seq = job.place.seq;
            seen.binary_search(&seq).is_err() && (seq < *since || !engine.holds(&job.id))
        };
        let paged_out: Vec<_> = page.jobs.into_iter().filter(unseen).collect();
        left.paged_out.extend(paged_out);
    }

    fn following(&self, py: Python<'_>) -> PyResult<Option<Event>> {
        let mut step = self.step(py)?;
        loop {
            step = match step {
                Step::Event(event) => return Ok(event),
                Step::Gone => self.step(py)?,
                Step::Asks(question, wanted) => {
                    let answer = self.shared.ask(py, question)?;
                    self.answered(py, wanted, answer)?
                }
            };
        }
    }

    pub(crate) fn step(&self, py: Python<'_>) -> PyResult<Step> {
        if let Some(asks) = self.wanted_page() {
            return Ok(asks);
        }
        let next = self.left.lock().pop();
        match next {
            None => Ok(Step::Event(None)),
            Some(Next::PagedOut(job)) if self.left.lock().is_shared => {
                self.event_of_stored(py, &job)
            }
            Some(Next::PagedOut(job)) => self.event_of_away(py, &job),
            Some(Next::Here(place)) => {
                let engine = &self.shared.engine;
                let event = engine.view_at(place, |view| Event::pending(py, &view));
                match event.map_err(|error| refused(py, error, ""))? {
                    None if engine.paged_out() > 0 => Ok(page_of(place)),
                    None => Ok(Step::Gone),
                    event => Ok(Step::Event(event)),
                }
            }
        }
    }

    /// Go on with the answer of the store.
    pub(crate) fn answered(
        &self,
        py: Python<'_>,
        wanted: Wanted,
        answer: Answer,
    ) -> PyResult<Step> {
        let Answer::Page(page) = answer else {
            return Ok(Step::Gone);
        };
        match wanted {
            Wanted::More(after) => {
                self.read(py, after, page);
                self.step(py)
            }
            Wanted::Parked(seq) => {
                let found = page.jobs.into_iter().find(|job| job.place.seq == seq);
                let found = found.filter(|job| !self.shared.engine.holds(&job.id));
                found.map_or(Ok(Step::Gone), |job| {
                    Ok(Step::Event(Some(self.shared.event(py, &job)?)))
                })
            }
        }
    }

    /// The event of a job that was paged out, wherever it is by now.
    fn event_of_away(&self, py: Python<'_>, job: &Job<'_>) -> PyResult<Step> {
        let engine = &self.shared.engine;
        let come_in = engine.view_come_in(&job.id, job.place.seq, |view| Event::pending(py, &view));
        if let Some(event) = come_in.map_err(|error| refused(py, error, ""))? {
            return Ok(event.map_or(Step::Gone, |event| Step::Event(Some(event))));
        }
        self.event_of_stored(py, job)
    }

    fn event_of_stored(&self, py: Python<'_>, job: &Job<'_>) -> PyResult<Step> {
        match self.shared.event(py, job) {
            Ok(event) => Ok(Step::Event(Some(event))),
            Err(error) => {
                self.shared.report_unmade(py, job, &error);
                Ok(Step::Gone)
            }
        }
    }
}

/// The page with a job that has left memory since: it may be parked, on disk alone now.
fn page_of(place: QueryPlace) -> Step {
    let (due, seq) = place.order();
    let after = store::Place {
        due,
        seq: seq.saturating_sub(1),
    };
    let question = Query::Page {
        target: None,
        after: Some(after),
        until: due.saturating_add(1),
        limit: 1,
    };
    Step::Asks(question, Wanted::Parked(seq))
}

#[pymethods]
impl Events {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Event>> {
        self.shared.check_fork(py)?;
        self.following(py)
    }
}
