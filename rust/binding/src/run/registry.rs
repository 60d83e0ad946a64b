//! The handlers of a scheduler, by the numbers of their targets.

use crate::values::target::Target;
use duewheel_engine::controls::Controls;
use duewheel_engine::handover::queue::Lane;
use duewheel_engine::sync::Mutex;
use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A handler, and where it runs.
pub(crate) struct Handler {
    pub(crate) call: Py<PyAny>,
    pub(crate) lane: Lane,
    pub(crate) controls: Controls,
    /// The target of what a death leaves behind.
    pub(crate) dead: Option<Arc<str>>,
    pub(crate) target: Arc<Target>,
    /// Which of all registrations it is: an old `deregister` does nothing to a new handler.
    registration: u64,
}

/// How many targets a chunk of the table has.
const CHUNK: usize = 64;

/// The handlers of so many targets.
type Chunk = Arc<Vec<Option<Arc<Handler>>>>;

/// The handlers by target number, as one moment had them.
///
/// A worker has a copy while it runs jobs, and looks only whether the version has moved. The table is changed
/// in place unless there are copies: then one chunk is copied, and the list of chunks, not all
/// handlers. Each handler is referred to once, however many share it: the garbage collector's count of
/// references adds up.
#[derive(Clone, Default)]
pub(crate) struct Handlers(Arc<Vec<Chunk>>);

