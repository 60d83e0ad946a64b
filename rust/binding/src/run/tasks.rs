//! The handlers that wait for something on an event loop, each in a task.

use crate::values::payload::Handle;
use duewheel_engine::jobs::record::Started;
use duewheel_engine::sync::Mutex;
use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use std::collections::HashMap;
use std::sync::Arc;

/// A handler that has taken its first step and waits.
pub(crate) struct Running {
    pub(crate) coroutine: Py<PyAny>,
    /// What its first step waits for, until its task has been given it.
    pub(crate) first: Option<Py<PyAny>>,
    pub(crate) context: Py<PyAny>,
    pub(crate) started: Started<Handle>,
    pub(crate) event: Py<PyAny>,
    /// Its number among the tasks of the loop.
    pub(crate) number: u64,
}

/// The handler of a task: empty before the task has one, and after that has ended.
///
/// The coroutine of the task shares it, and visits it for the garbage collector, with [`Tasks`], which may end it.
#[derive(Clone, Default)]
pub(crate) struct RunningCell(Arc<Mutex<Option<Running>>>);

impl RunningCell {
    pub(crate) fn set(&self, running: Running) {
        *self.0.lock() = Some(running);
    }

    pub(crate) fn take(&self) -> Option<Running> {
        self.0.lock().take()
    }

    /// What the first step waits for, once.
    pub(crate) fn take_first(&self) -> Option<Py<PyAny>> {
        self.0.lock().as_mut()?.first.take()
    }

    /// The coroutine of the handler.
    pub(crate) fn coroutine(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        let running = self.0.lock();
        Some(running.as_ref()?.coroutine.clone_ref(py))
    }

    /// The coroutine of the handler, its context, and the event that it was called with.
    pub(crate) fn parts<'py>(
        &self,
        py: Python<'py>,
    ) -> Option<(Py<PyAny>, Bound<'py, PyAny>, Py<PyAny>)> {
        let running = self.0.lock();
        let running = running.as_ref()?;
        let context = running.context.bind(py).clone();
        let coroutine = running.coroutine.clone_ref(py);
        Some((coroutine, context, running.event.clone_ref(py)))
    }

    /// The event that its handler was called with.
    fn event(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        Some(self.0.lock().as_ref()?.event.clone_ref(py))
    }

    /// Visit it; tried only, for the collector must not wait.
    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        if let Some(running) = self.0.try_lock()
            && let Some(running) = &*running
        {
            visit.call(&running.coroutine)?;
            visit.call(&running.context)?;
            visit.call(&running.event)?;
            if let Some(first) = &running.first {
                visit.call(first)?;
            }
        }
        Ok(())
    }
}

#[derive(Default)]
struct Inner {
    waiting: HashMap<u64, (Py<PyAny>, RunningCell)>,
    /// The number of the last task.
    number: u64,
    /// The tasks have been cancelled, and those that are added are.
    closing: bool,
    /// The task under which handlers take their first steps.
    shared: Option<Py<PyAny>>,
    /// The task whose handler has closed the scheduler, which is not cancelled.
    exempt: Option<Py<PyAny>>,
    /// The loop is left.
    over: bool,
}

impl Inner {
    fn is_exempt(&self, task: &Py<PyAny>) -> bool {
        self.exempt.as_ref().is_some_and(|exempt| exempt.is(task))
    }

    /// Whether a handler of this scheduler runs in a task.
    fn has(&self, task: &Py<PyAny>) -> bool {
        let waiting = self.waiting.values().map(|(task, _)| task);
        waiting.chain(&self.shared).any(|own| own.is(task))
    }
}

/// The tasks of handlers that wait, on one event loop. Nothing of Python is freed under its lock.
#[derive(Default)]
pub(crate) struct Tasks(Mutex<Inner>);

impl Tasks {
    pub(crate) fn count(&self) -> usize {
        self.0.lock().waiting.len()
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.0.lock().closing
    }

    /// Whether the last task has ended after closing.
    pub(crate) fn is_finished(&self) -> bool {
        let inner = self.0.lock();
        inner.closing && inner.waiting.is_empty()
    }

    /// Whether the loop is left.
    pub(crate) fn is_over(&self) -> bool {
        self.0.lock().over
    }

