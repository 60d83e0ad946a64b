//! The schedulers in whose handlers a thread is: a call that waits for one of them would wait for itself.

use duewheel_engine::sync::Mutex;
use pyo3::ffi;
use pyo3::prelude::*;
use std::cell::{Cell, RefCell};
use std::ptr;

/// A scheduler, by the address of what its threads share.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity(usize);

impl Identity {
    pub(crate) fn of<T>(shared: &T) -> Self {
        Identity(ptr::from_ref(shared) as usize)
    }
}

/// A handler that is being called, on the stack of its thread.
struct Frame {
    scheduler: Identity,
    /// What it was called with, which its caller refers to.
    event: *mut ffi::PyObject,
    outer: *const Frame,
}

thread_local! {
    /// The handler that this thread is in, and through it those that have called it.
    static INNERMOST: Cell<*const Frame> = const { Cell::new(ptr::null()) };

    /// The schedulers all of whose calls on this thread are a handler's.
    static ALWAYS: RefCell<Vec<Identity>> = const { RefCell::new(Vec::new()) };
}

/// Where a thread notes the handler that it is in.
pub(crate) struct Place<'a>(&'a Cell<*const Frame>);

/// Restores the outer handler when the call ends, by an unwind, too.
struct Leave<'a>(&'a Place<'a>, *const Frame);

impl Drop for Leave<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.0.set(self.1);
    }
}

impl Place<'_> {
    /// Call a handler of this scheduler with this event, or resume one.
    #[inline]
    pub(crate) fn within<R>(
        &self,
        scheduler: Identity,
        event: &Py<PyAny>,
        run: impl FnOnce() -> R,
    ) -> R {
        let outer = self.0.get();
        let frame = Frame {
            scheduler,
            event: event.as_ptr(),
            outer,
        };
        let _leave = Leave(self, outer);
        self.0.set(&raw const frame);
        run()
    }
}

/// Where the threads of a scheduler note the handlers that they are in, each with its identifier.
#[derive(Default)]
pub(crate) struct Places(Mutex<Vec<Known>>);

struct Known {
    place: *const Cell<*const Frame>,
    thread: std::ffi::c_ulong,
}

// SAFETY: a place is looked at by `Places::events` alone, whose caller is attached; see there.
unsafe impl Send for Known {}

/// Strikes a place off when its thread leaves.
pub(crate) struct Present<'a>(&'a Places, *const Cell<*const Frame>);

impl Drop for Present<'_> {
    fn drop(&mut self) {
        let mut known = self.0.0.lock();
        if let Some(at) = known.iter().rposition(|known| known.place == self.1) {
            known.swap_remove(at);
        }
    }
}

/// The identifier of the calling thread.
pub(crate) fn this_thread() -> std::ffi::c_ulong {
    // SAFETY: it may be called at any time.
    unsafe { ffi::PyThread_get_thread_ident() }
}

impl Places {
    /// Have the calling thread's place found, until what is returned is dropped.
    pub(crate) fn enter(&self, _: Python<'_>) -> Present<'_> {
        let place = INNERMOST.with(ptr::from_ref);
        self.0.lock().push(Known {
            place,
            thread: this_thread(),
        });
        Present(self, place)
    }

    /// The events of this scheduler that handlers are called with now, each with the thread that it is on.
    pub(crate) fn events(
        &self,
        py: Python<'_>,
        of: Identity,
    ) -> Vec<(Py<PyAny>, std::ffi::c_ulong)> {
        let mut events = Vec::new();
        for known in &*self.0.lock() {
            // SAFETY: a thread changes its place, and the frames that are found there, while it is attached, which it is
            // not while this one is; it is there until it is struck off, before its thread ends. Each frame's caller
            // refers to its event.
            unsafe {
                let mut frame = (*known.place).get();
                while let Some(present) = frame.as_ref() {
                    if present.scheduler == of && present.event != ffi::Py_None() {
                        let event = Bound::from_borrowed_ptr(py, present.event).unbind();
                        events.push((event, known.thread));
                    }
                    frame = present.outer;
                }
            }
        }
        events
    }
}

/// Look the calling thread's place up, once for many handlers: in an extension that is a call.
#[inline]
pub(crate) fn on_this_thread<R>(run: impl FnOnce(&Place<'_>) -> R) -> R {
    INNERMOST.with(|innermost| run(&Place(innermost)))
}

/// Call one handler of this scheduler with this event, or resume one.
pub(crate) fn within<R>(scheduler: Identity, event: &Py<PyAny>, run: impl FnOnce() -> R) -> R {
    on_this_thread(|place| place.within(scheduler, event, run))
}

/// Return the event of the handler that calls, sync or async; `None` outside of handlers.
///
/// Code that a handler calls finds it. Threads and tasks that it starts have none of their own.
#[pyfunction]
pub(crate) fn current_event(py: Python<'_>) -> Option<Py<PyAny>> {
    // SAFETY: it is null, or a frame of a call of `within` on this thread that has not returned, whose caller
    // refers to the event.
    unsafe {
        let frame = INNERMOST.get().as_ref()?;
        Some(Bound::from_borrowed_ptr(py, frame.event).unbind())
    }
}

/// Each scheduler that the calling thread is in a handler of, the innermost first.
fn each() -> impl Iterator<Item = Identity> {
    let mut frame = INNERMOST.get();
    let called = std::iter::from_fn(move || {
        // SAFETY: it is null, or a frame of a call of `within` on this thread that has not returned.
        let present = unsafe { frame.as_ref() }?;
        frame = present.outer;
        Some(present.scheduler)
    });
    called.chain(ALWAYS.with_borrow(Vec::clone))
}

/// The event of the innermost handler of this scheduler that the calling thread is in.
pub(crate) fn event_of(py: Python<'_>, scheduler: Identity) -> Option<Py<PyAny>> {
    let mut frame = INNERMOST.get();
    // SAFETY: it is null, or a frame of a call of `within` on this thread that has not returned, whose caller refers to
    // the event.
    while let Some(present) = unsafe { frame.as_ref() } {
        if present.scheduler == scheduler {
            // SAFETY: as above.
            let event = unsafe { Bound::from_borrowed_ptr(py, present.event) };
            return Some(event.unbind());
        }
        frame = present.outer;
    }
    None
}

/// Whether all that the calling thread runs is a handler's of this scheduler.
pub(crate) fn is_always(scheduler: Identity) -> bool {
    ALWAYS.with_borrow(|always| always.contains(&scheduler))
}

/// Whether the calling thread is in a handler of this scheduler.
pub(crate) fn is_inside(scheduler: Identity) -> bool {
    each().any(|known| known == scheduler)
}

/// All that the calling thread runs from now on is a handler's of this scheduler.
pub(crate) fn enter_thread(scheduler: Identity) {
    ALWAYS.with_borrow_mut(|always| always.push(scheduler));
}

/// Undo [`enter_thread`].
pub(crate) fn leave_thread(scheduler: Identity) {
    ALWAYS.with_borrow_mut(|always| always.retain(|known| *known != scheduler));
}

/// Return the schedulers in whose handlers the calling thread is, for a thread that it waits for.
#[pyfunction]
pub(crate) fn outer_handlers() -> Vec<usize> {
    each().map(|scheduler| scheduler.0).collect()
}

/// Run the rest of the calling thread as if it was in these handlers, too.
#[pyfunction]
pub(crate) fn run_inside(outer: Vec<usize>) {
    ALWAYS.with_borrow_mut(|always| always.extend(outer.into_iter().map(Identity)));
}
