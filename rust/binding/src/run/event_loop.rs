//! The event loop's side of a scheduler: its bell, its tasks, and those who wait.
//!
//! A bell, a descriptor that the loop watches, rings when something is due; the loop then drains its
//! lane, under its own hold of the interpreter.

use crate::errors::store_failed;
use crate::interpreter::call::{self, Arguments};
use crate::interpreter::thread;
use crate::run::condition::Condition;
use crate::run::continuations;
use crate::run::first_step;
use crate::run::inside;
use crate::run::task::{Driver, Running};
use crate::run::worker;
use crate::shared::Shared;
use crate::values::failure::Failure;
use crate::values::payload::{Handle, release};
use duewheel_engine::engine::Refused;
use duewheel_engine::handover::loop_waker::LoopWaker;
use duewheel_engine::handover::queue::Lane;
use duewheel_engine::jobs::record::{Done, Outcome, Released, Started};
use duewheel_engine::sync::Mutex;
use duewheel_model::retry::Jitter;
use duewheel_store::{Error, Ticket};
use pyo3::PyTraverseError;
use pyo3::exceptions::asyncio::CancelledError;
use pyo3::ffi;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// What the store's threads leave for the loop.
#[derive(Default)]
pub(crate) struct LoopInbox {
    /// Batches that are settled, by the number of who waits for them.
    settled: Mutex<Vec<(u64, Result<(), Error>)>>,
    /// Whether the starts that were noted last may be made.
    pub(crate) marked: Mutex<Option<Result<(), Error>>>,
}

#[derive(Default)]
struct Inner {
    /// The tasks whose handlers wait for something, by number.
    tasks: HashMap<u64, (Py<PyAny>, Py<Driver>)>,
    numbers: u64,
    watchers: Vec<(Condition, Py<PyAny>)>,
    /// Those who wait for the store.
    settling: HashMap<u64, Py<PyAny>>,
    /// Executions whose start is being noted on disk, the first of them at most once.
    marking: VecDeque<Started<Handle>>,
    /// The tasks have been cancelled.
    closing: bool,
    /// The task under which handlers take their first steps now.
    stepping: Option<Py<PyAny>>,
    /// The task whose handler has closed the scheduler: it goes on.
    spared: Option<Py<PyAny>>,
    /// The loop is no longer ours.
    over: bool,
}

impl Inner {
    fn spares(&self, task: &Py<PyAny>) -> bool {
        self.spared.as_ref().is_some_and(|spared| spared.is(task))
    }

    /// Whether a handler of this scheduler runs in this task.
    fn runs(&self, task: &Py<PyAny>) -> bool {
        let waiting = self.tasks.values().map(|(task, _)| task);
        waiting.chain(&self.stepping).any(|own| own.is(task))
    }
}

/// Run async handlers on one event loop; made by `Scheduler._attach`.
#[pyclass(frozen, weakref, module = "duewheel._core")]
pub(crate) struct EventLoop {
    shared: Arc<Shared>,
    pub(crate) waker: Arc<LoopWaker>,
    pub(crate) inbox: Arc<LoopInbox>,
    asyncio_loop: Py<PyAny>,
    /// Makes the task of a driver.
    task: Py<PyAny>,
    /// Called when the loop is left after closing.
    then: Option<Py<PyAny>>,
    enter: Py<PyAny>,
    leave: Py<PyAny>,
    current: Py<PyAny>,
    as_coroutine: Py<PyAny>,
    inner: Mutex<Inner>,
}