impl Handlers {
    /// Put a handler in the place of a target; what was there is to be dropped under no lock.
    fn set(&mut self, target: u32, handler: Option<Arc<Handler>>) -> Option<Arc<Handler>> {
        let (chunk, at) = (target as usize / CHUNK, target as usize % CHUNK);
        let chunks = Arc::make_mut(&mut self.0);
        if chunks.len() <= chunk {
            chunks.resize_with(chunk + 1, Chunk::default);
        }
        let handlers = Arc::make_mut(&mut chunks[chunk]);
        if handlers.len() <= at {
            handlers.resize(at + 1, None);
        }
        let old = std::mem::replace(&mut handlers[at], handler);
        if handlers.iter().all(Option::is_none) {
            *handlers = Vec::new();
            while chunks.pop_if(|last| last.is_empty()).is_some() {}
        }
        old
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
struct Table {
    handlers: Handlers,
    /// How many were registered so far.
    registrations: u64,
    /// The targets that are paused.
    paused: HashSet<Arc<str>>,
    /// The handlers of those, which are not found.
    resting: Vec<Arc<Handler>>,
}

impl Table {
    /// Put a handler in the place of that of the same registration, if it is there; that one.
    fn replace(&mut self, handler: Arc<Handler>) -> Option<Arc<Handler>> {
        let registration = handler.registration;
        let mut resting = self.resting.iter_mut();
        if let Some(old) = resting.find(|old| old.registration == registration) {
            return Some(std::mem::replace(old, handler));
        }
        let number = handler.target.number;
        let present = get(&self.handlers, number);
        present.filter(|present| present.registration == registration)?;
        self.handlers.set(number, Some(handler))
    }

    /// The handler of a target, found or not.
    fn any(&self, target: u32) -> Option<&Handler> {
        let resting = self.resting.iter().map(|handler| &**handler);
        let mut resting = resting.filter(|handler| handler.target.number == target);
        get(&self.handlers, target).or_else(|| resting.next())
    }
}

/// The handlers of one scheduler.
#[derive(Default)]
pub(crate) struct Registry {
    table: Mutex<Table>,
    version: AtomicU64,
}

impl Registry {
    /// No handlers yet, of a scheduler that has these targets paused.
    pub(crate) fn new(paused: &[String]) -> Self {
        let table = Table {
            paused: paused.iter().map(|target| Arc::from(&**target)).collect(),
            ..Table::default()
        };
        Registry {
            table: Mutex::new(table),
            version: AtomicU64::default(),
        }
    }

    /// The targets that are paused, in no order.
    pub(crate) fn paused(&self) -> Vec<String> {
        let table = self.table.lock();
        table
            .paused
            .iter()
            .map(|name| (**name).to_owned())
            .collect()
    }

    /// Whether a target is paused.
    pub(crate) fn is_paused(&self, target: &str) -> bool {
        self.table.lock().paused.contains(target)
    }

    /// Pause a target, so that its handler is not found, or let it go on; the target, where it has a handler.
    pub(crate) fn set_paused(&self, name: &str, paused: bool) -> Option<Arc<Target>> {
        let mut guard = self.table.lock();
        let table = &mut *guard;
        if paused {
            table.paused.insert(name.into());
        } else {
            table.paused.remove(name);
        }
        let moved = if paused {
            let found = table
                .handlers
                .iter()
                .find(|handler| &*handler.target.text == name);
            let number = found?.target.number;
            let handler = table.handlers.set(number, None)?;
            table.resting.push(handler.clone());
            handler
        } else {
            let mut resting = table.resting.iter();
            let at = resting.position(|handler| &*handler.target.text == name)?;
            let handler = table.resting.swap_remove(at);
            table
                .handlers
                .set(handler.target.number, Some(handler.clone()));
            handler
        };
        self.version.fetch_add(1, Ordering::Release);
        drop(guard);
        Some(moved.target.clone())
    }

    #[inline]
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    #[inline(never)] // out of the way of the jobs that run between two changes
    pub(crate) fn handlers(&self) -> (u64, Handlers) {
        let table = self.table.lock();
        (self.version(), table.handlers.clone())
    }

    /// Register a handler; `None` when the target has one. Returns its registration.
    pub(crate) fn add(
        &self,
        target: &Arc<Target>,
        call: Py<PyAny>,
        (lane, controls): (Lane, Controls),
        dead: Option<Arc<str>>,
    ) -> Option<u64> {
        let mut table = self.table.lock();
        if table.any(target.number).is_some() {
            drop(table);
            // Freeing a handler may run Python: not under the lock.
            drop(call);
            return None;
        }
        table.registrations += 1;
        let handler = Handler {
            call,
            lane,
            controls,
            dead,
            target: target.clone(),
            registration: table.registrations,
        };
        let handler = Arc::new(handler);
        if table.paused.contains(&target.text) {
            table.resting.push(handler);
        } else {
            table.handlers.set(target.number, Some(handler));
        }
        self.version.fetch_add(1, Ordering::Release);
        Some(table.registrations)
    }

    /// Put what `wrap` makes of it in the place of each handler. One that is taken out or registered meanwhile stays as
    /// it is.
    pub(crate) fn wrap(
        &self,
        mut wrap: impl FnMut(&Handler) -> PyResult<Py<PyAny>>,
    ) -> PyResult<()> {
        let (_, present) = self.handlers();
        let resting = self.table.lock().resting.clone();
        let wrapped = present
            .iter()
            .chain(resting.iter().map(|handler| &**handler))
            .map(|handler| {
                Ok(Handler {
                    call: wrap(handler)?,
                    lane: handler.lane,
                    controls: handler.controls,
                    dead: handler.dead.clone(),
                    target: handler.target.clone(),
                    registration: handler.registration,
                })
            })
            .collect::<PyResult<Vec<_>>>()?;
        let mut table = self.table.lock();
        let old: Vec<_> = wrapped
            .into_iter()
            .map(|handler| table.replace(Arc::new(handler)))
            .collect();
        self.version.fetch_add(1, Ordering::Release);
        drop(table);
        // Freeing a handler may run Python: not under the lock.
        drop((old, present, resting));
        Ok(())
    }

    /// The target of what the death of a job of this target leaves behind.
    pub(crate) fn dead_of(&self, target: u32) -> Option<Arc<str>> {
        self.table.lock().any(target)?.dead.clone()
    }

    /// Have all workers look anew.
    pub(crate) fn touch(&self) {
        self.version.fetch_add(1, Ordering::Release);
    }

    /// Take a handler out, if this registration is still the present one.
    pub(crate) fn remove(&self, number: u32, registration: u64) -> Option<Arc<Handler>> {
        let mut table = self.table.lock();
        let found = table.any(number);
        found.filter(|handler| handler.registration == registration)?;
        let mut resting = table.resting.iter();
        let old = match resting.position(|handler| handler.registration == registration) {
            Some(at) => Some(table.resting.swap_remove(at)),
            None => table.handlers.set(number, None),
        };
        self.version.fetch_add(1, Ordering::Release);
        old
    }

    /// Take all of them out; to be dropped under no lock.
    pub(crate) fn clear(&self) -> (Handlers, Vec<Arc<Handler>>) {
        let mut table = self.table.lock();
        self.version.fetch_add(1, Ordering::Release);
        let resting = std::mem::take(&mut table.resting);
        (std::mem::take(&mut table.handlers), resting)
    }

    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        // The collector must not wait: when another thread changes the table, it is in use.
        if let Some(table) = self.table.try_lock() {
            let resting = table.resting.iter().map(|handler| &**handler);
            for handler in table.handlers.iter().chain(resting) {
                visit.call(&handler.call)?;
            }
        }
        Ok(())
    }
}
