//! Awaitables that sync handlers have returned: the event loop awaits them, in the same attempt.

use crate::errors::error;
use crate::interpreter::call;
use crate::values::payload::Handle;
use duewheel_engine::engine::Engine;
use duewheel_engine::handover::queue::Lane;
use duewheel_engine::jobs::record::Started;
use duewheel_engine::sync::{Condvar, Mutex};
use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::PyWeakrefReference;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// An execution whose handler has returned something to await.
pub(crate) struct Continuation {
    /// A coroutine, or what else is awaited.
    pub(crate) awaited: Py<PyAny>,
    /// The context that the handler was called in.
    pub(crate) context: Py<PyAny>,
    pub(crate) started: Started<Handle>,
    pub(crate) event: Py<PyAny>,
}

impl Continuation {
    /// Close what is never awaited, in the context of its handler; the execution.
    pub(crate) fn abandon(self, py: Python<'_>) -> Started<Handle> {
        // SAFETY: the pointer is a live reference.
        let coroutine = unsafe { pyo3::ffi::PyCoro_CheckExact(self.awaited.as_ptr()) } != 0;
        let closed = call::within(py, self.context.bind(py), || {
            let closed = match coroutine {
                true => self.awaited.call_method0(py, "close").map(drop),
                false => Ok(()),
            };
            drop(self.awaited); // what is around it ends with it
            closed
        });
        if let Err(error) = closed {
            error.write_unraisable(py, None);
        }
        self.started
    }
}

#[derive(Default)]
struct Inner {
    queue: VecDeque<Continuation>,
    /// An event loop takes them.
    open: bool,
}

/// The continuations that wait for the event loop.
pub(crate) struct Continuations {
    /// How many wait at most; `None` is no limit, with a manual clock: its one thread runs workers and loop.
    limit: Option<usize>,
    inner: Mutex<Inner>,
    changed: Condvar,
    waiting: AtomicUsize,
    total: AtomicU64,
    /// The scheduler, which makes the event loop.
    owner: Mutex<Option<Py<PyWeakrefReference>>>,
}

impl Continuations {
    pub(crate) fn new(limit: Option<usize>) -> Self {
        Continuations {
            limit,
            inner: Mutex::default(),
            changed: Condvar::default(),
            waiting: AtomicUsize::new(0),
            total: AtomicU64::new(0),
            owner: Mutex::default(),
        }
    }

    /// An event loop takes continuations from now on.
    pub(crate) fn open(&self) {
        self.inner.lock().open = true;
    }

    /// No event loop takes continuations from now on; those that wait.
    pub(crate) fn shut(&self) -> VecDeque<Continuation> {
        let mut inner = self.inner.lock();
        inner.open = false;
        self.waiting.store(0, Ordering::SeqCst);
        self.changed.notify_all();
        std::mem::take(&mut inner.queue)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) == 0
    }

    /// How many have been pushed so far.
    pub(crate) fn total(&self) -> u64 {
        self.total.load(Ordering::SeqCst)
    }

    pub(crate) fn take(&self) -> Option<Continuation> {
        let mut inner = self.inner.lock();
        let continuation = inner.queue.pop_front();
        self.waiting.store(inner.queue.len(), Ordering::SeqCst);
        self.changed.notify_one();
        continuation
    }

    /// The events of what waits for the loop.
    pub(crate) fn events(&self, py: Python<'_>) -> Vec<Py<PyAny>> {
        let inner = self.inner.lock();
        let events = inner
            .queue
            .iter()
            .map(|waiting| waiting.event.clone_ref(py));
        events.collect()
    }

    /// Refer weakly to the scheduler that makes the event loop.
    pub(crate) fn set_owner(&self, owner: &Bound<'_, PyAny>) -> PyResult<()> {
        let owner = PyWeakrefReference::new(owner)?.unbind();
        let before = self.owner.lock().replace(owner);
        drop(before);
        Ok(())
    }

    /// Visit what waits; tried only, for the collector must not wait.
    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        if let Some(inner) = self.inner.try_lock() {
            for continuation in &inner.queue {
                visit.call(&continuation.awaited)?;
                visit.call(&continuation.context)?;
                visit.call(&continuation.event)?;
            }
        }
        Ok(())
    }

    /// Leave a continuation to the loop; it is given back where there is none.
    ///
    /// Waits while the limit is reached, so that workers do not outrun the loop without end.
    #[allow(clippy::result_large_err)] // it is what was given
    fn push(
        &self,
        py: Python<'_>,
        engine: &Engine<Handle>,
        continuation: Continuation,
    ) -> Result<(), Continuation> {
        let is_full = |inner: &Inner| {
            inner.open && self.limit.is_some_and(|limit| inner.queue.len() >= limit)
        };
        let mut inner = loop {
            let inner = self.inner.lock();
            if !is_full(&inner) {
                break inner;
            }
            drop(inner);
            py.detach(|| {
                let mut inner = self.inner.lock();
                while is_full(&inner) {
                    inner = self.changed.wait(inner);
                }
            });
        };
        if !inner.open {
            return Err(continuation);
        }
        // Counted in the loop's lane before it is counted out of the workers': a wait for nothing to run
        // never sees none between the two.
        engine.lane(Lane::Loop).take_over();
        inner.queue.push_back(continuation);
        self.waiting.store(inner.queue.len(), Ordering::SeqCst);
        self.total.fetch_add(1, Ordering::SeqCst);
        drop(inner);
        engine.lane(Lane::Workers).hand_off();
        engine.lane(Lane::Loop).wake();
        Ok(())
    }

    fn provide_loop(&self, py: Python<'_>) -> PyResult<()> {
        let owner = self.owner.lock().as_ref().map(|owner| owner.clone_ref(py));
        let owner = owner.and_then(|owner| owner.bind(py).upgrade());
        let Some(owner) = owner else {
            let gone = "the scheduler is gone, and its event loop with it";
            return Err(error(py, |names| &names.closed_error, gone));
        };
        let provide = owner.get_type().getattr("_provide_loop")?.unbind();
        call::call(py, &provide, &owner.unbind()).map(drop)
    }

    /// Leave a continuation to the event loop, which is made if there is none.
    ///
    /// Given back is a continuation that no loop takes, with the reason; without a reason after closing.
    #[allow(clippy::result_large_err)] // it is what was given
    pub(crate) fn hand_over(
        &self,
        py: Python<'_>,
        engine: &Engine<Handle>,
        continuation: Continuation,
    ) -> Result<(), (Continuation, Option<PyErr>)> {
        let Err(continuation) = self.push(py, engine, continuation) else {
            return Ok(());
        };
        if engine.is_closed() {
            return Err((continuation, None));
        }
        let provided = self.provide_loop(py);
        let Err(continuation) = self.push(py, engine, continuation) else {
            return Ok(());
        };
        if engine.is_closed() {
            return Err((continuation, None));
        }
        let ended = || {
            let message =
                "what its handler returned is to be awaited, and its event loop has ended";
            error(py, |names| &names.state_error, message)
        };
        Err((continuation, Some(provided.err().unwrap_or_else(ended))))
    }
}