impl EventLoop {
    /// Put a scheduler on a loop.
    pub(crate) fn attach(
        py: Python<'_>,
        shared: Arc<Shared>,
        asyncio_loop: Py<PyAny>,
        task: Py<PyAny>,
        watched: bool,
        over: Option<Py<PyAny>>,
    ) -> PyResult<Py<Self>> {
        let tasks = call::import(py, "asyncio.tasks")?;
        let as_coroutine = call::import(py, "duewheel._loop")?.getattr("as_coroutine")?;
        let waker = if watched {
            LoopWaker::new()?
        } else {
            LoopWaker::without_descriptor()
        };
        let waker = Arc::new(waker);
        let attached = Py::new(
            py,
            EventLoop {
                shared: shared.clone(),
                waker: waker.clone(),
                inbox: Arc::default(),
                asyncio_loop,
                task,
                then: over,
                enter: tasks.getattr("_enter_task")?.unbind(),
                leave: tasks.getattr("_leave_task")?.unbind(),
                current: tasks.getattr("current_task")?.unbind(),
                as_coroutine: as_coroutine.unbind(),
                inner: Mutex::default(),
            },
        )?;
        let lane = shared.engine.lane(Lane::Loop);
        lane.attach(Some(waker), shared.tasks);
        shared.continuations.open();
        // From now on the bell has an alarm to set.
        shared.engine.wake_timer();
        Ok(attached)
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    pub(crate) fn new_task(&self, py: Python<'_>, driver: &Py<Driver>) -> PyResult<Py<PyAny>> {
        call::python(py, &self.task, (driver,)).map(Bound::unbind)
    }

    pub(crate) fn enter(&self, py: Python<'_>, task: &Py<PyAny>) -> PyResult<()> {
        call::python(py, &self.enter, (&self.asyncio_loop, task)).map(drop)
    }

    pub(crate) fn leave(&self, py: Python<'_>, task: &Py<PyAny>) -> PyResult<()> {
        call::python(py, &self.leave, (&self.asyncio_loop, task)).map(drop)
    }

    pub(crate) fn current_task(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let task = self.current.call1(py, (&self.asyncio_loop,))?;
        Ok((!task.is_none(py)).then_some(task))
    }

    /// What a handler has returned, as a coroutine.
    pub(crate) fn coroutine(&self, py: Python<'_>, returned: Py<PyAny>) -> PyResult<Py<PyAny>> {
        // SAFETY: the pointer is a live reference.
        if unsafe { ffi::PyCoro_CheckExact(returned.as_ptr()) } != 0 {
            return Ok(returned);
        }
        call::python(py, &self.as_coroutine, (returned,)).map(Bound::unbind)
    }

    pub(crate) fn call<'py>(
        &self,
        py: Python<'py>,
        name: &str,
        arguments: impl Arguments<'py>,
    ) -> PyResult<()> {
        let method = self.asyncio_loop.getattr(py, name)?;
        call::python(py, &method, arguments).map(drop)
    }

    pub(crate) fn is_marking(&self) -> bool {
        !self.inner.lock().marking.is_empty()
    }

    /// Let an execution wait for its note; how many do.
    pub(crate) fn set_marking(&self, started: Started<Handle>) -> usize {
        let mut inner = self.inner.lock();
        inner.marking.push_back(started);
        inner.marking.len()
    }

    /// Note the starts of all that wait for it; the last ticket to wait for.
    pub(crate) fn each_marking(
        &self,
        mut note: impl FnMut(&Started<Handle>) -> Result<Option<Ticket>, Refused>,
    ) -> Result<Option<Ticket>, Refused> {
        let mut last = None;
        for started in &self.inner.lock().marking {
            last = note(started)?.or(last);
        }
        Ok(last)
    }

    pub(crate) fn next_marked(&self) -> Option<Started<Handle>> {
        self.inner.lock().marking.pop_front()
    }

    /// Give back executions that were to be noted and do not start.
    pub(crate) fn hand_back(&self, py: Python<'_>) {
        let marking = std::mem::take(&mut self.inner.lock().marking);
        for started in marking {
            self.shared.engine.unbegin(&started);
            self.end(py, started.ended(Outcome::Unhandled));
        }
    }

    /// Give back how an execution ended that did so between two turns.
    pub(crate) fn end(&self, py: Python<'_>, done: Done<Failure>) {
        let mut released = Released::default();
        self.shared.engine.lane(Lane::Loop).end(done);
        let inner = self.inner.lock();
        let last = inner.closing && inner.tasks.is_empty();
        drop(inner);
        if last && self.shared.engine.has_store() {
            // The last end gives up the file, which takes its time: not the loop's.
            let engine = self.shared.engine.clone();
            let give_up = std::thread::Builder::new().name("duewheel-close".into());
            let given_up = give_up.spawn(move || {
                let mut released = Released::default();
                engine.settle_and_refill(Lane::Loop, &mut released);
                Python::try_attach(|py| release(py, &mut released));
            });
            if given_up.is_ok() {
                return;
            }
        }
        self.shared
            .engine
            .settle_and_refill(Lane::Loop, &mut released);
        release(py, &mut released);
    }

