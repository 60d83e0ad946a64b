//! This process: how often it was forked, and whether its interpreter is about to end.

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
}

/// From now on the interpreter is about to end.
pub(crate) fn set_ending() {
    ENDING.store(true, Ordering::SeqCst);
}

/// Whether the interpreter is about to end: no thread is made any more.
pub(crate) fn is_ending() -> bool {
    ENDING.load(Ordering::SeqCst)
}
