//! What a store has of jobs becomes Python's, and comes into memory.

use crate::log;
use crate::shared::{Shared, releasing};
use crate::values::data::Data;
use crate::values::dead::DeadEvent;
use crate::values::event::Event;
use crate::values::job::Job;
use crate::values::options::{Fields, Spec};
use crate::values::payload::{Fresh, Handle};
use duewheel_engine::engine::Coming;
use duewheel_engine::jobs::record::{Id, Occurrence};
use duewheel_engine::jobs::repeats::Held;
use duewheel_store::{self as store, Answer, Error, Query};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};
use std::collections::BTreeMap;

/// How many repeats are taken in at once.
const REPEATS: usize = 1_000;

/// What is said of a stored job that cannot be read.
fn description(job: &store::Unreadable) -> String {
    match &job.id {
        Some(id) => format!("{id:?}: {}", job.why),
        None => job.why.to_string(),
    }
}

impl Shared {
    /// Ask for pages and take them in until all that is near is in memory.
    pub(crate) fn take_in_all(&self, py: Python<'_>) -> PyResult<()> {
        self.report_news(py);
        self.take_in_repeats(py)?;
        while let Some(question) = self.engine.page_wanted() {
            self.take_in_answer(py, question)?;
        }
        Ok(())
    }

    /// Take in what is due soon alone: callers wait, and the rest comes while it runs.
    pub(crate) fn take_in_first(&self, py: Python<'_>) -> PyResult<()> {
        self.report_news(py);
        self.take_in_repeats(py)?;
        let until = self.engine.due_soon();
        while let Some(question) = self.engine.page_before(until) {
            self.take_in_answer(py, question)?;
        }
        Ok(())
    }

    /// Take in all repeats: no other page has any, but of a store that nodes share.
    fn take_in_repeats(&self, py: Python<'_>) -> PyResult<()> {
        let mut after = None;
        while self.engine.has_store() {
            let limit = REPEATS;
            let Answer::Page(page) = self.ask(py, Query::Repeats { after, limit })? else {
                break;
            };
            let more = page.more;
            after = page.last.map(|last| last.seq);
            let jobs = self.handles(py, page)?;
            let unreadable = releasing(py, |released| {
                py.detach(|| self.engine.load_repeats(jobs, released))
            });
            self.report_all_unreadable(py, unreadable);
            if !more {
                break;
            }
        }
        self.report_held(py);
        Ok(())
    }

    /// Report the repeats that came with a zone that is unknown, in one line of each zone.
    fn report_held(&self, py: Python<'_>) {
        let mut of = BTreeMap::<_, Vec<_>>::new();
        for Held { id, why } in self.engine.held_anew() {
            of.entry(why).or_default().push(id);
        }
        for (why, ids) in of {
            log::held(py, ids, &why);
        }
    }

    pub(crate) fn take_in_answer(&self, py: Python<'_>, question: Query) -> PyResult<()> {
        let answer = self.ask(py, question);
        match answer.inspect_err(|_| self.engine.load_no_page())? {
            Answer::Page(page) => self.take_in(py, page),
            _ => Ok(()),
        }
    }

    /// Take in the pages that have come.
    pub(crate) fn take_in_pages(&self, py: Python<'_>) -> PyResult<()> {
        self.report_news(py);
        for page in self.engine.pages() {
            self.take_in(py, page)?;
        }
        Ok(())
    }

    /// Report what the store has said that nothing is to be done about.
    fn report_news(&self, py: Python<'_>) {
        for news in self.engine.news() {
            match news {
                store::Event::Unapplied(record, why) => {
                    log::unapplied(py, record, &why.to_string());
                }
                store::Event::Contested(id, node) => log::contested(py, &id, &node),
                store::Event::ClockApart(ahead) => log::clock_apart(py, ahead),
                _ => {}
            }
        }
    }

    /// Report a stored job that cannot be read, once.
    pub(crate) fn report_unreadable(&self, py: Python<'_>, job: store::Unreadable) {
        let (seq, why) = (job.place.seq, description(&job));
        if self.engine.note_unreadable(job) {
            log::unreadable(py, seq, &why);
        }
    }

