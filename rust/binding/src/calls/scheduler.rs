//! The class behind `duewheel.Scheduler`: its calls, as thin as they can be.

use crate::calls::awaited::AwaitedCalls;
use crate::calls::bulk::{self, Times};
use crate::calls::cancel_many;
use crate::calls::change;
use crate::calls::controls::{GivenControls, held_by, left_by, read_controls};
use crate::calls::deads::{self, DeadEvents};
use crate::calls::events::Events;
use crate::calls::heirs;
use crate::calls::outcome;
use crate::calls::pauses;
use crate::calls::query;
use crate::calls::repeat::{self, Change};
use crate::calls::repeat_defined;
use crate::calls::schedule::{self, Given, warn_if_ancient};
use crate::calls::timer::{self, Timer, TimerOwner};
use crate::clock;
use crate::errors::{error, quoted, refused, store_failed};
use crate::interpreter::process;
use crate::log;
use crate::run::alive;
use crate::run::condition::Condition;
use crate::run::continuations::Continuations;
use crate::run::event_loop::EventLoop;
use crate::run::first_step;
use crate::run::hooks::Hooks;
use crate::run::interrupt;
use crate::run::registry::{self, Registry};
use crate::run::running::{self, InHandler};
use crate::run::spares::Spares;
use crate::run::threads::Threads;
use crate::run::whereabouts::Whereabouts;
use crate::run::worker;
use crate::run::worker_thread;
use crate::share::shapes;
use crate::shared::{Backing, Shared, releasing};
use crate::stores;
use crate::values::carried::Rare;
use crate::values::convert;
use crate::values::event::Event;
use crate::values::ids::Ids;
use crate::values::options::Fields;
use crate::values::outcome::Outcome;
use crate::values::payload::{Handle, release};
use crate::values::repeat::Repeat;
use crate::values::specs::{self, Specs};
use crate::values::stats::{Stats, TargetStats};
use crate::values::target::Target;
use duewheel_engine::controls::Controls;
use duewheel_engine::engine::{Due, Engine, OnConflict, Refused};
use duewheel_engine::handover::queue::Lane;
use duewheel_engine::jobs::record::Released;
use duewheel_engine::sync::Mutex;
use duewheel_store::{Carried, Ticket, WhichDead};
use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyMappingProxy, PyString, PyTuple};
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// How often a wait looks whether other nodes have finished what is stored.
const LOOK: Duration = Duration::from_millis(20);

/// The calls of a scheduler that are all in Rust; what users make is `duewheel.Scheduler`.
// Its name in Python is in the messages for wrong arguments.
#[pyclass(
    name = "Scheduler",
    frozen,
    subclass,
    weakref,
    module = "duewheel._core"
)]
pub(crate) struct SchedulerCore {
    /// Nothing until `_open` was called: a subclass may have its own `__init__`, and what it gives to
    /// `super().__init__` is what counts.
    opened: OnceLock<Arc<Shared>>,
    /// What its timers refer to, from the first on: then the collector looks at what waits.
    timers: OnceLock<Py<TimerOwner>>,
}

#[cold]
fn not_opened(py: Python<'_>) -> PyErr {
    let message = "this scheduler was not opened: super().__init__() was not called, or has raised";
    error(py, |names| &names.state_error, message)
}

#[cold]
fn opened_twice(py: Python<'_>) -> PyErr {
    let message = "this scheduler is open: __init__() was called before; make another one";
    error(py, |names| &names.state_error, message)
}

/// Say to an engine that is new how it is used.
fn prepare(
    engine: &mut Engine<Handle>,
    backing: &Backing,
    (workers, manual, serves): (usize, bool, bool),
) {
    if backing.settles_later && !manual {
        engine.mark_ahead(workers.saturating_mul(2));
    }
    if manual {
        engine.drive_by_hand();
    }
    if serves {
        engine.keep_receipts();
    }
}

impl SchedulerCore {
    /// What it was opened with, in the process that did so.
    #[inline]
    pub(crate) fn shared(&self, py: Python<'_>) -> PyResult<&Arc<Shared>> {
        let Some(shared) = self.opened.get() else {
            return Err(not_opened(py));
        };
        shared.check_fork(py)?;
        Ok(shared)
    }

    /// What it was opened with, if it was, in whatever process.
    #[inline]
    pub(super) fn opened(&self) -> Option<&Arc<Shared>> {
        self.opened.get()
    }

    #[inline]
    pub(crate) fn open(&self, py: Python<'_>) -> PyResult<&Engine<Handle>> {
        Ok(&self.shared(py)?.engine)
    }

    #[inline]
    pub(super) fn timer_owner(&self, py: Python<'_>) -> PyResult<&Py<TimerOwner>> {
        let shared = self.shared(py)?;
        match self.timers.get() {
            Some(owner) => Ok(owner),
            None => {
                let owner = Py::new(py, TimerOwner(shared.clone()))?;
                Ok(self.timers.get_or_init(|| owner))
            }
        }
    }

    #[inline]
    fn schedule(
        &self,
        due: Due,
        given: Given<'_, '_>,
        fields: &[Option<Bound<'_, PyAny>>; 5],
    ) -> PyResult<Py<PyString>> {
        let py = given.target.py();
        let shared = self.shared(py)?;
        let fields = if fields.iter().all(Option::is_none) {
            None
        } else {
            Some(Fields::given(fields)?)
        };
        shared.finish(py, schedule::schedule(shared, due, given, fields)?)
    }

    /// Set in the engine where the handler of a target runs, if it has one: of several threads that change
    /// handlers, the last to set it has seen the changes of all.
    fn tell_registered(shared: &Shared, py: Python<'_>, target: &Target) {
        let engine = &*shared.engine;
        let (number, name) = (target.number, &*target.text);
        loop {
            let (version, handlers) = shared.registry.handlers();
            let handler = registry::get(&handlers, number);
            let lane = handler.map(|handler| handler.lane);
            let controls = handler.map_or_else(Controls::default, |handler| handler.controls);
            py.detach(|| engine.set_controlled(number, name, lane, controls));
            if shared.registry.version() == version {
                return;
            }
        }
    }
}

#[pymethods]
impl SchedulerCore {
    /// An empty one, whatever it is called with: `_open` opens it.
    #[new]
    #[pyo3(signature = (*_arguments, **_keywords))]
    fn new(_arguments: &Bound<'_, PyTuple>, _keywords: Option<&Bound<'_, PyDict>>) -> Self {
        SchedulerCore {
            opened: OnceLock::new(),
            timers: OnceLock::new(),
        }
    }

