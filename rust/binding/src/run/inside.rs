//! Which schedulers the calling thread is in handlers of: a call of theirs that waits would wait for itself.

use crate::shared::Shared;
use pyo3::prelude::*;
use std::cell::{Cell, RefCell};
use std::ptr;

/// A handler that is being called, on the stack of its thread.
struct Frame {
    shared: *const Shared,
    outer: *const Frame,
}

thread_local! {
    /// The handler that this thread is in, which may have been called by another's.
    static INNERMOST: Cell<*const Frame> = const { Cell::new(ptr::null()) };

    /// The schedulers, by address, in whose handlers this thread is all the time.
    static ALWAYS: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

/// Back to what the thread was in before, whatever ends the call.
struct Leave(*const Frame);

impl Drop for Leave {
    fn drop(&mut self) {
        INNERMOST.set(self.0);
    }
}

/// Call a handler of this scheduler, or go on with one.
#[inline]
pub(crate) fn within<R>(shared: &Shared, run: impl FnOnce() -> R) -> R {
    let outer = INNERMOST.get();
    let frame = Frame {
        shared: ptr::from_ref(shared),
        outer,
    };
    let _leave = Leave(outer);
    INNERMOST.set(&raw const frame);
    run()
}

/// Each scheduler that the calling thread is in a handler of, the innermost first.
fn each() -> impl Iterator<Item = usize> {
    let mut frame = INNERMOST.get();
    let called = std::iter::from_fn(move || {
        // SAFETY: it is null, or a frame of a call of `within` on this thread that has not returned.
        let present = unsafe { frame.as_ref() }?;
        frame = present.outer;
        Some(present.shared as usize)
    });
    called.chain(ALWAYS.with_borrow(Vec::clone))
}

/// Whether the calling thread is in a handler of this scheduler.
pub(crate) fn inside(shared: &Shared) -> bool {
    each().any(|known| known == ptr::from_ref(shared) as usize)
}

/// From now on all that the calling thread runs is a handler's of this scheduler.
pub(crate) fn stay(shared: &Shared) {
    ALWAYS.with_borrow_mut(|always| always.push(ptr::from_ref(shared) as usize));
}

/// No longer.
pub(crate) fn leave(shared: &Shared) {
    ALWAYS
        .with_borrow_mut(|always| always.retain(|known| *known != ptr::from_ref(shared) as usize));
}

/// Which schedulers the calling thread is in handlers of, for a thread that it waits for.
#[pyfunction]
pub(crate) fn outer_handlers() -> Vec<usize> {
    each().collect()
}

/// Run the rest of the calling thread as if it was in these handlers, too.
#[pyfunction]
pub(crate) fn run_inside(outer: Vec<usize>) {
    ALWAYS.with_borrow_mut(|always| always.extend(outer));
}
