//! Coming early to a busy interpreter.
//!
//! A thread that waits for CPython's lock beside one that never gives it up gets it one switch interval
//! after it began to wait. The timer knows the next due: while the interpreter is seen to be
//! busy, it sends a worker to wait that much ahead, so that the worker's turn comes at the due.

use crate::clock::Clock;
use crate::sleep::Until;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering::Relaxed};

/// After so many free ways in a row the interpreter counts as free: one that is busy half of the
/// time stays busy, and on a free one coming early costs a wake-up each.
const FREE_AT: u32 = 8;

/// Whether the interpreter is busy, as the workers see it.
#[derive(Debug, Default)]
pub struct EarlyWake {
    /// The switch interval in nanoseconds; 0 while the interpreter is free.
    lead: AtomicI64,
    free: AtomicU32,
}

impl EarlyWake {
    /// How long before a due a worker is to wait for the interpreter; 0 while that is free.
    #[inline]
    pub fn lead(&self) -> i64 {
        self.lead.load(Relaxed)
    }

    /// A worker came at once.
    #[inline]
    pub fn found_free(&self) {
        if self.lead() > 0 && self.free.fetch_add(1, Relaxed) + 1 >= FREE_AT {
            self.lead.store(0, Relaxed);
        }
    }

    /// A worker had to wait; `interval` is how long who waits has to, in nanoseconds. `true`: that
    /// is news, and the timer, which sleeps until the next due, is to be woken to plan again.
    #[must_use]
    pub fn found_busy(&self, interval: i64) -> bool {
        self.free.store(0, Relaxed);
        self.lead.swap(interval, Relaxed) == 0
    }
}

/// The timer's memory of the sleep for which it has sent a worker ahead.
#[derive(Debug, Default)]
pub(crate) struct Lead(Option<Until>);

impl Lead {
    /// What to sleep for instead of `until`, and whether to send a worker first.
    pub(crate) fn plan(&mut self, until: Until, lead: i64, clock: &dyn Clock) -> (Until, bool) {
        if lead == 0 || self.0 == Some(until) {
            return (until, false);
        }
        let wall = until.wall.map(|due| due.saturating_sub(lead));
        let boot = until.boot.map(|due| due.saturating_sub(lead));
        if wall.is_some_and(|early| early <= clock.wall())
            || boot.is_some_and(|early| early <= clock.boot())
        {
            self.0 = Some(until);
            return (until, true);
        }
        (Until { wall, boot }, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    fn boot(due: i64) -> Until {
        Until {
            wall: None,
            boot: Some(due),
        }
    }

    #[test]
    fn one_worker_is_sent_ahead_of_a_due() {
        let clock = ManualClock::new(50, 50);
        let mut sent = Lead::default();
        assert_eq!(sent.plan(boot(100), 0, &clock), (boot(100), false));
        assert_eq!(sent.plan(boot(100), 10, &clock), (boot(90), false));
        assert_eq!(sent.plan(boot(60), 10, &clock), (boot(60), true));
        assert_eq!(sent.plan(boot(60), 10, &clock), (boot(60), false));
        let both = Until {
            wall: Some(55),
            boot: Some(100),
        };
        assert_eq!(sent.plan(both, 10, &clock), (both, true));
        let nothing = Until::default();
        assert_eq!(sent.plan(nothing, 10, &clock), (nothing, false));
    }

    #[test]
    fn it_is_busy_until_it_was_free_for_a_while() {
        let early_wake = EarlyWake::default();
        early_wake.found_free();
        assert_eq!(early_wake.lead(), 0);
        for news in [true, false] {
            assert_eq!(early_wake.found_busy(7), news);
            for _ in 1..FREE_AT {
                early_wake.found_free();
                assert_eq!(early_wake.lead(), 7);
            }
        }
        early_wake.found_free();
        assert_eq!(early_wake.lead(), 0);
    }
}