    /// A handler waits for something: the task and its driver go on with it.
    pub(crate) fn adopt(
        &self,
        py: Python<'_>,
        mut running: Running,
        task: &Py<PyAny>,
        driver: &Py<Driver>,
    ) {
        let mut inner = self.inner.lock();
        inner.numbers += 1;
        running.number = inner.numbers;
        let entry = (task.clone_ref(py), driver.clone_ref(py));
        inner.tasks.insert(running.number, entry);
        let doomed = inner.closing && !inner.spares(task);
        drop(inner);
        driver.get().adopt(running);
        if doomed {
            // It was closed during this very step.
            cancel(py, task);
        }
    }

    /// What becomes of an execution whose handler raised.
    pub(crate) fn failed(
        &self,
        py: Python<'_>,
        started: &Started<Handle>,
        event: &Py<PyAny>,
        error: &PyErr,
    ) -> Outcome<Failure> {
        let cancelled = self.inner.lock().closing && error.is_instance_of::<CancelledError>(py);
        if !cancelled {
            let mut jitter = Jitter::new(self.shared.seed);
            return worker::failed(py, &self.shared, &mut jitter, started, event, error);
        }
        continuations::cut_short(py, &self.shared.engine, started)
    }

    /// A handler that had waited for something has ended.
    pub(crate) fn finish(&self, py: Python<'_>, running: Running, ended: PyResult<()>) {
        let task = self.inner.lock().tasks.remove(&running.number);
        if let Some((task, _)) = &task {
            self.unspare(task);
        }
        let outcome = match ended {
            Ok(()) => Outcome::Succeeded,
            Err(error) => self.failed(py, &running.started, &running.event, &error),
        };
        self.end(py, running.started.ended(outcome));
        drop(task);
        if !self.shared.continuations.is_empty() {
            // There is room for it.
            self.waker.ring();
        }
        self.leave_if_over(py);
    }

    /// Handlers take their first steps in this task, or in none any more.
    pub(crate) fn set_stepping(&self, task: Option<Py<PyAny>>) {
        let before = std::mem::replace(&mut self.inner.lock().stepping, task);
        drop(before);
    }

    /// The handler that ran in this task has ended.
    pub(crate) fn unspare(&self, task: &Py<PyAny>) {
        let spared = self.inner.lock().spared.take_if(|spared| spared.is(task));
        drop(spared);
    }

    /// Tell those who wait for what holds now.
    fn tell(&self, py: Python<'_>) -> PyResult<()> {
        let watchers = std::mem::take(&mut self.inner.lock().watchers);
        for (condition, future) in watchers {
            let told = if condition.holds(&self.shared.engine) {
                Ok(())
            } else if let Some(failure) = self.shared.engine.failure() {
                Err(store_failed(py, &failure, None))
            } else {
                self.inner.lock().watchers.push((condition, future));
                continue;
            };
            self.shared.engine.watch(false);
            resolve(py, &future, told)?;
        }
        let settled = std::mem::take(&mut *self.inbox.settled.lock());
        for (number, result) in settled {
            let future = self.inner.lock().settling.remove(&number);
            if let Some(future) = future {
                resolve(
                    py,
                    &future,
                    result.map_err(|error| store_failed(py, &error, None)),
                )?;
            }
        }
        Ok(())
    }

    /// Cancel what runs, once the scheduler is closed.
    fn close(&self, py: Python<'_>) {
        let mut inner = self.inner.lock();
        if !std::mem::replace(&mut inner.closing, true) {
            let doomed = inner.tasks.values().filter(|task| !inner.spares(&task.0));
            let tasks: Vec<_> = doomed.map(|task| task.0.clone_ref(py)).collect();
            drop(inner);
            self.hand_back(py);
            self.shut(py);
            for task in tasks {
                cancel(py, &task);
            }
        } else {
            drop(inner);
        }
        self.leave_if_over(py);
    }

