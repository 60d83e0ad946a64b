//! A call that asks the store and is awaited: the answer comes on a thread of the store's, and whoever awaits it
//! goes on with the call.

use crate::calls::pending::{Next, Pending};
use crate::errors::refused;
use crate::shared::{SLICE, Shared};
use duewheel_engine::engine::Refused;
use duewheel_engine::sync::{Condvar, Mutex};
use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use std::sync::Arc;
use std::time::Instant;

/// The answer of the store, once it is there.
#[derive(Default)]
pub(crate) struct Answer {
    next: Mutex<Option<Next<Py<PyAny>>>>,
    come: Condvar,
    listener: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Answer {
    fn deliver(&self, next: Next<Py<PyAny>>) {
        *self.next.lock() = Some(next);
        self.come.notify_all();
        let listener = self.listener.lock().take();
        if let Some(listener) = listener {
            listener();
        }
    }

    /// Call `listener` when it is there, on a thread of the store's as a rule.
    pub(crate) fn when_delivered(&self, listener: impl FnOnce() + Send + 'static) {
        let mut waiting = self.listener.lock();
        if self.next.lock().is_none() {
            *waiting = Some(Box::new(listener));
            return;
        }
        drop(waiting);
        listener();
    }
}

/// A call that waits for an answer of the store.
#[pyclass(frozen, module = "duewheel._core")]
pub(crate) struct PendingCall {
    shared: Arc<Shared>,
    answer: Arc<Answer>,
}

impl PendingCall {
    /// Leave the wait to the caller: the result and the ticket to wait for (0: none), or a pending call.
    pub(crate) fn leave<R: for<'py> IntoPyObject<'py> + 'static>(
        py: Python<'_>,
        shared: &Arc<Shared>,
        pending: Pending<R>,
    ) -> PyResult<Py<PyAny>> {
        let ask = match pending.into_object(py)? {
            Pending::Made(value, ticket) => {
                return (value, shared.unsettled(py, ticket)?.0).into_py_any(py);
            }
            Pending::Asks(ask) => ask,
        };
        let (shared, answer) = (shared.clone(), Arc::<Answer>::default());
        let come = answer.clone();
        py.detach(|| ask.start(move |next| come.deliver(next)));
        Ok(Py::new(py, PendingCall { shared, answer })?.into_any())
    }

    pub(crate) fn answer(&self) -> Arc<Answer> {
        self.answer.clone()
    }

    /// Go on with the call, once the answer has come: as [`leave`](Self::leave).
    pub(crate) fn go_on(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let next = self.answer.next.lock().take();
        match next {
            Some(next) => Self::leave(py, &self.shared, next(py, &self.shared)?),
            None => Err(refused(py, Refused::Closed, "")),
        }
    }
}

#[pymethods]
impl PendingCall {
    /// Wait for the answer, and go on with the call.
    fn wait(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let has_come = || {
            let next = self.answer.next.lock();
            next.is_some() || {
                let until = Instant::now() + SLICE;
                self.answer.come.wait_until(next, until).0.is_some()
            }
        };
        while !py.detach(has_come) {
            py.check_signals()?;
        }
        self.go_on(py)
    }
}
