//! Waits for a state, and who wakes them.

use super::{Engine, Phase, State};
use crate::handover::lanes::Lane;
use crate::jobs::record::Payload;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

impl<P: Payload> Engine<P> {
    /// Wait until `done` holds, for at most `timeout`; `true` when it does.
    fn wait_until(&self, timeout: Duration, done: impl Fn(&State<P>, usize) -> bool) -> bool {
        let mut state = self.state.lock();
        if timeout.is_zero() {
            // The event loop asks so, job for job: even a wait for no time is a system call.
            return done(&state, self.running());
        }
        let deadline = Instant::now() + timeout;
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let reached = loop {
            if done(&state, self.running()) {
                break true;
            }
            let late;
            (state, late) = self.changed.wait_until(state, deadline);
            if late {
                break done(&state, self.running());
            }
        };
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        reached
    }

    /// Wait until nothing runs.
    pub fn wait_finished(&self, timeout: Duration) -> bool {
        self.wait_until(timeout, |_, running| running == 0)
    }

    /// Wait until nothing is pending but what is parked or cannot be read, or closed, and nothing
    /// runs.
    pub fn wait_idle(&self, timeout: Duration) -> bool {
        self.wait_until(timeout, |state, running| {
            // What has ended and is not settled yet still counts: its retry may be pending.
            let pending = state.jobs.queue.len() as u64 + state.paged_out();
            let mut pending = pending.saturating_sub(state.all_parked() + state.unreadable());
            if pending > 0 && pending <= state.jobs.repeat_count() as u64 {
                pending = pending.saturating_sub(state.endless_count(self));
            }
            running == 0 && (state.phase == Phase::Closed || pending == 0)
        })
    }

    /// Wait until it no longer runs what is due.
    pub fn wait_stopped(&self, timeout: Duration) -> bool {
        self.wait_until(timeout, |state, _| state.phase != Phase::Started)
    }

    /// Have the event loop woken for all that changes, too, or no longer.
    pub fn watch(&self, watched: bool) {
        if watched {
            self.waiting.fetch_add(1, Ordering::SeqCst);
        } else {
            self.waiting.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// Wake the waits, for something has changed, unless it cannot be what they wait for:
    /// all of them wait for nothing to run, or for the end.
    #[inline]
    pub(super) fn notify(&self, state: &State<P>) {
        if self.waiting.load(Ordering::SeqCst) != 0 {
            self.notify_waiting(state);
        }
    }

    #[inline(never)]
    fn notify_waiting(&self, state: &State<P>) {
        if state.phase != Phase::Started || self.lanes.iter().all(|lane| lane.lock().is_quiet()) {
            self.changed.notify_all();
            self.lane(Lane::Loop).lock().wake();
        }
    }
}