    /// Let go of the loop when the scheduler is closed and no task of it is left.
    pub(crate) fn leave_if_over(&self, py: Python<'_>) {
        let mut inner = self.inner.lock();
        let waited = !inner.watchers.is_empty() || !inner.settling.is_empty();
        let waited = waited || inner.spared.is_some();
        if !inner.closing || !inner.tasks.is_empty() || waited || inner.over {
            return;
        }
        inner.over = true;
        drop(inner);
        self.evicted(py);
        self.shared.give_back_if_over(py);
        if let Some(then) = &self.then
            && let Err(error) = then.call0(py)
        {
            error.write_unraisable(py, None);
        }
    }

    /// Take nothing from workers any more; what they left is cut short.
    fn shut(&self, py: Python<'_>) {
        for continuation in self.shared.continuations.shut() {
            let started = continuation.abandon(py);
            let outcome = continuations::cut_short(py, &self.shared.engine, &started);
            self.end(py, started.ended(outcome));
        }
    }

    /// Whether another task may run.
    pub(crate) fn has_room(&self) -> bool {
        self.inner.lock().tasks.len() < self.shared.tasks
    }

    fn evicted(&self, py: Python<'_>) {
        self.shared.engine.lane(Lane::Loop).attach(None, 0);
        // It may have left what is due to the alarm.
        self.shared.engine.wake_timer();
        if let Some(descriptor) = self.waker.descriptor() {
            // A loop that is closed watches nothing any more.
            let _ = self.call(py, "remove_reader", (descriptor,));
        }
        self.waker.remove();
    }

    fn drained(slf: &Bound<'_, Self>) -> PyResult<()> {
        let this = slf.get();
        this.waker.clear();
        let open = this.shared.engine.begin_drain();
        this.tell(slf.py())?;
        if open {
            first_step::drain(slf)
        } else {
            this.close(slf.py());
            Ok(())
        }
    }

    fn future(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.asyncio_loop.call_method0(py, "create_future")
    }
}

/// Cancelling must not keep the others from being cancelled.
fn cancel(py: Python<'_>, task: &Py<PyAny>) {
    if let Err(error) = task.call_method0(py, "cancel") {
        error.write_unraisable(py, None);
    }
}

fn resolve(py: Python<'_>, future: &Py<PyAny>, told: PyResult<()>) -> PyResult<()> {
    if future.call_method0(py, "done")?.is_truthy(py)? {
        return Ok(());
    }
    match told {
        Ok(()) => future.call_method1(py, "set_result", (true,)),
        Err(error) => future.call_method1(py, "set_exception", (error,)),
    }
    .map(drop)
}

#[pymethods]
impl EventLoop {
    /// The event loop of asyncio.
    #[getter]
    fn asyncio_loop(&self, py: Python<'_>) -> Py<PyAny> {
        self.asyncio_loop.clone_ref(py)
    }

    /// The descriptor to watch, whose reader is `drain`; `None`: `wait_bell` in a thread instead.
    #[getter]
    fn descriptor(&self) -> Option<i32> {
        self.waker.descriptor()
    }

    /// Whether no task is left, after closing: the loop is no longer used.
    #[getter]
    fn over(&self) -> bool {
        self.inner.lock().over
    }

    /// Count the thread that runs the loop among those that end with the scheduler.
    ///
    /// All that it runs is a handler's, or what one has spawned: a call that waits would wait for itself.
    fn enter_thread(&self) {
        inside::enter_thread(self.shared.identity());
        self.shared.threads.add_loop();
    }

    /// Count it out again.
    fn leave_thread(&self) {
        thread::count_ending();
        self.shared.threads.remove_loop();
        inside::leave_thread(self.shared.identity());
    }

    /// Wait until the bell rings; `False`: it was removed.
    fn wait_bell(&self, py: Python<'_>) -> bool {
        py.detach(|| self.waker.wait())
    }

    /// Start what is due, resolve futures, cancel tasks after closing. On the loop's thread.
    fn drain(slf: &Bound<'_, Self>) {
        if slf.get().shared.is_forked() {
            return;
        }
        if let Err(error) = Self::drained(slf) {
            error.write_unraisable(slf.py(), Some(slf.as_any()));
        }
    }

