//! The class behind `duewheel.Scheduler`: its calls, as thin as they can be.

use crate::bulk::Times;
use crate::clock;
use crate::convert;
use crate::dead::{DeadEvent, DeadParts};
use crate::event::Event;
use crate::ids::{self, Ids};
use crate::life;
use crate::options::Fields;
use crate::payload::Handle;
use crate::queries::Events;
use crate::registry::Registry;
use crate::shared::{Shared, error, quoted, refused, releasing};
use crate::specs::Specs;
use crate::stats::Stats;
use crate::worker;
use duewheel_core::engine::{Due, Engine, Refused};
use duewheel_core::record::Released;
use duewheel_core::sync::Mutex;
use duewheel_core::timer;
use pyo3::PyTraverseError;
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

#[pyclass(frozen, subclass, weakref, module = "duewheel._core")]
pub(crate) struct SchedulerCore {
    pub(crate) shared: Arc<Shared>,
    pub(crate) specs: Specs,
}

/// An argument that was given, `None` included, which is not the same as none.
#[allow(clippy::unnecessary_wraps)] // the signature is PyO3's
fn given<'py>(value: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    Ok(Some(value.clone()))
}

impl SchedulerCore {
    #[inline]
    pub(crate) fn open(&self, py: Python<'_>) -> PyResult<&Engine<Handle>> {
        self.shared.check_fork(py)?;
        Ok(&self.shared.engine)
    }

    #[inline]
    #[allow(clippy::too_many_arguments)] // they are what Python was called with
    fn schedule<'py>(
        &self,
        py: Python<'py>,
        due: Due,
        target: &Bound<'py, PyAny>,
        data: Option<&Bound<'py, PyAny>>,
        id: Option<&Bound<'py, PyAny>>,
        options: Option<&Bound<'py, PyAny>>,
        fields: &[Option<Bound<'py, PyAny>>; 5],
    ) -> PyResult<Bound<'py, PyString>> {
        let engine = self.open(py)?;
        let spec = if options.is_none() && fields.iter().all(Option::is_none) {
            self.specs.plain(&self.shared.registry, target)?
        } else {
            self.specs.special(
                &self.shared.registry,
                target,
                options,
                &Fields::given(fields)?,
            )?
        };
        let data = data.map_or(Ok(None), convert::data)?;
        let Some(id) = id else {
            let handle = Handle::new(data, spec);
            return match engine.schedule(due, handle) {
                Ok(id) => Ok(ids::text(py, id)),
                Err(error) => {
                    handle.free(py);
                    Err(refused(py, error, ""))
                }
            };
        };
        let text = convert::name(id, "id")?;
        let handle = Handle::new(data, spec);
        let scheduled = releasing(py, |released| {
            engine.schedule_as(text, due, handle, released)
        });
        match scheduled {
            Ok(()) => Ok(PyString::new(py, text)),
            Err(error) => {
                handle.free(py);
                Err(refused(py, error, text))
            }
        }
    }

    fn warn_if_ancient(&self, py: Python<'_>, due: Due) -> PyResult<()> {
        const YEAR: i64 = 365 * 86_400 * duewheel_core::time::SECOND;
        if let Due::At(due) = due
            && due < self.shared.engine.clock().wall().saturating_sub(YEAR)
        {
            py.import("duewheel._log")?
                .call_method1("ancient", (due,))?;
        }
        Ok(())
    }

    fn spawn_threads(&self, py: Python<'_>) -> PyResult<()> {
        let failed = |error: std::io::Error| {
            PyRuntimeError::new_err(format!("the system gives no more threads: {error}"))
        };
        if self.shared.manual || self.shared.threads() > 0 {
            return Ok(());
        }
        let _ = py;
        drop(timer::spawn(self.shared.engine.clone()).map_err(failed)?);
        for _ in 0..self.shared.workers {
            worker::spawn(self.shared.clone()).map_err(failed)?;
        }
        Ok(())
    }
}

#[pymethods]
impl SchedulerCore {
    #[new]
    #[pyo3(signature = (storage=None, *, workers=None, options=None, clock=None, seed=None))]
    fn new(
        py: Python<'_>,
        storage: Option<&Bound<'_, PyAny>>,
        workers: Option<&Bound<'_, PyAny>>,
        options: Option<&Bound<'_, PyAny>>,
        clock: Option<&Bound<'_, PyAny>>,
        seed: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        if let Some(storage) = storage {
            let is_path = storage.is_instance_of::<PyString>() || storage.hasattr("__fspath__")?;
            if is_path {
                return Err(error(
                    py,
                    "StorageError",
                    format!(
                        "durable storage is not in this version: {storage:?} cannot be opened; \
                         leave storage out to keep jobs in memory"
                    ),
                ));
            }
            return Err(PyTypeError::new_err(format!(
                "storage must be None, not {storage:?}"
            )));
        }
        let workers = workers.map_or(Ok(4), convert::workers)?;
        let specs = Specs::new(py, options)?;
        let seed = convert::seed(seed)?;
        let (clock, manual) = clock::read(clock)?;
        let engine = Engine::new(clock)?;
        let shared = Arc::new(Shared {
            engine: Arc::new(engine),
            registry: Registry::default(),
            seed,
            context: Mutex::new(None),
            threads: AtomicUsize::new(0),
            workers,
            manual,
            forks: life::forks(),
        });
        life::remember(&shared);
        Ok(SchedulerCore { shared, specs })
    }

