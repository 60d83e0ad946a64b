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

/// How many targets a chunk of the table has.
const CHUNK: usize = 64;

/// The handlers of so many targets.
type Chunk = Arc<Vec<Option<Arc<Handler>>>>;

/// The handlers by target number, as one moment had them.
///
/// A worker keeps one while it runs jobs and looks only whether the version has moved. It is changed
/// in place unless somebody keeps it: then one chunk is copied, and the list of chunks, not all
/// handlers. Each handler is referred to once, however many share it: the garbage collector's count of
/// references adds up.
#[derive(Clone, Default)]
pub(crate) struct Handlers(Arc<Vec<Chunk>>);

impl Handlers {
    /// Put a handler in the place of a target; what was there is to be dropped under no lock.
    fn set(&mut self, target: u32, handler: Option<Handler>) -> Option<Arc<Handler>> {
        let (chunk, at) = (target as usize / CHUNK, target as usize % CHUNK);
        let chunks = Arc::make_mut(&mut self.0);
        if chunks.len() <= chunk {
            chunks.resize_with(chunk + 1, Chunk::default);
        }
        let handlers = Arc::make_mut(&mut chunks[chunk]);
        if handlers.len() <= at {
            handlers.resize(at + 1, None);
        }
        std::mem::replace(&mut handlers[at], handler.map(Arc::new))
    }

    fn iter(&self) -> impl Iterator<Item = &Handler> {
        let chunks = self.0.iter().flat_map(|chunk| chunk.iter());
        chunks.flatten().map(|handler| &**handler)
    }
}

/// The handler of a target, if it runs on this lane.
#[inline]
pub(crate) fn find(handlers: &Handlers, target: u32, lane: Lane) -> Option<&Handler> {
    get(handlers, target).filter(|handler| handler.lane == lane)
}

/// The handler of a target, if it has one.
#[inline]
pub(crate) fn get(handlers: &Handlers, target: u32) -> Option<&Handler> {
    let chunk = handlers.0.get(target as usize / CHUNK)?;
    chunk.get(target as usize % CHUNK)?.as_deref()
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
    pub(crate) fn add(&self, number: u32, handler: Handler) -> Option<u64> {
        let mut targets = self.targets.lock();
        if get(&targets.handlers, number).is_some() {
            drop(targets);
            // Freeing a handler may run Python: not under the lock.
            drop(handler);
            return None;
        }
        let registration = &mut targets.registrations[number as usize];
        *registration += 1;
        let registration = *registration;
        targets.handlers.set(number, Some(handler));
        self.version.fetch_add(1, Ordering::Release);
        Some(registration)
    }

    /// Take a handler out, if this registration is still the present one.
    pub(crate) fn remove(&self, number: u32, registration: u64) -> bool {
        let mut targets = self.targets.lock();
        let present = get(&targets.handlers, number).is_some();
        if !present || targets.registrations[number as usize] != registration {
            return false;
        }
        let old = targets.handlers.set(number, None);
        self.version.fetch_add(1, Ordering::Release);
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

    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        // The collector must not wait: when another thread changes the table, it is in use.
        if let Some(targets) = self.targets.try_lock() {
            for handler in targets.handlers.iter() {
                visit.call(&handler.call)?;
            }
        }
        Ok(())
    }
}
