//! This process: how often it was forked, whether its interpreter is about to end, and which threads are.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// How often this process was made by a fork of one that had loaded the module.
static FORKS: AtomicUsize = AtomicUsize::new(0);

/// The interpreter is about to end.
static ENDING: AtomicBool = AtomicBool::new(false);

#[inline]
pub(crate) fn forks() -> usize {
    FORKS.load(Ordering::Relaxed)
}

/// This process is the child of a fork.
pub(crate) fn after_fork_in_child() {
    FORKS.fetch_add(1, Ordering::Relaxed);
    ENDING.store(false, Ordering::SeqCst);
    // The threads of the parent are not here.
    LEAVING.store(0, Ordering::SeqCst);
}

/// From now on the interpreter is about to end.
pub(crate) fn set_ending() {
    ENDING.store(true, Ordering::SeqCst);
}

/// Whether the interpreter is about to end: no thread is made any more.
pub(crate) fn is_ending() -> bool {
    ENDING.load(Ordering::SeqCst)
}

/// Threads that have done their work, and have yet to come to the end of what Python does for them.
static LEAVING: AtomicUsize = AtomicUsize::new(0);

/// Dropped when its thread has ended, after the last step of Python.
struct Leaving;

impl Drop for Leaving {
    fn drop(&mut self) {
        let _ = LEAVING.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |threads| {
            threads.checked_sub(1)
        });
    }
}

thread_local! {
    static LAST: Cell<Option<Leaving>> = const { Cell::new(None) };
}

/// Count the calling thread, until it has ended: the interpreter must not end under its last steps.
pub(crate) fn count_leaving() {
    LEAVING.fetch_add(1, Ordering::SeqCst);
    LAST.set(Some(Leaving));
}

/// How many threads are about to end.
pub(crate) fn leaving() -> usize {
    LEAVING.load(Ordering::SeqCst)
}