    /// Note that the handler that runs now, if one does, closes its scheduler: that cancels the others.
    ///
    /// Cancelled itself, it would start again with the next life of a file, and close that, too.
    fn exempt_caller(&self, py: Python<'_>) -> PyResult<()> {
        let running = call::import(py, "asyncio")?.call_method0("_get_running_loop")?;
        if running.is(&self.asyncio_loop) {
            let task = self.current_task(py)?;
            let mut inner = self.inner.lock();
            if let Some(task) = task
                && inner.spared.is_none()
                && !inner.closing
                && inner.runs(&task)
            {
                inner.spared = Some(task);
            }
        }
        Ok(())
    }

    /// Return the tasks of handlers that wait for something.
    fn tasks(&self, py: Python<'_>) -> Vec<Py<PyAny>> {
        let inner = self.inner.lock();
        let tasks = inner.tasks.values().map(|task| task.0.clone_ref(py));
        tasks.collect()
    }

    /// Return a future that is done when a condition holds, or `None` when it does now.
    fn watch(
        &self,
        py: Python<'_>,
        condition: &Bound<'_, Condition>,
    ) -> PyResult<Option<Py<PyAny>>> {
        let condition = *condition.get();
        let future = self.future(py)?;
        self.shared.engine.watch(true);
        if condition.holds(&self.shared.engine) {
            self.shared.engine.watch(false);
            return Ok(None);
        }
        let mut inner = self.inner.lock();
        inner.watchers.push((condition, future.clone_ref(py)));
        Ok(Some(future))
    }

    /// Forget a future of `watch`.
    fn unwatch(&self, py: Python<'_>, future: &Bound<'_, PyAny>) {
        let mut inner = self.inner.lock();
        let found = inner.watchers.iter().position(|(_, own)| own.is(future));
        let forgotten = found.map(|found| inner.watchers.swap_remove(found));
        drop(inner);
        if forgotten.is_some() {
            self.shared.engine.watch(false);
        }
        drop(forgotten);
        self.leave_if_over(py);
    }

    /// Return a future that is done when a batch is on disk.
    fn settled(&self, py: Python<'_>, ticket: u64) -> PyResult<Py<PyAny>> {
        let future = self.future(py)?;
        let mut inner = self.inner.lock();
        inner.numbers += 1;
        let number = inner.numbers;
        inner.settling.insert(number, future.clone_ref(py));
        drop(inner);
        let (inbox, waker) = (self.inbox.clone(), self.waker.clone());
        let then = move |result| {
            inbox.settled.lock().push((number, result));
            waker.ring();
        };
        let engine = &self.shared.engine;
        py.detach(|| engine.when_settled(Ticket(ticket), Box::new(then)));
        Ok(future)
    }

    /// Leave a loop that is closed, or is to be left: running jobs are pending again, or fail with `error`.
    #[pyo3(signature = (error=None))]
    fn abandon(&self, error: Option<&Bound<'_, PyAny>>, py: Python<'_>) {
        let mut inner = self.inner.lock();
        inner.closing = true;
        inner.over = true;
        let tasks = std::mem::take(&mut inner.tasks);
        let watchers = std::mem::take(&mut inner.watchers);
        let spared = inner.spared.take();
        drop(inner);
        drop(spared);
        for _ in &watchers {
            self.shared.engine.watch(false);
        }
        self.evicted(py);
        self.hand_back(py);
        self.shut(py);
        for (_, driver) in tasks.values() {
            if let Some(running) = driver.get().give_up() {
                let gone = || CancelledError::new_err("its event loop is gone");
                let ended = error.map_or_else(gone, |error| PyErr::from_value(error.clone()));
                self.finish(py, running, Err(ended));
            }
        }
        drop(tasks);
        drop(watchers);
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let objects = [
            &self.asyncio_loop,
            &self.task,
            &self.enter,
            &self.leave,
            &self.current,
            &self.as_coroutine,
        ];
        for object in objects.into_iter().chain(&self.then) {
            visit.call(object)?;
        }
        if let Some(inner) = self.inner.try_lock() {
            for (task, driver) in inner.tasks.values() {
                visit.call(task)?;
                visit.call(driver)?;
            }
            for (_, future) in &inner.watchers {
                visit.call(future)?;
            }
            for future in inner.settling.values() {
                visit.call(future)?;
            }
            for task in inner.stepping.iter().chain(&inner.spared) {
                visit.call(task)?;
            }
        }
        Ok(())
    }
}