    /// Open it, once.
    #[allow(clippy::too_many_arguments)] // they are the constructor's
    fn _open(
        &self,
        py: Python<'_>,
        storage: Option<&Bound<'_, PyAny>>,
        workers: Option<&Bound<'_, PyAny>>,
        options: Option<&Bound<'_, PyAny>>,
        clock: Option<&Bound<'_, PyAny>>,
        seed: Option<&Bound<'_, PyAny>>,
        tasks: Option<&Bound<'_, PyAny>>,
        hooks: Option<&Bound<'_, PyAny>>,
        serves: bool,
    ) -> PyResult<()> {
        if self.opened.get().is_some() {
            return Err(opened_twice(py));
        }
        let workers = workers.map_or(Ok(4), |workers| convert::count(workers, "workers"))?;
        let tasks = tasks.map_or(Ok(1_000), |tasks| convert::count(tasks, "tasks"))?;
        let base = specs::base(options)?;
        let seed = convert::seed(seed)?;
        let clock = clock::read(clock)?;
        let hooks = Hooks::read(hooks)?;
        let mut engine = Engine::new(clock.clock)?;
        let backing = match storage {
            Some(storage) => stores::open(py, storage, &mut engine, serves)?,
            None => Backing::memory(),
        };
        prepare(&mut engine, &backing, (workers, clock.manual, serves));
        let engine = Arc::new(engine);
        let shared = Arc::new(Shared {
            is_plain: !backing.writes && !hooks.are_scheduling(),
            registry: Registry::new(&backing.paused),
            hooks,
            specs: Specs::new(py, engine.clone(), base),
            engine,
            backing,
            seed,
            context: Mutex::new(None),
            continuations: Continuations::new((!clock.manual).then_some(tasks)),
            threads: Threads::default(),
            whereabouts: Whereabouts::default(),
            workers,
            tasks,
            manual: clock.manual,
            raised: clock.raised,
            forks: process::forks(),
        });
        alive::remember(&shared);
        if serves {
            shared.take_in_first(py)?;
        } else {
            shared.take_in_all(py)?;
        }
        // Another thread may have been faster.
        self.opened.set(shared).map_err(|late| {
            late.close(py, release);
            opened_twice(py)
        })
    }

    /// Begin to run what is due, each handler in a copy of `context`.
    ///
    /// It has not begun when there is a thread that the system does not give.
    fn _start(slf: &Bound<'_, Self>, context: Py<PyAny>) -> PyResult<()> {
        let py = slf.py();
        let shared = slf.get().shared(py)?;
        let engine = &*shared.engine;
        if engine.is_closed() {
            return Err(refused(py, Refused::Closed, ""));
        }
        shared.continuations.set_owner(slf.as_any())?;
        worker_thread::spawn_missing(py, shared)?;
        let old = if engine.is_started() {
            None
        } else {
            shared.context.lock().replace(context)
        };
        drop(old);
        engine.start().map_err(|error| refused(py, error, ""))
    }

    /// Start nothing more and finish what has started.
    ///
    /// What was handed over but not started is pending again in its old place. Returns `True`
    /// when all has finished, `False` when `timeout` ran out first. Jobs may still be scheduled;
    /// none runs until `start`. Allowed after `close`.
    ///
    /// **Time**: `timeout` is seconds or a `timedelta`; `None` has no end.
    /// **Raises** `StateError` in a handler of this scheduler.
    #[pyo3(signature = (timeout=None))]
    fn drain(&self, py: Python<'_>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        let shared = self.shared(py)?;
        let engine = &*shared.engine;
        let timeout = convert::timeout(timeout)?;
        shared.refuse_inside(py, "drain")?;
        py.detach(|| engine.stop());
        let finished = shared.wait(py, timeout, |slice| engine.wait_finished(slice))?;
        if finished {
            self._give_up_file(py)?;
        }
        Ok(finished)
    }

    /// Start nothing more, for good, and wait for nothing.
    ///
    /// Handlers that are running go on. In memory what is pending is dropped, counted and logged.
    /// Idempotent, allowed in a handler.
    ///
    /// **Durability**: on disk it stays pending, and the file is given up after the last outcome. What still
    /// runs when the process ends comes again with the next `run`.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.shared(py)?.close(py, release);
        Ok(())
    }

    /// Wait until nothing is pending or running, parked jobs aside; `False` at the timeout.
    ///
    /// Returns `True` too when the scheduler is closed meanwhile and nothing runs any more. Under a
    /// `ManualClock` nothing runs unless another thread advances it.
    ///
    /// **Time**: `timeout` is seconds or a `timedelta`; `None` has no end.
    /// **Raises** `StateError` in a handler of this scheduler, `ClosedError` after `close`.
    #[pyo3(signature = (timeout=None))]
    fn wait(&self, py: Python<'_>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        let shared = self.shared(py)?;
        let engine = &*shared.engine;
        let timeout = convert::timeout(timeout)?;
        if engine.is_closed() {
            return Err(refused(py, Refused::Closed, ""));
        }
        shared.refuse_inside(py, "wait")?;
        shared.wait(py, timeout, |slice| {
            if !engine.wait_idle(slice) {
                return false;
            }
            // Other nodes may have jobs of this one, or this one has not got them yet.
            let is_idle = engine.is_store_idle().unwrap_or(true);
            if !is_idle {
                std::thread::sleep(slice.min(LOOK));
            }
            is_idle
        })
    }

    /// Schedule a repeat, or edit the one of its id; return its id.
    #[pyo3(signature = (schedule, target, data, declared, **keywords))]
    fn _repeat<'py>(
        &self,
        schedule: &Bound<'py, PyAny>,
        target: &Bound<'py, PyAny>,
        #[pyo3(from_py_with = convert::as_given)] data: Option<Bound<'py, PyAny>>,
        declared: bool,
        keywords: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Py<PyString>> {
        let py = target.py();
        let shared = self.shared(py)?;
        let given = repeat::Given {
            schedule,
            target,
            data,
            keywords,
            declared,
        };
        shared.finish(py, repeat::repeat(shared, &given)?)
    }

