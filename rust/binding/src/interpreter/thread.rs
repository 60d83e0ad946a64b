//! Threads that have done their work, and have yet to come to the end of what Python does for them.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

static ENDING: AtomicUsize = AtomicUsize::new(0);

/// Dropped when its thread has ended, after the last step of Python.
struct Ending;

impl Drop for Ending {
    fn drop(&mut self) {
        let _ = ENDING.fetch_update(SeqCst, SeqCst, |threads| threads.checked_sub(1));
    }
}

thread_local! {
    static LAST: Cell<Option<Ending>> = const { Cell::new(None) };
}

/// Count the calling thread, until it has ended: the interpreter must not end under its last steps.
pub(crate) fn count_ending() {
    ENDING.fetch_add(1, SeqCst);
    LAST.set(Some(Ending));
}

/// How many threads are about to end.
pub(crate) fn ending() -> usize {
    ENDING.load(SeqCst)
}

/// The threads of the parent are not here.
pub(crate) fn after_fork_in_child() {
    ENDING.store(0, SeqCst);
}