    /// Begin to run what is due, each handler in a copy of `context`.
    fn _start(&self, py: Python<'_>, context: Py<PyAny>) -> PyResult<()> {
        let engine = self.open(py)?;
        let old = if engine.is_started() {
            None
        } else {
            self.shared.context.lock().replace(context)
        };
        drop(old);
        engine.start().map_err(|error| refused(py, error, ""))?;
        self.spawn_threads(py)
    }

    #[pyo3(signature = (timeout=None))]
    fn drain(&self, py: Python<'_>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        let engine = self.open(py)?;
        let timeout = convert::timeout(timeout)?;
        self.shared.refuse_inside(py, "drain")?;
        py.detach(|| engine.stop());
        self.shared
            .wait(py, timeout, |slice| engine.wait_finished(slice))
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.open(py)?;
        self.shared.close(py);
        Ok(())
    }

    #[pyo3(signature = (timeout=None))]
    fn wait(&self, py: Python<'_>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        let engine = self.open(py)?;
        let timeout = convert::timeout(timeout)?;
        if engine.is_closed() {
            return Err(refused(py, Refused::Closed, ""));
        }
        self.shared.refuse_inside(py, "wait")?;
        self.shared
            .wait(py, timeout, |slice| engine.wait_idle(slice))
    }

    /// Wait until drained or closed.
    fn _wait_stopped(&self, py: Python<'_>) -> PyResult<()> {
        let engine = self.open(py)?;
        self.shared
            .wait(py, None, |slice| engine.wait_stopped(slice))
            .map(drop)
    }

    fn _refuse_inside(&self, py: Python<'_>, call: &str) -> PyResult<()> {
        self.shared.refuse_inside(py, call)
    }

    #[getter]
    fn _closed(&self) -> bool {
        self.shared.is_forked() || self.shared.engine.is_closed()
    }

    #[getter]
    fn _started(&self) -> bool {
        !self.shared.is_forked() && self.shared.engine.is_started()
    }

    #[getter]
    fn _forked(&self) -> bool {
        self.shared.is_forked()
    }

    /// Register a handler; returns the target's number and the registration.
    fn _register(&self, target: &Bound<'_, PyAny>, handler: Py<PyAny>) -> PyResult<(u32, u64)> {
        let py = target.py();
        let engine = self.open(py)?;
        if engine.is_closed() {
            return Err(refused(py, Refused::Closed, ""));
        }
        let (number, name) = self.shared.registry.number(target)?;
        let Some(registration) = self.shared.registry.add(py, number, handler) else {
            return Err(error(
                py,
                "DuplicateTargetError",
                format!(
                    "the target {} has a handler: deregister it first",
                    quoted(py, name.to_str(py)?)
                ),
            ));
        };
        py.detach(|| engine.set_registered(number, true));
        Ok((number, registration))
    }

    fn _deregister(&self, py: Python<'_>, number: u32, registration: u64) -> PyResult<()> {
        let engine = self.open(py)?;
        if self.shared.registry.remove(py, number, registration) {
            engine.set_registered(number, false);
        }
        Ok(())
    }