    /// Schedule a repeat that another process has defined, or edit the one of its id.
    fn _repeat_defined(
        &self,
        definition: &str,
        id: &str,
        target: &Bound<'_, PyAny>,
        data: &Bound<'_, PyAny>,
        options: &Bound<'_, PyAny>,
        carried: &Bound<'_, PyDict>,
    ) -> PyResult<()> {
        let py = target.py();
        let shared = self.shared(py)?;
        let (defined, data) = ((definition, id, false), convert::data(data)?);
        let carried = Rare::read(carried, "Scheduler.repeat")?.carried;
        let made = repeat_defined::repeat_defined(shared, defined, target, data, options, carried)?;
        shared.finish(py, made)
    }

    /// Whether a job of this id, scheduled then or later by the wall clock, was in the file when it was opened.
    fn _was_found(&self, id: &Bound<'_, PyAny>, since: i64) -> PyResult<bool> {
        let text = convert::name(id, "id")?;
        Ok(self.open(id.py())?.was_found(text, since))
    }

    /// What `stats` returns, as a text for another process.
    fn _told_stats(&self, py: Python<'_>) -> PyResult<String> {
        let shared = self.shared(py)?;
        let stats = releasing(py, |released| shared.stats(released));
        Ok(shapes::stats_text(&stats))
    }

    /// Check what a repeat is to be declared with.
    #[pyo3(signature = (schedule, data, **keywords))]
    fn _check_repeat<'py>(
        &self,
        schedule: &Bound<'py, PyAny>,
        #[pyo3(from_py_with = convert::as_given)] data: Option<Bound<'py, PyAny>>,
        keywords: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<()> {
        repeat::check(schedule, data.as_ref(), keywords)
    }

    /// Report the repeats that an earlier life has declared and this one has not.
    fn _report_undeclared(&self, py: Python<'_>) -> PyResult<()> {
        let engine = self.open(py)?;
        let ids = engine.undeclared();
        if !ids.is_empty() {
            log::undeclared(py, ids);
        }
        Ok(())
    }

    /// Hold a repeat back until it is resumed; `False`: there is none of this id.
    ///
    /// What runs goes on. `trigger` starts it all the same.
    ///
    /// **Durability**: in a file it stays paused when that is opened again.
    /// **Raises** `TypeError`, `ValueError` for an id that is none; `ClosedError`.
    fn pause(&self, id: &Bound<'_, PyAny>) -> PyResult<bool> {
        let shared = self.shared(id.py())?;
        shared.finish(id.py(), repeat::change(shared, id, Change::Pause)?)
    }

    /// Pause a target, or let it go on; whether that is news.
    fn _set_paused(&self, target: &Bound<'_, PyAny>, paused: bool) -> PyResult<bool> {
        let py = target.py();
        let shared = self.shared(py)?;
        let name = convert::name(target, "target")?.to_owned();
        let changed = pauses::set_paused(shared, py, &name, paused)?;
        // Where nodes share the store, it claims nothing of what is paused.
        if !shared.engine.is_shared()
            && let Some(target) = shared.registry.set_paused(&name, paused)
        {
            Self::tell_registered(shared, py, &target);
        }
        Ok(changed)
    }

    /// The targets that are paused, in the order of their names.
    fn _paused_targets(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        pauses::paused(self.shared(py)?, py)
    }

    /// Whether a target is paused.
    fn _is_paused(&self, py: Python<'_>, target: &str) -> PyResult<bool> {
        pauses::is_paused(self.shared(py)?, py, target)
    }

    /// Let a paused repeat go on with the first of its times after now, whatever its `catch_up`.
    ///
    /// Returns `False` when there is no repeat of this id.
    ///
    /// **Raises** `TypeError`, `ValueError` for an id that is none; `ClosedError`.
    fn resume(&self, id: &Bound<'_, PyAny>) -> PyResult<bool> {
        let shared = self.shared(id.py())?;
        shared.finish(id.py(), repeat::change(shared, id, Change::Resume)?)
    }

    /// Have a repeat run once more, as soon as possible; `False`: there is none of this id.
    ///
    /// Several before its start are one; while an occurrence runs it comes after that. It also starts while
    /// paused, and its other times stay what they are.
    ///
    /// **Raises** `TypeError`, `ValueError` for an id that is none; `ClosedError`.
    fn trigger(&self, id: &Bound<'_, PyAny>) -> PyResult<bool> {
        let shared = self.shared(id.py())?;
        shared.finish(id.py(), repeat::change(shared, id, Change::Trigger)?)
    }

    /// Return the repeat of this id, pending or running, if there is one.
    ///
    /// **Raises** `TypeError`, `ValueError` for an id that is none; `ClosedError`.
    fn get_repeat(&self, id: &Bound<'_, PyAny>) -> PyResult<Option<Repeat>> {
        let shared = self.shared(id.py())?;
        shared.finish(id.py(), repeat::get(shared, id)?)
    }

    /// The ids of all repeats, in the order of their dues.
    fn _repeat_ids(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        repeat::ids(self.shared(py)?, py)
    }

    /// The wall clock.
    fn _wall_ns(&self, py: Python<'_>) -> PyResult<i64> {
        Ok(self.open(py)?.clock().wall())
    }

    /// Ask what runs of a job to end; `False`: nothing of this id runs.
    ///
    /// An async handler is cancelled. On a thread nothing can be interrupted: `event.expired` turns true, for the
    /// handler to look at. If it raises from then on, whatever that is, the job is dead, reason `"discarded"`, and not
    /// retried; if it returns it has succeeded. Over PostgreSQL: what runs on this node.
    ///
    /// **Raises** `TypeError`, `ValueError` for an id that is none; `ClosedError`. **Cost**: O(running).
    fn interrupt(&self, id: &Bound<'_, PyAny>) -> PyResult<bool> {
        let (py, text) = (id.py(), convert::name(id, "id")?);
        let shared = self.shared(py)?;
        if shared.engine.is_closed() {
            return Err(refused(py, Refused::Closed, text));
        }
        interrupt::interrupt(py, shared, text)
    }

