//! The part of a scheduler that is on an event loop of asyncio.
//!
//! The loop watches a descriptor, which the engine makes readable when something is due or has changed. It then
//! calls [`EventLoop::take_turn`], under its own hold of the interpreter.

use crate::calls::waiting::PendingCall;
use crate::interpreter::process;
use crate::run::asyncio_loop::AsyncioLoop;
use crate::run::condition::Condition;
use crate::run::inside;
use crate::run::interrupt::is_interrupted;
use crate::run::marks::Marks;
use crate::run::outcome;
use crate::run::tasks::{Running, RunningCell, Tasks};
use crate::run::waits::Waits;
use crate::shared::Shared;
use crate::values::failure::Failure;
use crate::values::payload::{Handle, release};
use duewheel_engine::handover::loop_waker::LoopWaker;
use duewheel_engine::handover::queue::Lane;
use duewheel_engine::jobs::record::{Done, Payload, Released, Started};
use duewheel_model::outcome::Outcome;
use duewheel_store::Ticket;
use pyo3::PyTraverseError;
use pyo3::exceptions::asyncio::CancelledError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use std::sync::Arc;

/// What a turn on the loop does: `take_turn` of the module `first_step`, which knows this one.
pub(crate) type Turn = fn(&Bound<'_, EventLoop>);

/// Run async handlers on one event loop; made by `Scheduler._attach`.
#[pyclass(frozen, weakref, module = "duewheel._core")]
pub(crate) struct EventLoop {
    pub(crate) shared: Arc<Shared>,
    pub(crate) asyncio: AsyncioLoop,
    pub(crate) waker: Arc<LoopWaker>,
    pub(crate) tasks: Arc<Tasks>,
    pub(crate) waits: Waits,
    pub(crate) marks: Marks,
    turn: Turn,
    /// Called when the loop is left after closing.
    when_over: Option<Py<PyAny>>,
}

impl EventLoop {
    /// Put a scheduler on a loop.
    pub(crate) fn attach(
        py: Python<'_>,
        shared: Arc<Shared>,
        asyncio_loop: Py<PyAny>,
        make_task: Py<PyAny>,
        turn: Turn,
        watched: bool,
        when_over: Option<Py<PyAny>>,
    ) -> PyResult<Py<Self>> {
        let asyncio = AsyncioLoop::new(py, asyncio_loop, make_task)?;
        let waker = if watched {
            LoopWaker::new()?
        } else {
            LoopWaker::without_descriptor()
        };
        let waker = Arc::new(waker);
        let tasks = Arc::<Tasks>::default();
        shared.whereabouts.set_loop(&tasks);
        let attached = Py::new(
            py,
            EventLoop {
                shared: shared.clone(),
                asyncio,
                waker: waker.clone(),
                tasks: tasks.clone(),
                waits: Waits::new(shared.engine.clone()),
                marks: Marks::default(),
                turn,
                when_over,
            },
        )?;
        let lane = shared.engine.lane(Lane::Loop);
        lane.attach(Some(waker), shared.tasks);
        shared.continuations.open();
        // The descriptor has an alarm, which the timer sets from now on.
        shared.engine.wake_timer();
        Ok(attached)
    }

    /// Whether another task may run.
    pub(crate) fn has_room(&self) -> bool {
        self.tasks.count() < self.shared.tasks
    }

    /// Give back executions whose starts were to be noted: none of them starts.
    pub(crate) fn give_back_marks(&self, py: Python<'_>) {
        for started in self.marks.take() {
            self.shared.engine.unbegin(&started);
            self.end(py, started.unhandled());
        }
    }

    /// Settle an execution that ended between two turns of the lane.
    pub(crate) fn end(&self, py: Python<'_>, done: Done<Failure>) {
        let mut released = Released::default();
        let engine = &*self.shared.engine;
        engine.lane(Lane::Loop).end(done, engine.clock());
        if self.tasks.is_finished() && self.shared.backing.writes {
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

    /// Leave a handler that waits to a task, whose coroutine has this cell.
    pub(crate) fn adopt(
        &self,
        py: Python<'_>,
        running: Running,
        task: &Py<PyAny>,
        cell: &RunningCell,
    ) {
        // It was asked to end in its first step, which no task could be cancelled in.
        let is_interrupted = is_interrupted(py, &running.event);
        if self.tasks.add(py, running, task, cell) || is_interrupted {
            cancel(py, task);
        }
    }

    /// The outcome of an execution whose handler raised.
    pub(crate) fn failed(
        &self,
        py: Python<'_>,
        started: &Started<Handle>,
        event: &Py<PyAny>,
        error: &PyErr,
    ) -> Outcome<Failure> {
        if self.tasks.is_closing() && error.is_instance_of::<CancelledError>(py) {
            return outcome::closed(py, &self.shared, started, event, Some(error));
        }
        outcome::raised(py, &self.shared, &mut None, started, event, error)
    }

    /// The end of an execution whose handler has returned this, or raised.
    pub(crate) fn returned(
        &self,
        py: Python<'_>,
        started: &Started<Handle>,
        event: &Py<PyAny>,
        ended: PyResult<Py<PyAny>>,
    ) -> Done<Failure> {
        let value = match ended {
            Ok(value) => value,
            Err(error) => return started.ended(self.failed(py, started, event, &error)),
        };
        if started.execution.payload.keep().is_none() {
            return started.ended(outcome::returned(py, &self.shared, event));
        }
        let value = Some(value.bind(py));
        match outcome::returned_kept(py, &self.shared, &mut None, started, event, value) {
            Ok(result) => started.returned(result),
            Err(outcome) => started.ended(outcome),
        }
    }

    /// Settle an execution whose handler had waited for something, and has ended.
    pub(crate) fn finish(&self, py: Python<'_>, running: Running, ended: PyResult<Py<PyAny>>) {
        let task = self.tasks.remove(running.number);
        let done = self.returned(py, &running.started, &running.event, ended);
        self.end(py, done);
        drop(task);
        if !self.shared.continuations.is_empty() {
            // There is room for one.
            self.waker.wake();
        }
        self.leave_if_over(py);
    }

    /// Cancel what runs, once the scheduler is closed.
    pub(crate) fn close(&self, py: Python<'_>) {
        if let Some(tasks) = self.tasks.close(py) {
            self.give_back_marks(py);
            self.cut_continuations_short(py);
            for task in tasks {
                cancel(py, &task);
            }
        }
        self.leave_if_over(py);
    }

    /// Leave the loop when the scheduler is closed, no task of it is left, and no coroutine waits for it.
    pub(crate) fn leave_if_over(&self, py: Python<'_>) {
        if !self.waits.is_empty() || !self.tasks.leave() {
            return;
        }
        self.detach(py);
        self.shared.give_back_if_over(py);
        if let Some(when_over) = &self.when_over
            && let Err(error) = when_over.call0(py)
        {
            error.write_unraisable(py, None);
        }
    }

    /// Take no continuations any more, and end those that wait.
    fn cut_continuations_short(&self, py: Python<'_>) {
        for continuation in self.shared.continuations.shut() {
            let event = continuation.event.clone_ref(py);
            let started = continuation.abandon(py);
            let outcome = outcome::closed(py, &self.shared, &started, &event, None);
            self.end(py, started.ended(outcome));
        }
    }

    /// Take the lane off the loop.
    fn detach(&self, py: Python<'_>) {
        self.shared.engine.lane(Lane::Loop).attach(None, 0);
        // The timer may have left what is due to the alarm.
        self.shared.engine.wake_timer();
        if let Some(descriptor) = self.waker.descriptor() {
            // A loop that is closed watches nothing any more.
            let _ = self.asyncio.call(py, "remove_reader", (descriptor,));
        }
        self.waker.remove();
    }
}

/// Cancel a task; an error is reported, so that others are cancelled all the same.
fn cancel(py: Python<'_>, task: &Py<PyAny>) {
    if let Err(error) = task.call_method0(py, "cancel") {
        error.write_unraisable(py, None);
    }
}

/// Wake an event loop that watches no descriptor.
#[pyclass(frozen, name = "LoopWaker", module = "duewheel._core")]
pub(crate) struct Waker(Arc<LoopWaker>);

#[pymethods]
impl Waker {
    /// Wait until the loop is woken; `False`: the waker was removed.
    fn wait(&self, py: Python<'_>) -> bool {
        py.detach(|| self.0.wait())
    }
}

#[pymethods]
impl EventLoop {
    /// The event loop of asyncio.
    #[getter]
    fn asyncio_loop(&self, py: Python<'_>) -> Py<PyAny> {
        self.asyncio.get(py)
    }

    /// The descriptor to watch, whose reader is `take_turn`; `None`: the `waker` in a thread instead.
    #[getter]
    fn descriptor(&self) -> Option<i32> {
        self.waker.descriptor()
    }

    /// What wakes the loop; a thread that waits for it does not keep the event loop.
    #[getter]
    fn waker(&self) -> Waker {
        Waker(self.waker.clone())
    }

    /// Whether no task is left, after closing: the loop is no longer used.
    #[getter]
    fn over(&self) -> bool {
        self.tasks.is_over()
    }

    /// Count the thread that runs the loop among those that end with the scheduler.
    ///
    /// All that it runs is a handler's, or what one has spawned: a call that waits would wait for itself.
    fn enter_thread(&self) {
        inside::enter_thread(self.shared.identity());
        self.shared.whereabouts.enter_loop();
        self.shared.threads.add_loop();
    }

    /// Count it out again.
    fn leave_thread(&self) {
        process::count_leaving();
        self.shared.threads.remove_loop();
        inside::leave_thread(self.shared.identity());
    }

    /// Start what is due, resolve futures, cancel tasks after closing. On the loop's thread.
    fn take_turn(slf: &Bound<'_, Self>) {
        (slf.get().turn)(slf);
    }

    /// Note that the handler that runs now, if one does, closes its scheduler: that cancels the others.
    ///
    /// Cancelled itself, it would start again with the next life of a file, and close that, too.
    fn exempt_caller(&self, py: Python<'_>) -> PyResult<()> {
        if self.asyncio.runs_here(py)?
            && let Some(task) = self.asyncio.current_task(py)?
        {
            self.tasks.exempt(task);
        }
        Ok(())
    }

    /// Return the tasks of handlers that wait for something.
    fn tasks(&self, py: Python<'_>) -> Vec<Py<PyAny>> {
        self.tasks.all(py)
    }

    /// Return a future that is done when a condition holds, or `None` when it does now.
    fn watch(
        &self,
        py: Python<'_>,
        condition: &Bound<'_, Condition>,
    ) -> PyResult<Option<Py<PyAny>>> {
        let future = self.asyncio.make_future(py)?;
        let waits = self.waits.add(*condition.get(), future.clone_ref(py));
        Ok(waits.then_some(future))
    }

    /// Forget a future of `watch`.
    fn unwatch(&self, py: Python<'_>, future: &Bound<'_, PyAny>) {
        self.waits.remove(future);
        self.leave_if_over(py);
    }

    /// Return a future that is done when the job of this id ends, until `forget_end`.
    fn ended(&self, py: Python<'_>, id: &str) -> PyResult<Py<PyAny>> {
        let future = self.asyncio.make_future(py)?;
        self.waits
            .add_end(id, future.clone_ref(py), self.waker.clone());
        Ok(future)
    }

    /// Forget a future of `ended`.
    fn forget_end(&self, py: Python<'_>, future: &Bound<'_, PyAny>) {
        self.waits.remove_end(future);
        self.leave_if_over(py);
    }

    /// Return a future that is done when a batch is on disk.
    fn settled(&self, py: Python<'_>, ticket: u64) -> PyResult<Py<PyAny>> {
        let future = self.asyncio.make_future(py)?;
        let waker = self.waker.clone();
        self.waits
            .add_batch(py, Ticket(ticket), future.clone_ref(py), waker);
        Ok(future)
    }

    /// Return a future of what a call that asks the store comes to.
    fn answered(&self, py: Python<'_>, call: Py<PendingCall>) -> PyResult<Py<PyAny>> {
        let future = self.asyncio.make_future(py)?;
        self.waits
            .add_call(call, future.clone_ref(py), self.waker.clone());
        Ok(future)
    }

    /// Leave a loop that is closed, or is to be left: running jobs are pending again, or fail with `error`.
    #[pyo3(signature = (error=None))]
    fn abandon(&self, error: Option<&Bound<'_, PyAny>>, py: Python<'_>) {
        let tasks = self.tasks.abandon();
        self.waits.clear();
        self.detach(py);
        self.give_back_marks(py);
        self.cut_continuations_short(py);
        for (_, cell) in &tasks {
            if let Some(running) = cell.take() {
                let gone = || CancelledError::new_err("its event loop is gone");
                let ended = error.map_or_else(gone, |error| PyErr::from_value(error.clone()));
                self.finish(py, running, Err(ended));
            }
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        if let Some(when_over) = &self.when_over {
            visit.call(when_over)?;
        }
        self.asyncio.traverse(&visit)?;
        self.tasks.traverse(&visit)?;
        self.waits.traverse(&visit)
    }
}