    #[pyo3(
        signature = (
            when, target, data=None, *, id=None, options=None, retry_limit=None, min_backoff=None, max_backoff=None, age_limit=None, consistency=None
        ),
        text_signature = "($self, when, target, data=b'', *, id=None, options=None, **job_options)"
    )]
    #[allow(clippy::too_many_arguments)] // they are the public call's
    fn at<'py>(
        &self,
        py: Python<'py>,
        when: &Bound<'py, PyAny>,
        target: &Bound<'py, PyAny>,
        #[pyo3(from_py_with = given)] data: Option<Bound<'py, PyAny>>,
        id: Option<&Bound<'py, PyAny>>,
        options: Option<&Bound<'py, PyAny>>,
        #[pyo3(from_py_with = given)] retry_limit: Option<Bound<'py, PyAny>>,
        #[pyo3(from_py_with = given)] min_backoff: Option<Bound<'py, PyAny>>,
        #[pyo3(from_py_with = given)] max_backoff: Option<Bound<'py, PyAny>>,
        #[pyo3(from_py_with = given)] age_limit: Option<Bound<'py, PyAny>>,
        #[pyo3(from_py_with = given)] consistency: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyString>> {
        let fields = [
            retry_limit,
            min_backoff,
            max_backoff,
            age_limit,
            consistency,
        ];
        let due = Due::At(convert::wall_time(when, "when")?);
        let id = self.schedule(py, due, target, data.as_ref(), id, options, &fields)?;
        self.warn_if_ancient(py, due)?;
        Ok(id)
    }

    #[pyo3(
        signature = (
            delay, target, data=None, *, id=None, options=None, retry_limit=None, min_backoff=None, max_backoff=None, age_limit=None, consistency=None
        ),
        text_signature = "($self, delay, target, data=b'', *, id=None, options=None, **job_options)"
    )]
    #[allow(clippy::too_many_arguments)] // they are the public call's
    fn in_<'py>(
        &self,
        py: Python<'py>,
        delay: &Bound<'py, PyAny>,
        target: &Bound<'py, PyAny>,
        #[pyo3(from_py_with = given)] data: Option<Bound<'py, PyAny>>,
        id: Option<&Bound<'py, PyAny>>,
        options: Option<&Bound<'py, PyAny>>,
        #[pyo3(from_py_with = given)] retry_limit: Option<Bound<'py, PyAny>>,
        #[pyo3(from_py_with = given)] min_backoff: Option<Bound<'py, PyAny>>,
        #[pyo3(from_py_with = given)] max_backoff: Option<Bound<'py, PyAny>>,
        #[pyo3(from_py_with = given)] age_limit: Option<Bound<'py, PyAny>>,
        #[pyo3(from_py_with = given)] consistency: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyString>> {
        let fields = [
            retry_limit,
            min_backoff,
            max_backoff,
            age_limit,
            consistency,
        ];
        let due = Due::In(convert::delay(delay, "delay")?);
        self.schedule(py, due, target, data.as_ref(), id, options, &fields)
    }

    #[pyo3(signature = (whens, target, datas=None, *, options=None, **job_options))]
    fn at_many(
        &self,
        whens: &Bound<'_, PyAny>,
        target: &Bound<'_, PyAny>,
        datas: Option<&Bound<'_, PyAny>>,
        options: Option<&Bound<'_, PyAny>>,
        job_options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Ids> {
        let times = Times::Whens.read(whens)?;
        let ids = self.schedule_many(target, Times::Whens, &times, datas, options, job_options)?;
        if let Some(&earliest) = times.iter().min() {
            self.warn_if_ancient(target.py(), Due::At(earliest))?;
        }
        Ok(ids)
    }

    #[pyo3(signature = (delays, target, datas=None, *, options=None, **job_options))]
    fn in_many(
        &self,
        delays: &Bound<'_, PyAny>,
        target: &Bound<'_, PyAny>,
        datas: Option<&Bound<'_, PyAny>>,
        options: Option<&Bound<'_, PyAny>>,
        job_options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Ids> {
        let times = Times::Delays.read(delays)?;
        self.schedule_many(target, Times::Delays, &times, datas, options, job_options)
    }

    fn cancel(&self, id: &Bound<'_, PyAny>) -> PyResult<bool> {
        let py = id.py();
        let engine = self.open(py)?;
        let text = convert::name(id, "id")?;
        let cancelled = engine.cancel(text);
        let cancelled = cancelled.map_err(|error| refused(py, error, text))?;
        if let Some(handle) = cancelled {
            handle.free(py);
        }
        Ok(cancelled.is_some())
    }

    fn reschedule(&self, id: &Bound<'_, PyAny>, when: &Bound<'_, PyAny>) -> PyResult<bool> {
        let py = id.py();
        let engine = self.open(py)?;
        let text = convert::name(id, "id")?;
        let due = convert::wall_time(when, "when")?;
        engine
            .reschedule(text, due)
            .map_err(|error| refused(py, error, text))
    }

    fn get(&self, id: &Bound<'_, PyAny>) -> PyResult<Option<Event>> {
        let py = id.py();
        let engine = self.open(py)?;
        let text = convert::name(id, "id")?;
        let event = engine.view(text, |view| Event::pending(py, &view));
        event.map_err(|error| refused(py, error, text))
    }

    fn __contains__(&self, id: &Bound<'_, PyAny>) -> PyResult<bool> {
        Ok(self.get(id)?.is_some())
    }

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        let engine = self.open(py)?;
        let pending = releasing(py, |released| engine.pending(released));
        pending.map_err(|error| refused(py, error, ""))
    }

    fn __bool__(&self) -> bool {
        true
    }

    #[pyo3(signature = (start=None, end=None))]
    fn next(
        &self,
        py: Python<'_>,
        start: Option<&Bound<'_, PyAny>>,
        end: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Option<Event>> {
        let engine = self.open(py)?;
        let (start, end) = (convert::bound(start, "start")?, convert::bound(end, "end")?);
        loop {
            let place = py.detach(|| engine.next(start, end));
            let Some(place) = place.map_err(|error| refused(py, error, ""))? else {
                return Ok(None);
            };
            let event = engine.view_at(place, |view| Event::pending(py, &view));
            // Gone between the two looks: the next one is the first now.
            if let Some(event) = event.map_err(|error| refused(py, error, ""))? {
                return Ok(Some(event));
            }
        }
    }

    #[pyo3(signature = (start=None, end=None))]
    fn between(
        &self,
        py: Python<'_>,
        start: Option<&Bound<'_, PyAny>>,
        end: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Events> {
        let engine = self.open(py)?;
        let (start, end) = (convert::bound(start, "start")?, convert::bound(end, "end")?);
        let places = py.detach(|| engine.between(start, end));
        let places = places.map_err(|error| refused(py, error, ""))?;
        Ok(Events::new(self.shared.clone(), places))
    }

    /// The dead, newest first, as a list.
    fn _dead(&self, py: Python<'_>) -> PyResult<Vec<DeadEvent>> {
        let engine = self.open(py)?;
        let mut parts = Vec::new();
        let look = |dead: &_| parts.push(DeadParts::take(py, dead));
        let looked = releasing(py, |released| engine.each_dead(released, look));
        looked.map_err(|error| refused(py, error, ""))?;
        parts.into_iter().map(|parts| parts.build(py)).collect()
    }

    fn revive(&self, id: &Bound<'_, PyAny>) -> PyResult<bool> {
        let py = id.py();
        let engine = self.open(py)?;
        let text = convert::name(id, "id")?;
        let revived = releasing(py, |released| engine.revive(text, released));
        revived.map_err(|error| refused(py, error, text))
    }

    #[pyo3(signature = (before=None))]
    fn purge(&self, py: Python<'_>, before: Option<&Bound<'_, PyAny>>) -> PyResult<usize> {
        let engine = self.open(py)?;
        let before = convert::bound(before, "before")?;
        let purged = releasing(py, |released| engine.purge(before, released));
        purged.map_err(|error| refused(py, error, ""))
    }

    fn stats(&self, py: Python<'_>) -> PyResult<Stats> {
        let engine = self.open(py)?;
        let stats = releasing(py, |released| engine.stats(released));
        Ok(stats.into())
    }

    /// Take in a pending event as it stands.
    fn _restore(&self, py: Python<'_>, event: &Event) -> PyResult<()> {
        let engine = self.open(py)?;
        let job = event.job_ref();
        let options = job.spec.get().options.bind(py).clone().into_any();
        let spec = self.specs.special(
            &self.shared.registry,
            job.spec.get().name.bind(py),
            Some(&options),
            &Fields::default(),
        )?;
        let data = job.data.as_ref().map(|data| data.clone_ref(py));
        let handle = Handle::new(data, spec);
        let counters = (event.run, event.attempt);
        let restored = job.id.with_str(|id| {
            let restored = releasing(py, |released| {
                engine.restore(id, job.due, event.due, counters, handle, released)
            });
            restored.map_err(|error| refused(py, error, id))
        });
        if restored.is_err() {
            handle.free(py);
        }
        restored
    }

    /// Report the first broken invariant of the engine, if there is one.
    fn _check(&self, py: Python<'_>) -> PyResult<()> {
        let engine = self.open(py)?;
        engine
            .check()
            .map_err(pyo3::exceptions::PyAssertionError::new_err)
    }

    /// When the first due execution can start, and its due: for a manual clock.
    fn _manual_next(&self, py: Python<'_>) -> PyResult<Option<(i64, i64)>> {
        Ok(self.open(py)?.manual_next())
    }

    /// Run the execution that is due first on the calling thread: for a manual clock.
    fn _manual_run(&self, py: Python<'_>) -> PyResult<bool> {
        let engine = self.open(py)?;
        if !engine.manual_expire() {
            return Ok(false);
        }
        let notices = engine.ready().arrived();
        worker::run_ready(py, &self.shared, &mut Released::default());
        for target in notices {
            worker::log_parked(py, &self.shared, target);
        }
        Ok(true)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        if self.shared.is_forked() {
            return Ok(());
        }
        self.shared.registry.traverse(&visit)?;
        if let Some(context) = self.shared.context.try_lock()
            && let Some(context) = &*context
        {
            visit.call(context)?;
        }
        Ok(())
    }

    fn __clear__(&self) {
        if self.shared.is_forked() {
            return;
        }
        let handlers = self.shared.registry.clear();
        let context = self.shared.context.lock().take();
        drop(handlers);
        drop(context);
    }
}
