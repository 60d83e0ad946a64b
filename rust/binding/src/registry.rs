//! Targets and their handlers.

use crate::convert;
use duewheel_core::ready::Lane;
use duewheel_core::sync::Mutex;
use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::PyString;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A handler, and where it runs.
pub(crate) struct Handler {
    pub(crate) call: Py<PyAny>,
    pub(crate) lane: Lane,
}

/// The handlers by target number, as one moment had them.
///
/// A worker keeps one while it runs jobs and looks only whether the version has moved. The
/// handlers in it are referred to once, however many workers share it: the garbage collector's
/// count of references adds up.
pub(crate) type Handlers = Arc<Vec<Option<Handler>>>;

/// The handler of a target, if it runs on this lane.
#[inline]
pub(crate) fn find(handlers: &Handlers, target: u32, lane: Lane) -> Option<&Handler> {
    get(handlers, target).filter(|handler| handler.lane == lane)
}

/// The handler of a target, if it has one.
#[inline]
pub(crate) fn get(handlers: &Handlers, target: u32) -> Option<&Handler> {
    handlers.get(target as usize)?.as_ref()
}

#[derive(Default)]
struct Targets {
    numbers: HashMap<String, u32>,
    names: Vec<Py<PyString>>,
    handlers: Handlers,
    /// How often a handler was registered for each target, so that an old `deregister` does
    /// nothing to a new handler.
    registrations: Vec<u64>,
}

#[derive(Default)]
pub(crate) struct Registry {
    targets: Mutex<Targets>,
    version: AtomicU64,
}

impl Registry {
    #[inline]
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    pub(crate) fn handlers(&self) -> (u64, Handlers) {
        let targets = self.targets.lock();
        (self.version(), targets.handlers.clone())
    }

    /// The number of a target, new or known.
    pub(crate) fn number(&self, name: &Bound<'_, PyAny>) -> PyResult<(u32, Py<PyString>)> {
        let text = convert::name(name, "target")?;
        let mut targets = self.targets.lock();
        if let Some(&number) = targets.numbers.get(text) {
            return Ok((number, targets.names[number as usize].clone_ref(name.py())));
        }
        let number = targets.names.len() as u32;
        let string = PyString::new(name.py(), text).unbind();
        targets.numbers.insert(text.to_owned(), number);
        targets.names.push(string.clone_ref(name.py()));
        targets.registrations.push(0);
        Ok((number, string))
    }

    pub(crate) fn name(&self, py: Python<'_>, number: u32) -> Option<Py<PyString>> {
        self.targets
            .lock()
            .names
            .get(number as usize)
            .map(|name| name.clone_ref(py))
    }

    /// Register a handler; `None` when the target has one. Returns its registration.
    pub(crate) fn add(&self, py: Python<'_>, number: u32, handler: Handler) -> Option<u64> {
        let mut targets = self.targets.lock();
        let at = number as usize;
        if targets.handlers.get(at).is_some_and(Option::is_some) {
            return None;
        }
        targets.registrations[at] += 1;
        let registration = targets.registrations[at];
        let old = self.change(py, &mut targets, at, Some(handler));
        drop(targets);
        drop(old);
        Some(registration)
    }

    /// Take a handler out, if this registration is still the present one.
    pub(crate) fn remove(&self, py: Python<'_>, number: u32, registration: u64) -> bool {
        let mut targets = self.targets.lock();
        let at = number as usize;
        let present = targets.handlers.get(at).is_some_and(Option::is_some);
        if !present || targets.registrations[at] != registration {
            return false;
        }
        let old = self.change(py, &mut targets, at, None);
        drop(targets);
        // Freeing a handler may run Python: not under the lock.
        drop(old);
        true
    }

    pub(crate) fn clear(&self) -> Handlers {
        let mut targets = self.targets.lock();
        self.version.fetch_add(1, Ordering::Release);
        std::mem::take(&mut targets.handlers)
    }

    fn change(
        &self,
        py: Python<'_>,
        targets: &mut Targets,
        at: usize,
        handler: Option<Handler>,
    ) -> Handlers {
        let copy = |handler: &Handler| Handler {
            call: handler.call.clone_ref(py),
            lane: handler.lane,
        };
        let mut handlers: Vec<Option<Handler>> = targets
            .handlers
            .iter()
            .map(|handler| handler.as_ref().map(copy))
            .collect();
        if handlers.len() <= at {
            handlers.resize_with(at + 1, || None);
        }
        handlers[at] = handler;
        let old = std::mem::replace(&mut targets.handlers, Arc::new(handlers));
        self.version.fetch_add(1, Ordering::Release);
        old
    }

    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        // The collector must not wait: when another thread changes the table, it is in use.
        if let Some(targets) = self.targets.try_lock() {
            for handler in targets.handlers.iter().flatten() {
                visit.call(&handler.call)?;
            }
        }
        Ok(())
    }
}