    /// Leave a handler to a task, whose coroutine has this cell; `true`: the task is to be cancelled, for the
    /// scheduler was closed in the first step.
    pub(crate) fn add(
        &self,
        py: Python<'_>,
        mut running: Running,
        task: &Py<PyAny>,
        cell: &RunningCell,
    ) -> bool {
        let mut inner = self.0.lock();
        inner.number += 1;
        running.number = inner.number;
        let entry = (task.clone_ref(py), cell.clone());
        inner.waiting.insert(running.number, entry);
        let cancelled = inner.closing && !inner.is_exempt(task);
        drop(inner);
        cell.set(running);
        cancelled
    }

    /// The handler of this number has ended; its task.
    pub(crate) fn remove(&self, number: u64) -> Option<Py<PyAny>> {
        let (task, _) = self.0.lock().waiting.remove(&number)?;
        self.end_exemption(&task);
        Some(task)
    }

    /// Handlers take their first steps in this task from now on, or in none.
    pub(crate) fn set_shared(&self, task: Option<Py<PyAny>>) {
        let before = std::mem::replace(&mut self.0.lock().shared, task);
        drop(before);
    }

    /// Exempt a task from being cancelled, if a handler runs in it and is the first to close.
    pub(crate) fn exempt(&self, task: Py<PyAny>) {
        let mut inner = self.0.lock();
        if inner.exempt.is_none() && !inner.closing && inner.has(&task) {
            inner.exempt = Some(task);
        }
    }

    /// The handler that ran in this task has ended.
    pub(crate) fn end_exemption(&self, task: &Py<PyAny>) {
        let exempt = self.0.lock().exempt.take_if(|exempt| exempt.is(task));
        drop(exempt);
    }

    /// Begin to close; the tasks to cancel. `None`: that was done before.
    pub(crate) fn close(&self, py: Python<'_>) -> Option<Vec<Py<PyAny>>> {
        let mut inner = self.0.lock();
        if std::mem::replace(&mut inner.closing, true) {
            return None;
        }
        let tasks = inner.waiting.values().map(|(task, _)| task);
        let cancelled = tasks.filter(|task| !inner.is_exempt(task));
        Some(cancelled.map(|task| task.clone_ref(py)).collect())
    }

    /// Leave the loop, if the scheduler is closed and no task is left; `false`: that cannot be, or was done before.
    pub(crate) fn leave(&self) -> bool {
        let mut inner = self.0.lock();
        let left = inner.closing && inner.waiting.is_empty() && inner.exempt.is_none();
        left && !std::mem::replace(&mut inner.over, true)
    }

    /// Leave the loop at once; the tasks that were there, with their handlers.
    pub(crate) fn abandon(&self) -> Vec<(Py<PyAny>, RunningCell)> {
        let mut inner = self.0.lock();
        inner.closing = true;
        inner.over = true;
        let tasks = std::mem::take(&mut inner.waiting);
        let exempt = inner.exempt.take();
        drop(inner);
        drop(exempt);
        tasks.into_values().collect()
    }

    /// The events of handlers that wait.
    pub(crate) fn events(&self, py: Python<'_>) -> Vec<Py<PyAny>> {
        let inner = self.0.lock();
        let cells: Vec<_> = inner
            .waiting
            .values()
            .map(|(_, cell)| cell.clone())
            .collect();
        drop(inner);
        cells.iter().filter_map(|cell| cell.event(py)).collect()
    }

    /// The task of the handler that was called with this event, if it waits.
    pub(crate) fn of_event(&self, py: Python<'_>, event: &Py<PyAny>) -> Option<Py<PyAny>> {
        let inner = self.0.lock();
        let waiting = inner.waiting.values();
        let waiting: Vec<_> = waiting
            .map(|(task, cell)| (task.clone_ref(py), cell.clone()))
            .collect();
        drop(inner);
        let mut waiting = waiting.into_iter();
        let found = waiting.find(|(_, cell)| cell.event(py).is_some_and(|own| own.is(event)));
        found.map(|(task, _)| task)
    }

    /// The tasks of handlers that wait.
    pub(crate) fn all(&self, py: Python<'_>) -> Vec<Py<PyAny>> {
        let inner = self.0.lock();
        let tasks = inner.waiting.values().map(|(task, _)| task.clone_ref(py));
        tasks.collect()
    }

    /// Visit the tasks; tried only, for the collector must not wait.
    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        if let Some(inner) = self.0.try_lock() {
            let waiting = inner.waiting.values().map(|(task, _)| task);
            for task in waiting.chain(&inner.shared).chain(&inner.exempt) {
                visit.call(task)?;
            }
        }
        Ok(())
    }
}