    /// Where the job of an id is.
    fn _stage_of(&self, id: &Bound<'_, PyAny>) -> PyResult<Option<&'static str>> {
        let py = id.py();
        let text = convert::name(id, "id")?;
        let engine = self.open(py)?;
        let stage = releasing(py, |released| engine.stage_of(text, released));
        stage.map_err(|error| refused(py, error, text))
    }

    /// Why the job of an id is held, where it is: `"concurrency"` or `"rate"`, with the limit, or the nanoseconds left.
    fn _held_by(&self, id: &Bound<'_, PyAny>) -> PyResult<Option<(&'static str, Option<i64>)>> {
        let text = convert::name(id, "id")?;
        held_by(id.py(), self.open(id.py())?, text)
    }

    /// Why due jobs of a target are on disk alone, where some are: as `_held_by`, and `"handler"` where it has none.
    fn _left_by(
        &self,
        py: Python<'_>,
        target: &str,
    ) -> PyResult<Option<(&'static str, Option<i64>)>> {
        left_by(py, self.open(py)?, target)
    }

    /// Wait until drained or closed.
    fn _wait_stopped(&self, py: Python<'_>) -> PyResult<()> {
        let shared = self.shared(py)?;
        let engine = &*shared.engine;
        shared
            .wait(py, None, |slice| engine.wait_stopped(slice))
            .map(drop)
    }

    fn _refuse_inside(&self, py: Python<'_>, call: &str) -> PyResult<()> {
        self.shared(py)?.refuse_inside(py, call)
    }

    /// Why the store takes nothing any more.
    #[getter]
    fn _failure<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let failure = self.shared(py)?.engine.failure();
        Ok(failure.map(|failure| {
            store_failed(py, &failure, None)
                .value(py)
                .clone()
                .into_any()
        }))
    }

    #[getter]
    fn _opened(&self) -> bool {
        self.opened.get().is_some()
    }

    #[getter]
    fn _closed(&self) -> bool {
        self.opened
            .get()
            .is_none_or(|shared| shared.is_forked() || shared.engine.is_closed())
    }

    #[getter]
    fn _started(&self) -> bool {
        self.opened
            .get()
            .is_some_and(|shared| !shared.is_forked() && shared.engine.is_started())
    }

    #[getter]
    fn _forked(&self) -> bool {
        self.opened.get().is_some_and(|shared| shared.is_forked())
    }

    /// Register a handler; returns the target's number and the registration.
    #[pyo3(signature = (target, handler, on_loop=false, controls=None, dead=None))]
    fn _register(
        &self,
        target: &Bound<'_, PyAny>,
        handler: Py<PyAny>,
        on_loop: bool,
        controls: Option<GivenControls>,
        dead: Option<String>,
    ) -> PyResult<(u32, u64)> {
        let py = target.py();
        let shared = self.shared(py)?;
        let engine = &*shared.engine;
        if engine.is_closed() {
            return Err(refused(py, Refused::Closed, ""));
        }
        let controls = read_controls(controls);
        let target = shared.specs.target(target)?;
        let lane = if on_loop { Lane::Loop } else { Lane::Workers };
        let (added, dead) = ((lane, controls), dead.map(Arc::from));
        let Some(registration) = shared.registry.add(&target, handler, added, dead.clone()) else {
            return Err(error(
                py,
                |names| &names.duplicate_target_error,
                format!(
                    "the target {} has a handler: deregister it first",
                    quoted(py, &target.text)
                ),
            ));
        };
        Self::tell_registered(shared, py, &target);
        if let Err(error) = heirs::settle_owed(shared, py, &target.text, dead.as_deref()) {
            self._deregister(py, target.number, registration)?;
            return Err(error);
        }
        Ok((target.number, registration))
    }

    fn _deregister(&self, py: Python<'_>, number: u32, registration: u64) -> PyResult<()> {
        let shared = self.shared(py)?;
        if let Some(handler) = shared.registry.remove(number, registration) {
            Self::tell_registered(shared, py, &handler.target);
        }
        Ok(())
    }

    /// Put `wrap(handler, on_loop)` in the place of each handler that is registered.
    fn _wrap_handlers(&self, wrap: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = wrap.py();
        self.shared(py)?.registry.wrap(|handler| {
            let on_loop = handler.lane == Lane::Loop;
            Ok(wrap.call1((handler.call.clone_ref(py), on_loop))?.unbind())
        })
    }

