//! How many threads a scheduler has.

use duewheel_engine::sync::Mutex;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

/// The timer, the workers, and the threads of event loops, as many as there are.
#[derive(Default)]
pub(crate) struct Threads {
    timer: AtomicBool,
    workers: AtomicUsize,
    loops: AtomicUsize,
    /// Workers whose handler is past its timeout.
    stuck: AtomicUsize,
    /// The same by the number of the target.
    stuck_of: Mutex<HashMap<u32, u64>>,
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

    /// How many workers are wanted: one more for each that is stuck, at most as many more as there are.
    pub(crate) fn wanted(&self, workers: usize) -> usize {
        workers + self.stuck.load(SeqCst).min(workers)
    }

    /// A worker is stuck in a handler of this target.
    pub(crate) fn add_stuck(&self, target: u32) {
        *self.stuck_of.lock().entry(target).or_default() += 1;
        self.stuck.fetch_add(1, SeqCst);
    }

    /// It is so no longer.
    pub(crate) fn remove_stuck(&self, target: u32) {
        self.stuck.fetch_sub(1, SeqCst);
        let mut stuck = self.stuck_of.lock();
        if let Some(count) = stuck.get_mut(&target) {
            *count -= 1;
            if *count == 0 {
                stuck.remove(&target);
            }
        }
    }

    /// How many workers are stuck in handlers of each target, by its number.
    pub(crate) fn stuck(&self) -> HashMap<u32, u64> {
        self.stuck_of.lock().clone()
    }

    /// Count a worker out, where there are more than are wanted; whether it is to end.
    pub(crate) fn leave_if_needless(&self, workers: usize) -> bool {
        let wanted = self.wanted(workers);
        let one_less = |present| (present > wanted).then(|| present - 1);
        let left = self.workers.fetch_update(SeqCst, SeqCst, one_less);
        left.is_ok()
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