    pub(crate) fn report_all_unreadable(&self, py: Python<'_>, jobs: Vec<store::Unreadable>) {
        for job in jobs {
            self.report_unreadable(py, job);
        }
    }

    /// Report a stored job of which no Python object can be made.
    pub(crate) fn report_unmade(&self, py: Python<'_>, job: &store::Job<'_>, error: &PyErr) {
        let why = Error::Unreadable(error.value(py).to_string());
        let (place, id) = (job.place, Some(job.id.to_string()));
        self.report_unreadable(py, store::Unreadable { place, id, why });
    }

    /// Take in a page: it always goes back to the engine, which asks for no other before.
    fn take_in(&self, py: Python<'_>, page: store::Page) -> PyResult<()> {
        let last = page.last.filter(|_| page.more);
        let epoch = page.epoch;
        let jobs = self.handles(py, page)?;
        let unreadable = releasing(py, |released| {
            py.detach(|| self.engine.load(epoch, last, jobs, released))
        });
        self.report_all_unreadable(py, unreadable);
        self.report_held(py);
        Ok(())
    }

    /// The jobs of a page with handles of them; those of which there is none are reported.
    fn handles(
        &self,
        py: Python<'_>,
        page: store::Page,
    ) -> PyResult<Vec<(store::Job<'static>, Handle)>> {
        self.report_all_unreadable(py, page.unreadable);
        let mut jobs = Vec::with_capacity(page.jobs.len());
        for job in page.jobs {
            match self.handle(py, &job) {
                Ok(handle) => jobs.push((job, handle)),
                Err(error) => self.report_unmade(py, &job, &error),
            }
        }
        let given = |(job, handle): (_, Fresh<'_>)| (job, handle.given());
        Ok(jobs.into_iter().map(given).collect())
    }

    /// Take in a job that has come near; one of which no object can be made comes with a page.
    pub(crate) fn take_in_one(&self, py: Python<'_>, coming: Coming<Handle>) -> PyResult<()> {
        let Some(job) = coming.job() else {
            return Ok(());
        };
        let handle = self.handle(py, job)?.given();
        releasing(py, |released| coming.take_in(handle, released));
        Ok(())
    }

    /// Add what can be read of a page of the dead, and report the rest.
    pub(crate) fn read_dead(
        &self,
        py: Python<'_>,
        page: store::DeadPage,
        all: &mut Vec<DeadEvent>,
    ) {
        for dead in page.unreadable {
            log::unreadable_dead(py, dead.place.seq, &description(&dead));
        }
        for dead in page.jobs {
            let event = self.event(py, &dead.job);
            match event.and_then(|event| DeadEvent::stored(py, event, &dead)) {
                Ok(dead) => all.push(dead),
                Err(error) => log::unreadable_dead(py, dead.number, &error.to_string()),
            }
        }
    }

    fn spec_of(&self, py: Python<'_>, job: &store::Job<'_>) -> PyResult<Py<Spec>> {
        let target = PyString::new(py, &job.target);
        let fields = Fields::of(&job.options);
        self.specs.resolved(target.as_any(), &fields)
    }

    /// A handle of a stored job.
    pub(crate) fn handle<'py>(
        &self,
        py: Python<'py>,
        job: &store::Job<'_>,
    ) -> PyResult<Fresh<'py>> {
        let spec = self.spec_of(py, job)?;
        let data = Data::copied(py, &job.data);
        Ok(Fresh::carrying(py, data, spec, job.carried.clone()))
    }

    /// A stored execution, as Python sees it.
    pub(crate) fn event(&self, py: Python<'_>, job: &store::Job<'_>) -> PyResult<Event> {
        let data = (!job.data.is_empty()).then(|| PyBytes::new(py, &job.data).into_any().unbind());
        let shown = Job {
            id: Id::Given((&*job.id).into()),
            due: job.job_due,
            data,
            spec: self.spec_of(py, job)?,
            carried: job.carried.clone(),
        };
        let repeat = job.repeat.as_deref();
        let occurrence = repeat.map(|repeat| Occurrence {
            number: repeat.standing.occurrence,
            previous: repeat.standing.previous,
        });
        Ok(Event::at_rest(shown, job.place.due, job.progress)
            .of_repeat(occurrence.unwrap_or_default()))
    }
}
