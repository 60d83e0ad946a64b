//! Coroutines that sync handlers have returned: the same attempt goes on with them on the event loop.

use crate::errors::error;
use crate::interpreter::call;
use crate::shared::Shared;
use crate::values::failure::Failure;
use crate::values::payload::Handle;
use duewheel_engine::handover::queue::Lane;
use duewheel_engine::jobs::record::{Outcome, Reason, Started};
use duewheel_engine::sync::{Condvar, Mutex};
use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::PyWeakrefReference;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// An execution whose worker has done its part.
pub(crate) struct Coming {
    /// A coroutine, or what else is awaited.
    pub(crate) awaited: Py<PyAny>,
    /// The context that the handler was called in.
    pub(crate) context: Py<PyAny>,
    pub(crate) started: Started<Handle>,
    pub(crate) event: Py<PyAny>,
}

impl Coming {
    /// Give it up, closing what would never be awaited.
    pub(crate) fn abandon(self, py: Python<'_>) -> Started<Handle> {
        // SAFETY: the pointer is a live reference.
        let coroutine = unsafe { pyo3::ffi::PyCoro_CheckExact(self.awaited.as_ptr()) } != 0;
        if coroutine && let Err(error) = self.awaited.call_method0(py, "close") {
            error.write_unraisable(py, None);
        }
        self.started
    }
}

#[derive(Default)]
struct Inner {
    queue: VecDeque<Coming>,
    /// A loop takes them.
    open: bool,
}

/// What waits for the event loop.
#[derive(Default)]
pub(crate) struct HandOver {
    inner: Mutex<Inner>,
    changed: Condvar,
    waiting: AtomicUsize,
    total: AtomicU64,
    /// Whose event loop it is.
    owner: Mutex<Option<Py<PyWeakrefReference>>>,
}

impl HandOver {
    /// From now on a loop takes what comes.
    pub(crate) fn open(&self) {
        self.inner.lock().open = true;
    }

    /// No loop takes what comes any more: what nobody has taken.
    pub(crate) fn shut(&self) -> VecDeque<Coming> {
        let mut inner = self.inner.lock();
        inner.open = false;
        self.waiting.store(0, Ordering::SeqCst);
        self.changed.notify_all();
        std::mem::take(&mut inner.queue)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) == 0
    }

    /// How many have come so far.
    pub(crate) fn total(&self) -> u64 {
        self.total.load(Ordering::SeqCst)
    }

    pub(crate) fn take(&self) -> Option<Coming> {
        let mut inner = self.inner.lock();
        let coming = inner.queue.pop_front();
        self.waiting.store(inner.queue.len(), Ordering::SeqCst);
        self.changed.notify_one();
        coming
    }

    /// Remember whose event loop is to be provided, without keeping it.
    pub(crate) fn set_owner(&self, owner: &Bound<'_, PyAny>) -> PyResult<()> {
        let owner = PyWeakrefReference::new(owner)?.unbind();
        let before = self.owner.lock().replace(owner);
        drop(before);
        Ok(())
    }

    /// Visit what waits; tried only, for the collector must not wait.
    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        if let Some(inner) = self.inner.try_lock() {
            for coming in &inner.queue {
                visit.call(&coming.awaited)?;
                visit.call(&coming.context)?;
                visit.call(&coming.event)?;
            }
        }
        Ok(())
    }

    /// Let the loop go on with an execution; what there is no loop for is given back.
    ///
    /// Waits while as many wait as run at once, so that no worker is ahead of the loop without end; not with a
    /// manual clock, where the same thread runs the loop.
    #[allow(clippy::result_large_err)] // it is what was given
    fn push(&self, py: Python<'_>, shared: &Shared, coming: Coming) -> Result<(), Coming> {
        let is_full =
            |inner: &Inner| inner.open && !shared.manual && inner.queue.len() >= shared.tasks;
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
            return Err(coming);
        }
        // Counted there before it is not here: who waits for nothing to run never sees none.
        shared.engine.lane(Lane::Loop).take_over();
        inner.queue.push_back(coming);
        self.waiting.store(inner.queue.len(), Ordering::SeqCst);
        self.total.fetch_add(1, Ordering::SeqCst);
        drop(inner);
        shared.engine.lane(Lane::Workers).hand_off();
        shared.engine.lane(Lane::Loop).ring();
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
}

/// Let the event loop go on with an execution, one that is made for it if there is none. Given back with
/// the reason is what no loop can be had for; without one, after closing.
#[allow(clippy::result_large_err)] // it is what was given
pub(crate) fn hand_over(
    py: Python<'_>,
    shared: &Shared,
    coming: Coming,
) -> Result<(), (Coming, Option<PyErr>)> {
    let handed = &shared.handed;
    let Err(coming) = handed.push(py, shared, coming) else {
        return Ok(());
    };
    if shared.engine.is_closed() {
        return Err((coming, None));
    }
    let provided = handed.provide_loop(py);
    let Err(coming) = handed.push(py, shared, coming) else {
        return Ok(());
    };
    if shared.engine.is_closed() {
        return Err((coming, None));
    }
    let ended = || {
        let message = "what its handler returned is to be awaited, and its event loop has ended";
        error(py, |names| &names.state_error, message)
    };
    Err((coming, Some(provided.err().unwrap_or_else(ended))))
}

/// What becomes of an execution that closing has cut short.
pub(crate) fn cut_short(
    py: Python<'_>,
    shared: &Shared,
    started: &Started<Handle>,
) -> Outcome<Failure> {
    if started.execution.payload.spec(py).get().limits.at_most_once {
        let why = "the scheduler was closed while it ran";
        return Outcome::Dead(Reason::Interrupted, Failure::text(py, why));
    }
    // Closing is not the handler's failure: where the job is kept, it is pending again.
    Outcome::Snooze(shared.engine.clock().boot())
}
