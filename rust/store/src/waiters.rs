//! Who sleeps until a batch is settled, and who wakes whom.
//!
//! A sync settles the batches of many threads. Woken all at once they would fight for the locks
//! that each of them needs next, and sleep again: so they are woken as a chain. Who comes back
//! from its sleep, or from a sync, wakes the next before it does anything else.
//!
//! Two things hold whenever the lock is free, and nobody is left behind:
//! while somebody sleeps whose batch is settled, somebody who will [`pass`](Waiters::pass) is up;
//! while somebody sleeps whose batch is not, somebody syncs, or is called to.

use std::collections::VecDeque;
use std::thread::{self, Thread, ThreadId};
use std::time::Duration;

#[derive(Default)]
pub(crate) struct Waiters {
    asleep: VecDeque<(u64, Thread)>,
    /// Who was woken to sync and has not come yet.
    called: Option<ThreadId>,
}

/// Whom to wake once the lock is let go.
#[must_use]
#[derive(Default)]
pub(crate) struct Next {
    leader: Option<Thread>,
    settled: Option<Thread>,
}

impl Next {
    pub(crate) fn wake(self) {
        for thread in [self.leader, self.settled].into_iter().flatten() {
            thread.unpark();
        }
    }
}

impl Waiters {
    /// Before [`sleep`]: this thread waits for a batch.
    pub(crate) fn enlist(&mut self, number: u64) {
        self.asleep.push_back((number, thread::current()));
    }

    /// After [`sleep`]: whether somebody has woken this thread, which then has to pass it on.
    pub(crate) fn leave(&mut self) -> bool {
        let me = thread::current().id();
        if self.called == Some(me) {
            self.called = None;
        }
        let listed = self.asleep.iter().position(|(_, thread)| thread.id() == me);
        match listed {
            Some(at) => {
                self.asleep.remove(at);
                false
            }
            None => true,
        }
    }

    /// Choose who is woken next: one whose batch is settled, and one to sync if nobody does.
    pub(crate) fn pass(&mut self, settled: u64, syncing: bool) -> Next {
        let mut next = Next::default();
        if !syncing && self.called.is_none() {
            next.leader = self.take(|number| number > settled);
            self.called = next.leader.as_ref().map(Thread::id);
        }
        next.settled = self.take(|number| number <= settled);
        next
    }

    fn take(&mut self, which: impl Fn(u64) -> bool) -> Option<Thread> {
        let at = self.asleep.iter().position(|(number, _)| which(*number))?;
        self.asleep.remove(at).map(|(_, thread)| thread)
    }

    /// Wake all: there will be no more syncs.
    pub(crate) fn wake_all(&mut self) {
        self.called = None;
        for (_, thread) in self.asleep.drain(..) {
            thread.unpark();
        }
    }
}

/// Sleep until woken, or for a time; may end early.
pub(crate) fn sleep(left: Option<Duration>) {
    match left {
        Some(left) => thread::park_timeout(left),
        None => thread::park(),
    }
}