    /// Schedule a job for a time of the wall clock; return its id.
    ///
    /// `data` is bytes-like. `id` names the job, else it gets a UUIDv7. The keywords of `JobOptions`
    /// lie over `options`, and those over the scheduler's own.
    ///
    /// `headers` are texts by name, at most 4 KiB of UTF-8 in all, for traces, tenants or ids of requests: the
    /// `job.headers`. They are never encrypted.
    ///
    /// Jobs of one target and `key` never overlap, and run in order, on one node: the later ones wait.
    ///
    /// How the job ends is kept for `keep` seconds from then, and what its handler returned, which must be bytes-like
    /// or `None`: for `outcome`. As long its id stays taken.
    ///
    /// `on_conflict` says what becomes of a job that has the `id`. `"error"`: nothing, and this is refused. `"ignore"`:
    /// nothing, and its id is returned. `"update"`: it gets this target, data, headers and options, and keeps its due.
    /// `"replace"`: it gets the due, too. What runs is followed by one job that is as the last of these calls says.
    ///
    /// Over PostgreSQL a `connection` to its database schedules it in your transaction: it is there if that commits.
    /// psycopg 3, SQLAlchemy (`Connection`, `Session`) and Django's are taken, the async ones of psycopg, SQLAlchemy
    /// and asyncpg by `aio.Scheduler`. One statement is run on it; nothing is begun, committed or set.
    ///
    /// **Time**: an aware `datetime`, or unix seconds; a float's nanoseconds are the exact
    /// ceiling of its binary value. A due in the past runs at once, in the place of its own value.
    /// **Order**: (due, sequence of scheduling).
    /// **Raises** `TypeError`, `ValueError` and `OverflowError` for what is no time, target, data
    /// or option; `DuplicateJobError` when `id` is taken; `PayloadTooLargeError` for data over the
    /// store's `max_data`; `StorageError`; `ClosedError`. Nothing is scheduled then.
    /// **Durability**: with a file, the job is on disk when this returns, as `LocalStorage` says.
    /// **Cost**: O(1).
    #[pyo3(
        signature = (
            when, target, data=None, *, id=None, options=None, retry_limit=None, min_backoff=None, max_backoff=None, age_limit=None, consistency=None
        ),
        text_signature = "($self, when, target, data=b'', *, id=None, options=None, connection=None, **job_options)"
    )]
    #[allow(clippy::too_many_arguments)] // they are the public call's
    fn at<'py>(
        &self,
        when: &Bound<'py, PyAny>,
        target: &Bound<'py, PyAny>,
        #[pyo3(from_py_with = convert::as_given)] data: Option<Bound<'py, PyAny>>,
        id: Option<&Bound<'py, PyAny>>,
        options: Option<&Bound<'py, PyAny>>,
        #[pyo3(from_py_with = convert::as_given)] retry_limit: Option<Bound<'py, PyAny>>,
        #[pyo3(from_py_with = convert::as_given)] min_backoff: Option<Bound<'py, PyAny>>,
        #[pyo3(from_py_with = convert::as_given)] max_backoff: Option<Bound<'py, PyAny>>,
        #[pyo3(from_py_with = convert::as_given)] age_limit: Option<Bound<'py, PyAny>>,
        #[pyo3(from_py_with = convert::as_given)] consistency: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Py<PyString>> {
        let fields = [
            retry_limit,
            min_backoff,
            max_backoff,
            age_limit,
            consistency,
        ];
        let due = Due::At(convert::wall_time(when, "when")?);
        let given = Given {
            target,
            data,
            id,
            options,
            carried: Carried::default(),
            on_conflict: OnConflict::Error,
        };
        let id = self.schedule(due, given, &fields)?;
        warn_if_ancient(self.shared(target.py())?, target.py(), due);
        Ok(id)
    }

    /// Schedule a job after a delay from now; return its id.
    ///
    /// `data`, `id`, `connection`, `headers`, `on_conflict` and options are as for `at`.
    ///
    /// **Time**: seconds or a `timedelta`, on the boot clock, which no step of the wall clock moves;
    /// with a file, on the wall clock once the file was opened again.
    /// **Raises** as `at`; `ValueError` for a negative delay.
    /// **Durability**: as `at`.
    /// **Cost**: O(1).
    #[pyo3(
        signature = (
            delay, target, data=None, *, id=None, options=None, retry_limit=None, min_backoff=None, max_backoff=None, age_limit=None, consistency=None
        ),
        text_signature = "($self, delay, target, data=b'', *, id=None, options=None, connection=None, **job_options)"
    )]
    #[allow(clippy::too_many_arguments)] // they are the public call's
    fn in_<'py>(
        &self,
        delay: &Bound<'py, PyAny>,
        target: &Bound<'py, PyAny>,
        #[pyo3(from_py_with = convert::as_given)] data: Option<Bound<'py, PyAny>>,
        id: Option<&Bound<'py, PyAny>>,
        options: Option<&Bound<'py, PyAny>>,
        #[pyo3(from_py_with = convert::as_given)] retry_limit: Option<Bound<'py, PyAny>>,
        #[pyo3(from_py_with = convert::as_given)] min_backoff: Option<Bound<'py, PyAny>>,
        #[pyo3(from_py_with = convert::as_given)] max_backoff: Option<Bound<'py, PyAny>>,
        #[pyo3(from_py_with = convert::as_given)] age_limit: Option<Bound<'py, PyAny>>,
        #[pyo3(from_py_with = convert::as_given)] consistency: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Py<PyString>> {
        let fields = [
            retry_limit,
            min_backoff,
            max_backoff,
            age_limit,
            consistency,
        ];
        let due = Due::In(convert::delay(delay, "delay")?);
        let given = Given {
            target,
            data,
            id,
            options,
            carried: Carried::default(),
            on_conflict: OnConflict::Error,
        };
        self.schedule(due, given, &fields)
    }

    /// As `at`, or `in_` where it is a delay, with keywords that few calls have.
    #[allow(clippy::too_many_arguments)] // they are the public call's
    fn _schedule<'py>(
        &self,
        is_delay: bool,
        when: &Bound<'py, PyAny>,
        target: &Bound<'py, PyAny>,
        #[pyo3(from_py_with = convert::as_given)] data: Option<Bound<'py, PyAny>>,
        id: Option<&Bound<'py, PyAny>>,
        options: Option<&Bound<'py, PyAny>>,
        keywords: &Bound<'py, PyDict>,
    ) -> PyResult<Py<PyString>> {
        let (py, shared) = (target.py(), self.shared(target.py())?);
        let (due, call) = if is_delay {
            (Due::In(convert::delay(when, "delay")?), "Scheduler.in_")
        } else {
            (Due::At(convert::wall_time(when, "when")?), "Scheduler.at")
        };
        let given = Given {
            target,
            data,
            id,
            options,
            carried: Carried::default(),
            on_conflict: OnConflict::Error,
        };
        let (given, fields) = given.with(Rare::read(keywords, call)?);
        let id = shared.finish(py, schedule::schedule(shared, due, given, fields)?)?;
        warn_if_ancient(shared, py, due);
        Ok(id)
    }

    /// Start a timer: a job in memory for what is mostly cancelled; return its handle.
    ///
    /// `target` is the name of a handler, or a callable that is called with the event, an `async def` one on
    /// the event loop. `data` is any object: `event.data` is this object. It is not retried unless
    /// `retry_limit` says so; the keywords are those of `JobOptions`. It counts as any job does, but is not
    /// among the `dead`. Dropping the handle changes nothing. What it was given is let go of when it has
    /// ended or is cancelled.
    ///
    /// **Time**: seconds or a `timedelta`, on the boot clock.
    /// **Order**: (due, sequence of scheduling), among all jobs.
    /// **Raises** `StateError` for a scheduler with a file; `TypeError` for a target that is neither a str nor
    /// callable; else as `in_`.
    /// **Cost**: O(1), less than `in_`.
    ///
    /// >>> from duewheel import Scheduler
    /// >>> scheduler = Scheduler()
    /// >>> timer = scheduler.timer(30, lambda event: print("no answer from", event.data), "ada")
    /// >>> timer.pending, timer.cancel(), timer.pending
    /// (True, True, False)
    #[pyo3(
        signature = (
            delay, target, data=None, *, retry_limit=None, min_backoff=None, max_backoff=None, age_limit=None, consistency=None
        ),
        text_signature = "($self, delay, target, data=None, **job_options)"
    )]
    #[allow(clippy::too_many_arguments)] // they are the public call's
    fn timer<'py>(
        slf: &Bound<'py, Self>,
        delay: &Bound<'py, PyAny>,
        target: &Bound<'py, PyAny>,
        data: Option<Bound<'py, PyAny>>,
        #[pyo3(from_py_with = convert::as_given)] retry_limit: Option<Bound<'py, PyAny>>,
        #[pyo3(from_py_with = convert::as_given)] min_backoff: Option<Bound<'py, PyAny>>,
        #[pyo3(from_py_with = convert::as_given)] max_backoff: Option<Bound<'py, PyAny>>,
        #[pyo3(from_py_with = convert::as_given)] age_limit: Option<Bound<'py, PyAny>>,
        #[pyo3(from_py_with = convert::as_given)] consistency: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Timer> {
        let fields = [
            retry_limit,
            min_backoff,
            max_backoff,
            age_limit,
            consistency,
        ];
        let core = slf.get();
        let owner = core.timer_owner(slf.py())?;
        timer::start(slf.as_any(), owner, delay, target, data, &fields)
    }

    /// Schedule many jobs of one target, in that order: all of them or none; return their ids.
    ///
    /// `whens` is a sequence of what `at` takes, or an array: float64 is read without making Python
    /// objects, NumPy's `datetime64` is exact. `datas` has the data of each, or is `None` for none. All have the same
    /// `headers` and `key`.
    ///
    /// **Raises** as `at`; `ValueError` when `datas` are not as many.
    /// **Durability**: as `at`.
    /// **Cost**: O(n).
    #[pyo3(signature = (whens, target, datas=None, *, options=None, **job_options))]
    fn at_many(
        &self,
        whens: &Bound<'_, PyAny>,
        target: &Bound<'_, PyAny>,
        datas: Option<&Bound<'_, PyAny>>,
        options: Option<&Bound<'_, PyAny>>,
        job_options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Ids> {
        let (shared, times) = (self.shared(target.py())?, (Times::Whens, whens));
        let made = bulk::schedule(shared, times, target, datas, options, job_options, false)?;
        shared.finish(target.py(), made)
    }

    /// Schedule many jobs after delays from now, as `at_many` does; return their ids.
    ///
    /// All delays count from one reading of the clock.
    ///
    /// **Raises** as `in_`; `ValueError` when `datas` are not as many.
    /// **Durability**: as `at`.
    /// **Cost**: O(n).
    #[pyo3(signature = (delays, target, datas=None, *, options=None, **job_options))]
    fn in_many(
        &self,
        delays: &Bound<'_, PyAny>,
        target: &Bound<'_, PyAny>,
        datas: Option<&Bound<'_, PyAny>>,
        options: Option<&Bound<'_, PyAny>>,
        job_options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Ids> {
        let (shared, times) = (self.shared(target.py())?, (Times::Delays, delays));
        let made = bulk::schedule(shared, times, target, datas, options, job_options, false)?;
        shared.finish(target.py(), made)
    }

    /// Withdraw a pending job.
    ///
    /// `True`: it was pending and will never start. `False`: unknown, running or over.
    ///
    /// With `connection`, as for `at`, in your transaction: withdrawn if it commits.
    ///
    /// **Raises** `TypeError` and `ValueError` for what is no id, `StorageError`, `ClosedError`.
    /// **Durability**: as `at`.
    /// **Cost**: O(1), amortised.
    #[pyo3(text_signature = "($self, id, *, connection=None)")]
    fn cancel(&self, id: &Bound<'_, PyAny>) -> PyResult<bool> {
        let shared = self.shared(id.py())?;
        shared.finish(id.py(), change::cancel(shared, id)?)
    }

    /// Withdraw many pending jobs; return how many were pending.
    ///
    /// `ids` is any iterable of ids, or what `in_many` has returned, which is read without making strings. All
    /// are looked at before any job is withdrawn; one that is there twice counts once.
    ///
    /// **Raises** as `cancel`, for the first that is no id: nothing is withdrawn then.
    /// **Durability**: as `at`; with a file, in one commit for those that are in memory.
    /// **Cost**: O(n), amortised.
    fn cancel_many(&self, ids: &Bound<'_, PyAny>) -> PyResult<usize> {
        let shared = self.shared(ids.py())?;
        shared.finish(ids.py(), cancel_many::cancel_many(shared, ids)?)
    }

    /// Move a pending job to another time of the wall clock, at a new place in the order.
    ///
    /// `False` as for `cancel`. **Raises** as `at`. **Durability**: as `at`.
    fn reschedule(&self, id: &Bound<'_, PyAny>, when: &Bound<'_, PyAny>) -> PyResult<bool> {
        let py = id.py();
        let shared = self.shared(py)?;
        let due = convert::wall_time(when, "when")?;
        shared.finish(py, change::reschedule(shared, id, due)?)
    }

    /// Return the pending event of a job, or `None`.
    ///
    /// **Raises** as `cancel`.
    fn get(&self, id: &Bound<'_, PyAny>) -> PyResult<Option<Event>> {
        let shared = self.shared(id.py())?;
        shared.finish(id.py(), query::get(shared, id)?)
    }

    fn __contains__(&self, id: &Bound<'_, PyAny>) -> PyResult<bool> {
        Ok(self.get(id)?.is_some())
    }

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        let shared = self.shared(py)?;
        shared.finish(py, query::count(shared, py)?)
    }

    fn __bool__(&self) -> bool {
        true
    }

    /// Return the first pending event with `start <= due < end`, or `None`.
    ///
    /// **Time**: bounds are what `at` takes; `None` is no bound. **Order**: (due, sequence).
    /// **Raises** as `at`. **Cost**: O(levels) without `start`, else O(pending).
    #[pyo3(signature = (start=None, end=None))]
    fn next(
        &self,
        py: Python<'_>,
        start: Option<&Bound<'_, PyAny>>,
        end: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Option<Event>> {
        let shared = self.shared(py)?;
        let bounds = (convert::bound(start, "start")?, convert::bound(end, "end")?);
        shared.finish(py, query::first(shared, py, bounds)?)
    }

    /// Iterate over the pending events with `start <= due < end`, of all targets or of one.
    ///
    /// Jobs that stop being pending meanwhile may be left out.
    ///
    /// **Time**: bounds are what `at` takes; `None` is no bound. **Order**: (due, sequence).
    /// **Raises** as `at`. **Cost**: O(pending), then O(1) an event; of a store a page at a time.
    #[pyo3(signature = (start=None, end=None, *, target=None))]
    fn between(
        &self,
        py: Python<'_>,
        start: Option<&Bound<'_, PyAny>>,
        end: Option<&Bound<'_, PyAny>>,
        target: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Events> {
        let bounds = (convert::bound(start, "start")?, convert::bound(end, "end")?);
        let target = target.map(|target| convert::name(target, "target"));
        query::between(self.shared(py)?, py, bounds, target.transpose()?)
    }

    /// Iterate over the jobs that ended as dead, newest first.
    ///
    /// In memory the newest 1,000 are kept, in a store all of them until `purge`. Given a `target`, only its own come;
    /// given `before`, only what died before that time; given a `limit`, at most so many.
    ///
    /// **Time**: `before` is what `at` takes. **Raises** `ClosedError` after `close`, `TypeError` and `ValueError`
    /// for what is no target, time or limit. **Cost**: of a store a page of 1,000 at a time, when it is asked for.
    #[pyo3(signature = (*, target=None, before=None, limit=None))]
    fn dead(
        &self,
        py: Python<'_>,
        target: Option<&Bound<'_, PyAny>>,
        before: Option<&Bound<'_, PyAny>>,
        limit: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<DeadEvents> {
        let which = deads::which(target, before)?;
        DeadEvents::new(self.shared(py)?, py, which, deads::limit(limit)?)
    }

    /// The deaths of one id, newest first: a store looks for them by it.
    #[pyo3(signature = (id, *, limit=None))]
    fn _deaths(
        &self,
        id: &Bound<'_, PyAny>,
        limit: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<DeadEvents> {
        let which = WhichDead {
            id: Some(convert::name(id, "id")?.to_owned()),
            ..WhichDead::default()
        };
        DeadEvents::new(self.shared(id.py())?, id.py(), which, deads::limit(limit)?)
    }

    /// Make the newest dead job of this id due now, from attempt 1 and a new age.
    ///
    /// Its `run` goes on. `False`: no dead job has the id.
    ///
    /// **Raises** `DuplicateJobError` when the id is taken by another job, `StorageError`, `ClosedError`.
    /// **Durability**: as `at`.
    fn revive(&self, id: &Bound<'_, PyAny>) -> PyResult<bool> {
        let shared = self.shared(id.py())?;
        shared.finish(id.py(), change::revive(shared, id)?)
    }

    /// Return how a job has ended that was scheduled with `keep=`, waiting for its end.
    ///
    /// What its handler returned is `result`. It is kept for `keep` seconds from the end, and as long the id stays
    /// taken: what is scheduled under it meanwhile is refused, or ignored with `on_conflict="ignore"`. A dead job that
    /// is revived has not ended any more.
    ///
    /// **Time**: `timeout` is seconds or a `timedelta`, 0 unless given; `None` has no end. `keep` is by the boot clock,
    /// in a file by the wall's, over PostgreSQL by the server's. There an end on another node is seen up to `poll`
    /// late.
    /// **Raises** `TimeoutError` while it is not over; `LookupError` for an id that is unknown or whose outcome is not
    /// kept, or no longer; `StateError` in a handler where the other could never end: of the same job, with
    /// `workers=1`, and on the loop of async handlers (there `aio.Scheduler.outcome` is awaited); `ClosedError`,
    /// `StorageError`.
    /// **Durability**: with a file or a database, what was seen once is there after a crash.
    ///
    /// >>> from duewheel import Scheduler
    /// >>> scheduler = Scheduler()
    /// >>> _ = scheduler.handle("square", lambda event: str(int(event.data) ** 2).encode())
    /// >>> with scheduler:
    /// ...     id = scheduler.in_(0, "square", b"12", keep=60)
    /// ...     outcome = scheduler.outcome(id, timeout=10)
    /// >>> outcome.state, outcome.result
    /// ('succeeded', b'144')
    #[pyo3(signature = (id, timeout=None), text_signature = "($self, id, timeout=0)")]
    fn outcome(
        &self,
        id: &Bound<'_, PyAny>,
        #[pyo3(from_py_with = convert::as_given)] timeout: Option<Bound<'_, PyAny>>,
    ) -> PyResult<Outcome> {
        let timeout = match timeout {
            None => Some(Duration::ZERO),
            Some(given) if given.is_none() => None,
            Some(given) => convert::timeout(Some(&given))?,
        };
        outcome::wait(self.shared(id.py())?, id, timeout)
    }

    /// Forget the dead that died before a time, or all; return how many.
    ///
    /// Given `ids`, an iterable of them, only those of these ids, each with all its deaths.
    ///
    /// **Time**: `before` is what `at` takes. **Raises** as `at`. **Durability**: as `at`.
    #[pyo3(signature = (before=None, *, ids=None))]
    fn purge(
        &self,
        py: Python<'_>,
        before: Option<&Bound<'_, PyAny>>,
        ids: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<usize> {
        let shared = self.shared(py)?;
        shared.finish(py, change::purge(shared, py, before, ids)?)
    }

    /// Return what it holds now and has done since it was made; allowed after `close`.
    fn stats(&self, py: Python<'_>) -> PyResult<Stats> {
        let shared = self.shared(py)?;
        let stats = releasing(py, |released| shared.stats(released));
        Ok(stats.into())
    }

    /// Return what is counted of each target, by its name; those that were forgotten are `""`.
    ///
    /// What there is: a target that has a job, a handler, or a counter other than 0. Where more than 100,000 have
    /// neither job nor handler, the oldest are forgotten. The sums over all are those of `stats`. Allowed after
    /// `close`.
    ///
    /// **Raises** `StorageError`. **Cost**: O(targets); over a file the first call reads through what is stored there.
    fn targets<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyMappingProxy>> {
        let shared = self.shared(py)?;
        let counted = releasing(py, |released| py.detach(|| shared.specs.counted(released)));
        let counted = counted.map_err(|error| refused(py, error.into(), ""))?;
        let targets = PyDict::new(py);
        let mut stuck = HashMap::<_, u64>::new();
        for (number, count) in shared.threads.stuck() {
            *stuck.entry(shared.specs.name_of(number)).or_default() += count;
        }
        for (name, counts) in counted {
            let stuck = stuck.remove(&name).unwrap_or(0);
            targets.set_item(&*name, TargetStats::new(counts, stuck))?;
        }
        Ok(PyMappingProxy::new(py, targets.as_mapping()))
    }

    /// What is told of handlers that are past their timeout.
    fn _spares(&self, py: Python<'_>) -> PyResult<Spares> {
        Ok(Spares(self.shared(py)?.clone()))
    }

    /// What runs: each event with when it started, the thread that it is on, and whether it was asked to end.
    fn _running(&self, py: Python<'_>) -> PyResult<Vec<InHandler>> {
        Ok(running::found(py, self.shared(py)?))
    }

    /// Take in a pending event as it stands.
    fn _restore(&self, event: &Bound<'_, PyAny>) -> PyResult<()> {
        let shared = self.shared(event.py())?;
        shared.finish(event.py(), schedule::restore(shared, event)?)
    }

    /// Copy the file into a new one while it is in use.
    fn _backup(&self, py: Python<'_>, path: std::path::PathBuf) -> PyResult<()> {
        let shared = self.shared(py)?;
        shared.maintain(py, |file, then| file.backup(&path, then), || Ok(()))
    }

    /// Encrypt every payload under the default key; `progress` is told rows done, rows in all.
    #[pyo3(signature = (progress=None))]
    fn _rotate(&self, py: Python<'_>, progress: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let shared = self.shared(py)?;
        let rotated = Arc::new(Mutex::new((0, 0)));
        let latest = rotated.clone();
        let mut reported = (0, 0);
        let report = || {
            let rows = *rotated.lock();
            if rows != reported
                && let Some(progress) = progress
            {
                progress.call1(rows)?;
            }
            reported = rows;
            Ok(())
        };
        let note = move |done, all| *latest.lock() = (done, all);
        shared.rotate(py, Box::new(note), report)
    }

    /// Start nothing more; what has started goes on.
    fn _stop(&self, py: Python<'_>) -> PyResult<()> {
        let engine = self.open(py)?;
        py.detach(|| engine.stop());
        Ok(())
    }

    /// Wait until the store has settled a batch and has room for more.
    fn _wait_settled(&self, py: Python<'_>, ticket: u64) -> PyResult<()> {
        self.shared(py)?.wait_settled(py, Ticket(ticket))
    }

    /// Whether the store has room for more, so that nothing need be waited for.
    fn _has_room(&self, py: Python<'_>) -> PyResult<bool> {
        let room = self.open(py)?.wait_settled(Ticket(0), Duration::ZERO);
        room.map_err(|error| refused(py, error, ""))
    }

    /// Whether a condition holds.
    fn _holds(&self, py: Python<'_>, condition: &Bound<'_, Condition>) -> PyResult<bool> {
        let shared = self.shared(py)?;
        if let Some(failure) = shared.engine.failure() {
            return Err(store_failed(py, &failure, None));
        }
        Ok(condition.get().holds(&shared.engine))
    }

    /// Refuse a target that is none, and any after closing.
    fn _check_target(&self, py: Python<'_>, target: &Bound<'_, PyAny>) -> PyResult<()> {
        if self.open(py)?.is_closed() {
            return Err(refused(py, Refused::Closed, ""));
        }
        convert::name(target, "target").map(drop)
    }

    /// After closing, give up the file if nothing runs any more.
    ///
    /// Who ran last does so, too, but who waits for the end must find the file free.
    fn _give_up_file(&self, py: Python<'_>) -> PyResult<()> {
        let engine = self.open(py)?;
        if !engine.is_closed() {
            return Ok(());
        }
        releasing(py, |released| {
            py.detach(|| engine.settle_and_refill(Lane::Loop, released));
        });
        Ok(())
    }

    /// Put the async handlers on an event loop; `over` is called when it is left after closing.
    fn _attach(
        &self,
        py: Python<'_>,
        asyncio_loop: Py<PyAny>,
        task: Py<PyAny>,
        watched: bool,
        over: Option<Py<PyAny>>,
    ) -> PyResult<Py<EventLoop>> {
        let shared = self.shared(py)?;
        let engine = &*shared.engine;
        if engine.is_closed() {
            return Err(refused(py, Refused::Closed, ""));
        }
        let turn = first_step::take_turn;
        EventLoop::attach(py, shared.clone(), asyncio_loop, task, turn, watched, over)
    }

    /// The calls that coroutines make.
    fn _awaited(&self, py: Python<'_>) -> PyResult<AwaitedCalls> {
        Ok(AwaitedCalls::new(self.shared(py)?.clone()))
    }

    #[getter]
    fn _has_store(&self) -> bool {
        self.opened
            .get()
            .is_some_and(|shared| shared.backing.writes)
    }

    /// Report the first broken invariant of the engine, if there is one.
    fn _check(&self, py: Python<'_>) -> PyResult<()> {
        let engine = self.open(py)?;
        engine
            .check()
            .map_err(pyo3::exceptions::PyAssertionError::new_err)
    }

    /// How many targets are known, and how many numbers there are for them.
    fn _targets(&self, py: Python<'_>) -> PyResult<(usize, u32)> {
        Ok(self.shared(py)?.specs.targets())
    }

    /// When the first due execution can start, and its due: for a manual clock.
    fn _manual_next(&self, py: Python<'_>) -> PyResult<Option<(i64, i64)>> {
        let shared = self.shared(py)?;
        let engine = &*shared.engine;
        if !engine.is_started() {
            // Nothing runs, and a closed store brings nothing in.
            return Ok(None);
        }
        shared.take_in_all(py)?;
        // What is paged out may be earlier than the first in memory.
        while let Some(question) = engine.page_before_next() {
            shared.take_in_answer(py, question)?;
        }
        Ok(engine.manual_next())
    }

    /// Run the execution that is due first on the calling thread: for a manual clock.
    ///
    /// Whether there was one, and whether the event loop has got something to do.
    fn _manual_step(&self, py: Python<'_>) -> PyResult<(bool, bool)> {
        let shared = self.shared(py)?;
        let engine = &*shared.engine;
        let lane = engine.lane(Lane::Loop);
        // A loop that runs in another thread may have taken it before anybody looks.
        let taken = || (lane.handed_over(), shared.continuations.total());
        let before = taken();
        let expired = engine.manual_expire();
        if expired {
            let (notices, _) = engine.ready().arrived();
            let present = shared.whereabouts.threads.enter(py);
            worker::run_ready(py, shared, &mut Released::default())?;
            drop(present);
            if shared.is_forked() {
                return Ok((true, false));
            }
            worker::report_parked(py, shared, &notices);
            // The handler may have closed it.
            shared.give_back_if_over(py);
        }
        Ok((expired, lane.has_due() || taken() != before))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let Some(shared) = self.opened.get().filter(|shared| !shared.is_forked()) else {
            return Ok(());
        };
        shared.registry.traverse(&visit)?;
        shared.hooks.traverse(&visit)?;
        shared.continuations.traverse(&visit)?;
        if self.timers.get().is_some() {
            shared
                .engine
                .each_payload(|handle| handle.traverse(&visit))?;
        }
        if let Some(context) = shared.context.try_lock()
            && let Some(context) = &*context
        {
            visit.call(context)?;
        }
        Ok(())
    }

    fn __clear__(&self) {
        let Some(shared) = self.opened.get().filter(|shared| !shared.is_forked()) else {
            return;
        };
        let handlers = shared.registry.clear();
        let hooks = shared.hooks.take();
        let context = shared.context.lock().take();
        drop(handlers);
        drop(hooks);
        drop(context);
    }
}
