//! Jobs in a file: opening it, waiting for it, and what is made of what it holds.

use crate::calls::awaited::Manner;
use crate::errors::{error, file_failed, refused, store_failed};
use crate::interpreter::names::names;
use crate::log;
use crate::shared::{Shared, releasing};
use crate::values::data::Data;
use crate::values::dead::DeadEvent;
use crate::values::event::{Event, Job};
use crate::values::ids;
use crate::values::options::{Fields, Spec};
use crate::values::payload::{Fresh, Handle, release};
use duewheel_engine::engine::{Asked, Changed, Due, Engine, Refused, StoreInbox, Window};
use duewheel_engine::jobs::record::{Id, Released};
use duewheel_engine::sync::Mutex;
use duewheel_sqlite::{Durability, Ended, LocalStore, Settings};
use duewheel_store::Keyring;
use duewheel_store::{self as store, Answer, Error, Progress, Query, Ticket};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, MutexGuard, mpsc};
use std::time::Duration;

/// How long a wait for the store lasts before it looks for signals.
const SLICE: Duration = Duration::from_millis(100);

/// A `LocalStorage`, by its attributes.
#[derive(FromPyObject)]
struct LocalStorage {
    #[pyo3(attribute("_path"))]
    path: PathBuf,
    #[pyo3(attribute("_durability"))]
    durability: String,
    #[pyo3(attribute("_keys"))]
    keys: Option<Keys>,
    #[pyo3(attribute("_max_data"))]
    max_data: usize,
    #[pyo3(attribute("_horizon_ns"))]
    horizon_ns: i64,
    #[pyo3(attribute("_resident"))]
    resident: usize,
    #[pyo3(attribute("_max_interruptions"))]
    max_interruptions: u32,
}

/// A `Keyring`, by its attributes.
#[derive(FromPyObject)]
struct Keys {
    #[pyo3(attribute("_keys"))]
    keys: HashMap<u32, [u8; 32]>,
    #[pyo3(attribute("_default"))]
    default: u32,
}

/// What the binding has to know of an open file.
pub(crate) struct Opened {
    /// The largest data of a job, in bytes.
    pub(crate) max_data: usize,
    /// Whether a batch is settled as soon as it is submitted.
    pub(crate) relaxed: bool,
    pub(crate) file: Option<Arc<LocalStore>>,
}

/// Put the file behind the engine.
pub(crate) fn open(
    py: Python<'_>,
    storage: &Bound<'_, PyAny>,
    engine: &mut Engine<Handle>,
) -> PyResult<Opened> {
    let class = names(py)?.local_storage.bind(py);
    let is_path = storage.is_instance_of::<PyString>() || storage.hasattr("__fspath__")?;
    let storage = if is_path {
        class.call1((storage,))?
    } else if storage.is_instance(class)? {
        storage.clone()
    } else {
        return Err(PyTypeError::new_err(format!(
            "storage must be None, a path or a LocalStorage, not {storage:?}"
        )));
    };
    let LocalStorage {
        path,
        durability,
        keys,
        max_data,
        horizon_ns: horizon,
        resident,
        max_interruptions,
    } = storage.extract()?;
    let relaxed = durability == "relaxed";
    let keys = keys
        .map(|given| Keyring::new(given.keys, given.default))
        .transpose();
    let settings = Settings {
        durability: if relaxed {
            Durability::Relaxed
        } else {
            Durability::Commit
        },
        keys: keys.map_err(|failure| store_failed(py, &failure, Some(&path)))?,
        max_interruptions,
        ..Settings::default()
    };
    let inbox = StoreInbox::new()?;
    let events = inbox.events();
    let opened = py.detach(|| LocalStore::open(&path, settings, events));
    let store = opened.map_err(|failure| file_failed(py, &failure, Some(&path)))?;
    let window = Window { horizon, resident };
    let store = Arc::new(store);
    engine.put_behind(store.clone(), inbox, window);
    Ok(Opened {
        max_data,
        relaxed,
        file: Some(store),
    })
}

/// What is said of a stored job that cannot be read.
fn told(job: &store::Unreadable) -> String {
    match &job.id {
        Some(id) => format!("{id:?}: {}", job.why),
        None => job.why.to_string(),
    }
}

impl Shared {
    /// Wait until the store has settled a batch.
    pub(crate) fn settled(
        &self,
        py: Python<'_>,
        ticket: Ticket,
        manner: Manner<'_>,
    ) -> PyResult<()> {
        let engine = &self.engine;
        if !self.relaxed && manner.leaves(ticket.0) {
            return Ok(());
        }
        let told = |told: Result<bool, Refused>| told.map_err(|error| refused(py, error, ""));
        // With the system it is settled already, and back-pressure alone is waited for. On disk
        // it takes a sync, which this thread may have to do itself: not under the interpreter's lock.
        if self.relaxed && told(engine.wait_settled(ticket, Duration::ZERO))? {
            return Ok(());
        }
        if manner.leaves(ticket.0) {
            return Ok(());
        }
        while !told(py.detach(|| engine.wait_settled(ticket, SLICE)))? {
            py.check_signals()?;
        }
        Ok(())
    }

