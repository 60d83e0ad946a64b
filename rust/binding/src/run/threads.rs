//! How many threads a scheduler has.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

/// The timer, the workers, and the threads of event loops, as many as there are.
#[derive(Default)]
pub(crate) struct Threads {
    timer: AtomicBool,
    workers: AtomicUsize,
    loops: AtomicUsize,
}

impl Threads {
    /// Count the timer, whose thread is to be made; `false`: there is one.
    pub(crate) fn add_timer(&self) -> bool {
        !self.timer.swap(true, SeqCst)
    }

    /// The thread of the timer could not be made.
    pub(crate) fn remove_timer(&self) {
        self.timer.store(false, SeqCst);
    }

    /// Count a worker, which is to be made, unless there are as many as `wanted`; how many there are with it.
    pub(crate) fn add_worker(&self, wanted: usize) -> Option<usize> {
        let one_more = |present| (present < wanted).then_some(present + 1);
        let before = self.workers.fetch_update(SeqCst, SeqCst, one_more);
        before.ok().map(|before| before + 1)
    }

    /// A worker has ended.
    pub(crate) fn remove_worker(&self) {
        self.workers.fetch_sub(1, SeqCst);
    }

    /// Workers that have not ended, those that are being made included.
    pub(crate) fn workers(&self) -> usize {
        self.workers.load(SeqCst)
    }

    /// Count a thread that runs the scheduler's own event loop.
    pub(crate) fn add_loop(&self) {
        self.loops.fetch_add(1, SeqCst);
    }

    /// Such a thread is about to end.
    pub(crate) fn remove_loop(&self) {
        self.loops.fetch_sub(1, SeqCst);
    }

    /// Threads that run the scheduler's own event loop.
    pub(crate) fn loops(&self) -> usize {
        self.loops.load(SeqCst)
    }
}