    /// Ask the store, without the interpreter's lock.
    pub(crate) fn ask(
        &self,
        py: Python<'_>,
        question: Query,
        manner: Manner<'_>,
    ) -> PyResult<Answer> {
        manner.may_wait()?;
        let mut signal = None;
        let answer = py.detach(|| {
            let gives_up = || {
                signal = Python::attach(|py| py.check_signals().err());
                signal.is_some()
            };
            self.engine.ask_paged_out(question, gives_up)
        });
        match (answer, signal) {
            (Ok(Some(answer)), _) => Ok(answer),
            (Ok(None), Some(signal)) => Err(signal),
            (Ok(None), None) => Err(refused(py, Refused::Closed, "")),
            (Err(error), _) => Err(refused(py, error, "")),
        }
    }

    /// Wait for what is begun with the file and may take long: signals are seen, and `look` is
    /// called now and then.
    pub(crate) fn maintain(
        &self,
        py: Python<'_>,
        begin: impl FnOnce(&LocalStore, Ended) + Send,
        mut look: impl FnMut() -> PyResult<()>,
    ) -> PyResult<()> {
        let Some(file) = &self.file else {
            let message = "this scheduler keeps its jobs in memory: give it a storage";
            return Err(error(py, |names| &names.state_error, message));
        };
        let (send, receive) = mpsc::sync_channel(1);
        let then = move |ended| {
            // After a Ctrl-C nobody listens any more.
            let _ = send.send(ended);
        };
        py.detach(|| begin(file, Box::new(then)));
        let receive = Mutex::new(receive);
        loop {
            let ended = py.detach(|| receive.lock().recv_timeout(SLICE));
            py.check_signals()?;
            look()?;
            match ended {
                Ok(ended) => return ended.map_err(|failure| file_failed(py, &failure, None)),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    return Err(refused(py, Refused::Closed, ""));
                }
            }
        }
    }

    /// Refuse data that the store does not take.
    pub(crate) fn check_data(&self, py: Python<'_>, data: Option<&Py<PyBytes>>) -> PyResult<()> {
        let length = data.map_or(0, |data| data.as_bytes(py).len());
        if length > self.max_data {
            let message = format!(
                "data must have at most {} bytes (LocalStorage's max_data), not {length}",
                self.max_data
            );
            return Err(error(py, |names| &names.payload_too_large_error, message));
        }
        Ok(())
    }

    #[inline(never)] // out of the way of the calls that keep nothing
    pub(crate) fn keep<'py>(
        &self,
        due: Due,
        handle: Fresh<'py>,
        id: Option<&str>,
        manner: Manner<'_>,
    ) -> PyResult<Bound<'py, PyString>> {
        let (py, engine) = (handle.py(), &self.engine);
        let Some(text) = id else {
            let kept = releasing(py, |released| {
                handle.give(|handle| engine.keep(due, handle, released))
            });
            let (id, ticket) = kept.map_err(|error| refused(py, error, ""))?;
            let id = ids::text(py, id);
            self.settled(py, ticket, manner)?;
            return Ok(id);
        };
        if engine.paged_out() > 0 {
            // Only the store knows whether the id is taken.
            manner.may_wait()?;
        }
        let mut released = Released::default();
        let turn = self.turn(py, manner)?;
        let kept =
            handle.give(|handle| py.detach(|| engine.keep_as(text, due, handle, &mut released)));
        drop(turn);
        release(py, &mut released);
        let ticket = kept.map_err(|error| refused(py, error, text))?;
        self.settled(py, ticket, manner)?;
        Ok(PyString::new(py, text))
    }

    pub(crate) fn restore_kept(
        &self,
        id: &str,
        (job_due, due): (i64, i64),
        progress: Progress,
        handle: Fresh<'_>,
        manner: Manner<'_>,
    ) -> PyResult<()> {
        let (py, engine) = (handle.py(), &self.engine);
        if engine.paged_out() > 0 {
            manner.may_wait()?;
        }
        let mut released = Released::default();
        let turn = self.turn(py, manner)?;
        let kept = handle.give(|handle| {
            let released = &mut released;
            py.detach(|| engine.restore_kept(id, job_due, due, progress, handle, released))
        });
        drop(turn);
        release(py, &mut released);
        let ticket = kept.map_err(|error| refused(py, error, id))?;
        self.settled(py, ticket, manner)
    }

    /// One at a time ask the store about a single id: between its answer and what the engine does then,
    /// nobody else finds the job in neither place.
    ///
    /// Nothing is made or freed in a turn that Python could run for, a collection included: what it
    /// runs may want a turn, too, on this thread.
    fn turn(&self, py: Python<'_>, manner: Manner<'_>) -> PyResult<MutexGuard<'_, ()>> {
        loop {
            if let Some(turn) = self.turns.try_lock() {
                return Ok(turn);
            }
            // Who has it waits for the disk.
            manner.may_wait()?;
            // Not waited for in the lock: who has it may want the interpreter.
            py.detach(|| std::thread::sleep(Duration::from_micros(50)));
            py.check_signals()?;
        }
    }

    pub(crate) fn cancel_kept(
        &self,
        py: Python<'_>,
        id: &str,
        manner: Manner<'_>,
    ) -> PyResult<bool> {
        self.change(
            py,
            id,
            manner,
            || self.engine.cancel_kept(id),
            |handle| drop(Fresh::back(py, handle)),
            |released| self.engine.cancel_paged_out(id, released),
            |()| Ok(()),
        )
    }

    pub(crate) fn reschedule_kept(
        &self,
        py: Python<'_>,
        id: &str,
        due: i64,
        manner: Manner<'_>,
    ) -> PyResult<bool> {
        self.change(
            py,
            id,
            manner,
            || self.engine.reschedule_kept(id, due),
            |()| {},
            |released| self.engine.reschedule_paged_out(id, due, released),
            |near| near.map_or(Ok(()), |job| self.take_in_one(py, &job)),
        )
    }

    /// Change a pending job where it is: `here` in memory, or `away` in the store.
    #[allow(clippy::too_many_arguments)] // the two ways, and what follows each
    fn change<T, A: Send>(
        &self,
        py: Python<'_>,
        id: &str,
        manner: Manner<'_>,
        here: impl Fn() -> Result<Changed<T>, Refused>,
        changed_here: impl FnOnce(T),
        paged_out: impl Fn(&mut Released<Handle>) -> Result<Asked<A>, Refused> + Sync,
        changed_away: impl FnOnce(A) -> PyResult<()>,
    ) -> PyResult<bool> {
        let told = |error| refused(py, error, id);
        let mut turn = None;
        loop {
            match here() {
                Err(error) => {
                    drop(turn);
                    return Err(told(error));
                }
                Ok(Changed::Yes(what, ticket)) => {
                    drop(turn);
                    changed_here(what);
                    self.settled(py, ticket, manner)?;
                    return Ok(true);
                }
                Ok(Changed::No) => return Ok(false),
                Ok(Changed::PagedOut) if turn.is_none() => {
                    manner.may_wait()?;
                    turn = Some(self.turn(py, manner)?);
                }
                Ok(Changed::PagedOut) => {
                    let mut released = Released::default();
                    let asked = py.detach(|| paged_out(&mut released));
                    turn = None;
                    release(py, &mut released);
                    match asked.map_err(told)? {
                        Asked::Yes(what) => return changed_away(what).map(|()| true),
                        Asked::No => return Ok(false),
                        Asked::Here => {}
                    }
                }
            }
        }
    }

    pub(crate) fn revive_kept(&self, py: Python<'_>, id: &str) -> PyResult<bool> {
        let mut released = Released::default();
        let turn = self.turn(py, Manner::Waits)?;
        let revived = py.detach(|| self.engine.revive_kept(id, &mut released));
        drop(turn);
        release(py, &mut released);
        let Some(job) = revived.map_err(|error| refused(py, error, id))? else {
            return Ok(false);
        };
        self.take_in_one(py, &job)?;
        Ok(true)
    }

    /// Ask for pages and take them in until all that is near is in memory.
    pub(crate) fn take_in_all(&self, py: Python<'_>) -> PyResult<()> {
        self.report_unapplied(py);
        while let Some(question) = self.engine.page_wanted() {
            self.take_in_answer(py, question)?;
        }
        Ok(())
    }

    pub(crate) fn take_in_answer(&self, py: Python<'_>, question: Query) -> PyResult<()> {
        let answer = self.ask(py, question, Manner::Waits);
        match answer.inspect_err(|_| self.engine.load_no_page())? {
            Answer::Page(page) => self.take_in(py, page),
            _ => Ok(()),
        }
    }

    /// A pending job that is away.
    /// The pending event of a job that is in memory.
    pub(crate) fn pending_here(&self, py: Python<'_>, id: &str) -> PyResult<Option<Event>> {
        let event = self.engine.view(id, |view| Event::pending(py, &view));
        event.map_err(|error| refused(py, error, id))
    }

    pub(crate) fn get_away(
        &self,
        py: Python<'_>,
        id: &str,
        manner: Manner<'_>,
    ) -> PyResult<Option<Event>> {
        match self.ask(py, Query::Get(id.to_owned()), manner)? {
            // It has come in meanwhile, and may run.
            Answer::Job(Some(_)) if self.engine.holds(id) => self.pending_here(py, id),
            Answer::Job(Some(job)) => self.event(py, &job).map(Some),
            _ => Ok(None),
        }
    }

    pub(crate) fn dead_kept(&self, py: Python<'_>) -> PyResult<Vec<DeadEvent>> {
        releasing(py, |released| self.engine.stats(released));
        let mut all = Vec::new();
        let mut before = None;
        loop {
            let limit = 1_000;
            let asked = Query::Dead { before, limit };
            let Answer::Dead(page) = self.ask(py, asked, Manner::Waits)? else {
                return Ok(all);
            };
            for dead in page.unreadable {
                log::unreadable_dead(py, dead.place.seq, &told(&dead));
            }
            for dead in page.jobs {
                let event = self.event(py, &dead.job);
                match event.and_then(|event| DeadEvent::stored(py, event, &dead)) {
                    Ok(dead) => all.push(dead),
                    Err(error) => {
                        log::unreadable_dead(py, dead.number, &error.to_string());
                    }
                }
            }
            if page.last.is_none() {
                return Ok(all);
            }
            before = page.last;
        }
    }

    pub(crate) fn purge_kept(&self, py: Python<'_>, before: Option<i64>) -> PyResult<usize> {
        releasing(py, |released| self.engine.stats(released));
        match self.ask(py, Query::Purge(before), Manner::Waits)? {
            Answer::Count(count) => Ok(count as usize),
            _ => Ok(0),
        }
    }

    /// Take in the pages that have come.
    pub(crate) fn take_in_pages(&self, py: Python<'_>) -> PyResult<()> {
        self.report_unapplied(py);
        for page in self.engine.pages() {
            self.take_in(py, page)?;
        }
        Ok(())
    }

    /// Report what the store could not apply.
    fn report_unapplied(&self, py: Python<'_>) {
        for (record, why) in self.engine.unapplied() {
            log::unapplied(py, record, &why.to_string());
        }
    }

    /// Report a stored job that cannot be read, once.
    pub(crate) fn report_unreadable(&self, py: Python<'_>, job: store::Unreadable) {
        let (seq, why) = (job.place.seq, told(&job));
        if self.engine.note_unreadable(seq, job.id) {
            log::unreadable(py, seq, &why);
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
        for job in page.unreadable {
            self.report_unreadable(py, job);
        }
        let last = page.last.filter(|_| page.more);
        let mut jobs = Vec::with_capacity(page.jobs.len());
        for job in page.jobs {
            match self.handle(py, &job) {
                Ok(handle) => jobs.push((job, handle)),
                Err(error) => self.report_unmade(py, &job, &error),
            }
        }
        let given = |(job, handle): (_, Fresh<'_>)| (job, handle.given());
        let jobs = jobs.into_iter().map(given).collect();
        releasing(py, |released| {
            py.detach(|| self.engine.load(page.epoch, last, jobs, released));
        });
        Ok(())
    }

    fn take_in_one(&self, py: Python<'_>, job: &store::Job<'static>) -> PyResult<()> {
        let handle = self
            .handle(py, job)
            .inspect_err(|_| self.engine.load_none(job.place))?;
        let handle = handle.given();
        releasing(py, |released| self.engine.load_one(job, handle, released));
        Ok(())
    }

    fn spec_of(&self, py: Python<'_>, job: &store::Job<'_>) -> PyResult<Py<Spec>> {
        let target = PyString::new(py, &job.target);
        let fields = Fields::of(&job.options);
        self.specs.resolved(target.as_any(), &fields)
    }

    fn handle<'py>(&self, py: Python<'py>, job: &store::Job<'_>) -> PyResult<Fresh<'py>> {
        let spec = self.spec_of(py, job)?;
        Ok(Fresh::new(py, Data::copied(py, &job.data), spec))
    }

    /// A stored execution, as Python sees it.
    pub(crate) fn event(&self, py: Python<'_>, job: &store::Job<'_>) -> PyResult<Event> {
        let data = (!job.data.is_empty()).then(|| PyBytes::new(py, &job.data).unbind());
        let shown = Job {
            id: Id::Given((&*job.id).into()),
            due: job.job_due,
            data,
            spec: self.spec_of(py, job)?,
        };
        Ok(Event::at_rest(shown, job.place.due, job.progress))
    }
}
